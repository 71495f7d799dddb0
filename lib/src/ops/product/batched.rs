//! Many products of one shape, each of matrices of its own within larger arrays.

use rayon::prelude::*;

use super::{LEAST_ROWS, Matrix, Shared, Write, are_enough, one_product, strip_len};
use crate::ops::loops::{Loop, count, place};
use crate::tensor::Element;

/// C = A B for each place of nested loops, whose strides are those of A, B and C: `a` and `b` are the first of the matrices, each within
/// the whole array. The rows of C are `row_stride` apart, and its matrices cover `c`. In parallel; the bits are those of one product.
pub(crate) fn products<E: Element>(c: &mut [E], row_stride: usize, a: Matrix<E>, b: Matrix<E>, loops: &[Loop<3>]) {
    let (rows, columns) = (a.rows, b.columns);
    let of_one = [(rows, row_stride), (columns, 1)];
    assert!(
        covers(c.len(), loops.iter().map(|each| (each.steps, each.strides[2])).chain(of_one)),
        "products: expected matrices that cover the result, each value once"
    );
    assert_eq!(a.columns, b.rows, "products: expected as many columns of A as rows of B");
    assert!(a.holds(loops, 0) && b.holds(loops, 1), "products: expected matrices within their arrays");
    let products = count(loops);
    // Few products are cut into strips, along the longer side.
    let longer = rows.max(columns);
    let strip = if are_enough(products) { longer } else { strip_len(longer).max(LEAST_ROWS) };
    let strips = longer.div_ceil(strip);
    let c = Shared(c.as_mut_ptr());
    (0..products * strips).into_par_iter().for_each(|part| {
        let [of_a, of_b, of_c] = place(loops, part / strips);
        let (a, b) = (Matrix { values: &a.values[of_a..], ..a }, Matrix { values: &b.values[of_b..], ..b });
        let turned = b.turned_for(rows);
        let b = turned.as_ref().map_or(b, |turned| Matrix::new(turned, b.rows, columns));
        let start = part % strips * strip;
        let length = strip.min(longer - start);
        match rows > columns {
            true => one_product(
                c.from(of_c + start * row_stride),
                row_stride,
                a.rows_from(start, length),
                b,
                Write::Replace,
            ),
            false => one_product(c.from(of_c + start), row_stride, a, b.columns_from(start, length), Write::Replace),
        }
    });
}

impl<E> Matrix<'_, E> {
    /// Whether the array holds all of the matrices that the loops, by this one of their strides, visit.
    fn holds<const K: usize>(&self, loops: &[Loop<K>], which: usize) -> bool {
        let last = |steps: usize, stride: usize| steps.saturating_sub(1) * stride;
        let within = last(self.rows, self.row_stride) + last(self.columns, self.column_stride);
        loops.iter().map(|each| last(each.steps, each.strides[which])).sum::<usize>() + within < self.values.len()
    }
}

/// Whether nested loops of these steps and strides, in any order, visit each of the first `length` places once.
fn covers(length: usize, loops: impl Iterator<Item = (usize, usize)>) -> bool {
    let mut loops: Vec<(usize, usize)> = loops.filter(|&(steps, _)| steps != 1).collect();
    loops.sort_unstable_by_key(|&(_, stride)| stride);
    let visited = loops.iter().try_fold(1, |visited, &(steps, stride)| (stride == visited).then(|| visited * steps));
    visited == Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::product::product;
    use crate::tensor::random::Stream;

    /// Matrices A (rows, heads, depth), B (heads, depth, columns), C (rows, heads, columns).
    fn of_heads(heads: usize, rows: usize, depth: usize, columns: usize) {
        let a: Vec<f32> = Stream::new(0, "a", 0).normal(0..rows * heads * depth);
        let b: Vec<f32> = Stream::new(0, "b", 0).normal(0..heads * depth * columns);
        let mut c = vec![f32::NAN; rows * heads * columns];
        let loops = [Loop { steps: heads, strides: [depth, depth * columns, columns] }];
        let of_a = Matrix::spread(&a, (rows, heads * depth), (depth, 1));
        products(&mut c, heads * columns, of_a, Matrix::new(&b[..], depth, columns), &loops);
        for head in 0..heads {
            let mut expected = vec![0.0; rows * columns];
            let b = Matrix::new(&b[head * depth * columns..], depth, columns);
            product(&mut expected, Matrix::strided(&a[head * depth..], rows, depth, heads * depth), b, Write::Replace);
            let found = c.chunks(columns).skip(head).step_by(heads).flatten();
            assert!(found.eq(&expected), "head {head} of {heads}: {rows} x {depth} x {columns}");
        }
    }

    #[test]
    fn many_products_are_each_to_the_bit_the_single_one() {
        for (heads, rows, depth, columns) in [(1, 200, 40, 70), (3, 70, 600, 300), (12, 33, 16, 20), (2, 5, 9, 1)] {
            of_heads(heads, rows, depth, columns);
        }
    }

    #[test]
    fn loops_cover_an_array_if_each_place_is_visited_once() {
        let is_covered = |length, loops: &[(usize, usize)]| covers(length, loops.iter().copied());
        assert!(is_covered(24, &[(3, 1), (2, 12), (1, 7), (4, 3)]));
        assert!(is_covered(1, &[]));
        for loops in [&[(3, 1), (2, 2)][..], &[(2, 3), (2, 1)], &[(2, 1), (2, 2)], &[(6, 0)]] {
            assert!(!is_covered(6, loops), "{loops:?}");
        }
    }

    #[test]
    #[should_panic(expected = "cover the result")]
    fn matrices_that_overlap_are_refused() {
        let values = [1.0; 8];
        let loops = [Loop { steps: 2, strides: [4, 4, 1] }];
        products(&mut [0.0; 8], 2, Matrix::new(&values, 2, 2), Matrix::new(&values, 2, 2), &loops);
    }

    #[test]
    #[should_panic(expected = "within their arrays")]
    fn matrices_beyond_their_arrays_are_refused() {
        let values = [1.0; 7];
        let loops = [Loop { steps: 2, strides: [4, 4, 4] }];
        products(&mut [0.0; 8], 2, Matrix::new(&values, 2, 2), Matrix::new(&values, 2, 2), &loops);
    }
}
