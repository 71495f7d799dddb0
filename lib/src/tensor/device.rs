//! Batches on a device, and operations that run there.
//!
//! An operation runs where its inputs lie: on the device if one of them is there, the others then follow. Nothing else tells it. An
//! operation that has no form for devices reads the values instead ([`view`](super::view) fetches them), computes them on the processor,
//! and the next operation sends its result back: right, and slow.
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::tensor::device::{description, sent_to};
//! use obverse::ops::arithmetic::combine;
//! let a = batch(vec![1.0f64, 2.0], (1, 1, 1, 2));
//! // Nothing lies on a device until it is sent to one.
//! assert!(description(&combine(&mut Tape::off(), 2.0, &a, 1.0, &a)).is_none());
//! ```

use std::any::Any;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use dfdx::prelude::TensorFromVec;
use obverse_engine::{Array, Description, Engine, Program, Values, Variable};
use rayon::prelude::*;

use super::{Batch, Element, Host, Shape, Tape, array, processor, shape};

/// The values of `x` on this device, where it keeps them too; those of another device pass through the processor's memory.
fn there<E: Element>(x: &Batch<E>, engine: &Arc<dyn Engine>) -> Array {
    let array = x.put_on(|host| sent(array::view(host), shape(x), engine));
    if Arc::ptr_eq(array.engine(), engine) { array.clone() } else { sent(super::view(x), shape(x), engine) }
}

/// The values of `x` on a device, under a name of their own.
///
/// The device must compute in this type of number ([`Engine::has_double`] for f64).
pub fn sent_to<E: Element>(x: &Batch<E>, engine: &Arc<dyn Engine>) -> Batch<E> {
    let array = x.on_device().filter(|array| Arc::ptr_eq(array.engine(), engine)).cloned();
    Batch::from_device(array.unwrap_or_else(|| sent(super::view(x), shape(x), engine)), shape(x))
}

/// The device that `x` lies on.
pub fn description<E: Element>(x: &Batch<E>) -> Option<Description> {
    x.on_device().map(|array| array.engine().description().clone())
}

/// The device of this process, where one was chosen.
static CHOSEN: OnceLock<Arc<dyn Engine>> = OnceLock::new();

/// Opens a device by its name and has this process compute there ([`choose`]): `gpu`, `vulkan`, `metal`, `cuda`, `rocm`, each with `:N`
/// for the N-th of its kind; `flex` is Burn's engine for processors.
///
/// # Errors
/// One line: a build without devices, no such kind, or no such device.
pub fn open(name: &str) -> Result<Description, String> {
    #[cfg(feature = "burn")]
    {
        let engine = obverse_engine::burn::open(name, false).map_err(|error| error.to_string())?;
        choose(engine.clone());
        Ok(engine.description().clone())
    }
    #[cfg(not(feature = "burn"))]
    Err(format!("{name}: this build computes on the processor only; `just install gpu` builds the tools for GPUs"))
}

/// What a device failed at, as a line, if that is what a panic carries: operations have no errors of their own, and unwind instead.
pub fn failure(payload: &(dyn Any + Send)) -> Option<String> {
    let error = payload.downcast_ref::<obverse_engine::Error>()?;
    Some(match error {
        obverse_engine::Error::Memory { .. } => format!("device {error}; give a smaller --batch"),
        _ => format!("device {error}"),
    })
}

/// Whether this thread is within a call of a device's library, whose panics become errors ([`failure`]).
pub fn is_trying() -> bool {
    obverse_engine::is_trying()
}

/// Has the parameters of every network of this process lie on a device, once; later calls change nothing. What computes in f64 stays on
/// the processor.
pub fn choose(engine: Arc<dyn Engine>) {
    let _ = CHOSEN.set(engine);
}

