//! Architectures whose graphs are kept as data: our own importer's, of networks that PyTorch exported once (`tests/architectures`).
//!
//! A parameter is the tensor of its own name, or says where it comes from: another tensor in another order of its axes, values of a
//! tensor by their places (Swin's table of biases), or one number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use ndarray::{ArrayD, Dimension};
use serde::Deserialize;
use serde_json::Value;

use super::unfit;
use crate::net::error::{Error, Result};
use crate::net::graph::{Graph, InputSpec, Node};
use crate::net::network::Network;
use crate::net::size::Size;
use crate::store::weights::Weights;

/// All of them, as JSON.
static DATA: &[u8] = include_bytes!("stored.json.zst");

/// An architecture as it is kept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    /// Its name.
    pub name: String,
    /// Channels, height and width of its images.
    pub size: [usize; 3],
    /// The convention of its pixels.
    pub convention: String,
    /// Names that begin so are for training only.
    pub ignored: Vec<String>,
    /// The nodes of the graph, and its outputs.
    pub nodes: Vec<Value>,
    pub outputs: BTreeMap<String, String>,
    /// Where parameters come from that do not bear their tensor's name.
    pub sources: BTreeMap<String, Source>,
    /// The shapes of the tensors that they come from.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Whole numbers that a file of weights holds and the architecture fixes: shapes and values.
    pub buffers: BTreeMap<String, (Vec<usize>, Vec<i64>)>,
}

/// Where a parameter comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    /// One number.
    Fill(f32),
    /// Numbers of the architecture itself, such as a mask: each, and how often it follows.
    Runs(Vec<(f32, usize)>),
    /// A tensor, its axes in this order.
    Tensor(String, Vec<usize>),
    /// Values of a tensor by their places in row order: rows of so many, each so many times.
    Gather(String, Vec<usize>, usize, usize),
    /// As many values of a tensor as it takes, from this place on.
    Slice(String, usize),
    /// The columns of a matrix in this order.
    Columns(String, Vec<usize>),
}

impl Source {
    /// The tensor that numbers come from; `None` of the architecture's own.
    pub(super) fn tensor(&self) -> Option<&str> {
        match self {
            Self::Fill(_) | Self::Runs(_) => None,
            Self::Tensor(key, _) | Self::Gather(key, ..) | Self::Slice(key, _) | Self::Columns(key, _) => Some(key),
        }
    }

    /// The architecture's own numbers, so many; none where a tensor has them.
    pub(super) fn constants(&self, count: usize) -> Vec<f32> {
        match self {
            Self::Fill(value) => vec![*value; count],
            Self::Runs(runs) => runs.iter().flat_map(|&(value, count)| std::iter::repeat_n(value, count)).collect(),
            _ => Vec::new(),
        }
    }

    /// For so many numbers of a parameter their places in row order in a tensor of this shape; none of the architecture's own.
    pub(super) fn places(&self, shape: &[usize], count: usize) -> Vec<usize> {
        match self {
            Self::Fill(_) | Self::Runs(_) => Vec::new(),
            Self::Slice(_, start) => (*start..start.saturating_add(count)).collect(),
            Self::Gather(_, places, length, times) => {
                let rows = places.chunks((*length).max(1));
                rows.flat_map(|row| (0..*times).flat_map(move |_| row)).copied().take(count).collect()
            }
            Self::Columns(_, order) => {
                let length = order.len().max(1);
                (0..count).map(|place| place / length * length + order[place % length]).collect()
            }
            Self::Tensor(_, order) => {
                let places = ArrayD::from_shape_fn(shape, |at| {
                    at.as_array_view().iter().zip(shape).fold(0, |place, (step, length)| place * length + step)
                });
                places.permuted_axes(order.clone()).iter().copied().collect()
            }
        }
    }
}

/// All that are kept.
pub(super) fn all() -> &'static [Stored] {
    static ALL: OnceLock<Vec<Stored>> = OnceLock::new();
    ALL.get_or_init(|| {
        let text = zstd::decode_all(DATA).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    })
}

impl Stored {
    /// The graph, for as many classes as the weights have, or as it was exported with.
    pub(super) fn graph(&self, weights: Option<&Weights>, size: Option<Size>) -> Result<Graph> {
        let [channels, height, width] = self.size;
        let input = InputSpec::plain(size.unwrap_or(Size::new(channels, height, width)));
        let outputs: BTreeSet<&String> = self.outputs.values().collect();
        let node = |json: &Value| -> Result<Node> {
            let mut json = json.clone();
            let name = json.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
            let weight = weights.and_then(|weights| weights.get(&format!("{name}.weight")));
            let classes = weight.and_then(|weight| weight.shape.first());
            if let (Some(&classes), true, Some(features)) = (classes, outputs.contains(&name), json.get_mut("features"))
            {
                *features = classes.into();
            }
            Node::from_json(&json)
        };
        Graph::new(input, self.nodes.iter().map(node).collect::<Result<_>>()?, self.outputs.clone())
    }

