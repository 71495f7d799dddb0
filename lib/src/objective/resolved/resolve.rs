//! The terms of an expression, looked up in a network.

use std::path::Path;

use super::error::{Error, Result};
use super::term::{Comparison, Term};
use crate::net::{Graph, Size};
use crate::objective::expression::{Atom, Location};
use crate::store::npy::{Reader, require_finite};

pub(super) fn resolve(
    atom: &Atom,
    graph: &Graph,
    images: usize,
    comparison: Comparison,
) -> Result<(Option<usize>, Term)> {
    let channel_of = |node: &str, channel: usize| -> Result<(usize, Size)> {
        let place = graph.place(node)?;
        let channels = graph.size(place).channels;
        check(node, channel < channels, || (format!("a channel below {channels}"), channel.to_string()))?;
        Ok((place, graph.size(place)))
    };
    Ok(match atom {
        Atom::Neuron { node, channel, at } => {
            let (place, size) = channel_of(node, *channel)?;
            let at = at.unwrap_or(Location::Pixel(size.height / 2, size.width / 2));
            (Some(place), Term::Neuron { element: pixel(node, size, at)? * size.channels + channel })
        }
        Atom::Channel { node, channel } => (Some(channel_of(node, *channel)?.0), Term::Channel { channel: *channel }),
        Atom::Class(class) => {
            let place = logits(graph, *class)?;
            let node = &graph.nodes[place].name;
            channel_of(node, *class)?;
            (Some(place), Term::Neuron { element: *class })
        }
        Atom::Layer { node } => {
            let (place, size) = sized(graph, node)?;
            (Some(place), Term::Part { pixels: 0..size.height * size.width, channels: 0..size.channels })
        }
        Atom::Token { node, token } => {
            let (place, size) = sized(graph, node)?;
            let token = pixel(node, size, Location::Token(*token))?;
            (Some(place), Term::Part { pixels: token..token + 1, channels: 0..size.channels })
        }
        Atom::Head { node, head, of } => {
            let (place, size) = sized(graph, node)?;
            check(node, *of > 0 && size.channels.is_multiple_of(*of) && head < of, || {
                (
                    format!("a head below N, and N heads that {} channels divide into", size.channels),
                    format!("{head}/{of}"),
                )
            })?;
            let each = size.channels / of;
            (Some(place), Term::Part { pixels: 0..size.height * size.width, channels: head * each..(head + 1) * each })
        }
        Atom::Diversity { node } => (Some(graph.place(node)?), Term::Diversity),
        Atom::Direction { node, file, row, at } => {
            let (place, size) = sized(graph, node)?;
            let targets = directions(file, size, Rows::One(*row))?;
            let at = at.map(|at| pixel(node, size, at)).transpose()?;
            (Some(place), Term::Targets { targets, comparison, at })
        }
        Atom::Targets { node, file } => {
            let place = graph.place(node)?;
            let targets = directions(file, graph.size(place), Rows::All(images))?;
            (Some(place), Term::Targets { targets, comparison, at: None })
        }
        Atom::L1 => (None, Term::Deviation),
        Atom::L2 => (None, Term::SquaredDeviation),
        Atom::TotalVariation => (None, Term::TotalVariation),
    })
}

fn sized(graph: &Graph, node: &str) -> Result<(usize, Size)> {
    let place = graph.place(node)?;
    Ok((place, graph.size(place)))
}

/// The number of a pixel, row by row.
fn pixel(node: &str, size: Size, at: Location) -> Result<usize> {
    let (pixel, fits, found) = match at {
        Location::Pixel(y, x) => (y * size.width + x, y < size.height && x < size.width, format!("{y}:{x}")),
        Location::Token(token) => (token, token < size.height * size.width, format!("token {token}")),
    };
    check(node, fits, || (format!("a place within {}x{}", size.height, size.width), found))?;
    Ok(pixel)
}

/// The rows of a file that are wanted.
enum Rows {
    /// Its only row, or this one.
    One(Option<usize>),
    /// All, of which there must be as many.
    All(usize),
}

fn check(node: &str, holds: bool, wrong: impl FnOnce() -> (String, String)) -> Result<()> {
    if holds {
        return Ok(());
    }
    let (expected, found) = wrong();
    Err(Error::Place { node: node.to_string(), expected, found })
}

/// The node that holds one score per class.
fn logits(graph: &Graph, class: usize) -> Result<usize> {
    let single = || if graph.outputs.len() == 1 { graph.outputs.keys().next() } else { None };
    match graph.outputs.get_key_value("logits").map(|(name, _)| name).or_else(single) {
        Some(name) => Ok(graph.output(name)?),
        None => Err(Error::NoClasses { class, found: graph.outputs.keys().cloned().collect::<Vec<_>>().join(", ") }),
    }
}

/// The rows of a file, scaled to unit norm: one for all images, or one per image. Rows may be shorter than the node has channels; they
/// then apply to the first channels.
fn directions(file: &Path, size: Size, rows: Rows) -> Result<Vec<Vec<f64>>> {
    let reader = Reader::open(file)?;
    let (count, length) = match reader.shape() {
        [length] => (1, *length),
        [count, length] => (*count, *length),
        other => return Err(wrong(file, "directions (N, F) or (F)".into(), format!("shape {other:?}"))),
    };
    if length == 0 || length > size.channels {
        let expected = format!("at most {} features per direction, the node's channels", size.channels);
        return Err(wrong(file, expected, length.to_string()));
    }
    let range = match rows {
        Rows::One(None) if count == 1 => 0..reader.rows(),
        Rows::One(None) => {
            let expected = format!("one direction, or the row that is meant, {}[ROW]", file.display());
            return Err(wrong(file, expected, format!("{count} rows")));
        }
        Rows::One(Some(row)) if row < count => row..row + 1,
        Rows::One(Some(row)) => return Err(wrong(file, format!("a row below {count}"), row.to_string())),
        Rows::All(images) if images == count => 0..reader.rows(),
        Rows::All(images) => {
            return Err(wrong(file, format!("{images} directions, one per image"), count.to_string()));
        }
    };
    let range = if reader.shape().len() == 1 { 0..reader.rows() } else { range };
    let values: Vec<f64> = reader.read_row_range_as_float_at(range.start, range.len())?;
    require_finite(file, &values, range.start, reader.row_len())?;
    let scaled = |(row, direction): (usize, &[f64])| {
        let norm = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        match norm > 0.0 {
            true => Ok(direction.iter().map(|value| value / norm).collect()),
            false => Err(wrong(file, "directions other than zero".into(), format!("zero in row {row}"))),
        }
    };
    values.chunks_exact(length).enumerate().map(scaled).collect()
}

fn wrong(path: &Path, expected: String, found: String) -> Error {
    Error::File { path: path.to_owned(), expected, found }
}
