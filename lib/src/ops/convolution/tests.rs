use serde_json::Value;

use super::*;
use crate::ops::accumulate;
use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
use crate::ops::window::{Padding, Window};
use crate::store::npy::Scalar;
use crate::tensor::{Shape, Tape, backward, gradient};

const SLOPE: f64 = 0.2;

/// How a case of the oracle slides; the kernel's size is the weight's.
fn convolution_of(settings: &Value, weight: Shape) -> Convolution {
    let number = |name: &str, default: u64| settings[name].as_u64().unwrap_or(default) as usize;
    let side = |name: &str| settings["padding"][name].as_u64().unwrap_or(number("padding", 0) as u64) as usize;
    let [top, bottom, left, right] = ["top", "bottom", "left", "right"].map(side);
    Convolution {
        window: Window {
            kernel: [weight.1, weight.2],
            stride: [number("stride", 1); 2],
            padding: Padding { top, bottom, left, right },
            dilation: [number("dilation", 1); 2],
        },
        groups: number("groups", 1),
    }
}

/// y and the gradients of x, W and b; and the adjoint, which is x's gradient.
fn check_oracle<E: Element + Scalar>() {
    let case = Case::open("ops");
    for name in ["conv_a", "conv_b", "conv_c", "conv_d", "conv_e", "conv_f", "conv_g", "conv_asym"] {
        let array = |array: &str| case.array::<E>(&format!("{name}.{array}"));
        let check = |actual: &[E], expected: &str| {
            let expected = case.array::<f64>(&format!("{name}.{expected}"));
            assert_close(actual, view(&expected), case.tolerance::<E>());
        };
        let inputs @ [x, weight, bias] = &["x", "weight", "bias"].map(array);
        let convolution = convolution_of(&case.description["cases"][name], shape(weight));
        let mut tape = Tape::recording();
        let y = convolve(&mut tape, x, weight, Some(bias), None, convolution, InputGradient::Wanted);
        assert_eq!(shape(&y), shape(&array("y")), "{name}");
        check(view(&y), "y");
        let mut gradients = backward(tape, &y, view(&array("grad_y")).to_vec());
        for (input, name) in inputs.iter().zip(["grad_x", "grad_weight", "grad_bias"]) {
            check(&gradient(&mut gradients, input), name);
        }
        let size = (shape(x).1, shape(x).2);
        check(view(&adjoint(&mut Tape::off(), &array("grad_y"), None, weight, convolution, size)), "grad_x");
    }
}

#[test]
fn agrees_with_the_oracle_in_f64() {
    check_oracle::<f64>();
}

#[test]
fn agrees_with_the_oracle_in_f32() {
    check_oracle::<f32>();
}

/// Windows that differ along the axes and on each side, on 5 x 6 images of 4 channels; with the kernel larger than the
/// image; and 1 x 1, which needs no patches.
fn windows() -> Vec<Convolution> {
    let padding = Padding { top: 2, bottom: 0, left: 1, right: 3 };
    let uneven = Window { kernel: [3, 2], stride: [2, 1], padding, dilation: [1, 1] };
    let grouped = |window, groups| Convolution { window, groups };
    vec![
        grouped(uneven, 1),
        grouped(Window { stride: [1, 3], dilation: [2, 1], ..uneven }, 1),
        grouped(Window { dilation: [1, 2], ..uneven }, 2),
        grouped(Window { stride: [3, 2], ..uneven }, 4),
        grouped(Window { kernel: [7, 8], padding: Padding::same(2), ..uneven }, 1),
        grouped(Window::square(1, 1, 0), 1),
        grouped(Window::square(1, 2, 1), 2),
    ]
}

/// x, W and b.
fn example(convolution: Convolution) -> [Batch<f64>; 3] {
    let [kh, kw] = convolution.window.kernel;
    let weight = (4, kh, kw, 4 / convolution.groups);
    [normal("x", (2, 5, 6, 4)), normal("weight", weight), normal("bias", (1, 1, 1, 4))]
}

/// One channel: kernel rows of 5 values, which are copied as 8.
#[test]
fn short_runs_of_patches_leave_no_trace_beside_them() {
    let (x, weight): (Batch<f64>, Batch<f64>) = (normal("x", (2, 6, 5, 1)), normal("weight", (2, 3, 5, 1)));
    let padding = Padding { top: 1, bottom: 0, left: 2, right: 2 };
    let window = Window { kernel: [3, 5], stride: [1, 1], padding, dilation: [1, 1] };
    let convolution = Convolution { window, groups: 1 };
    let y = convolve(&mut Tape::off(), &x, &weight, None, None, convolution, InputGradient::Unwanted);
    let mut expected: Vec<f64> = Vec::new();
    for (n, i, j, o) in (0..2 * 5 * 5 * 2).map(|k| (k / 50, k / 10 % 5, k / 2 % 5, k % 2)) {
        let tap = |u: usize, v: usize| {
            let (row, column) = ((i + u).checked_sub(1)?, (j + v).checked_sub(2).filter(|&column| column < 5)?);
            Some(view(&weight)[(o * 3 + u) * 5 + v] * view(&x)[(n * 6 + row) * 5 + column])
        };
        expected.push((0..15).filter_map(|k| tap(k / 5, k % 5)).sum());
    }
    assert_close(view(&y), &expected, 1e-12);
}

