//! Synthetic shapes: RGB on black, 60 classes, class = shape * 15 + style * 5 + colour, with random translation,
//! rotation and size, anti-aliased. Image i is a function of (seed, i, size) and its class is i mod 60.
//!
//! Source: the synthetic dataset of generative-model regularisation of feature visualisation, §3.1 and figure 8.
//! A pixel's coverage is 1/2 minus its centre's signed distance to the drawn figure, in pixels, clamped to [0, 1].
//!
//! ```
//! use obverse::data::shapes::{class_names, example};
//! assert_eq!(class_names()[9], "rainbow double line");
//! let image = example(9, 16, 0);
//! assert_eq!((image.label, image.pixels.len()), (Some(9), 3 * 16 * 16));
//! assert_eq!(image.pixels, example(9, 16, 0).pixels);
//! ```

use std::f64::consts::{PI, TAU};

use rayon::prelude::*;

use super::{Error, Example, Part, Result, Shape};
use crate::tensor::random::Stream;

/// The outlines, in the order of their classes.
pub(crate) const SHAPES: [&str; 4] = ["line", "square", "circle", "triangle"];
/// How an outline is drawn, in the order of the classes.
pub(crate) const STYLES: [&str; 3] = ["single", "double", "filled"];
/// The colours, in the order of the classes.
pub(crate) const COLOURS: [&str; 5] = ["white", "blue", "green", "red", "rainbow"];
/// The number of classes.
pub const CLASSES: usize = SHAPES.len() * STYLES.len() * COLOURS.len();

/// Below 16 pixels the lines of a double outline merge.
const SMALLEST: usize = 16;
/// A canvas of 4096 x 4096 in colour has 48 MiB.
const LARGEST: usize = 4096;
/// Figures' radii as parts of the canvas: circles of this radius, the others of about the same area.
const RADII: (f64, f64) = (0.20, 0.34);
/// The width of a stroke as a part of the canvas: 1.9 pixels at 48.
const STROKE: f64 = 0.04;
/// The distance between the two lines of a double outline, as a part of the figure's inner radius.
const GAP: f64 = 0.45;
/// Images that are drawn in parallel at a time.
const BLOCK: usize = 256;

/// The names of the 60 classes, such as "rainbow double line" (class 9).
pub fn class_names() -> Vec<String> {
    let name = |class: usize| {
        let (shape, style, colour) = (class / 15, class / 5 % 3, class % 5);
        format!("{} {} {}", COLOURS[colour], STYLES[style], SHAPES[shape])
    };
    (0..CLASSES).map(name).collect()
}

/// `count` images of `size` x `size` in the parts train, test and validation, 8:1:1.
///
/// # Errors
/// Fewer than 10 images, which cannot be split, or a size outside 16..=4096.
pub fn parts(count: usize, size: usize, seed: u64) -> Result<Vec<Part>> {
    if count < 10 {
        return Err(Error::request("synth shapes", "a count of at least 10, to split 8:1:1", count));
    }
    if !(SMALLEST..=LARGEST).contains(&size) {
        return Err(Error::request("synth shapes", "a size of 16 to 4096 pixels", size));
    }
    let tenth = count / 10;
    let shape = Shape { channels: 3, height: size, width: size };
    let part = |name, start, end| Part::new(name, shape, Some(end - start), Box::new(examples(start, end, size, seed)));
    let (test, validation) = (count - 2 * tenth, count - tenth);
    Ok(vec![part("train", 0, test), part("test", test, validation), part("validation", validation, count)])
}

fn examples(start: usize, end: usize, size: usize, seed: u64) -> impl Iterator<Item = Result<Example>> + Send {
    (start..end).step_by(BLOCK).flat_map(move |first| {
        let block = first..(first + BLOCK).min(end);
        block.into_par_iter().map(|index| Ok(example(index, size, seed))).collect::<Vec<_>>()
    })
}

