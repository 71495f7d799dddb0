//! A file being translated: what its names stand for so far, and the nodes that they have become.

use std::collections::{HashMap, HashSet};

use ndarray::ArrayD;

use super::Options;
use super::constants::{branch, folded};
use super::images::input;
use super::operations::is_known;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::{Error, Result};
use crate::net::graph::{INPUT, InputSpec, Node};
use crate::net::import::unfit;
use crate::net::op::Op;
use crate::net::size::{Size, check_size};
use crate::store::budget;
use crate::store::onnx::{Constant, Model, Subgraph};

/// What memory is asked for.
const HELD: &str = "its constants, its parameters and what it computes";

/// The most images that a file's first axis may stand for, so that a shape's product cannot overflow.
const LARGEST_BATCH: usize = 1 << 20;

/// A node's numbers in another order: of which node, of what size then, the lengths of memory's factors, and their order.
type Movement = (String, Size, Vec<usize>, Vec<usize>);

pub(super) struct Translation<'m> {
    pub(super) model: &'m Model,
    pub(super) input: InputSpec,
    /// The length of the first axis, in the file's arithmetic on shapes.
    pub(super) batch: usize,
    /// Whether the file is for one image at a time.
    pub(super) is_of_one: bool,
    /// Whether the first axis is no batch.
    pub(super) is_unbatched: bool,
    pub(super) values: HashMap<&'m str, Value>,
    /// How many operations and outputs read a value.
    readers: HashMap<&'m str, usize>,
    /// What goes into a softmax that gives an output.
    pub(super) logits: Option<Computed>,
    pub(super) nodes: Vec<Node>,
    names: HashSet<String>,
    /// The nodes that moved numbers: what they were made of, and what they are.
    pub(super) moved: HashMap<Movement, (String, Size)>,
    pub(super) parameters: HashMap<String, Vec<f32>>,
    /// What is not as in the file, for the user to know.
    pub(super) remarks: Vec<String>,
    /// Bytes of constants, parameters and what the nodes compute of one image: a small file may ask for many times its size.
    pub(super) held: u128,
}

impl<'m> Translation<'m> {
    /// Begins with the input; an axis of images that the file leaves open is taken to be `open` long.
    pub(super) fn begin(model: &'m Model, options: &Options, open: usize) -> Result<Self> {
        let [given] = model.inputs.as_slice() else {
            let names: Vec<&str> = model.inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(unfit(&model.path, "one input", format!("{}: {}", names.len(), names.join(", "))));
        };
        let (size, arrangement) = input(model, given, options)?;
        check_size(INPUT, size)?;
        // Its values, and the normalisation of its channels.
        let held = 4 * size.wide_elements() + 16 * size.channels as u128;
        budget::charge(&model.path, HELD, held)?;
        let batch = given.shape.first().copied().flatten().filter(|&batch| batch <= LARGEST_BATCH).unwrap_or(open);
        let mut readers = HashMap::new();
        for name in model.nodes.iter().flat_map(|node| &node.inputs).chain(&model.outputs) {
            *readers.entry(name.as_str()).or_insert(0) += 1;
        }
        let input = Computed { node: INPUT.into(), size, arrangement };
        Ok(Self {
            model,
            input: InputSpec::plain(size),
            batch: if options.unbatched { 1 } else { batch },
            is_of_one: given.shape.first() == Some(&Some(1)),
            is_unbatched: options.unbatched,
            values: HashMap::from([(given.name.as_str(), Value::Computed(input))]),
            readers,
            logits: None,
            nodes: Vec::new(),
            names: HashSet::from([INPUT.to_string()]),
            moved: HashMap::new(),
            parameters: HashMap::new(),
            remarks: Vec::new(),
            held,
        })
    }

    /// Counts values that are about to be made, or that were made of no more than is there already.
    pub(super) fn charge(&mut self, values: u128, size: usize) -> Result<()> {
        self.held += values.saturating_mul(size as u128);
        Ok(budget::charge(&self.model.path, HELD, self.held)?)
    }

    /// Translates an operation, or computes it where all that it reads is constant.
    pub(super) fn node(&mut self, site: &Site<'m>) -> Result<()> {
        if site.node.outputs.is_empty() {
            return Err(site.refused("an output", "none"));
        }
        let values = match self.constants(site)? {
            Some(constants) if site.node.operation == "If" => {
                let condition = constants.first().copied().flatten();
                let condition = condition.ok_or_else(|| site.refused("a condition", "none"))?;
                let taken = branch(site.node, condition).map_err(|(expected, found)| site.refused(expected, found))?;
                self.branch(site, taken)?
            }
            Some(constants) => {
                let made = match folded(site.node, &constants, self.model.opset, self.held) {
                    Ok(made) => made,
                    // What has no arithmetic on constants may be computed of nodes that give them.
                    Err(_) if is_known(&site.node.operation) => return self.give(site, |all| all.translated(site)),
                    Err((expected, found)) => return Err(site.refused(expected, found)),
                };
                for constant in &made {
                    let (values, size) = match constant {
                        Constant::Floats(array) => (array.len(), size_of::<f32>()),
                        Constant::Integers(array) => (array.len(), size_of::<i64>()),
                    };
                    self.charge(values as u128, size)?;
                }
                made.into_iter().map(Value::Constant).collect()
            }
            None => self.translated(site)?,
        };
        self.give(site, |_| Ok(values))
    }

