//! Batches of several shapes as arrays of one: an axis of length 1 stands for every length (NumPy's broadcasting).
//!
//! The transposed operation sums over the axes that were broadcast. [`resized`] is both, whichever the shapes ask for.
//!
//! ```
//! use obverse::ops::broadcast::resized;
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![1.0f64, 2.0, 3.0, 4.0], (1, 2, 1, 2));
//! assert_eq!(view(&resized(&mut Tape::off(), &x, (1, 1, 1, 2), 0.5)), [2.0, 3.0]);
//! assert_eq!(view(&resized(&mut Tape::off(), &x, (1, 2, 2, 2), 1.0)), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
//! ```

mod fold;

use super::record_transpose;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Shape, Tape, batch, filled_in_chunks, shape, view};

pub(crate) use fold::{Fold, Largest, Product, Smallest, Sum, folded};

/// Values that are computed at once: few enough that they stay in the first cache.
const BLOCK: usize = 1024;

/// The shape that these all broadcast to.
///
/// # Panics
/// For axes of two lengths that are neither equal nor 1.
pub(crate) fn common<const K: usize>(shapes: [Shape; K]) -> Shape {
    let axes: [usize; 4] = std::array::from_fn(|axis| {
        let found = shapes.map(|shape| lengths(shape)[axis]);
        let length = found.into_iter().find(|&length| length != 1).unwrap_or(1);
        let fits = found.into_iter().all(|other| other == length || other == 1);
        assert!(fits, "broadcast: expected axes that are equal or of length 1, found {shapes:?}");
        length
    });
    axes.into()
}

pub(crate) fn lengths((n, h, w, c): Shape) -> [usize; 4] {
    [n, h, w, c]
}

/// The number of values of a shape.
pub(crate) fn count(shape: Shape) -> usize {
    lengths(shape).iter().product()
}

/// An axis, or several next to each other that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Merged {
    /// Places along it.
    length: usize,
    /// Whether the smaller shape has it; else its one place stands for all.
    kept: bool,
}

/// The axes of a shape, those next to each other merged that the smaller shape has or has not; at the front axes of length 1.
fn merged(shape: Shape, smaller: Shape) -> [Merged; 4] {
    let mut result = [Merged { length: 1, kept: true }; 4];
    let mut first = 4;
    let axes = lengths(shape).into_iter().zip(lengths(smaller)).rev();
    for (length, own) in axes.filter(|&(length, _)| length != 1) {
        let kept = own == length;
        match result.get_mut(first) {
            Some(inner) if inner.kept == kept => inner.length *= length,
            _ => {
                first -= 1;
                result[first] = Merged { length, kept };
            }
        }
    }
    result
}

/// Values as those of a larger shape.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, E> {
    values: &'a [E],
    /// The innermost axis.
    inner: Merged,
    /// Those around it, from the outside, and how far a step along each goes.
    outer: [(usize, usize); 3],
}

impl<'a, E: Element> Operand<'a, E> {
    /// Values of a shape, as those of the shape `whole` that it broadcasts to.
    pub(crate) fn new(values: &'a [E], own: Shape, whole: Shape) -> Self {
        let [rest @ .., inner] = merged(whole, own);
        let mut stride = if inner.kept { inner.length } else { 1 };
        let mut outer = rest.map(|axis| (axis.length, 0));
        for (axis, (length, step)) in rest.iter().zip(&mut outer).rev() {
            if axis.kept {
                *step = stride;
                stride *= *length;
            }
        }
        Self { values, inner, outer }
    }

    /// A batch as one of the shape `whole`.
    pub(crate) fn of(x: &'a Batch<E>, whole: Shape) -> Self {
        Self::new(view(x), shape(x), whole)
    }

