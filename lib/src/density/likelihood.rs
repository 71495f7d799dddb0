//! -log p(x | h) of images, in nats, from what a model computes of them; (N, H, W, P) -> (N, 1, 1, 1).

use dfdx::prelude::{Cpu, Tape};

use super::architecture::Architecture;
use crate::ops::categorical::categorical;
use crate::ops::logistic_mixture::logistic_mixture;
use crate::tensor::{Batch, Element};

/// The negative log-likelihood of each image, in nats; `pixels` are (N, H, W, C), as many as `outputs` are images.
pub fn negative_log_likelihood<E: Element>(
    tape: &mut impl Tape<E, Cpu>,
    architecture: &Architecture,
    outputs: &Batch<E>,
    pixels: &[u8],
) -> Batch<E> {
    let size = (architecture.height, architecture.width);
    match architecture.mixture() {
        None => categorical(tape, outputs, pixels, size),
        Some(mixture) => logistic_mixture(tape, outputs, pixels, size, mixture),
    }
}
