//! The one matrix product: C = A B (+ C), A of rows x depth, B of depth x columns, any strides, C in row order.
//!
//! C is cut into strips, one sequential gemm each, strips in parallel: faster than gemm's own threading, and a
//! value's bits depend on its row of A and column of B alone, not on threads, batch or shard. To that end the depth is
//! blocked here (gemm's own blocks depend on all sizes), and products with few rows, for which gemm has other paths, are
//! padded with rows of zeros.

mod batched;

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::loops::Loop;
use super::rearrange::transposed;
use crate::tensor::Element;

pub(crate) use batched::products;

/// C is cut into more strips than there are threads, so that these end together, where strips are no narrower than this: what each strip
/// packs anew costs little then.
const WIDE: usize = 512;
/// The most strips for each thread.
const ROUNDS: usize = 4;
/// Strips are this many columns (or rows) wide, or a multiple: a whole number of gemm's own tiles.
const STRIP_UNIT: usize = 64;
/// Depth summed by one gemm: up to here gemm never splits it.
const DEPTH: usize = 512;
/// Fewer rows than this take another path through gemm, whose sums differ in the last bit.
const LEAST_ROWS: usize = 32;
/// So do products with no more values than this.
const LEAST_VALUES: usize = 257;
/// A B that lies transposed is copied in row order for no fewer rows of A.
const LEAST_TURNED: usize = 64;

/// A matrix within a slice: element (i, j) is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, E> {
    values: &'a [E],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, E: Element> Matrix<'a, E> {
    /// A matrix in row order.
    pub fn new(values: &'a [E], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// A matrix whose rows start `row_stride` apart.
    pub fn strided(values: &'a [E], rows: usize, columns: usize, row_stride: usize) -> Self {
        debug_assert!(rows == 0 || columns == 0 || values.len() >= (rows - 1) * row_stride + columns);
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// A matrix whose elements lie as far apart as the strides of its rows and columns say.
    pub fn spread(
        values: &'a [E],
        (rows, row_stride): (usize, usize),
        (columns, column_stride): (usize, usize),
    ) -> Self {
        Self { values, rows, columns, row_stride, column_stride }
    }

    /// The transposed matrix, in place.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// How many columns it has.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// The slice the matrix lies in.
    pub fn values(self) -> &'a [E] {
        self.values
    }

    /// A copy in row order of a B that lies transposed, where there are enough rows of A to pay for it: gemm would turn it value by value,
    /// for each strip again.
    fn turned_for(self, rows: usize) -> Option<Vec<E>> {
        let is_worth_it = self.row_stride == 1 && self.column_stride > 1 && self.rows > 1 && rows >= LEAST_TURNED;
        let loops = [(self.rows, self.row_stride), (self.columns, self.column_stride)];
        let loops = loops.map(|(steps, stride)| Loop { steps, strides: [stride] });
        is_worth_it.then(|| transposed(self.values, &loops, 0))
    }

    fn rows_from(self, start: usize, rows: usize) -> Self {
        Self { values: self.values.get(start * self.row_stride..).unwrap_or(&[]), rows, ..self }
    }

    fn columns_from(self, start: usize, columns: usize) -> Self {
        Self { values: self.values.get(start * self.column_stride..).unwrap_or(&[]), columns, ..self }
    }

    /// The same matrix in row order, with zero rows below.
    fn padded(self, rows: usize) -> Vec<E> {
        let mut result = vec![E::zero(); rows * self.columns];
        for (i, row) in result.chunks_exact_mut(self.columns.max(1)).take(self.rows).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = self.values[i * self.row_stride + j * self.column_stride];
            }
        }
        result
    }
}

/// Where a product goes: a matrix in row order whose rows start `row_stride` apart.
pub(crate) struct Target<'a, E> {
    values: &'a mut [E],
    row_stride: usize,
}

impl<'a, E> Target<'a, E> {
    /// Rows side by side.
    pub fn new(values: &'a mut [E], columns: usize) -> Self {
        Self { values, row_stride: columns }
    }

    /// Rows `row_stride` apart.
    pub fn strided(values: &'a mut [E], row_stride: usize) -> Self {
        Self { values, row_stride }
    }
}

/// What happens to what the target held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// C = A B.
    Replace,
    /// C += A B.
    Add,
}

/// C = A B or C += A B in row order, in parallel strips.
pub(crate) fn product<E: Element>(c: &mut [E], a: Matrix<E>, b: Matrix<E>, write: Write) {
    let (rows, columns) = (a.rows, b.columns);
    debug_assert_eq!(c.len(), rows * columns);
    let turned = b.turned_for(rows);
    let b = turned.as_ref().map_or(b, |turned| Matrix::new(turned, b.rows, columns));
    if rows > columns {
        let strip = strip_len(rows).max(LEAST_ROWS);
        c.par_chunks_mut(strip * columns.max(1)).enumerate().for_each(|(i, c)| {
            let a = a.rows_from(i * strip, strip.min(rows - i * strip));
            product_in_place(Target::new(c, columns), a, b, write);
        });
        return;
    }
    let strip = strip_len(columns);
    let c = Shared(c.as_mut_ptr());
    (0..columns.div_ceil(strip)).into_par_iter().for_each(|i| {
        let start = i * strip;
        let width = strip.min(columns - start);
        one_product(c.from(start), columns, a, b.columns_from(start, width), write);
    });
}

