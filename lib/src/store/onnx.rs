//! ONNX files: operations, the tensors they hold, inputs and outputs, in protocol buffers (github.com/onnx/onnx, onnx.proto).
//!
//! Tensors may lie in files beside it, in its own folder only. No length is believed before its bytes are there.
//!
//! ```
//! use std::collections::BTreeMap;
//! use obverse::store::onnx::{Attribute, Node};
//! let node = Node {
//!     name: "pool".into(),
//!     operation: "MaxPool".into(),
//!     inputs: vec!["x".into()],
//!     outputs: vec!["y".into()],
//!     attributes: BTreeMap::from([("kernel_shape".into(), Attribute::Integers(vec![3, 3]))]),
//! };
//! assert_eq!((node.integers("kernel_shape"), node.integer("ceil_mode")), (Some(&[3, 3][..]), None));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use prost::Message;

use super::weights::{Broken, Number, broken, content};
use super::{Result, budget};

/// A tensor of an ONNX file: numbers of any float type as 32-bit floats, whole numbers and truth values as 64-bit ones.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Floats.
    Floats(ArrayD<f32>),
    /// Whole numbers.
    Integers(ArrayD<i64>),
}

impl Constant {
    /// Its axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(array) => array.shape(),
            Self::Integers(array) => array.shape(),
        }
    }
}

/// A setting of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A float.
    Float(f32),
    /// A whole number.
    Integer(i64),
    /// A word.
    Text(String),
    /// A tensor.
    Tensor(Constant),
    /// Floats.
    Floats(Vec<f32>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// A graph, words, or another type.
    Other,
}

/// An operation and the names of the values that it reads and makes; an empty name is an input left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name, which may be empty.
    pub name: String,
    /// What it does; after the name of its domain and a dot, where that is not ONNX itself.
    pub operation: String,
    /// The values it reads.
    pub inputs: Vec<String>,
    /// The values it makes.
    pub outputs: Vec<String>,
    /// Its settings.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Node {
    /// The whole number of this name.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name)? {
            Attribute::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole numbers of this name.
    pub fn integers(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name)? {
            Attribute::Integers(values) => Some(values),
            _ => None,
        }
    }

    /// The float of this name.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attributes.get(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The word of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name)? {
            Attribute::Text(value) => Some(value),
            _ => None,
        }
    }
}

/// A value that the user gives: its name and its axes, `None` where one is left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its axes, the batch first.
    pub shape: Vec<Option<usize>>,
}

/// An ONNX file.
#[derive(Clone, Debug)]
pub struct Model {
    /// The file.
    pub path: PathBuf,
    /// The operations, each after those whose values it reads.
    pub nodes: Vec<Node>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Constant>,
    /// What the user gives.
    pub inputs: Vec<Input>,
    /// The names of the values that the user gets.
    pub outputs: Vec<String>,
    /// Files beside it that hold tensors.
    pub external: BTreeSet<PathBuf>,
}

impl Model {
    /// Reads a file and the tensors beside it.
    ///
    /// # Errors
    /// A file that cannot be read, is no ONNX, is cut short or lies about itself; tensors outside its folder, or of numbers
    /// that are neither floats nor whole.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = content(path)?;
        Self::parse(path, &bytes).map_err(|Broken { expected, found }| broken(path, expected, found))
    }

    fn parse(path: &Path, bytes: &[u8]) -> Parsed<Self> {
        let model = ModelProto::decode(bytes).map_err(|error| Broken::new("an ONNX model", error))?;
        let graph = model.graph.ok_or_else(|| Broken::new("an ONNX model with a graph", "none"))?;
        if !graph.sparse_initializer.is_empty() {
            return Err(Broken::new("dense tensors", "a sparse one"));
        }
        let mut reader = TensorReader { folder: folder_of(path), external: BTreeSet::new(), held: 0 };
        let mut tensors = BTreeMap::new();
        for tensor in graph.initializer {
            tensors.insert(tensor.name.clone(), reader.constant(tensor)?);
        }
        let nodes = graph.node.into_iter().map(|node| reader.node(node)).collect::<Parsed<_>>()?;
        // Older files list the tensors among the inputs too.
        let given = graph.input.into_iter().filter(|input| !tensors.contains_key(&input.name));
        let inputs = given.map(|input| Input { shape: axes(&input), name: input.name }).collect();
        let outputs = graph.output.into_iter().map(|output| output.name).collect();
        Ok(Self { path: path.to_owned(), nodes, tensors, inputs, outputs, external: reader.external })
    }
}

