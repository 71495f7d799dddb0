//! An objective for a given network: its value for each image of a batch, and the cotangents that raise it.
//!
//! A value is a sum over terms; what raises it comes as cotangents of nodes, for the network's pullback, and as a cotangent of
//! the images for penalties. An image's value and cotangents do not depend on other images, except for diversity.
//!
//! ```
//! use obverse::net::Mode;
//! use obverse::ops::InputGradient;
//! use obverse::tensor::{Tape, view, zeros};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::objective::aggregation::Aggregation;
//! use obverse::objective::resolved::{Comparison, Objective};
//! let size = Size::new(1, 4, 4);
//! let graph = architectures::classifier("mnist", size, 3, 0.0)?;
//! let network = Network::<f64>::initialised(graph, Initialisation::Uniform, 0);
//! let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
//! let objective = Objective::new(&"class:2".parse()?, network.graph(), 1, comparison)?;
//! let trace = network.forward(&mut Tape::off(), &zeros((1, 4, 4, 1)), Mode::Inference, InputGradient::Wanted);
//! let judged = objective.judge(&network, &trace, &[0])?;
//! let logits = network.value(&trace, network.graph().output("logits")?)?;
//! assert_eq!(judged.values, [view(logits)[2]]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod nodes;
mod penalties;
mod resolve;
mod term;

use crate::net::{Graph, Network, Trace};
use crate::objective::expression::{Atom, Expression, Weight};
use crate::tensor::{Batch, Element, batch, image_len, shape, view};
use nodes::add_term;
use penalties::{deviation, squared_deviation, total_variation};
use resolve::resolve;
use term::{Entry, Member, Term};

pub use error::{Error, Result};
pub use nodes::Judged;
pub use term::Comparison;

/// What images are optimised for, with one network: one expression, or several, each for its own images.
#[derive(Clone, Debug)]
pub struct Objective {
    entries: Vec<Entry>,
    images: usize,
}

impl Objective {
    /// An expression resolved for a network's graph and `images` images; files of targets hold one row for each of them. Rows are
    /// scaled to unit norm.
    ///
    /// # Errors
    /// A node, channel or place that is not there; a file that cannot be read, does not fit or holds NaN.
    pub fn new(expression: &Expression, graph: &Graph, images: usize, comparison: Comparison) -> Result<Self> {
        let entry = |(weight, atom): &(Weight, Atom)| {
            let (place, term) = resolve(atom, graph, images, comparison)?;
            Ok(Entry { images: 0..images, weight: *weight, place, term })
        };
        Ok(Self { entries: expression.0.iter().map(entry).collect::<Result<_>>()?, images })
    }

    /// Objectives one after the other: the images of the first, then those of the second, …
    pub fn joined(objectives: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self { entries: Vec::new(), images: 0 };
        for objective in objectives {
            let shifted = |entry: Entry| Entry {
                images: entry.images.start + joined.images..entry.images.end + joined.images,
                ..entry
            };
            joined.entries.extend(objective.entries.into_iter().map(shifted));
            joined.images += objective.images;
        }
        joined
    }

    /// The images it is for.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The places of the nodes it uses.
    pub fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.entries.iter().filter_map(|entry| entry.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The same objective for another graph, whose nodes of the same names are of the same sizes.
    ///
    /// # Errors
    /// A node that is not there.
    pub fn moved(mut self, from: &Graph, to: &Graph) -> Result<Self> {
        for place in self.entries.iter_mut().filter_map(|entry| entry.place.as_mut()) {
            *place = to.place(&from.nodes[*place].name)?;
        }
        Ok(self)
    }

    /// Whether an image's value depends on the others of its batch.
    pub fn is_joint(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.term, Term::Diversity))
    }

    /// The terms at nodes for images number `rows` of the objective, whose activations `trace` holds.
    ///
    /// # Errors
    /// A node that was not computed.
    pub fn judge<E: Element>(&self, network: &Network<E>, trace: &Trace<E>, rows: &[usize]) -> Result<Judged<E>> {
        let mut judged =
            Judged { values: vec![0.0; rows.len()], cosines: vec![None; rows.len()], cotangents: Vec::new() };
        for place in self.places() {
            let at_place = self.entries.iter().filter(|entry| entry.place == Some(place));
            let wanted: Vec<_> = at_place.map(|entry| (&entry.term, entry.members(rows))).collect();
            if wanted.iter().all(|(_, members)| members.is_empty()) {
                continue;
            }
            let activations = network.value(trace, place)?;
            let mut cotangent = vec![E::zero(); view(activations).len()];
            for (term, members) in wanted.iter().filter(|(_, members)| !members.is_empty()) {
                add_term(term, activations, members, &mut judged, &mut cotangent);
            }
            judged.cotangents.push((place, batch(cotangent, shape(activations))));
        }
        Ok(judged)
    }

    /// The penalties on images (N, H, W, C), number `rows` of the objective: their share of the values, and the cotangent of
    /// the images where there is any penalty.
    pub(crate) fn judge_images<E: Element>(&self, images: &Batch<E>, rows: &[usize]) -> (Vec<f64>, Option<Batch<E>>) {
        let mut values = vec![0.0; rows.len()];
        let mut cotangent = vec![E::zero(); view(images).len()];
        let mut any = false;
        let length = image_len(images);
        let (_, h, w, c) = shape(images);
        for entry in &self.entries {
            let penalty = match entry.term {
                Term::Deviation => deviation,
                Term::SquaredDeviation => squared_deviation,
                Term::TotalVariation => total_variation,
                _ => continue,
            };
            for Member { position, weight, .. } in entry.members(rows) {
                any = true;
                let range = position * length..(position + 1) * length;
                values[position] += penalty(&view(images)[range.clone()], (h, w, c), weight, &mut cotangent[range]);
            }
        }
        (values, any.then(|| batch(cotangent, shape(images))))
    }
}

#[cfg(test)]
mod tests;
