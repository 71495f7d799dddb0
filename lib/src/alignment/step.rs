//! One update of an encoder: its cost, and the derivatives of the cost, the including the second-order ones through the recovery.
//!
//! Plain (Algorithm 1): C = factor sum (x - r_hat)^2 with z = E(x). Variational (equations 5 and 6): z = mu + eps sigma,
//! sigma = e^(log_var / 2), and C gains sum_n beta_n KL(N(mu_n, sigma_n^2) || N(0, 1)).
//!
//! ```
//! use obverse::alignment::recovery::Recovery;
//! use obverse::alignment::step::{AimWeights, Examples, Heads, Objective, step};
//! use obverse::tensor::{batch, view, zeros};
//! use obverse::net::op::Linear;
//! use obverse::net::{Graph, InputSpec, Network, Node, Size};
//! let layer = Node::new("z", Linear::new(2, false), "input");
//! let graph = Graph::new(InputSpec::plain(Size::new(2, 1, 1)), vec![layer], [("z".into(), "z".into())].into())?;
//! let encoder = Network::<f64>::of_parameters(graph, |_, _| Ok(vec![0.6, -0.8, 0.8, 0.6]))?;
//! let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: false };
//! let weights = AimWeights { deviated: false, alpha: 0.0 };
//! let objective = Objective { recovery, weights, factor: 1.0 };
//! let examples = Examples { x: &batch(vec![1.0, 2.0], (1, 1, 1, 2)), labels: None, r: &zeros((1, 1, 1, 2)) };
//! let step = step(&encoder, &Heads::of(encoder.graph())?, &objective, &examples, None)?;
//! // A rotation recovers exactly, so there is nothing to learn.
//! assert!(step.squared_error < 1e-24 && view(&step.gradients[0]).iter().all(|gradient| gradient.abs() < 1e-12));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::recovery::{Aim, Recovery};
use crate::net::{Graph, Mode, Network, Result};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::gaussian::{exponential, multiply};
use crate::ops::loss::{gaussian_divergence, squared_error};
use crate::tensor::{Batch, Element, Tape, backward, view};

/// The outputs of an encoder that alignment knows, by the places of their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// "z", or "mu" of a variational encoder; "f" where there is no other.
    pub latent: usize,
    /// "log_var" of a variational encoder.
    pub log_var: Option<usize>,
    /// "class", the linear classifier of section 3.4.
    pub class: Option<usize>,
    /// "f", the function that a regression learns together with its latent (section 3.2).
    pub value: Option<usize>,
}

impl Heads {
    /// The heads that a graph's outputs name.
    ///
    /// # Errors
    /// None of the outputs "z", "mu" and "f".
    pub fn of(graph: &Graph) -> Result<Self> {
        let output = |name| graph.output(name).ok();
        let (log_var, class) = (output("log_var"), output("class"));
        match output("z").or(output("mu")) {
            Some(latent) => Ok(Self { latent, log_var, class, value: output("f") }),
            None => {
                Ok(Self { latent: output("f").map_or_else(|| graph.output("z"), Ok)?, log_var, class, value: None })
            }
        }
    }

    /// The targets of a recovery, for the heads that exist.
    pub fn aims<'a, E: Element>(&self, wanted: &Wanted<'a, E>, weights: &AimWeights) -> Vec<Aim<'a, E>> {
        let latent = Aim { log_var: self.log_var.filter(|_| weights.deviated), ..Aim::at(self.latent, wanted.z) };
        let class = self.class.zip(wanted.labels).map(|(class, labels)| Aim::at(class, labels));
        let value = self.value.zip(wanted.values);
        let value = value.map(|(place, values)| Aim { weight: weights.alpha, ..Aim::at(place, values) });
        std::iter::once(latent).chain(class).chain(value).collect()
    }
}

/// The targets of the outputs, one row per image.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a, E: Element> {
    /// The latent, (N, 1, 1, Z).
    pub z: &'a Batch<E>,
    /// The class, one-hot, (N, 1, 1, K).
    pub labels: Option<&'a Batch<E>>,
    /// The function's values, (N, 1, 1, F).
    pub values: Option<&'a Batch<E>>,
}

