//! What a user writes as objective: `channel:conv3:7 - 0.5*neuron:conv5:2 + 1e-2*diversity:conv3`.
//!
//! ```text
//! objective  = sum ["to" sum]             from the first image's to the last's
//! sum        = ["-"] part {("+" | "-") part}
//! part       = {number "*"} (atom | "(" sum ")")
//! atom       = neuron:NODE:C[:Y:X] | channel:NODE:C | class:K | layer:NODE | direction:NODE:FILE.npy | targets:NODE:FILE.npy
//!            | diversity:NODE | l1 | l2 | tv
//! ```
//!
//! Signs stand between spaces, since names of nodes and files may hold them; so may a word in double quotes hold anything.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One quantity of a network or an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Atom {
    /// The activation of one neuron; the central one of a channel where no place is given.
    Neuron {
        /// The node.
        node: String,
        /// The channel, from 0.
        channel: usize,
        /// Row and column.
        at: Option<(usize, usize)>,
    },
    /// The mean activation of a channel.
    Channel {
        /// The node.
        node: String,
        /// The channel, from 0.
        channel: usize,
    },
    /// A class's score before the softmax.
    Class(usize),
    /// The mean square of a node's activations (DeepDream).
    Layer {
        /// The node.
        node: String,
    },
    /// The resemblance to one direction, the same for all images.
    Direction {
        /// The node.
        node: String,
        /// A vector, (F).
        file: PathBuf,
    },
    /// The resemblance to a target, a row an image.
    Targets {
        /// The node.
        node: String,
        /// The targets, (N, F).
        file: PathBuf,
    },
    /// How little the images of a batch resemble each other at a node: minus the mean cosine of their Gram matrices.
    Diversity {
        /// The node.
        node: String,
    },
    /// The mean |x - 1/2| of the image.
    L1,
    /// The mean (x - 1/2)^2 of the image.
    L2,
    /// The mean over pixels of the absolute differences to the neighbours below and to the right.
    TotalVariation,
}

/// An atom's factor: one for the first image of an objective, one for the last, and linear between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// For the first image.
    pub first: f64,
    /// For the last image.
    pub last: f64,
}

impl Weight {
    /// The factor for image `image` of `count`; the first one's where there is one image.
    pub fn at(self, image: usize, count: usize) -> f64 {
        let share = if count > 1 { image as f64 / (count - 1) as f64 } else { 0.0 };
        self.first + (self.last - self.first) * share
    }
}

/// A sum of atoms with their factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(pub Vec<(Weight, Atom)>);

impl Expression {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|(_, atom)| match atom {
            Atom::Direction { file, .. } | Atom::Targets { file, .. } => Some(file.as_path()),
            _ => None,
        })
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("objective \"{text}\": expected {expected}, found {found}")]
pub struct Error {
    text: String,
    expected: String,
    found: String,
}

