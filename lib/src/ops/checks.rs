//! What the tests of operations share: reference cases of `tests/oracle`, and derivatives by central differences in f64.

use std::sync::Arc;

use obverse_engine::Engine;
use obverse_engine::reference::Reference;

use crate::store::npy::Scalar;
use crate::tensor::device::sent_to;
use crate::tensor::random::Stream;
use crate::tensor::{
    Batch, Element, Shape, Tape, backward, backward_from, batch, channels_last, gradient, gradient_there, shape, view,
};

/// What rounding in another order changes.
const THERE: f64 = 1e-11;

/// The reader of the cases, which the tests of whole methods and tools have too.
#[path = "../../../tests/src/oracle.rs"]
#[allow(dead_code, reason = "nothing here takes paths")]
mod oracle;

pub(crate) use self::oracle::Case;

/// Half the distance of central differences: their error, h^2 |f'''| / 6, is then about that of rounding, 1e-16 |f| / h.
const STEP: f64 = 1e-5;

/// What the two errors of a difference leave of sums of some thousand values near 1.
pub(crate) const DIFFERENCES: f64 = 1e-7;

impl Case {
    /// The matrices of `jacobians.npy`, (N, rows, columns), each in row order.
    pub fn jacobians<E: Element + Scalar>(&self) -> Vec<Vec<E>> {
        let (axes, values) = self.stored("jacobians");
        values.chunks(axes[1] * axes[2]).map(<[E]>::to_vec).collect()
    }

    /// 8-bit pixels, (N, H, W) or (N, C, H, W), channels last.
    pub fn pixels(&self, name: &str) -> Vec<u8> {
        let (axes, values) = self.stored::<f32>(name);
        let values: Vec<u8> = values.into_iter().map(|value| value as u8).collect();
        match *axes.as_slice() {
            [n, c, h, w] => channels_last(&values, (n, h, w, c)),
            _ => values,
        }
    }
}

/// Asserts |a - b| <= tolerance * max(1, max |b|), element by element.
#[track_caller]
pub(crate) fn assert_close<A: Element, B: Element>(actual: &[A], expected: &[B], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "the number of values");
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.wide().abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (actual.wide() - expected.wide()).abs();
        // Not `>`: a NaN is no agreement.
        assert!(difference <= tolerance * scale, "element {i}: {actual:?}, expected {expected:?} within {tolerance:e}");
    }
}

/// Normal values; each name draws its own.
pub(crate) fn normal<E: Element>(name: &str, shape: Shape) -> Batch<E> {
    let length = shape.0 * shape.1 * shape.2 * shape.3;
    batch(Stream::new(0, name, 0).normal(0..length), shape)
}

/// One image as a batch of `n` equal ones.
pub(crate) fn repeated<E: Element>(x: &Batch<E>, n: usize) -> Batch<E> {
    let (_, h, w, c) = shape(x);
    batch(view(x).repeat(n), (n, h, w, c))
}

/// Checks that the tape's gradients of sum(f * cotangent), for a normal cotangent, are its central differences, for
/// every element of every input.
#[track_caller]
pub(crate) fn check_gradients(inputs: &[Batch<f64>], f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>) {
    check_differences(inputs, &f);
    check_there(inputs, f);
}

/// As [`check_gradients`], where `f` holds other batches, which lie in the processor's memory: gradients of what is computed of them alone
/// come back from a device.
#[track_caller]
pub(crate) fn check_gradients_of_some(inputs: &[Batch<f64>], f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>) {
    check_differences(inputs, &f);
    check_on(&(Arc::new(Reference::default()) as Arc<dyn Engine>), THERE, inputs, &f);
    check_on_devices(inputs, &f);
}

#[track_caller]
fn check_differences(inputs: &[Batch<f64>], f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>) {
    let mut tape = Tape::recording();
    let y = f(&mut tape, inputs);
    let cotangent: Batch<f64> = normal("cotangent", shape(&y));
    let mut gradients = backward(tape, &y, view(&cotangent).to_vec());
    for (number, input) in inputs.iter().enumerate() {
        let expected = differences(input, view(&cotangent), |input| {
            let mut inputs = inputs.to_vec();
            inputs[number] = input;
            f(&mut Tape::recording(), &inputs)
        });
        assert_close(&gradient(&mut gradients, input), &expected, DIFFERENCES);
    }
}

