//! Names that a user can write: of PyTorch's modules where the file tells them, else of the file's nodes.
//!
//! An operation with a weight "features.0.weight" is features.0. PyTorch names others by the modules around them,
//! "/features/features.3/squeeze/Conv", which is features.3.squeeze where it is the module's last operation, and
//! features.3.squeeze.Conv where it is not.

use std::collections::HashMap;

use crate::store::onnx::{Model, Node};

/// A name for each of the model's nodes; two may be the same.
pub(super) fn readable(model: &Model) -> Vec<String> {
    let scopes: Vec<Option<String>> = model.nodes.iter().map(scope).collect();
    let last: HashMap<&String, usize> =
        scopes.iter().enumerate().filter_map(|(place, scope)| Some((scope.as_ref()?, place))).collect();
    let producers: HashMap<&str, &Node> =
        model.nodes.iter().flat_map(|node| node.outputs.iter().map(move |output| (output.as_str(), node))).collect();
    let name = |(place, node): (usize, &Node)| {
        let of_module = scopes[place].clone().filter(|scope| last.get(scope) == Some(&place));
        of_weight(model, &producers, node).or(of_module).unwrap_or_else(|| own(node))
    };
    model.nodes.iter().enumerate().map(name).collect()
}

/// A name for the node that gives a tensor of the file.
pub(super) fn of_tensor(name: &str) -> String {
    let is_bare = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let name = written(name.strip_prefix("onnx::").map_or(name, |_| ""));
    // The parameter of a constant that this suite has exported.
    let name = name.strip_suffix(".value").map_or(name.clone(), String::from);
    if is_bare(&name) { String::new() } else { name }
}

/// A name for an output of the file.
pub(super) fn of_output(name: &str) -> String {
    name.to_string()
}

/// The module whose parameter is the node's second input, transposed or as it is.
fn of_weight(model: &Model, producers: &HashMap<&str, &Node>, node: &Node) -> Option<String> {
    let mut weight = node.inputs.get(1)?;
    while let Some(moved) = producers.get(weight.as_str()).filter(|node| MOVES.contains(&node.operation.as_str())) {
        weight = moved.inputs.first()?;
    }
    let module = weight.strip_suffix(".weight").filter(|_| model.tensors.contains_key(weight))?;
    Some(written(module)).filter(|name| !name.is_empty())
}

/// What exporters put between a weight and its layer.
const MOVES: [&str; 4] = ["Transpose", "Identity", "Cast", "DequantizeLinear"];

/// The modules around a node, where its name ends in its operation's.
fn scope(node: &Node) -> Option<String> {
    let (scope, last) = node.name.rsplit_once('/')?;
    let count = last.strip_prefix(node.operation.as_str())?.trim_start_matches('_');
    let is_operation = count.bytes().all(|byte| byte.is_ascii_digit());
    Some(path(scope)).filter(|path| is_operation && !path.is_empty())
}

/// The node's name as it stands, or its first value's, or its operation's.
fn own(node: &Node) -> String {
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let value = node.outputs.first().map(|value| path(value)).filter(|value| !is_number(value));
    let name = Some(path(&node.name)).filter(|name| !name.is_empty()).or(value);
    name.unwrap_or_else(|| written(&node.operation))
}

/// Modules with slashes between them, with dots. PyTorch repeats the path of a list in its members: layer1/layer1.0.
fn path(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/').filter(|part| !part.is_empty()) {
        if parts.last().is_some_and(|last| part.strip_prefix(last).is_some_and(|rest| rest.starts_with('.'))) {
            parts.pop();
        }
        parts.push(part);
    }
    written(&parts.join("."))
}

/// A name without what a network folder's may not hold.
fn written(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    name.trim_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, operation: &str, weight: &str, output: &str) -> Node {
        Node {
            name: name.into(),
            operation: operation.into(),
            inputs: vec!["x".into(), weight.into()],
            outputs: vec![output.into()],
            attributes: Default::default(),
        }
    }

    #[test]
    fn names_are_those_of_modules_where_the_file_tells_them() {
        let nodes = vec![
            node("/features/features.0/Conv", "Conv", "onnx::Conv_3", "a"),
            node("/layer1/layer1.0/Relu", "Relu", "", "b"),
            node("/layer1/layer1.0/Add", "Add", "", "c"),
            node("/layer1/layer1.0/Relu_1", "Relu", "", "d"),
            node("Conv_17", "Conv", "stem.conv.weight", "e"),
            node("/AveragePool", "AveragePool", "", "f"),
            node("", "Relu", "", "hidden"),
            node("", "Relu", "", "495"),
            node("", "Relu", "", "496"),
            node("../input", "Relu", "", "g"),
        ];
        let weight = crate::store::onnx::Constant::Floats(ndarray::ArrayD::zeros(vec![1]));
        let model = Model {
            path: "m.onnx".into(),
            nodes,
            tensors: [("stem.conv.weight".to_string(), weight)].into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            external: Default::default(),
            opset: 17,
        };
        let expected = [
            "features.0",
            "layer1.0.Relu",
            "layer1.0.Add",
            "layer1.0",
            "stem.conv",
            "AveragePool",
            "hidden",
            "Relu",
            "Relu",
            "input",
        ];
        assert_eq!(readable(&model), expected);
    }
}
