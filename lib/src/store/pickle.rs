//! Python pickles, protocols 0 to 4, read as data: nothing is imported and nothing is executed.
//!
//! A pickle is a program for a small stack machine. Here every object it would build becomes a [`Value`] in a flat
//! table, so that shared and cyclic objects need no recursion; calls of Python's functions become [`Value::Reduce`].
//! Strings borrow from the input, so no length is believed before its bytes are there. Source: CPython's pickletools.

use std::borrow::Cow;
use std::collections::HashMap;

/// The most objects of one pickle: a state dictionary has some thousands. Bounds memory to a few hundred MB.
const OBJECT_LIMIT: usize = 1 << 22;

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
pub struct Id(usize);

/// An object of a pickle. Parts are places in the table, to be followed through [`Pickle::get`] or [`Item`].
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

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    objects: Vec<Value<'a>>,
    root: Id,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`; what follows its end is left alone (see [`Pickle::length`]).
    ///
    /// # Errors
    /// A program that is cut short, unknown to protocols 0 to 4, or wrong about its own stack.
    ///
    /// ```
    /// use obverse::store::pickle::Pickle;
    /// let pickle = Pickle::parse(b"\x80\x02}U\x03keyK\x2as.")?;
    /// assert_eq!(pickle.root().entry("key").and_then(|item| item.integer()), Some(42));
    /// # Ok::<(), obverse::store::pickle::Error>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut machine = Machine::new(bytes);
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { objects: machine.objects, root, length: machine.position })
    }

    /// The bytes that the pickle takes, its end included: the next one of a stream begins there.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The object that the pickle stands for.
    pub fn root(&self) -> Item<'_> {
        self.item(self.root)
    }

    /// The object at a place of this pickle's table; `None` for a place of another pickle that this one lacks.
    pub fn get(&self, id: Id) -> &Value<'a> {
        self.objects.get(id.0).unwrap_or(&Value::None)
    }

    fn item(&self, id: Id) -> Item<'_> {
        Item { pickle: self, id }
    }
}

/// An object together with its pickle, to look into it without naming places.
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

    /// The object's place: equal for one object met twice.
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

