//! Architectures by name, whose weights come as safetensors or state dictionaries with PyTorch's names.
//!
//! Nodes bear the names of PyTorch's modules, so a parameter `features.3.squeeze.weight` belongs to the node
//! `features.3.squeeze`. Each network has the output `logits`, and `pooled` where a mean over places comes before its last layer.
//! The number of classes is that of the weights.
//!
//! ```
//! use obverse::net::import::pretrained::{names, of_name};
//! assert!(names().contains("squeezenet1.0"));
//! assert_eq!(of_name("googlenet").map(|architecture| architecture.size), Some([3, 224, 224]));
//! ```

use std::collections::BTreeSet;

use crate::net::error::Result;
use crate::net::graph::{Graph, InputSpec, Node};
use crate::net::inception;
use crate::net::network::Network;
use crate::net::op::ParameterSpec;
use crate::net::size::Size;
use crate::store::weights::Weights;

use super::stored::{self, Stored};
use super::{cifar, googlenet, sequential, unfit};

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name.
    pub name: &'static str,
    /// Channels, height and width of its images, where nothing else is asked.
    pub size: [usize; 3],
    /// The convention of its pixels, where nothing else is asked; see [`super::Pixels::of_convention`].
    pub convention: &'static str,
    /// What the tensors begin with that only training needs.
    left_out: &'static [&'static str],
    form: Form,
}

/// How a network is made of weights.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A graph, for the weights' classes and widths, whose parameters bear the weights' names.
    Named(fn(&str, &Weights, InputSpec) -> Result<Graph>),
    /// The inception network of the Fréchet distance, which folds batch normalisation in.
    Inception,
    /// A graph that is kept as data.
    Stored(&'static Stored),
}

const fn named(
    name: &'static str,
    size: [usize; 3],
    convention: &'static str,
    graph: fn(&str, &Weights, InputSpec) -> Result<Graph>,
) -> Architecture {
    Architecture { name, size, convention, left_out: &[], form: Form::Named(graph) }
}

const CIFAR: [usize; 3] = [3, 32, 32];
const IMAGENET: [usize; 3] = [3, 224, 224];

/// The architectures that are known.
pub fn architectures() -> impl Iterator<Item = Architecture> {
    let stored = stored::all().iter().map(|stored| Architecture {
        name: &stored.name,
        size: stored.size,
        convention: &stored.convention,
        left_out: &[],
        form: Form::Stored(stored),
    });
    WRITTEN.into_iter().chain(stored)
}

/// Those that are written here. `densenet-bc` also goes by its depth and growth: `densenet-bc-100-12`.
const WRITTEN: [Architecture; 13] = [
    named("squeezenet1.0", IMAGENET, "imagenet", sequential::squeezenet_1_0),
    named("squeezenet1.1", IMAGENET, "imagenet", sequential::squeezenet_1_1),
    Architecture { left_out: &["aux1.", "aux2."], ..named("googlenet", IMAGENET, "inception", googlenet::graph) },
    named("vgg16", IMAGENET, "imagenet", sequential::vgg16),
    named("alexnet", IMAGENET, "imagenet", sequential::alexnet),
    named("densenet-bc", CIFAR, "cifar10", cifar::densenet),
    named("resnet20", CIFAR, "imagenet", cifar::resnet),
    named("resnet32", CIFAR, "imagenet", cifar::resnet),
    named("resnet44", CIFAR, "imagenet", cifar::resnet),
    named("resnet56", CIFAR, "imagenet", cifar::resnet),
    named("resnet110", CIFAR, "imagenet", cifar::resnet),
    named("densenet-bc-100-12", CIFAR, "cifar10", cifar::densenet),
    Architecture {
        name: inception::NAME,
        size: [3, inception::SIDE, inception::SIDE],
        convention: "inception",
        left_out: &[],
        form: Form::Inception,
    },
];

/// The names of all architectures.
pub fn names() -> String {
    architectures().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ")
}

/// The architecture of this name.
pub fn of_name(name: &str) -> Option<Architecture> {
    architectures().find(|architecture| architecture.name == name)
}

