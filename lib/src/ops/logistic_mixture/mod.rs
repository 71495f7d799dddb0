//! Negative log-likelihood of 8-bit pixels under discretised mixtures of logistics, in nats per image; (N, H, W, P) -> (N, 1, 1, 1).
//!
//! x is scaled to [-1, 1]; a value's mass is sigmoid((x + 1/255 - mu) / s) - sigmoid((x - 1/255 - mu) / s), with open tails at 0 and
//! 255. P: M mixture logits; then for each colour M means, M log scales (-7 at least) and, of three colours, M coefficients: green's
//! mean follows red, blue's red and green (Salimans et al. 2017, equations 2 and 3). Computed in f64 whatever the parameters are.
//!
//! ```
//! use obverse::ops::logistic_mixture::{Mixture, draw, scaled};
//! let mixture = Mixture { components: 1, colours: 1 };
//! assert_eq!((mixture.parameters(), scaled(0), scaled(255)), (3, -1.0, 1.0));
//! // One narrow logistic about 1: white, whatever the uniform draws.
//! assert_eq!(draw(mixture, &[0.0, 1.0, -7.0], &[0.5, 0.5], 1.0), [255]);
//! ```

mod there;

use rayon::prelude::*;

use super::activation::{sigmoid, softplus};
use super::loss::log_sum;
use super::{accumulate, categorical};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// The smallest log scale.
const LEAST_LOG_SCALE: f64 = -7.0;
/// Half the width of a value's bin.
const HALF_BIN: f64 = 1.0 / 255.0;
/// Where a bin's mass is below this, it is taken from the density at its middle.
const LEAST_MASS: f64 = 1e-5;

/// How the parameters of a pixel are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture {
    /// Logistics in a mixture, M.
    pub components: usize,
    /// Colours of a pixel: 1 or 3.
    pub colours: usize,
}

impl Mixture {
    /// Parameters of a pixel, P.
    pub fn parameters(self) -> usize {
        self.components * (1 + self.colours * self.kinds())
    }

    /// Means and log scales, and coefficients where there are several colours.
    fn kinds(self) -> usize {
        if self.colours == 1 { 2 } else { 3 }
    }

    /// Where the parameter of this kind, colour and component lies.
    fn place(self, kind: usize, colour: usize, component: usize) -> usize {
        self.components * (1 + colour * self.kinds() + kind) + component
    }

    /// The mean of a colour, given those before.
    fn mean(self, parameters: &[f64], colours: &[f64], colour: usize, component: usize) -> f64 {
        let before = self
            .coefficients(colour)
            .map(|(group, source)| parameters[self.place(COEFFICIENT, group, component)].tanh() * colours[source]);
        parameters[self.place(MEAN, colour, component)] + before.sum::<f64>()
    }

    /// The groups whose coefficients a colour's mean needs, each with the colour that it multiplies.
    fn coefficients(self, colour: usize) -> impl Iterator<Item = (usize, usize)> {
        let groups: &[(usize, usize)] = match colour {
            1 => &[(0, 0)],
            2 => &[(1, 0), (2, 1)],
            _ => &[],
        };
        groups.iter().copied()
    }
}

const MEAN: usize = 0;
const LOG_SCALE: usize = 1;
const COEFFICIENT: usize = 2;

/// A pixel's value as the mixture sees it.
pub fn scaled(value: u8) -> f64 {
    f64::from(value) / 127.5 - 1.0
}

/// The negative log-likelihood of each image: `pixels` are (N, h, w, colours), `size` is (h, w), h <= H, w <= W. Parameters
/// beyond that, at the bottom and to the right, do not count.
pub fn logistic_mixture<E: Element>(
    tape: &mut Tape<E>,
    parameters: &Batch<E>,
    pixels: &[u8],
    size: (usize, usize),
    mixture: Mixture,
) -> Batch<E> {
    let images = shape(parameters).0;
    debug_assert_eq!(shape(parameters).3, mixture.parameters());
    debug_assert_eq!(pixels.len(), images * size.0 * size.1 * mixture.colours);
    let there = on_device(tape, &[parameters], (images, 1, 1, 1), |program, parameters| {
        mixture.there(program, parameters[0], pixels, size)
    });
    if let Some(nll) = there {
        return nll;
    }
    let nll: Vec<E> = (0..images)
        .into_par_iter()
        .map(|image| {
            let mut sum = 0.0;
            walk(parameters, pixels, size, mixture, image, |_, parameters, colours| {
                sum += pixel(mixture, parameters, colours).0;
            });
            E::of(sum)
        })
        .collect();
    let nll = batch(nll, (images, 1, 1, 1));
    record(tape, parameters, &nll, pixels, size, mixture);
    nll
}

