//! Activations of one image laid into a plane with zeros between its rows, and cotangents taken out of one.

use super::dropout::Mask;
use super::elu::{add_both, add_sloped, concat_elu, elu};
use super::term::{Feed, Shift, Term};
use crate::ops::product::{Matrix, Target, Write, product_in_place};
use crate::ops::{InputGradient, Kernel, vectorised};
use crate::tensor::{Batch, Element, shape, view};

/// The planes of a call: `height` rows of `width` pixels that start `stride` pixels apart.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
}

impl Layout {
    /// Windows in a plane, including those that reach over a row's end, whose results are dropped.
    pub(super) fn windows(self) -> usize {
        ((self.height.max(1)) - 1) * self.stride + self.width
    }

    /// Pixels of a plane under a kernel of `kh` rows and `kw` columns.
    fn pixels(self, [kh, kw]: [usize; 2]) -> usize {
        (self.height + kh) * self.stride + kw
    }
}

/// A term that the tape keeps.
pub(super) struct OwnedTerm<E: Element> {
    pub(super) inputs: Vec<Batch<E>>,
    pub(super) weight: Batch<E>,
    pub(super) shift: Shift,
    feed: Feed,
    pub(super) gradient: InputGradient,
}

impl<E: Element> OwnedTerm<E> {
    pub(super) fn of(term: &Term<E>) -> Self {
        let inputs = term.inputs.iter().map(|&input| input.clone()).collect();
        let Term { weight, shift, feed, gradient, .. } = *term;
        Self { inputs, weight: weight.clone(), shift, feed, gradient }
    }

    pub(super) fn outputs(&self) -> usize {
        shape(&self.weight).0
    }

    pub(super) fn kernel(&self) -> [usize; 2] {
        let (_, kh, kw, _) = shape(&self.weight);
        [kh, kw]
    }

    pub(super) fn channels(&self) -> usize {
        self.feed.channels(self.inputs.iter().map(|input| shape(input).3).sum())
    }

    pub(super) fn mask(&self, image: usize, length: usize) -> Option<Mask> {
        match self.feed {
            Feed::DroppedConcatElu(dropout) => Some(dropout.bits(image * length, length)),
            _ => None,
        }
    }

    /// Lays f(x) of one image into a plane.
    pub(super) fn fill(&self, layout: Layout, image: usize, mask: Option<&Mask>, plane: &mut Vec<E>) {
        let (top, left) = self.shift.reach(self.kernel());
        plane.resize(layout.pixels(self.kernel()) * self.channels(), E::zero());
        vectorised::<Fill, _>((self, layout, [top, left], image, mask, plane.as_mut_slice()));
    }

    fn dropout_scale(&self) -> f64 {
        match self.feed {
            Feed::DroppedConcatElu(dropout) => dropout.scale(),
            _ => 1.0,
        }
    }

    /// f(x) of pixel `number` of the batch.
    #[inline(always)]
    fn activate(&self, number: usize, pixel: &mut [E]) {
        let half = pixel.len() / 2;
        let mut first = 0;
        for input in &self.inputs {
            let width = shape(input).3;
            let x = &view(input)[number * width..][..width];
            match self.feed {
                Feed::Plain => pixel[first..first + width].copy_from_slice(x),
                Feed::Elu => elu(x, &mut pixel[first..first + width]),
                Feed::ConcatElu | Feed::DroppedConcatElu(_) => {
                    let (positive, negative) = pixel.split_at_mut(half);
                    concat_elu(x, &mut positive[first..first + width], &mut negative[first..first + width]);
                }
            }
            first += width;
        }
    }

    /// The patches under row `u` of the kernel, one row per window.
    pub(super) fn patches<'a>(&self, layout: Layout, plane: &'a [E], u: usize) -> Matrix<'a, E> {
        let channels = self.channels();
        let [_, kw] = self.kernel();
        Matrix::strided(&plane[u * layout.stride * channels..], layout.windows(), kw * channels, channels)
    }

    /// Row `u` of the kernel, (O, kw C').
    pub(super) fn weights(&self, u: usize) -> Matrix<'_, E> {
        let ([kh, kw], channels) = (self.kernel(), self.channels());
        Matrix::strided(&view(&self.weight)[u * kw * channels..], self.outputs(), kw * channels, kh * kw * channels)
    }

    /// The kernel rotated by 180 degrees, (kh, kw, O, C'): it turns cotangents of y into those of f(x).
    pub(super) fn turned(&self) -> Vec<E> {
        let ([kh, kw], channels, outputs) = (self.kernel(), self.channels(), self.outputs());
        let taps = kh * kw;
        let mut turned = Vec::with_capacity(view(&self.weight).len());
        for tap in (0..taps).rev() {
            for output in 0..outputs {
                turned.extend_from_slice(&view(&self.weight)[(output * taps + tap) * channels..][..channels]);
            }
        }
        turned
    }

    /// Adds the cotangents of f(x), in windows' order, times the slopes read off the plane, to the gradients of the inputs.
    pub(super) fn fold(
        &self,
        layout: Layout,
        plane: &[E],
        mask: Option<&Mask>,
        rows: &mut [E],
        gradients: &mut [&mut [E]],
    ) {
        vectorised::<Fold, _>((self, layout, plane, mask, rows, gradients));
    }

    #[inline(always)]
    fn fold_pixel(&self, number: usize, cotangent: &[E], values: &[E], unscale: E, gradients: &mut [&mut [E]]) {
        let half = values.len() / 2;
        let mut first = 0;
        for (input, gradient) in self.inputs.iter().zip(gradients) {
            let width = shape(input).3;
            let gradient = &mut gradient[number * width..][..width];
            let range = first..first + width;
            match self.feed {
                Feed::Plain => add_to(gradient, &cotangent[range]),
                Feed::Elu => add_sloped(gradient, &cotangent[range.clone()], &values[range]),
                Feed::ConcatElu | Feed::DroppedConcatElu(_) => {
                    let [(up, down), (above, below)] = [cotangent.split_at(half), values.split_at(half)];
                    add_both(
                        gradient,
                        [&up[range.clone()], &down[range.clone()]],
                        [&above[range.clone()], &below[range]],
                        unscale,
                    );
                }
            }
            first += width;
        }
    }
}

