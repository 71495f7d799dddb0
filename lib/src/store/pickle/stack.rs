//! The state of the stack machine: input, stack, marks, memo and the table of objects.

use std::collections::HashMap;

use super::value::{Error, Id, Result, Value};

/// The most objects of a pickle: a state dictionary has some thousands. This bounds memory to a few hundred MB.
pub(super) const OBJECT_LIMIT: usize = 1 << 22;

/// The stack machine.
pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    pub(super) objects: Vec<Value<'a>>,
    pub(super) stack: Vec<Id>,
    /// The height of the stack at each open mark.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    pub(super) fn error<T>(&self, expected: &'static str, found: impl ToString) -> Result<T> {
        Err(Error { expected, found: found.to_string(), position: self.position })
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.bytes[self.position..].get(..length) {
            Some(taken) => {
                self.position += length;
                Ok(taken)
            }
            None => self.error("more bytes", format!("{} of {length}", self.bytes.len() - self.position)),
        }
    }

    /// A little-endian number of `width` bytes, at most 8.
    pub(super) fn unsigned(&mut self, width: usize) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Bytes after their length, a little-endian number of `width` bytes.
    pub(super) fn counted(&mut self, width: usize) -> Result<&'a [u8]> {
        let length = self.unsigned(width)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn line(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => {
                self.position += length + 1;
                Ok(&rest[..length])
            }
            None => self.error("a line", "the end"),
        }
    }

    pub(super) fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).or_else(|error| self.error("UTF-8", error))
    }

    pub(super) fn text_line(&mut self) -> Result<&'a str> {
        let line = self.line()?;
        self.utf8(line)
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Result {
        if self.objects.len() == OBJECT_LIMIT {
            return self.error("at most 4 million objects", "more");
        }
        self.stack.push(Id(self.objects.len()));
        self.objects.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Id> {
        // Objects below the last mark belong to an object that is still open.
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return self.error("an object on the stack", "none");
        }
        match self.stack.pop() {
            Some(id) => Ok(id),
            None => self.error("an object on the stack", "none"),
        }
    }

    pub(super) fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) => Ok(id),
            None => self.error("an object on the stack", "none"),
        }
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.error("a mark on the stack", "none"),
        }
    }

    pub(super) fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>> {
        let ids = self.pop_to_mark()?;
        if ids.len() % 2 == 1 {
            return self.error("keys with their values", "a key alone");
        }
        Ok(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    pub(super) fn tuple(&mut self, length: usize) -> Result {
        let mut ids = (0..length).map(|_| self.pop()).collect::<Result<Vec<Id>>>()?;
        ids.reverse();
        self.push(Value::Tuple(ids))
    }
}
