//! What each operation of a network is in ONNX.

use super::builder::Builder;
use super::layers::integers;
use crate::net::error::{Error, Result};
use crate::net::graph::Node;
use crate::net::op::{Axis, Coordinates, Einsum, Interpolation, Op, PadMode, Rearrange, Resize, Rounding};
use crate::ops::window::Padding;
use crate::store::onnx::Attribute;

fn float(value: f64) -> Attribute {
    Attribute::Float(value as f32)
}

fn text(word: &str) -> Attribute {
    Attribute::Text(word.into())
}

/// The axis of (N, C, H, W).
pub(super) fn place(axis: Axis) -> i64 {
    match axis {
        Axis::Channels => 1,
        Axis::Height => 2,
        Axis::Width => 3,
    }
}

impl Builder<'_> {
    /// Adds what the node at `place` computes.
    pub fn export(&mut self, place: usize, node: &Node) -> Result<()> {
        match &node.op {
            Op::Conv2d(op) => self.convolution(place, node, op),
            Op::ConvTranspose2d(op) => self.transposed_convolution(place, node, op),
            Op::Linear(op) => self.linear(place, node, op),
            Op::MaxPool2d(op) => self.max_pool(node, op),
            Op::AvgPool2d(op) => self.average_pool(node, op),
            Op::GlobalAvgPool(_) => self.image(node, "GlobalAveragePool", []),
            Op::Input(op) => self.input(node, op.shape),
            Op::Constant(op) => {
                let size = op.size;
                let shape = [1, size.channels, size.height, size.width];
                let name = self.parameter(place, "value", Some(&shape)).unwrap_or_default();
                self.give(node, &name, false);
            }
            Op::Flatten(_) => {
                let x = self.as_is(node, 0);
                self.node("Flatten", &node.name, &[x.name], [("axis", Attribute::Integer(1))]);
                self.give(node, &node.name, true);
            }
            Op::Reshape(op) => {
                let x = self.as_is(node, 0);
                let shape: Vec<i64> = std::iter::once(-1).chain(op.shape.map(|length| length as i64)).collect();
                let shape = self.integers(&format!("{}.shape", node.name), &shape);
                self.node("Reshape", &node.name, &[x.name, shape], []);
                self.give(node, &node.name, false);
            }
            Op::Rearrange(op) => self.rearranged(place, node, op),
            Op::Einsum(op) => self.contracted(place, node, op),
            Op::Concat(op) => self.side_by_side(node, op.axis),
            Op::Slice(op) => {
                let step = op.step as i64;
                let settings = [
                    ("starts", op.start as i64),
                    ("ends", op.end as i64),
                    ("axes", self::place(op.axis)),
                    ("steps", step),
                ];
                let x = self.read(node, 0, false);
                let settings = settings.map(|(name, value)| self.integers(&format!("{}.{name}", node.name), &[value]));
                let inputs: Vec<String> = std::iter::once(x).chain(settings).collect();
                self.node("Slice", &node.name, &inputs, []);
                self.give(node, &node.name, false);
            }
            Op::Gather(op) => {
                let x = self.read(node, 0, false);
                let indices: Vec<i64> = op.indices.iter().map(|&index| index as i64).collect();
                let indices = self.integers(&format!("{}.indices", node.name), &indices);
                self.node("Gather", &node.name, &[x, indices], [("axis", Attribute::Integer(self::place(op.axis)))]);
                self.give(node, &node.name, false);
            }
            Op::Pad(op) => {
                let Padding { top, bottom, left, right } = op.padding.padding();
                let [before, after] = op.channels;
                let pads = [0, before, top, left, 0, after, bottom, right].map(|length| length as i64);
                let pads = self.integers(&format!("{}.pads", node.name), &pads);
                let value = self.number(&format!("{}.value", node.name), op.value);
                let mode = match op.mode {
                    PadMode::Zeros => "constant",
                    PadMode::Reflect => "reflect",
                    PadMode::Edge => "edge",
                    // Opset 19 and later.
                    PadMode::Wrap => return Err(unsaid(node, "padding that wraps")),
                };
                let x = self.read(node, 0, false);
                self.node("Pad", &node.name, &[x, pads, value], [("mode", text(mode))]);
                self.give(node, &node.name, false);
            }
            Op::Resize(op) => self.resized(place, node, op)?,
            Op::UpsampleNearest(op) => {
                let factor = op.factor as f32;
                let x = self.read(node, 0, false);
                let scales = self.floats(&format!("{}.scales", node.name), &[4], vec![1.0, 1.0, factor, factor]);
                let settings = [
                    ("mode", text("nearest")),
                    ("coordinate_transformation_mode", text("asymmetric")),
                    ("nearest_mode", text("floor")),
                ];
                self.node("Resize", &node.name, &[x, String::new(), scales], settings);
                self.give(node, &node.name, false);
            }
            Op::UpsampleBilinear(_) => {
                let sizes = self.target(place, node);
                let x = self.read(node, 0, false);
                self.node("Resize", &node.name, &[x, String::new(), String::new(), sizes], [("mode", text("linear"))]);
                self.give(node, &node.name, false);
            }
            Op::Softmax(op) => self.image(node, "Softmax", [("axis", Attribute::Integer(self::place(op.axis)))]),
            Op::LogSoftmax(op) => self.image(node, "LogSoftmax", [("axis", Attribute::Integer(self::place(op.axis)))]),
            Op::Reduce(op) => self.reduced(node, op)?,
            Op::BatchNorm(op) => {
                let x = self.as_is(node, 0);
                let names = ["weight", "bias", "running_mean", "running_var"];
                let parameters = names.into_iter().filter_map(|name| self.parameter(place, name, None));
                let inputs: Vec<String> = parameters.collect();
                let inputs: Vec<String> = std::iter::once(x.name).chain(inputs).collect();
                self.node("BatchNormalization", &node.name, &inputs, [("epsilon", float(op.eps))]);
                self.give(node, &node.name, x.is_vector);
            }
            Op::LayerNorm(op) => {
                let x = self.read(node, 0, false);
                let last = self.channels_last(&node.name, &x);
                let inputs: Vec<String> =
                    ["weight", "bias"].into_iter().filter_map(|name| self.parameter(place, name, None)).collect();
                let inputs: Vec<String> = std::iter::once(last).chain(inputs).collect();
                let norm = self.fresh(&format!("{}.normalised", node.name));
                let settings = [("axis", Attribute::Integer(-1)), ("epsilon", float(op.eps))];
                self.node("LayerNormalization", &norm, &inputs, settings);
                self.channels_first(&node.name, &norm);
                self.give(node, &node.name, false);
            }
            Op::RmsNorm(op) => {
                let x = self.read(node, 0, false);
                let [squares, mean, floor, root, norm] = ["squares", "mean", "floor", "root", "normalised"]
                    .map(|part| self.fresh(&format!("{}.{part}", node.name)));
                let eps = self.number(&format!("{}.eps", node.name), op.eps);
                let channels = self.sizes(place).0.channels;
                let weight = self.parameter(place, "weight", Some(&[1, channels, 1, 1])).unwrap_or_default();
                self.node("Mul", &squares, &[x.clone(), x.clone()], []);
                self.node("ReduceMean", &mean, &[squares], [("axes", Attribute::Integers(vec![1]))]);
                self.node("Add", &floor, &[mean, eps], []);
                self.node("Sqrt", &root, &[floor], []);
                self.node("Div", &norm, &[x, root], []);
                self.node("Mul", &node.name, &[norm, weight], []);
                self.give(node, &node.name, false);
            }
            Op::GroupNorm(op) => {
                let size = self.sizes(place).0;
                let x = self.read(node, 0, false);
                let part = |part: &str| format!("{}.{part}", node.name);
                let (groups, channels) = (op.groups, size.channels);
                let split = self.integers(&part("split"), &[0, groups as i64, -1]);
                let join = self.integers(&part("join"), &[0, channels as i64, size.height as i64, size.width as i64]);
                let ones = self.floats(&part("ones"), &[groups], vec![1.0; groups]);
                let zeros = self.floats(&part("zeros"), &[groups], vec![0.0; groups]);
                let [rows, norm, whole, scaled] =
                    ["rows", "normalised", "whole", "scaled"].map(|name| self.fresh(&part(name)));
                let shape = [channels, 1, 1];
                let weight = self.parameter(place, "weight", Some(&shape)).unwrap_or_default();
                let bias = self.parameter(place, "bias", Some(&shape)).unwrap_or_default();
                self.node("Reshape", &rows, &[x, split], []);
                self.node("InstanceNormalization", &norm, &[rows, ones, zeros], [("epsilon", float(op.eps))]);
                self.node("Reshape", &whole, &[norm, join], []);
                self.node("Mul", &scaled, &[whole, weight], []);
                self.node("Add", &node.name, &[scaled, bias], []);
                self.give(node, &node.name, false);
            }
            Op::LocalResponseNorm(op) => {
                let settings = [
                    ("size", Attribute::Integer(op.size as i64)),
                    ("alpha", float(op.alpha)),
                    ("beta", float(op.beta)),
                    ("bias", float(op.k)),
                ];
                self.image(node, "LRN", settings);
            }
            Op::Prelu(op) => {
                let x = self.read(node, 0, false);
                let channels = if op.shared { 1 } else { self.sizes(place).0.channels };
                let slope = self.parameter(place, "weight", Some(&[channels, 1, 1])).unwrap_or_default();
                self.node("PRelu", &node.name, &[x, slope], []);
                self.give(node, &node.name, false);
            }
            Op::Add(_) => self.together(node, "Sum", "Add"),
            Op::Mul(_) => self.together(node, "Mul", "Mul"),
            Op::Minimum(_) => self.together(node, "Min", "Min"),
            Op::Maximum(_) => self.together(node, "Max", "Max"),
            Op::Sub(_) => self.together(node, "Sub", "Sub"),
            Op::Div(_) => self.together(node, "Div", "Div"),
            Op::Pow(_) => self.together(node, "Pow", "Pow"),
            Op::Fmod(_) => self.remainder(node),
            Op::Less(_) => self.compared(node, "Less"),
            Op::LessEqual(_) => self.compared(node, "LessOrEqual"),
            Op::Equal(_) => self.compared(node, "Equal"),
            op => return self.element_wise(node, op),
        }
        Ok(())
    }

    /// An operation of one image.
    fn image<const N: usize>(&mut self, node: &Node, operation: &str, settings: [(&str, Attribute); N]) {
        let x = self.read(node, 0, false);
        self.node(operation, &node.name, &[x], settings);
        self.give(node, &node.name, false);
    }

    /// An operation of any number of values: of two by the one name, of more by the other, or one after the other.
    fn together(&mut self, node: &Node, many: &str, two: &str) {
        let all_vectors = (0..node.inputs.len()).all(|which| self.as_is(node, which).is_vector);
        let inputs: Vec<String> = (0..node.inputs.len()).map(|which| self.read(node, which, all_vectors)).collect();
        if many != "Mul" || inputs.len() == 2 {
            let operation = if inputs.len() == 2 { two } else { many };
            self.node(operation, &node.name, &inputs, []);
        } else {
            let mut product = inputs[0].clone();
            for (which, next) in inputs[1..].iter().enumerate() {
                let is_last = which + 2 == inputs.len();
                let name = if is_last { node.name.clone() } else { self.fresh(&format!("{}.{which}", node.name)) };
                self.node("Mul", &name, &[product, next.clone()], []);
                product = name;
            }
        }
        self.give(node, &node.name, all_vectors);
    }

    /// Values side by side; what is the same for all images is repeated for each.
    fn side_by_side(&mut self, node: &Node, axis: Axis) {
        let mut inputs = Vec::new();
        let first = (0..node.inputs.len()).find(|&which| !self.is_for_all(node, which));
        for which in 0..node.inputs.len() {
            let value = self.read(node, which, false);
            let Some(first) = first.filter(|_| self.is_for_all(node, which)) else {
                inputs.push(value);
                continue;
            };
            let images = self.read(node, first, false);
            let [count, shape, repeated] =
                ["count", "shape", "repeated"].map(|part| self.fresh(&format!("{}.{which}.{part}", node.name)));
            let rest = self.integers(&format!("{}.{which}.ones", node.name), &[1, 1, 1]);
            self.node("Shape", &count, &[images], [("end", Attribute::Integer(1))]);
            self.node("Concat", &shape, &[count, rest], [("axis", Attribute::Integer(0))]);
            self.node("Expand", &repeated, &[value, shape], []);
            inputs.push(repeated);
        }
        self.node("Concat", &node.name, &inputs, [("axis", Attribute::Integer(place(axis)))]);
        self.give(node, &node.name, false);
    }

    /// The shape of a node's result, with as many images as its input has.
    fn target(&mut self, place: usize, node: &Node) -> String {
        let size = self.sizes(place).0;
        let x = self.read(node, 0, false);
        let [count, sizes] = ["count", "sizes"].map(|part| self.fresh(&format!("{}.{part}", node.name)));
        let own = self.integers(&format!("{}.size", node.name), &[size.height as i64, size.width as i64]);
        self.node("Shape", &count, &[x], [("end", Attribute::Integer(2))]);
        self.node("Concat", &sizes, &[count, own], [("axis", Attribute::Integer(0))]);
        sizes
    }

    fn resized(&mut self, place: usize, node: &Node, op: &Resize) -> Result<()> {
        let coordinates = match op.coordinates {
            Coordinates::HalfPixel => "half_pixel",
            Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
            Coordinates::AlignCorners => "align_corners",
            Coordinates::Asymmetric => "asymmetric",
            // Opset 19 and later.
            Coordinates::HalfPixelSymmetric => return Err(unsaid(node, "symmetric half-pixel coordinates")),
        };
        if op.antialias {
            return Err(unsaid(node, "a resize with antialiasing"));
        }
        let mode = match op.mode {
            Interpolation::Nearest => "nearest",
            Interpolation::Linear => "linear",
            Interpolation::Cubic => "cubic",
        };
        let rounding = match op.rounding {
            Rounding::RoundPreferFloor => "round_prefer_floor",
            Rounding::RoundPreferCeil => "round_prefer_ceil",
            Rounding::Floor => "floor",
            Rounding::Ceil => "ceil",
        };
        let (scales, sizes) = match op.scales {
            Some([height, width]) => {
                let scales = vec![1.0, 1.0, height as f32, width as f32];
                (self.floats(&format!("{}.scales", node.name), &[4], scales), None)
            }
            None => (String::new(), Some(self.target(place, node))),
        };
        let x = self.read(node, 0, false);
        let inputs: Vec<String> = [x, String::new(), scales].into_iter().chain(sizes).collect();
        let settings = [
            ("mode", text(mode)),
            ("coordinate_transformation_mode", text(coordinates)),
            ("nearest_mode", text(rounding)),
            ("cubic_coeff_a", float(op.cubic)),
            ("exclude_outside", Attribute::Integer(op.exclude_outside.into())),
        ];
        self.node("Resize", &node.name, &inputs, settings);
        self.give(node, &node.name, false);
        Ok(())
    }

    fn rearranged(&mut self, place: usize, node: &Node, op: &Rearrange) {
        let size = self.sizes(place).0;
        let x = self.read(node, 0, false);
        let last = self.channels_last(&node.name, &x);
        let part = |part: &str| format!("{}.{part}", node.name);
        let [split, moved, joined] = ["split", "moved", "joined"].map(|name| self.fresh(&part(name)));
        let axes: Vec<i64> = std::iter::once(0).chain(op.axes.iter().map(|&axis| axis as i64)).collect();
        let axes = self.integers(&part("axes"), &axes);
        let to = self.integers(&part("to"), &[0, size.height as i64, size.width as i64, size.channels as i64]);
        let order = std::iter::once(0).chain(op.order.iter().map(|&axis| axis + 1));
        self.node("Reshape", &split, &[last, axes], []);
        self.node("Transpose", &moved, &[split], [("perm", integers(order))]);
        self.node("Reshape", &joined, &[moved, to], []);
        self.channels_first(&node.name, &joined);
        self.give(node, &node.name, false);
    }

    fn contracted(&mut self, place: usize, node: &Node, op: &Einsum) {
        let size = self.sizes(place).0;
        let part = |part: &str| format!("{}.{part}", node.name);
        let images = "Z";
        let mut terms = Vec::new();
        let mut inputs = Vec::new();
        for (which, letters) in [&op.left, &op.right].into_iter().enumerate() {
            let x = self.read(node, which, false);
            let last = self.channels_last(&part(&which.to_string()), &x);
            let split = self.fresh(&part(&format!("{which}.split")));
            let for_all = self.is_for_all(node, which);
            let lengths = letters.chars().map(|letter| op.sizes[&letter] as i64);
            let axes: Vec<i64> = (!for_all).then_some(0).into_iter().chain(lengths).collect();
            let axes = self.integers(&part(&format!("{which}.axes")), &axes);
            self.node("Reshape", &split, &[last, axes], []);
            inputs.push(split);
            terms.push(if for_all { letters.clone() } else { format!("{images}{letters}") });
        }
        let equation = format!("{},{}->{images}{}", terms[0], terms[1], op.output);
        let [sum, joined] = ["sum", "joined"].map(|name| self.fresh(&part(name)));
        self.node("Einsum", &sum, &inputs, [("equation", text(&equation))]);
        let to = self.integers(&part("to"), &[-1, size.height as i64, size.width as i64, size.channels as i64]);
        self.node("Reshape", &joined, &[sum, to], []);
        self.channels_first(&node.name, &joined);
        self.give(node, &node.name, false);
    }

    /// Whether an input of a node is a constant: the same for all images.
    fn is_for_all(&self, node: &Node, which: usize) -> bool {
        self.is_constant(&node.inputs[which])
    }
}

/// What this opset cannot say.
pub(super) fn unsaid(node: &Node, what: &str) -> Error {
    Error::Node { node: node.name.clone(), reason: format!("{what} is beyond ONNX's opset {}", super::OPSET) }
}
