//! Which parameters a model has, by the names and in the shapes of PyTorch modules, and which layer each belongs to.
//!
//! A weight-normalised convolution has v (O, I, kh, kw), g (O) and b (O), a transposed one v (I, O, kh, kw); a context projection is
//! (F, 2 filters) for vectors, (2 filters, C', 1, 1) for maps.

use super::architecture::{Architecture, Condition};
use crate::ops::causal::Shift;

/// A parameter's name and its shape in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name, such as `up_u.0.conv_in.v`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A weight-normalised convolution: parameters v, g and b at `v`, `v + 1` and `v + 2`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub v: usize,
    pub kernel: [usize; 2],
    pub shift: Shift,
}

/// A gated residual block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gated {
    pub conv_in: Conv,
    pub skip: Option<Conv>,
    pub conv_out: Conv,
    pub context: Option<usize>,
    /// Its number among the blocks, which keys its dropout.
    pub number: usize,
}

/// The layers of one stream, `u` (rows above) or `ul` (above and left).
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub up: Vec<Gated>,
    pub shrink: Vec<Conv>,
    pub down: Vec<Gated>,
    pub grow: Vec<Conv>,
}

/// Every layer of a model.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub first_u: Conv,
    pub first_ul_row: Conv,
    pub first_ul_col: Conv,
    pub u: Stream,
    pub ul: Stream,
    pub out: Conv,
    pub specs: Vec<Spec>,
}

impl Layers {
    pub fn of(architecture: &Architecture) -> Self {
        let mut build = Build { architecture, specs: Vec::new(), gated: 0 };
        let (inputs, filters) = (architecture.channels + 1, architecture.filters);
        let first_u = build.conv("first_u", inputs, filters, [2, 3], Shift::Down);
        let first_ul_row = build.conv("first_ul_row", inputs, filters, [1, 3], Shift::Down);
        let first_ul_col = build.conv("first_ul_col", inputs, filters, [2, 1], Shift::Right);
        let u = build.stream("u", [2, 3], Shift::Down, [0, filters]);
        let ul = build.stream("ul", [2, 2], Shift::Right, [filters, 2 * filters]);
        let out = build.conv("out", filters, architecture.outputs(), [1, 1], Shift::None);
        Self { first_u, first_ul_row, first_ul_col, u, ul, out, specs: build.specs }
    }
}

struct Build<'a> {
    architecture: &'a Architecture,
    specs: Vec<Spec>,
    gated: usize,
}

impl Build<'_> {
    fn push(&mut self, name: String, shape: Vec<usize>) -> usize {
        self.specs.push(Spec { name, shape });
        self.specs.len() - 1
    }

    fn conv(&mut self, name: &str, inputs: usize, outputs: usize, kernel: [usize; 2], shift: Shift) -> Conv {
        self.normalised(name, [outputs, inputs], outputs, kernel, shift)
    }

    fn normalised(&mut self, name: &str, ends: [usize; 2], outputs: usize, kernel: [usize; 2], shift: Shift) -> Conv {
        let v = self.push(format!("{name}.v"), vec![ends[0], ends[1], kernel[0], kernel[1]]);
        self.push(format!("{name}.g"), vec![outputs]);
        self.push(format!("{name}.b"), vec![outputs]);
        Conv { v, kernel, shift }
    }

    /// `skips` are the channels that a block's skip sees on the way up and down; 0 where it has none.
    fn stream(&mut self, name: &str, kernel: [usize; 2], shift: Shift, skips: [usize; 2]) -> Stream {
        let (filters, blocks) = (self.architecture.filters, self.architecture.blocks);
        let up = (0..3 * blocks).map(|i| self.gated(&format!("up_{name}.{i}"), kernel, shift, skips[0])).collect();
        let level = |build: &mut Self, kind: &str, i: usize| {
            build.normalised(&format!("{kind}_{name}.{i}"), [filters, filters], filters, kernel, shift)
        };
        let shrink = (0..2).map(|i| level(self, "shrink", i)).collect();
        let down =
            (0..3 * blocks + 2).map(|i| self.gated(&format!("down_{name}.{i}"), kernel, shift, skips[1])).collect();
        let grow = (0..2).map(|i| level(self, "grow", i)).collect();
        Stream { up, shrink, down, grow }
    }

    fn gated(&mut self, name: &str, kernel: [usize; 2], shift: Shift, skip: usize) -> Gated {
        let filters = self.architecture.filters;
        let conv_in = self.conv(&format!("{name}.conv_in"), 2 * filters, filters, kernel, shift);
        let skip = (skip > 0).then(|| self.conv(&format!("{name}.skip"), 2 * skip, filters, [1, 1], Shift::None));
        let conv_out = self.conv(&format!("{name}.conv_out"), 2 * filters, 2 * filters, kernel, shift);
        let shape = self.architecture.condition.map(|condition| match condition {
            Condition::Vector(features) => vec![features, 2 * filters],
            Condition::Maps(channels, ..) => vec![2 * filters, channels, 1, 1],
        });
        let context = shape.map(|shape| self.push(format!("{name}.context"), shape));
        self.gated += 1;
        Gated { conv_in, skip, conv_out, context, number: self.gated - 1 }
    }
}
