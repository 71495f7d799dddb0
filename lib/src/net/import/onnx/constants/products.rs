//! Matrix products and Einstein sums.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayView2, ArrayViewD, Axis, Dimension, Ix2, IxDyn};

use super::binary::{Number, broadcast};
use super::{Folded, Folding, WORK, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    /// Products of matrices, a pair for each place of the other axes, which broadcast; a vector is a row, or as the second a column.
    pub(super) fn matmul(&self) -> Folded<Constant> {
        match (self.first()?, self.input(1)?) {
            (Constant::Floats(a), Constant::Floats(b)) => self.matrices(a, b, dot).map(Constant::Floats),
            (Constant::Integers(a), Constant::Integers(b)) => self.matrices(a, b, summed).map(Constant::Integers),
            _ => Err(mixed()),
        }
    }

    fn matrices<T: Number>(
        &self,
        a: &ArrayD<T>,
        b: &ArrayD<T>,
        product: impl Fn(ArrayView2<T>, ArrayView2<T>) -> Option<Vec<T>>,
    ) -> Folded<ArrayD<T>> {
        let misfit = || refused("matrices that fit", format!("shapes {:?} and {:?}", a.shape(), b.shape()));
        let (is_row, is_column) = (a.ndim() == 1, b.ndim() == 1);
        let left = if is_row { a.view().insert_axis(Axis(0)) } else { a.view() };
        let right = if is_column { b.view().insert_axis(Axis(1)) } else { b.view() };
        let ([outer_left @ .., m, k], [outer_right @ .., inner, n]) = (left.shape(), right.shape()) else {
            return Err(misfit());
        };
        let (m, k, n) = (*m, *k, *n);
        if k != *inner {
            return Err(misfit());
        }
        let outer = broadcast(&[outer_left, outer_right])?;
        self.room(&[outer.as_slice(), &[m, n]].concat())?;
        require_work(outer.iter().chain(&[m, k, n]))?;
        let left = left.broadcast([outer.as_slice(), &[m, k]].concat()).ok_or_else(misfit)?;
        let right = right.broadcast([outer.as_slice(), &[k, n]].concat()).ok_or_else(misfit)?;
        let mut values = Vec::new();
        for at in ndarray::indices(IxDyn(&outer)) {
            let pair = matrix(&left, &at).zip(matrix(&right, &at)).ok_or_else(misfit)?;
            let product = product(pair.0, pair.1).ok_or_else(|| refused("sums of 64 bits", "larger ones"))?;
            values.extend(product);
        }
        let rows = (!is_row).then_some(m);
        let shape: Vec<usize> = outer.into_iter().chain(rows).chain((!is_column).then_some(n)).collect();
        super::array(IxDyn(&shape), values)
    }

    /// alpha A B + beta C, either matrix transposed first.
    pub(super) fn gemm(&self) -> Folded<Constant> {
        let (a, b) = (self.floats(0)?, self.floats(1)?);
        let turned = |array: &ArrayD<f32>, setting: &str| match self.integer(setting, 0) {
            0 => array.clone(),
            _ => array.view().reversed_axes().to_owned(),
        };
        let (a, b) = (turned(a, "transA"), turned(b, "transB"));
        if a.ndim() != 2 || b.ndim() != 2 {
            return Err(refused("two matrices", format!("shapes {:?} and {:?}", a.shape(), b.shape())));
        }
        let alpha = self.node.float("alpha").unwrap_or(1.0);
        let product = self.matrices(&a, &b, dot)? * alpha;
        let Some(_) = self.get(2) else { return Ok(Constant::Floats(product)) };
        let (bias, beta) = (self.floats(2)?, self.node.float("beta").unwrap_or(1.0));
        let spread = bias.broadcast(product.raw_dim());
        let spread = spread.ok_or_else(|| {
            refused(format!("what becomes {:?} as input 3", product.shape()), format!("shape {:?}", bias.shape()))
        })?;
        let sum = &product + &spread.mapv(|value| beta * value);
        Ok(Constant::Floats(sum))
    }

    /// The sum over all letters that are not in the result of the product of the operands.
    pub(super) fn einsum(&self) -> Folded<Constant> {
        let equation = self.node.text("equation").unwrap_or_default();
        let shapes: Vec<&[usize]> = self.inputs.iter().copied().flatten().map(Constant::shape).collect();
        let sum = Einsum::of(equation, &shapes)
            .ok_or_else(|| refused("letters that fit the operands", format!("\"{equation}\" of {shapes:?}")))?;
        let shape = self.room(&sum.output.iter().map(|letter| sum.lengths[letter]).collect::<Vec<_>>())?;
        require_work(sum.lengths.values())?;
        let floats: Option<Vec<_>> = self.inputs.iter().copied().flatten().map(as_floats).collect();
        let whole: Option<Vec<_>> = self.inputs.iter().copied().flatten().map(as_integers).collect();
        let large = || refused("sums of 64 bits", "larger ones");
        match (floats, whole) {
            (Some(floats), _) => super::array(shape, sum.values(&floats, 1.0).ok_or_else(large)?).map(Constant::Floats),
            (_, Some(whole)) => super::array(shape, sum.values(&whole, 1).ok_or_else(large)?).map(Constant::Integers),
            _ => Err(mixed()),
        }
    }
}

fn mixed() -> (String, String) {
    refused("constants of one type", "floats and whole numbers")
}

