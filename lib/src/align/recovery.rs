//! Recovering images from latents, and the derivative of the recovery: Algorithm 1 with L = 1/2 |z - E(r)|^2.
//!
//! r <- r - tau dL/dr = r + tau J_E(r)^T (z - E(r)), T times, then optionally the sigmoid of r. The gradient of L is a
//! pullback, made of tape operations, so the tape differentiates it again.

use dfdx::prelude::{Cpu, NoneTape, OwnedTape, Tape};
use serde::Serialize;

use crate::net::{Mode, Network};
use crate::ops::InputGradient;
use crate::ops::activation::{Activation, activate};
use crate::ops::arithmetic::combine;
use crate::tensor::{Batch, Element, backward, gradient, view};

/// How r follows from z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// Gradient steps on the input, T.
    pub steps: usize,
    /// Weight of each step, tau.
    pub tau: f64,
    /// Whether the result passes through a sigmoid, as in the authors' published code.
    pub squash: bool,
}

impl Recovery {
    /// Images recovered from latents `z`, (N, 1, 1, Z), starting from `r`, (N, H, W, C) or one image for all.
    ///
    /// `node` is the place of the encoder's output that z was taken from.
    pub fn recover<E: Element>(
        &self,
        tape: &mut impl Tape<E, Cpu>,
        encoder: &Network<E>,
        node: usize,
        z: &Batch<E>,
        r: &Batch<E>,
    ) -> Batch<E> {
        let mut r = r.clone();
        for step in 0..self.steps {
            // The first r is a constant; each later one depends on the parameters.
            let input = if step == 0 { InputGradient::Unwanted } else { InputGradient::Wanted };
            let trace = encoder.forward(tape, &r, Mode::Inference, input);
            let Some(z_r) = trace.value(node) else { break };
            let error = combine(tape, E::one(), z, -E::one(), z_r);
            let Some(ascent) = encoder.pullback(tape, &trace, &[(node, &error)]) else { break };
            r = combine(tape, E::one(), &r, E::of(self.tau), &ascent);
        }
        match self.squash {
            true => activate(tape, &r, Activation::Sigmoid),
            false => r,
        }
    }

    /// One step of Algorithm 1: latents, recoveries, the cost and its gradients.
    ///
    /// C = `factor` * sum (x - r_hat)^2 over the batch and pixels; the gradients are dC / dparameters.
    pub fn step<E: Element>(
        &self,
        encoder: &Network<E>,
        node: usize,
        x: &Batch<E>,
        r: &Batch<E>,
        factor: f64,
    ) -> Step<E> {
        let mut tape = OwnedTape::default();
        let trace = encoder.forward(&mut tape, x, Mode::Inference, InputGradient::Unwanted);
        let z = trace.value(node).cloned().unwrap_or_else(|| x.clone());
        drop(trace);
        let recovered = self.recover(&mut tape, encoder, node, &z, r);
        let difference = combine(&mut NoneTape, E::one(), &recovered, -E::one(), x);
        let sum: f64 = view(&difference).iter().map(|difference| difference.wide() * difference.wide()).sum();
        let cotangent = view(&difference).iter().map(|&difference| E::of(2.0 * factor) * difference).collect();
        let mut gradients = backward(tape, &recovered, cotangent);
        let gradients = encoder.parameters().iter().map(|parameter| gradient(&mut gradients, parameter)).collect();
        Step { latents: z, recovered, squared_error: sum, gradients }
    }
}

/// What one step of Algorithm 1 computed.
#[derive(Debug)]
pub struct Step<E: Element> {
    /// z_x, (N, 1, 1, Z).
    pub latents: Batch<E>,
    /// r_hat, (N, H, W, C).
    pub recovered: Batch<E>,
    /// Sum of (x - r_hat)^2 over the batch and pixels.
    pub squared_error: f64,
    /// dC / dparameters, a parameter each, in the network's order.
    pub gradients: Vec<Vec<E>>,
}
