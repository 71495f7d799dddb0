//! Weight normalisation, w = g v / |v|, the norm over all weights of one output (Salimans & Kingma 2016).
//!
//! Shapes: v (O, kh, kw, C) for a convolution, (C, kh, kw, O) for a transposed one; g (1, 1, 1, O).
//!
//! ```
//! use obverse::tensor::{Tape, batch, view};
//! use obverse::ops::weight_norm::{Outputs, weight_norm};
//! let (v, g) = (batch(vec![3.0f64, 4.0], (1, 1, 1, 2)), batch(vec![10.0], (1, 1, 1, 1)));
//! let w = weight_norm(&mut Tape::off(), &v, &g, Outputs::First);
//! assert!((view(&w)[0] - 6.0).abs() < 1e-12 && (view(&w)[1] - 8.0).abs() < 1e-12);
//! ```

use rayon::prelude::*;

use super::accumulate;
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// Which axis of v counts the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// The first: a convolution.
    First,
    /// The last: a transposed convolution.
    Last,
}

/// The number of partial sums of a row, so that the sum is vectorised.
const WAYS: usize = 8;

impl Outputs {
    /// For each output the sum of products of two arrays of v's shape.
    fn products<E: Element>(self, v: &Batch<E>, values: &[E]) -> Vec<f64> {
        let (first, _, _, last) = shape(v);
        match self {
            Self::First => {
                let each = (values.len() / first.max(1)).max(1);
                view(v).par_chunks(each).zip(values.par_chunks(each)).map(|(v, values)| dot(v, values)).collect()
            }
            Self::Last => {
                let mut sums = vec![0.0; last];
                for (v, values) in view(v).chunks_exact(last).zip(values.chunks_exact(last)) {
                    let pairs = sums.iter_mut().zip(v).zip(values);
                    pairs.for_each(|((sum, v), value)| *sum += v.wide() * value.wide());
                }
                sums
            }
        }
    }

    /// v times the factor of each element's output.
    fn scaled<E: Element>(self, v: &Batch<E>, factors: &[f64]) -> Vec<E> {
        let (first, _, _, last) = shape(v);
        let factors: Vec<E> = factors.iter().map(|&factor| E::of(factor)).collect();
        let mut result = view(v).to_vec();
        match self {
            Self::First => {
                let each = (result.len() / first.max(1)).max(1);
                let rows = result.par_chunks_mut(each).zip(&factors);
                rows.for_each(|(row, &factor)| row.iter_mut().for_each(|value| *value *= factor));
            }
            Self::Last => {
                for row in result.chunks_exact_mut(last) {
                    row.iter_mut().zip(&factors).for_each(|(value, &factor)| *value *= factor);
                }
            }
        }
        result
    }
}

/// The sum of products, in parts of a fixed order.
fn dot<E: Element>(a: &[E], b: &[E]) -> f64 {
    let mut sums = [0.0; WAYS];
    for (a, b) in a.chunks(WAYS).zip(b.chunks(WAYS)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a.wide() * b.wide());
    }
    sums.iter().sum()
}

/// w = g v / |v|.
pub fn weight_norm<E: Element>(tape: &mut Tape<E>, v: &Batch<E>, g: &Batch<E>, outputs: Outputs) -> Batch<E> {
    let (axes, scales) = match outputs {
        Outputs::First => ([1, 2, 3], [shape(v).0, 1, 1, 1]),
        Outputs::Last => ([0, 1, 2], [1, 1, 1, shape(v).3]),
    };
    let there = on_device(tape, &[v, g], shape(v), |_, values| {
        values[0] * (values[1].reshape(&scales) / values[0].squared().sum(&axes).sqrt())
    });
    if let Some(w) = there {
        return w;
    }
    let norms: Vec<f64> = outputs.products(v, view(v)).iter().map(|sum| sum.sqrt()).collect();
    let w = batch(outputs.scaled(v, &quotients(g, &norms)), shape(v));
    record(tape, [v, g, &w], norms, outputs);
    w
}

/// g / |v|.
fn quotients<E: Element>(g: &Batch<E>, norms: &[f64]) -> Vec<f64> {
    view(g).iter().zip(norms).map(|(g, norm)| g.wide() / norm).collect()
}

/// dg = <dw, v> / |v| and dv = g / |v| (dw - v <dw, v> / |v|^2).
fn record<E: Element>(tape: &mut Tape<E>, [v, g, w]: [&Batch<E>; 3], norms: Vec<f64>, outputs: Outputs) {
    if !tape.records() {
        return;
    }
    let (v, g, w) = (v.clone(), g.clone(), w.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&w);
        let along = outputs.products(&v, &upstream);
        let for_g: Vec<E> = along.iter().zip(&norms).map(|(along, norm)| E::of(along / norm)).collect();
        accumulate(gradients.of(&g), &for_g);
        let scales = quotients(&g, &norms);
        let pairs = scales.iter().zip(along.iter().zip(&norms));
        let shares: Vec<f64> = pairs.map(|(scale, (along, norm))| -scale * along / (norm * norm)).collect();
        let direct = outputs.scaled(&batch(upstream, shape(&v)), &scales);
        let target = gradients.of(&v);
        accumulate(target, &direct);
        accumulate(target, &outputs.scaled(&v, &shares));
    });
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{check_gradients, normal};

    #[test]
    fn each_output_has_the_norm_of_its_scale() {
        let (v, g): (Batch<f64>, Batch<f64>) = (normal("v", (3, 2, 2, 4)), normal("g", (1, 1, 1, 3)));
        let w = weight_norm(&mut Tape::off(), &v, &g, Outputs::First);
        for (row, g) in view(&w).chunks(16).zip(view(&g)) {
            let norm = row.iter().map(|w| w * w).sum::<f64>().sqrt();
            assert!((norm - g.abs()).abs() < 1e-12, "{norm} {g}");
        }
    }

    #[test]
    fn gradients_are_differences() {
        for (outputs, count) in [(Outputs::First, 3), (Outputs::Last, 4)] {
            let inputs = [normal("v", (3, 2, 1, 4)), normal("g", (1, 1, 1, count))];
            check_gradients(&inputs, |tape, x| weight_norm(tape, &x[0], &x[1], outputs));
        }
    }
}
