//! Layers and pools in ONNX.

use super::builder::Builder;
use crate::net::graph::Node;
use crate::net::op::{AvgPool2d, Conv2d, ConvTranspose2d, Linear, MaxPool2d, Pair, Sides};
use crate::ops::window::Padding;
use crate::store::onnx::Attribute;

pub(super) fn integers(values: impl IntoIterator<Item = usize>) -> Attribute {
    Attribute::Integers(values.into_iter().map(|value| value as i64).collect())
}

fn pads(sides: &Sides) -> Attribute {
    let Padding { top, bottom, left, right } = sides.padding();
    integers([top, left, bottom, right])
}

fn pair(pair: Pair) -> Attribute {
    integers(pair.values())
}

impl Builder<'_> {
    pub fn convolution(&mut self, place: usize, node: &Node, op: &Conv2d) {
        let x = self.read(node, 0, false);
        let inputs: Vec<String> = std::iter::once(x).chain(self.weights(place)).collect();
        self.node(
            "Conv",
            &node.name,
            &inputs,
            [
                ("kernel_shape", pair(op.kernel)),
                ("strides", pair(op.stride)),
                ("dilations", pair(op.dilation)),
                ("pads", pads(&op.padding)),
                ("group", Attribute::Integer(op.groups as i64)),
            ],
        );
        self.give(node, &node.name, false);
    }

    pub fn transposed_convolution(&mut self, place: usize, node: &Node, op: &ConvTranspose2d) {
        let x = self.read(node, 0, false);
        let inputs: Vec<String> = std::iter::once(x).chain(self.weights(place)).collect();
        let added = op.output_padding.padding();
        self.node(
            "ConvTranspose",
            &node.name,
            &inputs,
            [
                ("kernel_shape", pair(op.kernel)),
                ("strides", pair(op.stride)),
                ("dilations", pair(op.dilation)),
                ("pads", pads(&op.padding)),
                ("output_padding", integers([added.bottom, added.right])),
                ("group", Attribute::Integer(op.groups as i64)),
            ],
        );
        self.give(node, &node.name, false);
    }

    fn weights(&mut self, place: usize) -> Vec<String> {
        ["weight", "bias"].into_iter().filter_map(|name| self.parameter(place, name, None)).collect()
    }

    pub fn linear(&mut self, place: usize, node: &Node, op: &Linear) {
        if !op.every_place {
            let x = self.read(node, 0, true);
            let inputs: Vec<String> = std::iter::once(x).chain(self.weights(place)).collect();
            self.node("Gemm", &node.name, &inputs, [("transB", Attribute::Integer(1))]);
            return self.give(node, &node.name, true);
        }
        let x = self.read(node, 0, false);
        let last = self.channels_last(&node.name, &x);
        let mut weights = self.weights(place).into_iter();
        let weight = weights.next().unwrap_or_default();
        let turned = self.fresh(&format!("{}.weight_transposed", node.name));
        self.node("Transpose", &turned, &[weight], [("perm", integers([1, 0]))]);
        let mut y = self.fresh(&format!("{}.product", node.name));
        self.node("MatMul", &y.clone(), &[last, turned], []);
        if let Some(bias) = weights.next() {
            let sum = self.fresh(&format!("{}.sum", node.name));
            self.node("Add", &sum, &[y, bias], []);
            y = sum;
        }
        self.channels_first(&node.name, &y);
        self.give(node, &node.name, false);
    }

    /// (N, C, H, W) as (N, H, W, C).
    pub fn channels_last(&mut self, name: &str, x: &str) -> String {
        let last = self.fresh(&format!("{name}.channels_last"));
        self.node("Transpose", &last, &[x.to_string()], [("perm", integers([0, 2, 3, 1]))]);
        last
    }

    /// (N, H, W, C) as the value (N, C, H, W) of this name.
    pub fn channels_first(&mut self, name: &str, x: &str) {
        self.node("Transpose", name, &[x.to_string()], [("perm", integers([0, 3, 1, 2]))]);
    }

    pub fn max_pool(&mut self, node: &Node, op: &MaxPool2d) {
        let x = self.read(node, 0, false);
        let stride = op.stride.unwrap_or(op.kernel);
        self.node(
            "MaxPool",
            &node.name,
            &[x],
            [
                ("kernel_shape", pair(op.kernel)),
                ("strides", pair(stride)),
                ("dilations", pair(op.dilation)),
                ("pads", pads(&op.padding)),
                ("ceil_mode", Attribute::Integer(op.ceil_mode.into())),
            ],
        );
        self.give(node, &node.name, false);
    }

    pub fn average_pool(&mut self, node: &Node, op: &AvgPool2d) {
        let x = self.read(node, 0, false);
        let stride = op.stride.unwrap_or(op.kernel);
        self.node(
            "AveragePool",
            &node.name,
            &[x],
            [
                ("kernel_shape", pair(op.kernel)),
                ("strides", pair(stride)),
                ("pads", pads(&op.padding)),
                ("ceil_mode", Attribute::Integer(op.ceil_mode.into())),
                ("count_include_pad", Attribute::Integer(op.count_include_pad.into())),
            ],
        );
        self.give(node, &node.name, false);
    }
}
