//! Operations on constants, computed once at import: the arithmetic on shapes that exporters leave in their files.

use ndarray::{ArrayD, Axis, IxDyn, concatenate};

use super::shapes::{places, reshaped, squeezed, steps, unsqueezed, whole};
use crate::store::onnx::{Attribute, Constant, Node};

/// What was expected, and what was found.
type Refusal = (String, String);
type Folded<T> = Result<T, Refusal>;

/// The most values that arithmetic on constants may make out of fewer, far above any shape.
const LIMIT: usize = 1 << 20;

/// The same expression for floats and for whole numbers.
macro_rules! of_either {
    ($constant:expr, $array:ident => $result:expr) => {
        match $constant {
            Constant::Floats($array) => Constant::Floats($result),
            Constant::Integers($array) => Constant::Integers($result),
        }
    };
}

fn refused(expected: impl Into<String>, found: impl ToString) -> Refusal {
    (expected.into(), found.to_string())
}

/// The constant that an operation makes of constants.
pub(super) fn folded(node: &Node, inputs: &[Option<&Constant>]) -> Folded<Constant> {
    let operands = Operands { node, inputs };
    match node.operation.as_str() {
        "Constant" => constant(node),
        "ConstantOfShape" => operands.filled(),
        "Identity" | "Dropout" => operands.first().cloned(),
        "Cast" => operands.cast(),
        "Shape" => Ok(whole(operands.first()?.shape().iter().map(|&axis| axis as i64).collect())),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => operands.reshaped(),
        "Transpose" => operands.transposed(),
        "Concat" => operands.joined(),
        "Gather" => operands.gathered(),
        "Slice" => operands.sliced(),
        "Add" | "Sub" | "Mul" | "Div" => operands.arithmetic(),
        other => Err(refused("an operation that is known on constants", other)),
    }
}

/// Refuses more values than arithmetic on shapes can need.
fn limited(count: usize) -> Folded<()> {
    if count > LIMIT { Err(refused(format!("at most {LIMIT} values"), count)) } else { Ok(()) }
}

fn constant(node: &Node) -> Folded<Constant> {
    let scalar = |value| ArrayD::from_elem(IxDyn(&[]), value);
    match node.attributes.iter().next() {
        Some((_, Attribute::Tensor(tensor))) => Ok(tensor.clone()),
        Some((_, Attribute::Float(value))) => Ok(Constant::Floats(ArrayD::from_elem(IxDyn(&[]), *value))),
        Some((_, Attribute::Integer(value))) => Ok(Constant::Integers(scalar(*value))),
        Some((_, Attribute::Integers(values))) => Ok(whole(values.clone())),
        Some((_, Attribute::Floats(values))) => Ok(Constant::Floats(ndarray::Array1::from(values.clone()).into_dyn())),
        _ => Err(refused("a tensor or numbers", "another value")),
    }
}

struct Operands<'a> {
    node: &'a Node,
    inputs: &'a [Option<&'a Constant>],
}

