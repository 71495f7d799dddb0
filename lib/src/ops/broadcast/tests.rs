use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{assert_close, check_gradients, normal};

/// Every way to keep or drop each axis.
fn targets((n, h, w, c): Shape) -> impl Iterator<Item = Shape> {
    let axis = |kept: bool, length| if kept { length } else { 1 };
    (0..16).map(move |which: u32| {
        let [a, b, d, e] = std::array::from_fn(|axis| which >> axis & 1 == 1);
        (axis(a, n), axis(b, h), axis(d, w), axis(e, c))
    })
}

/// Place `index` of the shape `whole` in the shape `own`.
fn place(index: [usize; 4], own: Shape) -> usize {
    let own = lengths(own);
    (0..4).fold(0, |place, axis| place * own[axis] + if own[axis] == 1 { 0 } else { index[axis] })
}

fn indices(whole: Shape) -> impl Iterator<Item = [usize; 4]> {
    let (n, h, w, c) = whole;
    let images = (0..n).flat_map(move |n| (0..h).map(move |h| (n, h)));
    images.flat_map(move |(n, h)| (0..w).flat_map(move |w| (0..c).map(move |c| [n, h, w, c])))
}

#[test]
fn every_axis_can_be_repeated_and_summed_over() {
    let whole = (2, 3, 4, 5);
    for small in targets(whole) {
        let x: Batch<f64> = normal("x", small);
        let expected: Vec<f64> = indices(whole).map(|index| view(&x)[place(index, small)]).collect();
        assert_eq!(view(&resized(&mut Tape::off(), &x, whole, 1.0)), expected, "{small:?}");
        let x: Batch<f64> = normal("x", whole);
        let mut sums = vec![0.0; count(small)];
        indices(whole).zip(view(&x)).for_each(|(index, x)| sums[place(index, small)] += 0.5 * x);
        assert_close(view(&resized(&mut Tape::off(), &x, small, 0.5)), &sums, 1e-14);
    }
}

#[test]
fn sums_of_many_values_are_whole_whatever_their_lengths() {
    // Rows and columns longer and shorter than a block, than a chunk of work and than a vector.
    for shape in
        [(3, 1, 1, 70_000), (1, 40_000, 1, 3), (700, 1, 1, 100), (90, 1, 1, 3001), (2, 50, 30, 17), (40, 5, 7, 600)]
    {
        let values: Vec<f64> = (0..count(shape)).map(|value| (value % 7) as f64).collect();
        let x = batch(values, shape);
        for small in targets(shape) {
            let mut sums = vec![0.0; count(small)];
            indices(shape).zip(view(&x)).for_each(|(index, x)| sums[place(index, small)] += x);
            assert_eq!(view(&resized(&mut Tape::off(), &x, small, 1.0)), sums, "{shape:?} {small:?}");
        }
    }
}

#[test]
fn an_image_does_not_depend_on_those_beside_it() {
    let x: Batch<f32> = normal("x", (5, 9, 11, 37));
    let alone = batch(view(&x)[2 * 9 * 11 * 37..3 * 9 * 11 * 37].to_vec(), (1, 9, 11, 37));
    for (h, w, c) in [(1, 1, 37), (9, 1, 37), (9, 11, 1), (1, 1, 1), (1, 11, 1)] {
        let all = resized(&mut Tape::off(), &x, (5, h, w, c), 1.0);
        assert_eq!(
            view(&all)[2 * h * w * c..][..h * w * c],
            *view(&resized(&mut Tape::off(), &alone, (1, h, w, c), 1.0))
        );
    }
}

#[test]
fn gradients_are_differences() {
    for small in targets((2, 2, 3, 2)) {
        check_gradients(&[normal("x", small)], |tape, x| resized(tape, &x[0], (2, 2, 3, 2), -1.5));
        check_gradients(&[normal("x", (2, 2, 3, 2))], |tape, x| resized(tape, &x[0], small, 0.5));
    }
}

#[test]
fn extremes_keep_a_nan_and_products_start_with_one() {
    let x = [1.0, f64::NAN, -3.0, 2.0, 4.0, -8.0];
    let source = |start: usize, out: &mut [f64]| out.copy_from_slice(&x[start..start + out.len()]);
    let (from, to) = ((1, 1, 2, 3), (1, 1, 2, 1));
    let largest = folded::<f64, Largest>(from, to, source);
    assert!(largest[0].is_nan() && largest[1] == 4.0, "{largest:?}");
    let smallest = folded::<f64, Smallest>(from, to, source);
    assert!(smallest[0].is_nan() && smallest[1] == -8.0, "{smallest:?}");
    assert_eq!(folded::<f64, Product>(from, to, source)[1], -64.0);
}

#[test]
#[should_panic(expected = "expected axes that are equal or of length 1")]
fn shapes_that_do_not_fit_are_refused() {
    common([(1, 2, 1, 3), (4, 1, 1, 2)]);
}
