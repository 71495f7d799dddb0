//! Group normalisation, y = g (x - m) s + b with s = 1 / sqrt(v + eps), image by image; x (N, H, W, C), g and b (1, 1, 1, C).
//!
//! m and v are the mean and the (biased) variance of a group of neighbouring channels at all places of one image (Wu and He 2018). With as
//! many groups as channels it is instance normalisation (Ulyanov et al. 2016).
//!
//! All of it, derivatives too, is sums over places, channel by channel, and then a weighted sum of what was summed, with weights of each
//! channel of each image.
//!
//! ```
//! use obverse::ops::group_norm::{Groups, group_norm};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![1.0f64, 10.0, 3.0, 30.0], (1, 2, 1, 2));
//! let (gain, bias) = (batch(vec![2.0, 1.0], (1, 1, 1, 2)), batch(vec![5.0, 0.0], (1, 1, 1, 2)));
//! // Means 2 and 20, deviations 1 and 10.
//! let each_channel = Groups { groups: 2, epsilon: 0.0 };
//! assert_eq!(view(&group_norm(&mut Tape::off(), &x, &gain, &bias, each_channel)), [3.0, -1.0, 7.0, 1.0]);
//! ```

mod coefficients;
mod places;
#[cfg(test)]
mod tests;

use super::accumulate;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};
use coefficients::{Site, Twice};

/// How channels are grouped, and what is added to variances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// The number of groups; it divides that of the channels.
    pub groups: usize,
    /// Added to the variances.
    pub epsilon: f64,
}

/// Group normalisation.
pub fn group_norm<E: Element>(
    tape: &mut Tape<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    bias: &Batch<E>,
    groups: Groups,
) -> Batch<E> {
    let channels = shape(x).3;
    let fits = view(gain).len() == channels && view(bias).len() == channels && channels.is_multiple_of(groups.groups);
    assert!(fits, "group_norm: expected a gain and a bias for each of {channels} channels, which the groups divide");
    let site = Site::of(x, gain, groups);
    let y = batch(site.normalised(view(bias)), shape(x));
    if tape.records() {
        let (gain, bias, kept) = (gain.clone(), bias.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&kept)?);
            let (of_x, [of_gain, of_bias]) = site.back(&upstream);
            accumulate(gradients.get_or_alloc_mut(site.x())?, &of_x);
            accumulate(gradients.get_or_alloc_mut(&gain)?, &of_gain);
            accumulate(gradients.get_or_alloc_mut(&bias)?, &of_bias);
            Ok(())
        });
    }
    y
}

/// The cotangent of x for a cotangent c of [`group_norm`]: `P(g c)` with `P(w) = s (w - <w> - z <w z>)`, where z = (x - m) s and `<.>` is
/// the mean over a group. P is its own transpose. Where `x` is one image, it stands for all of them.
pub fn pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    gain: &Batch<E>,
    groups: Groups,
) -> Batch<E> {
    let site = Site::of(x, gain, groups);
    let (values, _) = site.back(view(cotangent));
    let result = batch(values, shape(cotangent));
    if tape.records() {
        let (cotangent, gain, kept) = (cotangent.clone(), gain.clone(), result.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&kept)?);
            let Twice { of_cotangent, of_x, of_gain } = site.back_twice(&upstream, view(&cotangent));
            accumulate(gradients.get_or_alloc_mut(&cotangent)?, &of_cotangent);
            let (target, length) = (gradients.get_or_alloc_mut(site.x())?, view(site.x()).len().max(1));
            of_x.chunks(length).for_each(|part| accumulate(target, part));
            accumulate(gradients.get_or_alloc_mut(&gain)?, &of_gain);
            Ok(())
        });
    }
    result
}
