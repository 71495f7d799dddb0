use super::*;
use crate::ops::InputGradient;
use crate::ops::checks::{check_gradients, normal};
use crate::ops::convolution::{Convolution, convolve};
use crate::ops::window::{Padding, Window};
use crate::tensor::random::Stream;
use crate::tensor::{Tape, view};

fn term<'a>(inputs: &'a [&'a Batch<f64>], weight: &'a Batch<f64>, shift: Shift, feed: Feed) -> Term<'a, f64> {
    Term { inputs, weight, shift, feed, gradient: InputGradient::Wanted }
}

fn dropped() -> Feed {
    let dropout = Dropout::new(0.4, Stream::new(3, "dropout", 0)).map(Feed::DroppedConcatElu);
    dropout.unwrap_or(Feed::ConcatElu)
}

#[test]
fn is_the_padded_convolution() {
    let x: Batch<f64> = normal("x", (3, 5, 4, 3));
    for (shift, kernel) in [
        (Shift::Down, [2, 3]),
        (Shift::Right, [2, 2]),
        (Shift::Down, [1, 3]),
        (Shift::Right, [2, 1]),
        (Shift::None, [1, 1]),
    ] {
        let (weight, bias) = (normal("w", (5, kernel[0], kernel[1], 3)), normal("b", (1, 1, 1, 5)));
        let (top, left) = shift.reach(kernel);
        let padding = Padding { top, bottom: 0, left, right: kernel[1] - 1 - left };
        let window = Window { kernel, stride: [1, 1], padding, dilation: [1, 1] };
        let convolution = Convolution { window, groups: 1 };
        let expected = convolve(&mut Tape::off(), &x, &weight, Some(&bias), None, convolution, InputGradient::Wanted);
        let y = causal(&mut Tape::off(), &[term(&[&x], &weight, shift, Feed::Plain)], &[&bias]);
        for (a, b) in view(&y).iter().zip(view(&expected)) {
            assert!((a - b).abs() < 1e-12, "{shift:?}: {a} {b}");
        }
    }
}

#[test]
fn gradients_are_differences_for_every_feed_and_shift() {
    for (feed, doubled) in [(Feed::Plain, 1), (Feed::Elu, 1), (Feed::ConcatElu, 2), (dropped(), 2)] {
        for (shift, kernel) in [(Shift::Down, [2, 3]), (Shift::Right, [2, 2])] {
            let inputs = [
                normal("x", (2, 3, 4, 2)),
                normal("w", (3, kernel[0], kernel[1], 2 * doubled)),
                normal("a", (2, 3, 4, 1)),
                normal("b", (2, 3, 4, 2)),
                normal("v", (3, 1, 1, 3 * doubled)),
                normal("bias", (1, 1, 1, 3)),
                normal("biases", (2, 1, 1, 3)),
            ];
            check_gradients(&inputs, |tape, x| {
                let (first, second) = ([&x[0]], [&x[2], &x[3]]);
                let terms = [term(&first, &x[1], shift, feed), term(&second, &x[4], Shift::None, feed)];
                causal(tape, &terms, &[&x[5], &x[6]])
            });
        }
    }
}

#[test]
fn images_of_a_batch_are_treated_as_each_alone() {
    let (x, weight): (Batch<f32>, Batch<f32>) = (normal("x", (19, 6, 7, 4)), normal("w", (5, 2, 3, 8)));
    let run = |x: &Batch<f32>| {
        let gradient = InputGradient::Unwanted;
        let term = Term { inputs: &[x], weight: &weight, shift: Shift::Down, feed: Feed::ConcatElu, gradient };
        causal(&mut Tape::off(), &[term], &[])
    };
    let all = run(&x);
    for image in 0..19 {
        let alone = run(&batch(view(&x)[image * 168..][..168].to_vec(), (1, 6, 7, 4)));
        assert_eq!(view(&alone), &view(&all)[image * 210..][..210]);
    }
}

#[test]
fn dropout_keeps_the_mean() {
    let x: Batch<f64> = batch(vec![1.0; 2 * 64 * 64 * 4], (2, 64, 64, 4));
    // Sums the positive halves: elu(1) = 1 where kept.
    let weight = batch(vec![0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0], (1, 1, 1, 8));
    let y = causal(&mut Tape::off(), &[term(&[&x], &weight, Shift::None, dropped())], &[]);
    let mean = view(&y).iter().sum::<f64>() / view(&y).len() as f64;
    // Five standard errors of 32768 draws, each of variance p / (1 - p).
    assert!((mean - 1.0).abs() < 5.0 * (0.4 / 0.6 / 32768.0f64).sqrt(), "{mean}");
}