/// The values of a pixel drawn from its mixture by uniform numbers, one for the component and one for each colour; the temperature
/// divides logits and multiplies scales.
pub fn draw(mixture: Mixture, parameters: &[f64], uniforms: &[f64], temperature: f64) -> Vec<u8> {
    let component = categorical::draw(&parameters[..mixture.components], uniforms[0], temperature);
    let (mut values, mut colours) = (Vec::with_capacity(mixture.colours), Vec::with_capacity(mixture.colours));
    for (colour, &uniform) in uniforms[1..=mixture.colours].iter().enumerate() {
        let mean = mixture.mean(parameters, &colours, colour, component);
        let scale = parameters[mixture.place(LOG_SCALE, colour, component)].max(LEAST_LOG_SCALE).exp();
        // The logistic's quantile; the nearest of the 256 values is the bin that it falls into, the outer ones being open.
        let x = mean + temperature * scale * (uniform.ln() - (-uniform).ln_1p());
        let value = ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
        values.push(value);
        colours.push(scaled(value));
    }
    values
}

/// Visits the pixels of an image that count: where their parameters start within the image, these, and the scaled colours.
fn walk<E: Element>(
    parameters: &Batch<E>,
    pixels: &[u8],
    size: (usize, usize),
    mixture: Mixture,
    image: usize,
    mut visit: impl FnMut(usize, &[f64], &[f64]),
) {
    let ((_, height, width, count), colours) = (shape(parameters), mixture.colours);
    let values = &view(parameters)[image * height * width * count..][..height * width * count];
    let pixels = &pixels[image * size.0 * size.1 * colours..][..size.0 * size.1 * colours];
    for (number, pixel) in pixels.chunks_exact(colours).enumerate() {
        let place = (number / size.1 * width + number % size.1) * count;
        let wide: Vec<f64> = values[place..place + count].iter().map(|value| value.wide()).collect();
        let scaled: Vec<f64> = pixel.iter().map(|&value| scaled(value)).collect();
        visit(place, &wide, &scaled);
    }
}

/// The negative log-likelihood of a pixel, and each component's share of the posterior.
fn pixel(mixture: Mixture, parameters: &[f64], colours: &[f64]) -> (f64, Vec<f64>) {
    let normaliser = log_sum(&parameters[..mixture.components]);
    let joint: Vec<f64> = (0..mixture.components)
        .map(|component| {
            let colours = (0..mixture.colours).map(|colour| {
                let mean = mixture.mean(parameters, colours, colour, component);
                Bin::new(colours[colour], mean, parameters[mixture.place(LOG_SCALE, colour, component)]).log_mass()
            });
            parameters[component] - normaliser + colours.sum::<f64>()
        })
        .collect();
    let evidence = log_sum(&joint);
    (-evidence, joint.iter().map(|value| (value - evidence).exp()).collect())
}

/// The derivatives of a pixel's negative log-likelihood.
fn slopes(mixture: Mixture, parameters: &[f64], colours: &[f64]) -> Vec<f64> {
    let mut slopes = vec![0.0; parameters.len()];
    let (_, posterior) = pixel(mixture, parameters, colours);
    let normaliser = log_sum(&parameters[..mixture.components]);
    for (component, &share) in posterior.iter().enumerate() {
        slopes[component] = (parameters[component] - normaliser).exp() - share;
        for colour in 0..mixture.colours {
            let mean = mixture.mean(parameters, colours, colour, component);
            let place = mixture.place(LOG_SCALE, colour, component);
            let (by_mean, by_scale) = Bin::new(colours[colour], mean, parameters[place]).slopes();
            slopes[mixture.place(MEAN, colour, component)] -= share * by_mean;
            slopes[place] -= share * by_scale;
            for (group, source) in mixture.coefficients(colour) {
                let place = mixture.place(COEFFICIENT, group, component);
                let coefficient = parameters[place].tanh();
                slopes[place] -= share * by_mean * colours[source] * (1.0 - coefficient * coefficient);
            }
        }
    }
    slopes
}

/// One value's bin under one logistic, in units of its scale.
struct Bin {
    value: f64,
    log_scale: f64,
    clamped: bool,
    inverse: f64,
    upper: f64,
    lower: f64,
    middle: f64,
}

impl Bin {
    fn new(value: f64, mean: f64, log_scale: f64) -> Self {
        let clamped = log_scale < LEAST_LOG_SCALE;
        let log_scale = log_scale.max(LEAST_LOG_SCALE);
        let (inverse, distance) = ((-log_scale).exp(), value - mean);
        let at = |distance: f64| inverse * distance;
        let (upper, lower, middle) = (at(distance + HALF_BIN), at(distance - HALF_BIN), at(distance));
        Self { value, log_scale, clamped, inverse, upper, lower, middle }
    }

    fn mass(&self) -> f64 {
        sigmoid(self.upper) - sigmoid(self.lower)
    }

    fn log_mass(&self) -> f64 {
        if self.value < -0.999 {
            self.upper - softplus(self.upper)
        } else if self.value > 0.999 {
            -softplus(self.lower)
        } else if self.mass() > LEAST_MASS {
            self.mass().ln()
        } else {
            self.middle - self.log_scale - 2.0 * softplus(self.middle) - 127.5f64.ln()
        }
    }