#[test]
fn gradients_are_differences_with_and_without_bias_and_rectifier() {
    for convolution in windows() {
        for (terms, slope) in [(3, Some(SLOPE)), (3, None), (2, Some(SLOPE)), (2, None)] {
            check_gradients(&example(convolution)[..terms], |tape, inputs| {
                let bias = inputs.get(2);
                convolve(tape, &inputs[0], &inputs[1], bias, slope, convolution, InputGradient::Wanted)
            });
        }
    }
}

#[test]
fn the_adjoint_is_the_transposed_derivative_also_with_one_image_for_all() {
    for convolution in windows() {
        let [x, weight, bias] = &example(convolution);
        let forward = |x: &Batch<f64>, slope| {
            convolve(&mut Tape::off(), x, weight, Some(bias), slope, convolution, InputGradient::Wanted)
        };
        let back = |cotangent: &Batch<f64>, slopes: Option<(&Batch<f64>, f64)>| {
            adjoint(&mut Tape::off(), cotangent, slopes, weight, convolution, (5, 6))
        };
        check_adjoint(x, |x| forward(x, None), |cotangent| back(cotangent, None));
        let one = normal("one", (1, 5, 6, 4));
        for (x, y) in [(x.clone(), forward(x, Some(SLOPE))), (repeated(&one, 3), forward(&one, Some(SLOPE)))] {
            check_adjoint(&x, |x| forward(x, Some(SLOPE)), |cotangent| back(cotangent, Some((&y, SLOPE))));
        }
    }
}

#[test]
fn the_adjoint_has_gradients_of_its_own() {
    for convolution in windows() {
        let [x, weight, bias] = &example(convolution);
        let y = convolve(&mut Tape::off(), x, weight, Some(bias), Some(SLOPE), convolution, InputGradient::Unwanted);
        let (n, h, w, c) = shape(&y);
        let inputs = [normal("upstream", (n, h, w, c)), weight.clone()];
        let one = normal("one", (1, h, w, c));
        for slopes in [None, Some((&y, SLOPE)), Some((&one, SLOPE))] {
            check_gradients(&inputs, |tape, inputs| adjoint(tape, &inputs[0], slopes, &inputs[1], convolution, (5, 6)));
        }
    }
}

#[test]
fn an_unwanted_gradient_is_left_out_and_the_others_are_the_same() {
    let convolution = windows()[0];
    let [x, weight, bias] = &example(convolution);
    let run = |input| {
        let mut tape = Tape::recording();
        let y = convolve(&mut tape, x, weight, Some(bias), Some(SLOPE), convolution, input);
        let mut gradients = backward(tape, &y, view(&y).to_vec());
        [x, weight, bias].map(|input| gradient(&mut gradients, input))
    };
    let (wanted, unwanted) = (run(InputGradient::Wanted), run(InputGradient::Unwanted));
    assert_eq!(wanted[1..], unwanted[1..]);
    assert!(unwanted[0].iter().all(|&value| value == 0.0) && wanted[0].iter().any(|&value| value != 0.0));
}

/// 37 images of 13 x 12: patches of more than one tile a lane, and a last lane and tile that are not full.
#[test]
fn images_of_a_large_batch_are_treated_as_each_alone() {
    let convolution = Convolution { window: Window::square(5, 1, 2), groups: 1 };
    let (x, weight, bias): (Batch<f64>, _, _) =
        (normal("x", (37, 13, 12, 16)), normal("weight", (3, 5, 5, 16)), normal("bias", (1, 1, 1, 3)));
    let geometry = Geometry::new(convolution, (13, 12), &weight);
    assert!(geometry.tile < Geometry::lane(37) && !Geometry::lane(37).is_multiple_of(geometry.tile));
    let cotangents = normal("cotangents", (37, 13, 12, 3));
    let upstream = normal("upstream", shape(&x));
    let run = |x: &Batch<f64>, cotangent: &Batch<f64>, upstream: &Batch<f64>| {
        let mut tape = Tape::recording();
        let y = convolve(&mut tape, x, &weight, Some(&bias), Some(SLOPE), convolution, InputGradient::Wanted);
        let mut gradients = backward(tape, &y, view(cotangent).to_vec());
        let first = [x, &weight, &bias].map(|input| gradient(&mut gradients, input));
        let mut tape = Tape::recording();
        let pulled = adjoint(&mut tape, cotangent, Some((&y, SLOPE)), &weight, convolution, (13, 12));
        let mut gradients = backward(tape, &pulled, view(upstream).to_vec());
        let second = [cotangent, &weight].map(|input| gradient(&mut gradients, input));
        let [for_x, for_weight, for_bias] = first;
        let [for_cotangent, for_weight_again] = second;
        let of_images = [view(&y).to_vec(), view(&pulled).to_vec(), for_x, for_cotangent];
        (of_images, [for_weight, for_bias, for_weight_again])
    };
    let (of_images, of_batch) = run(&x, &cotangents, &upstream);
    let mut sums = of_batch.clone().map(|values| vec![0.0; values.len()]);
    for image in 0..37 {
        let alone = |x: &Batch<f64>| {
            let (_, h, w, c) = shape(x);
            batch(view(x)[image * h * w * c..][..h * w * c].to_vec(), (1, h, w, c))
        };
        let (of_image, terms) = run(&alone(&x), &alone(&cotangents), &alone(&upstream));
        for (whole, part) in of_images.iter().zip(&of_image) {
            assert_eq!(&whole[image * part.len()..][..part.len()], part, "image {image}");
        }
        sums.iter_mut().zip(&terms).for_each(|(sum, term)| accumulate(sum, term));
    }
    // Sums of 37 * 13 * 12 products in another order.
    of_batch.iter().zip(&sums).for_each(|(whole, sum)| assert_close(whole, sum, 1e-12));
}
