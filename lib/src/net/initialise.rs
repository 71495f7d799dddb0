//! Initial values of parameters. Orthogonal: Q of the QR decomposition of a normal matrix, signs fixed (Saxe et al. 2014).
//!
//! Biases, and weights where nothing else is asked, are uniform in ±1 / sqrt(fan in), PyTorch's default. Each parameter
//! draws from a stream of its own name, so that adding a layer changes no other.

use faer::Mat;

use super::graph::Graph;
use super::op::{ParameterSpec, Start};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Shape, batch};

/// How weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialisation {
    /// Rows (or columns, whichever are fewer) orthonormal.
    Orthogonal,
    /// Uniform in ±1 / sqrt(fan in), PyTorch's default.
    Uniform,
    /// Normal with variance 2 / fan in (He et al. 2015), for rectifiers.
    He,
    /// Uniform in ±sqrt(6 / (fan in + fan out)) (Glorot & Bengio 2010).
    Glorot,
}

/// The initial value of one parameter, in memory order (see [`memory_shape`]).
pub(super) fn initial<E: Element>(
    graph: &Graph,
    place: usize,
    spec: &ParameterSpec,
    initialisation: Initialisation,
    seed: u64,
) -> Batch<E> {
    let stream = Stream::new(seed, &format!("initialise {}", graph.parameter_name(place, spec)), 0);
    let count = spec.elements();
    let values = match spec.start {
        Start::Ones => vec![E::one(); count],
        Start::Zeros => vec![E::zero(); count],
        Start::Quarters => vec![E::of(0.25); count],
        Start::Bias => uniform(&stream, count, 1.0 / (fan_in(graph, place) as f64).sqrt()),
        Start::Drawn => weight(&stream, spec, fan_in(graph, place), initialisation),
    };
    batch(values, memory_shape(&spec.shape))
}

fn weight<E: Element>(stream: &Stream, spec: &ParameterSpec, fan_in: usize, initialisation: Initialisation) -> Vec<E> {
    let count = spec.elements();
    let fan_out = count / spec.shape.get(1).copied().unwrap_or(1).max(1);
    match initialisation {
        Initialisation::Orthogonal => orthogonal(stream, spec.shape[0], count / spec.shape[0]),
        Initialisation::Uniform => uniform(stream, count, 1.0 / (fan_in as f64).sqrt()),
        Initialisation::Glorot => uniform(stream, count, (6.0 / (fan_in + fan_out) as f64).sqrt()),
        Initialisation::He => {
            let scale = E::of((2.0 / fan_in as f64).sqrt());
            stream.normal::<E>(0..count).into_iter().map(|value| value * scale).collect()
        }
    }
}

/// Values that one output of the node sums over.
fn fan_in(graph: &Graph, place: usize) -> usize {
    let weight = graph.nodes[place].op.parameters(graph.input_sizes(place));
    weight.first().map_or(1, |spec| spec.shape[1..].iter().product()).max(1)
}

fn uniform<E: Element>(stream: &Stream, count: usize, bound: f64) -> Vec<E> {
    let bound = E::of(bound);
    stream.uniform::<E>(0..count).into_iter().map(|value| (value + value - E::one()) * bound).collect()
}

/// A `rows` x `columns` matrix in row order whose rows, or columns where they are fewer, are orthonormal.
fn orthogonal<E: Element>(stream: &Stream, rows: usize, columns: usize) -> Vec<E> {
    let (tall, thin) = (rows.max(columns), rows.min(columns));
    let normal: Vec<E> = stream.normal(0..tall * thin);
    // In f32 the columns would be orthogonal to 1e-5 only; the decomposition takes seconds at the largest layer.
    let qr = Mat::<f64>::from_fn(tall, thin, |i, j| normal[i * thin + j].wide()).qr();
    let (q, r) = (qr.compute_thin_Q(), qr.thin_R());
    // With the signs of R's diagonal Q is uniform among orthogonal matrices.
    let at = |i: usize, j: usize| E::of(if r[(j, j)] < 0.0 { -q[(i, j)] } else { q[(i, j)] });
    let index = 0..rows * columns;
    match rows >= columns {
        true => index.map(|k| at(k / columns, k % columns)).collect(),
        false => index.map(|k| at(k % columns, k / columns)).collect(),
    }
}

/// The shape of a parameter in memory: (O, kh, kw, I) for a file's (O, I, kh, kw), (O, 1, 1, I) for (O, I), (1, 1, 1, F)
/// for (F).
pub(crate) fn memory_shape(shape: &[usize]) -> Shape {
    match *shape {
        [outputs, inputs, kh, kw] => (outputs, kh, kw, inputs),
        [outputs, inputs] => (outputs, 1, 1, inputs),
        _ => (1, 1, 1, shape.iter().product()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_matrices_are_orthonormal_along_their_shorter_side() {
        for (rows, columns) in [(20, 7), (7, 20), (5, 5)] {
            let w: Vec<f64> = orthogonal(&Stream::new(3, "w", 0), rows, columns);
            let thin = rows.min(columns);
            for a in 0..thin {
                for b in 0..thin {
                    let dot: f64 = match rows >= columns {
                        true => (0..rows).map(|i| w[i * columns + a] * w[i * columns + b]).sum(),
                        false => (0..columns).map(|j| w[a * columns + j] * w[b * columns + j]).sum(),
                    };
                    assert!((dot - f64::from(a == b)).abs() < 1e-12, "{rows}x{columns} {a} {b} {dot}");
                }
            }
        }
    }
}
