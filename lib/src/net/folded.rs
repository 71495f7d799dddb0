//! Batch normalisation folded into the convolution before it, for inference: W' = f W, b' = f (b - m) + beta, f = g / sqrt(v + eps).
//!
//! W (O, kh, kw, C), the others (1, 1, 1, O); g and beta are gain and bias of the normalisation, m and v its running statistics.

use crate::ops::batch_norm::Statistics;
use crate::tensor::{Batch, Element, batch, image_len, shape, view};

/// A convolution's weight and bias that do the work of the normalisation after it too.
#[derive(Clone, Debug)]
pub(super) struct Folded<E: Element> {
    pub(super) weight: Batch<E>,
    pub(super) bias: Batch<E>,
}

impl<E: Element> Folded<E> {
    /// Of the convolution's parameters (weight, and bias if it has one), gain and bias of the normalisation, its statistics.
    pub(super) fn new(
        convolution: &[Batch<E>],
        (gain, beta): (&Batch<E>, &Batch<E>),
        running: &Statistics,
        epsilon: f64,
    ) -> Self {
        let factors: Vec<f64> = view(gain)
            .iter()
            .zip(running.scales::<f64>(epsilon))
            .map(|(gain, (_, scale))| gain.wide() * scale)
            .collect();
        let weight = &convolution[0];
        let rows = view(weight).chunks_exact(image_len(weight)).zip(&factors);
        let folded =
            rows.flat_map(|(row, &factor)| row.iter().map(move |value| E::of(factor * value.wide()))).collect();
        let own = |channel: usize| convolution.get(1).map_or(0.0, |bias| view(bias)[channel].wide());
        let channels = running.scales::<f64>(epsilon).into_iter().zip(&factors).zip(view(beta)).enumerate();
        let bias = channels
            .map(|(channel, (((mean, _), factor), beta))| E::of(factor * (own(channel) - mean) + beta.wide()))
            .collect();
        Self { weight: batch(folded, shape(weight)), bias: batch(bias, shape(beta)) }
    }
}