/// Has these lie on the device of this process too, where one was chosen: what a network is about to compute with.
pub(crate) fn settle<'b, E: Element + 'b>(all: impl IntoIterator<Item = &'b Batch<E>>) {
    let Some(engine) = CHOSEN.get().filter(|_| E::NAME == "f32") else { return };
    for x in all {
        x.put_on(|host| sent(array::view(host), shape(x), engine));
    }
}

/// An operation on arrays of one device that no gradient passes: new values of some of them, each of the shape of the input that it
/// stands for. `None` where the first lies in the processor's memory.
pub(crate) fn computed<E: Element, const N: usize>(
    inputs: &[&Batch<E>],
    operation: impl for<'p> FnOnce(&'p Program, &[Variable<'p>]) -> [Variable<'p>; N],
) -> Option<[Batch<E>; N]> {
    let engine = inputs.first()?.on_device()?.engine().clone();
    let program = Program::new(engine.clone(), E::NAME == "f64");
    let variables: Vec<Variable> = inputs.iter().map(|input| program.input(there(input, &engine))).collect();
    let outputs = operation(&program, &variables);
    Some(outputs.map(|output| {
        let shape = output.shape();
        Batch::from_device(output.value(), (shape[0], shape[1], shape[2], shape[3]))
    }))
}

/// Whether no value of these is infinite or no number. Of arrays on a device one number comes back.
pub(crate) fn all_finite<E: Element>(all: &[Batch<E>]) -> bool {
    let (there, here): (Vec<&Batch<E>>, Vec<&Batch<E>>) = all.iter().partition(|x| x.on_device().is_some());
    let is_finite = |x: &Batch<E>| super::view(x).par_iter().with_min_len(super::GRAIN).all(|value| value.is_finite());
    // Zero times what is finite is zero, and nothing else is.
    let zero = |x: &&Batch<E>| computed(&[x], |_, values| [values[0].affine(0.0, 0.0).sum(&[0, 1, 2, 3])]);
    let sums: Vec<Batch<E>> = there.iter().filter_map(zero).flatten().collect();
    let total = sums.into_iter().reduce(|a, b| {
        let sum = computed(&[&a, &b], |_, values| [values[0] + values[1]]);
        sum.map_or(a, |[sum]| sum)
    });
    here.into_iter().all(is_finite) && total.is_none_or(|total| super::view(&total)[0] == E::zero())
}

/// Values sent to a device.
pub(super) fn sent<E: Element>(values: &[E], (n, h, w, c): Shape, engine: &Arc<dyn Engine>) -> Array {
    let values = match E::NAME {
        "f64" => Values::Double(bytemuck::cast_slice(values).to_vec()),
        _ => Values::Single(bytemuck::cast_slice(values).to_vec()),
    };
    Array::upload(engine, values, &[n, h, w, c])
}

/// Values fetched from a device.
pub(super) fn fetched<E: Element>(array: &Array) -> Vec<E> {
    match array.download() {
        Values::Single(values) => values.into_iter().map(|value| E::of(f64::from(value))).collect(),
        Values::Double(values) => values.into_iter().map(E::of).collect(),
    }
}

/// Values in the processor's memory.
pub(super) fn tensor<E: Element>(values: Vec<E>, shape: Shape) -> Host<E> {
    processor().tensor_from_vec(values, shape)
}

/// Whether one of these lies on a device, so that an operation on them runs there.
pub(crate) fn on_device_already<E: Element>(inputs: &[&Batch<E>]) -> bool {
    inputs.iter().any(|input| input.on_device().is_some())
}

