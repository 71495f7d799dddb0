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

use obverse_engine::Variable;

use super::accumulate;
use crate::tensor::device::{on_device, pulled_back};
use crate::tensor::{Batch, Element, Tape, batch, count, shape, view};
use coefficients::{Site, Twice};

/// How channels are grouped, and what is added to variances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// The number of groups; it divides that of the channels.
    pub groups: usize,
    /// Added to the variances.
    pub epsilon: f64,
}

impl Groups {
    /// g (x - m) s, for devices.
    fn scaled<'p>(self, x: Variable<'p>, gain: Variable<'p>) -> Variable<'p> {
        let shape = x.shape();
        let grouped = x.reshape(&[shape[0], shape[1] * shape[2], self.groups, shape[3] / self.groups]);
        let centred = grouped - grouped.mean(&[1, 3]);
        let scale = (centred.squared().mean(&[1, 3]) + self.epsilon).sqrt().recip();
        (centred * scale).reshape(&shape) * gain.reshape(&[1, 1, 1, shape[3]])
    }
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
    let fits = count(gain) == channels && count(bias) == channels && channels.is_multiple_of(groups.groups);
    assert!(fits, "group_norm: expected a gain and a bias for each of {channels} channels, which the groups divide");
    let there = on_device(tape, &[x, gain, bias], shape(x), |_, values| {
        groups.scaled(values[0], values[1]) + values[2].reshape(&[1, 1, 1, channels])
    });
    if let Some(y) = there {
        return y;
    }
    let site = Site::of(x, gain, groups);
    let y = batch(site.normalised(view(bias)), shape(x));
    if tape.records() {
        let (gain, bias, kept) = (gain.clone(), bias.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&kept);
            let (of_x, [of_gain, of_bias]) = site.back(&upstream);
            accumulate(gradients.of(site.x()), &of_x);
            accumulate(gradients.of(&gain), &of_gain);
            accumulate(gradients.of(&bias), &of_bias);
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
    if let Some(result) = pulled_back(tape, cotangent, &[x, gain], 0, |_, values| groups.scaled(values[0], values[1])) {
        return result;
    }
    let site = Site::of(x, gain, groups);
    let (values, _) = site.back(view(cotangent));
    let result = batch(values, shape(cotangent));
    if tape.records() {
        let (cotangent, gain, kept) = (cotangent.clone(), gain.clone(), result.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&kept);
            let Twice { of_cotangent, of_x, of_gain } = site.back_twice(&upstream, view(&cotangent));
            accumulate(gradients.of(&cotangent), &of_cotangent);
            let (target, length) = (gradients.of(site.x()), view(site.x()).len().max(1));
            of_x.chunks(length).for_each(|part| accumulate(target, part));
            accumulate(gradients.of(&gain), &of_gain);
        });
    }
    result
}
