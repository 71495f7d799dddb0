//! Terms of nodes: their values and the cotangents that raise them.

use rayon::prelude::*;

use super::term::{Comparison, Member, Term};
use crate::objective::significance::significance;
use crate::ops::product::{Matrix, Write, product};
use crate::tensor::{Batch, Element, batch, image_len, shape, view};

/// The objective's values for a batch of images, and their gradients.
#[derive(Clone, Debug)]
pub struct Judged<E: Element> {
    /// The objective of each image.
    pub values: Vec<f64>,
    /// The cosine of each image's response and its target, where there is one.
    pub cosines: Vec<Option<f64>>,
    /// What raises the sum of the values: places of nodes and cotangents (N, H, W, C).
    pub cotangents: Vec<(usize, Batch<E>)>,
}

/// Adds a term of a node, for some images of the batch, to the values and to the node's cotangent.
pub(super) fn add_term<E: Element>(
    term: &Term,
    activations: &Batch<E>,
    members: &[Member],
    judged: &mut Judged<E>,
    cotangent: &mut [E],
) {
    let (_, h, w, c) = shape(activations);
    let length = h * w * c;
    match term {
        Term::Targets { targets, comparison, at: None } => {
            return add_targets(targets, *comparison, activations, members, judged, cotangent);
        }
        Term::Diversity => return add_diversity(activations, members, &mut judged.values, cotangent),
        _ => {}
    }
    for &Member { position, weight, .. } in members {
        let range = position * length..(position + 1) * length;
        let (image, cotangent) = (&view(activations)[range.clone()], &mut cotangent[range]);
        judged.values[position] += match term {
            &Term::Neuron { element } => {
                cotangent[element] += E::of(weight);
                weight * image[element].wide()
            }
            &Term::Channel { channel } => {
                let share = weight / (h * w) as f64;
                cotangent.iter_mut().skip(channel).step_by(c).for_each(|slope| *slope += E::of(share));
                share * image.iter().skip(channel).step_by(c).map(|value| value.wide()).sum::<f64>()
            }
            Term::Part { pixels, channels } => {
                let share = weight / (pixels.len() * channels.len()) as f64;
                let slope = E::of(2.0 * share);
                let mut sum = 0.0;
                for pixel in pixels.clone() {
                    let range = pixel * c + channels.start..pixel * c + channels.end;
                    let (image, cotangent) = (&image[range.clone()], &mut cotangent[range]);
                    cotangent.iter_mut().zip(image).for_each(|(sum, &value)| *sum += slope * value);
                    sum = image.iter().fold(sum, |sum, value| sum + value.wide().powi(2));
                }
                share * sum
            }
            Term::Targets { targets, comparison, at: Some(pixel) } => {
                let target = &targets[0];
                let range = pixel * c..pixel * c + target.len();
                let response: Vec<f64> = image[range.clone()].iter().map(|value| value.wide()).collect();
                let found = significance(target, &response, comparison.power);
                judged.cosines[position] = Some(found.cosine);
                let slopes = cotangent[range].iter_mut().zip(&found.gradient);
                slopes.for_each(|(slope, g)| *slope += E::of(weight * g));
                weight * found.value
            }
            _ => 0.0,
        };
    }
}

/// Adds the similarity of responses and targets.
fn add_targets<E: Element>(
    targets: &[Vec<f64>],
    Comparison { aggregation, power }: Comparison,
    activations: &Batch<E>,
    members: &[Member],
    judged: &mut Judged<E>,
    cotangent: &mut [E],
) {
    let responses = aggregation.response(activations);
    let channels = image_len(&responses);
    let mut slopes = vec![E::zero(); view(&responses).len()];
    for &Member { position, row, weight } in members {
        let target = &targets[if targets.len() == 1 { 0 } else { row }];
        let range = position * channels..position * channels + target.len();
        let response: Vec<f64> = view(&responses)[range.clone()].iter().map(|value| value.wide()).collect();
        let found = significance(target, &response, power);
        judged.values[position] += weight * found.value;
        judged.cosines[position] = Some(found.cosine);
        slopes[range].iter_mut().zip(&found.gradient).for_each(|(slope, g)| *slope = E::of(weight * g));
    }
    let slopes = aggregation.pullback(&batch(slopes, shape(&responses)), activations);
    cotangent.iter_mut().zip(view(&slopes)).for_each(|(sum, &more)| *sum += more);
}

/// `v_i = -1 / (N - 1) sum_(j != i) <u_i, u_j>`, u = G / |G| and G = a^T a the Gram matrix of a node's channels (Olah et al. 2017).
fn add_diversity<E: Element>(activations: &Batch<E>, members: &[Member], values: &mut [f64], cotangent: &mut [E]) {
    let (_, h, w, c) = shape(activations);
    let length = h * w * c;
    let image = |member: &Member| &view(activations)[member.position * length..][..length];
    let unit = |member: &Member| {
        let mut gram = vec![E::zero(); c * c];
        let a = Matrix::new(image(member), h * w, c);
        product(&mut gram, a.transposed(), a, Write::Replace);
        let norm = gram.iter().map(|value| value.wide().powi(2)).sum::<f64>().sqrt().max(1e-12);
        gram.iter_mut().for_each(|value| *value /= E::of(norm));
        (gram, norm)
    };
    let units: Vec<(Vec<E>, f64)> = members.iter().map(unit).collect();
    let dot = |a: &[E], b: &[E]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
    let share = 1.0 / members.len().saturating_sub(1).max(1) as f64;
    for (i, member) in members.iter().enumerate() {
        let (own, norm) = &units[i];
        // Each pair counts in both images' values.
        let mut pull = vec![E::zero(); c * c];
        let mut along = 0.0;
        for (j, (other, _)) in units.iter().enumerate().filter(|&(j, _)| j != i) {
            let resemblance = dot(own, other);
            values[member.position] -= member.weight * share * resemblance;
            let factor = share * (member.weight + members[j].weight);
            along += factor * resemblance;
            pull.iter_mut().zip(other).for_each(|(sum, &value)| *sum += E::of(factor) * value);
        }
        pull.par_iter_mut().zip(own).for_each(|(pull, &own)| *pull = (*pull - E::of(along) * own) * E::of(-2.0 / norm));
        let mut slope = vec![E::zero(); length];
        product(&mut slope, Matrix::new(image(member), h * w, c), Matrix::new(&pull, c, c), Write::Replace);
        cotangent[member.position * length..].iter_mut().zip(&slope).for_each(|(sum, &more)| *sum += more);
    }
}
