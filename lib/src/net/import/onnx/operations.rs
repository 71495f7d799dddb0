//! Which operation of a file is translated by what.

use super::translation::Translation;
use super::value::{Computed, Site, Value};
use crate::net::error::{Error, Result};
use crate::net::op::*;

/// What makes an operation's outputs of values that depend on the images.
type Rule = for<'m> fn(&mut Translation<'m>, &Site<'m>) -> Result<Vec<Value>>;

/// The operations that are known; another domain's by that and its name.
const RULES: &[(&str, Rule)] = &[
    ("Abs", |all, site| one(all.each(site, Abs))),
    ("Acos", |all, site| one(all.each(site, Acos))),
    ("Acosh", |all, site| one(all.each(site, Acosh))),
    ("Add", |all, site| one(all.all_together(site, &Add.into()))),
    ("And", |all, site| one(all.two(site, Mul))),
    ("ArgMax", |all, site| one(all.place_of_extreme(site))),
    ("ArgMin", |all, site| one(all.place_of_extreme(site))),
    ("Asin", |all, site| one(all.each(site, Asin))),
    ("Asinh", |all, site| one(all.each(site, Asinh))),
    ("Atan", |all, site| one(all.each(site, Atan))),
    ("Atanh", |all, site| one(all.each(site, Atanh))),
    ("Attention", |all, site| all.attention(site)),
    ("AveragePool", |all, site| one(all.pool(site))),
    ("BatchNormalization", |all, site| one(all.batch_norm(site))),
    ("Cast", |all, site| one(all.cast(site))),
    ("CastLike", |all, site| one(all.cast(site))),
    ("Ceil", |all, site| one(all.each(site, Ceil))),
    ("Celu", |all, site| one(all.each(site, Celu { alpha: site.float("alpha", 1.0) }))),
    ("CenterCropPad", |all, site| one(all.picked(site, &[0]))),
    ("Clip", |all, site| one(all.clipped(site))),
    ("Compress", |all, site| one(all.picked(site, &[0]))),
    ("Concat", |all, site| one(all.joined(site))),
    ("Conv", |all, site| one(all.convolution(site))),
    ("ConvInteger", |all, site| all.of_integers(site).map(|value| vec![value])),
    ("ConvTranspose", |all, site| one(all.transposed_convolution(site))),
    ("Cos", |all, site| one(all.each(site, Cos))),
    ("Cosh", |all, site| one(all.each(site, Cosh))),
    ("DepthToSpace", |all, site| one(all.blocks(site))),
    ("DequantizeLinear", |all, site| all.unquantised(site)),
    ("Div", |all, site| one(all.two(site, Div))),
    ("Dropout", |all, site| one(all.computed(site, 0))),
    ("DynamicQuantizeLinear", |all, site| all.unquantised(site)),
    ("Einsum", |all, site| one(all.einsum(site))),
    ("Elu", |all, site| one(all.each(site, Elu { alpha: site.float("alpha", 1.0) }))),
    ("Equal", |all, site| one(all.two(site, Equal))),
    ("Erf", |all, site| one(all.each(site, Erf))),
    ("Exp", |all, site| one(all.each(site, Exp))),
    ("Expand", |all, site| one(all.spread_out(site))),
    ("Flatten", |all, site| one(all.renamed(site))),
    ("Floor", |all, site| one(all.each(site, Floor))),
    ("GRU", |all, site| all.recurrent(site)),
    ("Gather", |all, site| one(all.gathered(site))),
    ("GatherElements", |all, site| one(all.picked(site, &[0]))),
    ("GatherND", |all, site| one(all.picked(site, &[0]))),
    ("Gelu", |all, site| one(all.gelu(site))),
    ("Gemm", |all, site| one(all.gemm(site))),
    ("GlobalAveragePool", |all, site| one(all.global_pool(site))),
    ("GlobalLpPool", |all, site| one(all.global_pool(site))),
    ("GlobalMaxPool", |all, site| one(all.global_pool(site))),
    ("Greater", |all, site| one(all.turned_round(site, Less))),
    ("GreaterOrEqual", |all, site| one(all.turned_round(site, LessEqual))),
    ("GroupNormalization", |all, site| one(all.group_norm(site))),
    ("HardSigmoid", |all, site| {
        one(all.each(site, HardSigmoid { alpha: site.float("alpha", 0.2), beta: site.float("beta", 0.5) }))
    }),
    ("HardSwish", |all, site| one(all.each(site, HardSwish))),
    ("Hardmax", |all, site| one(all.hardmax(site))),
    ("Identity", |all, site| one(all.computed(site, 0))),
    ("InstanceNormalization", |all, site| one(all.instance_norm(site))),
    ("IsNaN", |all, site| one(all.is_no_number(site))),
    ("LRN", |all, site| one(all.local_response(site))),
    ("LSTM", |all, site| all.recurrent(site)),
    ("LayerNormalization", |all, site| all.layer_norm_and_moments(site)),
    ("LeakyRelu", |all, site| one(all.each(site, LeakyRelu { slope: site.float("alpha", 0.01) }))),
    ("Less", |all, site| one(all.two(site, Less))),
    ("LessOrEqual", |all, site| one(all.two(site, LessEqual))),
    ("Log", |all, site| one(all.each(site, Log))),
    ("LogSoftmax", |all, site| one(all.softmax(site))),
    ("LpNormalization", |all, site| one(all.lp_norm(site))),
    ("LpPool", |all, site| one(all.pool(site))),
    ("MatMul", |all, site| one(all.product(site))),
    ("MatMulInteger", |all, site| all.of_integers(site).map(|value| vec![value])),
    ("Max", |all, site| one(all.all_together(site, &Maximum.into()))),
    ("MaxPool", |all, site| one(all.pool(site))),
    ("Mean", |all, site| one(all.all_together(site, &Add.into()))),
    ("MeanVarianceNormalization", |all, site| one(all.mean_variance_norm(site))),
    ("Min", |all, site| one(all.all_together(site, &Minimum.into()))),
    ("Mish", |all, site| one(all.each(site, Mish))),
    ("Mod", |all, site| one(all.remainder(site))),
    ("Mul", |all, site| one(all.two(site, Mul))),
    ("Neg", |all, site| one(all.each(site, Neg))),
    ("NegativeLogLikelihoodLoss", |all, site| all.likelihood_loss(site)),
    ("Not", |all, site| one(all.not(site))),
    ("Or", |all, site| one(all.two(site, Maximum))),
    ("PRelu", |all, site| one(all.parametric(site))),
    ("Pad", |all, site| one(all.padded(site))),
    ("Pow", |all, site| one(all.power(site))),
    ("QuantizeLinear", |all, site| all.unquantised(site)),
    ("RMSNormalization", |all, site| one(all.layer_norm(site, true))),
    ("RNN", |all, site| all.recurrent(site)),
    ("Reciprocal", |all, site| one(all.each(site, Reciprocal))),
    ("ReduceL1", |all, site| one(all.reduced(site))),
    ("ReduceL2", |all, site| one(all.reduced(site))),
    ("ReduceLogSum", |all, site| one(all.reduced(site))),
    ("ReduceLogSumExp", |all, site| one(all.reduced(site))),
    ("ReduceMax", |all, site| one(all.reduced(site))),
    ("ReduceMean", |all, site| one(all.reduced(site))),
    ("ReduceMin", |all, site| one(all.reduced(site))),
    ("ReduceProd", |all, site| one(all.reduced(site))),
    ("ReduceSum", |all, site| one(all.reduced(site))),
    ("ReduceSumSquare", |all, site| one(all.reduced(site))),
    ("Relu", |all, site| one(all.each(site, Relu))),
    ("Reshape", |all, site| one(all.renamed(site))),
    ("Resize", |all, site| one(all.resized(site))),
    ("ReverseSequence", |all, site| one(all.picked(site, &[0]))),
    ("RotaryEmbedding", |all, site| one(all.rotated(site))),
    ("Round", |all, site| one(all.each(site, Round))),
    ("Scatter", |all, site| one(all.scattered(site))),
    ("ScatterElements", |all, site| one(all.scattered(site))),
    ("ScatterND", |all, site| one(all.scattered(site))),
    ("Selu", |all, site| one(all.selu(site))),
    ("Shape", |all, site| all.shape(site).map(|value| vec![value])),
    ("Shrink", |all, site| {
        one(all.each(site, Shrink { lambda: site.float("lambd", 0.5), bias: site.float("bias", 0.0) }))
    }),
    ("Sigmoid", |all, site| one(all.each(site, Sigmoid))),
    ("Sign", |all, site| one(all.each(site, Sign))),
    ("SimplifiedLayerNormalization", |all, site| one(all.layer_norm(site, true))),
    ("Sin", |all, site| one(all.each(site, Sin))),
    ("Sinh", |all, site| one(all.each(site, Sinh))),
    ("Size", |all, site| all.shape(site).map(|value| vec![value])),
    ("Slice", |all, site| one(all.sliced(site))),
    ("Softmax", |all, site| one(all.softmax(site))),
    ("SoftmaxCrossEntropyLoss", |all, site| all.cross_entropy(site)),
    ("Softplus", |all, site| one(all.each(site, Softplus { beta: 1.0 }))),
    ("Softsign", |all, site| one(all.each(site, Softsign))),
    ("SpaceToDepth", |all, site| one(all.blocks(site))),
    ("Split", |all, site| all.split(site)),
    ("Sqrt", |all, site| one(all.each(site, Sqrt))),
    ("Squeeze", |all, site| one(all.renamed(site))),
    ("Sub", |all, site| one(all.two(site, Sub))),
    ("Sum", |all, site| one(all.all_together(site, &Add.into()))),
    ("Swish", |all, site| one(all.swish(site, 1.0))),
    ("Tan", |all, site| one(all.each(site, Tan))),
    ("Tanh", |all, site| one(all.each(site, Tanh))),
    ("ThresholdedRelu", |all, site| one(all.each(site, Threshold { threshold: site.float("alpha", 1.0), value: 0.0 }))),
    ("Tile", |all, site| one(all.tiled(site))),
    ("Transpose", |all, site| one(all.transposed(site))),
    ("Trilu", |all, site| one(all.picked(site, &[0]))),
    ("Unsqueeze", |all, site| one(all.renamed(site))),
    ("Upsample", |all, site| one(all.resized(site))),
    ("Where", |all, site| one(all.chosen(site))),
    ("com.microsoft.BiasGelu", |all, site| one(all.bias_gelu(site))),
    ("com.microsoft.DequantizeLinear", |all, site| all.unquantised(site)),
    ("com.microsoft.FastGelu", |all, site| one(all.fast_gelu(site))),
    ("com.microsoft.FusedConv", |all, site| one(all.fused_convolution(site))),
    ("com.microsoft.FusedGemm", |all, site| one(all.fused_gemm(site))),
    ("com.microsoft.FusedMatMul", |all, site| one(all.fused_product(site))),
    ("com.microsoft.Gelu", |all, site| one(all.gelu(site))),
    ("com.microsoft.QuantizeLinear", |all, site| all.unquantised(site)),
    ("com.microsoft.QuickGelu", |all, site| one(all.swish(site, 1.702))),
];

