//! ONNX graphs as networks: each operation becomes a node, arithmetic on shapes and constants is done once, here.
//!
//! A value's axes in ONNX may differ from those of the node that makes it: reshaping, squeezing and flattening move no number, so
//! they only change what the axes are called, and a node is made where an operation needs another arrangement. The first axis
//! is the batch. Operations that are not known are refused by name.
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//! use obverse::net::{Size, import::onnx::load};
//! use obverse::store::onnx::{Input, Model, Node};
//! let relu = Node {
//!     name: "relu".into(),
//!     operation: "Relu".into(),
//!     inputs: vec!["x".into()],
//!     outputs: vec!["y".into()],
//!     attributes: BTreeMap::new(),
//! };
//! let model = Model {
//!     path: "relu.onnx".into(),
//!     nodes: vec![relu],
//!     tensors: BTreeMap::new(),
//!     inputs: vec![Input { name: "x".into(), shape: vec![None, Some(3), Some(8), Some(8)] }],
//!     outputs: vec!["y".into()],
//!     external: BTreeSet::new(),
//! };
//! let network = load(&model, None)?.network;
//! assert_eq!(network.graph().size(network.graph().output("y")?), Size::new(3, 8, 8));
//! # Ok::<(), obverse::net::Error>(())
//! ```

mod constants;
mod layers;
mod names;
mod shapes;
mod site;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use ndarray::ArrayD;

use self::constants::folded;
use self::site::{Computed, Known, Site, Value};
use super::unfit;
use crate::net::error::Result;
use crate::net::graph::{Graph, INPUT, InputSpec, Node};
use crate::net::network::Network;
use crate::net::op::{Flatten, Op, Reshape};
use crate::net::size::{Size, check_size};
use crate::store::budget;
use crate::store::onnx::{self, Constant, Model};

/// A network of an ONNX file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network; its outputs bear the file's names, or `logits` where a softmax was left off.
    pub network: Network<f32>,
    /// Operations at the end that were left off: a softmax, whose input is the output.
    pub left_off: Vec<String>,
}

/// The network of an ONNX file, for images of `size` where it is given, else of the file's.
///
/// # Errors
/// A file of more than one input, or one that leaves its size open where no `size` is given; an operation, or a setting of
/// one, that has no counterpart; shapes that do not fit. Each names the node.
pub fn load(model: &Model, size: Option<Size>) -> Result<Imported> {
    let mut translation = Translation::begin(model, size)?;
    for (node, name) in model.nodes.iter().zip(names::readable(model)) {
        translation.node(&Site { model, node, name })?;
    }
    translation.finish()
}

/// What memory is asked for.
const HELD: &str = "its constants, its parameters and what it computes";

struct Translation<'m> {
    model: &'m Model,
    input: InputSpec,
    /// The length of the first axis, in the file's arithmetic on shapes.
    batch: usize,
    values: HashMap<&'m str, Value>,
    /// How many operations and outputs read a value.
    readers: HashMap<&'m str, usize>,
    /// Values behind a softmax.
    softened: HashSet<&'m str>,
    nodes: Vec<Node>,
    names: HashSet<String>,
    parameters: HashMap<String, Vec<f32>>,
    left_off: Vec<String>,
    /// Bytes of constants, parameters and what the nodes compute of one image: a small file may ask for many times its size.
    held: u128,
}

impl<'m> Translation<'m> {
    fn begin(model: &'m Model, size: Option<Size>) -> Result<Self> {
        let [given] = model.inputs.as_slice() else {
            let names: Vec<&str> = model.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(unfit(&model.path, "one input", format!("{}: {}", names.len(), names.join(", "))));
        };
        let (size, axes) = input_size(model, given, size)?;
        check_size(INPUT, size)?;
        // Its values, and the normalisation of its channels.
        let held = 4 * size.wide_elements() + 16 * size.channels as u128;
        budget::charge(&model.path, HELD, held)?;
        let input = Computed { node: INPUT.into(), size, axes };
        let mut readers = HashMap::new();
        for name in model.nodes.iter().flat_map(|node| &node.inputs).chain(&model.outputs) {
            *readers.entry(name.as_str()).or_insert(0) += 1;
        }
        Ok(Self {
            model,
            input: InputSpec::plain(size),
            batch: given.shape.first().copied().flatten().filter(|&batch| batch <= LARGEST_BATCH).unwrap_or(1),
            values: HashMap::from([(given.name.as_str(), Value::Computed(input))]),
            readers,
            softened: HashSet::new(),
            nodes: Vec::new(),
            names: HashSet::from([INPUT.to_string()]),
            parameters: HashMap::new(),
            left_off: Vec::new(),
            held,
        })
    }

    /// Counts values that are about to be made, or that were made of no more than is there already.
    fn charge(&mut self, values: u128, size: usize) -> Result<()> {
        self.held += values.saturating_mul(size as u128);
        Ok(budget::charge(&self.model.path, HELD, self.held)?)
    }