type Parsed<T> = std::result::Result<T, Broken>;

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// An input's axes; those that are names or 0 are open.
fn axes(input: &ValueInfoProto) -> Vec<Option<usize>> {
    let shape = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()?.shape.as_ref());
    let axis =
        |axis: &Dimension| axis.dim_value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
    shape.map_or_else(Vec::new, |shape| shape.dim.iter().map(axis).collect())
}

/// Reads tensors, those beside the file too.
struct TensorReader {
    folder: PathBuf,
    external: BTreeSet<PathBuf>,
    /// Bytes read from files beside it so far: many tensors may claim the same ones.
    held: u128,
}

impl TensorReader {
    fn node(&mut self, node: NodeProto) -> Parsed<Node> {
        let mut attributes = BTreeMap::new();
        for attribute in node.attribute {
            attributes.insert(attribute.name.clone(), self.attribute(attribute)?);
        }
        let operation = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type,
            domain => format!("{domain}.{}", node.op_type),
        };
        Ok(Node { name: node.name, operation, inputs: node.input, outputs: node.output, attributes })
    }

    fn attribute(&mut self, attribute: AttributeProto) -> Parsed<Attribute> {
        Ok(match (attribute.r#type, attribute.t) {
            (1, _) => Attribute::Float(attribute.f),
            (2, _) => Attribute::Integer(attribute.i),
            (3, _) => Attribute::Text(String::from_utf8_lossy(&attribute.s).into_owned()),
            (4, Some(tensor)) => Attribute::Tensor(self.constant(tensor)?),
            (6, _) => Attribute::Floats(attribute.floats),
            (7, _) => Attribute::Integers(attribute.ints),
            _ => Attribute::Other,
        })
    }

    fn constant(&mut self, mut tensor: TensorProto) -> Parsed<Constant> {
        let name = std::mem::take(&mut tensor.name);
        let shape = tensor.dims.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<Vec<_>>>();
        let elements = |shape: &Vec<usize>| shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis));
        let (shape, count) = shape
            .and_then(|shape| Some((elements(&shape)?, shape)))
            .map(|(count, shape)| (shape, count))
            .ok_or_else(|| Broken::new(format!("a shape of \"{name}\""), format!("{:?}", tensor.dims)))?;
        let wrong = |found: usize| {
            Broken::new(format!("{count} values of shape {shape:?} in \"{name}\""), format!("{found} values"))
        };
        if let Some(number) = float_type(tensor.data_type) {
            let values = self.floats(tensor, number, count, &name)?;
            let found = values.len();
            return ArrayD::from_shape_vec(IxDyn(&shape), values).map(Constant::Floats).map_err(|_| wrong(found));
        }
        let values = self.integers(tensor, count, &name)?;
        let found = values.len();
        ArrayD::from_shape_vec(IxDyn(&shape), values).map(Constant::Integers).map_err(|_| wrong(found))
    }

    fn floats(&mut self, tensor: TensorProto, number: Number, count: usize, name: &str) -> Parsed<Vec<f32>> {
        if let Some(bytes) = self.bytes(&tensor, count, number.size(), name)? {
            return Ok(number.decoded(&bytes));
        }
        Ok(match number {
            Number::F32 => tensor.float_data,
            Number::F64 => tensor.double_data.into_iter().map(|value| value as f32).collect(),
            // Halves stand in whole numbers, as their bits.
            Number::F16 | Number::Bf16 => {
                let bits: Vec<u8> = tensor.int32_data.iter().flat_map(|&bits| (bits as u16).to_le_bytes()).collect();
                number.decoded(&bits)
            }
        })
    }

    fn integers(&mut self, tensor: TensorProto, count: usize, name: &str) -> Parsed<Vec<i64>> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
        }
        const UNSIGNED_8: i32 = 2;
        const SIGNED_8: i32 = 3;
        const SIGNED_32: i32 = 6;
        const SIGNED_64: i32 = 7;
        const TRUTH: i32 = 9;
        let size = match tensor.data_type {
            UNSIGNED_8 | SIGNED_8 | TRUTH => 1,
            SIGNED_32 => 4,
            SIGNED_64 => 8,
            other => {
                return Err(Broken::new(format!("floats or whole numbers in \"{name}\""), format!("type {other}")));
            }
        };
        let Some(bytes) = self.bytes(&tensor, count, size, name)? else {
            return Ok(match tensor.data_type {
                SIGNED_64 => tensor.int64_data,
                _ => tensor.int32_data.into_iter().map(i64::from).collect(),
            });
        };
        Ok(match tensor.data_type {
            SIGNED_8 => each(&bytes, |bytes| i64::from(i8::from_le_bytes(bytes))),
            SIGNED_32 => each(&bytes, |bytes| i64::from(i32::from_le_bytes(bytes))),
            SIGNED_64 => each(&bytes, i64::from_le_bytes),
            _ => each(&bytes, |bytes| i64::from(u8::from_le_bytes(bytes))),
        })
    }

    /// The little-endian bytes of a tensor's `count` values of `size` bytes, where it holds them as bytes.
    fn bytes(&mut self, tensor: &TensorProto, count: usize, size: usize, name: &str) -> Parsed<Option<Vec<u8>>> {
        const EXTERNAL: i32 = 1;
        let length = count.checked_mul(size);
        if tensor.data_location == EXTERNAL {
            let length = length.ok_or_else(|| Broken::new(format!("a shape of \"{name}\""), "an enormous one"))?;
            return self.beside(&tensor.external_data, length, name).map(Some);
        }
        if tensor.raw_data.is_empty() {
            return Ok(None);
        }
        match length == Some(tensor.raw_data.len()) {
            true => Ok(Some(tensor.raw_data.clone())),
            false => Err(Broken::new(
                format!("{count} values of {size} bytes in \"{name}\""),
                format!("{} bytes", tensor.raw_data.len()),
            )),
        }
    }

    /// The bytes of a tensor in a file beside this one.
    fn beside(&mut self, entries: &[StringStringEntryProto], length: usize, name: &str) -> Parsed<Vec<u8>> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                Broken::new(format!("a number of bytes as the {key} of \"{name}\""), format!("\"{text}\""))
            }),
        };
        let path = self.path_beside(entry("location").unwrap_or_default(), name)?;
        let offset = number("offset")?.unwrap_or(0);
        let failed = |error: std::io::Error| {
            Broken::new(format!("the values of \"{name}\""), format!("{}: {error}", path.display()))
        };
        let opened = budget::open_file(&path);
        let mut file = opened.map_err(|error| Broken::new(format!("the values of \"{name}\""), error.to_string()))?;
        let available = file.metadata().map_err(failed)?.len().saturating_sub(offset);
        let said = number("length")?.unwrap_or(length as u64);
        if said != length as u64 || available < said {
            return Err(Broken::new(
                format!("{length} bytes of \"{name}\" in {}, from {offset}", path.display()),
                format!("{}", said.min(available)),
            ));
        }
        self.held += length as u128;
        budget::charge(&path, "the tensors in it", 2 * self.held)
            .map_err(|error| Broken::new(format!("the values of \"{name}\" to fit into memory"), error))?;
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
        self.external.insert(path);
        Ok(bytes)
    }

    /// The path of a file in this one's folder, and nowhere else: not above it, not by a link.
    fn path_beside(&self, location: &str, name: &str) -> Parsed<PathBuf> {
        let refused = || {
            let expected = format!("the values of \"{name}\" in a file of the folder {}", self.folder.display());
            Broken::new(expected, format!("\"{location}\""))
        };
        let relative = Path::new(location);
        let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !is_inside {
            return Err(refused());
        }
        let path = self.folder.join(relative);
        let (folder, target) = (self.folder.canonicalize(), path.canonicalize());
        match (folder, target) {
            (Ok(folder), Ok(target)) if target.starts_with(&folder) && target.is_file() => Ok(path),
            _ => Err(refused()),
        }
    }
}