/// What was expected and what was found, before the whole text is known.
type Wrong = (String, String);

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

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Plus,
    Minus,
    Times,
    Open,
    Close,
    To,
    Number(f64),
    Word(Vec<String>),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plus => f.write_str("+"),
            Self::Minus => f.write_str("-"),
            Self::Times => f.write_str("*"),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
            Self::To => f.write_str("to"),
            Self::Number(number) => number.fmt(f),
            Self::Word(fields) => f.write_str(&fields.join(":")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(next) = rest.chars().next() {
        let sign = match next {
            '+' => Some(Token::Plus),
            '-' => Some(Token::Minus),
            '*' => Some(Token::Times),
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            _ => None,
        };
        let length = match sign {
            Some(sign) => {
                tokens.push(sign);
                1
            }
            None => {
                let (token, length) = word(rest)?;
                tokens.push(token);
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The number or word that a text begins with, and its length.
fn word(text: &str) -> Result<(Token, usize), Wrong> {
    let number = text.find(['*', ' ', ')', '(']).map_or(text, |end| &text[..end]);
    if let Ok(value) = number.parse::<f64>() {
        return Ok((Token::Number(value), number.len()));
    }
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut length = text.len();
    for (place, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            _ if quoted => push(&mut fields, character),
            ':' => fields.push(String::new()),
            ')' | '(' | '*' => {
                length = place;
                break;
            }
            _ if character.is_whitespace() => {
                length = place;
                break;
            }
            _ => push(&mut fields, character),
        }
    }
    match (quoted, fields.as_slice()) {
        (true, _) => Err(("a closing \"".into(), "the end".into())),
        (false, [one]) if one == "to" => Ok((Token::To, length)),
        _ => Ok((Token::Word(fields), length)),
    }
}

fn push(fields: &mut [String], character: char) {
    if let Some(field) = fields.last_mut() {
        field.push(character);
    }
}

/// Brackets within brackets that a sum may hold.
const DEEPEST: usize = 64;

struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn sum(&mut self) -> Result<Vec<(f64, Atom)>, Wrong> {
        let sign = if self.take(&Token::Minus) { -1.0 } else { 1.0 };
        let mut terms = self.part(sign)?;
        loop {
            let sign = match self.tokens.first() {
                Some(Token::Plus) => 1.0,
                Some(Token::Minus) => -1.0,
                _ => return Ok(terms),
            };
            self.tokens = &self.tokens[1..];
            terms.extend(self.part(sign)?);
        }
    }

    fn part(&mut self, mut factor: f64) -> Result<Vec<(f64, Atom)>, Wrong> {
        let expected = || "a quantity, such as channel:NODE:7".to_string();
        loop {
            let Some((token, rest)) = self.tokens.split_first() else { return Err((expected(), "the end".into())) };
            self.tokens = rest;
            match token {
                Token::Number(number) if number.is_finite() => factor *= number,
                Token::Open if self.depth == DEEPEST => {
                    return Err((format!("at most {DEEPEST} brackets within each other"), "one more".into()));
                }
                Token::Open => {
                    self.depth += 1;
                    let terms = self.sum()?;
                    self.depth -= 1;
                    if !self.take(&Token::Close) {
                        let found = self.tokens.first().map_or("the end".into(), Token::to_string);
                        return Err((")".into(), found));
                    }
                    return Ok(terms.into_iter().map(|(inner, atom)| (factor * inner, atom)).collect());
                }
                Token::Word(fields) => return Ok(vec![(factor, atom(fields)?)]),
                other => return Err((expected(), other.to_string())),
            }
            if !self.take(&Token::Times) {
                let found = self.tokens.first().map_or("the end".into(), Token::to_string);
                return Err(("* after a number".into(), found));
            }
        }
    }
}

/// The atom of a word's fields. A node's name may hold colons itself: what stands at the ends decides.
fn atom(fields: &[String]) -> Result<Atom, Wrong> {
    let whole = || fields.join(":");
    let number = |field: &String| {
        field.parse::<usize>().map_err(|_| (format!("a whole number in {}", whole()), format!("\"{field}\"")))
    };
    let (kind, rest) = (fields[0].as_str(), &fields[1..]);
    let node = |fields: &[String], form: &str| match fields.iter().all(String::is_empty) {
        true => Err((form.to_string(), whole())),
        false => Ok(fields.join(":")),
    };
    Ok(match (kind, rest) {
        ("neuron", [nodes @ .., channel, y, x])
            if !nodes.is_empty() && [channel, y, x].map(number).iter().all(Result::is_ok) =>
        {
            let node = node(nodes, "neuron:NODE:C:Y:X")?;
            Atom::Neuron { node, channel: number(channel)?, at: Some((number(y)?, number(x)?)) }
        }
        ("neuron", [nodes @ .., channel]) => Atom::Neuron {
            node: node(nodes, "neuron:NODE:C or neuron:NODE:C:Y:X")?,
            channel: number(channel)?,
            at: None,
        },
        ("channel", [nodes @ .., channel]) => {
            Atom::Channel { node: node(nodes, "channel:NODE:C")?, channel: number(channel)? }
        }
        ("class", [class]) => Atom::Class(number(class)?),
        ("layer", nodes) => Atom::Layer { node: node(nodes, "layer:NODE")? },
        ("diversity", nodes) => Atom::Diversity { node: node(nodes, "diversity:NODE")? },
        ("direction", [nodes @ .., file]) => {
            Atom::Direction { node: node(nodes, "direction:NODE:FILE.npy")?, file: file.into() }
        }
        ("targets", [nodes @ .., file]) => {
            Atom::Targets { node: node(nodes, "targets:NODE:FILE.npy")?, file: file.into() }
        }
        ("l1", []) => Atom::L1,
        ("l2", []) => Atom::L2,
        ("tv", []) => Atom::TotalVariation,
        _ => {
            let known = "neuron:NODE:C:Y:X, channel:NODE:C, class:K, layer:NODE, direction:NODE:FILE.npy, \
                         targets:NODE:FILE.npy, diversity:NODE, l1, l2 or tv";
            return Err((known.into(), whole()));
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(f64, Atom)> {
        let Expression(terms) = text.parse().unwrap();
        terms.into_iter().map(|(weight, atom)| (weight.first, atom)).collect()
    }

    #[test]
    fn sums_products_and_parentheses() {
        let channel = |node: &str, channel| Atom::Channel { node: node.into(), channel };
        assert_eq!(parsed("channel:a:1"), [(1.0, channel("a", 1))]);
        assert_eq!(
            parsed("-2*(channel:a:1 - 3 * channel:b-c:2) + tv"),
            [(-2.0, channel("a", 1)), (6.0, channel("b-c", 2)), (1.0, Atom::TotalVariation)]
        );
        assert_eq!(parsed("1e-2*class:7"), [(0.01, Atom::Class(7))]);
    }

    #[test]
    fn brackets_have_a_depth() {
        let nested = |depth: usize| format!("{}tv{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(parsed(&nested(64)), [(1.0, Atom::TotalVariation)]);
        for depth in [65, 100_000] {
            assert!(nested(depth).parse::<Expression>().unwrap_err().to_string().contains("at most 64 brackets"));
        }
    }

    #[test]
    fn names_may_hold_signs_and_colons() {
        assert_eq!(
            parsed("neuron:/a/Conv_3:0:5:6:7"),
            [(1.0, Atom::Neuron { node: "/a/Conv_3:0".into(), channel: 5, at: Some((6, 7)) })]
        );
        assert_eq!(
            parsed("direction:a:\"my file (1).npy\""),
            [(1.0, Atom::Direction { node: "a".into(), file: "my file (1).npy".into() })]
        );
    }

    #[test]
    fn two_objectives_interpolate() {
        let Expression(terms) = "class:1 to 2*class:2".parse().unwrap();
        assert_eq!(terms[0].0, Weight { first: 1.0, last: 0.0 });
        assert_eq!(terms[1].0.at(1, 3), 1.0);
        assert_eq!(terms[1].0.at(0, 1), 0.0);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("", "the end"),
            ("chanel:a:1", "chanel:a:1"),
            ("channel:a:x", "\"x\""),
            ("channel::1", "channel:NODE:C"),
            ("2", "* after a number"),
            ("class:1 class:2", "class:2"),
            ("(class:1", "expected )"),
            ("nan*class:1", "found NaN"),
            ("layer:\"a", "closing"),
        ] {
            let error = text.parse::<Expression>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("objective"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Expression>();
        }
    }
}
