//! Files of named weights: safetensors, and PyTorch's state dictionaries (`.pth`, `.pt`, `.th`), in a zip or in the older stream format.
//! They are read as data: nothing in them is imported or executed, and no length is trusted before its bytes are there.
//!
//! A file may hold the dictionary itself, or a checkpoint with the dictionary under `state_dict`, `model` or the like. If all names begin
//! with `module.`, as data-parallel training leaves them, that prefix is removed. [`Weights::stripped`] says what was taken off.
//!
//! ```
//! use obverse::store::weights::Weights;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("w.safetensors");
//! // A header's length, the header, the bytes: fc.bias = (0.5, -2).
//! let header = br#"{"fc.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
//! let values = [0.5f32, -2.0].map(f32::to_le_bytes).concat();
//! std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header, &values].concat())?;
//! let weights = Weights::open(&path)?;
//! assert_eq!(weights.require("fc.bias", &[2])?.values, [0.5, -2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod torch;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Error, Result, budget};

/// What names begin with after training in parallel.
const MODULE: &str = "module.";

/// Tensors by name, and the dictionaries around theirs.
type Named = (BTreeMap<String, Tensor>, Vec<String>);

/// The largest file that is read: enough for VGG-16's 553 MB, but not for large language models.
const LIMIT: u64 = 1 << 32;

/// One tensor, as 32-bit floats in PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its axes.
    pub shape: Vec<usize>,
    /// Its values in row order.
    pub values: Vec<f32>,
}

/// A file of weights.
#[derive(Clone, Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    stripped: Vec<String>,
}

impl Weights {
    /// Reads a file, in whichever format it is. Tensors of whole numbers (counters) are left out.
    ///
    /// # Errors
    /// A file that cannot be read, has none of these formats, is cut short, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = content(path)?;
        let read = match bytes.as_slice() {
            [b'P', b'K', 3, 4, ..] => torch::archive(&bytes),
            bytes if is_safe(bytes) => safe(bytes),
            // A pickle of protocol 2 to 5.
            [0x80, 2..=5, ..] => torch::stream(&bytes),
            _ => safe(&bytes),
        };
        let (tensors, stripped) = read.map_err(|Broken { expected, found }| broken(path, expected, found))?;
        let weights = Self { path: path.to_owned(), tensors, stripped };
        let is_wrapped = !weights.tensors.is_empty() && weights.names().all(|name| name.starts_with(MODULE));
        Ok(if is_wrapped { weights.without(MODULE) } else { weights })
    }

    /// Those whose names begin with `prefix`, under the rest of their names.
    pub fn without(self, prefix: &str) -> Self {
        let rest = |(name, tensor): (String, Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor));
        let stripped = self.stripped.into_iter().chain([prefix.to_string()]).collect();
        Self { path: self.path, tensors: self.tensors.into_iter().filter_map(rest).collect(), stripped }
    }

    /// The names and shapes without the values.
    pub(crate) fn outline(&self) -> Self {
        let outlined = |(name, tensor): (&String, &Tensor)| {
            (name.clone(), Tensor { shape: tensor.shape.clone(), values: Vec::new() })
        };
        let tensors = self.tensors.iter().map(outlined).collect();
        Self { path: self.path.clone(), tensors, stripped: self.stripped.clone() }
    }

    /// What was taken off to come to these names, from the outside in: the dictionaries around theirs, and what they began with.
    pub fn stripped(&self) -> &[String] {
        &self.stripped
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The tensor of this name and shape.
    ///
    /// # Errors
    /// No tensor of this name, or one with another shape or with a value that is not finite.
    pub fn require(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor = self.get(name).ok_or_else(|| {
            broken(&self.path, format!("a tensor \"{name}\""), format!("{} of other names", self.tensors.len()))
        })?;
        if tensor.shape != shape {
            return Err(broken(
                &self.path,
                format!("shape {shape:?} of \"{name}\""),
                format!("shape {:?}", tensor.shape),
            ));
        }
        match tensor.values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(broken(&self.path, format!("finite values in \"{name}\""), value.to_string())),
            None => Ok(tensor),
        }
    }
}

/// The bytes of a file that is not too large to be weights.
pub(in crate::store) fn content(path: &Path) -> Result<Vec<u8>> {
    let mut file = budget::open_file(path)?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    if length > LIMIT {
        return Err(broken(path, format!("at most {LIMIT} bytes"), format!("{length} bytes")));
    }
    budget::charge(path, "its bytes and its tensors", 2 * u128::from(length))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(Error::read(path))?;
    Ok(content)
}

pub(in crate::store) fn broken(path: &Path, expected: String, found: String) -> Error {
    Error::Weights { path: path.to_owned(), expected, found }
}

/// What is wrong with a file's content.
pub(in crate::store) struct Broken {
    pub(in crate::store) expected: String,
    pub(in crate::store) found: String,
}

impl Broken {
    pub(in crate::store) fn new(expected: impl Into<String>, found: impl ToString) -> Self {
        Self { expected: expected.into(), found: found.to_string() }
    }
}

/// A type of number, and how a file spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Number {
    F64,
    F32,
    F16,
    Bf16,
}