/// The type of float that a number of ONNX stands for.
fn float_type(data_type: i32) -> Option<Number> {
    Some(match data_type {
        1 => Number::F32,
        10 => Number::F16,
        11 => Number::F64,
        16 => Number::Bf16,
        _ => return None,
    })
}

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    sparse_initializer: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tensor(name: &str, dims: &[i64], data_type: i32) -> TensorProto {
        TensorProto { name: name.into(), dims: dims.to_vec(), data_type, ..TensorProto::default() }
    }

    fn opened(folder: &Path, tensors: Vec<TensorProto>) -> Result<Model> {
        let graph = GraphProto { initializer: tensors, ..GraphProto::default() };
        let path = folder.join("m.onnx");
        fs::write(&path, ModelProto { graph: Some(graph) }.encode_to_vec()).unwrap();
        Model::open(&path)
    }

    fn floats(values: &[f32]) -> Constant {
        Constant::Floats(ndarray::arr1(values).into_dyn())
    }

    fn whole(values: &[i64]) -> Constant {
        Constant::Integers(ndarray::arr1(values).into_dyn())
    }

    #[test]
    fn numbers_of_every_kind_and_place_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = vec![
            TensorProto { float_data: vec![1.5, -2.0], ..tensor("f32", &[2], 1) },
            TensorProto { raw_data: [1.5f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat(), ..tensor("raw", &[2], 1) },
            TensorProto { double_data: vec![0.25], ..tensor("f64", &[1], 11) },
            TensorProto { int32_data: vec![0x3c00], ..tensor("f16", &[1], 10) },
            TensorProto { int64_data: vec![-7], ..tensor("i64", &[1], 7) },
            TensorProto { int32_data: vec![3], ..tensor("i32", &[1], 6) },
            TensorProto { raw_data: vec![1, 0], ..tensor("truth", &[2], 9) },
            TensorProto { raw_data: vec![0xff], ..tensor("i8", &[1], 3) },
        ];
        let model = opened(folder.path(), tensors).unwrap();
        let expected = [
            ("f16", floats(&[1.0])),
            ("f32", floats(&[1.5, -2.0])),
            ("f64", floats(&[0.25])),
            ("i32", whole(&[3])),
            ("i64", whole(&[-7])),
            ("i8", whole(&[-1])),
            ("raw", floats(&[1.5, 2.0])),
            ("truth", whole(&[1, 0])),
        ];
        assert_eq!(model.tensors, expected.map(|(name, value)| (name.to_string(), value)).into());
    }

    #[test]
    fn tensors_that_lie_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |tensor: TensorProto, words: &[&str]| {
            let error = opened(folder.path(), vec![tensor]).unwrap_err().to_string();
            ["m.onnx", "\"w\""].iter().chain(words).for_each(|word| assert!(error.contains(word), "{word} in {error}"));
        };
        refused(TensorProto { float_data: vec![1.0], ..tensor("w", &[2], 1) }, &["2 values", "1 values"]);
        refused(TensorProto { raw_data: vec![0; 7], ..tensor("w", &[2], 1) }, &["7 bytes"]);
        refused(tensor("w", &[1 << 40, 1 << 40], 1), &["shape"]);
        refused(tensor("w", &[1 << 40], 1), &["0 values"]);
        refused(tensor("w", &[-1], 1), &["shape"]);
        refused(tensor("w", &[1], 8), &["type 8"]);
    }

    fn entry(key: &str, value: &str) -> StringStringEntryProto {
        StringStringEntryProto { key: key.into(), value: value.into() }
    }

    fn beside(location: &str, more: &[(&str, &str)]) -> TensorProto {
        let entries = more.iter().map(|(key, value)| entry(key, value));
        let external_data = std::iter::once(entry("location", location)).chain(entries).collect();
        TensorProto { data_location: 1, external_data, ..tensor("w", &[2], 1) }
    }

    #[test]
    fn tensors_beside_the_file_are_read_from_its_folder_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("model");
        fs::create_dir(&folder).unwrap();
        let bytes: Vec<u8> = [9.0f32, 1.0, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        for path in [root.path().join("secret"), folder.join("m.data")] {
            fs::write(path, &bytes).unwrap();
        }
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        let model = opened(&folder, vec![beside("m.data", &[("offset", "4"), ("length", "8")])]).unwrap();
        assert_eq!(model.tensors["w"], floats(&[1.0, 2.0]));
        assert_eq!(model.external, [folder.join("m.data")].into());
        let absolute = root.path().join("secret").display().to_string();
        for outside in ["../secret", "link", &absolute, "a/../../secret", "", "none", "."] {
            let error = opened(&folder, vec![beside(outside, &[])]).unwrap_err().to_string();
            assert!(error.contains("in a file of the folder") && error.contains(outside), "{error}");
        }
        for settings in [
            [("offset", "8"), ("length", "8")],
            [("offset", "0"), ("length", "4")],
            [("offset", "-1"), ("length", "8")],
        ] {
            assert!(opened(&folder, vec![beside("m.data", &settings)]).is_err(), "{settings:?}");
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        for bytes in [&b""[..], b"no protocol buffer", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            fs::write(&path, bytes).unwrap();
            let error = Model::open(&path).unwrap_err().to_string();
            assert!(error.contains("m.onnx") && error.contains("an ONNX model"), "{error}");
        }
        // Graphs within graphs, deeper than the stack.
        let mut nested = Vec::new();
        for _ in 0..20_000 {
            let mut outer = vec![0x3a];
            prost::encoding::encode_varint(nested.len() as u64, &mut outer);
            outer.append(&mut nested);
            nested = outer;
        }
        fs::write(&path, &nested).unwrap();
        let _ = Model::open(&path);
    }
}