    /// Translates an operation, or computes it where all that it reads is constant.
    fn node(&mut self, site: &Site<'m>) -> Result<()> {
        let Some(output) = site.node.outputs.first() else {
            return Err(site.refused("an output", "none"));
        };
        let value = match self.constants(site)? {
            Some(constants) => {
                let constant =
                    folded(site.node, &constants).map_err(|(expected, found)| site.refused(expected, found))?;
                let (values, size) = match &constant {
                    Constant::Floats(array) => (array.len(), size_of::<f32>()),
                    Constant::Integers(array) => (array.len(), size_of::<i64>()),
                };
                self.charge(values as u128, size)?;
                Value::Constant(constant)
            }
            None => self.translated(site)?,
        };
        if site.input(0).is_some_and(|input| self.softened.contains(input)) {
            self.softened.insert(output);
        }
        self.values.insert(output, value);
        Ok(())
    }

    /// All that an operation reads, where it is constant.
    fn constants(&self, site: &Site) -> Result<Option<Vec<Option<&Constant>>>> {
        let mut constants = Vec::new();
        for which in 0..site.node.inputs.len() {
            match self.value(site, which)? {
                None => constants.push(None),
                Some(Known::Constant(constant)) => constants.push(Some(constant)),
                Some(Known::Computed(_)) => return Ok(None),
            }
        }
        Ok(Some(constants))
    }

