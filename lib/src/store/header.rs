//! The header of a `.npy` file, versions 1 to 3: `\x93NUMPY`, two version bytes, the length of the text (2 or 4 bytes,
//! little endian) and the text, a Python dictionary of `descr`, `fortran_order` and `shape`.
//!
//! Source: NumPy's `numpy/lib/format.py`, whose bytes [`Header::encode`] reproduces.

use std::io::{self, Read};

use num_traits::ToPrimitive;
use py_literal::Value;

use super::dtype::Dtype;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The longest header text that is accepted. NumPy's own limit is 10,000 characters.
const LONGEST: usize = 1 << 16;

/// The deepest nesting that is accepted: a tuple in a dictionary. The parser of literals recurses, so the depth is checked first.
const DEEPEST: usize = 2;

/// NumPy leaves room for a first axis of this many digits, so that an array can grow in place.
const AXIS_DIGITS: usize = 21;

/// The header is padded so that the data begin at a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// The header of a `.npy` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of an element.
    pub dtype: Dtype,
    /// The lengths of the axes, first axis first.
    pub shape: Vec<usize>,
    /// Whether the first axis varies fastest.
    pub fortran_order: bool,
    /// Whether elements are big endian.
    pub big_endian: bool,
}

/// Why a header cannot be read.
#[derive(Debug)]
pub(super) enum Refusal {
    Io(io::Error),
    Format { expected: &'static str, found: String },
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            refusal("a whole header", "the end of the file")
        } else {
            Self::Io(error)
        }
    }
}

fn refusal(expected: &'static str, found: impl ToString) -> Refusal {
    Refusal::Format { expected, found: found.to_string() }
}

impl Header {
    /// The number of elements, unless it overflows.
    pub(super) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length))
    }

    /// The number of bytes after the header, unless it overflows.
    pub(super) fn body(&self) -> Option<u64> {
        self.elements()?.checked_mul(self.dtype.size())?.to_u64()
    }

    /// Reads a header, and returns it with the bytes that were read.
    pub(super) fn decode(mut source: impl Read) -> Result<(Self, Vec<u8>), Refusal> {
        let mut bytes = vec![0; 8];
        source.read_exact(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            return Err(refusal("the bytes \\x93NUMPY at the start", "other bytes"));
        }
        let length_bytes = match bytes[6] {
            1 => 2,
            2 | 3 => 4,
            version => return Err(refusal("format version 1, 2 or 3", version)),
        };
        let mut length = [0; 4];
        source.read_exact(&mut length[..length_bytes])?;
        bytes.extend_from_slice(&length[..length_bytes]);
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(refusal("a header of at most 65536 bytes", length));
        }
        let begin = bytes.len();
        bytes.resize(begin + length, 0);
        source.read_exact(&mut bytes[begin..])?;
        let header = Self::parse(&bytes[begin..])?;
        Ok((header, bytes))
    }

    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|error| refusal("a header in UTF-8", error))?;
        if depth(text) > DEEPEST {
            return Err(refusal("a plain array", "a structured or nested type"));
        }
        let expected = "a dictionary of descr, fortran_order and shape";
        let Some(text) = text.strip_suffix('\n') else {
            return Err(refusal("a newline at the end of the header", "none"));
        };
        let Ok(Value::Dict(entries)) = text.trim_end().parse() else {
            return Err(refusal(expected, "something else"));
        };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        for (key, value) in entries {
            match (key, value) {
                (Value::String(key), Value::String(value)) if key == "descr" => descr = Some(value),
                (Value::String(key), Value::Boolean(value)) if key == "fortran_order" => fortran_order = Some(value),
                (Value::String(key), Value::Tuple(value)) if key == "shape" => shape = Some(lengths(&value)?),
                (key, value) => return Err(refusal(expected, format!("{key}: {value}"))),
            }
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err(refusal(expected, "an incomplete one"));
        };
        let (dtype, big_endian) = Dtype::parse(&descr)
            .ok_or_else(|| refusal("a boolean, integer or floating-point type", format!("{descr:?}")))?;
        Ok(Self { dtype, shape, fortran_order, big_endian })
    }

    /// The header as NumPy writes it, in C order and little endian. Its length does not depend on the first axis.
    pub(super) fn encode(dtype: Dtype, shape: &[usize]) -> Vec<u8> {
        let axes: Vec<_> = shape.iter().map(usize::to_string).collect();
        let comma = if axes.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            dtype.descr(),
            axes.join(", ")
        );
        let growth = axes.first().map_or(0, |axis| AXIS_DIGITS.saturating_sub(axis.len()));
        text.extend(std::iter::repeat_n(' ', growth));
        // Version 1 has room for 65,535 bytes of text: thousands of axes.
        let short = text.len() + ALIGNMENT < usize::from(u16::MAX);
        let before = MAGIC.len() + 2 + if short { 2 } else { 4 };
        let padding = ALIGNMENT - (before + text.len() + 1) % ALIGNMENT;
        text.extend(std::iter::repeat_n(' ', padding));
        text.push('\n');
        let mut bytes = MAGIC.to_vec();
        if short {
            bytes.extend_from_slice(&[1, 0]);
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
        } else {
            bytes.extend_from_slice(&[2, 0]);
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}

