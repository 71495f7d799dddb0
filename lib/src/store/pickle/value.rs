//! What a pickle builds: objects in a flat table.

use std::borrow::Cow;

/// What can be wrong with a pickle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected} at byte {position} of the pickle, found {found}")]
pub struct Error {
    /// What the stack machine needed.
    pub expected: &'static str,
    /// What stood there.
    pub found: String,
    /// Where, counted from the first byte.
    pub position: usize,
}

/// The place of an object in its pickle's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) usize);

/// An object of a pickle. Parts are places in the table, to be followed through [`super::Pickle::get`] or [`super::Item`].
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
    /// What calling `callable` with `arguments` would give, with what the pickle then puts into it.
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
    /// An object kept outside the pickle, known by this identifier: PyTorch's storages.
    Persistent(Id),
}

/// What an instruction returns.
pub(super) type Result<T = ()> = std::result::Result<T, Error>;
