//! An objective met with a network: its value for each image of a batch, and the cotangents that raise it.
//!
//! A value is a sum over terms; what raises it comes as cotangents of nodes, for the network's pullback, and as a cotangent of
//! the images for penalties. An image's value and cotangents depend on no other image, but for diversity.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::net::Mode;
//! use obverse::ops::InputGradient;
//! use obverse::tensor::{view, zeros};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::objective::aggregation::Aggregation;
//! use obverse::objective::resolved::{Comparison, Objective};
//! let size = Size::new(1, 4, 4);
//! let graph = architectures::classifier("mnist", size, 3, 0.0)?;
//! let network = Network::<f64>::initialised(graph, Initialisation::Uniform, 0);
//! let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
//! let objective = Objective::new(&"class:2".parse()?, network.graph(), 1, comparison)?;
//! let trace = network.forward(&mut NoneTape, &zeros((1, 4, 4, 1)), Mode::Inference, InputGradient::Wanted);
//! let judged = objective.judge(&network, &trace, &[0])?;
//! let logits = network.value(&trace, network.graph().output("logits")?)?;
//! assert_eq!(judged.values, [view(logits)[2]]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::aggregation::Aggregation;
use super::expression::{Atom, Expression, Weight};
use super::significance::significance;
use crate::net::{self, Graph, Network, Size, Trace};
use crate::ops::product::{Matrix, Write, product};
use crate::store;
use crate::store::npy::{Reader, require_finite};
use crate::tensor::{Batch, Element, batch, image_len, shape, view};

/// What is wrong with an objective for a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A channel or place that the node does not have.
    #[error("objective at node \"{node}\": expected {expected}, found {found}")]
    Place {
        /// The node's name.
        node: String,
        /// What it has.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A file of directions that does not fit.
    #[error("{path}: expected {expected}, found {found}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the node takes.
        expected: String,
        /// What is there.
        found: String,
    },
    /// No output that holds the classes.
    #[error(
        "class:{class}: expected a network with an output \"logits\" or a single output, found {found}; name the node: neuron:NODE:{class}"
    )]
    NoClasses {
        /// The class asked for.
        class: usize,
        /// The outputs there are.
        found: String,
    },
    /// A network.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// A file.
    #[error("{0}")]
    Store(#[from] store::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// How responses are compared with directions and targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// How activations become a response.
    pub aggregation: Aggregation,
    /// The power of the cosine, k.
    pub power: u32,
}

/// A quantity of a node, or of an image.
#[derive(Clone, Debug)]
enum Term {
    Neuron { element: usize },
    Channel { channel: usize },
    Layer,
    Targets { targets: Vec<Vec<f64>>, comparison: Comparison },
    Diversity,
    Deviation,
    SquaredDeviation,
    TotalVariation,
}

/// A term for the images of a range; the weight runs over them.
#[derive(Clone, Debug)]
struct Entry {
    images: Range<usize>,
    weight: Weight,
    /// The node, of quantities of one.
    place: Option<usize>,
    term: Term,
}

/// An image of a batch that a term is for.
struct Member {
    /// Its place in the batch.
    position: usize,
    /// Its number among the term's images.
    row: usize,
    weight: f64,
}

impl Entry {
    /// The images among those of numbers `rows`.
    fn members(&self, rows: &[usize]) -> Vec<Member> {
        let member = |(position, &row): (usize, &usize)| {
            self.images.contains(&row).then(|| {
                let row = row - self.images.start;
                Member { position, row, weight: self.weight.at(row, self.images.len()) }
            })
        };
        rows.iter().enumerate().filter_map(member).collect()
    }
}

/// What some images are made for, by one network: one expression, or one after the other.
#[derive(Clone, Debug)]
pub struct Objective {
    entries: Vec<Entry>,
    images: usize,
}

/// What a batch of images is worth.
#[derive(Clone, Debug)]
pub struct Judged<E: Element> {
    /// The objective of each image.
    pub values: Vec<f64>,
    /// The cosine of each image's response and its target, where there is one.
    pub cosines: Vec<Option<f64>>,
    /// What raises the sum of the values: places of nodes and cotangents (N, H, W, C).
    pub cotangents: Vec<(usize, Batch<E>)>,
}

impl Objective {
    /// An expression met with a network's graph, for `images` images; files of targets hold a row for each of them. Rows are
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

