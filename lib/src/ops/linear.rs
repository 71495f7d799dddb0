//! The linear layer, y = rectify(x W^T + b), and its adjoint; x (N, 1, 1, K), y (N, 1, 1, O), W (O, 1, 1, K). Of an image it maps the
//! channels of each place: x (N, H, W, K), y (N, H, W, O).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::{InputGradient, linear::{adjoint, linear}};
//! let (x, weight) = (batch(vec![1.0f64, 2.0], (1, 1, 1, 2)), batch(vec![3.0, 4.0], (1, 1, 1, 2)));
//! let y = linear(&mut Tape::off(), &x, &weight, None, None, InputGradient::Unwanted);
//! assert_eq!(view(&y), [11.0]);
//! assert_eq!(view(&adjoint(&mut Tape::off(), &y, None, &weight)), [33.0, 44.0]);
//! ```

use rayon::prelude::*;

use obverse_engine::Variable;

use super::InputGradient;
use super::activation::before_rectifier;
use super::convolution::{Slopes, add_column_sums, finish};
use super::product::{Matrix, Write, product, streamed_product};
use super::weight::Weight;
use crate::tensor::device::{on_device, on_device_already, on_device_wanting};
use crate::tensor::{Batch, Element, GRAIN, Tape, batch, count, image_len, shape, transpose_images, view};

/// y = rectify(x W^T + b), with `slope` below zero, or without the rectifier.
///
/// Shapes: x (N, H, W, K), weight (O, 1, 1, K), bias (1, 1, 1, O).
pub fn linear<'a, E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: impl Into<Weight<'a, E>>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    input: InputGradient,
) -> Batch<E> {
    let (n, h, w, channels) = shape(x);
    let constant: Weight<E> = weight.into();
    let weight = constant.values;
    assert_eq!(channels, image_len(weight), "linear: expected as many inputs as the weight has");
    if let Some(bias) = bias {
        assert_eq!(count(bias), shape(weight).0, "linear: expected a bias for each output");
    }
    let outputs = shape(weight).0;
    let (inputs, wanted) = operands(x, weight, bias, input);
    let there = on_device_wanting(tape, &inputs, &wanted, (n, h, w, outputs), |_, values| {
        let weight = values[1].reshape(&[1, outputs, channels]).permute(&[0, 2, 1]);
        let y = values[0].reshape(&[1, n * h * w, channels]).matmul(weight);
        finished(y.reshape(&[n, h, w, outputs]), values.get(2).copied(), slope)
    });
    if let Some(y) = there {
        return y;
    }
    let mut y = match (h, w) {
        (1, 1) => streamed_product(rows(x), rows(weight).transposed()),
        _ => {
            let mut y = vec![E::zero(); n * h * w * outputs];
            let transposed = rows(weight).transposed();
            let columns =
                constant.is_constant().then(|| constant.columns(|| transpose_images(view(weight), outputs, channels)));
            let weight = columns.as_ref().map_or(transposed, |columns| Matrix::new(columns, channels, outputs));
            product(&mut y, rows(x), weight, Write::Replace);
            y
        }
    };
    y.par_chunks_mut(GRAIN.next_multiple_of(outputs)).for_each(|y| finish(y, bias.map(view), slope));
    let y = batch(y, (n, h, w, outputs));
    record_linear(tape, x, weight, bias, slope, &y, input);
    y
}

/// The cotangent of x for a cotangent of y = rectify(x W^T + b): (cotangent * slopes) W.
///
/// `slopes` are y itself and the rectifier's slope; y may be one row that stands for all.
pub fn adjoint<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
) -> Batch<E> {
    let (n, h, w, outputs) = shape(cotangent);
    assert_eq!(outputs, shape(weight).0, "linear transposed: expected a value for each output");
    let channels = image_len(weight);
    if on_device_already(&[cotangent, weight]) {
        let delta = before_rectifier(tape, cotangent, slopes);
        let x = on_device(tape, &[&delta, weight], (n, h, w, channels), |_, values| {
            let weight = values[1].reshape(&[1, outputs, channels]);
            values[0].reshape(&[1, n * h * w, outputs]).matmul(weight)
        });
        if let Some(x) = x {
            return x;
        }
    }
    let slopes = slopes.map(|(y, slope)| Slopes::new(y, slope));
    let mut delta = view(cotangent).to_vec();
    if let Some(slopes) = &slopes {
        slopes.apply_to_all(&mut delta);
    }
    let delta = batch(delta, shape(cotangent));
    let mut x = vec![E::zero(); n * h * w * image_len(weight)];
    product(&mut x, rows(&delta), rows(weight), Write::Replace);
    let x = batch(x, (n, h, w, image_len(weight)));
    record_adjoint(tape, cotangent, slopes, delta, weight, &x);
    x
}