impl Number {
    pub(in crate::store) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Little-endian bytes as numbers.
    pub(in crate::store) fn decoded(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
        }
        match self {
            Self::F64 => each(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => each(bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
        }
    }
}

/// Whether a file begins as safetensors do: with a length that it has, and a header of JSON. The length's first byte may be that of a
/// pickle.
fn is_safe(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let fits = usize::try_from(u64::from_le_bytes(*length)).is_ok_and(|length| length <= rest.len());
    fits && rest.starts_with(b"{")
}

/// A file of the format safetensors.
fn safe(bytes: &[u8]) -> std::result::Result<Named, Broken> {
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|error| {
        Broken::new("safetensors, or PyTorch's state dictionary (.pth)", format!("neither ({error})"))
    })?;
    let number = |dtype| match dtype {
        safetensors::Dtype::F64 => Some(Number::F64),
        safetensors::Dtype::F32 => Some(Number::F32),
        safetensors::Dtype::F16 => Some(Number::F16),
        safetensors::Dtype::BF16 => Some(Number::Bf16),
        _ => None,
    };
    let tensors = file.iter().filter_map(|(name, view)| {
        let values = number(view.dtype())?.decoded(view.data());
        Some((name.to_string(), Tensor { shape: view.shape().to_vec(), values }))
    });
    Ok((tensors.collect(), Vec::new()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn testdata(name: &str) -> Weights {
        Weights::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/testdata").join(name)).unwrap()
    }

    /// Written by PyTorch 2.15: a transposed view, doubles, halves, a counter, a part of a matrix; in legacy.pth under
    /// `state_dict`, each name after `module.`.
    #[test]
    fn both_formats_of_pytorch_are_read() {
        for file in ["zip.pth", "legacy.pth"] {
            let weights = testdata(file);
            assert_eq!(weights.names().collect::<Vec<_>>(), ["b", "h", "part", "w"], "{file}");
            let turned: Vec<f32> = (0..4).flat_map(|j| (0..3).map(move |i| (4 * i + j) as f32)).collect();
            assert_eq!(weights.require("w", &[4, 3]).unwrap().values, turned, "{file}");
            assert_eq!(weights.require("b", &[2]).unwrap().values, [0.5, -2.0]);
            assert_eq!(weights.require("h", &[2]).unwrap().values, [1.5, 3.0]);
            assert_eq!(weights.require("part", &[2, 2]).unwrap().values, [5.0, 6.0, 9.0, 10.0]);
            let error = weights.require("w", &[3, 4]).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains("[3, 4]") && error.contains("[4, 3]"), "{error}");
            assert!(weights.require("x", &[1]).unwrap_err().to_string().contains("\"x\""));
        }
    }

    #[test]
    fn safetensors_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let header = br#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
        let file = [&(header.len() as u64).to_le_bytes()[..], header, &bytes].concat();
        fs::write(&path, &file).unwrap();
        assert_eq!(Weights::open(&path).unwrap().require("w", &[3]).unwrap().values, [1.0, 2.0, 3.0]);
        fs::write(&path, &file[..file.len() - 1]).unwrap();
        assert!(Weights::open(&path).unwrap_err().to_string().contains("w.safetensors"));
    }

    /// One header in 256 has a length that begins like a pickle.
    #[test]
    fn safetensors_of_any_length_of_header_are_told_from_pickles() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let bytes: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        for length in 120..140 + 512 {
            let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
            let header = format!("{header:length$}");
            fs::write(&path, [&(length as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()).unwrap();
            assert_eq!(Weights::open(&path).unwrap().require("w", &[2]).unwrap().values, [1.0, 2.0], "{length}");
        }
        fs::write(&path, [0x80, 9, 9, 9]).unwrap();
        assert!(Weights::open(&path).unwrap_err().to_string().contains("safetensors"));
    }

    #[test]
    fn what_is_taken_off_names_is_said() {
        assert_eq!(testdata("legacy.pth").stripped(), ["state_dict", "module."]);
        let weights = testdata("zip.pth");
        assert!(weights.stripped().is_empty());
        let outline = weights.outline();
        assert_eq!(outline.get("part").unwrap(), &Tensor { shape: vec![2, 2], values: vec![] });
        let part = weights.without("p");
        assert_eq!((part.names().collect::<Vec<_>>(), part.stripped()), (vec!["art"], &["p".to_string()][..]));
        assert_eq!(part.require("art", &[2, 2]).unwrap().values, [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(part.without("none").names().count(), 0);
    }

    /// Every prefix and every single changed byte is read or refused, and never panics or asks for memory that is not there.
    #[test]
    fn damaged_files_are_refused_or_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        for file in ["zip.pth", "legacy.pth"] {
            let good = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/testdata").join(file)).unwrap();
            for length in 0..good.len() {
                fs::write(&path, &good[..length]).unwrap();
                if file == "legacy.pth" {
                    assert!(Weights::open(&path).is_err(), "{file} cut at {length}");
                } else {
                    let _ = Weights::open(&path);
                }
            }
            for place in 0..good.len() {
                let mut bad = good.clone();
                bad[place] ^= 0x55;
                fs::write(&path, &bad).unwrap();
                let _ = Weights::open(&path);
            }
        }
    }
}
