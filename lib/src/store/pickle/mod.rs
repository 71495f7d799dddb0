//! Python pickles, protocols 0 to 4, read as data: nothing is imported and nothing is executed.
//!
//! A pickle is a program for a small stack machine. Here every object that it would build becomes a [`Value`] in a flat table, so shared
//! and cyclic objects need no recursion. Calls of Python functions become [`Value::Reduce`]. Strings borrow from the input, so no length
//! is trusted before its bytes are there. Source: CPython's pickletools.

mod literals;
mod machine;
mod objects;
mod stack;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use stack::Machine;
pub use value::{Error, Id, Value};

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    objects: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`; bytes after its end are ignored (see [`Pickle::length`]).
    ///
    /// # Errors
    /// A program that is cut short, has instructions unknown to protocols 0 to 4, or uses its stack wrongly.
    ///
    /// ```
    /// use obverse::store::pickle::Pickle;
    /// let pickle = Pickle::parse(b"\x80\x02}U\x03keyK\x2as.")?;
    /// assert_eq!(pickle.root().entry("key").and_then(|item| item.integer()), Some(42));
    /// # Ok::<(), obverse::store::pickle::Error>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut machine = Machine::new(bytes);
        let root = machine.run()?;
        Ok(Self { objects: machine.objects, root, length: machine.position })
    }

    /// The length of the pickle in bytes, its end included; the next pickle of a stream begins there.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The object that the pickle stands for.
    pub fn root(&self) -> Item<'_> {
        self.item(self.root)
    }

    /// The object at a position of this pickle's table; `None` for a position beyond it.
    pub fn get(&self, id: Id) -> &Value<'a> {
        self.objects.get(id.0).unwrap_or(&Value::None)
    }

    fn item(&self, id: Id) -> Item<'_> {
        Item { pickle: self, id }
    }
}

/// An object together with its pickle, to look into it without handling positions.
#[derive(Clone, Copy, Debug)]
pub struct Item<'p> {
    pickle: &'p Pickle<'p>,
    id: Id,
}

impl<'p> Item<'p> {
    /// The object.
    pub fn value(&self) -> &'p Value<'p> {
        self.pickle.get(self.id)
    }

    /// The object's position in the table: equal if the same object is met twice.
    pub fn id(&self) -> Id {
        self.id
    }

    /// An integer.
    pub fn integer(&self) -> Option<i64> {
        match self.value() {
            Value::Integer(value) => Some(*value),
            Value::Boolean(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// Text, or bytes that are UTF-8: Python 2 wrote names as bytes.
    pub fn text(&self) -> Option<Cow<'p, str>> {
        match self.value() {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            _ => match self.bytes()? {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
                Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
            },
        }
    }

    /// Bytes, also where Python 3 wrote them for Python 2 as `_codecs.encode(text, 'latin1')`.
    pub fn bytes(&self) -> Option<Cow<'p, [u8]>> {
        match self.value() {
            Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Value::Reduce { .. } if self.callable() == Some("_codecs.encode") => {
                let Value::Text(text) = self.arguments().first()?.value() else { return None };
                text.chars()
                    .map(|character| u8::try_from(character as u32).ok())
                    .collect::<Option<Vec<u8>>>()
                    .map(Cow::Owned)
            }
            // `bytes()` without arguments is how protocol 2 writes empty bytes.
            Value::Reduce { .. } if self.callable() == Some("__builtin__.bytes") && self.arguments().is_empty() => {
                Some(Cow::Owned(Vec::new()))
            }
            _ => None,
        }
    }

    /// The elements of a list, tuple or set, or those appended to the result of a call.
    pub fn elements(&self) -> Option<Vec<Item<'p>>> {
        let ids = match self.value() {
            Value::List(ids) | Value::Tuple(ids) | Value::Set(ids) | Value::Reduce { items: ids, .. } => ids,
            _ => return None,
        };
        Some(ids.iter().map(|&id| self.pickle.item(id)).collect())
    }

    /// The entries of a dictionary, or those set in the result of a call (an `OrderedDict`).
    pub fn entries(&self) -> Option<impl Iterator<Item = (Item<'p>, Item<'p>)> + use<'p>> {
        let (Value::Dictionary(entries) | Value::Reduce { entries, .. }) = self.value() else { return None };
        let pickle = self.pickle;
        Some(entries.iter().map(move |&(key, value)| (pickle.item(key), pickle.item(value))))
    }

    /// The value under a key given as text; the last one where a key is set twice.
    pub fn entry(&self, key: &str) -> Option<Item<'p>> {
        self.entries()?.filter(|(name, _)| name.text().as_deref() == Some(key)).map(|(_, value)| value).last()
    }

    /// The name of the function that a [`Value::Reduce`] would call.
    pub fn callable(&self) -> Option<&'p str> {
        let Value::Reduce { callable, .. } = self.value() else { return None };
        match self.pickle.get(*callable) {
            Value::Global(name) => Some(name),
            _ => None,
        }
    }

    /// The arguments of a [`Value::Reduce`]; none for anything else.
    pub fn arguments(&self) -> Vec<Item<'p>> {
        let Value::Reduce { arguments, .. } = self.value() else { return Vec::new() };
        self.pickle.item(*arguments).elements().unwrap_or_default()
    }

    /// The state of a [`Value::Reduce`].
    pub fn state(&self) -> Option<Item<'p>> {
        let Value::Reduce { state, .. } = self.value() else { return None };
        state.map(|id| self.pickle.item(id))
    }

    /// The identifier of an object kept outside the pickle.
    pub fn persistent(&self) -> Option<Item<'p>> {
        let Value::Persistent(id) = self.value() else { return None };
        Some(self.pickle.item(*id))
    }
}
