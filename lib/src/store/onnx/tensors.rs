//! Tensors of an ONNX file, in the file itself or beside it, and operations, whose attributes may hold tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use ndarray::{ArrayD, IxDyn};

use super::node::{Attribute, Constant, Node};
use super::protocol::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto};
use crate::store::budget;
use crate::store::weights::{Broken, Number};

pub(super) type Parsed<T> = std::result::Result<T, Broken>;

/// Reads tensors, in the file or beside it.
pub(super) struct TensorReader {
    pub(super) folder: PathBuf,
    pub(super) external: BTreeSet<PathBuf>,
    /// Bytes read from other files so far. Many tensors may claim the same bytes.
    pub(super) held: u128,
}

impl TensorReader {
    pub(super) fn node(&mut self, node: NodeProto) -> Parsed<Node> {
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

    pub(super) fn constant(&mut self, mut tensor: TensorProto) -> Parsed<Constant> {
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
            // Halves are stored as their bits, in whole numbers.
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

    /// The little-endian bytes of a tensor's `count` values of `size` bytes, if it holds them as bytes.
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

    /// The path of a file that must lie in the folder of this one: not above it, and not behind a link.
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
