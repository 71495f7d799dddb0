//! The arrays that operations work on: four axes, channels last, (N, H, W, C). A vector is (N, 1, 1, F).
//!
//! The values are a dfdx tensor, or lie on a device ([`mod@device`]); what reads them finds them where it computes.
//! The tape is passed to operations, not carried by tensors; [`backward`] runs it from any tensor and cotangent.

mod array;
mod call;
mod chunks;
pub mod device;
pub mod memory;
pub mod random;
mod special;
mod tape;
mod vectors;

use std::sync::OnceLock;

use dfdx::prelude::{Cpu, Dtype, Tensor, TensorFromVec};
use num_traits::Float;
use rayon::prelude::*;

pub use array::{Batch, Ghost};
pub use call::Call;
pub(crate) use call::call;
pub(crate) use chunks::filled_in_chunks;
pub use tape::{Gradients, Tape, backward, backward_from, gradient, gradient_there};

/// The shape of a [`Batch`]: images, height, width, channels.
pub type Shape = (usize, usize, usize, usize);

/// Values in the processor's memory.
pub(crate) type Host<E> = Tensor<Shape, E, Cpu>;

/// The number of elements below which splitting element-wise work over threads costs more than it saves.
pub(crate) const GRAIN: usize = 1 << 14;

/// The numbers a network computes with: f32, or f64 for gradient checks and ill-conditioned problems.
pub trait Element: Dtype + Float + std::iter::Sum + bytemuck::Pod + vectors::Vectors {
    /// The name in command lines and sidecars.
    const NAME: &'static str;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The value as f64.
    fn wide(self) -> f64;

    /// e^x, in f32 by operations that a compiler turns into vectors: within 2 units in the last place, 0 below -87 and
    /// e^88 above 88.
    fn exponential(self) -> Self;

    /// The error function, in f32 by operations that a compiler turns into vectors: within 2e-7 of its size.
    fn error_function(self) -> Self;

    /// 1 less the error function, without cancellation.
    fn complementary_error_function(self) -> Self;

    /// Calls the function for this type.
    fn call<C: Call>(arguments: C::Arguments<Self>) -> C::Output<Self>;
}

impl Element for f32 {
    const NAME: &'static str = "f32";

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn exponential(self) -> Self {
        exponential(self)
    }

    #[inline(always)]
    fn error_function(self) -> Self {
        special::erf(self)
    }

    #[inline(always)]
    fn complementary_error_function(self) -> Self {
        special::erfc(self)
    }

    #[inline(always)]
    fn call<C: Call>(arguments: C::Arguments<Self>) -> C::Output<Self> {
        C::single(arguments)
    }
}

/// e^x = 2^n e^r, n the integer next to x / ln 2, |r| <= ln 2 / 2; the polynomial is that of Cephes' `expf`.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    /// 1.5 * 2^23: a number of small size added to it is rounded to an integer, which its lowest bits then hold.
    const ROUNDER: f32 = 12_582_912.0;
    let within = x.clamp(-87.0, 88.0);
    let rounded = within * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    // ln 2 in two parts, the first of few bits, so that n times it is exact.
    let r = within - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let polynomial =
        ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1) * r
            + 0.5;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let value = (polynomial * r * r + r + 1.0) * power;
    // `max` drops a NaN, which must not be lost; and far below zero nothing is left.
    if x < -87.0 {
        0.0
    } else if x.is_nan() {
        x
    } else {
        value
    }
}

impl Element for f64 {
    const NAME: &'static str = "f64";

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exponential(self) -> Self {
        self.exp()
    }

    fn error_function(self) -> Self {
        libm::erf(self)
    }

    fn complementary_error_function(self) -> Self {
        libm::erfc(self)
    }

    #[inline(always)]
    fn call<C: Call>(arguments: C::Arguments<Self>) -> C::Output<Self> {
        C::double(arguments)
    }
}

/// dfdx's one handle; a handle of its own for each tensor would seed a generator each time.
fn processor() -> &'static Cpu {
    static DEVICE: OnceLock<Cpu> = OnceLock::new();
    DEVICE.get_or_init(Cpu::default)
}

/// A tensor that takes over `values`, channels last; there must be as many as the shape says.
pub fn batch<E: Element>(values: Vec<E>, shape: Shape) -> Batch<E> {
    let expected =
        [shape.0, shape.1, shape.2, shape.3].iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    assert!(expected == Some(values.len()), "batch: expected the values of shape {shape:?}, found {}", values.len());
    Batch::from_host(processor().tensor_from_vec(values, shape))
}

/// A tensor of zeros.
pub fn zeros<E: Element>(shape: Shape) -> Batch<E> {
    batch(vec![E::zero(); shape.0 * shape.1 * shape.2 * shape.3], shape)
}

/// The shape (N, H, W, C).
pub fn shape<E: Element>(x: &Batch<E>) -> Shape {
    x.shape()
}

/// The number of values.
pub(crate) fn count<E: Element>(x: &Batch<E>) -> usize {
    shape(x).0 * image_len(x)
}

/// The number of values in one image of the batch.
pub fn image_len<E: Element>(x: &Batch<E>) -> usize {
    let (_, h, w, c) = shape(x);
    h * w * c
}

/// The values in memory order, without a copy where they lie in the processor's memory. Those of a device are fetched once.
pub fn view<E: Element>(x: &Batch<E>) -> &[E] {
    array::view(x.host())
}

/// The values in memory order, mutable. Copied first if another tensor shares them; what lies on a device is forgotten.
pub fn view_mut<E: Element>(x: &mut Batch<E>) -> &mut [E] {
    array::view_mut(x.host_mut())
}

