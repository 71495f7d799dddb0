//! The objects that a pickle builds, in a flat table.

use std::borrow::Cow;

/// An error in a pickle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected} at byte {position} of the pickle, found {found}")]
pub struct Error {
    /// What was expected.
    pub expected: &'static str,
    /// What was found.
    pub found: String,
    /// The position in bytes, from the start of the pickle.
    pub position: usize,
}

/// The position of an object in its pickle's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) usize);

/// An object of a pickle. Its parts are positions in the table; follow them through [`super::Pickle::get`] or [`super::Item`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`
    None,
    /// `True` or `False`
    Boolean(bool),
    /// An `int` that fits.
    Integer(i64),
    /// A larger `int`, two's complement, little endian.
    Large(Cow<'a, [u8]>),
    /// A `float`
    Float(f64),
    /// `bytes`, or a `str` of Python 2
    Bytes(Cow<'a, [u8]>),
    /// A `str`
    Text(Cow<'a, str>),
    /// A `list`
    List(Vec<Id>),
    /// A `tuple`
    Tuple(Vec<Id>),
    /// A `set` or `frozenset`
    Set(Vec<Id>),
    /// A `dict`, in its order
    Dictionary(Vec<(Id, Id)>),
    /// A class or function, "module.name".
    Global(String),
    /// The result of calling `callable` with `arguments`, and what the pickle then puts into it.
    Reduce {
        /// A [`Value::Global`] as a rule.
        callable: Id,
        /// A [`Value::Tuple`] as a rule.
        arguments: Id,
        /// The state that `BUILD` would set.
        state: Option<Id>,
        /// The elements appended afterwards.
        items: Vec<Id>,
        /// The entries set afterwards, as in an `OrderedDict`.
        entries: Vec<(Id, Id)>,
    },
    /// An object outside the pickle with this identifier, such as a storage of PyTorch.
    Persistent(Id),
}

/// What an instruction returns.
pub(super) type Result<T = ()> = std::result::Result<T, Error>;