    /// The places of the nodes it looks at.
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
    pub fn judge_images<E: Element>(&self, images: &Batch<E>, rows: &[usize]) -> (Vec<f64>, Option<Batch<E>>) {
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

fn resolve(atom: &Atom, graph: &Graph, images: usize, comparison: Comparison) -> Result<(Option<usize>, Term)> {
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

/// The node that holds a score a class.
fn logits(graph: &Graph, class: usize) -> Result<usize> {
    let single = || if graph.outputs.len() == 1 { graph.outputs.keys().next() } else { None };
    match graph.outputs.get_key_value("logits").map(|(name, _)| name).or_else(single) {
        Some(name) => Ok(graph.output(name)?),
        None => Err(Error::NoClasses { class, found: graph.outputs.keys().cloned().collect::<Vec<_>>().join(", ") }),
    }
}

/// Rows of unit norm of a file: one for all images, or one an image. Rows may be shorter than the node has channels: they are
/// about the first of them.
fn directions(file: &Path, size: Size, images: usize) -> Result<Vec<Vec<f64>>> {
    let reader = Reader::open(file)?;
    let (count, length) = match reader.shape() {
        [length] => (1, *length),
        [count, length] => (*count, *length),
        other => return Err(wrong(file, "directions (N, F) or (F)".into(), format!("shape {other:?}"))),
    };
    if length == 0 || length > size.channels {
        let expected = format!("at most {} features a direction, the node's channels", size.channels);
        return Err(wrong(file, expected, length.to_string()));
    }
    if count != images {
        let expected = if images == 1 { "one direction".into() } else { format!("{images} directions, one an image") };
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

/// Adds a term of a node, for some images of the batch, to the values and to the node's cotangent.
fn add_term<E: Element>(
    term: &Term,
    activations: &Batch<E>,
    members: &[Member],
    judged: &mut Judged<E>,
    cotangent: &mut [E],
) {
    let (_, h, w, c) = shape(activations);
    let length = h * w * c;
    match term {
        Term::Targets { targets, comparison } => {
            return add_targets(targets, *comparison, activations, members, judged, cotangent);
        }
        Term::Diversity => return add_diversity(activations, members, &mut judged.values, cotangent),
        _ => {}
    }
    for &Member { position, weight, .. } in members {
        let range = position * length..(position + 1) * length;
        let (image, cotangent) = (&view(activations)[range.clone()], &mut cotangent[range]);
        judged.values[position] += match *term {
            Term::Neuron { element } => {
                cotangent[element] += E::of(weight);
                weight * image[element].wide()
            }
            Term::Channel { channel } => {
                let share = weight / (h * w) as f64;
                cotangent.iter_mut().skip(channel).step_by(c).for_each(|slope| *slope += E::of(share));
                share * image.iter().skip(channel).step_by(c).map(|value| value.wide()).sum::<f64>()
            }
            Term::Layer => {
                let share = weight / length as f64;
                let slope = E::of(2.0 * share);
                cotangent.iter_mut().zip(image).for_each(|(sum, &value)| *sum += slope * value);
                share * image.iter().map(|value| value.wide().powi(2)).sum::<f64>()
            }
            _ => 0.0,
        };
    }
}

/// Adds the resemblance of responses to targets.
fn add_targets<E: Element>(
    targets: &[Vec<f64>],
    Comparison { aggregation, power }: Comparison,
    activations: &Batch<E>,
    members: &[Member],
    judged: &mut Judged<E>,
    cotangent: &mut [E],
) {
    let responses = aggregation.response(activations);
    let channels = image_len(&responses);
    let mut slopes = vec![E::zero(); view(&responses).len()];
    for &Member { position, row, weight } in members {
        let target = &targets[if targets.len() == 1 { 0 } else { row }];
        let range = position * channels..position * channels + target.len();
        let response: Vec<f64> = view(&responses)[range.clone()].iter().map(|value| value.wide()).collect();
        let found = significance(target, &response, power);
        judged.values[position] += weight * found.value;
        judged.cosines[position] = Some(found.cosine);
        slopes[range].iter_mut().zip(&found.gradient).for_each(|(slope, g)| *slope = E::of(weight * g));
    }
    let slopes = aggregation.pullback(&batch(slopes, shape(&responses)), activations);
    cotangent.iter_mut().zip(view(&slopes)).for_each(|(sum, &more)| *sum += more);
}

/// `v_i = -1 / (N - 1) sum_(j != i) <u_i, u_j>`, u = G / |G| and G = a^T a the Gram matrix of a node's channels (Olah et al. 2017).
fn add_diversity<E: Element>(activations: &Batch<E>, members: &[Member], values: &mut [f64], cotangent: &mut [E]) {
    let (_, h, w, c) = shape(activations);
    let length = h * w * c;
    let image = |member: &Member| &view(activations)[member.position * length..][..length];
    let unit = |member: &Member| {
        let mut gram = vec![E::zero(); c * c];
        let a = Matrix::new(image(member), h * w, c);
        product(&mut gram, a.transposed(), a, Write::Replace);
        let norm = gram.iter().map(|value| value.wide().powi(2)).sum::<f64>().sqrt().max(1e-12);
        gram.iter_mut().for_each(|value| *value /= E::of(norm));
        (gram, norm)
    };
    let units: Vec<(Vec<E>, f64)> = members.iter().map(unit).collect();
    let dot = |a: &[E], b: &[E]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
    let share = 1.0 / members.len().saturating_sub(1).max(1) as f64;
    for (i, member) in members.iter().enumerate() {
        let (own, norm) = &units[i];
        // Each pair counts in both images' values.
        let mut pull = vec![E::zero(); c * c];
        let mut along = 0.0;
        for (j, (other, _)) in units.iter().enumerate().filter(|&(j, _)| j != i) {
            let resemblance = dot(own, other);
            values[member.position] -= member.weight * share * resemblance;
            let factor = share * (member.weight + members[j].weight);
            along += factor * resemblance;
            pull.iter_mut().zip(other).for_each(|(sum, &value)| *sum += E::of(factor) * value);
        }
        pull.par_iter_mut().zip(own).for_each(|(pull, &own)| *pull = (*pull - E::of(along) * own) * E::of(-2.0 / norm));
        let mut slope = vec![E::zero(); length];
        product(&mut slope, Matrix::new(image(member), h * w, c), Matrix::new(&pull, c, c), Write::Replace);
        cotangent[member.position * length..].iter_mut().zip(&slope).for_each(|(sum, &more)| *sum += more);
    }
}

type ImageSize = (usize, usize, usize);

/// weight mean |x - 1/2|; adds its gradient.
fn deviation<E: Element>(image: &[E], _: ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / image.len() as f64;
    let half = E::of(0.5);
    cotangent.iter_mut().zip(image).for_each(|(sum, &x)| *sum += E::of(share * sign((x - half).wide())));
    share * image.iter().map(|&x| (x - half).wide().abs()).sum::<f64>()
}

/// weight mean (x - 1/2)^2; adds its gradient.
fn squared_deviation<E: Element>(image: &[E], _: ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / image.len() as f64;
    let half = E::of(0.5);
    cotangent.iter_mut().zip(image).for_each(|(sum, &x)| *sum += E::of(2.0 * share) * (x - half));
    share * image.iter().map(|&x| (x - half).wide().powi(2)).sum::<f64>()
}

/// weight mean over pixels of |x - below| + |x - right|, summed over channels; adds its gradient.
fn total_variation<E: Element>(image: &[E], (h, w, c): ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / (h * w) as f64;
    let mut sum = 0.0;
    for here in 0..h * w * c {
        let (y, x) = (here / (w * c), here / c % w);
        let neighbours = [(y + 1 < h).then_some(here + w * c), (x + 1 < w).then_some(here + c)];
        for there in neighbours.into_iter().flatten() {
            let difference = (image[here] - image[there]).wide();
            sum += difference.abs();
            let slope = E::of(share * sign(difference));
            cotangent[here] += slope;
            cotangent[there] -= slope;
        }
    }
    share * sum
}

/// -1, 0 or 1.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::net::op::{Flatten, Linear, Softplus};
    use crate::net::{Initialisation, InputSpec, Mode, Node};
    use crate::ops::InputGradient;
    use crate::store::npy;
    use crate::tensor::random::Stream;

    /// Two smooth layers, so that differences are gradients: softplus of a convolution, and a linear one.
    fn network() -> Network<f64> {
        let conv = serde_json::json!({"name": "conv", "op": "conv2d", "input": "input", "channels": 4, "kernel": 3, "padding": 1});
        let nodes = vec![
            Node::from_json(&conv).unwrap(),
            Node::new("act", Softplus, "conv"),
            Node::new("flat", Flatten, "act"),
            Node::new("fc", Linear { features: 5, bias: true }, "flat"),
        ];
        let outputs = [("scores".to_string(), "fc".to_string())].into();
        let graph = Graph::new(InputSpec::plain(Size::new(2, 6, 5)), nodes, outputs).unwrap();
        Network::initialised(graph, Initialisation::Uniform, 1).tapped(&["act"]).unwrap()
    }

    fn images(count: usize) -> Batch<f64> {
        batch(Stream::new(3, "images", 0).uniform(0..count * 60), (count, 6, 5, 2))
    }

    fn total(objective: &Objective, network: &Network<f64>, x: &Batch<f64>) -> (f64, Vec<f64>) {
        let rows: Vec<usize> = (0..shape(x).0).collect();
        let trace = network.forward(&mut NoneTape, x, Mode::Inference, InputGradient::Wanted);
        let judged = objective.judge(network, &trace, &rows).unwrap();
        let (penalties, at_images) = objective.judge_images(x, &rows);
        let cotangents: Vec<_> = judged.cotangents.iter().map(|(place, cotangent)| (*place, cotangent)).collect();
        let mut gradient = vec![0.0; view(x).len()];
        if let Some(down) = network.pullback(&mut NoneTape, &trace, &cotangents) {
            gradient.iter_mut().zip(view(&down)).for_each(|(sum, more)| *sum += more);
        }
        if let Some(more) = at_images {
            gradient.iter_mut().zip(view(&more)).for_each(|(sum, more)| *sum += more);
        }
        (judged.values.iter().sum::<f64>() + penalties.iter().sum::<f64>(), gradient)
    }

    #[test]
    fn gradients_are_differences_for_every_kind_of_term() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.npy");
        npy::write(&file, &[3, 3], &[0.3f64, 0.2, -0.5, 1.0, 0.0, 0.0, 0.5, 0.5, 2.0]).unwrap();
        let one = folder.path().join("d.npy");
        npy::write(&one, &[4], &[0.3f32, 0.2, 0.5, 1.0]).unwrap();
        let network = network();
        let x = images(3);
        let comparison = Comparison { aggregation: Aggregation::USUAL, power: 3 };
        for text in [
            "neuron:act:2:1:4".to_string(),
            "channel:act:3".into(),
            "class:4 - 0.5*channel:act:0".into(),
            "layer:act".into(),
            "diversity:act".into(),
            "channel:act:1 to 3*diversity:act".into(),
            format!("targets:act:{}", file.display()),
            format!("-direction:act:{}", one.display()),
            "l1 + 2*l2 - 0.3*tv".into(),
        ] {
            let objective = Objective::new(&text.parse().unwrap(), network.graph(), 3, comparison).unwrap();
            let (_, gradient) = total(&objective, &network, &x);
            for i in (0..180).step_by(7) {
                let at = |step: f64| {
                    let mut values = view(&x).to_vec();
                    values[i] += step;
                    total(&objective, &network, &batch(values, shape(&x))).0
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((difference - gradient[i]).abs() < 1e-7, "{text}: {i}: {difference} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn joined_objectives_keep_to_their_images() {
        let network = network();
        let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
        let one =
            |text: &str, images| Objective::new(&text.parse().unwrap(), network.graph(), images, comparison).unwrap();
        let texts = [("channel:act:1", 2), ("diversity:act - l2", 2), ("class:3", 1)];
        let joined = Objective::joined(texts.map(|(text, images)| one(text, images)));
        let x = images(5);
        let (whole, gradient) = total(&joined, &network, &x);
        let (mut sum, mut parts, mut first) = (0.0, Vec::new(), 0);
        for (text, count) in texts {
            let part = batch(view(&x)[first * 60..(first + count) * 60].to_vec(), (count, 6, 5, 2));
            let (value, gradient) = total(&one(text, count), &network, &part);
            sum += value;
            parts.extend(gradient);
            first += count;
        }
        assert!((whole - sum).abs() < 1e-12);
        assert!(gradient.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let network = network();
        let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
        let refused = |text: &str| {
            Objective::new(&text.parse().unwrap(), network.graph(), 2, comparison).unwrap_err().to_string()
        };
        assert!(refused("channel:cnov:1").contains("conv"), "{}", refused("channel:cnov:1"));
        assert!(refused("channel:conv:4").contains("below 4"));
        assert!(refused("neuron:conv:0:6:0").contains("within 6x5"));
        assert!(refused("class:5").contains("below 5"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.npy");
        let with = |shape: &[usize], values: &[f64]| {
            npy::write(&file, shape, values).unwrap();
            refused(&format!("targets:act:{}", file.display()))
        };
        assert!(with(&[2, 5], &[1.0; 10]).contains("at most 4"));
        assert!(with(&[3, 2], &[1.0; 6]).contains("2 directions"));
        assert!(with(&[2, 2], &[1.0, f64::NAN, 0.0, 1.0]).contains("NaN"));
        assert!(with(&[2, 2], &[1.0, 1.0, 0.0, 0.0]).contains("zero in row 1"));
    }
}
