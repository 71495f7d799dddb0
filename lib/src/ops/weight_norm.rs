//! Weight normalisation, w = g v / |v|, the norm over all weights of one output (Salimans & Kingma 2016).
//!
//! Shapes: of a convolution v (O, kh, kw, C), of a transposed one v (C, kh, kw, O); g (1, 1, 1, O).

use dfdx::prelude::{Cpu, Tape};

use super::accumulate;
use crate::tensor::{Batch, Element, batch, shape, view};

/// Which axis of v counts the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// The first: a convolution.
    First,
    /// The last: a transposed convolution.
    Last,
}

impl Outputs {
    /// The number of outputs, and that of element `i`.
    fn places<E: Element>(self, v: &Batch<E>) -> (usize, impl Fn(usize) -> usize + use<E>) {
        let (first, _, _, last) = shape(v);
        let each = (view(v).len() / first.max(1)).max(1);
        let outputs = match self {
            Self::First => first,
            Self::Last => last,
        };
        (outputs, move |i| match self {
            Self::First => i / each,
            Self::Last => i % last,
        })
    }
}

/// w = g v / |v|.
pub fn weight_norm<E: Element>(tape: &mut impl Tape<E, Cpu>, v: &Batch<E>, g: &Batch<E>, outputs: Outputs) -> Batch<E> {
    let norms = products(v, view(v), outputs).iter().map(|sum| sum.sqrt()).collect::<Vec<_>>();
    let (_, place) = outputs.places(v);
    let scales: Vec<E> = view(g).iter().zip(&norms).map(|(g, norm)| E::of(g.wide() / norm)).collect();
    let w = view(v).iter().enumerate().map(|(i, &v)| v * scales[place(i)]).collect();
    let w = batch(w, shape(v));
    record(tape, [v, g, &w], norms, outputs);
    w
}

/// For each output the sum of v times `values`.
fn products<E: Element>(v: &Batch<E>, values: &[E], outputs: Outputs) -> Vec<f64> {
    let (count, place) = outputs.places(v);
    let mut sums = vec![0.0; count];
    for (i, (v, value)) in view(v).iter().zip(values).enumerate() {
        sums[place(i)] += v.wide() * value.wide();
    }
    sums
}

/// dg = <dw, v> / |v| and dv = g / |v| (dw - v <dw, v> / |v|^2).
fn record<E: Element, T: Tape<E, Cpu>>(tape: &mut T, [v, g, w]: [&Batch<E>; 3], norms: Vec<f64>, outputs: Outputs) {
    if !T::OWNS_TAPE {
        return;
    }
    let (v, g, w) = (v.clone(), g.clone(), w.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&w)?);
        let along = products(&v, &upstream, outputs);
        let (_, place) = outputs.places(&v);
        let for_g: Vec<E> = along.iter().zip(&norms).map(|(along, norm)| E::of(along / norm)).collect();
        let scales: Vec<E> = view(&g).iter().zip(&norms).map(|(g, norm)| E::of(g.wide() / norm)).collect();
        let shares: Vec<E> = along.iter().zip(&norms).map(|(along, norm)| E::of(along / (norm * norm))).collect();
        let pairs = view(&v).iter().zip(&upstream).enumerate();
        let for_v: Vec<E> = pairs.map(|(i, (&v, &dw))| scales[place(i)] * (dw - v * shares[place(i)])).collect();
        accumulate(gradients.get_or_alloc_mut(&g)?, &for_g);
        accumulate(gradients.get_or_alloc_mut(&v)?, &for_v);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::ops::checks::{check_gradients, normal};

    #[test]
    fn each_output_has_the_norm_of_its_scale() {
        let (v, g): (Batch<f64>, Batch<f64>) = (normal("v", (3, 2, 2, 4)), normal("g", (1, 1, 1, 3)));
        let w = weight_norm(&mut NoneTape, &v, &g, Outputs::First);
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