/// Image `index` of the dataset seeded with `seed`.
pub fn example(index: usize, size: usize, seed: u64) -> Example {
    let class = index % CLASSES;
    let draws: Vec<f64> = Stream::new(seed, "shapes", index as u64).uniform(0..4);
    let figure = Figure::place(class, size as f64, &draws);
    Example { pixels: figure.render(size), label: Some(class as i64) }
}

/// A figure on its canvas, all lengths in pixels.
struct Figure {
    shape: usize,
    style: usize,
    colour: usize,
    /// The radius of the circle; the other figures have about the same area.
    radius: f64,
    /// The centre, x to the right and y down.
    centre: (f64, f64),
    cosine: f64,
    sine: f64,
    /// Half the width of a stroke.
    half_stroke: f64,
    /// The corners in the figure's own frame, clockwise on the screen.
    corners: Vec<(f64, f64)>,
}

impl Figure {
    /// The figure of a class with its size, rotation and place chosen by four numbers in [0, 1).
    fn place(class: usize, size: f64, draws: &[f64]) -> Self {
        let radius = size * (RADII.0 + (RADII.1 - RADII.0) * draws[0]);
        let (sine, cosine) = (TAU * draws[1]).sin_cos();
        let mut figure = Self {
            shape: class / 15,
            style: class / 5 % 3,
            colour: class % 5,
            radius,
            centre: (0.0, 0.0),
            cosine,
            sine,
            half_stroke: 0.5 * (size * STROKE).max(1.0),
            corners: Vec::new(),
        };
        figure.corners = figure.own_corners();
        let (left, top, right, bottom) = figure.bounds();
        // One pixel is left at the border, so that the smooth edge is never cut.
        let within = |low: f64, high: f64, draw: f64| 1.0 - low + (size - 2.0 - (high - low)).max(0.0) * draw;
        figure.centre = (within(left, right, draws[2]), within(top, bottom, draws[3]));
        figure
    }

    /// Left, top, right and bottom of the drawn figure around its centre.
    fn bounds(&self) -> (f64, f64, f64, f64) {
        let pen = if self.style == 2 { 0.0 } else { self.half_stroke };
        if self.shape == 2 {
            let reach = self.radius + pen;
            return (-reach, -reach, reach, reach);
        }
        let turn = |&(x, y): &(f64, f64)| (self.cosine * x - self.sine * y, self.sine * x + self.cosine * y);
        let turned: Vec<_> = self.corners.iter().map(turn).collect();
        let low = |pick: fn(&(f64, f64)) -> f64| turned.iter().map(pick).fold(f64::INFINITY, f64::min) - pen;
        let high = |pick: fn(&(f64, f64)) -> f64| turned.iter().map(pick).fold(f64::NEG_INFINITY, f64::max) + pen;
        (low(|point| point.0), low(|point| point.1), high(|point| point.0), high(|point| point.1))
    }

    /// The corners in the figure's own frame, before rotation, clockwise on the screen; a circle has none.
    fn own_corners(&self) -> Vec<(f64, f64)> {
        match self.shape {
            0 => {
                let (x, y) = (self.half_length(), if self.style == 0 { 0.0 } else { self.bar() });
                vec![(-x, -y), (x, -y), (x, y), (-x, y)]
            }
            1 => {
                let half = self.half_side();
                vec![(-half, -half), (half, -half), (half, half), (-half, half)]
            }
            2 => Vec::new(),
            _ => {
                let corner = |turn: f64| {
                    let (sine, cosine) = (turn * TAU / 3.0 - PI / 2.0).sin_cos();
                    (2.0 * self.inner_radius() * cosine, 2.0 * self.inner_radius() * sine)
                };
                vec![corner(0.0), corner(1.0), corner(2.0)]
            }
        }
    }

    fn half_length(&self) -> f64 {
        1.25 * self.radius
    }

    fn half_side(&self) -> f64 {
        0.9 * self.radius
    }