/// The stack machine.
struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    objects: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// The heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Step<T = ()> = Result<T, Error>;

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    fn error<T>(&self, expected: &'static str, found: impl ToString) -> Step<T> {
        Err(Error { expected, found: found.to_string(), position: self.position })
    }

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        match self.bytes[self.position..].get(..length) {
            Some(taken) => {
                self.position += length;
                Ok(taken)
            }
            None => self.error("more bytes", format!("{} of {length}", self.bytes.len() - self.position)),
        }
    }

    /// A little-endian number of `width` bytes, at most 8.
    fn unsigned(&mut self, width: usize) -> Step<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Bytes after their length, a little-endian number of `width` bytes.
    fn counted(&mut self, width: usize) -> Step<&'a [u8]> {
        let length = self.unsigned(width)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.position += length + 1;
                Ok(&rest[..length])
            }
            None => self.error("a line", "the end"),
        }
    }

    fn utf8(&self, bytes: &'a [u8]) -> Step<&'a str> {
        std::str::from_utf8(bytes).or_else(|error| self.error("UTF-8", error))
    }

    fn text_line(&mut self) -> Step<&'a str> {
        let line = self.line()?;
        self.utf8(line)
    }

    fn push(&mut self, value: Value<'a>) -> Step {
        if self.objects.len() == OBJECT_LIMIT {
            return self.error("at most 4 million objects", "more");
        }
        self.stack.push(Id(self.objects.len()));
        self.objects.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        // What lies below the last mark belongs to an object that is still open.
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.error("an object on the stack", "none");
        }
        match self.stack.pop() {
            Some(id) => Ok(id),
            None => self.error("an object on the stack", "none"),
        }
    }

    fn top(&self) -> Step<Id> {
        match self.stack.last() {
            Some(&id) => Ok(id),
            None => self.error("an object on the stack", "none"),
        }
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.error("a mark on the stack", "none"),
        }
    }

    fn pop_pairs(&mut self) -> Step<Vec<(Id, Id)>> {
        let ids = self.pop_to_mark()?;
        if ids.len() % 2 == 1 {
            return self.error("keys with their values", "a key alone");
        }
        Ok(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn tuple(&mut self, length: usize) -> Step {
        let mut ids = (0..length).map(|_| self.pop()).collect::<Step<Vec<Id>>>()?;
        ids.reverse();
        self.push(Value::Tuple(ids))
    }

    /// One instruction; false at the end.
    fn step(&mut self) -> Step<bool> {
        let code = self.take(1)?[0];
        match code {
            b'.' => return Ok(false),
            0x80 => self.protocol()?,
            // Frames only help readers of streams.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.discard()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' | 0x88 | 0x89 | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' => self.number(code)?,
            b'S' | b'T' | b'U' | b'B' | b'C' | 0x8e | b'V' | b'X' | 0x8c | 0x8d => self.string(code)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memory(code)?,
            b')' | 0x85 | 0x86 | 0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.container(code)?,
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(code)?,
            b'c' | 0x93 | b'P' | b'Q' => self.reference(code)?,
            b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' => self.call(code)?,
            _ => return self.error("an instruction of protocols 0 to 4", format!("{code:#04x}")),
        }
        Ok(true)
    }

    fn protocol(&mut self) -> Step {
        match self.take(1)?[0] {
            0..=4 => Ok(()),
            other => self.error("protocol 0 to 4", other),
        }
    }

    /// `POP` takes an object, or a mark that nothing follows.
    fn discard(&mut self) -> Step {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    fn number(&mut self, code: u8) -> Step {
        let value = match code {
            b'N' => Value::None,
            0x88 => Value::Boolean(true),
            0x89 => Value::Boolean(false),
            b'J' => Value::Integer(i64::from(self.unsigned(4)? as u32 as i32)),
            b'K' => Value::Integer(self.unsigned(1)? as i64),
            b'M' => Value::Integer(self.unsigned(2)? as i64),
            0x8a => long(self.counted(1)?),
            0x8b => long(self.counted(4)?),
            b'G' => Value::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            b'F' => Value::Float(self.decimal()?),
            _ => match self.text_line()?.trim_end_matches('L') {
                "00" if code == b'I' => Value::Boolean(false),
                "01" if code == b'I' => Value::Boolean(true),
                digits => written(self.parsed(digits)?),
            },
        };
        self.push(value)
    }

    fn decimal(&mut self) -> Step<f64> {
        let line = self.text_line()?;
        self.parsed(line)
    }

    fn parsed<T: std::str::FromStr>(&self, text: &str) -> Step<T> {
        text.trim()
            .parse()
            .or_else(|_| self.error("a number", format!("{:?}", text.chars().take(40).collect::<String>())))
    }

    fn string(&mut self, code: u8) -> Step {
        let value = match code {
            b'T' | b'B' => Value::Bytes(self.counted(4)?.into()),
            b'U' | b'C' => Value::Bytes(self.counted(1)?.into()),
            0x8e => Value::Bytes(self.counted(8)?.into()),
            b'S' => self.quoted()?,
            b'V' => Value::Text(self.raw_unicode()?.into()),
            _ => {
                let width = [(b'X', 4), (0x8c, 1), (0x8d, 8)].into_iter().find(|(other, _)| *other == code);
                let bytes = self.counted(width.map_or(4, |(_, width)| width))?;
                Value::Text(self.utf8(bytes)?.into())
            }
        };
        self.push(value)
    }

    /// A string literal of Python 2. Only its plain escapes are known, which is all that `repr` writes.
    fn quoted(&mut self) -> Step<Value<'a>> {
        let line = self.line()?;
        let [quote @ (b'\'' | b'"'), inner @ .., last] = line else {
            return self.error("a quoted string", "something else");
        };
        if quote != last {
            return self.error("a quoted string", "an open one");
        }
        let mut bytes = Vec::new();
        let mut rest = inner.iter().copied();
        while let Some(byte) = rest.next() {
            let escaped = if byte == b'\\' { rest.next() } else { None };
            bytes.push(match (byte, escaped) {
                (b'\\', Some(b'n')) => b'\n',
                (b'\\', Some(b't')) => b'\t',
                (b'\\', Some(b'r')) => b'\r',
                (b'\\', Some(b'x')) => {
                    let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                    let digits = std::str::from_utf8(&digits).unwrap_or("?");
                    u8::from_str_radix(digits, 16).or_else(|_| self.error("two hexadecimal digits", digits))?
                }
                (b'\\', Some(other @ (b'\\' | b'\'' | b'"'))) => other,
                (b'\\', _) => return self.error("an escape of repr", "another one"),
                (plain, _) => plain,
            });
        }
        Ok(Value::Bytes(bytes.into()))
    }

    /// Text in raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
    fn raw_unicode(&mut self) -> Step<String> {
        let line = self.line()?;
        let mut text = String::new();
        let mut position = 0;
        while position < line.len() {
            let width = match line.get(position..position + 2) {
                Some(b"\\u") => 4,
                Some(b"\\U") => 8,
                _ => 0,
            };
            let character = if width == 0 {
                Some(char::from(line[position]))
            } else {
                let digits =
                    line.get(position + 2..position + 2 + width).and_then(|digits| std::str::from_utf8(digits).ok());
                digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32)
            };
            match character {
                Some(character) => text.push(character),
                None => return self.error("a character's number", "something else"),
            }
            position += if width == 0 { 1 } else { 2 + width };
        }
        Ok(text)
    }

    fn memory(&mut self, code: u8) -> Step {
        let key = match code {
            b'p' | b'g' => {
                let line = self.text_line()?;
                self.parsed(line)?
            }
            b'q' | b'h' => self.unsigned(1)?,
            b'r' | b'j' => self.unsigned(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(code, b'g' | b'h' | b'j') {
            return match self.memo.get(&key) {
                Some(&id) => {
                    self.stack.push(id);
                    Ok(())
                }
                None => self.error("an object remembered before", format!("number {key}")),
            };
        }
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn container(&mut self, code: u8) -> Step {
        let value = match code {
            b')' => Value::Tuple(Vec::new()),
            0x85..=0x87 => return self.tuple(code as usize - 0x84),
            b't' => Value::Tuple(self.pop_to_mark()?),
            b']' => Value::List(Vec::new()),
            b'l' => Value::List(self.pop_to_mark()?),
            b'}' => Value::Dictionary(Vec::new()),
            b'd' => Value::Dictionary(self.pop_pairs()?),
            0x8f => Value::Set(Vec::new()),
            _ => Value::Set(self.pop_to_mark()?),
        };
        self.push(value)
    }

    fn fill(&mut self, code: u8) -> Step {
        match code {
            b'a' => {
                let element = self.pop()?;
                self.append(vec![element])
            }
            b'e' | 0x90 => {
                let elements = self.pop_to_mark()?;
                self.append(elements)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])
            }
            _ => {
                let pairs = self.pop_pairs()?;
                self.set(pairs)
            }
        }
    }

    fn append(&mut self, elements: Vec<Id>) -> Step {
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::List(items) | Value::Set(items) | Value::Reduce { items, .. } => items.extend(elements),
            _ => return self.error("a list or set to append to", "another object"),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Step {
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::Dictionary(entries) | Value::Reduce { entries, .. } => entries.extend(pairs),
            _ => return self.error("a dictionary to set entries of", "another object"),
        }
        Ok(())
    }

    fn reference(&mut self, code: u8) -> Step {
        let value = match code {
            b'c' => Value::Global(self.global_lines()?),
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(name), Value::Text(module)) = (&self.objects[name.0], &self.objects[module.0]) else {
                    return self.error("a module and a name", "other objects");
                };
                Value::Global(format!("{module}.{name}"))
            }
            b'P' => {
                let line = self.text_line()?;
                self.push(Value::Text(line.into()))?;
                Value::Persistent(self.pop()?)
            }
            _ => Value::Persistent(self.pop()?),
        };
        self.push(value)
    }

    fn global_lines(&mut self) -> Step<String> {
        let module = self.text_line()?;
        Ok(format!("{module}.{}", self.text_line()?))
    }

    fn call(&mut self, code: u8) -> Step {
        let (callable, arguments) = match code {
            b'b' => return self.build(),
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
            // NEWOBJ_EX: the keywords follow the arguments as one more of them.
            0x92 => {
                self.tuple(2)?;
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
            b'i' => {
                let global = self.global_lines()?;
                let arguments = self.pop_to_mark()?;
                self.push(Value::Global(global))?;
                let callable = self.pop()?;
                self.push(Value::Tuple(arguments))?;
                (callable, self.pop()?)
            }
            _ => {
                let mut objects = self.pop_to_mark()?;
                if objects.is_empty() {
                    return self.error("a class to make an object of", "none");
                }
                let callable = objects.remove(0);
                self.push(Value::Tuple(objects))?;
                (callable, self.pop()?)
            }
        };
        self.push(Value::Reduce { callable, arguments, state: None, items: Vec::new(), entries: Vec::new() })
    }

    fn build(&mut self) -> Step {
        let given = self.pop()?;
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::Reduce { state, .. } => *state = Some(given),
            _ => return self.error("an object to give a state to", "plain data"),
        }
        Ok(())
    }
}

