//! Runs the instructions, each by the file for its kind.

use super::stack::Machine;
use super::value::{Id, Result};

impl Machine<'_> {
    /// Runs the pickle to its end, and returns the object on top of the stack.
    pub(super) fn run(&mut self) -> Result<Id> {
        while self.step()? {}
        self.pop()
    }

    /// Runs one instruction; false at the end.
    fn step(&mut self) -> Result<bool> {
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

    fn protocol(&mut self) -> Result {
        match self.take(1)?[0] {
            0..=4 => Ok(()),
            other => self.error("protocol 0 to 4", other),
        }
    }

    /// `POP` removes an object, or a mark if it is on top.
    fn discard(&mut self) -> Result {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }
}
