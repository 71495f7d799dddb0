//! Pooling for devices: the taps of all windows are slices of the padded image.

use obverse_engine::{Binary, Program, Variable};

use super::Pooling;
use crate::ops::window::Window;

/// Smaller than any value that a network computes, and finite, so that it may be multiplied by 0.
const LOWEST: f64 = -3.0e38;

/// A padded image, and what each tap sees of it.
struct Taps<'p> {
    taps: Vec<Variable<'p>>,
    /// Where in the padded image each tap begins, in rows and columns.
    starts: Vec<[usize; 2]>,
    /// Height and width of the padded image.
    padded: [usize; 2],
    /// Those of the result.
    output: [usize; 2],
    window: Window,
}

impl<'p> Taps<'p> {
    /// The taps of an image (N, H, W, C) within zeros.
    fn new(x: Variable<'p>, pooling: Pooling) -> Self {
        let shape = x.shape();
        let window = pooling.window;
        let output = pooling.output(shape[1], shape[2]).unwrap_or((0, 0));
        let output = [output.0, output.1];
        let before = [window.padding.top, window.padding.left];
        let padded = [0, 1].map(|axis| {
            let reach =
                (output[axis].max(1) - 1) * window.stride[axis] + (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            reach.max(before[axis] + shape[1 + axis])
        });
        let framed = (0..2).fold(x, |x, axis| x.place_in(1 + axis, before[axis], 1, padded[axis]));
        let starts: Vec<[usize; 2]> = (0..window.kernel[0])
            .flat_map(|row| {
                (0..window.kernel[1]).map(move |column| [row * window.dilation[0], column * window.dilation[1]])
            })
            .collect();
        let taps = starts.iter().map(|start| {
            (0..2).fold(framed, |x, axis| x.slice(1 + axis, start[axis], window.stride[axis], output[axis]))
        });
        Self { taps: taps.collect(), starts, padded, output, window }
    }

    /// The largest value of each window.
    fn largest(&self) -> Variable<'p> {
        self.taps[1..].iter().fold(self.taps[0], |largest, tap| largest.max(*tap))
    }
}

/// The image, less a value that nothing is below where it is padded with zeros: the taps beyond it are never the largest.
fn taps<'p>(program: &'p Program, x: Variable<'p>, pooling: Pooling) -> Taps<'p> {
    let shape = x.shape();
    let taps = Taps::new(x, pooling);
    if taps.padded == [shape[1], shape[2]] {
        return taps;
    }
    let inside = program.constant(&[1.0], &[1; 4]).expand(&[1, shape[1], shape[2], 1]);
    let inside = Taps::new(inside, pooling);
    let outside = |tap: usize| inside.taps[tap].affine(-LOWEST, LOWEST);
    let lowered = taps.taps.iter().enumerate().map(|(number, tap)| *tap + outside(number)).collect();
    Taps { taps: lowered, ..taps }
}

/// The largest value of each window.
pub(super) fn largest<'p>(program: &'p Program, x: Variable<'p>, pooling: Pooling) -> Variable<'p> {
    // As the sum over taps of x where it is the first largest one: then the way back hands down to that one alone.
    let taps = taps(program, x, pooling);
    let firsts = firsts(&taps);
    let values = Taps::new(x, pooling);
    let mut terms = firsts.into_iter().zip(&values.taps).map(|(first, tap)| first * *tap);
    let sum = terms.next();
    sum.map_or(x, |sum| terms.fold(sum, |sum, term| sum + term))
}

/// For each tap 1 where it is the first that is largest, else 0. No cotangent passes: what is equal is constant.
fn firsts<'p>(taps: &Taps<'p>) -> Vec<Variable<'p>> {
    let largest = taps.largest();
    let mut open = largest.affine(0.0, 1.0);
    let mut firsts = Vec::new();
    for tap in &taps.taps {
        let is_largest = tap.binary(Binary::Equal, largest);
        firsts.push(is_largest * open);
        open = open - is_largest * open;
    }
    firsts
}

/// The cotangent of x for one of the largest values; x may be one image that stands for all.
pub(super) fn handed_down<'p>(
    program: &'p Program,
    cotangent: Variable<'p>,
    x: Variable<'p>,
    pooling: Pooling,
) -> Variable<'p> {
    let taps = taps(program, x, pooling);
    let shape = x.shape();
    let window = taps.window;
    let parts = firsts(&taps).into_iter().zip(&taps.starts).map(|(first, start)| {
        let part = cotangent * first;
        (0..2).fold(part, |part, axis| {
            let last = start[axis] + (taps.output[axis].max(1) - 1) * window.stride[axis];
            part.place_in(1 + axis, start[axis], window.stride[axis], taps.padded[axis].max(last + 1))
        })
    });
    let sum = parts.reduce(|sum, part| sum + part).unwrap_or(cotangent);
    let sum = sum.slice(1, window.padding.top, 1, shape[1]);
    sum.slice(2, window.padding.left, 1, shape[2])
}

/// The mean of each window, by the number of its taps, of rows and of columns.
pub(super) fn average<'p>(
    program: &'p Program,
    x: Variable<'p>,
    pooling: Pooling,
    [rows, columns]: &[Vec<f64>; 2],
) -> Variable<'p> {
    let shape = x.shape();
    let whole = Pooling::whole(shape[1], shape[2]) == pooling;
    let sum = if whole {
        x.sum(&[1, 2])
    } else {
        let taps = Taps::new(x, pooling).taps;
        taps[1..].iter().fold(taps[0], |sum, tap| sum + *tap)
    };
    let reciprocals = |counts: &[f64]| counts.iter().map(|count| count.max(1.0).recip()).collect::<Vec<f64>>();
    let rows = program.constant(&reciprocals(rows), &[1, rows.len(), 1, 1]);
    let columns = program.constant(&reciprocals(columns), &[1, 1, columns.len(), 1]);
    sum * rows * columns
}
