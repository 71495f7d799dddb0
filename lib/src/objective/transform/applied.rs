//! Transformations drawn for images, y = L x + b, and their transpose.
//!
//! What is drawn for an image depends on the stream, the list and the image's number alone, so shards and batches of any
//! split see the same bits. Images are transformed in parallel, each on one thread.

use super::blur::Blur;
use super::gather::Gather;
use super::list::{Transform, Transforms};
use super::warp::Warp;
use super::{Error, GREY, Result};
use crate::net::Size;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, filled_in_chunks, shape, view};

/// Numbers drawn for each transformation of an image, used or not.
const DRAWS: usize = 2;

/// A list of transformations for images of one size, checked.
#[derive(Clone, Debug)]
pub struct Pipeline {
    transforms: Vec<Transform>,
    /// Height and width before each, and after the last.
    sizes: Vec<(usize, usize)>,
    channels: usize,
    network: (usize, usize),
}

impl Transforms {
    /// The list for images of one size and a network of another.
    ///
    /// # Errors
    /// Different channels; images too small for a transformation.
    pub fn between(&self, image: Size, network: Size) -> Result<Pipeline> {
        Pipeline::new(&self.0, image, network)
    }
}

impl Pipeline {
    pub(super) fn new(transforms: &[Transform], image: Size, network: Size) -> Result<Self> {
        if image.channels != network.channels {
            return Err(Error::Channels { images: image.channels, network: network.channels });
        }
        let mut size = (image.height, image.width);
        let mut sizes = vec![size];
        for transform in transforms {
            size = transform.size_after(size)?;
            sizes.push(size);
        }
        let network = (network.height, network.width);
        Ok(Self { transforms: transforms.to_vec(), sizes, channels: image.channels, network })
    }

    /// Draws for the images of these numbers.
    pub fn draw(&self, stream: Stream, images: impl IntoIterator<Item = usize>) -> Applied {
        let steps = images.into_iter().map(|image| self.steps(stream, image)).collect();
        let (height, width) = self.sizes[0];
        Applied { steps, from: (height, width), to: self.network, channels: self.channels }
    }

    fn steps(&self, stream: Stream, image: usize) -> Vec<Stage> {
        let count = DRAWS * self.transforms.len();
        let draws: Vec<f64> = stream.uniform(image * count..(image + 1) * count);
        let drawn = self.transforms.iter().zip(&self.sizes).zip(draws.chunks_exact(DRAWS)).enumerate();
        let step = |(number, ((transform, &size), draws)): (usize, ((&Transform, _), &[f64]))| {
            let noise = || stream.branch(&format!("noise {number} {image}"));
            step(transform, size, [draws[0], draws[1]], noise)
        };
        let last = self.sizes[self.transforms.len()];
        let fitting = (last != self.network).then(|| (Kind::Gather(Gather::centred(last, self.network)), self.network));
        drawn.map(step).chain(fitting).map(|(kind, to)| Stage { kind, to }).collect()
    }
}

/// A transformation drawn for one image.
#[derive(Clone, Debug)]
struct Stage {
    kind: Kind,
    /// Height and width after it.
    to: (usize, usize),
}

#[derive(Clone, Debug)]
enum Kind {
    Gather(Gather),
    Warp(Warp),
    Blur(Blur),
    Noise(Stream, f64),
}

/// A transformation of images of `size` from numbers in [0, 1), and the size after it.
fn step(
    transform: &Transform,
    size: (usize, usize),
    draws: [f64; DRAWS],
    noise: impl Fn() -> Stream,
) -> (Kind, (usize, usize)) {
    let (height, width) = size;
    // One of `count` whole numbers from 0 on.
    let whole = |draw: f64, count: usize| (draw * count as f64) as isize;
    match *transform {
        Transform::Pad(margin) => {
            let (to, margin) = ((height + 2 * margin, width + 2 * margin), margin as isize);
            (Kind::Gather(Gather::window(size, to, (-margin, -margin))), to)
        }
        Transform::Reflect(margin) => {
            (Kind::Gather(Gather::mirrored(size, margin)), (height + 2 * margin, width + 2 * margin))
        }
        Transform::Jitter(reach) => {
            let (to, offset) = ((height - reach, width - reach), draws.map(|draw| whole(draw, reach + 1)));
            (Kind::Gather(Gather::window(size, to, (offset[0], offset[1]))), to)
        }
        Transform::Translate(low, high) => {
            let way = draws.map(|draw| low as isize + whole(draw, high - low + 1));
            (Kind::Gather(Gather::window(size, size, (-way[0], -way[1]))), size)
        }
        Transform::Scale(scale) => (Kind::Warp(Warp::new(size, scale.at(draws[0]), 0.0)), size),
        Transform::Rotate(degrees) => (Kind::Warp(Warp::new(size, 1.0, degrees.at(draws[0]))), size),
        Transform::Blur(deviation) => (Kind::Blur(Blur::new(size, deviation.at(draws[0]))), size),
        Transform::Noise(deviation) => (Kind::Noise(noise(), deviation), size),
    }
}

