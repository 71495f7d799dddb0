//! Batch normalisation of constants, such as the standardised weights of a network without normalisation.

use ndarray::Axis;

use super::{Folded, Folding, refused};
use crate::store::onnx::Constant;

impl Folding<'_> {
    /// scale (x - mean) / √(variance + ε) + shift along axis 1, by the statistics of x itself in training mode.
    pub(super) fn batch_normalise(&self) -> Folded<Constant> {
        let mut x = self.floats(0)?.clone();
        if x.ndim() < 2 {
            return Err(refused("at least two axes", x.ndim()));
        }
        let numbers = |which: usize| -> Folded<Vec<f64>> {
            let all: Vec<f64> = self.floats(which)?.iter().map(|&value| f64::from(value)).collect();
            match all.len() == x.shape()[1] {
                true => Ok(all),
                false => Err(refused(format!("{} numbers as input {}", x.shape()[1], which + 1), all.len())),
            }
        };
        let (scale, shift, mean, variance) = (numbers(1)?, numbers(2)?, numbers(3)?, numbers(4)?);
        let eps = f64::from(self.node.float("epsilon").unwrap_or(1e-5));
        let is_training = self.integer("training_mode", 0) != 0;
        for (channel, mut values) in x.axis_iter_mut(Axis(1)).enumerate() {
            let (mean, variance) = match is_training {
                false => (mean[channel], variance[channel]),
                true => {
                    let count = values.len() as f64;
                    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
                    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
                    (mean, squares / count)
                }
            };
            let factor = scale[channel] / (variance + eps).sqrt();
            values.mapv_inplace(|value| ((f64::from(value) - mean) * factor + shift[channel]) as f32);
        }
        Ok(Constant::Floats(x))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::store::onnx::{Attribute, Node};

    #[test]
    fn weights_are_standardised_row_by_row() {
        let array =
            |shape: &[usize], values: Vec<f32>| Constant::Floats(ArrayD::from_shape_vec(shape, values).unwrap());
        let x = array(&[1, 2, 2], vec![1.0, 3.0, 5.0, 5.5]);
        let [ones, zeros] = [1.0, 0.0].map(|value| array(&[2], vec![value; 2]));
        let attributes =
            [("training_mode".to_string(), Attribute::Integer(1)), ("epsilon".to_string(), Attribute::Float(0.0))];
        let node = Node {
            name: "standardise".into(),
            operation: "BatchNormalization".into(),
            inputs: vec![String::new(); 5],
            outputs: vec!["y".into()],
            attributes: attributes.into(),
        };
        let inputs = [Some(&x), Some(&ones), Some(&zeros), Some(&zeros), Some(&ones)];
        let y = super::super::folded(&node, &inputs, 17, 0).unwrap();
        assert_eq!(y, [array(&[1, 2, 2], vec![-1.0, 1.0, -1.0, 1.0])]);
    }
}