/// Checks that an operation on a device computes what it computes on the processor, and its gradients; and that nothing comes back from
/// there in between.
///
/// The device is the plain engine of tests, Burn's for processors where it is built, and what `OBVERSE_TEST_DEVICE` names.
#[track_caller]
pub(crate) fn check_there(inputs: &[Batch<f64>], f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>) {
    let reference = Arc::new(Reference::default());
    check_on(&(reference.clone() as Arc<dyn Engine>), THERE, inputs, &f);
    // Once to compare the values, once for each gradient.
    assert_eq!(reference.transfers().1, 1 + inputs.len(), "arrays that came back from the device");
    check_on_devices(inputs, &f);
}

/// As [`check_there`], on the devices of this build, if any.
#[track_caller]
#[cfg_attr(not(feature = "burn"), expect(unused_variables, reason = "there are none"))]
fn check_on_devices(inputs: &[Batch<f64>], f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>) {
    #[cfg(feature = "burn")]
    for engine in devices() {
        let tolerance = if engine.has_double() { THERE } else { SINGLE };
        // What fails on a device unwinds as an error, which prints nothing.
        let job = || check_on(engine, tolerance, inputs, &f);
        if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)) {
            match payload.downcast::<obverse_engine::Error>() {
                Ok(error) => panic!("{error}"),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
    }
}

/// What single precision leaves of sums of some thousand values near 1, and functions as devices have them.
#[cfg(feature = "burn")]
const SINGLE: f64 = 2e-5;

/// Burn's engine for processors, and the device that is named.
#[cfg(feature = "burn")]
fn devices() -> &'static [Arc<dyn Engine>] {
    static DEVICES: std::sync::OnceLock<Vec<Arc<dyn Engine>>> = std::sync::OnceLock::new();
    DEVICES.get_or_init(|| {
        let named = std::env::var("OBVERSE_TEST_DEVICE").ok();
        let names = std::iter::once("flex".to_owned()).chain(named);
        names.map(|name| obverse_engine::burn::open(&name, false).expect("a device to test")).collect()
    })
}

#[track_caller]
fn check_on(
    engine: &Arc<dyn Engine>,
    tolerance: f64,
    inputs: &[Batch<f64>],
    f: impl Fn(&mut Tape<f64>, &[Batch<f64>]) -> Batch<f64>,
) {
    let there: Vec<Batch<f64>> = inputs.iter().map(|input| sent_to(input, engine)).collect();
    let (mut tape, mut tape_there) = (Tape::recording(), Tape::recording());
    let (y, y_there) = (f(&mut tape, inputs), f(&mut tape_there, &there));
    assert_close(view(&y_there), view(&y), tolerance);
    let cotangent: Batch<f64> = normal("cotangent", shape(&y));
    let mut gradients = backward(tape, &y, view(&cotangent).to_vec());
    let mut gradients_there = backward_from(tape_there, &y_there, &sent_to(&cotangent, engine));
    for (input, there) in inputs.iter().zip(&there) {
        assert_close(view(&gradient_there(&mut gradients_there, there)), &gradient(&mut gradients, input), tolerance);
    }
}

/// Checks <c, J v> = <J^T c, v> for a normal c and every unit v: J v by central differences of `forward` at `x`, J^T c by
/// `pullback`.
#[track_caller]
pub(crate) fn check_adjoint(
    x: &Batch<f64>,
    forward: impl Fn(&Batch<f64>) -> Batch<f64>,
    pullback: impl Fn(&Batch<f64>) -> Batch<f64>,
) {
    let cotangent: Batch<f64> = normal("cotangent", shape(&forward(x)));
    let pulled = pullback(&cotangent);
    assert_eq!(shape(&pulled), shape(x), "the cotangent of x has the shape of x");
    assert_close(view(&pulled), &differences(x, view(&cotangent), |x| forward(&x)), DIFFERENCES);
}