impl Stage {
    fn forward<E: Element>(&self, x: &[E], channels: usize) -> Vec<E> {
        let mut y = vec![E::zero(); self.to.0 * self.to.1 * channels];
        match &self.kind {
            Kind::Gather(gather) => gather.forward(x, &mut y, channels, E::of(GREY)),
            Kind::Warp(warp) => warp.forward(x, &mut y, channels, E::of(GREY)),
            Kind::Blur(blur) => blur.forward(x, &mut y, channels),
            Kind::Noise(stream, deviation) => {
                let noise: Vec<E> = stream.normal(0..y.len());
                let values = y.iter_mut().zip(x).zip(noise);
                values.for_each(|((y, &x), noise)| *y = x + E::of(*deviation) * noise);
            }
        }
        y
    }

    /// The transpose of the linear part.
    fn pullback<E: Element>(&self, y: Vec<E>, from: (usize, usize), channels: usize) -> Vec<E> {
        if let Kind::Noise(..) = self.kind {
            return y;
        }
        let mut x = vec![E::zero(); from.0 * from.1 * channels];
        match &self.kind {
            Kind::Gather(gather) => gather.scatter(&y, &mut x, channels),
            Kind::Warp(warp) => warp.scatter(&y, &mut x, channels),
            Kind::Blur(blur) => blur.scatter(&y, &mut x, channels),
            Kind::Noise(..) => {}
        }
        x
    }
}

/// Transformations drawn for some images.
#[derive(Clone, Debug)]
pub struct Applied {
    /// For each image, its transformations.
    steps: Vec<Vec<Stage>>,
    from: (usize, usize),
    to: (usize, usize),
    channels: usize,
}

impl Applied {
    /// The images (N, H, W, C) as the network sees them. Transformations drawn for one image serve a batch of any size.
    pub fn forward<E: Element>(&self, images: &Batch<E>) -> Batch<E> {
        self.mapped(images, self.to, |steps, image| {
            steps.iter().fold(image.to_vec(), |image, step| step.forward(&image, self.channels))
        })
    }

    /// The cotangents of the images for those of what the network saw, (N, H', W', C).
    pub fn pullback<E: Element>(&self, cotangent: &Batch<E>) -> Batch<E> {
        self.mapped(cotangent, self.from, |steps, cotangent| {
            let before = |number: usize| if number == 0 { self.from } else { steps[number - 1].to };
            let numbered = steps.iter().enumerate().rev();
            numbered.fold(cotangent.to_vec(), |cotangent, (number, step)| {
                step.pullback(cotangent, before(number), self.channels)
            })
        })
    }