/// An integer written in decimal: protocol 0 has no other form. 128 bits are enough for all that data holds.
fn written<'a>(value: i128) -> Value<'a> {
    match i64::try_from(value) {
        Ok(value) => Value::Integer(value),
        Err(_) => Value::Large(value.to_le_bytes().to_vec().into()),
    }
}

/// A `long`: two's complement, little endian, empty for 0.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Large(bytes.into());
    }
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Value::Integer(i64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Python 3.11: pickle.dumps({"a": [1, -2, 3.5, None, True], b"b": ("x", 2**70, {7})}, protocol)
    const PROTOCOL_0: &[u8] = include_bytes!("testdata/pickle-0.bin");
    const PROTOCOL_2: &[u8] = include_bytes!("testdata/pickle-2.bin");
    const PROTOCOL_4: &[u8] = include_bytes!("testdata/pickle-4.bin");

    #[test]
    fn every_protocol_reads_as_the_same_data() {
        for bytes in [PROTOCOL_0, PROTOCOL_2, PROTOCOL_4] {
            let pickle = Pickle::parse(bytes).unwrap();
            assert_eq!(pickle.length(), bytes.len());
            let list = pickle.root().entry("a").unwrap().elements().unwrap();
            assert_eq!((list[0].integer(), list[1].integer(), list.len()), (Some(1), Some(-2), 5));
            assert_eq!((list[2].value(), list[3].value()), (&Value::Float(3.5), &Value::None));
            assert_eq!(list[4].integer(), Some(1));
            let tuple = pickle.root().entry("b").unwrap().elements().unwrap();
            assert_eq!(tuple[0].text().unwrap(), "x");
        }
        let pickle = Pickle::parse(PROTOCOL_4).unwrap();
        let tuple = pickle.root().entry("b").unwrap().elements().unwrap();
        assert!(matches!(tuple[1].value(), Value::Large(bytes) if bytes.len() == 9));
        assert_eq!(tuple[2].elements().unwrap()[0].integer(), Some(7));
    }

    #[test]
    fn a_call_is_data_and_nothing_runs() {
        let pickle = Pickle::parse(b"cos\nsystem\n(S'false'\ntR.").unwrap();
        assert_eq!(pickle.root().callable(), Some("os.system"));
        assert_eq!(pickle.root().arguments()[0].text().unwrap(), "false");
    }

    #[test]
    fn an_ordered_dictionary_keeps_its_entries_and_storages_their_identifier() {
        // OrderedDict(), then w = persistent ("storage", 3), then the state that torch sets.
        let bytes = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00wU\x07storageK\x03\x86Qs}b.";
        let pickle = Pickle::parse(bytes).unwrap();
        assert_eq!(pickle.root().callable(), Some("collections.OrderedDict"));
        let storage = pickle.root().entry("w").unwrap().persistent().unwrap().elements().unwrap();
        assert_eq!(storage[1].integer(), Some(3));
        assert_eq!(pickle.root().state().unwrap().value(), &Value::Dictionary(Vec::new()));
    }

    #[test]
    fn a_list_that_holds_itself_is_read() {
        let pickle = Pickle::parse(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(pickle.root().elements().unwrap()[0].id(), pickle.root().id());
    }

    #[test]
    fn lengths_beyond_the_input_and_broken_stacks_are_errors() {
        let broken: [&[u8]; 8] = [
            b"",
            b".",
            b"\x80\x05N.",
            b"T\xff\xff\xff\x7fabc.",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
            b"h\x05.",
            b"NNs.",
            b"(Nd.",
        ];
        for bytes in broken {
            assert!(Pickle::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_objects_of_one_pickle_are_bounded() {
        let bytes = vec![b'N'; OBJECT_LIMIT + 1];
        assert_eq!(Pickle::parse(&bytes).unwrap_err().expected, "at most 4 million objects");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Pickle::parse(&bytes);
        }

        #[test]
        fn no_damage_to_a_real_pickle_makes_it_panic(place in 0..PROTOCOL_2.len(), value in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = PROTOCOL_2.to_vec();
            bytes[place] = value;
            if cut {
                bytes.truncate(place);
            }
            if let Ok(pickle) = Pickle::parse(&bytes) {
                let _ = pickle.root().entry("a").map(|item| item.bytes());
            }
        }
    }
}
