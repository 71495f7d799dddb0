//! Instructions as calls of Burn.

use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_backend::tensor::IndexingUpdateOp;
use burn_backend::{FloatDType, Scalar, Shape, Slice, TensorData, TensorMetadata};
use burn_dispatch::Dispatch as B;

use super::{Burn, Tensor, axes};
use crate::{Binary, Instruction, Unary, elements};

impl Burn {
    /// The result of an instruction; `shape` is the result's.
    pub(super) fn compute(
        &self,
        instruction: &Instruction,
        inputs: Vec<Tensor>,
        kind: FloatDType,
        shape: &[usize],
    ) -> Tensor {
        if elements(shape) == 0 {
            return B::float_zeros(Shape::from(axes(shape)), &self.device, kind);
        }
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many inputs as the instruction takes");
        match instruction {
            Instruction::Fixed => next(),
            &Instruction::Unary(function) => self.unary(function, next()),
            &Instruction::Binary(function) => {
                let a = next();
                self.binary(function, a, next(), kind)
            }
            &Instruction::Affine { factor, term } => affine(next(), factor, term),
            &Instruction::Clamp { low, high } => clamp(next(), low, high),
            Instruction::Select => {
                let (mask, yes) = (next(), next());
                let no = next();
                B::float_mask_where(no, B::float_not_equal_elem(mask, Scalar::Float(0.0), self.truth), yes)
            }
            Instruction::Reshape(_) => B::float_reshape(next(), Shape::from(axes(shape))),
            Instruction::Permute(order) => B::float_permute(next(), order),
            &Instruction::Slice { axis, start, step, length } => {
                let x = next();
                let slices = slices(&x.shape().to_vec(), axis, start, step, length);
                B::float_slice(x, &slices)
            }
            &Instruction::Place { axis, start, step, .. } => {
                let x = next();
                let count = x.shape().to_vec()[axis];
                let zeros = B::float_zeros(Shape::from(shape.to_vec()), &self.device, kind);
                if count == 0 {
                    zeros
                } else {
                    B::float_slice_assign(zeros, &slices(shape, axis, start, step, count), x)
                }
            }
            &Instruction::Concat(axis) => {
                let tensors: Vec<Tensor> = inputs.filter(|tensor| tensor.shape().to_vec()[axis] > 0).collect();
                B::float_cat(tensors, axis)
            }
            &Instruction::Flip(axis) => B::float_flip(next(), &[axis]),
            Instruction::Expand(_) => B::float_expand(next(), Shape::from(axes(shape))),
            Instruction::Sum(over) => over.iter().fold(in_order(next()), |sum, &axis| B::float_sum_dim(sum, axis)),
            &Instruction::Max(axis) => B::float_max_dim(in_order(next()), axis),
            Instruction::Take { axis, places } => B::float_select(next(), *axis, self.places(places)),
            Instruction::Put { axis, places, .. } => {
                let zeros = B::float_zeros(Shape::from(shape.to_vec()), &self.device, kind);
                self.put(zeros, *axis, places, next())
            }
            Instruction::Matmul => {
                let a = next();
                self.matmul(a, next())
            }
            Instruction::Convolve(convolution) => {
                let x = next();
                self.convolve(x, next(), convolution)
            }
            Instruction::ConvolveInput(convolution, _) => {
                let cotangent = next();
                self.convolve_input(cotangent, next(), convolution, shape)
            }
            Instruction::ConvolveWeight(convolution, _) => {
                let x = next();
                self.convolve_weight(x, next(), convolution, shape)
            }
        }
    }

    /// Functions of a value. Drivers' arc sines and cosines may be wrong in the fourth digit (Vulkan allows 4096 units in the last place):
    /// they are made of arc tangents.
    fn unary(&self, function: Unary, x: Tensor) -> Tensor {
        let one_less = |x: &Tensor| affine(x.clone(), -1.0, 1.0);
        let one_more = |x: &Tensor| affine(x.clone(), 1.0, 1.0);
        match function {
            Unary::Asin if !self.has_double => {
                let cosine = B::float_sqrt(B::float_mul(one_less(&x), one_more(&x)));
                B::float_atan(B::float_div(x, cosine))
            }
            Unary::Acos if !self.has_double => {
                let tangent = B::float_sqrt(B::float_div(one_less(&x), one_more(&x)));
                affine(B::float_atan(tangent), 2.0, 0.0)
            }
            _ => unary(function, x),
        }
    }

