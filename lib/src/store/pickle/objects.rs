//! Instructions that remember objects, fill lists and dictionaries, and name what Python would import or call.

use super::stack::Machine;
use super::value::{Id, Result, Value};

impl<'a> Machine<'a> {
    pub(super) fn memory(&mut self, code: u8) -> Result {
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

    pub(super) fn container(&mut self, code: u8) -> Result {
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

    pub(super) fn fill(&mut self, code: u8) -> Result {
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

    fn append(&mut self, elements: Vec<Id>) -> Result {
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::List(items) | Value::Set(items) | Value::Reduce { items, .. } => items.extend(elements),
            _ => return self.error("a list or set to append to", "another object"),
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result {
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::Dictionary(entries) | Value::Reduce { entries, .. } => entries.extend(pairs),
            _ => return self.error("a dictionary to set entries of", "another object"),
        }
        Ok(())
    }

    pub(super) fn reference(&mut self, code: u8) -> Result {
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

    fn global_lines(&mut self) -> Result<String> {
        let module = self.text_line()?;
        Ok(format!("{module}.{}", self.text_line()?))
    }

    pub(super) fn call(&mut self, code: u8) -> Result {
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

    fn build(&mut self) -> Result {
        let given = self.pop()?;
        let Id(place) = self.top()?;
        match &mut self.objects[place] {
            Value::Reduce { state, .. } => *state = Some(given),
            _ => return self.error("an object to give a state to", "plain data"),
        }
        Ok(())
    }
}