fn one(value: Result<Computed>) -> Result<Vec<Value>> {
    Ok(vec![Value::Computed(value?)])
}

fn rule(operation: &str) -> Option<Rule> {
    RULES.iter().find(|(name, _)| *name == operation).map(|(_, rule)| *rule)
}

/// Whether an operation is translated at all.
pub(super) fn is_known(operation: &str) -> bool {
    rule(operation).is_some()
}

impl Site<'_> {
    /// The refusal of an operation that is not known.
    pub(super) fn unknown(&self) -> Error {
        self.refused(format!("one of the {} operations that docs/onnx.md lists", RULES.len()), "another")
    }
}

impl<'m> Translation<'m> {
    /// What an operation makes of values that depend on the images.
    pub(super) fn translated(&mut self, site: &Site<'m>) -> Result<Vec<Value>> {
        let rule = rule(&site.node.operation).ok_or_else(|| site.unknown())?;
        rule(self, site)
    }

    fn two(&mut self, site: &Site, op: impl Into<Op>) -> Result<Computed> {
        let sides = [self.side(site, 0)?, self.side(site, 1)?];
        self.paired(site, &site.name, op.into(), sides)
    }

    /// The operation of the second input and the first.
    fn turned_round(&mut self, site: &Site, op: impl Into<Op>) -> Result<Computed> {
        let sides = [self.side(site, 1)?, self.side(site, 0)?];
        self.paired(site, &site.name, op.into(), sides)
    }
}