    /// Functions of two values.
    fn binary(&self, function: Binary, a: Tensor, b: Tensor, kind: FloatDType) -> Tensor {
        let number = |truth| B::bool_into_float(truth, kind);
        match function {
            Binary::Add => B::float_add(a, b),
            Binary::Subtract => B::float_sub(a, b),
            Binary::Multiply => B::float_mul(a, b),
            Binary::Divide => B::float_div(a, b),
            Binary::Power => B::float_powf(a, b),
            Binary::Greater => number(B::float_greater(a, b, self.truth)),
            Binary::GreaterEqual => number(B::float_greater_equal(a, b, self.truth)),
            Binary::Equal => number(B::float_equal(a, b, self.truth)),
            Binary::Maximum | Binary::Minimum => {
                let (a, b) = broadcast(a, b);
                let is_larger = B::float_greater(a.clone(), b.clone(), self.truth);
                let (yes, no) = if function == Binary::Maximum { (a, b) } else { (b, a) };
                B::float_mask_where(no, is_larger, yes)
            }
        }
    }

    /// Indices on the device.
    fn places(&self, places: &[u32]) -> super::Indices {
        let values: Vec<i32> = places.iter().map(|&place| i32::try_from(place).expect("fewer than 2^31")).collect();
        B::int_from_data(TensorData::new(values, [places.len()]), &self.device)
    }

    /// Adds entries at their places. Each round holds every place at most once: the order of a sum is always the same.
    fn put(&self, zeros: Tensor, axis: usize, places: &[u32], x: Tensor) -> Tensor {
        let mut rounds: Vec<(Vec<u32>, Vec<u32>)> = Vec::new();
        let mut met = std::collections::HashMap::new();
        for (from, &to) in places.iter().enumerate() {
            let round: &mut usize = met.entry(to).or_default();
            if rounds.len() == *round {
                rounds.push(Default::default());
            }
            rounds[*round].0.push(u32::try_from(from).expect("fewer than 2^32"));
            rounds[*round].1.push(to);
            *round += 1;
        }
        let is_one = rounds.len() == 1;
        rounds.into_iter().fold(zeros, |sum, (from, to)| {
            let part = if is_one { x.clone() } else { B::float_select(x.clone(), axis, self.places(&from)) };
            B::float_select_assign(sum, axis, self.places(&to), part, IndexingUpdateOp::Add)
        })
    }
}

/// Functions of a value, as Burn has them.
fn unary(function: Unary, x: Tensor) -> Tensor {
    match function {
        Unary::Abs => B::float_abs(x),
        Unary::Acos => B::float_acos(x),
        Unary::Asin => B::float_asin(x),
        Unary::Atan => B::float_atan(x),
        Unary::Ceil => B::float_ceil(x),
        Unary::Cos => B::float_cos(x),
        Unary::Cosh => B::float_cosh(x),
        Unary::Erf => B::float_erf(x),
        Unary::Exp => B::float_exp(x),
        Unary::Floor => B::float_floor(x),
        Unary::Ln => B::float_log(x),
        Unary::Ln1p => B::float_log1p(x),
        Unary::Recip => B::float_recip(x),
        Unary::Round => B::float_round(x),
        Unary::Sign => B::float_sign(x),
        Unary::Sin => B::float_sin(x),
        Unary::Sinh => B::float_sinh(x),
        Unary::Sqrt => B::float_sqrt(x),
        Unary::Tan => B::float_tan(x),
        Unary::Tanh => B::float_tanh(x),
    }
}

fn affine(x: Tensor, factor: f64, term: f64) -> Tensor {
    let x = if factor == 1.0 { x } else { B::float_mul_scalar(x, Scalar::Float(factor)) };
    if term == 0.0 { x } else { B::float_add_scalar(x, Scalar::Float(term)) }
}

fn clamp(x: Tensor, low: f64, high: f64) -> Tensor {
    let x = if low == f64::NEG_INFINITY { x } else { B::float_clamp_min(x, Scalar::Float(low)) };
    if high == f64::INFINITY { x } else { B::float_clamp_max(x, Scalar::Float(high)) }
}

/// The values in memory order; nothing is done where they lie so already.
///
/// Kernels of cubek-reduce 0.3 put what they reduce over the first axis of a permuted array in wrong places; merged axes must lie in order.
fn in_order(x: Tensor) -> Tensor {
    let shape = x.shape();
    B::float_reshape(B::float_reshape(x, Shape::from(vec![shape.num_elements()])), shape)
}

/// All of an array but along one axis.
fn slices(shape: &[usize], axis: usize, start: usize, step: usize, length: usize) -> Vec<Slice> {
    let signed = |number: usize| isize::try_from(number).expect("lengths fit");
    let whole = |&length: &usize| Slice::new(0, Some(signed(length)), 1);
    let mut slices: Vec<Slice> = shape.iter().map(whole).collect();
    slices[axis] = Slice::new(signed(start), Some(signed(start + (length - 1) * step + 1)), signed(step));
    slices
}

/// Both arrays repeated to one shape.
fn broadcast(a: Tensor, b: Tensor) -> (Tensor, Tensor) {
    let (of_a, of_b) = (a.shape().to_vec(), b.shape().to_vec());
    if of_a == of_b {
        return (a, b);
    }
    let shape: Vec<usize> = of_a.iter().zip(&of_b).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
    (B::float_expand(a, Shape::from(shape.clone())), B::float_expand(b, Shape::from(shape)))
}