impl<E: Element> OwnedTerm<E> {
    /// sum[u] += patches[u]^T delta, (kw C', O) for each row of the kernel.
    pub(super) fn weight_gradient(&self, layout: Layout, plane: &[E], delta: &[E], sum: &mut [E]) {
        let delta = Matrix::new(delta, layout.windows(), self.outputs());
        for (u, sum) in sum.chunks_exact_mut(view(&self.weight).len() / self.kernel()[0]).enumerate() {
            let patches = self.patches(layout, plane, u);
            product_in_place(Target::new(sum, self.outputs()), patches.transposed(), delta, Write::Add);
        }
    }

    /// The cotangents of f(x), in windows' order, for those of y in `delta`, which starts with `lead` pixels of zeros.
    pub(super) fn cotangents(&self, layout: Layout, delta: &[E], lead: usize, turned: &[E], rows: &mut Vec<E>) {
        let ([kh, kw], channels, outputs) = (self.kernel(), self.channels(), self.outputs());
        let left = kw - 1 - self.shift.reach(self.kernel()).1;
        rows.resize(layout.windows() * channels, E::zero());
        for (u, weights) in turned.chunks_exact(turned.len() / kh).enumerate() {
            let first = (lead - left + u * layout.stride) * outputs;
            let cotangents = Matrix::strided(&delta[first..], layout.windows(), kw * outputs, outputs);
            let write = if u == 0 { Write::Replace } else { Write::Add };
            let weights = Matrix::new(weights, kw * outputs, channels);
            product_in_place(Target::new(rows, channels), cotangents, weights, write);
        }
    }
}

/// Lays f(x) of one image into a plane, with zeros around it. Arguments: the term, the layout, its kernel's reach, the image's number, the mask, the plane.
struct Fill;

impl<E: Element> Kernel<(&OwnedTerm<E>, Layout, [usize; 2], usize, Option<&Mask>, &mut [E])> for Fill {
    type Output = ();

    #[inline(always)]
    fn run(
        (term, layout, [top, left], image, mask, plane): (
            &OwnedTerm<E>,
            Layout,
            [usize; 2],
            usize,
            Option<&Mask>,
            &mut [E],
        ),
    ) {
        let (channels, scale) = (term.channels(), E::of(term.dropout_scale()));
        let mut end = 0;
        for row in 0..layout.height {
            let first = ((row + top) * layout.stride + left) * channels;
            plane[end..first].fill(E::zero());
            end = first + layout.width * channels;
            for column in 0..layout.width {
                let pixel = &mut plane[first + column * channels..][..channels];
                let number = row * layout.width + column;
                term.activate(image * layout.height * layout.width + number, pixel);
                if let Some(mask) = mask {
                    mask.apply(number * channels, pixel, scale);
                }
            }
        }
        plane[end..].fill(E::zero());
    }
}

/// The work of [`OwnedTerm::fold`]. Arguments: the term, the layout, the plane, the mask, the cotangents and the gradients.
struct Fold;

impl<E: Element> Kernel<(&OwnedTerm<E>, Layout, &[E], Option<&Mask>, &mut [E], &mut [&mut [E]])> for Fold {
    type Output = ();

    #[inline(always)]
    fn run(
        (term, layout, plane, mask, rows, gradients): (
            &OwnedTerm<E>,
            Layout,
            &[E],
            Option<&Mask>,
            &mut [E],
            &mut [&mut [E]],
        ),
    ) {
        let (top, left) = term.shift.reach(term.kernel());
        let (channels, scale) = (term.channels(), E::of(term.dropout_scale()));
        let unscale = E::of(1.0 / term.dropout_scale());
        for row in 0..layout.height {
            for column in 0..layout.width {
                let (place, number) = (row * layout.stride + column, row * layout.width + column);
                let cotangent = &mut rows[place * channels..][..channels];
                if let Some(mask) = mask {
                    mask.apply(number * channels, cotangent, scale);
                }
                let values = &plane[((row + top) * layout.stride + left + column) * channels..][..channels];
                term.fold_pixel(number, cotangent, values, unscale, gradients);
            }
        }
    }
}

/// Lays cotangents of one image into a plane after `lead` pixels of zeros.
pub(super) fn spread<E: Element>(
    layout: Layout,
    values: &[E],
    channels: usize,
    lead: usize,
    kernel: [usize; 2],
    plane: &mut Vec<E>,
) {
    plane.clear();
    plane.resize((lead + layout.pixels(kernel)) * channels, E::zero());
    let rows = plane[lead * channels..].chunks_exact_mut(layout.stride * channels);
    for (row, values) in rows.zip(values.chunks_exact(layout.width * channels)) {
        row[..values.len()].copy_from_slice(values);
    }
}

#[inline(always)]
pub(super) fn add_to<E: Element>(target: &mut [E], values: &[E]) {
    target.iter_mut().zip(values).for_each(|(target, &value)| *target += value);
}
