//! Instructions before they run, and the way back through them.

use std::cell::RefCell;
use std::sync::Arc;

use crate::derivative::cotangent;
use crate::{Array, Binary, Convolution, Engine, Instruction, Unary, Values};

/// Instructions, each run when its value is first asked for: of a way back only what it needs of the way there is computed.
#[derive(Debug)]
pub struct Program {
    engine: Arc<dyn Engine>,
    is_double: bool,
    steps: RefCell<Vec<Step>>,
}

#[derive(Debug)]
struct Step {
    /// `None` of an input.
    instruction: Option<Instruction>,
    inputs: Vec<usize>,
    shape: Vec<usize>,
    value: Option<Array>,
}

/// What an input or an instruction of a program has for its value.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'p> {
    program: &'p Program,
    place: usize,
}

impl Program {
    /// A program on a device, in double precision or single.
    pub fn new(engine: Arc<dyn Engine>, is_double: bool) -> Self {
        Self { engine, is_double, steps: RefCell::default() }
    }

    /// Numbers that are no input: what an operation knows itself.
    pub fn constant(&self, values: &[f64], shape: &[usize]) -> Variable<'_> {
        let values = match self.is_double {
            true => Values::Double(values.to_vec()),
            false => Values::Single(values.iter().map(|&value| value as f32).collect()),
        };
        self.input(Array::upload(&self.engine, values, shape))
    }

    /// Zeros of this shape.
    pub fn zeros(&self, shape: &[usize]) -> Variable<'_> {
        self.constant(&[0.0], &vec![1; shape.len()]).expand(shape)
    }

    /// An input.
    pub fn input(&self, value: Array) -> Variable<'_> {
        self.push(Step { instruction: None, inputs: Vec::new(), shape: value.shape().to_vec(), value: Some(value) })
    }

    /// An input of which only the shape is known: what is computed must not depend on its values.
    pub fn unknown(&self, shape: &[usize]) -> Variable<'_> {
        self.push(Step { instruction: None, inputs: Vec::new(), shape: shape.to_vec(), value: None })
    }

    fn push(&self, step: Step) -> Variable<'_> {
        let mut steps = self.steps.borrow_mut();
        steps.push(step);
        self.variable(steps.len() - 1)
    }

    /// The variable of a step.
    pub fn variable(&self, place: usize) -> Variable<'_> {
        Variable { program: self, place }
    }

    /// Adds an instruction.
    pub fn run<'p>(&'p self, instruction: Instruction, inputs: &[Variable<'p>]) -> Variable<'p> {
        let inputs: Vec<usize> = inputs.iter().map(|input| input.place).collect();
        let shape = {
            let steps = self.steps.borrow();
            let shapes: Vec<&[usize]> = inputs.iter().map(|&place| steps[place].shape.as_slice()).collect();
            instruction.shape(&shapes)
        };
        self.push(Step { instruction: Some(instruction), inputs, shape, value: None })
    }

    /// Computes a step, and before it what it needs.
    fn value(&self, place: usize) -> Array {
        let mut steps = self.steps.borrow_mut();
        let mut needed = vec![false; place + 1];
        needed[place] = true;
        for at in (0..=place).rev().filter(|&at| steps[at].value.is_none()) {
            if needed[at] {
                steps[at].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        for at in 0..=place {
            if needed[at] && steps[at].value.is_none() {
                let values: Vec<&Array> =
                    steps[at].inputs.iter().filter_map(|&input| steps[input].value.as_ref()).collect();
                let instruction = steps[at].instruction.as_ref();
                let instruction =
                    instruction.unwrap_or_else(|| unreachable!("a value that depends on an unknown input"));
                let value = Array::run(instruction, &values);
                steps[at].value = Some(value);
            }
        }
        steps[place].value.clone().unwrap_or_else(|| unreachable!("it was computed"))
    }

    /// The cotangents of variables for that of an output; `None` of those that it does not depend on.
    pub fn pull<'p>(
        &'p self,
        output: Variable<'p>,
        upstream: Variable<'p>,
        wanted: &[Variable<'p>],
    ) -> Vec<Option<Variable<'p>>> {
        let last = output.place;
        let links: Vec<(Option<Instruction>, Vec<usize>)> =
            self.steps.borrow()[..=last].iter().map(|step| (step.instruction.clone(), step.inputs.clone())).collect();
        let is_wanted = |place: usize| wanted.iter().any(|wanted| wanted.place == place);
        let mut leads: Vec<bool> = (0..=last).map(is_wanted).collect();
        for place in 0..=last {
            leads[place] |= links[place].1.iter().any(|&input| leads[input]);
        }
        let mut waiting: Vec<Option<Variable<'p>>> = vec![None; last + 1];
        waiting[last] = Some(upstream);
        for (place, (instruction, inputs)) in links.iter().enumerate().rev() {
            let (Some(instruction), Some(upstream)) = (instruction, waiting[place]) else { continue };
            let values: Vec<Variable> = inputs.iter().map(|&input| self.variable(input)).collect();
            for (which, &input) in inputs.iter().enumerate().filter(|&(_, &input)| leads[input]) {
                let part = cotangent(instruction, &values, self.variable(place), upstream, which);
                waiting[input] = match (waiting[input], part) {
                    (Some(sum), Some(part)) => Some(sum + part),
                    (sum, part) => sum.or(part),
                };
            }
        }
        wanted.iter().map(|wanted| waiting.get(wanted.place).copied().flatten()).collect()
    }
}

impl<'p> Variable<'p> {
    /// Which step of the program it is.
    pub fn place(self) -> usize {
        self.place
    }

    /// The program.
    pub fn program(self) -> &'p Program {
        self.program
    }

    /// What it computes.
    pub fn value(self) -> Array {
        self.program.value(self.place)
    }

    /// The lengths of the axes.
    pub fn shape(self) -> Vec<usize> {
        self.program.steps.borrow()[self.place].shape.clone()
    }

    fn run(self, instruction: Instruction) -> Self {
        self.program.run(instruction, &[self])
    }

    /// The same values, through which no cotangent passes.
    pub fn fixed(self) -> Self {
        self.run(Instruction::Fixed)
    }

    /// A function of each value.
    pub fn unary(self, function: Unary) -> Self {
        self.run(Instruction::Unary(function))
    }

    /// A function of both values.
    pub fn binary(self, function: Binary, other: Self) -> Self {
        self.program.run(Instruction::Binary(function), &[self, other])
    }

    /// factor x + term.
    pub fn affine(self, factor: f64, term: f64) -> Self {
        self.run(Instruction::Affine { factor, term })
    }

    /// max(low, min(high, x)).
    pub fn clamp(self, low: f64, high: f64) -> Self {
        self.run(Instruction::Clamp { low, high })
    }

    /// 1 where it is greater than a number, else 0.
    pub fn above(self, bound: f64) -> Self {
        self.binary(Binary::Greater, self.affine(0.0, bound))
    }

    /// `yes` where it is not 0, else `no`.
    pub fn select(self, yes: Self, no: Self) -> Self {
        self.program.run(Instruction::Select, &[self, yes, no])
    }

    /// The larger.
    pub fn max(self, other: Self) -> Self {
        self.binary(Binary::Maximum, other)
    }

    /// The smaller.
    pub fn min(self, other: Self) -> Self {
        self.binary(Binary::Minimum, other)
    }

    /// e^x.
    pub fn exp(self) -> Self {
        self.unary(Unary::Exp)
    }

    /// The natural logarithm.
    pub fn ln(self) -> Self {
        self.unary(Unary::Ln)
    }

    /// The square root.
    pub fn sqrt(self) -> Self {
        self.unary(Unary::Sqrt)
    }

    /// 1 / x.
    pub fn recip(self) -> Self {
        self.unary(Unary::Recip)
    }

    /// The hyperbolic tangent.
    pub fn tanh(self) -> Self {
        self.unary(Unary::Tanh)
    }

    /// |x|.
    pub fn abs(self) -> Self {
        self.unary(Unary::Abs)
    }

    /// x^2.
    pub fn squared(self) -> Self {
        self * self
    }

    /// 1 / (1 + e^-x), as (1 + tanh(x / 2)) / 2.
    pub fn sigmoid(self) -> Self {
        self.affine(0.5, 0.0).tanh().affine(0.5, 0.5)
    }

    /// ln(1 + e^x), as max(x, 0) + ln(1 + e^-|x|).
    pub fn softplus(self) -> Self {
        let small = self.abs().affine(-1.0, 0.0).exp().unary(Unary::Ln1p);
        self.binary(Binary::Maximum, self.affine(0.0, 0.0)) + small
    }

    /// The same values in memory order, of another shape.
    pub fn reshape(self, shape: &[usize]) -> Self {
        if self.shape() == shape { self } else { self.run(Instruction::Reshape(shape.to_vec())) }
    }

    /// The axes in another order.
    pub fn permute(self, order: &[usize]) -> Self {
        if order.iter().enumerate().all(|(to, &from)| to == from) {
            self
        } else {
            self.run(Instruction::Permute(order.to_vec()))
        }
    }

    /// Every `step`-th entry of an axis.
    pub fn slice(self, axis: usize, start: usize, step: usize, length: usize) -> Self {
        if start == 0 && step == 1 && length == self.shape()[axis] {
            return self;
        }
        self.run(Instruction::Slice { axis, start, step, length })
    }

    /// Zeros, and this at every `step`-th entry of an axis.
    pub fn place_in(self, axis: usize, start: usize, step: usize, length: usize) -> Self {
        if start == 0 && step == 1 && length == self.shape()[axis] {
            return self;
        }
        self.run(Instruction::Place { axis, start, step, length })
    }

    /// An axis in opposite order.
    pub fn flip(self, axis: usize) -> Self {
        self.run(Instruction::Flip(axis))
    }

    /// Axes of one entry repeated to this shape.
    pub fn expand(self, shape: &[usize]) -> Self {
        if self.shape() == shape { self } else { self.run(Instruction::Expand(shape.to_vec())) }
    }

    /// The sum over axes, which stay with one entry.
    pub fn sum(self, axes: &[usize]) -> Self {
        let shape = self.shape();
        let axes: Vec<usize> = axes.iter().copied().filter(|&axis| shape[axis] != 1).collect();
        if axes.is_empty() { self } else { self.run(Instruction::Sum(axes)) }
    }

    /// The mean over axes, which stay with one entry.
    pub fn mean(self, axes: &[usize]) -> Self {
        let shape = self.shape();
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        self.sum(axes).affine(1.0 / count as f64, 0.0)
    }

    /// The largest value over an axis, which stays with one entry.
    pub fn largest(self, axis: usize) -> Self {
        self.run(Instruction::Max(axis))
    }

    /// The entries of an axis at these places.
    pub fn take(self, axis: usize, places: Arc<[u32]>) -> Self {
        self.run(Instruction::Take { axis, places })
    }

    /// Zeros, and each entry added at its place.
    pub fn put(self, axis: usize, places: Arc<[u32]>, length: usize) -> Self {
        self.run(Instruction::Put { axis, places, length })
    }

    /// Matrix products, (B, M, K) and (B, K, N).
    pub fn matmul(self, other: Self) -> Self {
        self.program.run(Instruction::Matmul, &[self, other])
    }

    /// A convolution of (N, H, W, C) with (O, kh, kw, C / groups).
    pub fn convolve(self, weight: Self, convolution: Convolution) -> Self {
        self.program.run(Instruction::Convolve(convolution), &[self, weight])
    }

    /// The transpose of a convolution, to images of this height and width.
    pub fn convolve_input(self, weight: Self, convolution: Convolution, size: [usize; 2]) -> Self {
        self.program.run(Instruction::ConvolveInput(convolution, size), &[self, weight])
    }

    /// The sum over the axes that have one entry in `shape`, of that shape.
    pub fn sum_to(self, shape: &[usize]) -> Self {
        let axes: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] == 1).collect();
        self.sum(&axes)
    }
}

/// Arrays one after another along an axis.
pub fn concat<'p>(variables: &[Variable<'p>], axis: usize) -> Variable<'p> {
    match variables {
        [one] => *one,
        _ => variables[0].program.run(Instruction::Concat(axis), variables),
    }
}
