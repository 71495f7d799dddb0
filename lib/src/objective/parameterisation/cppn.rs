//! A network from coordinates to colours whose weights are s (compositional pattern-producing network).
//!
//! A pixel's x and y, each evenly spaced over ±sqrt 3 so that their deviation is 1, pass 8 layers of 24 linear units, each
//! followed by a = atan(z). The next layer gets a / 0.67 and (a^2 - 0.45) / 0.396, both of mean 0 and deviation 1 for a standard
//! normal z (without the shift the means pile up over the layers until all pixels are alike). A linear layer and a
//! sigmoid follow. s holds each layer's weight (outputs, inputs) and bias. Source: Mordvintsev et al. 2018; sizes, constants and
//! initial values are Lucid's `image_cppn`.

use std::ops::Range;

use rayon::prelude::*;

use super::{Parameterisation, Point, vectors};
use crate::net::Size;
use crate::ops::accumulate;
use crate::ops::activation::sigmoid;
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, shape, view};

/// Hidden layers.
const LAYERS: usize = 8;
/// Linear units of a hidden layer.
const UNITS: usize = 24;
/// The deviation of a for a standard normal z.
const DEVIATION: f64 = 0.67;
/// Mean and deviation of a^2.
const SQUARE: (f64, f64) = (0.45, 0.396);
/// Pixels that pass the network together: their values stay in cache.
const BLOCK: usize = 512;

/// The weights of a network of coordinates.
#[derive(Clone, Debug)]
pub struct Cppn {
    size: Size,
    layers: Vec<Layer>,
}

/// A linear layer's sizes and where its weight and bias lie in s.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    weight: Range<usize>,
    bias: Range<usize>,
}

/// What the layers keep of a block of pixels: each layer's inputs and its linear units z.
struct Activity<E> {
    inputs: Vec<Vec<E>>,
    units: Vec<Vec<E>>,
}

impl Cppn {
    /// Networks for images of this size.
    pub fn new(size: Size) -> Self {
        let mut layers: Vec<Layer> = Vec::with_capacity(LAYERS + 1);
        for number in 0..=LAYERS {
            let inputs = if number == 0 { 2 } else { 2 * UNITS };
            let outputs = if number == LAYERS { size.channels } else { UNITS };
            let start = layers.last().map_or(0, |layer| layer.bias.end);
            let weight = start..start + inputs * outputs;
            layers.push(Layer { inputs, outputs, bias: weight.end..weight.end + outputs, weight });
        }
        Self { size, layers }
    }

    fn pixels(&self) -> usize {
        self.size.height * self.size.width
    }

    fn length(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.end)
    }

    /// x and y of pixels in row order.
    fn coordinates<E: Element>(&self, pixels: Range<usize>) -> Vec<E> {
        let along = |index: usize, count: usize| {
            let share = if count > 1 { index as f64 / (count - 1) as f64 } else { 0.5 };
            E::of(3f64.sqrt() * (2.0 * share - 1.0))
        };
        let Size { height, width, .. } = self.size;
        pixels.flat_map(|pixel| [along(pixel % width, width), along(pixel / width, height)]).collect()
    }

    /// The linear units of every layer for some pixels; the last layer's are the colours before the sigmoid.
    fn activity<E: Element>(&self, s: &[E], pixels: Range<usize>) -> Activity<E> {
        let mut inputs = vec![self.coordinates(pixels.clone())];
        let mut units: Vec<Vec<E>> = Vec::with_capacity(self.layers.len());
        for (number, layer) in self.layers.iter().enumerate() {
            let z = layer.forward(s, &inputs[number], pixels.len());
            if number < LAYERS {
                inputs.push(composite(&z));
            }
            units.push(z);
        }
        Activity { inputs, units }
    }

    /// The gradient of s for cotangents of some pixels' colours.
    fn gradient<E: Element>(&self, s: &[E], pixels: Range<usize>, cotangent: &[E]) -> Vec<E> {
        let Activity { inputs, units } = self.activity(s, pixels);
        let mut gradient = vec![E::zero(); self.length()];
        let colours = cotangent.iter().zip(&units[LAYERS]);
        let mut cotangent: Vec<E> = colours.map(|(&cotangent, &z)| cotangent * slope(sigmoid(z))).collect();
        for (number, layer) in self.layers.iter().enumerate().rev() {
            layer.add_gradient(&mut gradient, &cotangent, &inputs[number]);
            if number > 0 {
                cotangent = pull_composite(&layer.pullback(s, &cotangent), &inputs[number], &units[number - 1]);
            }
        }
        gradient
    }

    /// Block `number` of an image's pixels.
    fn block(&self, number: usize) -> Range<usize> {
        number * BLOCK..((number + 1) * BLOCK).min(self.pixels())
    }
}