/// A B for a large B that many rows of A do not amortise: (B^T A^T)^T, so that gemm streams B instead of packing it.
///
/// The same sums in the same order as [`product`]'s. A has few rows and is in row order.
pub(crate) fn streamed_product<E: Element>(a: Matrix<E>, b: Matrix<E>) -> Vec<E> {
    let (rows, columns) = (a.rows, b.columns);
    let padded = (rows < LEAST_ROWS).then(|| a.padded(LEAST_ROWS));
    let a = padded.as_ref().map_or(a, |padded| Matrix::new(padded, LEAST_ROWS, a.columns));
    let mut transposed = vec![E::zero(); columns * a.rows];
    product(&mut transposed, b.transposed(), a.transposed(), Write::Replace);
    let mut result = vec![E::zero(); rows * columns];
    let (transposed, height) = (&transposed, a.rows);
    result.par_chunks_mut(columns.max(1)).enumerate().for_each(|(i, row)| {
        row.iter_mut().enumerate().for_each(|(j, value)| *value = transposed[j * height + i]);
    });
    result
}

/// The Frobenius norm of G - I, where G is the smaller Gram matrix of a `rows` x `columns` matrix in row order.
pub(crate) fn gram_distance<E: Element>(values: &[E], rows: usize, columns: usize) -> f64 {
    let matrix = Matrix::new(values, rows, columns);
    let (size, left, right) = match rows <= columns {
        true => (rows, matrix, matrix.transposed()),
        false => (columns, matrix.transposed(), matrix),
    };
    let mut gram = vec![E::zero(); size * size];
    product(&mut gram, left, right, Write::Replace);
    let identity = |i: usize| f64::from(i.is_multiple_of(size + 1));
    gram.iter().enumerate().map(|(i, value)| (value.wide() - identity(i)).powi(2)).sum::<f64>().sqrt()
}

/// C = A B or C += A B on the calling thread.
pub(crate) fn product_in_place<E: Element>(c: Target<E>, a: Matrix<E>, b: Matrix<E>, write: Write) {
    let (rows, columns) = (a.rows, b.columns);
    debug_assert!(rows == 0 || columns == 0 || c.values.len() >= (rows - 1) * c.row_stride + columns);
    one_product(c.values.as_mut_ptr(), c.row_stride, a, b, write);
}

/// As [`product_in_place`]; `c` points at a matrix of a.rows x b.columns, rows `row_stride` apart.
fn one_product<E: Element>(c: *mut E, row_stride: usize, a: Matrix<E>, b: Matrix<E>, write: Write) {
    let (rows, columns) = (a.rows, b.columns);
    with_enough_rows(a, columns, |a, padded| match padded {
        None => sequential(c, row_stride, a, b, write),
        Some(scratch) => {
            sequential(scratch.as_mut_ptr(), columns, a, b, Write::Replace);
            copy_rows(c, row_stride, scratch, rows, columns, write);
        }
    });
}

/// Calls `run` with A as it is, or, where C would have too few rows, with A padded and a scratch matrix for the result.
fn with_enough_rows<E: Element>(a: Matrix<E>, columns: usize, run: impl FnOnce(Matrix<E>, Option<&mut Vec<E>>)) {
    let least = LEAST_ROWS.max(LEAST_VALUES.div_ceil(columns.max(1)));
    if a.rows >= least || a.rows == 0 || columns == 0 {
        return run(a, None);
    }
    let padded = a.padded(least);
    let mut scratch = vec![E::zero(); least * columns];
    run(Matrix::new(&padded, least, a.columns), Some(&mut scratch));
}

/// The length of a strip, a multiple of the unit, where all threads work at one product.
fn strip_len(length: usize) -> usize {
    let threads = rayon::current_num_threads();
    let rounds = (length / (threads * WIDE)).clamp(1, ROUNDS);
    length.div_ceil(threads * rounds).next_multiple_of(STRIP_UNIT)
}

/// Whether so many parts of equal work keep all threads busy.
pub(crate) fn are_enough(parts: usize) -> bool {
    let threads = rayon::current_num_threads();
    parts.is_multiple_of(threads) || parts > 4 * threads
}

/// A pointer that strips share; each writes columns of its own.
#[derive(Clone, Copy)]
struct Shared<E>(*mut E);

