//! Reductions and comparisons in ONNX, whose places and answers are whole numbers and become floats.

use super::builder::Builder;
use super::operations::{place, unsaid};
use crate::net::error::Result;
use crate::net::graph::Node;
use crate::net::op::{Reduce, Reduction};
use crate::store::onnx::Attribute;

/// ONNX's number of single precision.
const FLOAT: i64 = 1;

impl Builder<'_> {
    /// Axes that become of length 1.
    pub(super) fn reduced(&mut self, node: &Node, op: &Reduce) -> Result<()> {
        let operation = match op.kind {
            Reduction::Mean => "ReduceMean",
            Reduction::Sum => "ReduceSum",
            Reduction::Max => "ReduceMax",
            Reduction::Min => "ReduceMin",
            Reduction::Prod => "ReduceProd",
            Reduction::L1 => "ReduceL1",
            Reduction::L2 => "ReduceL2",
            Reduction::SumSquare => "ReduceSumSquare",
            Reduction::LogSum => "ReduceLogSum",
            Reduction::LogSumExp => "ReduceLogSumExp",
            Reduction::ArgMax => "ArgMax",
            Reduction::ArgMin => "ArgMin",
        };
        let axes: Vec<i64> = op.axes.iter().map(|&axis| place(axis)).collect();
        let x = self.read(node, 0, false);
        match (operation, axes.as_slice()) {
            ("ArgMax" | "ArgMin", &[axis]) => {
                let whole = self.fresh(&format!("{}.place", node.name));
                self.node(operation, &whole, &[x], [("axis", Attribute::Integer(axis))]);
                self.node("Cast", &node.name, &[whole], [("to", Attribute::Integer(FLOAT))]);
            }
            ("ArgMax" | "ArgMin", _) => return Err(unsaid(node, "a place along several axes")),
            ("ReduceSum", _) => {
                let axes = self.integers(&format!("{}.axes", node.name), &axes);
                self.node(operation, &node.name, &[x, axes], []);
            }
            _ => self.node(operation, &node.name, &[x], [("axes", Attribute::Integers(axes))]),
        }
        self.give(node, &node.name, false);
        Ok(())
    }

    /// 1 where a comparison holds, else 0.
    pub(super) fn compared(&mut self, node: &Node, operation: &str) {
        let sides = [0, 1].map(|which| self.read(node, which, false));
        let holds = self.fresh(&format!("{}.holds", node.name));
        self.node(operation, &holds, &sides, []);
        self.node("Cast", &node.name, &[holds], [("to", Attribute::Integer(FLOAT))]);
        self.give(node, &node.name, false);
    }

    /// ONNX's Mod as C's fmod.
    pub(super) fn remainder(&mut self, node: &Node) {
        let sides = [0, 1].map(|which| self.read(node, which, false));
        self.node("Mod", &node.name, &sides, [("fmod", Attribute::Integer(1))]);
        self.give(node, &node.name, false);
    }
}
