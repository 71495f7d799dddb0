//! Operations that onnxruntime's quantiser and optimiser put in place of ONNX's (QLinear operations, domain com.microsoft), written as
//! these again: floats out of whole numbers of few bits, an operation on floats, whole numbers again.

use std::collections::HashMap;

use super::protocol::{AttributeProto, GraphProto, NodeProto};

/// onnxruntime's domain.
const RUNTIME: &str = "com.microsoft";
/// ONNX's number of the type f32, and those of the kinds of attributes.
const FLOAT: i64 = 1;
const INTEGER: i32 = 2;
const INTEGERS: i32 = 7;

/// How an operation's inputs lie: each value is followed by its scale and its zero.
enum Inputs {
    /// So many values, then the scale and the zero of the result, then a bias whose scale is the product of the values'.
    Values(usize),
    /// The scale and the zero of the result, then any number of values.
    ResultFirst,
    /// A condition, two values, the scale and the zero of the result.
    Condition,
    /// Two values, a bias, then the scale and the zero of the result, where it is of whole numbers.
    BiasInside,
    /// Two values, their scales, their zeros, a bias of floats; the result is of floats.
    ScalesLast,
    /// A value of floats, a matrix, its scale and zero, a bias of floats; the result is of floats.
    Dynamic,
    /// As those of LSTM, whose weights are transposed; their scales and zeros after them.
    Recurrent,
    /// Two values that are added, a scale, a shift where there is one, and what else is added. The sum is the fourth result.
    Sum {
        /// Whether there is a shift.
        shift: bool,
    },
}

const OPERATIONS: [(&str, &str, &str, Inputs); 19] = [
    ("", "QLinearConv", "Conv", Inputs::Values(2)),
    ("", "QLinearMatMul", "MatMul", Inputs::Values(2)),
    (RUNTIME, "QLinearConv", "Conv", Inputs::Values(2)),
    (RUNTIME, "QLinearAdd", "Add", Inputs::Values(2)),
    (RUNTIME, "QLinearMul", "Mul", Inputs::Values(2)),
    (RUNTIME, "QLinearAveragePool", "AveragePool", Inputs::Values(1)),
    (RUNTIME, "QLinearGlobalAveragePool", "GlobalAveragePool", Inputs::Values(1)),
    (RUNTIME, "QLinearLeakyRelu", "LeakyRelu", Inputs::Values(1)),
    (RUNTIME, "QLinearReduceMean", "ReduceMean", Inputs::Values(1)),
    (RUNTIME, "QLinearSigmoid", "Sigmoid", Inputs::Values(1)),
    (RUNTIME, "QLinearSoftmax", "Softmax", Inputs::Values(1)),
    (RUNTIME, "QLinearConcat", "Concat", Inputs::ResultFirst),
    (RUNTIME, "QLinearWhere", "Where", Inputs::Condition),
    (RUNTIME, "QGemm", "Gemm", Inputs::BiasInside),
    (RUNTIME, "MatMulIntegerToFloat", "MatMul", Inputs::ScalesLast),
    (RUNTIME, "DynamicQuantizeMatMul", "MatMul", Inputs::Dynamic),
    (RUNTIME, "DynamicQuantizeLSTM", "LSTM", Inputs::Recurrent),
    (RUNTIME, "SkipLayerNormalization", "LayerNormalization", Inputs::Sum { shift: true }),
    (RUNTIME, "SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization", Inputs::Sum { shift: false }),
];

/// Writes out such operations of a graph, and of the graphs within.
pub(super) fn written_out(graph: &mut GraphProto) {
    let ranks = graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.dims.len())).collect();
    let mut written = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(written_out);
        match known(&node) {
            Some((operation, inputs)) => written.extend(Pieces::new(node, &ranks).of(operation, inputs)),
            None => written.push(node),
        }
    }
    graph.node = written;
}

/// The operation on floats, and how the inputs lie. Images whose channels are last are another operation.
fn known(node: &NodeProto) -> Option<(&'static str, &'static Inputs)> {
    let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
    let is_last = node.attribute.iter().any(|attribute| attribute.name == "channels_last" && attribute.i != 0);
    let known = OPERATIONS.iter().find(|(of, name, ..)| *of == domain && *name == node.op_type)?;
    (!is_last).then_some((known.2, &known.3))
}

