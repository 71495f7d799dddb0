//! From tokens to quantities and factors.

use super::terms::{Atom, Location};
use super::tokens::{Token, Wrong};

/// How deeply brackets may be nested.
const DEEPEST: usize = 64;

pub(super) struct Parser<'a> {
    pub(super) tokens: &'a [Token],
    pub(super) depth: usize,
}

impl Parser<'_> {
    pub(super) fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    pub(super) fn sum(&mut self) -> Result<Vec<(f64, Atom)>, Wrong> {
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

/// The atom of a word's fields. A node's name may contain colons, so the first and last fields decide.
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
            Atom::Neuron { node, channel: number(channel)?, at: Some(Location::Pixel(number(y)?, number(x)?)) }
        }
        ("neuron", [nodes @ .., last]) if last.contains('@') => {
            let node = node(nodes, "neuron:NODE:C@T")?;
            let (channel, token) = last.split_once('@').unwrap_or((last, ""));
            let at = Some(Location::Token(number(&token.to_string())?));
            Atom::Neuron { node, channel: number(&channel.to_string())?, at }
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
        ("token", [nodes @ .., token]) => Atom::Token { node: node(nodes, "token:NODE:T")?, token: number(token)? },
        ("head", [nodes @ .., head]) => {
            let node = node(nodes, "head:NODE:H/N")?;
            let (head, of) = head.split_once('/').unwrap_or((head, ""));
            Atom::Head { node, head: number(&head.to_string())?, of: number(&of.to_string())? }
        }
        ("diversity", nodes) => Atom::Diversity { node: node(nodes, "diversity:NODE")? },
        ("direction", [nodes @ .., file]) => {
            let (rest, token) = numbered(file, '@', "");
            let (file, row) = numbered(rest, '[', "]");
            let node = node(nodes, "direction:NODE:FILE.npy")?;
            Atom::Direction { node, file: file.into(), row, at: token.map(Location::Token) }
        }
        ("targets", [nodes @ .., file]) => {
            Atom::Targets { node: node(nodes, "targets:NODE:FILE.npy")?, file: file.into() }
        }
        ("l1", []) => Atom::L1,
        ("l2", []) => Atom::L2,
        ("tv", []) => Atom::TotalVariation,
        _ => {
            let known = "neuron:NODE:C:Y:X, neuron:NODE:C@T, channel:NODE:C, class:K, layer:NODE, token:NODE:T, head:NODE:H/N, \
                         direction:NODE:FILE.npy, targets:NODE:FILE.npy, diversity:NODE, l1, l2 or tv";
            return Err((known.into(), whole()));
        }
    })
}

/// A file's name, and the number behind a mark at its end; a mark that no number follows is a part of the name.
fn numbered<'a>(text: &'a str, mark: char, end: &str) -> (&'a str, Option<usize>) {
    let number = |(file, number): (&'a str, &str)| Some((file, number.strip_suffix(end)?.parse().ok()?));
    match text.rsplit_once(mark).and_then(number) {
        Some((file, number)) => (file, Some(number)),
        None => (text, None),
    }
}