#[allow(unsafe_code)]
// SAFETY: the threads that share it write disjoint columns (see `product`).
unsafe impl<E> Sync for Shared<E> {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl<E> Send for Shared<E> {}

impl<E> Shared<E> {
    fn from(&self, column: usize) -> *mut E {
        self.0.wrapping_add(column)
    }
}

/// One gemm per block of the depth, on this thread; `c` points at a matrix of a.rows x b.columns, rows `row_stride` apart.
fn sequential<E: Element>(c: *mut E, row_stride: usize, a: Matrix<E>, b: Matrix<E>, write: Write) {
    debug_assert_eq!(a.columns, b.rows);
    let blocks = a.columns.div_ceil(DEPTH).max(1);
    let depth = a.columns.div_ceil(blocks);
    for block in 0..blocks {
        let start = block * depth;
        let depth = depth.min(a.columns - start);
        let write = if block == 0 { write } else { Write::Add };
        one_gemm(c, row_stride, a.columns_from(start, depth), b.rows_from(start, depth), write);
    }
}

#[allow(unsafe_code)]
fn one_gemm<E: Element>(c: *mut E, row_stride: usize, a: Matrix<E>, b: Matrix<E>, write: Write) {
    // SAFETY: `a` and `b` hold their last elements (checked where they are made), the callers hand a `c` that holds
    // a.rows rows of b.columns, which no other thread touches.
    unsafe {
        gemm(
            a.rows,
            b.columns,
            a.columns,
            c,
            1,
            row_stride as isize,
            write == Write::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            E::one(),
            E::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The first `rows` of a scratch result into the target.
#[allow(unsafe_code)]
fn copy_rows<E: Element>(c: *mut E, row_stride: usize, scratch: &[E], rows: usize, columns: usize, write: Write) {
    for (i, row) in scratch.chunks_exact(columns).take(rows).enumerate() {
        // SAFETY: row i of the target holds `columns` values from here on, written by this thread alone.
        let target = unsafe { std::slice::from_raw_parts_mut(c.wrapping_add(i * row_stride), columns) };
        match write {
            Write::Replace => target.copy_from_slice(row),
            Write::Add => target.iter_mut().zip(row).for_each(|(target, &value)| *target += value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn naive(a: &[f64], b: &[f64], rows: usize, depth: usize, columns: usize) -> Vec<f64> {
        (0..rows * columns)
            .map(|i| (0..depth).map(|k| a[i / columns * depth + k] * b[k * columns + i % columns]).sum())
            .collect()
    }

    #[test]
    fn agrees_with_the_definition_for_odd_sizes_and_transposed_operands() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 2), (40, 17, 130), (200, 33, 7), (5, 600, 300), (64, 0, 8)] {
            let a: Vec<f64> = Stream::new(0, "a", 0).normal(0..rows * depth);
            let b: Vec<f64> = Stream::new(0, "b", 0).normal(0..depth * columns);
            let expected = naive(&a, &b, rows, depth, columns);
            let mut c = vec![1.0; rows * columns];
            product(&mut c, Matrix::new(&a, rows, depth), Matrix::new(&b, depth, columns), Write::Add);
            let close = |c: &[f64], shift: f64| {
                c.iter().zip(&expected).all(|(c, e)| (c - shift - e).abs() < 1e-11 * depth.max(1) as f64)
            };
            assert!(close(&c, 1.0), "{rows} {depth} {columns}");
            let transposed: Vec<f64> =
                (0..depth * columns).map(|i| b[i % depth.max(1) * columns + i / depth.max(1)]).collect();
            let b = Matrix::new(&transposed, columns, depth).transposed();
            product(&mut c, Matrix::new(&a, rows, depth), b, Write::Replace);
            assert!(close(&c, 0.0), "{rows} {depth} {columns}");
        }
    }

    #[test]
    fn the_bits_of_a_row_do_not_depend_on_its_neighbours_or_threads() {
        for (depth, columns) in [(700, 128), (9, 32), (4096, 2), (3136, 1000), (50, 1)] {
            let a: Vec<f32> = Stream::new(0, "a", 0).normal(0..300 * depth);
            let b: Vec<f32> = Stream::new(0, "b", 0).normal(0..depth * columns);
            let run = |start: usize, rows: usize| {
                let mut c = vec![0.0; rows * columns];
                let a = Matrix::new(&a[start * depth..], rows, depth);
                product(&mut c, a, Matrix::new(&b, depth, columns), Write::Replace);
                c
            };
            let whole = run(0, 300);
            for (start, rows) in [(0, 1), (7, 1), (290, 7), (100, 128), (13, 33), (0, 299)] {
                assert_eq!(
                    run(start, rows),
                    whole[start * columns..(start + rows) * columns],
                    "{depth} {columns} {rows}"
                );
            }
            let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| run(0, 300));
            assert_eq!(single, whole);
        }
    }
}
