//! The terms of an expression, looked up in a network.

use std::path::Path;

use super::error::{Error, Result};
use super::term::{Comparison, Term};
use crate::net::{Graph, Size};
use crate::objective::expression::Atom;
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
            let (y, x) = at.unwrap_or((size.height / 2, size.width / 2));
            check(node, y < size.height && x < size.width, || {
                (format!("a place within {}x{}", size.height, size.width), format!("{y}:{x}"))
            })?;
            (Some(place), Term::Neuron { element: (y * size.width + x) * size.channels + channel })
        }
        Atom::Channel { node, channel } => (Some(channel_of(node, *channel)?.0), Term::Channel { channel: *channel }),
        Atom::Class(class) => {
            let place = logits(graph, *class)?;
            let node = &graph.nodes[place].name;
            channel_of(node, *class)?;
            (Some(place), Term::Neuron { element: *class })
        }
        Atom::Layer { node } => (Some(graph.place(node)?), Term::Layer),
        Atom::Diversity { node } => (Some(graph.place(node)?), Term::Diversity),
        Atom::Direction { node, file } => {
            let place = graph.place(node)?;
            let targets = directions(file, graph.size(place), 1)?;
            (Some(place), Term::Targets { targets, comparison })
        }
        Atom::Targets { node, file } => {
            let place = graph.place(node)?;
            let targets = directions(file, graph.size(place), images)?;
            (Some(place), Term::Targets { targets, comparison })
        }
        Atom::L1 => (None, Term::Deviation),
        Atom::L2 => (None, Term::SquaredDeviation),
        Atom::TotalVariation => (None, Term::TotalVariation),
    })
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
fn directions(file: &Path, size: Size, images: usize) -> Result<Vec<Vec<f64>>> {
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
    if count != images {
        let expected = if images == 1 { "one direction".into() } else { format!("{images} directions, one per image") };
        return Err(wrong(file, expected, count.to_string()));
    }
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, reader.rows())?;
    require_finite(file, &values, 0, reader.row_len())?;
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
