//! A layer's weight as its products read it. Of a weight that does not change, this is kept.
//!
//! ```
//! use obverse::ops::{InputGradient, linear::linear, weight::Weight};
//! use obverse::tensor::{Tape, batch, view};
//! let (x, w) = (batch(vec![1.0f64, 2.0], (1, 1, 1, 2)), batch(vec![3.0, 4.0], (1, 1, 1, 2)));
//! // Wherever an operation takes a weight, an array will do: then nothing is kept.
//! let y = linear(&mut Tape::off(), &x, Weight::from(&w), None, None, InputGradient::Unwanted);
//! assert_eq!(view(&y), [11.0]);
//! ```

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::tensor::{Batch, Element};

/// What products read of a weight instead of it, each made when it is first needed.
#[derive(Debug)]
pub struct Turned<E> {
    columns: OnceLock<Vec<E>>,
    rotated: OnceLock<Vec<E>>,
}

impl<E> Default for Turned<E> {
    fn default() -> Self {
        Self { columns: OnceLock::new(), rotated: OnceLock::new() }
    }
}

/// A layer's weight, with room for what products read of it where it does not change.
#[derive(Clone, Copy)]
pub struct Weight<'a, E: Element> {
    /// The weight.
    pub values: &'a Batch<E>,
    kept: Option<&'a Turned<E>>,
}

impl<'a, E: Element> From<&'a Batch<E>> for Weight<'a, E> {
    fn from(values: &'a Batch<E>) -> Self {
        Self { values, kept: None }
    }
}

impl<'a, E: Element> Weight<'a, E> {
    /// A weight that stays the same as long as `kept` is used with it.
    pub(crate) fn constant(values: &'a Batch<E>, kept: &'a Turned<E>) -> Self {
        Self { values, kept: Some(kept) }
    }

    /// Whether what is made of it is kept.
    pub(super) fn is_constant(self) -> bool {
        self.kept.is_some()
    }

    /// The matrices of the weight transposed, as `make` makes them.
    pub(super) fn columns(self, make: impl FnOnce() -> Vec<E>) -> Cow<'a, [E]> {
        match self.kept {
            Some(kept) => Cow::Borrowed(kept.columns.get_or_init(make)),
            None => Cow::Owned(make()),
        }
    }

    /// The kernels turned by 180 degrees, as `make` makes them.
    pub(super) fn rotated(self, make: impl FnOnce() -> Vec<E>) -> Cow<'a, [E]> {
        match self.kept {
            Some(kept) => Cow::Borrowed(kept.rotated.get_or_init(make)),
            None => Cow::Owned(make()),
        }
    }
}
