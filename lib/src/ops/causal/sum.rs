//! The sum of the terms, and the gradients of all of them, image by image.

use rayon::prelude::*;

use super::plane::{Layout, OwnedTerm, add_to, spread};
use crate::ops::product::{Target, Write, product_in_place};
use crate::ops::{InputGradient, accumulate};
use crate::tensor::{Batch, Element, Gradients, Tape, shape, view};

/// Parts of a batch whose weight gradients are summed separately.
const LANES: usize = 8;

/// All that is summed.
pub(super) struct Sum<E: Element> {
    pub(super) terms: Vec<OwnedTerm<E>>,
    pub(super) biases: Vec<Batch<E>>,
}

/// Buffers that a thread reuses.
pub(super) struct Scratch<E> {
    plane: Vec<E>,
    rows: Vec<E>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { plane: Vec::new(), rows: Vec::new() }
    }
}

/// One lane's results: for each term the gradient of its weights, (kh, kw C', O), and for each image the sum of its cotangents, (O).
struct Lane<E> {
    weights: Vec<Vec<E>>,
    images: Vec<Vec<E>>,
}

impl<E: Element> Sum<E> {
    fn layout(&self) -> Layout {
        let (_, height, width, _) = self.terms.first().map_or((0, 0, 0, 0), |term| shape(&term.inputs[0]));
        let gap = self.terms.iter().map(|term| {
            let (kernel, (_, left)) = (term.kernel(), term.shift.reach(term.kernel()));
            left.max(kernel[1] - 1 - left)
        });
        Layout { height, width, stride: width + gap.max().unwrap_or(0) }
    }

    /// The sum of the biases of one image.
    fn bias(&self, image: usize, outputs: usize) -> Vec<E> {
        let mut sum = vec![E::zero(); outputs];
        for bias in &self.biases {
            let image = if shape(bias).0 == 1 { 0 } else { image };
            add_to(&mut sum, &view(bias)[image * outputs..][..outputs]);
        }
        sum
    }

    pub(super) fn forward(&self, image: usize, scratch: &mut Scratch<E>, y: &mut [E]) {
        let layout = self.layout();
        let outputs = y.len() / (layout.height * layout.width);
        scratch.rows.resize(layout.windows() * outputs, E::zero());
        let mut write = Write::Replace;
        for term in &self.terms {
            let mask = term.mask(image, layout.height * layout.width * term.channels());
            term.fill(layout, image, mask.as_ref(), &mut scratch.plane);
            for u in 0..term.kernel()[0] {
                let target = Target::new(&mut scratch.rows, outputs);
                let patches = term.patches(layout, &scratch.plane, u);
                product_in_place(target, patches, term.weights(u).transposed(), write);
                write = Write::Add;
            }
        }
        let bias = self.bias(image, outputs);
        let rows = scratch.rows.chunks(layout.stride * outputs);
        for (y, row) in y.chunks_exact_mut(layout.width * outputs).zip(rows) {
            for (y, row) in y.chunks_exact_mut(outputs).zip(row.chunks_exact(outputs)) {
                y.iter_mut().zip(row).zip(&bias).for_each(|((y, &row), &bias)| *y = row + bias);
            }
        }
    }

