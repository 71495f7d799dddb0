//! Adam (Kingma & Ba 2015): m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, p <- p - rate m^ / (sqrt v^ + eps).
//!
//! One pass over each parameter does everything, including the clamp of feature alignment's equation 9.
//!
//! ```
//! use obverse::tensor::{batch, view};
//! use obverse::train::adam::{Adam, AdamSettings};
//! let mut parameter = batch(vec![1.0f64], (1, 1, 1, 1));
//! let mut adam = Adam::new(std::slice::from_ref(&parameter));
//! adam.advance();
//! adam.update(0, &mut parameter, &batch(vec![3.0], (1, 1, 1, 1)), &AdamSettings::with_rate(0.1), None);
//! // The first step has the length of the rate.
//! assert!((view(&parameter)[0] - 0.9).abs() < 1e-6);
//! ```

use obverse_engine::Unary;
use rayon::prelude::*;

use crate::net::Network;
use crate::tensor::device::computed;
use crate::tensor::{Batch, Element, GRAIN, batch, shape, view, view_mut, zeros};

/// Adam's constants and the limit of the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamSettings {
    /// The learning rate; schedules change it from update to update.
    pub learning_rate: f64,
    /// Decays of the first and second moment per update.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl AdamSettings {
    /// PyTorch's defaults, except for the learning rate.
    pub fn with_rate(learning_rate: f64) -> Self {
        Self { learning_rate, betas: (0.9, 0.999), epsilon: 1e-8 }
    }
}

/// The moments of a network's parameters.
#[derive(Clone, Debug)]
pub struct Adam<E: Element> {
    first: Vec<Batch<E>>,
    second: Vec<Batch<E>>,
    updates: u64,
}

impl<E: Element> Adam<E> {
    /// Moments of zero.
    pub fn new(parameters: &[Batch<E>]) -> Self {
        let zeros = || parameters.iter().map(|parameter| zeros(shape(parameter))).collect();
        Self { first: zeros(), second: zeros(), updates: 0 }
    }

    /// Moments of these parameters, in memory order, from a checkpoint.
    pub fn resumed(parameters: &[Batch<E>], first: Vec<Vec<E>>, second: Vec<Vec<E>>, updates: u64) -> Self {
        let shaped = |moments: Vec<Vec<E>>| {
            moments.into_iter().zip(parameters).map(|(values, parameter)| batch(values, shape(parameter))).collect()
        };
        Self { first: shaped(first), second: shaped(second), updates }
    }

    /// The first and second moments, one per parameter, and the number of updates.
    pub fn state(&self) -> (&[Batch<E>], &[Batch<E>], u64) {
        (&self.first, &self.second, self.updates)
    }

    /// Starts the next update, which [`Adam::update`] applies to each parameter.
    pub fn advance(&mut self) {
        self.updates += 1;
    }

    /// One update of a network's trained parameters by their gradients; values beyond ±`limit` of a parameter's name
    /// (weight, bias, …) are clamped.
    pub fn step(
        &mut self,
        network: &mut Network<E>,
        gradients: &[Batch<E>],
        settings: &AdamSettings,
        limit: impl Fn(&str) -> Option<f64>,
    ) {
        self.advance();
        let specs = network.graph().parameters();
        for (which, (_, spec)) in specs.iter().enumerate().filter(|(_, (_, spec))| spec.trained) {
            let parameter = &mut network.parameters_mut()[which];
            self.update(which, parameter, &gradients[which], settings, limit(spec.name));
        }
    }

    /// Changes parameter number `which` by its gradient; values beyond ±`limit` are clamped.
    pub fn update(
        &mut self,
        which: usize,
        parameter: &mut Batch<E>,
        gradient: &Batch<E>,
        settings: &AdamSettings,
        limit: Option<f64>,
    ) {
        let time = self.updates as i32;
        let (decay_first, decay_second) = settings.betas;
        let rate = settings.learning_rate / (1.0 - decay_first.powi(time));
        let correction = 1.0 / (1.0 - decay_second.powi(time)).sqrt();
        let (first, second) = (&mut self.first[which], &mut self.second[which]);
        let moved = computed(&[&*parameter, first, second, gradient], |_, values| {
            let (p, m, v, g) = (values[0], values[1], values[2], values[3]);
            let m = m.affine(decay_first, 0.0) + g.affine(1.0 - decay_first, 0.0);
            let v = v.affine(decay_second, 0.0) + (g * g).affine(1.0 - decay_second, 0.0);
            let divisor = v.unary(Unary::Sqrt).affine(correction, settings.epsilon);
            let p = p - m.affine(rate, 0.0) / divisor;
            [limit.map_or(p, |limit| p.clamp(-limit, limit)), m, v]
        });
        if let Some(moved) = moved {
            [*parameter, *first, *second] = moved;
            return;
        }
        let (rate, correction) = (E::of(rate), E::of(correction));
        let (epsilon, limit) = (E::of(settings.epsilon), E::of(limit.unwrap_or(f64::INFINITY)));
        let (b1, b2) = (E::of(decay_first), E::of(decay_second));
        let (c1, c2) = (E::of(1.0 - decay_first), E::of(1.0 - decay_second));
        view_mut(parameter)
            .par_chunks_mut(GRAIN)
            .zip(view_mut(first).par_chunks_mut(GRAIN))
            .zip(view_mut(second).par_chunks_mut(GRAIN))
            .zip(view(gradient).par_chunks(GRAIN))
            .for_each(|(((parameter, first), second), gradient)| {
                for (((p, m), v), &g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    let moved = *p - rate * *m / (v.sqrt() * correction + epsilon);
                    *p = moved.max(-limit).min(limit);
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::batch;

    /// Two updates of one parameter, worked out by hand from the formulas above in f64.
    #[test]
    fn follows_the_formulas_and_clamps() {
        let mut parameter: Batch<f64> = batch(vec![1.0, 1.4, -1.0], (1, 1, 1, 3));
        let mut adam = Adam::new(std::slice::from_ref(&parameter));
        let settings = AdamSettings { learning_rate: 0.1, betas: (0.5, 0.9), epsilon: 1e-8 };
        for gradient in [[2.0, -1.0, 0.0], [-4.0, -1.0, 0.0]] {
            adam.advance();
            adam.update(0, &mut parameter, &batch(gradient.to_vec(), (1, 1, 1, 3)), &settings, Some(2f64.sqrt()));
        }
        // First update: m^ / sqrt v^ is the gradient's sign. Second: m = -1.5, v = 1.96; m^ = -2, v^ = 1.96 / 0.19.
        let expected = 1.0 - 0.1 + 0.1 * 2.0 / (1.96f64 / 0.19).sqrt();
        assert!((view(&parameter)[0] - expected).abs() < 1e-8);
        assert_eq!(view(&parameter)[1], 2f64.sqrt());
        assert_eq!(view(&parameter)[2], -1.0);
    }
}
