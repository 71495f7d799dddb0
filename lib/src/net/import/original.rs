//! The way back of `stored`: a network's parameters as the tensors that its weights came in, under PyTorch's names.
//!
//! ```
//! use obverse::net::import::original::{Numbers, tensors};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! let graph = architectures::encoder("mnist", Size::new(1, 8, 8), &[("z", 3)])?;
//! let network = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
//! // One of this library's own architectures: the parameters as they are.
//! let tensors = tensors(&network)?;
//! assert_eq!(tensors.len(), network.parameters().len());
//! assert!(matches!(tensors[0].numbers, Numbers::Floats(_)));
//! # Ok::<(), obverse::net::Error>(())
//! ```

use std::collections::BTreeMap;

use super::stored::{Stored, all};
use crate::net::error::{Error, Result};
use crate::net::folder::to_file_order;
use crate::net::network::Network;
use crate::net::op::ParameterSpec;

/// The numbers of a tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Floats.
    Floats(Vec<f32>),
    /// Whole numbers that the architecture fixes.
    Integers(Vec<i64>),
}

/// A tensor of a file, in row order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its axes.
    pub shape: Vec<usize>,
    /// As many numbers as the axes say.
    pub numbers: Numbers,
}

/// The tensors that PyTorch's `load_state_dict` takes of this network: those of its architecture, where the graph is one of those that are
/// known by their weights; else each parameter under its own name.
///
/// # Errors
/// Parameters that the architecture's tensors cannot hold, because what was one number is several by now.
pub fn tensors(network: &Network<f32>) -> Result<Vec<Tensor>> {
    let own = parameters(network);
    match all().iter().find(|stored| is_its_graph(stored, network)) {
        Some(stored) => originals(stored, own),
        None => Ok(own),
    }
}

/// Each parameter under its own name.
fn parameters(network: &Network<f32>) -> Vec<Tensor> {
    let graph = network.graph();
    let parameters = graph.parameters();
    let tensor = |((place, spec), value): (&(usize, ParameterSpec), _)| Tensor {
        name: graph.parameter_name(*place, spec),
        shape: spec.shape.clone(),
        numbers: Numbers::Floats(to_file_order(&spec.shape, value)),
    };
    parameters.iter().zip(network.parameters()).map(tensor).collect()
}

/// Whether a network's graph has the nodes of an architecture that is kept, by their names and inputs.
fn is_its_graph(stored: &Stored, network: &Network<f32>) -> bool {
    let nodes = &network.graph().nodes;
    nodes.len() == stored.nodes.len()
        && nodes.iter().zip(&stored.nodes).all(|(node, kept)| {
            kept["name"] == node.name.as_str()
                && match &kept["input"] {
                    serde_json::Value::Array(inputs) => inputs.iter().eq(&node.inputs),
                    serde_json::Value::Null => node.inputs.is_empty(),
                    input => [input].into_iter().eq(&node.inputs),
                }
        })
}

/// The tensors of a file, of parameters under their own names.
fn originals(stored: &Stored, own: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    let mut filled: BTreeMap<&str, Vec<Option<f32>>> = BTreeMap::new();
    for parameter in own {
        let Some(source) = stored.sources.get(&parameter.name) else {
            tensors.push(parameter);
            continue;
        };
        let Numbers::Floats(values) = &parameter.numbers else { continue };
        let misfit = |what: &str| misfit(stored, &parameter.name, what);
        let Some(key) = source.tensor() else {
            match source.constants(values.len()) == *values {
                true => continue,
                false => return Err(misfit("the number that the architecture has there")),
            }
        };
        let shape = &stored.shapes[key];
        let target = filled.entry(key).or_insert_with(|| vec![None; shape.iter().product()]);
        let places = source.places(shape, values.len());
        if places.len() != values.len() {
            return Err(misfit(&format!("{} numbers", places.len())));
        }
        for (place, &value) in places.into_iter().zip(values) {
            match target.get_mut(place) {
                Some(held) if held.is_none_or(|held| held.to_bits() == value.to_bits()) => *held = Some(value),
                _ => return Err(misfit(&format!("one number at place {place} of {key}"))),
            }
        }
    }
    for (key, values) in filled {
        let whole = values.into_iter().collect::<Option<Vec<f32>>>();
        let numbers = Numbers::Floats(whole.ok_or_else(|| misfit(stored, key, "all of its numbers"))?);
        tensors.push(Tensor { name: key.to_string(), shape: stored.shapes[key].clone(), numbers });
    }
    let buffers = stored.buffers.iter().map(|(name, (shape, values))| Tensor {
        name: name.clone(),
        shape: shape.clone(),
        numbers: Numbers::Integers(values.clone()),
    });
    tensors.extend(buffers);
    Ok(tensors)
}