/// Channels first, (N, C, H, W), to channels last, (N, H, W, C).
///
/// ```
/// use obverse::tensor::channels_last;
/// assert_eq!(channels_last(&[1, 2, 3, 4, 5, 6], (1, 1, 3, 2)), [1, 4, 2, 5, 3, 6]);
/// ```
pub fn channels_last<T: Copy + Send + Sync + Default>(values: &[T], shape: Shape) -> Vec<T> {
    let (_, h, w, c) = shape;
    transpose_images(values, c, h * w)
}

/// Channels last, (N, H, W, C), to channels first, (N, C, H, W); `shape` is (N, H, W, C).
pub fn channels_first<T: Copy + Send + Sync + Default>(values: &[T], shape: Shape) -> Vec<T> {
    let (_, h, w, c) = shape;
    transpose_images(values, h * w, c)
}

/// Matrices of `rows` x `columns`, one after another, each transposed.
pub(crate) fn transpose_images<T: Copy + Send + Sync + Default>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    // Squares of this side are turned in a small copy, so that both sides are read and written in runs.
    const TILE: usize = 16;
    if rows == 1 || columns == 1 || values.is_empty() {
        return values.to_vec();
    }
    let mut result = vec![T::default(); values.len()];
    let image = rows * columns;
    let images = result.par_chunks_mut(image).zip(values.par_chunks(image)).with_min_len(GRAIN.div_ceil(image));
    images.for_each(|(result, values)| {
        let strips = result.par_chunks_mut(TILE * rows).enumerate().with_min_len(GRAIN.div_ceil(TILE * rows));
        strips.for_each(|(strip, result)| {
            let mut tile = [[T::default(); TILE]; TILE];
            let (first, width) = (strip * TILE, result.len() / rows);
            for (block, values) in values.chunks(TILE * columns).enumerate() {
                let height = values.len() / columns;
                for (tile, values) in tile.iter_mut().zip(values.chunks_exact(columns)) {
                    tile[..width].copy_from_slice(&values[first..first + width]);
                }
                for (column, result) in result.chunks_exact_mut(rows).enumerate() {
                    let run = &mut result[block * TILE..][..height];
                    run.iter_mut().zip(&tile).for_each(|(value, tile)| *value = tile[column]);
                }
            }
        });
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_inverse_to_each_other() {
        let values: Vec<u16> = (0..2 * 3 * 4 * 5).collect();
        let last = channels_last(&values, (2, 4, 5, 3));
        assert_eq!(last[0..3], [0, 20, 40]);
        assert_eq!(channels_first(&last, (2, 4, 5, 3)), values);
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        // Under Miri, which takes a thousand times as long, a few of them.
        for step in (-86_999..88_000).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let x = step as f32 * 1e-3;
            let expected = f64::from(x).exp();
            assert!((f64::from(x.exponential()) - expected).abs() <= 2.0 * f64::from(f32::EPSILON) * expected, "{x}");
        }
        assert_eq!([0f32, -88.0, f32::NEG_INFINITY].map(Element::exponential), [1.0, 0.0, 0.0]);
        assert!(f32::NAN.exponential().is_nan() && f32::INFINITY.exponential() > 1e38);
    }

    #[test]
    fn chunks_fill_all_values_and_each_is_zero_before() {
        for (length, chunk) in [(0, 3), (1, 3), (7, 3), (6, 3), (5, 0)] {
            let values: Vec<f32> = filled_in_chunks(
                length,
                chunk,
                || 1.0,
                |one, number, part| {
                    assert!(part.iter().all(|&value| value == 0.0));
                    part.iter_mut().for_each(|value| *value = *one + number as f32);
                },
            );
            let expected: Vec<f32> = (0..length).map(|place| 1.0 + (place / chunk.max(1)) as f32).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn transposed_in_strips_and_back_is_the_same() {
        let (images, rows, columns) = (2, 3, 37);
        let values: Vec<u32> = (0..images * rows * columns).collect();
        let there = transpose_images(&values, rows as usize, columns as usize);
        assert_eq!(there[1], columns);
        assert_eq!(transpose_images(&there, columns as usize, rows as usize), values);
    }

    #[test]
    fn backward_starts_from_any_tensor() {
        let x: Batch<f64> = batch(vec![1.0, 2.0], (1, 1, 1, 2));
        let mut gradients = backward(Tape::recording(), &x, vec![3.0, 4.0]);
        assert_eq!(gradient(&mut gradients, &x), [3.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "broadcast or permuted")]
    fn a_view_of_a_broadcast_tensor_is_refused() {
        use dfdx::prelude::{Axes3, BroadcastTo};
        let x: Tensor<(usize,), f32, Cpu> = processor().tensor_from_vec(vec![1.0, 2.0], (2,));
        let y: Host<f32> = x.broadcast_like::<_, Axes3<0, 1, 2>>(&(1000, 1, 1, 2));
        array::view(&y);
    }

    #[test]
    #[should_panic(expected = "broadcast or permuted")]
    fn a_view_of_a_permuted_tensor_is_refused() {
        use dfdx::prelude::{Axes4, PermuteTo};
        let x: Batch<f32> = zeros((1, 2, 3, 4));
        array::view(&x.host().clone().permute::<Shape, Axes4<0, 2, 1, 3>>());
    }

    #[test]
    #[should_panic(expected = "batch: expected the values of shape")]
    fn a_batch_of_too_few_values_is_refused() {
        let _: Batch<f32> = batch(vec![1.0], (1, 1, 1, 2));
    }

    #[test]
    fn a_view_to_be_changed_is_the_tensor_itself() {
        let mut x: Batch<f32> = zeros((1, 2, 2, 1));
        let kept = x.clone();
        view_mut(&mut x)[3] = 5.0;
        assert_eq!(view(&x), [0.0, 0.0, 0.0, 5.0]);
        assert_eq!(view(&kept), [0.0; 4]);
    }
}
