//! The types of an array's elements, by NumPy's names and Rust's.

use std::fmt;

use bytemuck::Pod;
use num_traits::{NumCast, ToPrimitive};
use serde::{Deserialize, Serialize};

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Dtype {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    /// Can be read as wider floats and copied; no tool computes in it.
    F16,
    F32,
    F64,
}

impl Dtype {
    const ALL: [(Self, &str, &str); 12] = [
        (Self::Bool, "|b1", "bool"),
        (Self::I8, "|i1", "i8"),
        (Self::U8, "|u1", "u8"),
        (Self::I16, "<i2", "i16"),
        (Self::U16, "<u2", "u16"),
        (Self::I32, "<i4", "i32"),
        (Self::U32, "<u4", "u32"),
        (Self::I64, "<i8", "i64"),
        (Self::U64, "<u8", "u64"),
        (Self::F16, "<f2", "f16"),
        (Self::F32, "<f4", "f32"),
        (Self::F64, "<f8", "f64"),
    ];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// NumPy's name, as it stands in a header.
    pub(super) fn descr(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The type that NumPy calls `descr`, and whether its bytes are swapped.
    pub(super) fn parse(descr: &str) -> Option<(Self, bool)> {
        let order = descr.chars().next().filter(|order| "<>|=".contains(*order))?;
        let found = Self::ALL.into_iter().find(|(_, known, _)| known[1..] == descr[1..])?;
        Some((found.0, order == '>' && found.0.size() > 1))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::ALL[*self as usize].2)
    }
}

/// A Rust type whose values have the same bytes as elements in a file.
pub trait Scalar: Pod + ToPrimitive + NumCast + fmt::Display + Send + Sync {
    /// The type's name in the format.
    const DTYPE: Dtype;
}

macro_rules! scalars {
    ($($rust:ty: $dtype:ident),*) => { $(impl Scalar for $rust { const DTYPE: Dtype = Dtype::$dtype; })* };
}

scalars!(i8: I8, u8: U8, i16: I16, u16: U16, i32: I32, u32: U32, i64: I64, u64: U64, f32: F32, f64: F64);