    /// Half the distance between the two lines of a double line, and half the width of a filled one.
    fn bar(&self) -> f64 {
        0.25 * self.radius
    }

    /// The radius of the largest circle inside the figure.
    fn inner_radius(&self) -> f64 {
        match self.shape {
            1 => self.half_side(),
            2 => self.radius,
            _ => 0.68 * self.radius,
        }
    }

    /// The image, channels first.
    fn render(&self, size: usize) -> Vec<u8> {
        let area = size * size;
        let mut pixels = vec![0; 3 * area];
        for place in 0..area {
            let (x, y) = self.own_frame((place % size) as f64 + 0.5, (place / size) as f64 + 0.5);
            let coverage = (0.5 - self.distance(x, y)).clamp(0.0, 1.0);
            if coverage > 0.0 {
                for (channel, value) in self.colour_at(x, y).into_iter().enumerate() {
                    pixels[channel * area + place] = (255.0 * coverage * value).round() as u8;
                }
            }
        }
        pixels
    }

    /// A point of the canvas in the figure's frame.
    fn own_frame(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        (self.cosine * x + self.sine * y, self.cosine * y - self.sine * x)
    }

    /// The signed distance to what is drawn: negative inside.
    fn distance(&self, x: f64, y: f64) -> f64 {
        if self.shape == 0 {
            return self.line_distance(x, y);
        }
        let outline = match self.shape {
            1 => box_distance(x, y, self.half_side(), self.half_side()),
            2 => x.hypot(y) - self.radius,
            _ => polygon_distance(x, y, &self.corners),
        };
        match self.style {
            0 => outline.abs() - self.half_stroke,
            1 => outline.abs().min((outline + GAP * self.inner_radius()).abs()) - self.half_stroke,
            _ => outline,
        }
    }

    fn line_distance(&self, x: f64, y: f64) -> f64 {
        let stroke = |offset: f64| box_distance(x, y - offset, self.half_length(), 0.0) - self.half_stroke;
        match self.style {
            0 => stroke(0.0),
            1 => stroke(self.bar()).min(stroke(-self.bar())),
            _ => box_distance(x, y, self.half_length(), self.bar()),
        }
    }

    /// Red, green and blue in [0, 1]. A rainbow runs along a line, and around the centre of a closed figure.
    fn colour_at(&self, x: f64, y: f64) -> [f64; 3] {
        match self.colour {
            0 => [1.0, 1.0, 1.0],
            1 => [0.0, 0.0, 1.0],
            2 => [0.0, 1.0, 0.0],
            3 => [1.0, 0.0, 0.0],
            // Along a line the hues end at violet, short of the red they began with.
            _ if self.shape == 0 => hue(0.42 * (x / self.half_length()).clamp(-1.0, 1.0) + 0.42),
            _ => hue(y.atan2(x) / TAU + 0.5),
        }
    }
}

/// The signed distance to a rectangle around the origin, given half its sides.
fn box_distance(x: f64, y: f64, half_width: f64, half_height: f64) -> f64 {
    let (x, y) = (x.abs() - half_width, y.abs() - half_height);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0)
}

/// The signed distance to a convex polygon whose corners run clockwise on the screen (y down).
fn polygon_distance(x: f64, y: f64, corners: &[(f64, f64)]) -> f64 {
    let mut nearest = f64::INFINITY;
    let mut outside = false;
    for (&start, &end) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        let (side_x, side_y) = (end.0 - start.0, end.1 - start.1);
        let (x, y) = (x - start.0, y - start.1);
        let along = ((x * side_x + y * side_y) / (side_x * side_x + side_y * side_y)).clamp(0.0, 1.0);
        nearest = nearest.min((x - along * side_x).hypot(y - along * side_y));
        outside |= side_x * y - side_y * x < 0.0;
    }
    if outside { nearest } else { -nearest }
}