/// The tensors of a layer of weights, and those whose gradients are wanted.
pub(super) fn operands<'a, E: Element>(
    x: &'a Batch<E>,
    weight: &'a Batch<E>,
    bias: Option<&'a Batch<E>>,
    input: InputGradient,
) -> (Vec<&'a Batch<E>>, Vec<usize>) {
    let inputs: Vec<&Batch<E>> = [x, weight].into_iter().chain(bias).collect();
    let wanted = (usize::from(input == InputGradient::Unwanted)..inputs.len()).collect();
    (inputs, wanted)
}

/// What a layer of weights gives, with its bias and its rectifier, for devices.
pub(super) fn finished<'p, E: Element>(y: Variable<'p>, bias: Option<Variable<'p>>, slope: Option<E>) -> Variable<'p> {
    let channels = y.shape()[3];
    let y = bias.map_or(y, |bias| y + bias.reshape(&[1, 1, 1, channels]));
    slope.map_or(y, |slope| y.above(0.0).select(y, y * slope.wide()))
}

/// A batch of vectors, or of the channels at places, as a matrix, one vector per row.
fn rows<E: Element>(x: &Batch<E>) -> Matrix<'_, E> {
    let (n, h, w, channels) = shape(x);
    Matrix::new(view(x), n * h * w, channels)
}

/// Records the gradients of W, b and x for that of y.
fn record_linear<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    y: &Batch<E>,
    input: InputGradient,
) {
    if !tape.records() {
        return;
    }
    let slopes = slope.map(|slope| Slopes::new(y, slope));
    let (x, weight, bias, y) = (x.clone(), weight.clone(), bias.cloned(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let mut delta = gradients.take(&y);
        if let Some(slopes) = &slopes {
            slopes.apply_to_all(&mut delta);
        }
        let delta = Matrix::new(&delta, delta.len() / shape(&weight).0, shape(&weight).0);
        product(gradients.of(&weight), delta.transposed(), rows(&x), Write::Add);
        if input == InputGradient::Wanted {
            product(gradients.of(&x), delta, rows(&weight), Write::Add);
        }
        if let Some(bias) = &bias {
            add_column_sums(gradients.of(bias), delta.values());
        }
    });
}