    pub(super) fn record(self, tape: &mut Tape<E>, y: &Batch<E>) {
        if !tape.records() {
            return;
        }
        let y = y.ghost();
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.take(&y);
            self.backward(gradients, &upstream)
        });
    }

    fn backward(&self, gradients: &mut Gradients<E>, upstream: &[E]) {
        let (images, height, width, _) = shape(&self.terms[0].inputs[0]);
        let (lane, outputs) = (images.div_ceil(LANES).max(1), self.terms[0].outputs());
        let mut taken = self.take(gradients);
        let mut parts: Vec<_> = taken.iter_mut().map(|(values, image)| values.chunks_mut(lane * *image)).collect();
        let lanes: Vec<_> = upstream
            .chunks(lane * height * width * outputs)
            .map(|upstream| (upstream, parts.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()))
            .collect();
        let turned: Vec<Vec<E>> = self.terms.iter().map(OwnedTerm::turned).collect();
        let results: Vec<Lane<E>> = lanes
            .into_par_iter()
            .enumerate()
            .map(|(number, (upstream, parts))| self.backward_lane(number * lane, upstream, &turned, parts))
            .collect();
        drop(parts);
        self.put(gradients, taken);
        self.add_sums(gradients, &results);
    }

    /// Takes out the gradients of the inputs that need them, each with the length of an image.
    fn take(&self, gradients: &mut Gradients<E>) -> Vec<(Vec<E>, usize)> {
        self.wanted()
            .map(|input| {
                let (images, ..) = shape(input);
                let values = gradients.take(input);
                let image = values.len() / images.max(1);
                (values, image)
            })
            .collect()
    }

    fn put(&self, gradients: &mut Gradients<E>, taken: Vec<(Vec<E>, usize)>) {
        for (input, (values, _)) in self.wanted().zip(taken) {
            gradients.put(input, values);
        }
    }

    fn wanted(&self) -> impl Iterator<Item = &Batch<E>> {
        let terms = self.terms.iter().filter(|term| term.gradient == InputGradient::Wanted);
        terms.flat_map(|term| &term.inputs)
    }

    fn backward_lane(&self, first: usize, upstream: &[E], turned: &[Vec<E>], mut parts: Vec<&mut [E]>) -> Lane<E> {
        let layout = self.layout();
        let outputs = self.terms[0].outputs();
        let mut scratch = Scratch::default();
        let mut delta = Vec::new();
        let mut sums: Vec<Vec<E>> = self.terms.iter().map(|term| vec![E::zero(); view(&term.weight).len()]).collect();
        let mut images = Vec::new();
        for (number, upstream) in upstream.chunks(layout.height * layout.width * outputs).enumerate() {
            images.push(column_sums(upstream, outputs));
            let lead = layout.stride - layout.width;
            spread(layout, upstream, outputs, lead, self.tallest(), &mut delta);
            let mut part = 0;
            for ((term, sum), turned) in self.terms.iter().zip(&mut sums).zip(turned) {
                let mask = term.mask(first + number, layout.height * layout.width * term.channels());
                term.fill(layout, first + number, mask.as_ref(), &mut scratch.plane);
                term.weight_gradient(layout, &scratch.plane, &delta[lead * outputs..], sum);
                if term.gradient == InputGradient::Wanted {
                    term.cotangents(layout, &delta, lead, turned, &mut scratch.rows);
                    let mut gradients: Vec<&mut [E]> = Vec::with_capacity(term.inputs.len());
                    for (input, values) in term.inputs.iter().zip(&mut parts[part..]) {
                        let length = layout.height * layout.width * shape(input).3;
                        gradients.push(&mut values[number * length..][..length]);
                    }
                    part += term.inputs.len();
                    term.fold(layout, &scratch.plane, mask.as_ref(), &mut scratch.rows, &mut gradients);
                }
            }
        }
        Lane { weights: sums, images }
    }

    fn tallest(&self) -> [usize; 2] {
        self.terms.iter().fold([1, 1], |[height, width], term| {
            let [kh, kw] = term.kernel();
            [height.max(kh), width.max(kw)]
        })
    }

    /// Adds the lanes' sums to the gradients of weights and biases, in order.
    fn add_sums(&self, gradients: &mut Gradients<E>, lanes: &[Lane<E>]) {
        for (number, term) in self.terms.iter().enumerate() {
            let mut sum = vec![E::zero(); view(&term.weight).len()];
            lanes.iter().for_each(|lane| accumulate(&mut sum, &lane.weights[number]));
            let (outputs, depth) = (term.outputs(), sum.len() / term.outputs());
            let target = gradients.of(&term.weight);
            target.par_chunks_mut(depth).enumerate().for_each(|(output, row)| {
                row.iter_mut().enumerate().for_each(|(k, value)| *value += sum[k * outputs + output]);
            });
        }
        for bias in &self.biases {
            let (own, outputs) = (shape(bias).0, shape(bias).3);
            let target = gradients.of(bias);
            for (image, sum) in lanes.iter().flat_map(|lane| &lane.images).enumerate() {
                add_to(&mut target[if own == 1 { 0 } else { image * outputs }..][..outputs], sum);
            }
        }
    }
}

fn column_sums<E: Element>(values: &[E], columns: usize) -> Vec<E> {
    let mut sum = vec![E::zero(); columns];
    values.chunks_exact(columns).for_each(|row| add_to(&mut sum, row));
    sum
}