/// The fully saturated colour of a hue, one turn of the wheel from red to red.
fn hue(turn: f64) -> [f64; 3] {
    let channel = |shift: f64| {
        let position = (turn + shift).rem_euclid(1.0) * 6.0;
        ((position - 3.0).abs() - 1.0).clamp(0.0, 1.0)
    };
    [channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_9_24_39_and_54_are_the_rainbow_double_ones() {
        let names = class_names();
        let chosen = [9, 24, 39, 54].map(|class| names[class].as_str());
        assert_eq!(chosen, SHAPES.map(|shape| format!("rainbow double {shape}")).each_ref().map(String::as_str));
        assert_eq!(names[0], "white single line");
    }

    #[test]
    fn an_image_depends_on_the_seed_and_its_index_alone() {
        let all = |count| -> Vec<Example> {
            parts(count, 48, 3).unwrap().into_iter().flat_map(|part| part.images.examples).map(Result::unwrap).collect()
        };
        let (few, many) = (all(70), all(300));
        assert_eq!(few[..], many[..70]);
        assert_eq!(many[299], example(299, 48, 3));
        assert_ne!(many[0].pixels, many[60].pixels);
        assert_ne!(example(0, 48, 4), many[0]);
        let serial = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| all(300));
        assert_eq!(serial, many);
    }

    #[test]
    fn the_split_is_8_to_1_to_1_and_every_class_is_in_each_part() {
        let parts = parts(24_000, 16, 0).unwrap();
        let counts = parts.into_iter().map(|part| {
            let labels: Vec<_> = part.images.examples.map(|example| example.unwrap().label.unwrap() as usize).collect();
            let mut classes = [0; CLASSES];
            labels.iter().for_each(|&label| classes[label] += 1);
            assert!(classes.iter().all(|&count| count == labels.len() / CLASSES), "{}", part.name);
            labels.len()
        });
        assert_eq!(counts.collect::<Vec<_>>(), [19_200, 2_400, 2_400]);
    }

    #[test]
    fn every_figure_stays_off_the_border_and_has_a_colour_of_its_class() {
        for index in 0..600 {
            let Example { pixels, label } = example(index, 48, 1);
            let lit = |channel: usize| pixels[channel * 2304..(channel + 1) * 2304].iter().any(|&value| value > 128);
            let expected = [[true; 3], [false, false, true], [false, true, false], [true, false, false], [true; 3]];
            assert_eq!([lit(0), lit(1), lit(2)], expected[label.unwrap() as usize % 5], "image {index}");
            let border = |place: usize| [place % 48, place / 48].iter().any(|at| [0, 47].contains(at));
            let dark =
                (0..2304).filter(|&place| border(place)).all(|place| (0..3).all(|c| pixels[c * 2304 + place] == 0));
            assert!(dark, "image {index} touches the border");
        }
    }

    #[test]
    fn a_filled_square_covers_its_area() {
        // Anti-aliasing by distance errs at the corners only, by a fraction of a pixel each.
        let draws = [0.5, 0.1, 0.5, 0.5];
        let figure = Figure::place(15 + 10, 48.0, &draws);
        let sum: f64 = figure.render(48)[..2304].iter().map(|&value| f64::from(value) / 255.0).sum();
        let area = (2.0 * figure.half_side()).powi(2);
        assert!((sum - area).abs() < 2.0, "{sum} against {area}");
    }

    #[test]
    fn the_bytes_of_a_seed_do_not_change_between_versions() {
        let mut digest = blake3::Hasher::new();
        (0..60).for_each(|index| {
            digest.update(&example(index, 48, 0).pixels);
        });
        assert_eq!(&digest.finalize().to_hex()[..16], "ae2d26e55db569bb");
    }

    #[test]
    fn requests_that_cannot_be_met_are_errors() {
        assert!(parts(9, 48, 0).is_err());
        assert!(parts(100, 15, 0).is_err());
        assert!(parts(100, 5000, 0).is_err());
    }
}
