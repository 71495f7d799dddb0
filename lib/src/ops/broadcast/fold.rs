//! Sums, products and extremes over some axes of an array, of values that are computed where they are needed.
//!
//! Each result joins its values in an order that depends on the shape of the array alone.

use super::{BLOCK, Merged, count, evaluated, lengths, merged};
use crate::tensor::{Element, Shape, filled_in_chunks};

/// Values that a chunk of work joins.
const WORK: usize = 1 << 15;

/// How many rows are joined at once: where rows are long enough that what is left of them is little, and not so many that the errors of
/// a sum add up.
const ROWS: [usize; 2] = [64, 512];

/// Partial results of a row of values, so that its sum is vectorised.
const WAYS: usize = 16;

/// An associative operation.
pub(crate) trait Fold<E: Element>: 'static {
    /// What it joins to a value without changing it.
    fn start() -> E;

    /// The join of two values.
    fn join(a: E, b: E) -> E;
}

/// a + b.
pub(crate) struct Sum;

impl<E: Element> Fold<E> for Sum {
    fn start() -> E {
        E::zero()
    }

    #[inline(always)]
    fn join(a: E, b: E) -> E {
        a + b
    }
}

/// a b.
pub(crate) struct Product;

impl<E: Element> Fold<E> for Product {
    fn start() -> E {
        E::one()
    }

    #[inline(always)]
    fn join(a: E, b: E) -> E {
        a * b
    }
}

/// The larger one; a NaN is larger than any number.
pub(crate) struct Largest;

impl<E: Element> Fold<E> for Largest {
    fn start() -> E {
        E::neg_infinity()
    }

    #[inline(always)]
    fn join(a: E, b: E) -> E {
        if a > b || a.is_nan() { a } else { b }
    }
}

/// The smaller one; a NaN is smaller than any number.
pub(crate) struct Smallest;

impl<E: Element> Fold<E> for Smallest {
    fn start() -> E {
        E::infinity()
    }

    #[inline(always)]
    fn join(a: E, b: E) -> E {
        if a < b || a.is_nan() { a } else { b }
    }
}

/// The values of the shape `from` that `source` computes, joined over the axes that are 1 in `to`.
pub(crate) fn folded<E: Element, F: Fold<E>>(
    from: Shape,
    to: Shape,
    source: impl Fn(usize, &mut [E]) + Sync + Send,
) -> Vec<E> {
    if count(from) == 0 {
        return vec![F::start(); count(to)];
    }
    let axes = merged(from, to);
    let Some(last) = axes.iter().rposition(|axis| !axis.kept) else { return evaluated(from, source) };
    let product = |axes: &[Merged]| axes.iter().map(|axis| axis.length).product();
    let sizes = [product(&axes[..last]), axes[last].length, product(&axes[last + 1..])];
    let values = over_rows::<E, F>(sizes, &source);
    // The innermost axes are done: those that hold what follows.
    let mut left = lengths(from);
    let mut inner = 1;
    for (axis, target) in left.iter_mut().zip(lengths(to)).rev() {
        if inner >= sizes[1] * sizes[2] {
            break;
        }
        inner *= *axis;
        *axis = target;
    }
    let left = left.into();
    match left == to {
        true => values,
        false => folded::<E, F>(left, to, copied(&values)),
    }
}

/// A source of values that are there.
fn copied<E: Element>(values: &[E]) -> impl Fn(usize, &mut [E]) + Sync + Send {
    |start, out| out.copy_from_slice(&values[start..start + out.len()])
}

/// (outer, rows, inner) to (outer, inner).
fn over_rows<E: Element, F: Fold<E>>(
    [outer, rows, inner]: [usize; 3],
    source: &(impl Fn(usize, &mut [E]) + Sync + Send),
) -> Vec<E> {
    let most = if inner == 1 { ROWS[1] * WAYS } else { ROWS[1] };
    let at_once = (WORK / inner).clamp(ROWS[0], most).min(rows);
    let pieces = rows.div_ceil(at_once);
    let chunk = match (WORK / at_once).max(1) {
        short if short < inner => short,
        long => long / inner * inner,
    };
    let scratch = || vec![E::zero(); BLOCK];
    let values = filled_in_chunks(outer * pieces * inner, chunk, scratch, |scratch, number, mut part| {
        let mut at = number * chunk;
        while !part.is_empty() {
            let (piece, column) = (at / inner, at % inner);
            let (group, first) = (piece / pieces, piece % pieces * at_once);
            let length = at_once.min(rows - first);
            let start = (group * rows + first) * inner;
            // Short rows next to each other are joined each to its value.
            let values = if inner == 1 && pieces == 1 { BLOCK / length } else { inner - column };
            let (now, rest) = part.split_at_mut(values.clamp(1, part.len()));
            match inner {
                1 => line::<E, F>(now, start, length, source, scratch),
                _ => columns::<E, F>(now, start + column, (length, inner), source, scratch),
            }
            at += now.len();
            part = rest;
        }
    });
    match pieces {
        1 => values,
        _ => over_rows::<E, F>([outer, pieces, inner], &copied(&values)),
    }
}

/// Lines of `length` values one after another, each joined to one; more than one only if a block holds them.
fn line<E: Element, F: Fold<E>>(
    results: &mut [E],
    start: usize,
    length: usize,
    source: &impl Fn(usize, &mut [E]),
    scratch: &mut [E],
) {
    let mut ways = [F::start(); WAYS];
    let joined = |line: &[E], ways: &mut [E; WAYS]| {
        let parts = line.chunks_exact(WAYS);
        let rest = parts.remainder();
        parts.for_each(|part| ways.iter_mut().zip(part).for_each(|(way, &value)| *way = F::join(*way, value)));
        ways.iter_mut().zip(rest).for_each(|(way, &value)| *way = F::join(*way, value));
    };
    let of_ways = |ways: &[E; WAYS]| ways[1..].iter().fold(ways[0], |a, &b| F::join(a, b));
    if let [result] = results {
        for first in (0..length).step_by(scratch.len()) {
            let block = &mut scratch[..(length - first).min(BLOCK)];
            source(start + first, block);
            joined(block, &mut ways);
        }
        *result = of_ways(&ways);
        return;
    }
    let block = &mut scratch[..results.len() * length];
    source(start, block);
    for (result, line) in results.iter_mut().zip(block.chunks_exact(length)) {
        let mut ways = [F::start(); WAYS];
        joined(line, &mut ways);
        *result = of_ways(&ways);
    }
}

/// Columns next to each other of a matrix of (rows, columns), each joined to one value; the first starts at `start`.
fn columns<E: Element, F: Fold<E>>(
    results: &mut [E],
    start: usize,
    (rows, columns): (usize, usize),
    source: &impl Fn(usize, &mut [E]),
    scratch: &mut [E],
) {
    results.fill(F::start());
    let join = |results: &mut [E], row: &[E]| {
        results.iter_mut().zip(row).for_each(|(result, &value)| *result = F::join(*result, value));
    };
    let width = results.len();
    if width == columns && width <= BLOCK {
        // Whole rows lie one after another.
        let at_once = BLOCK / width;
        for first in (0..rows).step_by(at_once) {
            let block = &mut scratch[..at_once.min(rows - first) * width];
            source(start + first * columns, block);
            block.chunks_exact(width).for_each(|row| join(results, row));
        }
        return;
    }
    for row in 0..rows {
        let starts = (start + row * columns..).step_by(BLOCK);
        for (start, results) in starts.zip(results.chunks_mut(BLOCK)) {
            let block = &mut scratch[..results.len()];
            source(start, block);
            join(results, block);
        }
    }
}
