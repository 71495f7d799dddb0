//! Operations on constants, computed once at import: arithmetic on shapes, positions, masks, quantised weights.
//!
//! Floats are computed as 32-bit floats, whole numbers exactly; what 64 bits do not hold is refused. Truth values are 0 and 1. The
//! meaning is that of ONNX's operators (github.com/onnx/onnx, docs/Operators.md), broadcasting NumPy's.

/// The same expression for floats and for whole numbers.
macro_rules! of_either {
    ($constant:expr, $array:ident => $result:expr) => {
        match $constant {
            Constant::Floats($array) => Constant::Floats($result),
            Constant::Integers($array) => Constant::Integers($result),
        }
    };
}

mod binary;
mod conditional;
mod gather;
mod moves;
mod new;
mod normalise;
mod parts;
mod products;
mod quantise;
mod reduce;
mod scatter;
mod select;
mod sorting;
#[cfg(test)]
mod tests;
mod unary;

use ndarray::{ArrayD, IxDyn};

use super::shapes::places;
use crate::store::budget;
use crate::store::onnx::{Attribute, Constant, Node, Subgraph};

/// What was expected, and what was found.
type Refusal = (String, String);
pub(super) type Folded<T> = Result<T, Refusal>;

/// The most multiplications of a product: a small file may ask for any number.
const WORK: u128 = 1 << 32;

/// What a constant may become: so many values for each that is read, or so many of few. A small file may ask for any number, and arithmetic
/// on shapes and masks needs no more.
const TIMES: u128 = 64;
const FREE: u128 = 1 << 25;

/// The most numbers of a setting: axes, lengths, parts.
const NUMBERS: usize = 1 << 12;

/// The most axes of a result, far above any that are meant.
const AXES: usize = 64;

fn refused(expected: impl Into<String>, found: impl ToString) -> Refusal {
    (expected.into(), found.to_string())
}

/// The constants that an operation makes of constants, one for each of its outputs.
///
/// `opset` is the version of ONNX's operations, and `held` the bytes that constants and all else take already.
pub(super) fn folded(node: &Node, inputs: &[Option<&Constant>], opset: i64, held: u128) -> Folded<Vec<Constant>> {
    let folding = Folding { node, inputs, opset, held };
    match node.operation.as_str() {
        "Dropout" => folding.dropout(),
        "If" => folding.conditional(),
        "Split" => folding.split(),
        "TopK" => folding.largest(),
        _ => folding.single().map(|constant| vec![constant]),
    }
}

/// The branch of If that a constant condition takes. It may read values of the graph around it.
pub(super) fn branch<'a>(node: &'a Node, condition: &Constant) -> Folded<&'a Subgraph> {
    let truth = match condition {
        Constant::Integers(values) if values.len() == 1 => values.first().copied(),
        _ => None,
    };
    let truth =
        truth.ok_or_else(|| refused("a truth value as the condition", format!("shape {:?}", condition.shape())))?;
    let name = if truth != 0 { "then_branch" } else { "else_branch" };
    match node.attributes.get(name) {
        Some(Attribute::Graph(branch)) => Ok(branch),
        _ => Err(refused(format!("a graph as {name}"), "none")),
    }
}

/// An operation and what it reads.
struct Folding<'a> {
    node: &'a Node,
    inputs: &'a [Option<&'a Constant>],
    opset: i64,
    held: u128,
}

impl<'a> Folding<'a> {
    /// The result of an operation of one output.
    fn single(&self) -> Folded<Constant> {
        match self.node.operation.as_str() {
            "Constant" => self.constant(),
            "ConstantOfShape" => self.filled(),
            "EyeLike" => self.eye(),
            "Range" => self.range(),
            "OneHot" => self.one_hot(),
            "Shape" => self.shape(),
            "Size" => Ok(scalar(self.first()?.shape().iter().product::<usize>() as i64)),
            "Identity" => self.first().cloned(),
            "Cast" => self.cast(),
            "CastLike" => self.cast_like(),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(),
            "Transpose" => self.transpose(),
            "Concat" => self.concat(),
            "Slice" => self.slice(),
            "Expand" => self.expand(),
            "Tile" => self.tile(),
            "Pad" => self.pad(),
            "Trilu" => self.triangle(),
            "Compress" => self.compressed(),
            "CenterCropPad" => self.centred(),
            "ReverseSequence" => self.reversed(),
            "Gather" => self.gather(),
            "GatherElements" => self.gather_elements(),
            "GatherND" => self.gather_nd(),
            "ScatterElements" | "Scatter" => self.scatter_elements(),
            "ScatterND" => self.scatter_nd(),
            "NonZero" => self.non_zero(),
            "ArgMax" | "ArgMin" => self.arg_extreme(),
            "CumSum" => self.cumulated(),
            "BatchNormalization" => self.batch_normalise(),
            "Where" => self.choose(),
            "MatMul" => self.matmul(),
            "Gemm" => self.gemm(),
            "Einsum" => self.einsum(),
            "DequantizeLinear" | "com.microsoft.DequantizeLinear" => self.dequantise(),
            "QuantizeLinear" | "com.microsoft.QuantizeLinear" => self.quantise(),
            name if name.starts_with("Reduce") => self.reduce(),
            name if binary::is_known(name) => self.binary(),
            _ => self.unary(),
        }
    }

