//! Graphs of an ONNX file: operations, whose attributes may hold tensors and further graphs.

use std::collections::BTreeMap;

use super::element::ElementType;
use super::node::{Attribute, Node, Subgraph};
use super::protocol::{AttributeProto, GraphProto, NodeProto};
use super::tensors::{Parsed, TensorReader};

/// Operations that make whole numbers of the type of an input, and which: that of their zero point, or one that is there to show a type.
const TYPED_BY_INPUT: [(&str, usize); 3] =
    [("CastLike", 1), ("QuantizeLinear", 2), ("com.microsoft.QuantizeLinear", 2)];

impl TensorReader {
    /// A graph. Its nesting is that of the messages, which is limited where they are decoded.
    pub(super) fn graph(&mut self, graph: GraphProto) -> Parsed<Subgraph> {
        let mut tensors = BTreeMap::new();
        for tensor in graph.initializer {
            let name = tensor.name.clone();
            if let Some((constant, element)) = self.constant(tensor)? {
                self.types.insert(name.clone(), element);
                tensors.insert(name, constant);
            }
        }
        for tensor in graph.sparse_initializer {
            let name = tensor.values.as_ref().map(|values| values.name.clone()).unwrap_or_default();
            if let Some((constant, element)) = self.sparse(tensor)? {
                self.types.insert(name.clone(), element);
                tensors.insert(name, constant);
            }
        }
        let nodes = graph.node.into_iter().map(|node| self.node(node)).collect::<Parsed<_>>()?;
        let outputs = graph.output.into_iter().map(|output| output.name).collect();
        Ok(Subgraph { nodes, tensors, outputs })
    }

    fn node(&mut self, node: NodeProto) -> Parsed<Node> {
        let operation = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type,
            domain => format!("{domain}.{}", node.op_type),
        };
        let mut attributes = BTreeMap::new();
        // What the operation makes, where the file tells.
        let mut made = None;
        for attribute in node.attribute {
            let name = attribute.name.clone();
            let (attribute, element) = self.attribute(attribute)?;
            match &attribute {
                Attribute::Tensor(_) if operation == "Constant" => made = element,
                Attribute::Integer(to) if operation == "Cast" && name == "to" => made = ElementType::of(*to),
                _ => {}
            }
            attributes.insert(name, attribute);
        }
        let of_input = |which: usize| node.input.get(which).and_then(|name| self.types.get(name)).copied();
        if operation == "Identity" {
            made = of_input(0);
        }
        let typed = TYPED_BY_INPUT.iter().find(|(name, _)| *name == operation);
        if let Some(element) = typed.and_then(|&(_, which)| of_input(which)) {
            let name = if operation == "CastLike" { "to" } else { "output_dtype" };
            let said = attributes.entry(name.into()).or_insert(Attribute::Integer(0));
            if *said == Attribute::Integer(0) {
                *said = Attribute::Integer(element.code());
            }
        }
        if let (Some(element), Some(output)) = (made, node.output.first()) {
            self.types.insert(output.clone(), element);
        }
        Ok(Node { name: node.name, operation, inputs: node.input, outputs: node.output, attributes })
    }

    /// An attribute; the type of a tensor with it.
    fn attribute(&mut self, attribute: AttributeProto) -> Parsed<(Attribute, Option<ElementType>)> {
        let value = match (attribute.r#type, attribute.t, attribute.g) {
            (1, ..) => Attribute::Float(attribute.f),
            (2, ..) => Attribute::Integer(attribute.i),
            (3, ..) => Attribute::Text(String::from_utf8_lossy(&attribute.s).into_owned()),
            (4, Some(tensor), _) => match self.constant(tensor)? {
                Some((constant, element)) => return Ok((Attribute::Tensor(constant), Some(element))),
                None => Attribute::Other,
            },
            (5, _, Some(graph)) => Attribute::Graph(self.graph(graph)?),
            (6, ..) => Attribute::Floats(attribute.floats),
            (7, ..) => Attribute::Integers(attribute.ints),
            (8, ..) => Attribute::Texts(
                attribute.strings.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            ),
            (11, ..) if attribute.sparse_tensor.is_some() => {
                match attribute.sparse_tensor.map(|tensor| self.sparse(tensor)).transpose()?.flatten() {
                    Some((constant, element)) => return Ok((Attribute::Tensor(constant), Some(element))),
                    None => Attribute::Other,
                }
            }
            _ => Attribute::Other,
        };
        Ok((value, None))
    }
}
