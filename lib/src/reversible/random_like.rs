//! Whether a network's layers are like random matrices (Claim 2.1): their singular values compared with Marchenko & Pastur's law, the
//! correlation of W^T W x with x compared with that of random weights, and how sparse its hidden layers are.
//!
//! W is a layer's matrix of outputs x (inputs of one output), its entries of root mean square s; the singular values of a random one
//! over s sqrt(larger side) lie in [1 - sqrt g, 1 + sqrt g], g the smaller side over the larger. Source: reverse nets, section 2.

use faer::Mat;
use serde::Serialize;

use super::{Error, Result};
use crate::net::{Network, Op, Trace};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, image_len, shape, view};

/// Steps of the law's distribution function.
const STEPS: usize = 4096;

/// Marchenko & Pastur's law of the scaled singular values of a random matrix.
#[derive(Clone, Debug)]
pub struct MarchenkoPastur {
    ratio: f64,
    /// The distribution function at the ends of the steps, which are equal in the angle t of s^2 = 1 + g - 2 sqrt g cos t.
    cumulative: Vec<f64>,
}

impl MarchenkoPastur {
    /// The law of matrices whose smaller side is `ratio`, in (0, 1], times the larger.
    pub fn new(ratio: f64) -> Self {
        let density = |angle: f64| {
            let square = 1.0 + ratio - 2.0 * ratio.sqrt() * angle.cos();
            2.0 * angle.sin().powi(2) / (std::f64::consts::PI * square)
        };
        let step = std::f64::consts::PI / STEPS as f64;
        let mut sum = 0.0;
        let mut cumulative = vec![0.0];
        cumulative.extend((0..STEPS).map(|number| {
            sum += step * density((number as f64 + 0.5) * step);
            sum
        }));
        Self { ratio, cumulative }
    }

    /// The smallest and largest scaled singular value.
    pub fn edges(&self) -> [f64; 2] {
        [1.0 - self.ratio.sqrt(), 1.0 + self.ratio.sqrt()]
    }

    /// The share of scaled singular values up to `value`.
    ///
    /// ```
    /// use obverse::reversible::random_like::MarchenkoPastur;
    /// let law = MarchenkoPastur::new(0.25);
    /// assert_eq!(law.share(0.5), 0.0);
    /// assert!((law.share(1.5) - 1.0).abs() < 1e-6);
    /// ```
    pub fn share(&self, value: f64) -> f64 {
        let cosine = (1.0 + self.ratio - value * value) / (2.0 * self.ratio.sqrt());
        let place = cosine.clamp(-1.0, 1.0).acos() / std::f64::consts::PI * STEPS as f64;
        let below = (place as usize).min(STEPS - 1);
        let [low, high] = [self.cumulative[below], self.cumulative[below + 1]];
        low + (place - below as f64) * (high - low)
    }

    /// The scaled singular value up to which this share of them lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let above = self.cumulative.partition_point(|&sum| sum < share).clamp(1, STEPS);
        let [low, high] = [self.cumulative[above - 1], self.cumulative[above]];
        let angle = (above as f64 - 1.0 + ((share - low) / (high - low)).clamp(0.0, 1.0)) / STEPS as f64;
        let square = 1.0 + self.ratio - 2.0 * self.ratio.sqrt() * (std::f64::consts::PI * angle).cos();
        square.max(0.0).sqrt()
    }
}

/// The singular values of a layer's weights.
#[derive(Clone, Debug, Serialize)]
pub struct Spectrum {
    /// The node.
    pub node: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs of one output.
    pub columns: usize,
    /// The root mean square of the entries.
    pub deviation: f64,
    /// The largest difference of the share of singular values up to a number from the law's (Kolmogorov & Smirnov).
    pub distance: f64,
    /// The share of singular values above the law's upper edge.
    pub beyond: f64,
    /// The largest scaled singular value.
    pub largest: f64,
    /// The law's upper edge.
    pub edge: f64,
    /// Scaled singular values, ascending.
    #[serde(skip)]
    pub values: Vec<f64>,
    /// The expected value of each.
    #[serde(skip)]
    pub expected: Vec<f64>,
}

/// The spectrum of every convolution and linear layer, in the graph's order.
///
/// # Errors
/// A decomposition that does not converge.
pub fn spectra<E: Element>(network: &Network<E>) -> Result<Vec<Spectrum>> {
    let places = weighted_places(network);
    places.iter().map(|&place| spectrum(network, place)).collect()
}

/// The places of convolutions and linear layers.
fn weighted_places<E: Element>(network: &Network<E>) -> Vec<usize> {
    let nodes = network.graph().nodes.iter().enumerate();
    nodes.filter(|(_, node)| matches!(node.op, Op::Conv2d { .. } | Op::Linear { .. })).map(|(place, _)| place).collect()
}

