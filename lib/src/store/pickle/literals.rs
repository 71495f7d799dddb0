//! Instructions that push a number, bytes or text written in the pickle itself.

use super::stack::Machine;
use super::value::{Result, Value};

impl<'a> Machine<'a> {
    pub(super) fn number(&mut self, code: u8) -> Result {
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

    fn decimal(&mut self) -> Result<f64> {
        let line = self.text_line()?;
        self.parsed(line)
    }

    pub(super) fn parsed<T: std::str::FromStr>(&self, text: &str) -> Result<T> {
        text.trim()
            .parse()
            .or_else(|_| self.error("a number", format!("{:?}", text.chars().take(40).collect::<String>())))
    }

    pub(super) fn string(&mut self, code: u8) -> Result {
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

    /// A string literal of Python 2, with the plain escapes that `repr` writes.
    fn quoted(&mut self) -> Result<Value<'a>> {
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
    fn raw_unicode(&mut self) -> Result<String> {
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
}

/// An integer written in decimal, the only form in protocol 0. 128 bits are enough for real data.
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