impl Layer {
    /// z = W x + b, one row for each of `pixels`.
    fn forward<E: Element>(&self, s: &[E], x: &[E], pixels: usize) -> Vec<E> {
        let mut z: Vec<E> = s[self.bias.clone()].repeat(pixels);
        let weight = Matrix::new(&s[self.weight.clone()], self.outputs, self.inputs).transposed();
        product_in_place(Target::new(&mut z, self.outputs), Matrix::new(x, pixels, self.inputs), weight, Write::Add);
        z
    }

    /// Cotangents of x for those of z.
    fn pullback<E: Element>(&self, s: &[E], cotangent: &[E]) -> Vec<E> {
        let pixels = cotangent.len() / self.outputs;
        let mut result = vec![E::zero(); pixels * self.inputs];
        let weight = Matrix::new(&s[self.weight.clone()], self.outputs, self.inputs);
        let cotangent = Matrix::new(cotangent, pixels, self.outputs);
        product_in_place(Target::new(&mut result, self.inputs), cotangent, weight, Write::Replace);
        result
    }

    fn add_gradient<E: Element>(&self, gradient: &mut [E], cotangent: &[E], x: &[E]) {
        let pixels = cotangent.len() / self.outputs;
        for pixel in cotangent.chunks_exact(self.outputs) {
            gradient[self.bias.clone()].iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
        }
        let target = Target::new(&mut gradient[self.weight.clone()], self.inputs);
        let cotangent = Matrix::new(cotangent, pixels, self.outputs).transposed();
        product_in_place(target, cotangent, Matrix::new(x, pixels, self.inputs), Write::Add);
    }
}

/// y (1 - y): the slope of a sigmoid where it is y.
fn slope<E: Element>(y: E) -> E {
    y * (E::one() - y)
}

/// For each row of z: all a / 0.67, then all (a^2 - 0.45) / 0.396, a = atan(z).
fn composite<E: Element>(z: &[E]) -> Vec<E> {
    let (first, mean, second) = (E::of(1.0 / DEVIATION), E::of(SQUARE.0), E::of(1.0 / SQUARE.1));
    let mut result = vec![E::zero(); 2 * z.len()];
    for (result, z) in result.chunks_exact_mut(2 * UNITS).zip(z.chunks_exact(UNITS)) {
        let (odd, even) = result.split_at_mut(UNITS);
        for ((odd, even), z) in odd.iter_mut().zip(even).zip(z) {
            let a = z.atan();
            (*odd, *even) = (a * first, (a * a - mean) * second);
        }
    }
    result
}

/// Cotangents of z for those of [`composite`], whose result was `y`.
fn pull_composite<E: Element>(cotangent: &[E], y: &[E], z: &[E]) -> Vec<E> {
    let (first, second) = (E::of(1.0 / DEVIATION), E::of(2.0 * DEVIATION / SQUARE.1));
    let mut result = vec![E::zero(); z.len()];
    let rows = cotangent.chunks_exact(2 * UNITS).zip(y.chunks_exact(2 * UNITS)).zip(z.chunks_exact(UNITS));
    for (result, ((cotangent, y), z)) in result.chunks_exact_mut(UNITS).zip(rows) {
        let (odd, even) = cotangent.split_at(UNITS);
        for ((((result, &odd), &even), &y), &z) in result.iter_mut().zip(odd).zip(even).zip(y).zip(z) {
            // a is 0.67 y, which spares the arc tangent.
            *result = (odd * first + even * second * y) / (E::one() + z * z);
        }
    }
    result
}

impl<E: Element> Parameterisation<E> for Cppn {
    fn parameters(&self) -> usize {
        self.length()
    }

    fn image_size(&self) -> Size {
        self.size
    }

    /// Weights of variance 1 / inputs; biases and the last layer zero, so that every image starts grey.
    fn initial(&self, stream: Stream, images: Range<usize>) -> Batch<E> {
        let length = self.length();
        let mut s: Vec<E> = stream.normal(images.start * length..images.end * length);
        for s in s.chunks_exact_mut(length) {
            for (number, layer) in self.layers.iter().enumerate() {
                let deviation = if number < LAYERS { (1.0 / layer.inputs as f64).sqrt() } else { 0.0 };
                s[layer.weight.clone()].iter_mut().for_each(|value| *value *= E::of(deviation));
                s[layer.bias.clone()].fill(E::zero());
            }
        }
        vectors(s, length)
    }

