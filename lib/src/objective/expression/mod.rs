//! The text of an objective: `channel:conv3:7 - 0.5*neuron:conv5:2 + 1e-2*diversity:conv3`.
//!
//! ```text
//! objective  = sum ["to" sum]             from the first image's to the last's
//! sum        = ["-"] part {("+" | "-") part}
//! part       = {number "*"} (atom | "(" sum ")")
//! atom       = neuron:NODE:C[:Y:X] | neuron:NODE:C@T | channel:NODE:C | class:K | layer:NODE | token:NODE:T | head:NODE:H/N
//!            | direction:NODE:FILE.npy["["ROW"]"]["@"T] | targets:NODE:FILE.npy | diversity:NODE | l1 | l2 | tv
//! ```
//!
//! Signs need spaces around them, since names of nodes and files may contain them; a word in double quotes may contain anything.

mod parser;
mod terms;
mod tokens;

use std::str::FromStr;

use parser::Parser;
use tokens::{Token, tokens};

pub use terms::{Atom, Expression, Location, Weight};

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("objective \"{text}\": expected {expected}, found {found}")]
pub struct Error {
    text: String,
    expected: String,
    found: String,
}

impl FromStr for Expression {
    type Err = Error;

    /// ```
    /// use obverse::objective::expression::{Atom, Expression};
    /// let expression: Expression = "2*channel:mixed-4a:7 - class:3".parse()?;
    /// assert_eq!(expression.0[1].1, Atom::Class(3));
    /// assert_eq!((expression.0[0].0.first, expression.0[1].0.first), (2.0, -1.0));
    /// # Ok::<(), obverse::objective::expression::Error>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |(expected, found)| Error { text: text.to_string(), expected, found };
        let tokens = tokens(text).map_err(wrong)?;
        let mut parser = Parser { tokens: &tokens, depth: 0 };
        let first = parser.sum().map_err(wrong)?;
        let terms = match parser.take(&Token::To) {
            false => first.into_iter().map(|(factor, atom)| (Weight { first: factor, last: factor }, atom)).collect(),
            true => {
                let last = parser.sum().map_err(wrong)?;
                let first = first.into_iter().map(|(factor, atom)| (Weight { first: factor, last: 0.0 }, atom));
                first
                    .chain(last.into_iter().map(|(factor, atom)| (Weight { first: 0.0, last: factor }, atom)))
                    .collect()
            }
        };
        match parser.tokens.first() {
            None => Ok(Self(terms)),
            Some(more) => Err(wrong(("+, - or the end".into(), more.to_string()))),
        }
    }
}

#[cfg(test)]
mod tests;
