//! Losses with constant targets: sums of log-probabilities by a constant of weights.

use ndarray::{ArrayD, Dimension, IxDyn};

use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{LogSoftmax, Mul, Reduction};
use crate::store::onnx::Constant;

impl Translation<'_> {
    /// NegativeLogLikelihoodLoss of log-probabilities (N, C, …) and targets (N, …).
    pub(super) fn likelihood_loss(&mut self, site: &Site) -> Result<Vec<Value>> {
        let x = self.computed(site, 0)?;
        Ok(vec![Value::Computed(self.loss(site, &x)?)])
    }

    /// SoftmaxCrossEntropyLoss of scores (N, C, …) and targets (N, …), and its log-probabilities.
    pub(super) fn cross_entropy(&mut self, site: &Site) -> Result<Vec<Value>> {
        let x = self.computed(site, 0)?;
        let (image, axis) = self.along(site, &x, &[1])?;
        let logarithms = self.push_like(&format!("{}.log_softmax", site.name), LogSoftmax { axis }, &[&image])?;
        Ok(vec![Value::Computed(self.loss(site, &logarithms)?), Value::Computed(logarithms)])
    }

    fn loss(&mut self, site: &Site, x: &Computed) -> Result<Computed> {
        let shape = x.shape(self.batch);
        let misfit = |found: &[usize]| site.refused(format!("targets for {shape:?}"), format!("{found:?}"));
        let Some(Constant::Integers(targets)) = self.constant(site, 1)?.cloned() else {
            return Err(site.refused("whole numbers as targets", "others"));
        };
        if shape.len() < 2 || targets.shape() != [&shape[..1], &shape[2..]].concat() {
            return Err(misfit(targets.shape()));
        }
        let (ignored, classes) = (site.node.integer("ignore_index"), shape[1]);
        let weights = match self.floats(site, 2)? {
            Some(weights) if weights.len() == classes => weights.iter().copied().collect(),
            Some(weights) => return Err(site.refused(format!("{classes} weights"), format!("{:?}", weights.shape()))),
            None => vec![1.0; classes],
        };
        self.charge(shape.iter().map(|&length| length as u128).product(), size_of::<f32>())?;
        let mut factors = ArrayD::<f32>::zeros(IxDyn(&shape));
        let mut sum = 0.0;
        for (place, &target) in targets.indexed_iter().filter(|(_, target)| Some(**target) != ignored) {
            let class = usize::try_from(target).ok().filter(|&class| class < classes);
            let class = class.ok_or_else(|| site.refused(format!("classes below {classes}"), target))?;
            let place = [&place.slice()[..1], &[class], &place.slice()[1..]].concat();
            factors[IxDyn(&place)] = -weights[class];
            sum += weights[class];
        }
        let reduction = site.node.text("reduction").unwrap_or("mean");
        if reduction == "mean" {
            factors.mapv_inplace(|factor| factor / sum);
        }
        let factors = Side::Constant(factors, format!("{}.weights", site.name));
        let part = |part: &str| format!("{}.{part}", site.name);
        let losses = self.paired(site, &part("losses"), Mul.into(), [Side::Computed(x.clone()), factors])?;
        let axes: Vec<usize> = match reduction {
            "none" => vec![1],
            "mean" | "sum" => (0..shape.len()).collect(),
            other => return Err(site.refused("reduction none, mean or sum", other)),
        };
        self.reduce(site, &site.name, &losses, Reduction::Sum, &axes, false)
    }
}