/// The architecture whose tensors these weights are, by names and shapes.
///
/// # Errors
/// None of them: the error names those there are.
pub fn recognised(weights: &Weights) -> Result<Architecture> {
    fitting(weights).ok_or_else(|| {
        let expected = format!("the tensors of {}", names());
        let first: Vec<&str> = weights.names().take(3).collect();
        unfit(weights.path(), expected, format!("{}, …; an ONNX file brings its own graph", first.join(", ")))
    })
}

/// What names begin with after training in parallel, after compilation, and inside a module that holds the network as `model`.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// How many of them may stand before a name.
const WRAPPED: usize = 4;

/// The weights without what their names begin with, where all tensors of `architecture`, or of any that is known, are there behind it;
/// else as they are. [`Weights::stripped`] says what was taken off.
pub fn unwrapped(weights: Weights, architecture: Option<Architecture>) -> Weights {
    let fits = |weights: &Weights| match architecture {
        Some(architecture) => architecture.fits(weights),
        None => fitting(weights).is_some(),
    };
    let wrappers = wrappers(weights.outline(), WRAPPED, &fits).unwrap_or_default();
    wrappers.into_iter().fold(weights, Weights::without)
}

/// The wrappers before the names, from the outside in.
fn wrappers(weights: Weights, most: usize, fits: &impl Fn(&Weights) -> bool) -> Option<Vec<&'static str>> {
    if fits(&weights) {
        return Some(Vec::new());
    }
    let there = |wrapper: &&str| most > 0 && weights.names().any(|name| name.starts_with(wrapper));
    WRAPPERS.into_iter().filter(there).find_map(|wrapper| {
        let inner = wrappers(weights.outline().without(wrapper), most - 1, fits)?;
        Some([vec![wrapper], inner].concat())
    })
}

fn fitting(weights: &Weights) -> Option<Architecture> {
    architectures().find(|architecture| architecture.fits(weights))
}

impl Architecture {
    /// The network with these weights, for images of `size`.
    ///
    /// # Errors
    /// Tensors that are missing, superfluous, of another shape or not finite, each by name; images too small.
    pub fn load(&self, weights: &Weights, size: Option<Size>) -> Result<Network<f32>> {
        let graph = match self.form {
            Form::Named(graph) => graph,
            Form::Inception => return self.inception(weights, size),
            Form::Stored(stored) => return stored.load(weights, size),
        };
        let graph = graph(self.name, weights, self.input(size)).map_err(|error| match fitting(weights) {
            Some(other) if other.name != self.name => self.unlike(weights, &[error.to_string()]),
            _ => error,
        })?;
        let complaints = self.complaints(&graph, weights);
        if !complaints.is_empty() {
            return Err(self.unlike(weights, &complaints));
        }
        Network::of_parameters(graph, |node, spec| {
            Ok(weights.require(&parameter_name(node, spec), &spec.shape)?.values.clone())
        })
    }

    /// Its graph, for the classes that it was published with; `None` of architectures that are made to fit their weights.
    ///
    /// # Errors
    /// A graph that is not kept as it should be.
    pub fn graph(&self) -> Option<Result<Graph>> {
        match self.form {
            Form::Stored(stored) => Some(stored.graph(None, None)),
            Form::Named(_) | Form::Inception => None,
        }
    }

    fn inception(&self, weights: &Weights, size: Option<Size>) -> Result<Network<f32>> {
        if let Some(size) = size.filter(|&size| size != self.default_size()) {
            let expected = format!("images of {} for {}", self.default_size(), self.name);
            return Err(unfit(weights.path(), expected, size.to_string()));
        }
        inception::load(weights)
    }

    fn default_size(&self) -> Size {
        let [channels, height, width] = self.size;
        Size::new(channels, height, width)
    }

    fn input(&self, size: Option<Size>) -> InputSpec {
        InputSpec::plain(size.unwrap_or(self.default_size()))
    }

    /// Whether these weights are its own, by their names and shapes.
    fn fits(&self, weights: &Weights) -> bool {
        match self.form {
            Form::Named(graph) => graph(self.name, weights, self.input(None))
                .is_ok_and(|graph| self.complaints(&graph, weights).is_empty()),
            // Torchvision's has the same names, and as many classes as ImageNet.
            Form::Inception => {
                let classes = weights.get("fc.weight").and_then(|weight| weight.shape.first().copied());
                weights.get("Conv2d_1a_3x3.conv.weight").is_some() && classes.is_none_or(|classes| classes == 1008)
            }
            Form::Stored(stored) => stored.fits(weights),
        }
    }