fn as_floats(constant: &Constant) -> Option<&ArrayD<f32>> {
    if let Constant::Floats(array) = constant { Some(array) } else { None }
}

fn as_integers(constant: &Constant) -> Option<&ArrayD<i64>> {
    if let Constant::Integers(array) = constant { Some(array) } else { None }
}

fn require_work<'a>(lengths: impl Iterator<Item = &'a usize>) -> Folded<()> {
    let count = lengths.fold(1u128, |count, &length| count.saturating_mul(length as u128));
    if count <= WORK { Ok(()) } else { Err(refused(format!("at most {WORK} multiplications"), count)) }
}

/// The last two axes at a place of the others.
fn matrix<'a, T>(array: &'a ArrayViewD<T>, at: &IxDyn) -> Option<ArrayView2<'a, T>> {
    let mut view = array.view();
    for &place in at.slice() {
        view = view.index_axis_move(Axis(0), place);
    }
    view.into_dimensionality::<Ix2>().ok()
}

#[expect(clippy::unnecessary_wraps, reason = "whole numbers may not hold theirs")]
fn dot(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Option<Vec<f32>> {
    Some(a.dot(&b).iter().copied().collect())
}

fn summed(a: ArrayView2<i64>, b: ArrayView2<i64>) -> Option<Vec<i64>> {
    let columns = b.columns();
    let product = |row: ndarray::ArrayView1<i64>, column: ndarray::ArrayView1<i64>| {
        row.iter().zip(column).try_fold(0i64, |sum, (&a, &b)| sum.checked_add(a.checked_mul(b)?))
    };
    let rows = a.rows().into_iter();
    rows.flat_map(|row| columns.clone().into_iter().map(move |column| product(row, column))).collect()
}

/// An equation, its letters resolved.
struct Einsum {
    /// The letters of each operand's axes.
    operands: Vec<Vec<char>>,
    /// The letters of the result's axes.
    output: Vec<char>,
    /// The letters that are summed over.
    inner: Vec<char>,
    /// The length of each letter's axes.
    lengths: BTreeMap<char, usize>,
}

impl Einsum {
    /// `None` for letters that do not fit the shapes, and for an ellipsis.
    fn of(equation: &str, shapes: &[&[usize]]) -> Option<Self> {
        let equation: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (left, right) =
            equation.split_once("->").map_or((equation.as_str(), None), |(left, right)| (left, Some(right)));
        let operands: Vec<Vec<char>> = left.split(',').map(|operand| operand.chars().collect()).collect();
        let mut lengths = BTreeMap::new();
        let ranks = operands.iter().zip(shapes).all(|(letters, shape)| letters.len() == shape.len());
        if operands.len() != shapes.len() || !ranks {
            return None;
        }
        for (&letter, &length) in operands.iter().flatten().zip(shapes.iter().copied().flatten()) {
            if !letter.is_ascii_alphabetic() || *lengths.entry(letter).or_insert(length) != length {
                return None;
            }
        }
        let once = |letter: &&char| operands.iter().flatten().filter(|other| other == letter).count() == 1;
        let output: Vec<char> = match right {
            Some(right) => right.chars().collect(),
            // Letters that stand once, in their order.
            None => lengths.keys().filter(once).copied().collect(),
        };
        let is_new =
            |(place, letter): (usize, &char)| lengths.contains_key(letter) && !output[..place].contains(letter);
        if !output.iter().enumerate().all(is_new) {
            return None;
        }
        let inner = lengths.keys().filter(|letter| !output.contains(letter)).copied().collect();
        Some(Self { operands, output, inner, lengths })
    }

    fn values<T: Number>(&self, operands: &[&ArrayD<T>], one: T) -> Option<Vec<T>> {
        let letters: Vec<char> = self.output.iter().chain(&self.inner).copied().collect();
        // How far a step of each letter goes in each operand.
        let steps = |(operand, array): (&Vec<char>, &&ArrayD<T>)| {
            let step = |letter: &char| {
                let axes = operand.iter().zip(array.shape()).rev().scan(1, |step, (of, &length)| {
                    let own = *step;
                    *step *= length;
                    Some(if of == letter { own } else { 0 })
                });
                axes.sum::<usize>()
            };
            letters.iter().map(step).collect::<Vec<_>>()
        };
        let steps: Vec<Vec<usize>> = self.operands.iter().zip(operands).map(steps).collect();
        let values: Vec<Vec<T>> = operands.iter().map(|array| super::values(array)).collect();
        let shape: Vec<usize> = letters.iter().map(|letter| self.lengths[letter]).collect();
        let (outer, inner) = shape.split_at(self.output.len());
        let offset = |steps: &[usize], at: &[usize]| at.iter().zip(steps).map(|(at, step)| at * step).sum::<usize>();
        let value = |at: IxDyn| {
            let start: Vec<usize> = steps.iter().map(|steps| offset(&steps[..outer.len()], at.slice())).collect();
            ndarray::indices(IxDyn(inner)).into_iter().try_fold(T::default(), |sum, at| {
                let factors = values.iter().zip(&start).zip(&steps);
                let product = factors.into_iter().try_fold(one, |product, ((values, start), steps)| {
                    product.times(values[start + offset(&steps[outer.len()..], at.slice())])
                })?;
                sum.plus(product)
            })
        };
        ndarray::indices(IxDyn(outer)).into_iter().map(value).collect()
    }
}
