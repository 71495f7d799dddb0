//! The values of each image in another order: seen as an array of some axes, its axes put in another order, and read as an image again.
//!
//! Transpositions, pixel shuffles, windows of an image and the heads of attention are of this kind. An order that moves nothing gives a
//! view of the same memory; otherwise runs of values that stay together are copied, or tiles transposed.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::rearrange::rearrange;
//! // Two rows of three values, as three rows of two.
//! let x = batch(vec![1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], (1, 2, 3, 1));
//! let y = rearrange(&mut Tape::off(), &x, &[2, 3], &[1, 0], (3, 2, 1));
//! assert_eq!(view(&y), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
//! ```

use rayon::prelude::*;

use super::loops::{Loop, count, merged, places};
use super::record_transpose;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, filled_in_chunks, image_len, shape, view};

/// Tiles that are transposed are this long both ways: for f32 a line of the cache.
const TILE: usize = 16;

/// Each image of x (N, H, W, C), seen in memory order as an array of `axes`, these put in `order` (axis k of the result is axis
/// `order[k]`), and read as an image of `size`, (height, width, channels).
pub fn rearrange<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    axes: &[usize],
    order: &[usize],
    size: (usize, usize, usize),
) -> Batch<E> {
    let to = (shape(x).0, size.0, size.1, size.2);
    let elements: usize = axes.iter().product();
    let fits = elements == image_len(x) && elements == size.0 * size.1 * size.2;
    assert!(fits, "rearrange: expected images of {elements} values, found {:?} and {size:?}", shape(x));
    let permutation = Permutation::new(axes, order);
    if permutation.is_identity() {
        // The same memory under the same name, so that gradients of one are those of the other.
        if let Some(y) = x.seen_as(to) {
            return y;
        }
    }
    let there = on_device(tape, &[x], to, |_, x| {
        let lengths: Vec<usize> = std::iter::once(to.0).chain(axes.iter().copied()).collect();
        let order: Vec<usize> = std::iter::once(0).chain(order.iter().map(|axis| axis + 1)).collect();
        x[0].reshape(&lengths).permute(&order)
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(permutation.apply(view(x)), to);
    record_transpose(tape, x, &y, move |upstream| permutation.inverse().apply(upstream));
    y
}

/// The order that undoes `order`.
pub(crate) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
    inverse
}

/// Axes of arrays put in another order.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    /// The lengths of the axes.
    axes: Vec<usize>,
    /// Which of them come first, second, …
    order: Vec<usize>,
}

impl Permutation {
    pub fn new(axes: &[usize], order: &[usize]) -> Self {
        debug_assert_eq!(axes.len(), order.len());
        Self { axes: axes.to_vec(), order: order.to_vec() }
    }

    pub fn inverse(&self) -> Self {
        Self { axes: self.order.iter().map(|&axis| self.axes[axis]).collect(), order: inverse(&self.order) }
    }

    /// Whether nothing moves.
    pub fn is_identity(&self) -> bool {
        self.loops(1).len() <= 1
    }

    /// The fewest loops that visit the values of `arrays` arrays in their new order.
    fn loops(&self, arrays: usize) -> Vec<Loop<1>> {
        let stride = |axis: usize| self.axes[axis + 1..].iter().product();
        let whole = Loop { steps: arrays, strides: [self.axes.iter().product()] };
        let inner = self.order.iter().map(|&axis| Loop { steps: self.axes[axis], strides: [stride(axis)] });
        merged(std::iter::once(whole).chain(inner))
    }

    /// As many arrays as there are values for, one after the other, each with its axes in the new order.
    pub fn apply<E: Element>(&self, values: &[E]) -> Vec<E> {
        let loops = self.loops(values.len() / self.axes.iter().product::<usize>().max(1));
        if loops.len() <= 1 {
            return values.to_vec();
        }
        match loops.iter().position(|each| each.strides == [1]) {
            Some(inner) if inner + 1 < loops.len() => transposed(values, &loops, inner),
            _ => copied_in_runs(values, &loops),
        }
    }
}

/// The innermost loop goes over neighbours: they are copied together.
fn copied_in_runs<E: Element>(values: &[E], loops: &[Loop<1>]) -> Vec<E> {
    let (outer, run) = (&loops[..loops.len() - 1], loops[loops.len() - 1].steps);
    let runs = GRAIN.div_ceil(run);
    let nothing = || ();
    filled_in_chunks(values.len(), runs * run, nothing, |(), chunk, result| {
        for (result, [at]) in result.chunks_exact_mut(run).zip(places(outer, chunk * runs)) {
            result.copy_from_slice(&values[at..at + run]);
        }
    })
}