/// The weights of the outputs in L.
#[derive(Clone, Copy, Debug)]
pub struct AimWeights {
    /// Whether z_r = mu_r + sigma_r, as in the published code, rather than mu_r.
    pub deviated: bool,
    /// Weight of the function's values (equation 3).
    pub alpha: f64,
}

/// The random draws of a variational update, and the weights of its divergence.
#[derive(Clone, Debug)]
pub struct Draw<E: Element> {
    /// eps, standard normal, (N, 1, 1, Z).
    pub noise: Batch<E>,
    /// The weight of each example's divergence in the cost.
    pub weights: Vec<f64>,
}

/// The examples of an update, and where their recoveries start.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a, E: Element> {
    /// Images, (N, H, W, C).
    pub x: &'a Batch<E>,
    /// One-hot classes, (N, 1, 1, K).
    pub labels: Option<&'a Batch<E>>,
    /// r0, (N, H, W, C) or one image for all.
    pub r: &'a Batch<E>,
}

/// What one update computed.
#[derive(Debug)]
pub struct Step<E: Element> {
    /// z or mu, (N, 1, 1, Z).
    pub latents: Batch<E>,
    /// log_var, (N, 1, 1, Z), of a variational encoder.
    pub log_variances: Option<Batch<E>>,
    /// r_hat, (N, H, W, C).
    pub recovered: Batch<E>,
    /// Sum of (x - r_hat)^2 over the batch and pixels.
    pub squared_error: f64,
    /// Sum of the weighted divergences.
    pub divergence: f64,
    /// dC / dparameters, one per parameter, in the network's order.
    pub gradients: Vec<Batch<E>>,
}

/// How recoveries are computed and weighted.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// The inner loop.
    pub recovery: Recovery,
    /// How the outputs count in it.
    pub weights: AimWeights,
    /// Weight of the squared error, summed over batch and pixels.
    pub factor: f64,
}

/// The cost of `examples` and its gradients; variational where there is a `draw`.
///
/// # Errors
/// A network that does not compute its heads.
pub fn step<E: Element>(
    encoder: &Network<E>,
    heads: &Heads,
    objective: &Objective,
    examples: &Examples<E>,
    draw: Option<&Draw<E>>,
) -> Result<Step<E>> {
    let mut tape = Tape::recording();
    let trace = encoder.forward(&mut tape, examples.x, Mode::Inference, InputGradient::Unwanted);
    let latents = encoder.value(&trace, heads.latent)?.clone();
    let log_variances = heads.log_var.map(|place| encoder.value(&trace, place).cloned()).transpose()?;
    // From here on its activations are freed, except for those that the tape needs.
    drop(trace);
    let drawn = log_variances.as_ref().zip(draw);
    let z = match drawn {
        None => latents.clone(),
        Some((log_var, draw)) => {
            let deviation = exponential(&mut tape, log_var, 0.5);
            let noise = multiply(&mut tape, &deviation, &draw.noise);
            combine(&mut tape, E::one(), &latents, E::one(), &noise)
        }
    };
    let wanted = Wanted { z: &z, labels: examples.labels, values: None };
    let aims = heads.aims(&wanted, &objective.weights);
    let recovered = objective.recovery.recover(&mut tape, encoder, &aims, examples.r)?;
    let error = squared_error(&mut tape, &recovered, examples.x, objective.factor);
    let (cost, divergence) = match drawn {
        None => (error.clone(), 0.0),
        Some((log_var, draw)) => {
            let divergence = gaussian_divergence(&mut tape, &latents, log_var, &draw.weights);
            (combine(&mut tape, E::one(), &error, E::one(), &divergence), view(&divergence)[0].wide())
        }
    };
    let mut gradients = backward(tape, &cost, vec![E::one()]);
    let gradients = encoder.take_gradients(&mut gradients);
    let squared_error = view(&error)[0].wide() / objective.factor;
    Ok(Step { latents, log_variances, recovered, squared_error, divergence, gradients })
}
