//! Sums of products by plain loops: for products of few rows or columns, sums of one operand alone, and repetitions.

use crate::ops::lanes::sums;
use crate::ops::loops::{Loop, count, innermost, merged, places};
use crate::ops::{Kernel, vectorised};
use crate::tensor::{Element, GRAIN, filled_in_chunks};

/// For each place of the loops over the output, in its order, the sum over the places of `depth` of left times right; strides are those
/// of the two.
pub(super) fn direct<E: Element>(left: &[E], right: &[E], output: &[Loop<2>], depth: &[Loop<2>]) -> Vec<E> {
    let (output, depth) = (merged(output.iter().copied()), merged(depth.iter().copied()));
    let ((row, rows), (run, runs)) = (innermost(&output), innermost(&depth));
    let runs: Vec<[usize; 2]> = places(runs, 0).collect();
    let adjacent = |each: Loop<2>| each.steps > 1 && each.strides.iter().all(|&stride| stride <= 1);
    let by_dots = adjacent(run) && (!adjacent(row) || run.steps >= row.steps);
    let at_once = GRAIN.div_ceil(row.steps * run.steps * runs.len());
    let nothing = || ();
    filled_in_chunks(count(rows) * row.steps, at_once * row.steps, nothing, |(), number, values| {
        for (values, [in_left, in_right]) in values.chunks_exact_mut(row.steps).zip(places(rows, number * at_once)) {
            for [more_left, more_right] in &runs {
                let arguments = (&left[in_left + more_left..], &right[in_right + more_right..], row, run, &mut *values);
                match by_dots {
                    true => vectorised::<Dots, _>(arguments),
                    false => vectorised::<Multiples, _>(arguments),
                }
            }
        }
    })
}

/// Two operands, the loop over a row of the output, the loop over what is summed, the row.
type Arguments<'a, E> = (&'a [E], &'a [E], Loop<2>, Loop<2>, &'a mut [E]);

/// Adds to each value of a row its dot product; what is summed are neighbours, or one value, in each operand.
struct Dots;

impl<E: Element> Kernel<Arguments<'_, E>> for Dots {
    type Output = ();

    #[inline(always)]
    fn run((left, right, row, run, values): Arguments<'_, E>) {
        for (place, value) in values.iter_mut().enumerate() {
            let [left, right] = [(left, 0), (right, 1)].map(|(operand, which)| {
                let (first, length) = (place * row.strides[which], (run.steps - 1) * run.strides[which] + 1);
                &operand[first..first + length]
            });
            *value += match run.strides {
                [1, 1] => sums([left, right], |[left, right]| [left * right])[0],
                [1, _] => sums([left], |left| left)[0] * right[0],
                _ => left[0] * sums([right], |right| right)[0],
            };
        }
    }
}

/// Adds to a row multiples of rows, one for each place of what is summed.
struct Multiples;

impl<E: Element> Kernel<Arguments<'_, E>> for Multiples {
    type Output = ();

    #[inline(always)]
    fn run((left, right, row, run, values): Arguments<'_, E>) {
        for place in 0..run.steps {
            let (left, right) = (&left[place * run.strides[0]..], &right[place * run.strides[1]..]);
            match row.strides {
                [1, 1] => values.iter_mut().zip(left).zip(right).for_each(|((v, &left), &right)| *v += left * right),
                [1, 0] => values.iter_mut().zip(left).for_each(|(value, &left)| *value += left * right[0]),
                [0, 1] => values.iter_mut().zip(right).for_each(|(value, &right)| *value += left[0] * right),
                [of_left, of_right] => values.iter_mut().enumerate().for_each(|(place, value)| {
                    *value += left[place * of_left] * right[place * of_right];
                }),
            }
        }
    }
}