    /// Gives an operation's outputs their values.
    fn give(&mut self, site: &Site<'m>, values: impl FnOnce(&mut Self) -> Result<Vec<Value>>) -> Result<()> {
        let values = values(self)?;
        for (which, output) in site.node.outputs.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
            match values.get(which) {
                Some(value) => {
                    self.values.insert(output, value.clone());
                }
                None if self.readers.contains_key(output.as_str()) => {
                    return Err(site.refused(format!("output {} to be read by nothing", which + 1), "a reader"));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What the operations of a branch give.
    fn branch(&mut self, site: &Site<'m>, taken: &'m Subgraph) -> Result<Vec<Value>> {
        for (name, constant) in &taken.tensors {
            self.values.insert(name, Value::Constant(constant.clone()));
        }
        for node in &taken.nodes {
            let name = format!("{}.{}", site.name, node.operation);
            self.node(&Site { model: site.model, node, name })?;
        }
        let value = |name: &String| match (self.values.get(name.as_str()), self.model.tensors.get(name)) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(constant)) => Ok(Value::Constant(constant.clone())),
            (None, None) => Err(site.refused("a branch that makes its outputs", format!("\"{name}\""))),
        };
        taken.outputs.iter().map(value).collect()
    }

    /// What reads this operation is not known either.
    pub(super) fn give_unknown(&mut self, site: &Site<'m>) {
        for output in &site.node.outputs {
            self.values.insert(output, Value::Unknown);
        }
    }

    /// Whether an operation reads what a refused one would have given.
    pub(super) fn reads_unknown(&self, site: &Site) -> bool {
        site.node.inputs.iter().any(|input| matches!(self.values.get(input.as_str()), Some(Value::Unknown)))
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
    pub(super) fn value(&self, site: &Site, which: usize) -> Result<Option<Known<'_>>> {
        let Some(name) = site.input(which) else { return Ok(None) };
        match (self.values.get(name), self.model.tensors.get(name)) {
            (Some(Value::Computed(value)), _) => Ok(Some(Known::Computed(value))),
            (Some(Value::Constant(constant)), _) | (None, Some(constant)) => Ok(Some(Known::Constant(constant))),
            (Some(Value::Unknown), _) | (None, None) => {
                Err(site.refused("inputs that operations before it make", format!("\"{name}\"")))
            }
        }
    }

    /// Whether input number `which` is there and constant.
    pub(super) fn is_constant(&self, site: &Site, which: usize) -> Result<bool> {
        Ok(matches!(self.value(site, which)?, Some(Known::Constant(_))))
    }

    /// Input number `which`, where it is constant; `None` where it is left out.
    pub(super) fn constant(&self, site: &Site, which: usize) -> Result<Option<&Constant>> {
        match self.value(site, which)? {
            None => Ok(None),
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Computed(_)) => {
                Err(site.refused(format!("a constant as input {}", which + 1), "one that depends on the images"))
            }
        }
    }

    /// The floats of input number `which`; `None` where it is left out.
    pub(super) fn floats(&self, site: &Site, which: usize) -> Result<Option<&ArrayD<f32>>> {
        match self.constant(site, which)? {
            None => Ok(None),
            Some(Constant::Floats(values)) => Ok(Some(values)),
            Some(Constant::Integers(_)) => Err(site.refused(format!("floats as input {}", which + 1), "whole numbers")),
        }
    }

    /// The only float of input number `which`.
    pub(super) fn number(&self, site: &Site, which: usize) -> Result<Option<f64>> {
        let Some(values) = self.floats(site, which)? else { return Ok(None) };
        match values.len() {
            1 => Ok(values.first().copied().map(f64::from)),
            more => Err(site.refused(format!("one number as input {}", which + 1), more)),
        }
    }

    /// The floats of an input that may not be left out.
    pub(super) fn weights(&self, site: &Site, which: usize) -> Result<ArrayD<f32>> {
        let expected = || format!("a weight as input {}", which + 1);
        let weights = self.floats(site, which)?.ok_or_else(|| site.refused(expected(), "none"))?;
        match !weights.is_empty() {
            true => Ok(weights.clone()),
            false => Err(site.refused(expected(), format!("shape {:?}", weights.shape()))),
        }
    }