    fn unlike(&self, weights: &Weights, complaints: &[String]) -> crate::net::Error {
        let hint = match fitting(weights) {
            Some(other) => format!("; these are the tensors of {}", other.name),
            None => String::new(),
        };
        unfit(weights.path(), format!("the tensors of {}", self.name), complaints.join("; ") + &hint)
    }

    /// Which tensors are missing, of another shape or superfluous.
    fn complaints(&self, graph: &Graph, weights: &Weights) -> Vec<String> {
        let (mut known, mut missing, mut other) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (place, spec) in graph.parameters() {
            let name = parameter_name(&graph.nodes[place], &spec);
            match weights.get(&name) {
                None => missing.push(name.clone()),
                Some(tensor) if tensor.shape != spec.shape => {
                    other.push(format!("{name} {:?} instead of {:?}", tensor.shape, spec.shape));
                }
                Some(_) => {}
            }
            known.insert(name);
        }
        let is_left_out = |name: &str| self.left_out.iter().any(|start| name.starts_with(start));
        let superfluous = weights.names().filter(|&name| !known.contains(name) && !is_left_out(name));
        let superfluous = superfluous.map(String::from).collect();
        [("missing", missing), ("of another shape", other), ("superfluous", superfluous)]
            .iter()
            .filter(|(_, names): &&(&str, Vec<String>)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {}", listed(names)))
            .collect()
    }
}

fn parameter_name(node: &Node, spec: &ParameterSpec) -> String {
    format!("{}.{}", node.name, spec.name)
}

/// The first names, and how many there are beyond.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.len() {
        0..=SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A file of safetensors, all zeros.
    fn written(path: &Path, tensors: &[(String, Vec<usize>)]) -> Weights {
        let (mut header, mut length) = (serde_json::Map::new(), 0);
        for (name, shape) in tensors {
            let end = length + 4 * shape.iter().product::<usize>();
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [length, end]});
            header.insert(name.clone(), entry);
            length = end;
        }
        let header = serde_json::to_vec(&header).unwrap();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &vec![0; length]].concat();
        std::fs::write(path, bytes).unwrap();
        Weights::open(path).unwrap()
    }

    #[test]
    fn wrappers_come_off_names_where_a_network_is_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let resnet = of_name("resnet20").unwrap();
        let classes = written(&path, &[("linear.weight".into(), vec![10, 64])]);
        let graph = cifar::resnet(resnet.name, &classes, resnet.input(None)).unwrap();
        let own =
            graph.parameters().into_iter().map(|(place, spec)| (parameter_name(&graph.nodes[place], &spec), spec));
        let own: Vec<(String, Vec<usize>)> = own.map(|(name, spec)| (name, spec.shape)).collect();
        let behind =
            |wrapper: &str| own.iter().map(|(name, shape)| (format!("{wrapper}{name}"), shape.clone())).collect();
        for (wrapper, expected) in [
            ("", &[][..]),
            ("module.", &["module."]),
            ("model._orig_mod.module.", &["model.", "_orig_mod.", "module."]),
        ] {
            let mut tensors: Vec<(String, Vec<usize>)> = behind(wrapper);
            if wrapper.starts_with("model") {
                // What stands beside the network is left out.
                tensors.push(("criterion.weight".into(), vec![10]));
            }
            for architecture in [None, Some(resnet)] {
                let weights = unwrapped(written(&path, &tensors), architecture);
                assert_eq!(weights.stripped(), expected, "{wrapper}");
                assert_eq!(recognised(&weights).unwrap().name, "resnet20");
                assert!(resnet.load(&weights, None).is_ok());
            }
        }
        let other = unwrapped(written(&path, &behind("other.")), None);
        assert!(other.stripped().is_empty() && recognised(&other.without("other.")).is_ok());
        let incomplete = behind("model.").split_off(1);
        assert!(unwrapped(written(&path, &incomplete), None).stripped().is_empty());
    }
}