/// The values that the loops visit, in their order; loop number `inner` goes over neighbours: transposed in tiles of it and of the loops
/// within it.
pub(super) fn transposed<E: Element>(values: &[E], loops: &[Loop<1>], inner: usize) -> Vec<E> {
    let (outer, rows, within) = (&loops[..inner], loops[inner].steps, &loops[inner + 1..]);
    let columns = count(within);
    let mut result = vec![E::zero(); count(loops)];
    let blocks = result.par_chunks_mut(rows * columns).with_min_len(GRAIN.div_ceil(rows * columns)).enumerate();
    blocks.for_each(|(block, result)| {
        let [first] = super::loops::place(outer, block);
        let strips = result.par_chunks_mut(TILE * columns).with_min_len(GRAIN.div_ceil(TILE * columns)).enumerate();
        strips.for_each(|(strip, result)| transpose_strip(&values[first + strip * TILE..], within, columns, result));
    });
    result
}

/// Rows of the result, at most a tile's, of `columns` values each: row i is that of the values from i on.
fn transpose_strip<E: Element>(values: &[E], within: &[Loop<1>], columns: usize, result: &mut [E]) {
    let rows = result.len() / columns;
    let mut tile = [[E::zero(); TILE]; TILE];
    let mut places = places(within, 0);
    for first in (0..columns).step_by(TILE) {
        let width = TILE.min(columns - first);
        for (tile, [at]) in tile.iter_mut().zip(places.by_ref().take(width)) {
            tile[..rows].copy_from_slice(&values[at..at + rows]);
        }
        for (row, result) in result.chunks_exact_mut(columns).enumerate() {
            result[first..first + width].iter_mut().zip(&tile).for_each(|(result, tile)| *result = tile[row]);
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::arithmetic::combine;
    use crate::ops::checks::{check_directions, normal};
    use crate::tensor::{Tape, backward, gradient};

    /// By the definition, value by value.
    fn by_hand(values: &[f64], axes: &[usize], order: &[usize]) -> Vec<f64> {
        let image: usize = axes.iter().product();
        let stride = |axis: usize| axes[axis + 1..].iter().product::<usize>();
        let source = |mut number: usize| {
            let axes = order.iter().rev().map(|&axis| (axis, number % axes[axis], number /= axes[axis]));
            axes.map(|(axis, at, ())| at * stride(axis)).sum::<usize>()
        };
        (0..values.len()).map(|i| values[i / image * image + source(i % image)]).collect()
    }

    #[test]
    fn every_order_of_short_and_long_axes_is_that_of_the_definition() {
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3], [0, 2, 1, 3], [2, 3, 0, 1], [0, 3, 1, 2], [1, 3, 0, 2]];
        for axes in [[2, 3, 4, 5], [1, 17, 1, 33], [3, 40, 2, 16], [19, 1, 35, 6], [70, 70, 4, 3]] {
            let elements: usize = axes.iter().product();
            for (order, images) in orders.iter().flat_map(|order| [(order, 1), (order, 3)]) {
                let x: Batch<f64> = normal("x", (images, elements, 1, 1));
                let y = rearrange(&mut Tape::off(), &x, &axes, order, (1, 1, elements));
                assert_eq!(view(&y), by_hand(view(&x), &axes, order), "{axes:?} {order:?}");
                let back = Permutation::new(&axes, order).inverse().apply(view(&y));
                assert_eq!(back, view(&x), "{axes:?} {order:?}");
            }
        }
    }

    #[test]
    fn an_order_that_moves_nothing_gives_the_same_memory_and_passes_gradients_on() {
        let x: Batch<f64> = normal("x", (2, 2, 3, 4));
        let mut tape = Tape::recording();
        // Axes of length 1 change places.
        let y = rearrange(&mut tape, &x, &[6, 1, 4], &[1, 0, 2], (1, 4, 6));
        assert_eq!((shape(&y), view(&y).as_ptr()), ((2, 1, 4, 6), view(&x).as_ptr()));
        let back = rearrange(&mut tape, &y, &[24], &[0], (2, 3, 4));
        let sum = combine(&mut tape, 2.0, &back, 3.0, &x);
        let mut gradients = backward(tape, &sum, vec![1.0; 48]);
        assert_eq!(gradient(&mut gradients, &x), [5.0; 48]);
    }

    #[test]
    fn the_directions_are_transposed() {
        let (axes, order) = ([2, 3, 2, 2], [1, 3, 0, 2]);
        let back: Vec<usize> = order.iter().map(|&axis| axes[axis]).collect();
        check_directions(
            &normal("x", (2, 3, 4, 2)),
            |tape, x| rearrange(tape, x, &axes, &order, (6, 2, 2)),
            |tape, cotangent, _| rearrange(tape, cotangent, &back, &inverse(&order), (3, 4, 2)),
        );
    }
}