    /// Whole numbers that are a setting in older files, and input number `which` in later ones.
    pub(super) fn settings(&self, site: &Site, name: &str, which: usize) -> Result<Option<Vec<i64>>> {
        if let Some(values) = site.node.integers(name) {
            return Ok(Some(values.to_vec()));
        }
        match self.constant(site, which)? {
            None => Ok(None),
            Some(Constant::Integers(values)) => Ok(Some(values.iter().copied().collect())),
            Some(Constant::Floats(_)) => Err(site.refused(format!("whole numbers as {name}"), "floats")),
        }
    }

    /// Input number `which`, which depends on the images; a constant becomes a node.
    pub(super) fn computed(&mut self, site: &Site, which: usize) -> Result<Computed> {
        match self.side(site, which)? {
            Side::Computed(value) => Ok(value),
            Side::Constant(array, name) => self.push_constant(&name, &array),
        }
    }

    /// Input number `which`, a constant or not.
    pub(super) fn side(&self, site: &Site, which: usize) -> Result<Side> {
        match self.value(site, which)? {
            Some(Known::Computed(value)) => Ok(Side::Computed(value.with(value.arrangement.batch_first(self.batch)))),
            Some(Known::Constant(constant)) => {
                let array = constant.to_floats();
                let name = site.input(which).filter(|name| self.model.tensors.contains_key(*name));
                let name = name.map(super::names::of_tensor).filter(|name| !name.is_empty());
                Ok(Side::Constant(array, name.unwrap_or_else(|| format!("{}.constant", site.name))))
            }
            None => Err(site.refused(format!("an input {}", which + 1), "none")),
        }
    }

    /// A name like the one wished that no node has yet.
    pub(super) fn free(&self, wish: &str) -> String {
        let others = (2..).map(|count| format!("{wish}_{count}"));
        std::iter::once(wish.to_string()).chain(others).find(|name| !self.names.contains(name)).unwrap_or_default()
    }

    /// Adds a node of a name like the one wished, and tells its name and the size of its result.
    pub(super) fn push(&mut self, wish: &str, op: impl Into<Op>, inputs: &[&Computed]) -> Result<(String, Size)> {
        let name = self.free(wish);
        let node = Node { name, op: op.into(), inputs: inputs.iter().map(|input| input.node.clone()).collect() };
        let sizes: Vec<Size> = inputs.iter().map(|input| input.size).collect();
        let size = node.size(&sizes)?;
        let parameters: u128 = node.op.parameters(&sizes).iter().map(|spec| spec.elements() as u128).sum();
        self.charge(size.wide_elements() + parameters, size_of::<f32>())?;
        self.names.insert(node.name.clone());
        self.nodes.push(node);
        Ok((self.nodes[self.nodes.len() - 1].name.clone(), size))
    }

    /// Adds a node whose result has the axes of its first input.
    pub(super) fn push_like(&mut self, wish: &str, op: impl Into<Op>, inputs: &[&Computed]) -> Result<Computed> {
        let (node, size) = self.push(wish, op, inputs)?;
        Ok(Computed { node, size, arrangement: inputs[0].arrangement.clone() })
    }

    /// Keeps the parameters of a node that was pushed.
    pub(super) fn keep<'n>(&mut self, node: &str, parameters: impl IntoIterator<Item = (&'n str, Vec<f32>)>) {
        self.parameters.extend(parameters.into_iter().map(|(name, values)| (format!("{node}.{name}"), values)));
    }

    /// How often the value of a node is read, under whatever name, beside the reads that only made another name of it.
    pub(super) fn reads(&self, node: &str) -> usize {
        let names = self.values.iter().filter(|(_, value)| matches!(value, Value::Computed(of) if of.node == node));
        let reads: Vec<usize> = names.map(|(name, _)| self.readers.get(name).copied().unwrap_or(0)).collect();
        // Each name but the first was made by a read of another.
        (reads.iter().sum::<usize>() + 1).saturating_sub(reads.len())
    }

    /// Whether other operations of the file read a value.
    pub(super) fn is_read(&self, name: &str) -> bool {
        self.model.nodes.iter().any(|node| node.inputs.iter().any(|input| input == name))
    }

    /// Keeps what goes into the softmax that gives an output.
    pub(super) fn keep_logits(&mut self, value: &Computed) {
        self.logits.get_or_insert_with(|| value.clone());
    }
}

/// What a name stands for, borrowed.
pub(super) enum Known<'a> {
    Constant(&'a Constant),
    Computed(&'a Computed),
}

/// The error of an output or node that is not there.
pub(super) fn no_such(model: &Model, name: &str) -> Error {
    unfit(&model.path, format!("a node or value \"{name}\""), "none")
}
