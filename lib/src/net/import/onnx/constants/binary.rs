//! Operations on two constants or more, place by place, under NumPy's rule of broadcasting.

use ndarray::{ArrayD, IxDyn, Zip};

use super::{Folded, Folding, axis, refused};
use crate::store::onnx::Constant;

/// Numbers whose arithmetic says where they do not hold the result.
pub(super) trait Number: Copy + Default + PartialOrd {
    fn plus(self, other: Self) -> Option<Self>;
    fn times(self, other: Self) -> Option<Self>;
}

impl Number for f32 {
    fn plus(self, other: Self) -> Option<Self> {
        Some(self + other)
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(self * other)
    }
}

impl Number for i64 {
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }

    fn times(self, other: Self) -> Option<Self> {
        self.checked_mul(other)
    }
}

/// What an operation makes of two numbers.
enum Pairwise {
    Floats(fn(f32, f32) -> f32),
    Integers(fn(i64, i64) -> Option<i64>),
    Compared(fn(Option<std::cmp::Ordering>) -> bool),
}

pub(super) fn is_known(operation: &str) -> bool {
    matches!(operation, "Mod" | "Pow" | "Sum" | "Mean") || floats(operation).or(integers(operation)).is_some()
}

fn floats(operation: &str) -> Option<Pairwise> {
    Some(Pairwise::Floats(match operation {
        "Add" | "Sum" | "Mean" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        // What is no number stays so.
        "Min" => |a, b| if a < b || a.is_nan() { a } else { b },
        "Max" => |a, b| if a > b || a.is_nan() { a } else { b },
        "PRelu" => |a, slope| if a < 0.0 { a * slope } else { a },
        _ => return compared(operation),
    }))
}

fn integers(operation: &str) -> Option<Pairwise> {
    Some(Pairwise::Integers(match operation {
        "Add" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        // Towards zero.
        "Div" => i64::checked_div,
        "Min" => |a, b| Some(a.min(b)),
        "Max" => |a, b| Some(a.max(b)),
        "And" => |a, b| Some(i64::from(a != 0 && b != 0)),
        "Or" => |a, b| Some(i64::from(a != 0 || b != 0)),
        "Xor" => |a, b| Some(i64::from((a != 0) != (b != 0))),
        "BitwiseAnd" => |a, b| Some(a & b),
        "BitwiseOr" => |a, b| Some(a | b),
        "BitwiseXor" => |a, b| Some(a ^ b),
        _ => return compared(operation),
    }))
}

fn compared(operation: &str) -> Option<Pairwise> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    Some(Pairwise::Compared(match operation {
        "Equal" => |order| order == Some(Equal),
        "Less" => |order| order == Some(Less),
        "Greater" => |order| order == Some(Greater),
        "LessOrEqual" => |order| matches!(order, Some(Less | Equal)),
        "GreaterOrEqual" => |order| matches!(order, Some(Greater | Equal)),
        _ => return None,
    }))
}