/// An operation for devices: a function of variables, one for each input.
pub(crate) trait There: for<'p> FnOnce(&'p Program, &[Variable<'p>]) -> Variable<'p> {}

impl<F: for<'p> FnOnce(&'p Program, &[Variable<'p>]) -> Variable<'p>> There for F {}

/// Runs an operation on the device that one of its inputs lies on; `None` where all lie in the processor's memory.
///
/// What it computes has as many values as `to`.
pub(crate) fn on_device<E: Element>(
    tape: &mut Tape<E>,
    inputs: &[&Batch<E>],
    to: Shape,
    operation: impl There,
) -> Option<Batch<E>> {
    let wanted: Vec<usize> = (0..inputs.len()).collect();
    on_device_wanting(tape, inputs, &wanted, to, operation)
}

/// As [`on_device`], where the gradients of these inputs only are wanted.
pub(crate) fn on_device_wanting<E: Element>(
    tape: &mut Tape<E>,
    inputs: &[&Batch<E>],
    wanted: &[usize],
    (n, h, w, c): Shape,
    operation: impl There,
) -> Option<Batch<E>> {
    let engine = inputs.iter().find_map(|input| input.on_device())?.engine().clone();
    let program = Rc::new(Program::new(engine.clone(), E::NAME == "f64"));
    let variables: Vec<Variable> = inputs.iter().map(|input| program.input(there(input, &engine))).collect();
    let output = operation(&program, &variables).reshape(&[n, h, w, c]);
    let (place, value) = (output.place(), output.value());
    let y = Batch::from_device(value.clone(), (n, h, w, c));
    if tape.records() {
        let names: Vec<_> = inputs.iter().map(|input| input.ghost()).collect();
        let (ghost, wanted, program) = (y.ghost(), wanted.to_vec(), program.clone());
        tape.add_backward_op(move |gradients| {
            let Some(upstream) = gradients.take_there(ghost, &value) else { return };
            let places: Vec<Variable> = wanted.iter().map(|&which| program.variable(which)).collect();
            let parts = program.pull(program.variable(place), program.input(upstream), &places);
            for (&which, part) in wanted.iter().zip(parts) {
                if let Some(part) = part {
                    gradients.add_there(names[which], part.value());
                }
            }
        });
    }
    Some(y)
}

/// The cotangent of input number `which` of an operation for one of its output, as an operation of the cotangent and the inputs.
///
/// Where the inputs are one image that stands for all of the cotangents, it is repeated.
pub(crate) fn pulled_back<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    inputs: &[&Batch<E>],
    which: usize,
    operation: impl There,
) -> Option<Batch<E>> {
    let all: Vec<&Batch<E>> = std::iter::once(cotangent).chain(inputs.iter().copied()).collect();
    let (_, h, w, c) = shape(inputs[which]);
    let images = shape(cotangent).0;
    let to = if shape(inputs[which]).0 == 1 { (images, h, w, c) } else { shape(inputs[which]) };
    on_device(tape, &all, to, move |program, variables| {
        let mut inputs: Vec<Variable> = variables[1..].to_vec();
        inputs[which] = repeated(inputs[which], to.0);
        back_through(program, variables[0], &inputs, which, operation)
    })
}

/// Images repeated to this number, where there is one that stands for all.
pub(crate) fn repeated(x: Variable<'_>, images: usize) -> Variable<'_> {
    let mut shape = x.shape();
    if shape[0] == images {
        return x;
    }
    shape[0] = images;
    x.expand(&shape)
}

/// As [`pulled_back`], of an operation that is linear in its one input: only the input's shape is known.
pub(crate) fn transposed<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    (n, h, w, c): Shape,
    operation: impl There,
) -> Option<Batch<E>> {
    on_device(tape, &[cotangent], (n, h, w, c), move |program, variables| {
        back_through(program, variables[0], &[program.unknown(&[n, h, w, c])], 0, operation)
    })
}

/// The cotangent of an input of an operation, zeros where the output does not depend on it.
pub(crate) fn back_through<'p>(
    program: &'p Program,
    cotangent: Variable<'p>,
    inputs: &[Variable<'p>],
    which: usize,
    operation: impl There,
) -> Variable<'p> {
    let output = operation(program, inputs);
    let upstream = cotangent.reshape(&output.shape());
    let pulled = program.pull(output, upstream, &inputs[which..=which]).remove(0);
    pulled.unwrap_or_else(|| program.zeros(&inputs[which].shape()))
}