/// Records the gradients of W and of the cotangent for that of the adjoint's result.
fn record_adjoint<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    slopes: Option<Slopes<E>>,
    delta: Batch<E>,
    weight: &Batch<E>,
    x: &Batch<E>,
) {
    if !tape.records() {
        return;
    }
    let (cotangent, weight, x) = (cotangent.ghost(), weight.clone(), x.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&x);
        let upstream = Matrix::new(&upstream, upstream.len() / image_len(&weight), image_len(&weight));
        product(gradients.of(&weight), rows(&delta).transposed(), upstream, Write::Add);
        let mut outputs = vec![E::zero(); view(&delta).len()];
        product(&mut outputs, upstream, rows(&weight).transposed(), Write::Replace);
        if let Some(slopes) = &slopes {
            slopes.apply_to_all(&mut outputs);
        }
        super::accumulate(gradients.of(&cotangent), &outputs);
    });
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_adjoint, check_gradients, normal, repeated};
    use crate::store::npy::Scalar;
    use crate::tensor::{Tape, backward, gradient};

    const SLOPE: f64 = 0.2;

    fn check_oracle<E: Element + Scalar>() {
        let case = Case::open("ops");
        let inputs @ [x, weight, bias] =
            &["linear.x", "linear.weight", "linear.bias"].map(|name| case.array::<E>(name));
        let check = |actual: &[E], expected: &str| {
            assert_close(actual, view(&case.array::<f64>(expected)), case.tolerance::<E>());
        };
        let mut tape = Tape::recording();
        let y = linear(&mut tape, x, weight, Some(bias), None, InputGradient::Wanted);
        check(view(&y), "linear.y");
        let cotangent = case.array("linear.grad_y");
        let mut gradients = backward(tape, &y, view(&cotangent).to_vec());
        for (input, name) in inputs.iter().zip(["linear.grad_x", "linear.grad_weight", "linear.grad_bias"]) {
            check(&gradient(&mut gradients, input), name);
        }
        check(view(&adjoint(&mut Tape::off(), &cotangent, None, weight)), "linear.grad_x");
    }

    #[test]
    fn agrees_with_the_oracle_in_f64() {
        check_oracle::<f64>();
    }

    #[test]
    fn agrees_with_the_oracle_in_f32() {
        check_oracle::<f32>();
    }

    /// x, W and b; 40 rows, so that the product is not padded.
    fn example() -> [Batch<f64>; 3] {
        [normal("x", (40, 1, 1, 7)), normal("weight", (9, 1, 1, 7)), normal("bias", (1, 1, 1, 9))]
    }

    #[test]
    fn gradients_are_differences_with_and_without_bias_and_rectifier() {
        for (terms, slope) in [(3, Some(SLOPE)), (3, None), (2, Some(SLOPE)), (2, None)] {
            check_gradients(&example()[..terms], |tape, inputs| {
                linear(tape, &inputs[0], &inputs[1], inputs.get(2), slope, InputGradient::Wanted)
            });
        }
    }

    #[test]
    fn the_channels_of_each_place_are_mapped_as_a_vector() {
        let [_, weight, bias] = &example();
        let image = normal("image", (2, 5, 4, 7));
        let places = batch(view(&image).to_vec(), (40, 1, 1, 7));
        let run = |x| linear(&mut Tape::off(), x, weight, Some(bias), Some(SLOPE), InputGradient::Wanted);
        let y = run(&image);
        assert_eq!((shape(&y), view(&y)), ((2, 5, 4, 9), view(&run(&places))));
        let back = adjoint(&mut Tape::off(), &y, Some((&y, SLOPE)), weight);
        let apart = adjoint(&mut Tape::off(), &run(&places), Some((&run(&places), SLOPE)), weight);
        assert_eq!((shape(&back), view(&back)), ((2, 5, 4, 7), view(&apart)));
    }

    #[test]
    fn the_adjoint_is_the_transposed_derivative_also_with_one_row_for_all() {
        let [x, weight, bias] = &example();
        let forward =
            |x: &Batch<f64>, slope| linear(&mut Tape::off(), x, weight, Some(bias), slope, InputGradient::Wanted);
        check_adjoint(x, |x| forward(x, None), |cotangent| adjoint(&mut Tape::off(), cotangent, None, weight));
        let one = normal("one", (1, 1, 1, 7));
        for (x, y) in [(x.clone(), forward(x, Some(SLOPE))), (repeated(&one, 5), forward(&one, Some(SLOPE)))] {
            check_adjoint(
                &x,
                |x| forward(x, Some(SLOPE)),
                |cotangent| adjoint(&mut Tape::off(), cotangent, Some((&y, SLOPE)), weight),
            );
        }
    }

    #[test]
    fn the_adjoint_has_gradients_of_its_own() {
        let [x, weight, bias] = &example();
        let y = linear(&mut Tape::off(), x, weight, Some(bias), Some(SLOPE), InputGradient::Unwanted);
        let inputs = [normal("upstream", (40, 1, 1, 9)), weight.clone()];
        let one = normal("one", (1, 1, 1, 9));
        for slopes in [None, Some((&y, SLOPE)), Some((&one, SLOPE))] {
            check_gradients(&inputs, |tape, inputs| adjoint(tape, &inputs[0], slopes, &inputs[1]));
        }
    }
}