impl Folding<'_> {
    pub(super) fn binary(&self) -> Folded<Constant> {
        let operation = self.node.operation.as_str();
        if matches!(operation, "Min" | "Max" | "Sum" | "Mean") {
            let mut result = self.first()?.clone();
            for which in 1..self.inputs.len() {
                result = self.pair(&result, self.input(which)?)?;
            }
            return match (operation, result) {
                ("Mean", Constant::Floats(sum)) => Ok(Constant::Floats(sum / self.inputs.len() as f32)),
                (_, result) => Ok(result),
            };
        }
        match self.aligned()? {
            Some(second) => self.pair(self.first()?, &second),
            None => self.pair(self.first()?, self.input(1)?),
        }
    }

    /// The second constant under the axes of the first from `axis` on, as before version 7.
    fn aligned(&self) -> Folded<Option<Constant>> {
        let (first, second) = (self.first()?, self.input(1)?);
        let (Some(said), true) = (self.node.integer("axis"), self.opset < 7) else { return Ok(None) };
        let rank = first.shape().len();
        let from = axis(said, rank)?;
        let Some(behind) = rank.checked_sub(from + second.shape().len()) else {
            return Err(refused(format!("at most {} axes from axis {from} on", rank - from), second.shape().len()));
        };
        let shape = IxDyn(&[second.shape(), &vec![1; behind]].concat());
        Ok(Some(of_either!(second, array => super::array(shape, super::values(array))?)))
    }

    fn pair(&self, a: &Constant, b: &Constant) -> Folded<Constant> {
        let operation = self.node.operation.as_str();
        match (operation, a, b) {
            ("Pow", ..) => self.power(a, b),
            ("Mod", Constant::Floats(a), Constant::Floats(b)) => {
                let like_c = self.integer("fmod", 0) != 0;
                let floor = |a: f32, b: f32| a - (a / b).floor() * b;
                let rest = |a: f32, b: f32| Some(if like_c { a % b } else { floor(a, b) });
                self.paired(a, b, rest).map(Constant::Floats)
            }
            ("Mod", Constant::Integers(a), Constant::Integers(b)) => {
                let like_c = self.integer("fmod", 0) != 0;
                let rest = |a: i64, b: i64| {
                    let rest = a.checked_rem(b)?;
                    // The sign is the divisor's, or in C's way that of what is divided.
                    Some(if !like_c && rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
                };
                self.paired(a, b, rest).map(Constant::Integers)
            }
            (_, Constant::Floats(a), Constant::Floats(b)) => match floats(operation) {
                Some(Pairwise::Floats(f)) => self.paired(a, b, |a, b| Some(f(a, b))).map(Constant::Floats),
                Some(Pairwise::Compared(f)) => self.truths(a, b, f),
                _ => Err(refused(format!("whole numbers to {operation}"), "floats")),
            },
            (_, Constant::Integers(a), Constant::Integers(b)) => match integers(operation) {
                Some(Pairwise::Integers(f)) => self.paired(a, b, f).map(Constant::Integers),
                Some(Pairwise::Compared(f)) => self.truths(a, b, f),
                _ => Err(refused(format!("floats to {operation}"), "whole numbers")),
            },
            _ => Err(refused("two constants of one type", "floats and whole numbers")),
        }
    }

    /// The base's type is the result's.
    fn power(&self, base: &Constant, exponent: &Constant) -> Folded<Constant> {
        let rounded = |base: i64, exponent: f64| Some((base as f64).powf(exponent) as i64);
        match (base, exponent) {
            (Constant::Floats(a), Constant::Floats(b)) => {
                let power = |a: f32, b: f32| Some(f64::from(a).powf(f64::from(b)) as f32);
                self.paired(a, b, power).map(Constant::Floats)
            }
            (Constant::Floats(a), Constant::Integers(b)) => {
                let power = |a: f32, b: i64| Some(f64::from(a).powf(b as f64) as f32);
                self.paired(a, b, power).map(Constant::Floats)
            }
            (Constant::Integers(a), Constant::Floats(b)) => {
                self.paired(a, b, |a, b| rounded(a, f64::from(b))).map(Constant::Integers)
            }
            (Constant::Integers(a), Constant::Integers(b)) => {
                let power = |a: i64, b: i64| match u32::try_from(b) {
                    Ok(exponent) => a.checked_pow(exponent),
                    Err(_) => rounded(a, b as f64),
                };
                self.paired(a, b, power).map(Constant::Integers)
            }
        }
    }

    fn truths<T: Copy + PartialOrd>(
        &self,
        a: &ArrayD<T>,
        b: &ArrayD<T>,
        f: fn(Option<std::cmp::Ordering>) -> bool,
    ) -> Folded<Constant> {
        self.paired(a, b, |a, b| Some(i64::from(f(a.partial_cmp(&b))))).map(Constant::Integers)
    }

    /// f(a, b) place by place; `None` where 64 bits do not hold it.
    fn paired<A: Copy, B: Copy, T: Copy>(
        &self,
        a: &ArrayD<A>,
        b: &ArrayD<B>,
        f: impl Fn(A, B) -> Option<T>,
    ) -> Folded<ArrayD<T>> {
        let shape = self.room(&broadcast(&[a.shape(), b.shape()])?)?;
        let (a, b) = (spread(a, &shape)?, spread(b, &shape)?);
        let values: Option<Vec<T>> = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
        super::array(shape, values.ok_or_else(|| refused("numbers of 64 bits", "a division by zero, or larger ones"))?)
    }

    /// The second constant where the first is true, else the third.
    pub(super) fn choose(&self) -> Folded<Constant> {
        let (truths, yes, no) = (self.integers(0)?, self.input(1)?, self.input(2)?);
        let shape = self.room(&broadcast(&[truths.shape(), yes.shape(), no.shape()])?)?;
        let truths = spread(truths, &shape)?;
        fn chosen<T: Copy>(truths: &Spread<i64>, yes: Spread<T>, no: Spread<T>) -> ArrayD<T> {
            Zip::from(truths).and(yes).and(no).map_collect(|&truth, &yes, &no| if truth != 0 { yes } else { no })
        }
        Ok(match (yes, no) {
            (Constant::Floats(yes), Constant::Floats(no)) => {
                Constant::Floats(chosen(&truths, spread(yes, &shape)?, spread(no, &shape)?))
            }
            (Constant::Integers(yes), Constant::Integers(no)) => {
                Constant::Integers(chosen(&truths, spread(yes, &shape)?, spread(no, &shape)?))
            }
            _ => return Err(refused("two constants of one type", "floats and whole numbers")),
        })
    }
}

type Spread<'a, T> = ndarray::ArrayView<'a, T, IxDyn>;

fn spread<'a, T>(array: &'a ArrayD<T>, shape: &IxDyn) -> Folded<Spread<'a, T>> {
    array.broadcast(shape.clone()).ok_or_else(|| {
        refused(format!("constants that become {:?}", ndarray::Dimension::slice(shape)), format!("{:?}", array.shape()))
    })
}

/// The shape that shapes become together: aligned at their last axes, of which those of length 1 are repeated.
pub(super) fn broadcast(shapes: &[&[usize]]) -> Folded<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut axes = vec![1; rank];
    for shape in shapes {
        for (axis, &length) in axes[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*axis, length) {
                (_, 1) => {}
                (1, length) => *axis = length,
                (axis, length) if axis == length => {}
                _ => return Err(refused("shapes that broadcast", format!("{shapes:?}"))),
            }
        }
    }
    Ok(axes)
}