    /// The derivatives of the logarithm by the mean and by the log scale.
    fn slopes(&self) -> (f64, f64) {
        let bump = |x: f64| sigmoid(x) * sigmoid(-x);
        let (by_upper, by_lower, by_middle, direct) = if self.value < -0.999 {
            (sigmoid(-self.upper), 0.0, 0.0, 0.0)
        } else if self.value > 0.999 {
            (0.0, -sigmoid(self.lower), 0.0, 0.0)
        } else if self.mass() > LEAST_MASS {
            (bump(self.upper) / self.mass(), -bump(self.lower) / self.mass(), 0.0, 0.0)
        } else {
            (0.0, 0.0, 1.0 - 2.0 * sigmoid(self.middle), -1.0)
        };
        let by_mean = -self.inverse * (by_upper + by_lower + by_middle);
        let by_scale = direct - by_upper * self.upper - by_lower * self.lower - by_middle * self.middle;
        (by_mean, if self.clamped { 0.0 } else { by_scale })
    }
}

fn record<E: Element>(
    tape: &mut Tape<E>,
    parameters: &Batch<E>,
    nll: &Batch<E>,
    pixels: &[u8],
    size: (usize, usize),
    mixture: Mixture,
) {
    if !tape.records() {
        return;
    }
    let (parameters, nll, pixels) = (parameters.clone(), nll.ghost(), pixels.to_vec());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&nll);
        let (_, height, width, count) = shape(&parameters);
        let mut result = vec![E::zero(); view(&parameters).len()];
        let images = result.par_chunks_mut((height * width * count).max(1)).zip(&upstream).enumerate();
        images.for_each(|(image, (result, upstream))| {
            walk(&parameters, &pixels, size, mixture, image, |place, parameters, colours| {
                let slopes = slopes(mixture, parameters, colours);
                let pairs = result[place..place + count].iter_mut().zip(slopes);
                pairs.for_each(|(result, slope)| *result = E::of(upstream.wide() * slope));
            });
        });
        accumulate(gradients.of(&parameters), &result);
    });
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{Case, assert_close, check_gradients, normal};
    use crate::store::npy::Scalar;
    use crate::tensor::{Tape, backward, gradient};

    fn check_oracle<E: Element + Scalar>(name: &str, colours: usize) {
        let case = Case::open(name);
        let components = case.description["mixtures"].as_u64().unwrap() as usize;
        let parameters = case.array::<E>("params");
        let (_, height, width, _) = shape(&parameters);
        let pixels = case.pixels("x");
        let mut tape = Tape::recording();
        let mixture = Mixture { components, colours };
        let nll = logistic_mixture(&mut tape, &parameters, &pixels, (height, width), mixture);
        assert_close(view(&nll), view(&case.array::<f64>("nll")), case.tolerance::<E>());
        let mut gradients = backward(tape, &nll, vec![E::one(); view(&nll).len()]);
        assert_close(&gradient(&mut gradients, &parameters), view(&case.array::<f64>("grad")), case.tolerance::<E>());
    }

    #[test]
    fn oracle_values_and_gradients() {
        for (name, colours) in [("logistic_mixture", 3), ("logistic_mixture_gray", 1)] {
            check_oracle::<f32>(name, colours);
            check_oracle::<f64>(name, colours);
        }
    }

    #[test]
    fn gradients_are_differences_and_what_lies_outside_has_none() {
        for colours in [1, 3] {
            let mixture = Mixture { components: 2, colours };
            let pixels: Vec<u8> = [0, 255, 3, 129, 128, 127].repeat(colours);
            check_gradients(&[normal("parameters", (1, 3, 4, mixture.parameters()))], |tape, x| {
                logistic_mixture(tape, &x[0], &pixels, (2, 3), mixture)
            });
        }
    }

    #[test]
    fn draws_have_the_shares_of_their_masses() {
        let mixture = Mixture { components: 2, colours: 3 };
        let parameters: Batch<f64> = normal("drawn", (1, 1, 1, mixture.parameters()));
        let uniforms: Vec<f64> = crate::tensor::random::Stream::new(0, "draws", 0).uniform(0..4 * 40_000);
        let draws: Vec<Vec<u8>> = uniforms.chunks(4).map(|u| draw(mixture, view(&parameters), u, 1.0)).collect();
        // The share of draws whose first two colours are the commonest pair of open ends, against its mass.
        let ends = |values: &[u8]| values[0] == 255 && values[1] == 255;
        let mass: f64 = (0..=255u8)
            .map(|blue| {
                (-view(&logistic_mixture(&mut Tape::off(), &parameters, &[255, 255, blue], (1, 1), mixture))[0]).exp()
            })
            .sum();
        let share = draws.iter().filter(|values| ends(values)).count() as f64 / 40_000.0;
        assert!(mass > 0.01 && (share - mass).abs() < 5.0 * (mass / 40_000.0).sqrt(), "{share} {mass}");
    }

    #[test]
    fn the_masses_of_all_values_sum_to_one() {
        let mixture = Mixture { components: 3, colours: 1 };
        let parameters: Batch<f64> = normal("parameters", (1, 1, 1, mixture.parameters()));
        let mass =
            |value: u8| (-view(&logistic_mixture(&mut Tape::off(), &parameters, &[value], (1, 1), mixture))[0]).exp();
        let total: f64 = (0..=255).map(mass).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }
}
