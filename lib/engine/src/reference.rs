//! An engine of the `ndarray` crate, in double or single precision: what tests hold lowered operations to. Slow, and short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{ArrayD, Axis, Dimension, IxDyn, Slice, Zip, concatenate};

use crate::{Binary, Buffer, Convolution, Description, Engine, Error, Instruction, Unary, Values};

/// The engine. All is computed in double precision; what was single is rounded on its way back.
#[derive(Debug)]
pub struct Reference {
    description: Description,
    uploads: AtomicUsize,
    downloads: AtomicUsize,
}

impl Default for Reference {
    fn default() -> Self {
        let description = Description {
            name: "reference".into(),
            processor: "processor".into(),
            driver: "ndarray".into(),
            precision: "f64".into(),
        };
        Self { description, uploads: AtomicUsize::new(0), downloads: AtomicUsize::new(0) }
    }
}

impl Reference {
    /// How many arrays went to the device and came back.
    pub fn transfers(&self) -> (usize, usize) {
        (self.uploads.load(Ordering::Relaxed), self.downloads.load(Ordering::Relaxed))
    }
}

/// An array, and whether it came in double precision.
struct Held {
    values: ArrayD<f64>,
    double: bool,
}

impl Engine for Reference {
    fn description(&self) -> &Description {
        &self.description
    }

    fn has_double(&self) -> bool {
        true
    }

    fn upload(&self, values: Values, shape: &[usize]) -> Result<Buffer, Error> {
        self.uploads.fetch_add(1, Ordering::Relaxed);
        let (values, double) = match values {
            Values::Single(values) => (values.into_iter().map(f64::from).collect(), false),
            Values::Double(values) => (values, true),
        };
        let values = ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|error| self.failed("upload", error))?;
        Ok(Arc::new(Held { values, double }))
    }

    fn download(&self, buffer: &Buffer) -> Result<Values, Error> {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        let held = self.held(buffer)?;
        Ok(match held.double {
            true => Values::Double(held.values.iter().copied().collect()),
            false => Values::Single(held.values.iter().map(|&value| value as f32).collect()),
        })
    }

    fn run(&self, instruction: &Instruction, inputs: &[&Buffer], shape: &[usize]) -> Result<Buffer, Error> {
        let held = inputs.iter().map(|input| self.held(input)).collect::<Result<Vec<_>, _>>()?;
        let arrays: Vec<&ArrayD<f64>> = held.iter().map(|held| &held.values).collect();
        let values = run(instruction, &arrays, shape);
        assert_eq!(values.shape(), shape, "{instruction:?}");
        Ok(Arc::new(Held { values: values.as_standard_layout().into_owned(), double: held[0].double }))
    }
}

impl Reference {
    fn failed(&self, operation: &str, reason: impl ToString) -> Error {
        let (name, operation) = (self.description.name.clone(), operation.into());
        Error::Failed { name, operation, reason: reason.to_string() }
    }

    fn held<'a>(&self, buffer: &'a Buffer) -> Result<&'a Held, Error> {
        buffer.downcast_ref().ok_or_else(|| self.failed("reading", "an array of another device"))
    }
}