impl<'a> Operands<'a> {
    fn get(&self, which: usize) -> Option<&'a Constant> {
        self.inputs.get(which).copied().flatten()
    }

    fn first(&self) -> Folded<&'a Constant> {
        self.get(0).ok_or_else(|| refused("an input", "none"))
    }

    /// Whole numbers that are a setting in older files, and input number `which` in later ones.
    fn settings(&self, name: &str, which: usize) -> Folded<Option<Vec<i64>>> {
        match (self.node.integers(name), self.get(which)) {
            (Some(values), _) => Ok(Some(values.to_vec())),
            (None, Some(Constant::Integers(values))) => Ok(Some(values.iter().copied().collect())),
            (None, Some(Constant::Floats(_))) => Err(refused(format!("whole numbers as {name}"), "floats")),
            (None, None) => Ok(None),
        }
    }

    fn filled(&self) -> Folded<Constant> {
        let shape = self.settings("shape", 0)?.unwrap_or_default();
        let axes = shape.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<Vec<_>>>();
        let axes = axes.ok_or_else(|| refused("a shape", format!("{shape:?}")))?;
        limited(axes.iter().fold(1usize, |count, &axis| count.saturating_mul(axis)))?;
        Ok(match self.node.attributes.get("value") {
            Some(Attribute::Tensor(Constant::Integers(value))) => {
                Constant::Integers(ArrayD::from_elem(IxDyn(&axes), value.first().copied().unwrap_or_default()))
            }
            Some(Attribute::Tensor(Constant::Floats(value))) => {
                Constant::Floats(ArrayD::from_elem(IxDyn(&axes), value.first().copied().unwrap_or_default()))
            }
            _ => Constant::Floats(ArrayD::zeros(IxDyn(&axes))),
        })
    }

    fn cast(&self) -> Folded<Constant> {
        let to = self.node.integer("to").unwrap_or_default();
        Ok(match (self.first()?, to) {
            (Constant::Floats(values), 6 | 7) => Constant::Integers(values.mapv(|value| value as i64)),
            (Constant::Integers(values), 1 | 10 | 11 | 16) => Constant::Floats(values.mapv(|value| value as f32)),
            (values, 1 | 6 | 7 | 10 | 11 | 16) => values.clone(),
            (_, other) => return Err(refused("a cast to floats or whole numbers", format!("type {other}"))),
        })
    }

    fn reshaped(&self) -> Folded<Constant> {
        let input = self.first()?;
        let shape = input.shape();
        let axes = match self.node.operation.as_str() {
            "Reshape" => reshaped(shape, &self.settings("shape", 1)?.unwrap_or_default()),
            "Squeeze" => squeezed(shape, self.settings("axes", 1)?.as_deref()),
            "Unsqueeze" => unsqueezed(shape, &self.settings("axes", 1)?.unwrap_or_default()),
            _ => {
                let axis = (self.node.integer("axis").unwrap_or(1).max(0) as usize).min(shape.len());
                Some(vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
            }
        };
        let axes = axes.ok_or_else(|| refused("axes that fit", format!("{shape:?}")))?;
        let misfit = |error: ndarray::ShapeError| refused(format!("{axes:?}"), error);
        Ok(
            of_either!(input, array => array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(&axes)).map_err(misfit)?),
        )
    }

    fn transposed(&self) -> Folded<Constant> {
        let input = self.first()?;
        let rank = input.shape().len();
        let reversed: Vec<i64> = (0..rank as i64).rev().collect();
        let order = places(self.node.integers("perm").unwrap_or(&reversed), rank);
        let order =
            order.filter(|order| order.len() == rank).ok_or_else(|| refused("an order of the axes", "another"))?;
        Ok(of_either!(input, array => array.view().permuted_axes(IxDyn(&order)).as_standard_layout().into_owned()))
    }

    fn joined(&self) -> Folded<Constant> {
        let rank = self.first()?.shape().len();
        let axis = self.axis(0, rank)?;
        let misfit = |error| refused("constants that stand side by side", error);
        let inputs = self.inputs.iter().flatten();
        let shapes = inputs.clone().map(|input| input.shape());
        if shapes.clone().any(|shape| shape.len() != rank) {
            return Err(refused(format!("constants of {rank} axes"), "others"));
        }
        limited(shapes.map(|shape| shape.iter().product::<usize>()).sum())?;
        let floats: Option<Vec<_>> = inputs
            .clone()
            .map(|input| if let Constant::Floats(array) = input { Some(array.view()) } else { None })
            .collect();
        if let Some(floats) = floats {
            return concatenate(Axis(axis), &floats).map(Constant::Floats).map_err(misfit);
        }
        let whole: Option<Vec<_>> =
            inputs.map(|input| if let Constant::Integers(array) = input { Some(array.view()) } else { None }).collect();
        let whole = whole.ok_or_else(|| refused("constants of one type", "floats and whole numbers"))?;
        concatenate(Axis(axis), &whole).map(Constant::Integers).map_err(misfit)
    }

    /// The axis that is said, or `default`.
    fn axis(&self, default: i64, rank: usize) -> Folded<usize> {
        let axis = self.node.integer("axis").unwrap_or(default);
        let axis = places(&[axis], rank).ok_or_else(|| refused(format!("an axis of {rank}"), axis))?;
        Ok(axis[0])
    }

    fn gathered(&self) -> Folded<Constant> {
        let input = self.first()?;
        let axis = self.axis(0, input.shape().len())?;
        let Some(Constant::Integers(wanted)) = self.get(1) else {
            return Err(refused("whole numbers to gather", "none"));
        };
        let values: Vec<i64> = wanted.iter().copied().collect();
        let length = input.shape()[axis];
        let index = |value: &i64| usize::try_from(if *value < 0 { value + length as i64 } else { *value }).ok();
        let indices: Option<Vec<usize>> =
            values.iter().map(|value| index(value).filter(|&index| index < length)).collect();
        let indices = indices.ok_or_else(|| refused(format!("indices below {length}"), format!("{values:?}")))?;
        limited((input.shape().iter().product::<usize>() / length.max(1)).saturating_mul(indices.len()))?;
        match wanted.ndim() {
            0 => Ok(of_either!(input, array => array.index_axis(Axis(axis), indices[0]).to_owned())),
            1 => Ok(of_either!(input, array => array.select(Axis(axis), &indices))),
            rank => Err(refused("one index or a row of them", format!("{rank} axes"))),
        }
    }

    fn sliced(&self) -> Folded<Constant> {
        let mut result = self.first()?.clone();
        let shape = result.shape().to_vec();
        let steps = steps(
            &shape,
            [
                self.settings("starts", 1)?,
                self.settings("ends", 2)?,
                self.settings("axes", 3)?,
                self.settings("steps", 4)?,
            ],
        );
        for (axis, range) in steps.ok_or_else(|| refused("a slice that fits", format!("{shape:?}")))? {
            let indices: Vec<usize> = range.indices().collect();
            result = of_either!(result, array => array.select(Axis(axis), &indices));
        }
        Ok(result)
    }

    fn arithmetic(&self) -> Folded<Constant> {
        let operation = self.node.operation.as_str();
        match (self.first()?, self.get(1)) {
            (Constant::Integers(a), Some(Constant::Integers(b))) => {
                let function = |a: i64, b: i64| match operation {
                    "Add" => a.checked_add(b),
                    "Sub" => a.checked_sub(b),
                    "Mul" => a.checked_mul(b),
                    _ => a.checked_div(b),
                };
                paired(a, b, function).map(Constant::Integers)
            }
            (Constant::Floats(a), Some(Constant::Floats(b))) => {
                let function = |a: f32, b: f32| {
                    Some(match operation {
                        "Add" => a + b,
                        "Sub" => a - b,
                        "Mul" => a * b,
                        _ => a / b,
                    })
                };
                paired(a, b, function).map(Constant::Floats)
            }
            _ => Err(refused("two constants of one type", "others")),
        }
    }
}

/// f(a, b), the one repeated as often as the other is long.
fn paired<T: Copy>(a: &ArrayD<T>, b: &ArrayD<T>, f: impl Fn(T, T) -> Option<T>) -> Folded<ArrayD<T>> {
    let shape = if a.ndim() >= b.ndim() && a.len() >= b.len() { a.raw_dim() } else { b.raw_dim() };
    let misfit = || refused("two constants of one shape", format!("{:?} and {:?}", a.shape(), b.shape()));
    let (a, b) = (a.broadcast(shape.clone()).ok_or_else(misfit)?, b.broadcast(shape.clone()).ok_or_else(misfit)?);
    let values: Option<Vec<T>> = a.iter().zip(b.iter()).map(|(&a, &b)| f(a, b)).collect();
    let values = values.ok_or_else(|| refused("numbers of 64 bits", "larger ones"))?;
    ArrayD::from_shape_vec(shape, values).map_err(|error| refused("two constants of one shape", error))
}
