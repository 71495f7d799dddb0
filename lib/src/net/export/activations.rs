//! Functions of each value in ONNX; those that this opset has no name for in pieces, as PyTorch writes them.

use super::builder::Builder;
use crate::net::error::Result;
use crate::net::graph::Node;
use crate::net::op::Op;
use crate::store::onnx::Attribute;

impl Builder<'_> {
    /// A function of each value.
    pub fn element_wise(&mut self, node: &Node, op: &Op) -> Result<()> {
        let x = self.as_is(node, 0);
        let float = |value: f64| Attribute::Float(value as f32);
        let name = node.name.as_str();
        let inputs = [x.name.clone()];
        let plain = match op {
            Op::Dropout(_) => Some("Identity"),
            Op::Relu(_) => Some("Relu"),
            Op::Sigmoid(_) => Some("Sigmoid"),
            Op::Tanh(_) => Some("Tanh"),
            Op::Asinh(_) => Some("Asinh"),
            Op::Sinh(_) => Some("Sinh"),
            Op::Softsign(_) => Some("Softsign"),
            Op::HardSwish(_) => Some("HardSwish"),
            Op::Abs(_) => Some("Abs"),
            Op::Neg(_) => Some("Neg"),
            Op::Exp(_) => Some("Exp"),
            Op::Log(_) => Some("Log"),
            Op::Sqrt(_) => Some("Sqrt"),
            Op::Reciprocal(_) => Some("Reciprocal"),
            Op::Erf(_) => Some("Erf"),
            Op::Sign(_) => Some("Sign"),
            Op::Floor(_) => Some("Floor"),
            Op::Ceil(_) => Some("Ceil"),
            Op::Round(_) => Some("Round"),
            Op::Sin(_) => Some("Sin"),
            Op::Cos(_) => Some("Cos"),
            Op::Tan(_) => Some("Tan"),
            Op::Asin(_) => Some("Asin"),
            Op::Acos(_) => Some("Acos"),
            Op::Atan(_) => Some("Atan"),
            Op::Cosh(_) => Some("Cosh"),
            Op::Acosh(_) => Some("Acosh"),
            Op::Atanh(_) => Some("Atanh"),
            _ => None,
        };
        if let Some(operation) = plain {
            self.node(operation, name, &inputs, []);
            self.give(node, name, x.is_vector);
            return Ok(());
        }
        let x_name = x.name.as_str();
        match op {
            Op::LeakyRelu(op) => self.node("LeakyRelu", name, &inputs, [("alpha", float(op.slope))]),
            Op::Elu(op) => self.node("Elu", name, &inputs, [("alpha", float(op.alpha))]),
            Op::Celu(op) => self.node("Celu", name, &inputs, [("alpha", float(op.alpha))]),
            Op::Selu(op) => {
                self.node("Selu", name, &inputs, [("alpha", float(op.alpha)), ("gamma", float(op.gamma))]);
            }
            Op::HardSigmoid(op) => {
                self.node("HardSigmoid", name, &inputs, [("alpha", float(op.alpha)), ("beta", float(op.beta))]);
            }
            Op::Shrink(op) => {
                self.node("Shrink", name, &inputs, [("lambd", float(op.lambda)), ("bias", float(op.bias))]);
            }
            Op::Clip(op) => {
                let [low, high] = [("low", op.low), ("high", op.high)].map(|(part, bound)| match bound.is_finite() {
                    true => self.number(&format!("{name}.{part}"), bound),
                    false => String::new(),
                });
                self.node("Clip", name, &[x.name.clone(), low, high], []);
            }
            Op::Power(op) => {
                let exponent = self.number(&format!("{name}.exponent"), op.exponent);
                self.node("Pow", name, &[x.name.clone(), exponent], []);
            }
            Op::Threshold(op) if op.value == 0.0 => {
                self.node("ThresholdedRelu", name, &inputs, [("alpha", float(op.threshold))]);
            }
            Op::Threshold(op) => {
                let threshold = self.number(&format!("{name}.threshold"), op.threshold);
                let value = self.number(&format!("{name}.value"), op.value);
                let above = self.piece(name, "above", "Greater", &[x_name, &threshold]);
                self.node("Where", name, &[above, x.name.clone(), value], []);
            }
            Op::Softplus(op) if op.beta == 1.0 => self.node("Softplus", name, &inputs, []),
            Op::Softplus(op) => {
                let beta = self.number(&format!("{name}.beta"), op.beta);
                let scaled = self.piece(name, "scaled", "Mul", &[x_name, &beta]);
                let soft = self.piece(name, "softplus", "Softplus", &[&scaled]);
                self.node("Div", name, &[soft, beta], []);
            }
            Op::LogSigmoid(_) => {
                let negative = self.piece(name, "negative", "Neg", &[x_name]);
                let soft = self.piece(name, "softplus", "Softplus", &[&negative]);
                self.node("Neg", name, &[soft], []);
            }
            Op::Silu(_) => {
                let gate = self.piece(name, "gate", "Sigmoid", &[x_name]);
                self.node("Mul", name, &[x.name.clone(), gate], []);
            }
            Op::Mish(_) => {
                let soft = self.piece(name, "softplus", "Softplus", &[x_name]);
                let gate = self.piece(name, "gate", "Tanh", &[&soft]);
                self.node("Mul", name, &[x.name.clone(), gate], []);
            }
            Op::Gelu(_) => {
                let root = self.number(&format!("{name}.root"), std::f64::consts::SQRT_2);
                let scaled = self.piece(name, "scaled", "Div", &[x_name, &root]);
                let erf = self.piece(name, "erf", "Erf", &[&scaled]);
                self.half_of_one_and(name, x_name, &erf);
            }
            Op::GeluTanh(_) => {
                let numbers = [("three", 3.0), ("cubic", 0.044715), ("root", (2.0 / std::f64::consts::PI).sqrt())];
                let [three, cubic, root] = numbers.map(|(part, number)| self.number(&format!("{name}.{part}"), number));
                let cube = self.piece(name, "cube", "Pow", &[x_name, &three]);
                let term = self.piece(name, "term", "Mul", &[&cube, &cubic]);
                let sum = self.piece(name, "sum", "Add", &[x_name, &term]);
                let scaled = self.piece(name, "scaled", "Mul", &[&sum, &root]);
                let tanh = self.piece(name, "tanh", "Tanh", &[&scaled]);
                self.half_of_one_and(name, x_name, &tanh);
            }
            Op::ConcatElu(_) => {
                let x = self.read(node, 0, false);
                let negative = self.piece(name, "negative", "Neg", &[&x]);
                let both = self.fresh(&format!("{name}.both"));
                self.node("Concat", &both, &[x, negative], [("axis", Attribute::Integer(1))]);
                self.node("Elu", name, &[both], []);
                self.give(node, name, false);
                return Ok(());
            }
            _ => return Err(super::operations::unsaid(node, "this operation")),
        }
        self.give(node, name, x.is_vector);
        Ok(())
    }

    /// x (1 + y) / 2.
    fn half_of_one_and(&mut self, name: &str, x: &str, y: &str) {
        let [one, half] =
            [("one", 1.0), ("half", 0.5)].map(|(part, number)| self.number(&format!("{name}.{part}"), number));
        let sum = self.piece(name, "one_and", "Add", &[y, &one]);
        let product = self.piece(name, "product", "Mul", &[x, &sum]);
        self.node("Mul", name, &[product, half], []);
    }

    /// One of the operations that a function is made of.
    fn piece(&mut self, name: &str, part: &str, operation: &str, inputs: &[&str]) -> String {
        let output = self.fresh(&format!("{name}.{part}"));
        let inputs: Vec<String> = inputs.iter().map(|&input| input.to_string()).collect();
        self.node(operation, &output, &inputs, []);
        output
    }
}