    fn at<'a>(&'a self, s: &Batch<E>) -> Point<'a, E> {
        let Size { channels, height, width } = self.size;
        let (n, length, image) = (shape(s).0, self.length(), self.size.elements());
        let blocks = self.pixels().div_ceil(BLOCK);
        let mut images = vec![E::zero(); n * image];
        let chunks = images.chunks_mut(image).zip(view(s).chunks_exact(length));
        let chunks = chunks.flat_map(|(image, s)| image.chunks_mut(BLOCK * channels).map(move |chunk| (chunk, s)));
        let chunks: Vec<(&mut [E], &[E])> = chunks.collect();
        chunks.into_par_iter().enumerate().for_each(|(number, (chunk, s))| {
            let Activity { units, .. } = self.activity(s, self.block(number % blocks));
            chunk.iter_mut().zip(&units[LAYERS]).for_each(|(value, &z)| *value = sigmoid(z));
        });
        let s = s.clone();
        Point::new(batch(images, (n, height, width, channels)), move |cotangent| {
            let s = view(&s);
            let images = view(cotangent).par_chunks(image).enumerate();
            let gradients = images.map(|(number, cotangent)| {
                let s = if n == 1 { s } else { &s[number * length..][..length] };
                let parts = (0..blocks).into_par_iter().map(|block| {
                    let pixels = self.block(block);
                    self.gradient(s, pixels.clone(), &cotangent[pixels.start * channels..pixels.end * channels])
                });
                // Summed in the order of the blocks, whatever thread made them.
                let parts: Vec<Vec<E>> = parts.collect();
                parts.into_iter().reduce(added).unwrap_or_default()
            });
            let gradients: Vec<Vec<E>> = gradients.collect();
            vectors(gradients.concat(), length)
        })
    }
}

fn added<E: Element>(mut sum: Vec<E>, part: Vec<E>) -> Vec<E> {
    accumulate(&mut sum, &part);
    sum
}

#[cfg(test)]
mod tests {
    use super::super::checks::check_start;
    use super::*;
    use crate::ops::checks::{assert_close, normal, repeated};

    #[test]
    fn the_gradient_is_that_of_central_differences_in_random_directions() {
        // 25 x 24 pixels are more than one block.
        let map = Cppn::new(Size::new(3, 25, 24));
        let s: Batch<f64> = normal("s", (1, 1, 1, map.length()));
        let s = batch(view(&s).iter().map(|value| 0.2 * value).collect(), shape(&s));
        let cotangent = normal("cotangent", (2, 25, 24, 3));
        let pulled = map.at(&s).pullback(&cotangent);
        let double = map.at(&repeated(&s, 2)).pullback(&cotangent);
        assert_close(view(&pulled), view(&double), 1e-13);
        let moved = |direction: &[f64], by: f64| {
            let values = view(&s).iter().zip(direction).map(|(value, along)| value + by * along).collect();
            map.at(&batch(values, shape(&s))).images().clone()
        };
        for direction in 0..10 {
            let direction: Vec<f64> = Stream::new(direction, "direction", 0).normal(0..map.length());
            let (ahead, behind) = (moved(&direction, 1e-7), moved(&direction, -1e-7));
            for (cotangent, pulled) in view(&cotangent).chunks(1800).zip(view(&pulled).chunks(map.length())) {
                let pairs = view(&ahead).iter().zip(view(&behind)).zip(cotangent);
                let difference: f64 = pairs.map(|((ahead, behind), c)| (ahead - behind) / 2e-7 * c).sum();
                let expected: f64 = pulled.iter().zip(&direction).map(|(pulled, along)| pulled * along).sum();
                // The step's error, 1e-14 of third derivatives up to the power of the depth, and rounding, 1e-16 / 1e-7.
                assert!((difference - expected).abs() < 1e-6 * expected.abs().max(1.0), "{difference} {expected}");
            }
        }
    }

    #[test]
    fn every_image_starts_grey() {
        let map = Cppn::new(Size::new(1, 3, 2));
        check_start(&map, &map);
        let s: Batch<f32> = map.initial(Stream::new(0, "start", 0), 0..2);
        assert_eq!(view(map.at(&s).images()), [0.5; 12]);
    }
}
