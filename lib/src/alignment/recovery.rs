//! Recovering images from latents by the inner loop of Algorithm 1, with or without a tape.
//!
//! L = 1/2 sum_k w_k |t_k - h_k(r)|^2 over the outputs h_k with targets t_k; r <- r - tau dL/dr, T times, then
//! optionally the sigmoid of r. The gradient of L is a pullback, made of tape operations, so the tape differentiates it
//! again.
//!
//! ```
//! use obverse::alignment::recovery::{Aim, Recovery};
//! use obverse::tensor::{Tape, batch, view, zeros};
//! use obverse::net::op::Linear;
//! use obverse::net::{Graph, InputSpec, Network, Node, Size};
//! let layer = Node::new("z", Linear::new(2, false), "input");
//! let graph = Graph::new(InputSpec::plain(Size::new(2, 1, 1)), vec![layer], [("z".into(), "z".into())].into())?;
//! let encoder = Network::<f64>::of_parameters(graph, |_, _| Ok(vec![0.6, -0.8, 0.8, 0.6]))?;
//! // z = E((1, 2)): a rotation, which one step of weight 1 undoes.
//! let z = batch(vec![-1.0, 2.0], (1, 1, 1, 2));
//! let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: false };
//! let x = recovery.recover(&mut Tape::off(), &encoder, &[Aim::at(0, &z)], &zeros((1, 1, 1, 2)))?;
//! assert!((view(&x)[0] - 1.0).abs() < 1e-12 && (view(&x)[1] - 2.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::Serialize;

use crate::net::{Mode, Network, Result};
use crate::ops::InputGradient;
use crate::ops::activation::{Activation, activate};
use crate::ops::arithmetic::combine;
use crate::ops::gaussian::{exponential, multiply};
use crate::tensor::{Batch, Element, Tape};

/// How images are recovered from targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// Gradient steps on the input, T.
    pub steps: usize,
    /// Weight of each step, tau.
    pub tau: f64,
    /// Whether the result passes through a sigmoid, as in the authors' published code.
    pub sigmoid: bool,
}

/// An output of the encoder and its target.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a, E: Element> {
    /// The place of the output's node.
    pub node: usize,
    /// The place of a log-variance: the output is taken as mu + e^(log_var / 2), its mean plus its deviation, as in the published
    /// code.
    pub log_var: Option<usize>,
    /// The target, (N, 1, 1, F).
    pub target: &'a Batch<E>,
    /// Its weight in L.
    pub weight: f64,
}

impl<'a, E: Element> Aim<'a, E> {
    /// The node's output at `target`, with weight 1.
    pub fn at(node: usize, target: &'a Batch<E>) -> Self {
        Self { node, log_var: None, target, weight: 1.0 }
    }
}

impl Recovery {
    /// Images whose outputs come near `aims`, starting from `r`, (N, H, W, C) or one image for all.
    ///
    /// # Errors
    /// An aim at a node that the network does not compute, or that no pixel reaches.
    pub fn recover<E: Element>(
        &self,
        tape: &mut Tape<E>,
        encoder: &Network<E>,
        aims: &[Aim<E>],
        r: &Batch<E>,
    ) -> Result<Batch<E>> {
        let mut r = r.clone();
        for step in 0..self.steps {
            // The first r is a constant; each later one depends on the parameters.
            let input = if step == 0 { InputGradient::Unwanted } else { InputGradient::Wanted };
            let trace = encoder.forward(tape, &r, Mode::Inference, input);
            let mut cotangents: Vec<(usize, Batch<E>)> = Vec::new();
            for aim in aims {
                let output = encoder.value(&trace, aim.node)?;
                let weight = E::of(aim.weight);
                let Some(log_var) = aim.log_var else {
                    cotangents.push((aim.node, combine(tape, weight, aim.target, -weight, output)));
                    continue;
                };
                let deviation = exponential(tape, encoder.value(&trace, log_var)?, 0.5);
                let reached = combine(tape, E::one(), output, E::one(), &deviation);
                let error = combine(tape, weight, aim.target, -weight, &reached);
                // d sigma / d log_var = sigma / 2.
                let bent = multiply(tape, &error, &deviation);
                let half = combine(tape, E::of(0.5), &bent, E::zero(), &bent);
                cotangents.extend([(aim.node, error), (log_var, half)]);
            }
            let cotangents: Vec<_> = cotangents.iter().map(|(node, cotangent)| (*node, cotangent)).collect();
            let ascent = encoder.gradient_at_input(tape, &trace, &cotangents)?;
            r = combine(tape, E::one(), &r, E::of(self.tau), &ascent);
        }
        Ok(match self.sigmoid {
            true => activate(tape, &r, Activation::Sigmoid),
            false => r,
        })
    }
}