    /// Input number `which`: of the file's tensors, or of what went before; `None` where it is left out.
    fn value(&self, site: &Site, which: usize) -> Result<Option<Known<'_>>> {
        let Some(name) = site.input(which) else { return Ok(None) };
        match (self.values.get(name), self.model.tensors.get(name)) {
            (Some(Value::Computed(value)), _) => Ok(Some(Known::Computed(value))),
            (Some(Value::Constant(constant)), _) | (None, Some(constant)) => Ok(Some(Known::Constant(constant))),
            (None, None) => Err(site.refused("inputs that operations before it make", format!("\"{name}\""))),
        }
    }

    /// Input number `which`, where it is constant; `None` where it is left out.
    fn constant(&self, site: &Site, which: usize) -> Result<Option<&Constant>> {
        match self.value(site, which)? {
            None => Ok(None),
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Computed(_)) => {
                Err(site.refused(format!("a constant as input {}", which + 1), "one that depends on the images"))
            }
        }
    }

    /// The floats of input number `which`; `None` where it is left out.
    fn floats(&self, site: &Site, which: usize) -> Result<Option<&ArrayD<f32>>> {
        match self.constant(site, which)? {
            None => Ok(None),
            Some(Constant::Floats(values)) => Ok(Some(values)),
            Some(Constant::Integers(_)) => Err(site.refused(format!("floats as input {}", which + 1), "whole numbers")),
        }
    }

    /// The floats of an input that may not be left out, of so many axes.
    fn weights(&self, site: &Site, which: usize, rank: usize) -> Result<ArrayD<f32>> {
        let expected = || format!("a weight of {rank} axes as input {}", which + 1);
        let weights = self.floats(site, which)?.ok_or_else(|| site.refused(expected(), "none"))?;
        match weights.ndim() == rank && !weights.is_empty() {
            true => Ok(weights.clone()),
            false => Err(site.refused(expected(), format!("shape {:?}", weights.shape()))),
        }
    }

    /// Whole numbers that are a setting in older files, and input number `which` in later ones.
    fn settings(&self, site: &Site, name: &str, which: usize) -> Result<Option<Vec<i64>>> {
        if let Some(values) = site.node.integers(name) {
            return Ok(Some(values.to_vec()));
        }
        match self.constant(site, which)? {
            None => Ok(None),
            Some(Constant::Integers(values)) => Ok(Some(values.iter().copied().collect())),
            Some(Constant::Floats(_)) => Err(site.refused(format!("whole numbers as {name}"), "floats")),
        }
    }

    /// Input number `which`, which depends on the images.
    fn computed(&self, site: &Site, which: usize) -> Result<Computed> {
        match self.value(site, which)? {
            Some(Known::Computed(value)) => Ok(value.clone()),
            Some(Known::Constant(_)) => {
                Err(site.refused(format!("input {} to depend on the images", which + 1), "a constant"))
            }
            None => Err(site.refused(format!("an input {}", which + 1), "none")),
        }
    }

    /// Input number `which` as an image.
    fn image(&mut self, site: &Site, which: usize) -> Result<Computed> {
        let value = self.computed(site, which)?;
        let &[channels, height, width] = value.axes.as_slice() else {
            return Err(site.refused("an image (N, C, H, W)", format!("{:?}", value.shape(self.batch))));
        };
        let size = Size::new(channels, height, width);
        if size == value.size {
            return Ok(value);
        }
        let name = self.free(&format!("{}.image", site.name));
        let size = self.push(name.clone(), Reshape { shape: [channels, height, width] }, &[&value])?;
        Ok(Computed::image(name, size))
    }

    /// Input number `which` as a vector (N, F).
    fn vector(&mut self, site: &Site, which: usize) -> Result<Computed> {
        let value = self.computed(site, which)?;
        if value.axes.len() != 1 {
            return Err(site.refused("a vector (N, F)", format!("{:?}", value.shape(self.batch))));
        }
        if value.size.is_vector() {
            return Ok(value);
        }
        let name = self.free(&format!("{}.flatten", site.name));
        let size = self.push(name.clone(), Flatten, &[&value])?;
        Ok(Computed { node: name, size, axes: vec![size.channels] })
    }

    /// Input number `which` as a vector or an image, whichever it is.
    fn either(&mut self, site: &Site, which: usize) -> Result<Computed> {
        match self.computed(site, which)?.axes.len() {
            1 => self.vector(site, which),
            _ => self.image(site, which),
        }
    }

    /// A name like the one wished that no node has yet.
    fn free(&self, wish: &str) -> String {
        let others = (2..).map(|count| format!("{wish}_{count}"));
        std::iter::once(wish.to_string()).chain(others).find(|name| !self.names.contains(name)).unwrap_or_default()
    }

    /// Adds a node, and tells the size of its result.
    fn push(&mut self, name: String, op: impl Into<Op>, inputs: &[&Computed]) -> Result<Size> {
        let node = Node { name, op: op.into(), inputs: inputs.iter().map(|input| input.node.clone()).collect() };
        let sizes: Vec<Size> = inputs.iter().map(|input| input.size).collect();
        let size = node.size(&sizes)?;
        let parameters: u128 = node.op.parameters(&sizes).iter().map(|spec| spec.elements() as u128).sum();
        self.charge(size.wide_elements() + parameters, size_of::<f32>())?;
        self.names.insert(node.name.clone());
        self.nodes.push(node);
        Ok(size)
    }

    /// Adds the operation's own node, whose result has the axes of an image.
    fn push_image(&mut self, site: &Site, op: impl Into<Op>, inputs: &[&Computed]) -> Result<Value> {
        let name = self.free(&site.name);
        let size = self.push(name.clone(), op, inputs)?;
        Ok(Value::Computed(Computed::image(name, size)))
    }

    /// Adds the operation's own node, which works on each element by itself, wherever it stands.
    fn push_element_wise(&mut self, site: &Site, op: impl Into<Op>) -> Result<Value> {
        let x = self.computed(site, 0)?;
        let name = self.free(&site.name);
        let size = self.push(name.clone(), op, &[&x])?;
        Ok(Value::Computed(Computed { node: name, size, axes: x.axes }))
    }

    fn finish(mut self) -> Result<Imported> {
        let mut outputs = BTreeMap::new();
        for name in &self.model.outputs {
            let Some(Value::Computed(value)) = self.values.get(name.as_str()) else {
                let found =
                    if self.values.contains_key(name.as_str()) { "a constant" } else { "no operation that makes it" };
                return Err(unfit(&self.model.path, format!("an output \"{name}\" that depends on the images"), found));
            };
            if value.node == INPUT {
                return Err(unfit(&self.model.path, "operations", format!("an output \"{name}\" that is the input")));
            }
            let is_logits = self.softened.contains(name.as_str()) && !outputs.contains_key("logits");
            outputs.insert(if is_logits { "logits".to_string() } else { name.clone() }, value.node.clone());
        }
        if outputs.is_empty() {
            return Err(unfit(&self.model.path, "an output", "none"));
        }
        let graph = Graph::new(self.input, self.nodes, outputs)?;
        let network = Network::of_parameters(graph, |node, spec| {
            let name = format!("{}.{}", node.name, spec.name);
            let values = self.parameters.remove(&name).unwrap_or_default();
            if values.len() != spec.elements() {
                let expected = format!("{} values of \"{name}\"", spec.elements());
                return Err(unfit(&self.model.path, expected, values.len().to_string()));
            }
            match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(unfit(&self.model.path, format!("finite values in \"{name}\""), value.to_string())),
                None => Ok(values),
            }
        })?;
        Ok(Imported { network, left_off: self.left_off })
    }
}

/// The most images that a file's first axis may stand for, so that a shape's product cannot overflow.
const LARGEST_BATCH: usize = 1 << 20;

/// The size of the images and ONNX's axes after the batch.
fn input_size(model: &Model, input: &onnx::Input, size: Option<Size>) -> Result<(Size, Vec<usize>)> {
    let expected = || format!("an input (N, C, H, W) or (N, F) in \"{}\"", input.name);
    let rank = input.shape.len();
    if rank != 4 && rank != 2 {
        return Err(unfit(&model.path, expected(), format!("{rank} axes")));
    }
    if let Some(size) = size {
        let axes = if rank == 4 { vec![size.channels, size.height, size.width] } else { vec![size.elements()] };
        return Ok((size, axes));
    }
    let axes = input.shape[1..].iter().copied().collect::<Option<Vec<_>>>().ok_or_else(|| {
        unfit(&model.path, format!("the size of \"{}\"", input.name), "axes left open; give `input_size`, as C,H,W")
    })?;
    let size = Size::try_from(axes.clone()).map_err(|found| unfit(&model.path, expected(), found))?;
    Ok((size, axes))
}