fn lengths(axes: &[Value]) -> Result<Vec<usize>, Refusal> {
    let length = |axis: &Value| match axis {
        Value::Integer(length) => length.to_usize(),
        _ => None,
    };
    axes.iter().map(|axis| length(axis).ok_or_else(|| refusal("a shape of lengths from 0 to 2^64 - 1", axis))).collect()
}

/// How deep the brackets of a text nest, without regard to strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_text(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(text.len() as u16 + 1).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        bytes
    }

    #[test]
    fn the_bytes_are_numpys() {
        // numpy.save of numpy.zeros((3, 4), "f4"), NumPy 2.
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        let expected = with_text(&format!("{text:<117}"));
        assert_eq!(expected.len(), 128);
        assert_eq!(Header::encode(Dtype::F32, &[3, 4]), expected);
        assert!(Header::encode(Dtype::U8, &[7]).windows(5).any(|window| window == b"(7,),"));
    }

    #[test]
    fn the_length_does_not_depend_on_the_first_axis() {
        let length = |rows| Header::encode(Dtype::F32, &[rows, 1, 28, 28]).len();
        assert_eq!(length(0), length(usize::MAX));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let deep = "(".repeat(60_000);
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
            "{'descr': '<f4', 'fortran_order': 3, 'shape': (1,)}",
            "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            &deep,
        ] {
            assert!(matches!(Header::decode(&with_text(text)[..]), Err(Refusal::Format { .. })), "{text}");
        }
        for bytes in [
            &b"PK\x03\x04 and so on"[..],
            b"\x93NUMPY\x04\x00\x00\x00",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
            b"\x93NU",
        ] {
            assert!(matches!(Header::decode(bytes), Err(Refusal::Format { .. })));
        }
    }

    #[test]
    fn a_product_that_overflows_is_seen() {
        let header = Header { dtype: Dtype::F64, shape: vec![1 << 62], fortran_order: false, big_endian: false };
        assert_eq!(header.elements(), Some(1 << 62));
        assert_eq!(header.body(), None);
        assert_eq!(Header { shape: vec![1 << 32, 1 << 32], ..header }.elements(), None);
    }

    proptest! {
        #[test]
        fn a_header_returns_from_its_bytes(shape in prop::collection::vec(any::<usize>(), 0..6)) {
            let bytes = Header::encode(Dtype::I16, &shape);
            prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
            let (header, read) = Header::decode(&bytes[..]).unwrap();
            prop_assert_eq!(read, bytes);
            prop_assert_eq!(header, Header { dtype: Dtype::I16, shape, fortran_order: false, big_endian: false });
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::decode(&bytes[..]);
            let _ = Header::decode(&[&b"\x93NUMPY\x01\x00\x50\x00"[..], &bytes].concat()[..]);
        }

        #[test]
        fn no_text_panics(text in r#"[-+{}()\[\],:' "\\0-9.ejNxubrdescrshapfotnFaTlu_<>|]{0,120}"#) {
            let _ = Header::decode(&with_text(&text)[..]);
            let _ = Header::decode(&with_text(&format!("{{'descr': '<f4', 'shape': {text}}}"))[..]);
        }
    }
}
