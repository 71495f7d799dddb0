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

/// The architectures that are known. `densenet-bc` also goes by its depth and growth: `densenet-bc-100-12`.
pub const ARCHITECTURES: [Architecture; 13] = [
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
    ARCHITECTURES.map(|architecture| architecture.name).join(", ")
}

/// The architecture of this name.
pub fn of_name(name: &str) -> Option<Architecture> {
    ARCHITECTURES.into_iter().find(|architecture| architecture.name == name)
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

fn fitting(weights: &Weights) -> Option<Architecture> {
    ARCHITECTURES.into_iter().find(|architecture| architecture.fits(weights))
}

impl Architecture {
    /// The network with these weights, for images of `size`.
    ///
    /// # Errors
    /// Tensors that are missing, superfluous, of another shape or not finite, each by name; images too small.
    pub fn load(&self, weights: &Weights, size: Option<Size>) -> Result<Network<f32>> {
        let Form::Named(graph) = self.form else { return self.inception(weights, size) };
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
            Form::Inception => weights.get("Conv2d_1a_3x3.conv.weight").is_some(),
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
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.len() {
        0..=SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}
