//! The likelihood under mixtures of logistics for devices.

use obverse_engine::{Program, Variable};

use super::{COEFFICIENT, HALF_BIN, LEAST_LOG_SCALE, LEAST_MASS, LOG_SCALE, MEAN, Mixture, scaled};

impl Mixture {
    /// The negative log-likelihood of each image, (N, 1, 1, 1).
    pub(super) fn there<'p>(
        self,
        program: &'p Program,
        parameters: Variable<'p>,
        pixels: &[u8],
        size: (usize, usize),
    ) -> Variable<'p> {
        let parameters = parameters.slice(1, 0, 1, size.0).slice(2, 0, 1, size.1);
        let images = parameters.shape()[0];
        let colours: Vec<(Vec<f64>, Variable<'p>)> = (0..self.colours)
            .map(|colour| {
                let values: Vec<f64> = pixels.iter().skip(colour).step_by(self.colours).map(|&x| scaled(x)).collect();
                let variable = program.constant(&values, &[images, size.0, size.1, 1]);
                (values, variable)
            })
            .collect();
        let group = |kind: usize, colour: usize| parameters.slice(3, self.place(kind, colour, 0), 1, self.components);
        let logits = parameters.slice(3, 0, 1, self.components);
        let below = logits - logits.largest(3).fixed();
        let mut joint = below - below.exp().sum(&[3]).ln();
        for (colour, (values, x)) in colours.iter().enumerate() {
            let own = group(MEAN, colour);
            let mean = self
                .coefficients(colour)
                .fold(own, |mean, (place, source)| mean + group(COEFFICIENT, place).tanh() * colours[source].1);
            let is = |f: fn(f64) -> bool| {
                let values: Vec<f64> = values.iter().map(|&x| if f(x) { 1.0 } else { 0.0 }).collect();
                program.constant(&values, &[images, size.0, size.1, 1])
            };
            joint = joint + log_mass(*x - mean, group(LOG_SCALE, colour), is(|x| x < -0.999), is(|x| x > 0.999));
        }
        let largest = joint.largest(3).fixed();
        -((joint - largest).exp().sum(&[3]).ln() + largest).sum(&[1, 2])
    }
}

/// The logarithm of a bin's mass, at a distance from the mean; `first` and `last` are 1 for the two open bins.
fn log_mass<'p>(
    distance: Variable<'p>,
    log_scale: Variable<'p>,
    first: Variable<'p>,
    last: Variable<'p>,
) -> Variable<'p> {
    let log_scale = log_scale.clamp(LEAST_LOG_SCALE, f64::INFINITY);
    let inverse = (-log_scale).exp();
    let (upper, lower, middle) =
        (inverse * (distance + HALF_BIN), inverse * (distance + -HALF_BIN), inverse * distance);
    let mass = upper.sigmoid() - lower.sigmoid();
    let is_heavy = mass.above(LEAST_MASS);
    // What is not taken must be finite too, since it is differentiated.
    let heavy = is_heavy.select(mass, mass.affine(0.0, 1.0)).ln();
    let light = middle - log_scale - middle.softplus() * 2.0 + -(127.5f64.ln());
    let shape = mass.shape();
    let [first, last] = [first.expand(&shape), last.expand(&shape)];
    let inner = is_heavy.select(heavy, light);
    first.select(upper - upper.softplus(), last.select(-lower.softplus(), inner))
}