fn misfit(stored: &Stored, parameter: &str, expected: &str) -> Error {
    let reason = format!(
        "expected {expected}, as the files of {} have them, found others; an ONNX file can hold them",
        stored.name
    );
    Error::Node { node: parameter.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;
    use crate::net::Initialisation;
    use crate::store::weights::Weights;

    /// A file of weights of an architecture, all of its numbers different.
    fn file(stored: &Stored, path: &std::path::Path) -> BTreeMap<String, Vec<usize>> {
        let graph = stored.graph(None, None).unwrap();
        let own = graph.parameters().into_iter().map(|(place, spec)| (graph.parameter_name(place, &spec), spec.shape));
        let own = own.filter(|(name, _)| !stored.sources.contains_key(name));
        let shapes: BTreeMap<String, Vec<usize>> = own.chain(stored.shapes.clone()).collect();
        let mut next = 0u32;
        let bytes = |shape: &Vec<usize>| -> Vec<u8> {
            let mut number = || {
                next += 1;
                f32::from_bits(0x3f00_0000 + next)
            };
            (0..shape.iter().product()).flat_map(|_| number().to_le_bytes()).collect()
        };
        let bytes: Vec<Vec<u8>> = shapes.values().map(bytes).collect();
        let view = |((name, shape), bytes): ((&String, &Vec<usize>), _)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        };
        let views: Vec<_> = shapes.iter().zip(bytes.iter().map(Vec::as_slice)).map(view).collect();
        std::fs::write(path, serialize(views, None).unwrap()).unwrap();
        shapes
    }

    #[test]
    fn a_network_gives_the_tensors_of_the_file_that_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        for name in ["swin_t", "timm.vit_tiny_patch16_224", "timm.resnet50_clip", "mobilenet_v2"] {
            let stored = all().iter().find(|stored| stored.name == name).unwrap();
            let shapes = file(stored, &path);
            let weights = Weights::open(&path).unwrap();
            let network = stored.load(&weights, None).unwrap();
            let found = tensors(&network).unwrap();
            assert_eq!(found.len(), shapes.len() + stored.buffers.len(), "{name}");
            for tensor in &found {
                let Numbers::Floats(values) = &tensor.numbers else { continue };
                let expected = weights.require(&tensor.name, &tensor.shape).unwrap();
                assert!(*values == expected.values, "{name}: {}", tensor.name);
            }
        }
    }

    /// A number that no parameter reads would mean that one reads another in its place.
    #[test]
    fn every_number_of_a_file_is_read() {
        for stored in all() {
            let graph = stored.graph(None, None).unwrap();
            let mut read: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
            for (place, spec) in graph.parameters() {
                let source = stored.sources.get(&graph.parameter_name(place, &spec));
                if let Some((source, key)) = source.and_then(|source| Some((source, source.tensor()?))) {
                    let shape = &stored.shapes[key];
                    let read = read.entry(key).or_insert_with(|| vec![false; shape.iter().product()]);
                    source.places(shape, spec.elements()).into_iter().for_each(|place| read[place] = true);
                }
            }
            for (key, read) in read {
                assert!(read.iter().all(|&read| read), "{}: {key}", stored.name);
            }
        }
    }

    #[test]
    fn what_was_one_number_and_is_several_is_refused() {
        let stored = all().iter().find(|stored| stored.name == "swin_t").unwrap();
        let graph = stored.graph(None, None).unwrap();
        let network = Network::<f32>::initialised(graph, Initialisation::Uniform, 0);
        let Err(error) = tensors(&network).map_err(|error| error.to_string()) else { panic!("no error") };
        assert!(error.contains("swin_t") && error.contains("ONNX"), "{error}");
    }
}
