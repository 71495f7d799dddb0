//! Functions that a model brings along, in place of whose calls their operations are put (onnx.proto, `FunctionProto`).

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use super::protocol::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use super::tensors::Parsed;
use crate::store::budget;
use crate::store::weights::Broken;

/// How deep functions may call others.
const DEPTH: usize = 32;
/// The most operations that functions may become: a few that call one another twice would be billions.
const MOST: usize = 1 << 20;
/// Bytes of an operation beside those of its message.
const OPERATION: u128 = 512;

/// Writes out calls of functions.
pub(super) struct Functions<'a> {
    path: &'a Path,
    /// By domain, name and overload.
    known: HashMap<[String; 3], FunctionProto>,
    /// Operations written so far, and the bytes that they take.
    written: usize,
    held: u128,
}

impl<'a> Functions<'a> {
    pub(super) fn new(path: &'a Path, functions: Vec<FunctionProto>) -> Self {
        let key = |of: &FunctionProto| [of.domain.clone(), of.name.clone(), of.overload.clone()];
        let known = functions.into_iter().map(|function| (key(&function), function)).collect();
        Self { path, known, written: 0, held: 0 }
    }

    /// A graph without calls.
    pub(super) fn inlined(&mut self, graph: &mut GraphProto) -> Parsed<()> {
        if !self.known.is_empty() {
            graph.node = self.nodes(std::mem::take(&mut graph.node), 0)?;
        }
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Parsed<Vec<NodeProto>> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for graph in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
                graph.node = self.nodes(std::mem::take(&mut graph.node), depth)?;
            }
            let key = [node.domain.clone(), node.op_type.clone(), node.overload.clone()];
            match self.known.get(&key) {
                None => inlined.push(node),
                Some(_) if depth == DEPTH => {
                    let found = format!("\"{}\" deeper than that", node.op_type);
                    return Err(Broken::new(format!("functions that call others at most {DEPTH} deep"), found));
                }
                Some(function) => {
                    let body = Call::new(function, &node).body();
                    self.count(&body)?;
                    inlined.extend(self.nodes(body, depth + 1)?);
                }
            }
        }
        Ok(inlined)
    }

    fn count(&mut self, body: &[NodeProto]) -> Parsed<()> {
        self.written = self.written.saturating_add(body.len());
        if self.written > MOST {
            return Err(Broken::new(format!("functions of at most {MOST} operations"), "more"));
        }
        self.held += body.iter().map(|node| node.encoded_len() as u128 + OPERATION).sum::<u128>();
        budget::charge(self.path, "its functions", self.held)
            .map_err(|error| Broken::new("functions that fit into memory", error))
    }
}

/// A call of a function.
struct Call<'a> {
    function: &'a FunctionProto,
    node: &'a NodeProto,
    /// What the function's inputs and outputs are called where it is called; "" is left out.
    names: HashMap<&'a str, &'a str>,
}

impl<'a> Call<'a> {
    fn new(function: &'a FunctionProto, node: &'a NodeProto) -> Self {
        let actual = |names: &'a [String], which: usize| names.get(which).map_or("", String::as_str);
        let mut names = HashMap::new();
        for (which, formal) in function.input.iter().enumerate() {
            names.insert(formal.as_str(), actual(&node.input, which));
        }
        for (which, formal) in function.output.iter().enumerate() {
            let actual = actual(&node.output, which);
            if !actual.is_empty() {
                names.entry(formal).or_insert(actual);
            }
        }
        Self { function, node, names }
    }

    /// The function's operations, under the names of the call.
    fn body(&self) -> Vec<NodeProto> {
        let mut body: Vec<NodeProto> = self.function.node.iter().map(|node| self.of_call(node.clone())).collect();
        // An output that is an input or another output has one name too few.
        for (formal, actual) in self.function.output.iter().zip(&self.node.output) {
            let made = self.name(formal);
            if !actual.is_empty() && made != *actual {
                let (input, output) = (vec![made], vec![actual.clone()]);
                body.push(NodeProto { input, output, op_type: "Identity".into(), ..NodeProto::default() });
            }
        }
        body
    }

    /// A name of the function. Its own values are called after the first that the call makes, which no other call does.
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(actual) => actual.to_string(),
            None if name.is_empty() => String::new(),
            None => {
                let made = self.node.output.iter().find(|output| !output.is_empty());
                format!("{}/{name}", made.unwrap_or(&self.node.name))
            }
        }
    }

    fn of_call(&self, mut node: NodeProto) -> NodeProto {
        let or_operation = |name: &str, operation: &str| match name {
            "" => operation.to_string(),
            name => name.to_string(),
        };
        let around = or_operation(&self.node.name, &self.node.op_type);
        node.name = format!("{around}/{}", or_operation(&node.name, &node.op_type));
        node.input.iter_mut().chain(&mut node.output).for_each(|name| *name = self.name(name));
        node.attribute = node.attribute.into_iter().filter_map(|attribute| self.attribute(attribute)).collect();
        node
    }

    /// An attribute; one that stands for the call's own is that, or the function's default, or left out.
    fn attribute(&self, mut attribute: AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name.is_empty() {
            let known = self.node.attribute.iter().chain(&self.function.attribute_proto);
            let meant = known.into_iter().find(|known| known.name == attribute.ref_attr_name)?;
            return Some(AttributeProto { name: attribute.name, ..meant.clone() });
        }
        attribute.g = attribute.g.map(|graph| self.graph(graph));
        Some(attribute)
    }

    fn graph(&self, mut graph: GraphProto) -> GraphProto {
        graph.node = graph.node.into_iter().map(|node| self.of_call(node)).collect();
        let tensors = graph.initializer.iter_mut();
        let sparse = graph.sparse_initializer.iter_mut().filter_map(|tensor| tensor.values.as_mut());
        tensors.chain(sparse).for_each(|tensor| tensor.name = self.name(&tensor.name));
        graph.input.iter_mut().chain(&mut graph.output).for_each(|value| value.name = self.name(&value.name));
        graph
    }
}
