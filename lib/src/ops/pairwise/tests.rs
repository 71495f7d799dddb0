use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{assert_close, check_gradients, normal};

const ALL: [Pairwise; 12] = [
    Pairwise::Add,
    Pairwise::Subtract,
    Pairwise::Multiply,
    Pairwise::Divide,
    Pairwise::Power,
    Pairwise::Minimum,
    Pairwise::Maximum,
    Pairwise::Rectify,
    Pairwise::Fmod,
    Pairwise::Less,
    Pairwise::LessEqual,
    Pairwise::Equal,
];

/// Images alike, one for all, one number per channel, one per channel and image, one per place, one in all, and both broadcast.
const SHAPES: [[Shape; 2]; 7] = [
    [(2, 2, 3, 2), (2, 2, 3, 2)],
    [(1, 2, 3, 2), (2, 2, 3, 2)],
    [(2, 2, 3, 2), (1, 1, 1, 2)],
    [(2, 1, 1, 2), (2, 2, 3, 2)],
    [(2, 2, 3, 2), (2, 2, 3, 1)],
    [(1, 1, 1, 1), (2, 2, 3, 2)],
    [(2, 2, 1, 2), (1, 1, 3, 1)],
];

/// Values above zero for what is no number below.
fn drawn(name: &str, shape: Shape, f: Pairwise) -> Batch<f64> {
    let drawn = normal(name, shape);
    match f {
        Pairwise::Divide | Pairwise::Power | Pairwise::Fmod => {
            batch(view(&drawn).iter().map(|value: &f64| value.abs() + 0.5).collect(), shape)
        }
        _ => drawn,
    }
}

#[test]
fn values_are_those_of_repeated_operands() {
    for f in ALL {
        for [a, b] in SHAPES {
            let whole = common([a, b]);
            let (a, b) = (drawn("a", a, f), drawn("b", b, f));
            let repeated = [&a, &b].map(|x| resized(&mut Tape::off(), x, whole, 1.0));
            let expected: Vec<f64> = (view(&repeated[0]).iter().zip(view(&repeated[1])))
                .map(|(&a, &b)| match f {
                    Pairwise::Add => a + b,
                    Pairwise::Subtract => a - b,
                    Pairwise::Multiply => a * b,
                    Pairwise::Divide => a / b,
                    Pairwise::Power => a.powf(b),
                    Pairwise::Minimum => a.min(b),
                    Pairwise::Maximum => a.max(b),
                    Pairwise::Rectify => a.max(0.0) + b * a.min(0.0),
                    Pairwise::Fmod => a % b,
                    Pairwise::Less => f64::from(a < b),
                    Pairwise::LessEqual => f64::from(a <= b),
                    Pairwise::Equal => f64::from(a == b),
                })
                .collect();
            assert_eq!(view(&pairwise(&mut Tape::off(), &a, &b, f)), expected, "{f:?}");
        }
    }
}

#[test]
fn gradients_of_values_and_of_pullbacks_are_differences() {
    for f in ALL {
        for [a, b] in SHAPES {
            let inputs = [drawn("a", a, f), drawn("b", b, f)];
            check_gradients(&inputs, |tape, x| pairwise(tape, &x[0], &x[1], f));
            let cotangent = normal("c", common([a, b]));
            for which in 0..2 {
                let inputs = [cotangent.clone(), drawn("a", a, f), drawn("b", b, f)];
                check_gradients(&inputs, |tape, x| pullback(tape, &x[0], [&x[1], &x[2]], f, which));
            }
        }
    }
}

#[test]
fn gradients_of_a_number_with_itself_are_differences() {
    for f in ALL.into_iter().filter(|f| !matches!(f, Pairwise::Minimum | Pairwise::Maximum)) {
        let x = drawn("x", (2, 2, 3, 2), f);
        check_gradients(std::slice::from_ref(&x), |tape, x| pairwise(tape, &x[0], &x[0], f));
        let inputs = [normal("c", (2, 2, 3, 2)), x];
        check_gradients(&inputs, |tape, x| pullback(tape, &x[0], [&x[1], &x[1]], f, 1));
    }
    let inputs = [normal("a", (2, 2, 3, 2)), normal("b", (2, 2, 1, 2))];
    check_gradients(&inputs, |tape, x| product_sum(tape, &x[0], &x[1], (1, 2, 3, 1)));
}

#[test]
fn values_where_functions_have_no_derivative_are_pytorchs() {
    let at = |f, a: f64, b: f64| {
        let (a, b) = (batch(vec![a], (1, 1, 1, 1)), batch(vec![b], (1, 1, 1, 1)));
        let one = batch(vec![1.0], (1, 1, 1, 1));
        let slope = |which| view(&pullback(&mut Tape::off(), &one, [&a, &b], f, which))[0];
        [view(&pairwise(&mut Tape::off(), &a, &b, f))[0], slope(0), slope(1)]
    };
    assert_eq!(at(Pairwise::Maximum, 2.0, 2.0), [2.0, 0.5, 0.5]);
    assert_eq!(at(Pairwise::Minimum, -1.0, 3.0), [-1.0, 1.0, 0.0]);
    assert_eq!(at(Pairwise::Power, 0.0, 2.0), [0.0, 0.0, 0.0]);
    assert_eq!(at(Pairwise::Power, -3.0, 2.0), [9.0, -6.0, 0.0]);
    assert_eq!(at(Pairwise::Power, 0.0, 0.0), [1.0, 0.0, 0.0]);
    assert_eq!(at(Pairwise::Rectify, 0.0, 0.25), [0.0, 0.25, 0.0]);
    for f in [Pairwise::Minimum, Pairwise::Maximum] {
        assert!(at(f, f64::NAN, 1.0)[0].is_nan() && at(f, 1.0, f64::NAN)[0].is_nan());
    }
}

#[test]
fn blocks_and_chunks_of_long_batches_fit_together() {
    let (a, b): (Batch<f32>, Batch<f32>) = (normal("a", (3, 60, 41, 7)), normal("b", (3, 1, 1, 7)));
    let y = pairwise(&mut Tape::off(), &a, &b, Pairwise::Multiply);
    let expected = view(&a).iter().enumerate().map(|(at, a)| a * view(&b)[at / (60 * 41 * 7) * 7 + at % 7]);
    assert_eq!(view(&y), expected.collect::<Vec<_>>());
    let of_b = pullback(&mut Tape::off(), &y, [&a, &b], Pairwise::Multiply, 1);
    let mut sums = vec![0.0; 21];
    for (at, (y, a)) in view(&y).iter().zip(view(&a)).enumerate() {
        sums[at / (60 * 41 * 7) * 7 + at % 7] += f64::from(y * a);
    }
    assert_close(view(&of_b), &sums, 1e-6);
}