fn run(instruction: &Instruction, arrays: &[&ArrayD<f64>], shape: &[usize]) -> ArrayD<f64> {
    let x = arrays[0];
    let zeros = || ArrayD::zeros(IxDyn(shape));
    match instruction {
        Instruction::Fixed => x.clone(),
        Instruction::Unary(function) => x.mapv(unary(*function)),
        Instruction::Binary(function) => {
            let mut result = zeros();
            let function = binary(*function);
            Zip::from(&mut result).and_broadcast(x).and_broadcast(arrays[1]).for_each(|r, &a, &b| *r = function(a, b));
            result
        }
        &Instruction::Affine { factor, term } => x.mapv(|x| factor * x + term),
        &Instruction::Clamp { low, high } => x.mapv(|x| x.min(high).max(low)),
        Instruction::Select => {
            let mut result = zeros();
            let inputs = Zip::from(&mut result).and(x).and(arrays[1]).and(arrays[2]);
            inputs.for_each(|result, &mask, &yes, &no| *result = if mask != 0.0 { yes } else { no });
            result
        }
        Instruction::Reshape(shape) => x.to_shape(IxDyn(shape)).map_or_else(|_| zeros(), |x| x.into_owned()),
        Instruction::Permute(order) => x.view().permuted_axes(IxDyn(order)).to_owned(),
        &Instruction::Slice { axis, start, step, length } => {
            let end = start + length.saturating_sub(1) * step + usize::from(length > 0);
            x.slice_axis(Axis(axis), Slice::new(start as isize, Some(end as isize), step as isize)).to_owned()
        }
        &Instruction::Place { axis, start, step, .. } => {
            let mut result = zeros();
            let length = x.shape()[axis];
            let end = start + length.saturating_sub(1) * step + usize::from(length > 0);
            let slice = Slice::new(start as isize, Some(end as isize), step as isize);
            result.slice_axis_mut(Axis(axis), slice).assign(x);
            result
        }
        &Instruction::Concat(axis) => {
            let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
            concatenate(Axis(axis), &views).unwrap_or_else(|_| zeros())
        }
        &Instruction::Flip(axis) => {
            let mut view = x.view();
            view.invert_axis(Axis(axis));
            view.to_owned()
        }
        Instruction::Expand(_) => x.broadcast(IxDyn(shape)).map_or_else(zeros, |x| x.to_owned()),
        Instruction::Sum(axes) => {
            axes.iter().fold(x.clone(), |x, &axis| x.sum_axis(Axis(axis)).insert_axis(Axis(axis)))
        }
        &Instruction::Max(axis) => x.fold_axis(Axis(axis), f64::NEG_INFINITY, |a, &b| a.max(b)).insert_axis(Axis(axis)),
        Instruction::Take { axis, places } => {
            let places: Vec<usize> = places.iter().map(|&place| place as usize).collect();
            x.select(Axis(*axis), &places)
        }
        Instruction::Put { axis, places, .. } => {
            let mut result = zeros();
            for (from, &to) in places.iter().enumerate() {
                let mut target = result.index_axis_mut(Axis(*axis), to as usize);
                target += &x.index_axis(Axis(*axis), from);
            }
            result
        }
        Instruction::Matmul => {
            let mut result = zeros();
            for index in ndarray::indices_of(&result.clone()) {
                let [b, m, n] = [index[0], index[1], index[2]];
                result[index.clone()] = (0..x.shape()[2]).map(|k| x[[b, m, k]] * arrays[1][[b, k, n]]).sum();
            }
            result
        }
        Instruction::Convolve(convolution) => {
            let mut y = zeros();
            let weight = arrays[1];
            each_product(*convolution, x.shape(), weight.shape(), shape, |at_x, at_w, at_y| {
                y[at_y] += x[at_x] * weight[at_w];
            });
            y
        }
        Instruction::ConvolveInput(convolution, _) => {
            let mut result = zeros();
            let weight = arrays[1];
            each_product(*convolution, shape, weight.shape(), x.shape(), |at_x, at_w, at_y| {
                result[at_x] += x[at_y] * weight[at_w];
            });
            result
        }
        Instruction::ConvolveWeight(convolution, _) => {
            let mut result = zeros();
            let y = arrays[1];
            each_product(*convolution, x.shape(), shape, y.shape(), |at_x, at_w, at_y| {
                result[at_w] += x[at_x] * y[at_y];
            });
            result
        }
    }
}

/// Calls with the places in x, W and y of every product of a convolution.
fn each_product(
    convolution: Convolution,
    x: &[usize],
    w: &[usize],
    y: &[usize],
    mut call: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let Convolution { stride, padding, dilation, groups } = convolution;
    for at in ndarray::indices(IxDyn(&[y[0], y[1], y[2], w[0], w[1], w[2], w[3]])) {
        let at: Vec<usize> = at.as_array_view().to_vec();
        let [n, h, v, o, i, j, c] = at[..] else { continue };
        let place = |from: usize, tap: usize, axis: usize| {
            (from * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis]).filter(|&place| place < x[1 + axis])
        };
        let group = o / (w[0] / groups);
        if let (Some(row), Some(column)) = (place(h, i, 0), place(v, j, 1)) {
            call([n, row, column, group * w[3] + c], [o, i, j, c], [n, h, v, o]);
        }
    }
}

fn unary(function: Unary) -> fn(f64) -> f64 {
    match function {
        Unary::Abs => f64::abs,
        Unary::Acos => f64::acos,
        Unary::Asin => f64::asin,
        Unary::Atan => f64::atan,
        Unary::Ceil => f64::ceil,
        Unary::Cos => f64::cos,
        Unary::Cosh => f64::cosh,
        Unary::Erf => libm::erf,
        Unary::Exp => f64::exp,
        Unary::Floor => f64::floor,
        Unary::Ln => f64::ln,
        Unary::Ln1p => f64::ln_1p,
        Unary::Recip => f64::recip,
        Unary::Round => f64::round_ties_even,
        Unary::Sign => |x| if x == 0.0 { 0.0 } else { x.signum() },
        Unary::Sin => f64::sin,
        Unary::Sinh => f64::sinh,
        Unary::Sqrt => f64::sqrt,
        Unary::Tan => f64::tan,
        Unary::Tanh => f64::tanh,
    }
}

fn binary(function: Binary) -> fn(f64, f64) -> f64 {
    match function {
        Binary::Add => |a, b| a + b,
        Binary::Subtract => |a, b| a - b,
        Binary::Multiply => |a, b| a * b,
        Binary::Divide => |a, b| a / b,
        Binary::Maximum => f64::max,
        Binary::Minimum => f64::min,
        Binary::Power => f64::powf,
        Binary::Greater => |a, b| f64::from(a > b),
        Binary::GreaterEqual => |a, b| f64::from(a >= b),
        Binary::Equal => |a, b| f64::from(a == b),
    }
}
