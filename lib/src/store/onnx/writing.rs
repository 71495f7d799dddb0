//! A model as the bytes of an ONNX file.

use prost::Message;

use super::model::{Input, Model};
use super::node::{Attribute, Constant, Node};
use super::protocol::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TensorType, TypeProto, ValueInfoProto,
};
use crate::store::weights::{Broken, broken};
use crate::store::{Error, Result};

/// The version of the format that came with opset 17.
const IR_VERSION: i64 = 8;
const FLOAT: i32 = 1;
const INTEGER: i32 = 7;

/// The most bytes that a protocol buffer may have.
const LARGEST: usize = i32::MAX as usize;

impl Model {
    /// The bytes of the file. Subgraphs are not written.
    ///
    /// # Errors
    /// More bytes than a protocol buffer can hold, 2 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let value = |name: &String, shape: Option<TensorShapeProto>| ValueInfoProto {
            name: name.clone(),
            r#type: Some(TypeProto { tensor_type: Some(TensorType { elem_type: FLOAT, shape }) }),
        };
        let graph = GraphProto {
            name: "network".into(),
            node: self.nodes.iter().map(node).collect(),
            initializer: self.tensors.iter().map(|(name, constant)| tensor(name, constant)).collect(),
            input: self.inputs.iter().map(|input| value(&input.name, Some(shape(input)))).collect(),
            output: self.outputs.iter().map(|name| value(name, None)).collect(),
            ..Default::default()
        };
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "obverse".into(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            ..Default::default()
        };
        match model.encoded_len() {
            length if length > LARGEST => Err(self.too_large(length)),
            _ => Ok(model.encode_to_vec()),
        }
    }

    fn too_large(&self, length: usize) -> Error {
        let Broken { expected, found } =
            Broken::new("a model of 2 GiB at most (safetensors holds more)", format!("{length} bytes"));
        broken(&self.path, expected, found)
    }
}

/// An input's axes; an open one is the batch.
fn shape(input: &Input) -> TensorShapeProto {
    let axis = |axis: &Option<usize>| match axis {
        Some(length) => Dimension { dim_value: Some(*length as i64), dim_param: None },
        None => Dimension { dim_value: None, dim_param: Some("batch".into()) },
    };
    TensorShapeProto { dim: input.shape.iter().map(axis).collect() }
}

fn node(node: &Node) -> NodeProto {
    NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: node.name.clone(),
        op_type: node.operation.clone(),
        attribute: node.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..Default::default()
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut result = AttributeProto { name: name.to_string(), ..Default::default() };
    match value {
        Attribute::Float(value) => (result.r#type, result.f) = (1, *value),
        Attribute::Integer(value) => (result.r#type, result.i) = (2, *value),
        Attribute::Text(value) => (result.r#type, result.s) = (3, value.clone().into_bytes()),
        Attribute::Tensor(value) => (result.r#type, result.t) = (4, Some(tensor("", value))),
        Attribute::Floats(values) => (result.r#type, result.floats) = (6, values.clone()),
        Attribute::Integers(values) => (result.r#type, result.ints) = (7, values.clone()),
        Attribute::Texts(values) => {
            (result.r#type, result.strings) = (8, values.iter().map(|word| word.clone().into_bytes()).collect());
        }
        Attribute::Graph(_) | Attribute::Other => {}
    }
    result
}

fn tensor(name: &str, constant: &Constant) -> TensorProto {
    let (data_type, raw_data) = match constant {
        Constant::Floats(array) => (FLOAT, array.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Constant::Integers(array) => (INTEGER, array.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    TensorProto {
        dims: constant.shape().iter().map(|&axis| axis as i64).collect(),
        data_type,
        name: name.to_string(),
        raw_data,
        ..Default::default()
    }
}
