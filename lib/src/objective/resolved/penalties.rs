//! Penalties on images, with their gradients.

use crate::tensor::Element;

type ImageSize = (usize, usize, usize);

/// weight mean |x - 1/2|; adds its gradient.
pub(super) fn deviation<E: Element>(image: &[E], _: ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / image.len() as f64;
    let half = E::of(0.5);
    cotangent.iter_mut().zip(image).for_each(|(sum, &x)| *sum += E::of(share * sign((x - half).wide())));
    share * image.iter().map(|&x| (x - half).wide().abs()).sum::<f64>()
}

/// weight mean (x - 1/2)^2; adds its gradient.
pub(super) fn squared_deviation<E: Element>(image: &[E], _: ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / image.len() as f64;
    let half = E::of(0.5);
    cotangent.iter_mut().zip(image).for_each(|(sum, &x)| *sum += E::of(2.0 * share) * (x - half));
    share * image.iter().map(|&x| (x - half).wide().powi(2)).sum::<f64>()
}

/// weight mean over pixels of |x - below| + |x - right|, summed over channels; adds its gradient.
pub(super) fn total_variation<E: Element>(image: &[E], (h, w, c): ImageSize, weight: f64, cotangent: &mut [E]) -> f64 {
    let share = weight / (h * w) as f64;
    let mut sum = 0.0;
    for here in 0..h * w * c {
        let (y, x) = (here / (w * c), here / c % w);
        let neighbours = [(y + 1 < h).then_some(here + w * c), (x + 1 < w).then_some(here + c)];
        for there in neighbours.into_iter().flatten() {
            let difference = (image[here] - image[there]).wide();
            sum += difference.abs();
            let slope = E::of(share * sign(difference));
            cotangent[here] += slope;
            cotangent[there] -= slope;
        }
    }
    share * sum
}

/// -1, 0 or 1.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