    fn get(&self, which: usize) -> Option<&'a Constant> {
        self.inputs.get(which).copied().flatten()
    }

    fn input(&self, which: usize) -> Folded<&'a Constant> {
        self.get(which).ok_or_else(|| refused(format!("an input {}", which + 1), "none"))
    }

    fn first(&self) -> Folded<&'a Constant> {
        self.input(0)
    }

    /// The whole numbers of an input that may not be left out.
    fn integers(&self, which: usize) -> Folded<&'a ArrayD<i64>> {
        match self.input(which)? {
            Constant::Integers(values) => Ok(values),
            Constant::Floats(_) => Err(refused(format!("whole numbers as input {}", which + 1), "floats")),
        }
    }

    /// The floats of an input that may not be left out.
    fn floats(&self, which: usize) -> Folded<&'a ArrayD<f32>> {
        match self.input(which)? {
            Constant::Floats(values) => Ok(values),
            Constant::Integers(_) => Err(refused(format!("floats as input {}", which + 1), "whole numbers")),
        }
    }

    /// Whole numbers that are a setting in older files, and input number `which` in later ones.
    fn settings(&self, name: &str, which: usize) -> Folded<Option<Vec<i64>>> {
        match (self.node.integers(name), self.get(which)) {
            (Some(values), _) => Ok(Some(values.to_vec())),
            (None, Some(Constant::Integers(values))) if values.len() > NUMBERS => {
                Err(refused(format!("at most {NUMBERS} numbers as {name}"), values.len()))
            }
            (None, Some(Constant::Integers(values))) => Ok(Some(values.iter().copied().collect())),
            (None, Some(Constant::Floats(_))) => Err(refused(format!("whole numbers as {name}"), "floats")),
            (None, None) => Ok(None),
        }
    }

    fn integer(&self, name: &str, default: i64) -> i64 {
        self.node.integer(name).unwrap_or(default)
    }

    /// The axis that is said, or `default`.
    fn axis(&self, default: i64, rank: usize) -> Folded<usize> {
        axis(self.integer("axis", default), rank)
    }

    /// The shape of a result, where its values fit into memory beside all else.
    fn room(&self, axes: &[usize]) -> Folded<IxDyn> {
        if axes.len() > AXES {
            return Err(refused(format!("at most {AXES} axes"), axes.len()));
        }
        // Axes that are not 0 count though others are: arrays refuse them.
        let values = axes.iter().fold(1u128, |count, &axis| count.saturating_mul(axis.max(1) as u128));
        let read: u128 = self.inputs.iter().flatten().map(|input| count(input)).sum();
        let most = FREE.max(TIMES * read);
        if values > most {
            return Err(refused(format!("at most {most} values out of {read}"), values));
        }
        // A value, its place, and a copy that is in the way.
        let bytes = (3 * size_of::<i64>() as u128 * values).saturating_add(self.held);
        let limit = budget::limit().min(isize::MAX as u64);
        if bytes > u128::from(limit) {
            return Err(refused(
                format!("constants of at most {limit} bytes (see `memory`)"),
                format!("{bytes} bytes"),
            ));
        }
        Ok(IxDyn(axes))
    }
}

fn count(constant: &Constant) -> u128 {
    constant.shape().iter().map(|&axis| axis as u128).product()
}

/// The place of an axis among `rank`, from the end where it is negative.
fn axis(axis: i64, rank: usize) -> Folded<usize> {
    let place = places(&[axis], rank).and_then(|places| places.first().copied());
    place.ok_or_else(|| refused(format!("an axis of {rank}"), axis))
}

/// The place of an index in an axis of so many places, from the end where it is negative.
fn index(index: i64, length: usize) -> Folded<usize> {
    let counted = if index < 0 { index.checked_add(length as i64) } else { Some(index) };
    let place = counted.and_then(|index| usize::try_from(index).ok()).filter(|&place| place < length);
    place.ok_or_else(|| refused(format!("an index below {length}"), index))
}

/// Lengths of axes, none of them negative.
fn lengths(axes: &[i64]) -> Folded<Vec<usize>> {
    let lengths = axes.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<_>>();
    lengths.ok_or_else(|| refused("lengths of axes", format!("{axes:?}")))
}

/// Values in row order as an array of as many places.
fn array<T>(shape: IxDyn, values: Vec<T>) -> Folded<ArrayD<T>> {
    let expected = format!("values of shape {:?}", ndarray::Dimension::slice(&shape));
    ArrayD::from_shape_vec(shape, values).map_err(|error| refused(expected, error))
}

/// Values in row order, whatever the order in memory.
fn values<T: Copy>(array: &ArrayD<T>) -> Vec<T> {
    array.iter().copied().collect()
}

fn scalar(value: i64) -> Constant {
    Constant::Integers(ArrayD::from_elem(IxDyn(&[]), value))
}