    /// The network with these weights.
    ///
    /// # Errors
    /// Tensors that are missing, superfluous or of another shape, each by name; images of a size that the graph does not take.
    pub(super) fn load(&self, weights: &Weights, size: Option<Size>) -> Result<Network<f32>> {
        let graph = self.graph(Some(weights), size)?;
        let complaints = self.complaints(&graph, weights);
        if !complaints.is_empty() {
            return Err(unfit(weights.path(), format!("the tensors of {}", self.name), complaints.join("; ")));
        }
        Network::of_parameters(graph, |node, spec| {
            let name = format!("{}.{}", node.name, spec.name);
            let missing = || -> Error { unfit(weights.path(), format!("a tensor \"{name}\""), "none") };
            let Some(source) = self.sources.get(&name) else {
                return Ok(weights.require(&name, &spec.shape)?.values.clone());
            };
            let Some(key) = source.tensor() else { return Ok(source.constants(spec.elements())) };
            let tensor = weights.get(key).ok_or_else(missing)?;
            let places = source.places(&tensor.shape, spec.elements()).into_iter();
            places.map(|place| tensor.values.get(place).copied()).collect::<Option<_>>().ok_or_else(missing)
        })
    }

    /// Whether these weights are its own, by their names and shapes.
    pub(super) fn fits(&self, weights: &Weights) -> bool {
        self.graph(Some(weights), None).is_ok_and(|graph| self.complaints(&graph, weights).is_empty())
    }

    /// The tensors that are missing, of another shape or superfluous, a few by name.
    fn complaints(&self, graph: &Graph, weights: &Weights) -> Vec<String> {
        let mut known = BTreeSet::new();
        let (mut missing, mut other) = (Vec::new(), Vec::new());
        for (place, spec) in graph.parameters() {
            let name = graph.parameter_name(place, &spec);
            let source = self.sources.get(&name);
            let Some(key) = source.map_or(Some(name.as_str()), Source::tensor) else { continue };
            let fits = |shape: &[usize]| {
                let elements: usize = shape.iter().product();
                match source {
                    Some(Source::Gather(_, places, ..)) => places.iter().all(|&place| place < elements),
                    Some(Source::Slice(_, start)) => start.saturating_add(spec.elements()) <= elements,
                    Some(Source::Columns(_, order)) => {
                        shape.last() == Some(&order.len()) && elements == spec.elements()
                    }
                    Some(Source::Tensor(_, order)) => shape.len() == order.len() && elements == spec.elements(),
                    _ => shape == spec.shape,
                }
            };
            match weights.get(key) {
                None => missing.push(key.to_string()),
                Some(tensor) if !fits(&tensor.shape) => other.push(format!("{key} {:?}", tensor.shape)),
                Some(_) => {}
            }
            known.insert(key.to_string());
        }
        let is_ignored = |name: &str| self.ignored.iter().any(|start| name.starts_with(start.as_str()));
        let superfluous = weights.names().filter(|&name| !known.contains(name) && !is_ignored(name)).map(String::from);
        [("missing", missing), ("of another shape", other), ("superfluous", superfluous.collect())]
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", super::pretrained::listed(names)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::import::Pixels;

    #[test]
    fn every_graph_that_is_kept_is_one_and_its_pixels_are_known() {
        assert!(all().len() >= 54, "{}", all().len());
        let names: BTreeSet<&str> = all().iter().map(|stored| stored.name.as_str()).collect();
        assert_eq!(names.len(), all().len());
        for stored in all() {
            let graph = stored.graph(None, None).unwrap_or_else(|error| panic!("{}: {error}", stored.name));
            assert!(graph.outputs.contains_key("logits"), "{}", stored.name);
            assert!(Pixels::of_convention(&stored.convention).is_some(), "{}", stored.convention);
        }
    }

    /// The numbers of PyTorch's parameters, without what batch normalisations have counted.
    #[test]
    fn as_many_numbers_are_trained_as_pytorch_says() {
        for (name, count) in [("resnet50", 25_557_032), ("mobilenet_v2", 3_504_872), ("vgg11", 132_863_336)] {
            let stored = all().iter().find(|stored| stored.name == name).unwrap();
            let parameters = stored.graph(None, None).unwrap().parameters();
            let trained: usize =
                parameters.iter().filter(|(_, spec)| spec.trained).map(|(_, spec)| spec.elements()).sum();
            assert_eq!(trained, count, "{name}");
        }
    }

    #[test]
    fn numbers_come_from_the_places_that_a_source_says() {
        let places = |source: fn(String) -> Source, count: usize| source("t".into()).places(&[1, 2, 3], count);
        assert_eq!(places(|t| Source::Tensor(t, vec![2, 0, 1]), 6), [0, 3, 1, 4, 2, 5]);
        assert_eq!(places(|t| Source::Slice(t, 2), 3), [2, 3, 4]);
        assert_eq!(places(|t| Source::Gather(t, vec![5, 1, 1, 0], 2, 2), 8), [5, 1, 5, 1, 1, 0, 1, 0]);
        assert_eq!(places(|t| Source::Columns(t, vec![2, 0, 1]), 6), [2, 0, 1, 5, 3, 4]);
        assert!(Source::Fill(1.0).tensor().is_none());
        assert_eq!(Source::Fill(1.0).constants(2), [1.0, 1.0]);
        assert_eq!(Source::Runs(vec![(1.0, 2), (0.0, 1)]).constants(3), [1.0, 1.0, 0.0]);
        assert_ne!(Source::Runs(vec![(1.0, 2)]).constants(2), [1.0, 2.0]);
    }
}
