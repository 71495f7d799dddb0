//! Whole numbers of few bits in place of floats: of one scale, a scale along an axis, or a scale a block of an axis.

use ndarray::{ArrayD, Axis, IxDyn};

use super::{Folded, Folding, refused};
use crate::store::onnx::{Constant, ElementType};

impl Folding<'_> {
    /// (x - zero point) scale.
    pub(super) fn dequantise(&self) -> Folded<Constant> {
        let x = self.integers(0)?;
        let (scale, zero) = self.scales(x.shape())?;
        let values = x.iter().zip(&scale).zip(&zero).map(|((x, scale), zero)| x.wrapping_sub(*zero) as f32 * scale);
        super::array(x.raw_dim(), values.collect()).map(Constant::Floats)
    }

    /// x / scale + zero point, rounded to the nearest, to even of two, within the range of the result's type.
    pub(super) fn quantise(&self) -> Folded<Constant> {
        let x = self.floats(0)?;
        let (scale, zero) = self.scales(x.shape())?;
        let said = self.node.integer("output_dtype").and_then(ElementType::of);
        // The file's reader says the type wherever it knows it. A zero point that was computed can only be guessed at.
        let guessed = if zero.iter().any(|&zero| zero < 0) { ElementType::I8 } else { ElementType::U8 };
        let element = said.unwrap_or(guessed);
        let (low, high) =
            element.range().ok_or_else(|| refused("whole numbers as output_dtype", format!("{element:?}")))?;
        let quantised = |((x, scale), zero): ((&f32, &f32), &i64)| {
            let steps = (x / scale).round_ties_even() as i64;
            steps.saturating_add(*zero).clamp(low, high)
        };
        super::array(x.raw_dim(), x.iter().zip(&scale).zip(&zero).map(quantised).collect()).map(Constant::Integers)
    }

    /// The scale and the zero point of each value.
    fn scales(&self, shape: &[usize]) -> Folded<(ArrayD<f32>, ArrayD<i64>)> {
        let scale = self.floats(1)?;
        let zero = self.get(2).map(|_| self.integers(2)).transpose()?;
        if zero.is_some_and(|zero| zero.len() != 1 && zero.shape() != scale.shape()) {
            return Err(refused(format!("zero points of shape {:?}", scale.shape()), "another"));
        }
        // A scale and a zero point.
        self.room(&[shape, &[2]].concat())?;
        let zero = zero.map_or_else(|| Ok(ArrayD::zeros(IxDyn(shape))), |zero| self.spread_along(zero, shape))?;
        Ok((self.spread_along(scale, shape)?, zero))
    }

    /// A number, a number for each place of an axis, or a number for each block of it, repeated for an array of this shape.
    fn spread_along<T: Copy>(&self, numbers: &ArrayD<T>, shape: &[usize]) -> Folded<ArrayD<T>> {
        let misfit = || refused(format!("scales that fit shape {shape:?}"), format!("shape {:?}", numbers.shape()));
        let block = usize::try_from(self.integer("block_size", 0)).map_err(|_| misfit())?;
        let spread = match (numbers.len(), numbers.ndim()) {
            (1, _) => numbers.first().map(|&number| ArrayD::from_elem(IxDyn(shape), number)),
            (_, 1) if block == 0 => {
                let axis = self.axis(1, shape.len())?;
                let mut along = vec![1; shape.len()];
                along[axis] = numbers.len();
                numbers
                    .view()
                    .into_shape_with_order(IxDyn(&along))
                    .ok()
                    .and_then(|along| Some(along.broadcast(IxDyn(shape))?.to_owned()))
            }
            _ if block > 0 && numbers.ndim() == shape.len() => {
                let axis = self.axis(1, shape.len())?;
                let mut blocks = shape.to_vec();
                blocks[axis] = shape[axis].div_ceil(block);
                let places: Vec<usize> = (0..shape[axis]).map(|place| place / block).collect();
                (numbers.shape() == blocks).then(|| numbers.select(Axis(axis), &places))
            }
            _ => None,
        };
        spread.ok_or_else(misfit)
    }
}