fn spectrum<E: Element>(network: &Network<E>, place: usize) -> Result<Spectrum> {
    let graph = network.graph();
    let node = graph.nodes[place].name.clone();
    let specs = graph.parameters_at(place);
    let (which, spec) = &specs[0];
    let rows = spec.shape[0];
    let columns = spec.elements() / rows;
    let weight = view(&network.parameters()[*which]);
    let mut values = Mat::from_fn(rows, columns, |i, j| weight[i * columns + j].wide())
        .singular_values()
        .map_err(|_| Error::Decomposition(format!("node \"{node}\": singular values")))?;
    let deviation = root_mean_square(weight);
    let larger = rows.max(columns) as f64;
    let scale = deviation * larger.sqrt();
    values.iter_mut().for_each(|value| *value /= scale.max(f64::MIN_POSITIVE));
    values.sort_by(f64::total_cmp);
    let law = MarchenkoPastur::new(rows.min(columns) as f64 / larger);
    let count = values.len() as f64;
    let share = |place: usize| place as f64 / count;
    let gap = |(place, &value): (usize, &f64)| {
        let expected = law.share(value);
        (expected - share(place)).abs().max((expected - share(place + 1)).abs())
    };
    let edge = law.edges()[1];
    Ok(Spectrum {
        distance: values.iter().enumerate().map(gap).fold(0.0, f64::max),
        beyond: values.iter().filter(|&&value| value > edge).count() as f64 / count,
        largest: values.last().copied().unwrap_or(0.0),
        expected: (0..values.len()).map(|place| law.quantile((place as f64 + 0.5) / count)).collect(),
        node,
        rows,
        columns,
        deviation,
        edge,
        values,
    })
}

fn root_mean_square<E: Element>(values: &[E]) -> f64 {
    let square: f64 = values.iter().map(|value| value.wide() * value.wide()).sum();
    (square / values.len().max(1) as f64).sqrt()
}

/// How a layer acts on images.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// The node.
    pub node: String,
    /// The mean cosine of W^T W x with x.
    pub correlation: f64,
    /// The same of independent normal weights of the same root mean square.
    pub correlation_of_random: f64,
    /// k: the mean number of features that are not zero after the layer's rectifier; `None` where it has none.
    pub active: Option<f64>,
    /// rho dim x: the mean number of features of its input that are not zero.
    pub active_inputs: f64,
    /// Whether k < rho dim x < k^2, as the theory needs.
    pub in_range: Option<bool>,
}

/// Sums over images of the measures of each layer.
#[derive(Clone, Debug)]
pub struct Activities<E: Element> {
    random: Network<E>,
    layers: Vec<Layer>,
    images: usize,
}

/// A layer with weights.
#[derive(Clone, Copy, Debug)]
struct Layer {
    place: usize,
    /// The rectifier that reads it.
    rectifier: Option<usize>,
    /// Cosines, cosines of random weights, active features, active inputs.
    sums: [f64; 4],
}

impl<E: Element> Activities<E> {
    /// Nothing measured yet; `seed` draws the random weights.
    pub fn new(network: &Network<E>, seed: u64) -> Self {
        let graph = network.graph();
        let rectifier = |place: usize| {
            (0..graph.nodes.len())
                .find(|&next| graph.nodes[next].op.rectifier().is_some() && graph.sources(next) == [Some(place)])
        };
        let layers = weighted_places(network).into_iter();
        let layers = layers.map(|place| Layer { place, rectifier: rectifier(place), sums: [0.0; 4] }).collect();
        Self { random: randomised(network, seed), layers, images: 0 }
    }

    /// Adds the images of a trace of the network.
    pub fn add(&mut self, network: &Network<E>, trace: &Trace<E>) {
        for layer in &mut self.layers {
            let Some(x) = network.input_of(trace, layer.place) else { continue };
            layer.sums[0] += cosines(network, layer.place, x);
            layer.sums[1] += cosines(&self.random, layer.place, x);
            layer.sums[2] += layer.rectifier.and_then(|place| trace.value(place)).map_or(0.0, active);
            layer.sums[3] += active(x);
        }
        self.images +=
            self.layers.first().and_then(|layer| network.input_of(trace, layer.place)).map_or(0, |x| shape(x).0);
    }

    /// The means over all images.
    pub fn of(&self, network: &Network<E>) -> Vec<Activity> {
        let count = self.images.max(1) as f64;
        let of_layer = |layer: &Layer| {
            let [correlation, correlation_of_random, k, active_inputs] = layer.sums.map(|sum| sum / count);
            let active = layer.rectifier.map(|_| k);
            Activity {
                node: network.graph().nodes[layer.place].name.clone(),
                correlation,
                correlation_of_random,
                active,
                active_inputs,
                in_range: active.map(|k| k < active_inputs && active_inputs < k * k),
            }
        };
        self.layers.iter().map(of_layer).collect()
    }
}

/// The network with independent normal weights of each layer's root mean square.
fn randomised<E: Element>(network: &Network<E>, seed: u64) -> Network<E> {
    let mut random = network.clone();
    let specs = network.graph().parameters();
    for (which, (place, spec)) in specs.iter().enumerate().filter(|(_, (_, spec))| spec.shape.len() > 1) {
        let weight = &mut random.parameters_mut()[which];
        let deviation = E::of(root_mean_square(view(weight)));
        let name = network.graph().parameter_name(*place, spec);
        let values: Vec<E> = Stream::new(seed, &format!("random {name}"), 0).normal(0..spec.elements());
        *weight = batch(values.into_iter().map(|value| value * deviation).collect(), shape(weight));
    }
    random
}