/// What one operation becomes.
struct Pieces<'a> {
    node: NodeProto,
    /// What its own values are called after: its first output, which no other operation makes.
    root: String,
    /// How many axes the graph's tensors have.
    ranks: &'a HashMap<String, usize>,
    written: Vec<NodeProto>,
}

impl<'a> Pieces<'a> {
    fn new(node: NodeProto, ranks: &'a HashMap<String, usize>) -> Self {
        let root = node.output.iter().find(|output| !output.is_empty()).unwrap_or(&node.name).clone();
        Self { node, root, ranks, written: Vec::new() }
    }

    fn of(mut self, operation: &str, inputs: &Inputs) -> Vec<NodeProto> {
        let output = self.node.output.first().cloned().unwrap_or_default();
        match *inputs {
            Inputs::Values(count) => {
                let mut values: Vec<String> = (0..count).map(|value| self.value(value * 3, operation)).collect();
                values.extend(self.bias(3 * count + 2, [1, 4]));
                self.quantised(operation, values, 3 * count, output);
            }
            Inputs::ResultFirst => {
                let count = self.node.input.len().saturating_sub(2) / 3;
                let values = (0..count).map(|value| self.value(2 + value * 3, operation)).collect();
                self.quantised(operation, values, 0, output);
            }
            Inputs::Condition => {
                let values = vec![self.input(0), self.value(1, operation), self.value(4, operation)];
                self.quantised(operation, values, 7, output);
            }
            Inputs::BiasInside => {
                let mut values = vec![self.value(0, operation), self.value(3, operation)];
                values.extend(self.bias(6, [1, 4]));
                match self.input(7).is_empty() {
                    true => self.main(operation, values, output),
                    false => self.quantised(operation, values, 7, output),
                }
            }
            Inputs::ScalesLast => {
                let sides = [[0, 2, 4], [1, 3, 5]].map(|inputs| self.dequantised(inputs, operation));
                self.plus(operation, sides.into(), 6, output);
            }
            Inputs::Dynamic => {
                let values = vec![self.rounded(0), self.dequantised([1, 2, 3], operation)];
                self.plus(operation, values, 4, output);
            }
            Inputs::Recurrent => {
                let values: Vec<String> = (0..8).map(|which| self.input(which)).collect();
                let weights = [[1, 8, 9], [2, 10, 11]].map(|inputs| self.transposed(inputs));
                let [weight, recurrence] = weights;
                let values = [vec![self.rounded(0), weight, recurrence], values[3..].to_vec()].concat();
                self.main(operation, values, output);
            }
            Inputs::Sum { shift } => self.normalised_sum(operation, shift, output),
        }
        self.written
    }

    fn normalised_sum(&mut self, operation: &str, shift: bool, output: String) {
        let bias = self.input(if shift { 4 } else { 3 });
        let mut sum = self.push("Add", "sum", vec![self.input(0), self.input(1)], Vec::new());
        if !bias.is_empty() {
            sum = self.push("Add", "sum.biased", vec![sum, bias], Vec::new());
        }
        if let Some(wanted) = self.node.output.get(3).filter(|wanted| !wanted.is_empty()).cloned() {
            self.give("Identity", "sum.wanted", vec![sum.clone()], wanted);
        }
        let values = [sum, self.input(2)].into_iter().chain(shift.then(|| self.input(3))).collect();
        self.node.output.truncate(3);
        if !self.node.attribute.iter().any(|attribute| attribute.name == "axis") {
            self.node.attribute.push(integer("axis", -1));
        }
        self.main(operation, values, output);
    }

    fn input(&self, which: usize) -> String {
        self.node.input.get(which).cloned().unwrap_or_default()
    }

    /// Adds an operation, and gives its result's name.
    fn push(&mut self, operation: &str, word: &str, input: Vec<String>, attribute: Vec<AttributeProto>) -> String {
        let made = format!("{}/{word}", self.root);
        self.give(operation, word, input, made.clone());
        if let Some(node) = self.written.last_mut() {
            node.attribute = attribute;
        }
        made
    }

    /// Adds an operation without attributes whose result has this name.
    fn give(&mut self, operation: &str, word: &str, input: Vec<String>, output: String) {
        let (name, output) = (format!("{}/{word}", self.root), vec![output]);
        self.written.push(NodeProto { name, op_type: operation.into(), input, output, ..NodeProto::default() });
    }

