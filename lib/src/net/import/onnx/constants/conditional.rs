//! If, whose condition is constant.

use std::collections::HashMap;

use super::{Folded, Folding, branch, count, folded, refused};
use crate::store::onnx::{Constant, Subgraph};

impl Folding<'_> {
    /// What the branch makes that the condition takes, where it reads nothing but its own constants.
    pub(super) fn conditional(&self) -> Folded<Vec<Constant>> {
        let branch = branch(self.node, self.first()?)?;
        let mut made: HashMap<&str, Constant> = HashMap::new();
        let mut held = self.held;
        for node in &branch.nodes {
            let inputs = node.inputs.iter().map(|name| match name.as_str() {
                "" => Ok(None),
                name => known(&made, branch, name).map(Some),
            });
            let outputs = folded(node, &inputs.collect::<Folded<Vec<_>>>()?, self.opset, held)?;
            for (name, constant) in node.outputs.iter().zip(outputs) {
                held += count(&constant) * size_of::<i64>() as u128;
                made.insert(name, constant);
            }
        }
        branch.outputs.iter().map(|name| known(&made, branch, name).cloned()).collect()
    }
}

fn known<'a>(made: &'a HashMap<&str, Constant>, branch: &'a Subgraph, name: &str) -> Folded<&'a Constant> {
    let constant = made.get(name).or_else(|| branch.tensors.get(name));
    constant.ok_or_else(|| refused("a branch that reads its own constants", format!("\"{name}\"")))
}
