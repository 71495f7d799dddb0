use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{check_case, check_directions, normal, repeated};
use crate::ops::window::{Padding, Window};
use crate::store::npy::Scalar;

fn square(kernel: usize, stride: usize, padding: usize) -> Pooling {
    Pooling { window: Window::square(kernel, stride, padding), end: End::Within }
}

fn over(window: Window) -> Pooling {
    Pooling { window, end: End::Over }
}

/// Different along the two axes, padded more on one side than on the other.
fn uneven() -> Window {
    let padding = Padding { top: 1, bottom: 0, left: 0, right: 1 };
    Window { kernel: [3, 2], stride: [2, 3], padding, dilation: [1, 1] }
}

/// Different along the two axes, with pixels between taps.
fn dilated() -> Pooling {
    let padding = Padding::same(1);
    Pooling { window: Window { kernel: [2, 3], stride: [1, 2], padding, dilation: [3, 2] }, end: End::Within }
}

/// PyTorch's `max_pool2d`.
#[test]
fn the_largest_under_taps_apart_are_those_of_pytorch() {
    let x: Batch<f64> = batch((0..30).map(|i| f64::from(i * 7 % 11)).collect(), (1, 5, 6, 1));
    let y = max_pool(&mut Tape::off(), &x, dilated());
    assert_eq!((shape(&y), view(&y)), ((1, 4, 2, 1), &[6.0, 9.0, 10.0, 10.0, 10.0, 10.0, 6.0, 9.0][..]));
}

fn agrees_with_the_oracle<E: Element + Scalar>() {
    let max = |case, pooling| check_case::<E>(case, &["x"], |tape, x| max_pool(tape, &x[0], pooling));
    max("maxpool_a", square(2, 2, 0));
    max("maxpool_b", square(3, 2, 1));
    max("maxpool_c", square(3, 1, 1));
    max("maxpool_ceil", over(Window::square(3, 2, 0)));
    let average = |case, pooling, divisor| {
        check_case::<E>(case, &["x"], |tape, x| average_pool(tape, &x[0], pooling, divisor));
    };
    average("avgpool_a", square(3, 1, 1), Divisor::Inside);
    average("avgpool_b", square(2, 2, 0), Divisor::Padded);
}

#[test]
fn oracle_values_and_gradients() {
    agrees_with_the_oracle::<f32>();
    agrees_with_the_oracle::<f64>();
}

#[test]
fn the_directions_of_max_pooling_are_transposed() {
    let x = normal("x", (2, 5, 6, 2));
    let all = [square(2, 2, 0), square(3, 1, 1), over(uneven()), over(Window::square(3, 2, 1)), dilated()];
    for pooling in all {
        check_directions(
            &x,
            |tape, x| max_pool(tape, x, pooling),
            |tape, cotangent, x| max_pool_pullback(tape, cotangent, x, pooling),
        );
    }
}

#[test]
fn the_directions_of_average_pooling_are_transposed() {
    let x = normal("x", (2, 5, 6, 2));
    for pooling in [square(3, 1, 1), over(uneven()), Pooling::whole(5, 6)] {
        for divisor in [Divisor::Padded, Divisor::Inside] {
            check_directions(
                &x,
                |tape, x| average_pool(tape, x, pooling, divisor),
                |tape, cotangent, _| average_pool_pullback(tape, cotangent, pooling, divisor, (5, 6)),
            );
        }
    }
}

#[test]
fn one_image_stands_for_all() {
    let x: Batch<f64> = normal("x", (1, 4, 4, 3));
    let cotangent = normal("cotangent", (3, 2, 2, 3));
    let pull = |x: &Batch<f64>| max_pool_pullback(&mut Tape::off(), &cotangent, x, square(2, 2, 0));
    assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 3))));
}

#[test]
fn the_first_of_equals_wins_and_a_nan_beats_all() {
    let pull = |x: Vec<f64>| {
        let x = batch(x, (1, 2, 2, 1));
        let y = max_pool(&mut Tape::off(), &x, Pooling::whole(2, 2));
        let cotangent = batch(vec![1.0], (1, 1, 1, 1));
        (view(&y)[0], view(&max_pool_pullback(&mut Tape::off(), &cotangent, &x, Pooling::whole(2, 2))).to_vec())
    };
    assert_eq!(pull(vec![1.0, 2.0, 2.0, 0.0]), (2.0, vec![0.0, 1.0, 0.0, 0.0]));
    assert_eq!(pull(vec![f64::NEG_INFINITY; 4]), (f64::NEG_INFINITY, vec![1.0, 0.0, 0.0, 0.0]));
    let (value, cotangent) = pull(vec![1.0, f64::NAN, 2.0, 0.0]);
    assert!(value.is_nan());
    assert_eq!(cotangent, [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn the_divisor_of_a_window_beyond_the_padding_counts_what_lies_within_it() {
    // The first window lies on a row of padding and two pixels. The last starts at the last pixel and reaches one row
    // of padding, which counts, and one row beyond, which does not.
    let padding = Padding { top: 1, bottom: 1, ..Padding::default() };
    let pooling = over(Window { kernel: [3, 1], stride: [2, 1], padding, dilation: [1, 1] });
    let x: Batch<f64> = batch(vec![1.0; 4], (1, 4, 1, 1));
    let padded = average_pool(&mut Tape::off(), &x, pooling, Divisor::Padded);
    assert_eq!(view(&padded), [2.0 / 3.0, 1.0, 0.5]);
    let inside = average_pool(&mut Tape::off(), &x, pooling, Divisor::Inside);
    assert_eq!(view(&inside), [1.0; 3]);
}