    /// The values from place `start` on, copied.
    pub(crate) fn fill(&self, start: usize, mut out: &mut [E]) {
        let (length, mut skipped) = (self.inner.length.max(1), start % self.inner.length.max(1));
        let (mut row, mut taken, mut at) = (start / length, [0; 3], 0);
        for ((steps, step), taken) in self.outer.iter().zip(&mut taken).rev() {
            *taken = row % steps;
            row /= steps;
            at += *taken * step;
        }
        while !out.is_empty() {
            let (now, rest) = out.split_at_mut((length - skipped).min(out.len()));
            match self.inner.kept {
                true => now.copy_from_slice(&self.values[at + skipped..][..now.len()]),
                false => now.fill(self.values[at]),
            }
            (out, skipped) = (rest, 0);
            for ((steps, step), taken) in self.outer.iter().zip(&mut taken).rev() {
                *taken += 1;
                at += step;
                if *taken < *steps {
                    break;
                }
                at -= step * steps;
                *taken = 0;
            }
        }
    }

    /// The values from place `start` on, where they lie or in `scratch`.
    fn block<'b>(&'b self, start: usize, scratch: &'b mut [E]) -> &'b [E] {
        if self.inner.kept
            && self.inner.length == self.values.len()
            && self.outer.iter().all(|&(length, _)| length == 1)
        {
            return &self.values[start..start + scratch.len()];
        }
        self.fill(start, scratch);
        scratch
    }

    /// Puts f of each value of `out` and the value here, from place `start` on, into `out`.
    #[inline]
    pub(crate) fn each(&self, start: usize, out: &mut [E], f: impl Fn(E, E) -> E) {
        let mut scratch = [E::zero(); BLOCK];
        let values = self.block(start, &mut scratch[..out.len()]);
        out.iter_mut().zip(values).for_each(|(out, &value)| *out = f(*out, value));
    }

    /// Multiplies `out` by the values from place `start` on.
    pub(crate) fn multiply(&self, start: usize, out: &mut [E]) {
        self.each(start, out, |out, value| out * value);
    }
}

/// The values of a shape that `source` computes, a block at a time: it gets the place of the block's first value.
pub(crate) fn evaluated<E: Element>(shape: Shape, source: impl Fn(usize, &mut [E]) + Sync + Send) -> Vec<E> {
    filled_in_chunks(
        count(shape),
        GRAIN,
        || (),
        |(), chunk, part| {
            let starts = (chunk * GRAIN..).step_by(BLOCK);
            starts.zip(part.chunks_mut(BLOCK)).for_each(|(start, block)| source(start, block));
        },
    )
}

/// `factor` x as a batch of this shape: an axis of length 1 is repeated, and one that is to be of length 1 summed over.
pub fn resized<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, to: Shape, factor: f64) -> Batch<E> {
    let from = shape(x);
    if from == to && factor == 1.0 {
        return x.clone();
    }
    let there = on_device(tape, &[x], to, |_, x| {
        let (from, to) = (lengths(from), lengths(to));
        let summed: Vec<usize> = (0..4).filter(|&axis| to[axis] == 1 && from[axis] != 1).collect();
        (x[0].sum(&summed) * factor).expand(&to)
    });
    if let Some(y) = there {
        return y;
    }
    let y = batch(resized_values(view(x), from, to, E::of(factor)), to);
    record_transpose(tape, x, &y, move |upstream| resized_values(upstream, to, from, E::of(factor)));
    y
}

fn resized_values<E: Element>(x: &[E], from: Shape, to: Shape, factor: E) -> Vec<E> {
    let whole = common([from, to]);
    let scaled = |mut values: Vec<E>| {
        values.iter_mut().for_each(|value| *value *= factor);
        values
    };
    // The fewer values are multiplied.
    let small = (factor != E::one() && count(from) < count(to)).then(|| scaled(x.to_vec()));
    let operand = Operand::new(small.as_deref().unwrap_or(x), from, whole);
    let values = folded::<E, Sum>(whole, to, |start, out| operand.fill(start, out));
    if small.is_none() && factor != E::one() { scaled(values) } else { values }
}

#[cfg(test)]
mod tests;
