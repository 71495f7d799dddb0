//! The types of numbers of ONNX (onnx.proto, `TensorProto.DataType`).

use crate::store::weights::Number;

/// A type of number. Floats are read as 32-bit floats, all others as 64-bit whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ElementType {
    F32,
    F64,
    F16,
    Bf16,
    I2,
    I4,
    I8,
    I16,
    I32,
    I64,
    U2,
    U4,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

const CODES: [(i64, ElementType); 17] = [
    (1, ElementType::F32),
    (2, ElementType::U8),
    (3, ElementType::I8),
    (4, ElementType::U16),
    (5, ElementType::I16),
    (6, ElementType::I32),
    (7, ElementType::I64),
    (9, ElementType::Bool),
    (10, ElementType::F16),
    (11, ElementType::F64),
    (12, ElementType::U32),
    (13, ElementType::U64),
    (16, ElementType::Bf16),
    (21, ElementType::U4),
    (22, ElementType::I4),
    (25, ElementType::U2),
    (26, ElementType::I2),
];

impl ElementType {
    /// The type of this number in ONNX, as attributes such as `to` of Cast say it; `None` for words, complex numbers, and floats of 8 bits
    /// or fewer.
    ///
    /// ```
    /// use obverse::store::onnx::ElementType;
    /// assert_eq!(ElementType::of(3), Some(ElementType::I8));
    /// assert_eq!(ElementType::of(3).and_then(ElementType::range), Some((-128, 127)));
    /// assert_eq!(ElementType::of(17), None);
    /// ```
    pub fn of(code: i64) -> Option<Self> {
        CODES.iter().find(|(of, _)| *of == code).map(|&(_, element)| element)
    }

    /// The number of the type in ONNX.
    pub fn code(self) -> i64 {
        CODES.iter().find(|(_, element)| *element == self).map_or(0, |&(code, _)| code)
    }

    /// Whether it is one of the types of floats.
    pub fn is_float(self) -> bool {
        self.number().is_some()
    }

    /// The least and the largest whole number of the type, as far as 64 bits with a sign reach; `None` for floats.
    pub fn range(self) -> Option<(i64, i64)> {
        let bits = self.bits();
        Some(match self {
            Self::Bool => (0, 1),
            Self::U64 => (0, i64::MAX),
            Self::U2 | Self::U4 | Self::U8 | Self::U16 | Self::U32 => (0, (1 << bits) - 1),
            Self::I2 | Self::I4 | Self::I8 | Self::I16 | Self::I32 => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            Self::I64 => (i64::MIN, i64::MAX),
            Self::F32 | Self::F64 | Self::F16 | Self::Bf16 => return None,
        })
    }

    /// How floats of the type are stored.
    pub(super) fn number(self) -> Option<Number> {
        Some(match self {
            Self::F32 => Number::F32,
            Self::F64 => Number::F64,
            Self::F16 => Number::F16,
            Self::Bf16 => Number::Bf16,
            _ => return None,
        })
    }

    fn bits(self) -> usize {
        match self {
            Self::I2 | Self::U2 => 2,
            Self::I4 | Self::U4 => 4,
            Self::I8 | Self::U8 | Self::Bool => 8,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 16,
            Self::I32 | Self::U32 | Self::F32 => 32,
            Self::I64 | Self::U64 | Self::F64 => 64,
        }
    }

    /// How many bytes `count` numbers take; small ones share a byte.
    pub(super) fn length(self, count: usize) -> Option<usize> {
        match self.bits() {
            bits @ (2 | 4) => Some(count.div_ceil(8 / bits)),
            bits => count.checked_mul(bits / 8),
        }
    }

    /// The first `count` whole numbers in little-endian bytes, of which there are enough; `None` for one that 64 bits with a sign do not
    /// hold.
    pub(super) fn whole(self, bytes: &[u8], count: usize) -> Option<Vec<i64>> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
        }
        Some(match self {
            Self::I2 | Self::I4 | Self::U2 | Self::U4 => self.unpacked(bytes, count),
            Self::U8 => each(bytes, |bytes| i64::from(u8::from_le_bytes(bytes))),
            Self::Bool => each(bytes, |[byte]| i64::from(byte != 0)),
            Self::I8 => each(bytes, |bytes| i64::from(i8::from_le_bytes(bytes))),
            Self::U16 => each(bytes, |bytes| i64::from(u16::from_le_bytes(bytes))),
            Self::I16 => each(bytes, |bytes| i64::from(i16::from_le_bytes(bytes))),
            Self::U32 => each(bytes, |bytes| i64::from(u32::from_le_bytes(bytes))),
            Self::I32 => each(bytes, |bytes| i64::from(i32::from_le_bytes(bytes))),
            Self::I64 => each(bytes, i64::from_le_bytes),
            Self::U64 => {
                let numbers = bytes.as_chunks::<8>().0.iter();
                return numbers.map(|&bytes| i64::try_from(u64::from_le_bytes(bytes)).ok()).collect();
            }
            Self::F32 | Self::F64 | Self::F16 | Self::Bf16 => return None,
        })
    }

    /// Numbers of 2 or 4 bits, the first in the lowest bits of its byte.
    fn unpacked(self, bytes: &[u8], count: usize) -> Vec<i64> {
        let bits = self.bits();
        let is_signed = matches!(self, Self::I2 | Self::I4);
        let number = |index: usize| {
            let (byte, shift) = (bytes[index * bits / 8], index * bits % 8);
            // The highest bit of the number becomes that of a byte, and comes back with its sign.
            let high = (byte >> shift) << (8 - bits);
            if is_signed { i64::from(high as i8 >> (8 - bits)) } else { i64::from(high >> (8 - bits)) }
        };
        (0..count).map(number).collect()
    }
}

/// What stands in the place of a type that is known.
pub(super) fn described(code: i32) -> String {
    match code {
        0 => "no type".into(),
        14 | 15 => "complex numbers".into(),
        17 => "float8e4m3fn".into(),
        18 => "float8e4m3fnuz".into(),
        19 => "float8e5m2".into(),
        20 => "float8e5m2fnuz".into(),
        23 => "float4e2m1".into(),
        24 => "float8e8m0".into(),
        other => format!("type {other}"),
    }
}
