//! The linear layer, y = rectify(x W^T + b), and its adjoint; x (N, 1, 1, K), y (N, 1, 1, O), W (O, 1, 1, K).

use dfdx::prelude::{Cpu, Tape};

use super::InputGradient;
use super::convolution::{Slopes, add_column_sums, finish};
use super::product::{Matrix, Write, product};
use crate::tensor::{Batch, Element, batch, image_len, shape, view};

/// y = rectify(x W^T + b), with `slope` below zero, or without the rectifier.
///
/// Shapes: x (N, 1, 1, K), weight (O, 1, 1, K), bias (1, 1, 1, O).
pub fn linear<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    input: InputGradient,
) -> Batch<E> {
    let n = shape(x).0;
    let mut y = vec![E::zero(); n * shape(weight).0];
    product(&mut y, rows(x), rows(weight).transposed(), Write::Replace);
    finish(&mut y, bias.map(view), slope);
    let y = batch(y, (n, 1, 1, shape(weight).0));
    record_linear(tape, x, weight, bias, slope, &y, input);
    y
}

/// The cotangent of x for a cotangent of y = rectify(x W^T + b): (cotangent * slopes) W.
///
/// `slopes` are y itself and the rectifier's slope; y may be one row that stands for all.
pub fn adjoint<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    cotangent: &Batch<E>,
    slopes: Option<(&Batch<E>, E)>,
    weight: &Batch<E>,
) -> Batch<E> {
    let n = shape(cotangent).0;
    let slopes = slopes.map(|(y, slope)| Slopes::new(y, slope));
    let mut delta = view(cotangent).to_vec();
    if let Some(slopes) = &slopes {
        slopes.apply(&mut delta, 0);
    }
    let delta = batch(delta, shape(cotangent));
    let mut x = vec![E::zero(); n * image_len(weight)];
    product(&mut x, rows(&delta), rows(weight), Write::Replace);
    let x = batch(x, (n, 1, 1, image_len(weight)));
    record_adjoint(tape, cotangent, slopes, delta, weight, &x);
    x
}

/// A batch of vectors as a matrix, one row a vector.
fn rows<E: Element>(x: &Batch<E>) -> Matrix<'_, E> {
    Matrix::new(view(x), shape(x).0, image_len(x))
}

/// Records how W, b and x receive their gradients from y's.
fn record_linear<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    x: &Batch<E>,
    weight: &Batch<E>,
    bias: Option<&Batch<E>>,
    slope: Option<E>,
    y: &Batch<E>,
    input: InputGradient,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let slopes = slope.map(|slope| Slopes::new(y, slope));
    let (x, weight, bias, y) = (x.clone(), weight.clone(), bias.cloned(), y.ghost());
    tape.add_backward_op(move |gradients| {
        let mut delta = std::mem::take(&mut **gradients.get_or_alloc_mut(&y)?);
        if let Some(slopes) = &slopes {
            slopes.apply(&mut delta, 0);
        }
        let delta = Matrix::new(&delta, shape(&x).0, shape(&weight).0);
        product(gradients.get_or_alloc_mut(&weight)?, delta.transposed(), rows(&x), Write::Add);
        if input == InputGradient::Wanted {
            product(gradients.get_or_alloc_mut(&x)?, delta, rows(&weight), Write::Add);
        }
        if let Some(bias) = &bias {
            add_column_sums(gradients.get_or_alloc_mut(bias)?, delta.values());
        }
        Ok(())
    });
}

/// Records how W and the cotangent receive their gradients from those of the adjoint's result.
fn record_adjoint<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    cotangent: &Batch<E>,
    slopes: Option<Slopes<E>>,
    delta: Batch<E>,
    weight: &Batch<E>,
    x: &Batch<E>,
) {
    if !T::OWNS_TAPE {
        return;
    }
    let (cotangent, weight, x) = (cotangent.ghost(), weight.clone(), x.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&x)?);
        let upstream = Matrix::new(&upstream, shape(&delta).0, image_len(&weight));
        product(gradients.get_or_alloc_mut(&weight)?, rows(&delta).transposed(), upstream, Write::Add);
        let mut outputs = vec![E::zero(); view(&delta).len()];
        product(&mut outputs, upstream, rows(&weight).transposed(), Write::Replace);
        if let Some(slopes) = &slopes {
            slopes.apply(&mut outputs, 0);
        }
        super::accumulate(gradients.get_or_alloc_mut(&cotangent)?, &outputs);
        Ok(())
    });
}