/// The sum over rows of the cosine of W^T W x with x; 0 where one of them is zero.
fn cosines<E: Element>(network: &Network<E>, place: usize, x: &Batch<E>) -> f64 {
    let back = network.weighted(place, x).and_then(|y| network.transposed(&mut crate::tensor::Tape::off(), place, &y));
    let Some(back) = back else { return 0.0 };
    let length = image_len(x).max(1);
    let cosine = |(x, back): (&[E], &[E])| {
        let dot = |a: &[E], b: &[E]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
        let norms = (dot(x, x) * dot(back, back)).sqrt();
        if norms > 0.0 { dot(x, back) / norms } else { 0.0 }
    };
    view(x).chunks_exact(length).zip(view(&back).chunks_exact(length)).map(cosine).sum()
}

/// How many values are not zero or, for a leaky rectifier, above zero.
fn active<E: Element>(x: &Batch<E>) -> f64 {
    view(x).iter().filter(|&&value| value > E::zero()).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::op::{Linear, Relu};
    use crate::net::{Graph, Initialisation, InputSpec, Mode, Node, Size};
    use crate::ops::InputGradient;
    use crate::tensor::Tape;

    /// Two layers of these widths on vectors, with a rectifier between.
    fn network(widths: [usize; 3], initialisation: Initialisation) -> Network<f64> {
        let linear = |features| Op::Linear(Linear::new(features, true));
        let nodes = vec![
            Node::new("fc1", linear(widths[1]), "input"),
            Node::new("act1", Relu, "fc1"),
            Node::new("fc2", linear(widths[2]), "act1"),
        ];
        let outputs = [("z".to_string(), "fc2".to_string())].into();
        let graph = Graph::new(InputSpec::plain(Size::new(widths[0], 1, 1)), nodes, outputs).unwrap();
        Network::initialised(graph, initialisation, 0)
    }

    #[test]
    fn the_law_is_a_distribution_with_the_moments_of_gaussian_matrices() {
        for ratio in [0.01, 0.3, 1.0] {
            let law = MarchenkoPastur::new(ratio);
            let [low, high] = law.edges();
            assert!((law.share(high) - 1.0).abs() < 1e-6 && law.share(low) < 1e-9, "{ratio}");
            let values: Vec<f64> = (0..10_000).map(|i| law.quantile((f64::from(i) + 0.5) / 10_000.0)).collect();
            // E s^2 = 1 and E s^4 = 1 + g.
            let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / 10_000.0;
            assert!((moment(2) - 1.0).abs() < 1e-3 && (moment(4) - 1.0 - ratio).abs() < 5e-3, "{ratio}");
            assert!(values.iter().step_by(100).all(|&value| (law.quantile(law.share(value)) - value).abs() < 1e-6));
        }
    }

    #[test]
    fn random_weights_follow_the_law_and_orthogonal_ones_do_not() {
        let random = spectra(&network([300, 200, 100], Initialisation::He)).unwrap();
        assert_eq!([random[0].rows, random[0].columns, random[1].values.len()], [200, 300, 100]);
        assert!(random.iter().all(|layer| layer.distance < 0.03 && layer.beyond < 0.02), "{random:?}");
        let orthogonal = spectra(&network([300, 200, 100], Initialisation::Orthogonal)).unwrap();
        assert!(orthogonal.iter().all(|layer| layer.distance > 0.3));
    }

    /// For random weights of n x m the cosine is near 1 / sqrt(1 + m / n); orthonormal columns give 1.
    #[test]
    fn correlations_are_those_of_random_weights_and_active_features_are_counted() {
        let x: Batch<f64> = batch(Stream::new(0, "x", 0).uniform(0..40 * 300), (40, 1, 1, 300));
        let run = |initialisation| {
            let network = network([300, 600, 50], initialisation);
            let mut activities = Activities::new(&network, 1);
            for rows in [0..25, 25..40] {
                let part = batch(view(&x)[rows.start * 300..rows.end * 300].to_vec(), (rows.len(), 1, 1, 300));
                let trace = network.forward(&mut Tape::off(), &part, Mode::Inference, InputGradient::Unwanted);
                activities.add(&network, &trace);
            }
            activities.of(&network)
        };
        let random = run(Initialisation::He);
        let expected = (1.0f64 + 0.5).sqrt().recip();
        assert!((random[0].correlation - expected).abs() < 0.02, "{random:?}");
        assert!((random[0].correlation_of_random - expected).abs() < 0.02, "{random:?}");
        assert!((random[0].active.unwrap() - 300.0).abs() < 60.0 && random[0].active_inputs == 300.0, "{random:?}");
        assert_eq!(random[1].active, None);
        assert_eq!(random[1].active_inputs, random[0].active.unwrap());
        let orthogonal = run(Initialisation::Orthogonal);
        assert!((orthogonal[0].correlation - 1.0).abs() < 1e-12, "{orthogonal:?}");
    }
}
