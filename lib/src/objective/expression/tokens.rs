//! The signs, numbers and words of an expression.

/// What was expected and what was found, before the whole text is known.
pub(super) type Wrong = (String, String);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
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

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
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