    /// The operation itself, under its name, with the attributes that are its own.
    fn main(&mut self, operation: &str, input: Vec<String>, output: String) {
        let mut outputs = self.node.output.clone();
        outputs.resize(outputs.len().max(1), String::new());
        outputs[0] = output;
        let node =
            NodeProto { op_type: operation.into(), domain: String::new(), input, output: outputs, ..self.node.clone() };
        self.written.push(node);
    }

    /// The operation, and its result as whole numbers, whose scale and zero are these inputs.
    fn quantised(&mut self, operation: &str, input: Vec<String>, scale: usize, output: String) {
        let floats = format!("{}/floats", self.root);
        self.main(operation, input, floats.clone());
        let input = vec![floats, self.input(scale), self.input(scale + 1)];
        self.give("QuantizeLinear", "whole", input, output);
    }

    /// The operation, plus an input of floats where it is there.
    fn plus(&mut self, operation: &str, input: Vec<String>, bias: usize, output: String) {
        let bias = self.input(bias);
        if bias.is_empty() {
            return self.main(operation, input, output);
        }
        let product = format!("{}/product", self.root);
        self.main(operation, input, product.clone());
        self.give("Add", "biased", vec![product, bias], output);
    }

    /// A value that its scale and its zero follow, as floats.
    fn value(&mut self, which: usize, operation: &str) -> String {
        self.dequantised([which, which + 1, which + 2], operation)
    }

    /// A value, its scale and its zero, as floats. Scales of several numbers are those of a convolution's outputs, or of a matrix's columns.
    fn dequantised(&mut self, inputs: [usize; 3], operation: &str) -> String {
        let is_turned = self.node.attribute.iter().any(|attribute| attribute.name == "transB" && attribute.i != 0);
        let axis = match operation {
            "Conv" => 0,
            "Gemm" if is_turned => 0,
            _ => -1,
        };
        let names = inputs.map(|which| self.input(which)).to_vec();
        self.push("DequantizeLinear", &format!("floats.{}", inputs[0]), names, vec![integer("axis", axis)])
    }

    /// The bias of whole numbers, where there is one: its scale is the product of these two.
    fn bias(&mut self, which: usize, scales: [usize; 2]) -> Option<String> {
        let bias = self.input(which);
        if bias.is_empty() {
            return None;
        }
        let scales = scales.map(|scale| self.input(scale)).to_vec();
        let scale = self.push("Mul", "bias.scale", scales, Vec::new());
        Some(self.push("DequantizeLinear", "bias", vec![bias, scale], vec![integer("axis", 0)]))
    }

    /// A value of floats that the operation rounds.
    fn rounded(&mut self, which: usize) -> String {
        let word = format!("rounded.{which}");
        let whole = self.push("DynamicQuantizeLinear", &word, vec![self.input(which)], Vec::new());
        let made = [".scale", ".zero"].map(|word| format!("{whole}{word}"));
        if let Some(node) = self.written.last_mut() {
            node.output.extend(made.clone());
        }
        let [scale, zero] = made;
        self.push("DequantizeLinear", &format!("floats.{which}"), vec![whole, scale, zero], Vec::new())
    }

    /// An LSTM's weights (directions, inputs, gates) as floats in LSTM's own order, from their scale and their zero: one for each
    /// direction, or one for each direction and gate.
    fn transposed(&mut self, inputs: [usize; 3]) -> String {
        let [weights, scale, zero] = inputs.map(|which| self.input(which));
        let word = |word: &str| format!("{word}.{}", inputs[0]);
        let is_by_gate = self.ranks.get(&scale) == Some(&2);
        let axes = if is_by_gate { vec![1] } else { vec![1, 2] };
        let mut floats = self.push("Cast", &word("cast"), vec![weights], vec![integer("to", FLOAT)]);
        if !zero.is_empty() {
            let zero = self.push("Cast", &word("zero"), vec![zero], vec![integer("to", FLOAT)]);
            let zero = self.push("Unsqueeze", &word("zero.placed"), vec![zero], vec![integers("axes", axes.clone())]);
            floats = self.push("Sub", &word("less"), vec![floats, zero], Vec::new());
        }
        let scale = self.push("Unsqueeze", &word("scale.placed"), vec![scale], vec![integers("axes", axes)]);
        let floats = self.push("Mul", &word("scaled"), vec![floats, scale], Vec::new());
        self.push("Transpose", &word("weights"), vec![floats], vec![integers("perm", vec![0, 2, 1])])
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: INTEGER, i: value, ..AttributeProto::default() }
}

fn integers(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: INTEGERS, ints: values, ..AttributeProto::default() }
}