/// Checks an operation of one tensor and its pullback: the gradients of both and that they are each other's transpose.
#[track_caller]
pub(crate) fn check_directions(
    x: &Batch<f64>,
    forward: impl Fn(&mut Tape<f64>, &Batch<f64>) -> Batch<f64>,
    pullback: impl Fn(&mut Tape<f64>, &Batch<f64>, &Batch<f64>) -> Batch<f64>,
) {
    check_gradients(std::slice::from_ref(x), |tape, inputs| forward(tape, &inputs[0]));
    let tape = Tape::recording;
    check_adjoint(x, |x| forward(&mut tape(), x), |cotangent| pullback(&mut tape(), cotangent, x));
    let cotangent = normal("a cotangent", shape(&forward(&mut tape(), x)));
    check_gradients(&[cotangent, x.clone()], |tape, inputs| pullback(tape, &inputs[0], &inputs[1]));
}

/// Checks the value and the gradients of `case` in the folder `ops`; `inputs` are the names of its inputs.
#[track_caller]
pub(crate) fn check_case<E: Element + Scalar>(
    case: &str,
    inputs: &[&str],
    f: impl Fn(&mut Tape<E>, &[Batch<E>]) -> Batch<E>,
) {
    let folder = Case::open("ops");
    let expected = |name: &str| folder.array::<f64>(&format!("{case}.{name}"));
    let arrays: Vec<Batch<E>> = inputs.iter().map(|name| folder.array(&format!("{case}.{name}"))).collect();
    let mut tape = Tape::recording();
    let y = f(&mut tape, &arrays);
    assert_close(view(&y), view(&expected("y")), folder.tolerance::<E>());
    let cotangent = view(&folder.array::<E>(&format!("{case}.grad_y"))).to_vec();
    let mut gradients = backward(tape, &y, cotangent);
    for (name, input) in inputs.iter().zip(&arrays) {
        let expected = expected(&format!("grad_{name}"));
        assert_close(&gradient(&mut gradients, input), view(&expected), folder.tolerance::<E>());
    }
}

/// Central differences of sum(f * cotangent) in each element of `x`.
#[track_caller]
fn differences(x: &Batch<f64>, cotangent: &[f64], f: impl Fn(Batch<f64>) -> Batch<f64>) -> Vec<f64> {
    let at = |element: usize, shift: f64| {
        let mut values = view(x).to_vec();
        values[element] += shift;
        let y = f(batch(values, shape(x)));
        assert_eq!(view(&y).len(), cotangent.len());
        view(&y).iter().zip(cotangent).map(|(y, cotangent)| y * cotangent).sum::<f64>()
    };
    (0..view(x).len()).map(|element| (at(element, STEP) - at(element, -STEP)) / (2.0 * STEP)).collect()
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::activation::{Activation, activate, pullback};

    #[test]
    fn arrays_of_the_oracle_are_read_channels_last() {
        let case = Case::open("ops");
        let weight: Batch<f64> = case.array("conv_asym.weight");
        assert_eq!(shape(&weight), (4, 3, 2, 3));
        assert_eq!(shape(&case.array::<f32>("linear.weight")), (5, 1, 1, 7));
        assert_eq!(shape(&case.array::<f64>("conv_a.bias")), (1, 1, 1, 6));
        assert!(case.tolerance::<f64>() < case.tolerance::<f32>());
    }

    #[test]
    #[should_panic(expected = "element 1")]
    fn a_nan_agrees_with_nothing() {
        assert_close(&[1.0, f64::NAN], &[1.0, 2.0], 1e9);
    }

    #[test]
    fn a_right_gradient_and_a_right_pullback_pass() {
        let x = normal("x", (2, 1, 2, 3));
        check_gradients(std::slice::from_ref(&x), |tape, inputs| activate(tape, &inputs[0], Activation::Tanh));
        check_adjoint(
            &x,
            |x| activate(&mut Tape::off(), x, Activation::Tanh),
            |cotangent| pullback(&mut Tape::off(), cotangent, &x, Activation::Tanh),
        );
    }

    #[test]
    #[should_panic(expected = "element 0")]
    fn a_wrong_gradient_fails() {
        // The tape is not told of the second factor.
        check_gradients(&[normal("x", (1, 1, 1, 2))], |tape, inputs| {
            let once = activate(tape, &inputs[0], Activation::Tanh);
            activate(&mut Tape::off(), &once, Activation::Tanh)
        });
    }

    #[test]
    #[should_panic(expected = "element 0")]
    fn a_wrong_pullback_fails() {
        let x = normal("x", (1, 1, 1, 2));
        check_adjoint(&x, |x| activate(&mut Tape::off(), x, Activation::Tanh), |cotangent| cotangent.clone());
    }
}