    /// `map` of each image, with its transformations, to images of `size`.
    fn mapped<E: Element>(
        &self,
        x: &Batch<E>,
        size: (usize, usize),
        map: impl Fn(&[Stage], &[E]) -> Vec<E> + Sync + Send,
    ) -> Batch<E> {
        let (n, h, w, c) = shape(x);
        debug_assert!(self.steps.len() == 1 || self.steps.len() == n, "drawn for these images");
        let (from, to) = (h * w * c, size.0 * size.1 * c);
        let y = filled_in_chunks(
            n * to,
            to,
            || (),
            |(), number, y| {
                let steps = &self.steps[if self.steps.len() == 1 { 0 } else { number }];
                y.copy_from_slice(&map(steps, &view(x)[number * from..][..from]));
            },
        );
        batch(y, (n, size.0, size.1, c))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Transforms;
    use super::*;
    use crate::ops::checks::{assert_close, normal};

    fn pipeline(text: &str, from: Size, to: Size) -> Pipeline {
        text.parse::<Transforms>().unwrap().between(from, to).unwrap()
    }

    fn product(a: &Batch<f64>, b: &Batch<f64>) -> f64 {
        view(a).iter().zip(view(b)).map(|(a, b)| a * b).sum()
    }

    /// <L x, c> = <x, L^T c>, where L x = forward(x) - forward(0).
    fn check_transpose(text: &str, from: Size, to: Size, step: u64) {
        let applied = pipeline(text, from, to).draw(Stream::new(0, "transforms", step), 3..5);
        let x = normal("x", (2, from.height, from.width, from.channels));
        let cotangent = normal("cotangent", (2, to.height, to.width, to.channels));
        let zero = batch(vec![0.0; view(&x).len()], shape(&x));
        let ahead = product(&applied.forward(&x), &cotangent) - product(&applied.forward(&zero), &cotangent);
        let back = product(&x, &applied.pullback(&cotangent));
        assert!((ahead - back).abs() < 1e-11 * view(&cotangent).len() as f64, "{text}: {ahead} {back}");
    }

    const ONE_OF_EACH: [&str; 8] = [
        "pad:3",
        "reflect:2",
        "jitter:3",
        "translate:0..4",
        "scale:0.7..1.3",
        "rotate:-180..180",
        "blur:0.5..2",
        "noise:0.3",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_pullback_is_the_transpose(
            which in prop::collection::vec(0usize..8, 0..5),
            (height, width, channels) in (7usize..12, 7usize..12, 1usize..5),
            (rows, columns) in (1usize..16, 1usize..16),
            step in 0u64..100,
        ) {
            // Two crops of 3 at most leave the mirrors something.
            let mut crops = 0;
            let mut few = |which: &usize| { crops += usize::from(*which == 2); *which != 2 || crops < 2 };
            let parts: Vec<&str> = which.iter().filter(|which| few(which)).map(|&which| ONE_OF_EACH[which]).collect();
            let text = if parts.is_empty() { "none".to_owned() } else { parts.join(",") };
            check_transpose(&text, Size::new(channels, height, width), Size::new(channels, rows, columns), step);
        }
    }

    #[test]
    fn named_lists_are_transposed_too() {
        check_transpose("lucid", Size::new(3, 32, 30), Size::new(3, 32, 30), 0);
        check_transpose("clarke", Size::new(3, 32, 30), Size::new(3, 28, 33), 1);
    }

    #[test]
    fn an_image_s_draw_depends_on_its_number_alone() {
        let size = Size::new(3, 24, 24);
        let pipeline = pipeline("lucid,blur:0.5..1,noise:0.1", size, size);
        let stream = Stream::new(5, "transforms", 9);
        let images: Batch<f32> = normal("images", (4, 24, 24, 3));
        let whole = pipeline.draw(stream, 0..4).forward(&images);
        let part = batch(view(&images)[2 * size.elements()..].to_vec(), (2, 24, 24, 3));
        let applied = pipeline.draw(stream, [2, 3]);
        assert_eq!(view(&applied.forward(&part)), &view(&whole)[2 * size.elements()..]);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(view(&alone.install(|| pipeline.draw(stream, 0..4).forward(&images))), view(&whole));
        let equal = batch(view(&images)[..size.elements()].repeat(2), (2, 24, 24, 3));
        let different = applied.forward(&equal);
        assert_ne!(view(&different)[..size.elements()], view(&different)[size.elements()..]);
        let next = pipeline.draw(Stream::new(5, "transforms", 10), 0..4).forward(&images);
        assert_ne!(view(&next), view(&whole));
    }

    #[test]
    fn one_draw_serves_a_block() {
        let size = Size::new(1, 12, 10);
        let applied = pipeline("scale:0.8..1.2,rotate:-30..30", size, size).draw(Stream::new(0, "transforms", 0), [7]);
        let block: Batch<f64> = normal("block", (3, 12, 10, 1));
        let pulled = applied.pullback(&block);
        let last = batch(view(&block)[240..].to_vec(), (1, 12, 10, 1));
        assert_close(view(&applied.pullback(&last)), &view(&pulled)[240..], 0.0);
    }

    #[test]
    fn jitter_and_translation_reach_both_ends_of_their_ranges() {
        let size = Size::new(1, 1, 4);
        let stream = Stream::new(0, "transforms", 0);
        let ramp: Batch<f64> = batch(vec![1.0, 2.0, 3.0, 4.0], (1, 1, 4, 1));
        let firsts = |text: &str, from: Size, to: Size, images: &Batch<f64>| {
            let pipeline = pipeline(text, from, to);
            let mut seen: Vec<f64> =
                (0..200).map(|image| view(&pipeline.draw(stream, [image]).forward(images))[0]).collect();
            seen.sort_by(f64::total_cmp);
            seen.dedup();
            seen
        };
        assert_eq!(firsts("translate:0..2", size, size, &ramp), [0.5, 1.0]);
        assert_eq!(firsts("translate:1..1", size, size, &ramp), [0.5]);
        let square: Batch<f64> = batch((0..16).map(f64::from).collect(), (1, 4, 4, 1));
        let corners = firsts("jitter:2", Size::new(1, 4, 4), Size::new(1, 2, 2), &square);
        assert_eq!(corners, [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0]);
    }
}
