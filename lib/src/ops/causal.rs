//! Causal convolution, y = sum over terms of W * f(x) + biases; x (N, H, W, C), y (N, H, W, O), W (O, kh, kw, C').
//!
//! A kernel that is shifted down sees its row and those above, as far to each side as it is wide; shifted right, pixels above and
//! to the left; unshifted, 1 x 1, its pixel (Salimans et al. 2017). f is a term's activation; concat_elu doubles the channels.
//!
//! Activations are laid into a plane whose rows are parted by the padding's zeros. There the pixels under a row of the kernel are
//! neighbours, and the patches of all positions a matrix whose rows overlap: no patch is copied, no zero tap computed, and no
//! activation kept for the way back, where the plane is made again.
//!
//! ```
//! use dfdx::prelude::NoneTape;
//! use obverse::tensor::{batch, view};
//! use obverse::ops::InputGradient;
//! use obverse::ops::causal::{Feed, Shift, Term, causal};
//! let x = batch(vec![1.0f64, 2.0, 3.0], (1, 1, 3, 1));
//! let (weight, bias) = (batch(vec![1.0, 10.0], (1, 1, 2, 1)), batch(vec![0.0], (1, 1, 1, 1)));
//! // A kernel of 1 x 2 that sees its pixel and the one to the left.
//! let term = Term {
//!     inputs: &[&x],
//!     weight: &weight,
//!     shift: Shift::Right,
//!     feed: Feed::Plain,
//!     gradient: InputGradient::Unwanted,
//! };
//! assert_eq!(view(&causal(&mut NoneTape, &[term], &[&bias])), [10.0, 21.0, 32.0]);
//! ```

use dfdx::prelude::{Cpu, CpuError, Gradients, Tape};
use rayon::prelude::*;

use super::product::{Matrix, Target, Write, product_in_place};
use super::{InputGradient, Kernel, accumulate, vectorised};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, batch, filled_in_chunks, shape, view};

/// Parts of a batch whose weight gradients are summed apart.
const LANES: usize = 8;

/// Where a kernel lies around its pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Rows above and its own, all columns under the kernel.
    Down,
    /// Rows above and its own, columns to the left and its own.
    Right,
    /// The pixel itself, for kernels of 1 x 1.
    None,
}

impl Shift {
    /// Rows above and columns to the left that a kernel needs.
    pub fn reach(self, [kh, kw]: [usize; 2]) -> (usize, usize) {
        match self {
            Self::Down => (kh - 1, (kw - 1) / 2),
            Self::Right => (kh - 1, kw - 1),
            Self::None => (0, 0),
        }
    }
}

/// What a kernel sees of its inputs, which lie side by side in channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feed {
    /// The values.
    Plain,
    /// elu(x).
    Elu,
    /// elu([x, -x]).
    ConcatElu,
    /// elu([x, -x]) without a random share.
    DroppedConcatElu(Dropout),
}

impl Feed {
    fn channels(self, inputs: usize) -> usize {
        match self {
            Self::Plain | Self::Elu => inputs,
            Self::ConcatElu | Self::DroppedConcatElu(_) => 2 * inputs,
        }
    }
}

/// A share of activations that is left out; the others are scaled so that the mean stays (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// 16 random bits below this leave an activation out.
    limit: u16,
    stream: Stream,
}

impl Dropout {
    /// A share `p`, 0 <= p < 1, to 1/65536; `None` where nothing is left out.
    pub fn new(p: f64, stream: Stream) -> Option<Self> {
        let limit = (p * 65536.0).round().clamp(0.0, 65535.0) as u16;
        (limit > 0).then_some(Self { limit, stream })
    }

    fn scale(self) -> f64 {
        65536.0 / (65536.0 - f64::from(self.limit))
    }

    /// The bits of activations `first..first + count`, four to a draw, and where they start.
    fn bits(self, first: usize, count: usize) -> Mask {
        let draws = self.stream.bits(first / 4..(first + count).div_ceil(4));
        Mask { draws, start: first % 4, limit: self.limit }
    }
}

/// Which activations of an image are kept.
struct Mask {
    draws: Vec<u64>,
    start: usize,
    limit: u16,
}

impl Mask {
    /// Scales what is kept of values `first..` of the image, and zeroes the rest.
    #[inline(always)]
    fn apply<E: Element>(&self, first: usize, values: &mut [E], scale: E) {
        let bits: &[u16] = bytemuck::cast_slice(&self.draws);
        let limit = self.limit;
        for (value, &bits) in values.iter_mut().zip(&bits[self.start + first..]) {
            *value = if bits >= limit { *value * scale } else { E::zero() };
        }
    }
}

/// A convolution whose result is one of the terms of y.
#[derive(Clone, Copy)]
pub struct Term<'a, E: Element> {
    /// The inputs, side by side, each another tensor.
    pub inputs: &'a [&'a Batch<E>],
    /// The kernel, (O, kh, kw, C').
    pub weight: &'a Batch<E>,
    /// Where it lies.
    pub shift: Shift,
    /// What it sees.
    pub feed: Feed,
    /// Whether the inputs' gradients are wanted.
    pub gradient: InputGradient,
}

/// The sum of the terms and of the biases, each (1, 1, 1, O) or (N, 1, 1, O). Kernels fit within their reach, 1 x 1 where unshifted.
pub fn causal<E: Element>(tape: &mut impl Tape<E, Cpu>, terms: &[Term<E>], biases: &[&Batch<E>]) -> Batch<E> {
    let owned = Sum {
        terms: terms.iter().map(OwnedTerm::of).collect(),
        biases: biases.iter().map(|&bias| bias.clone()).collect(),
    };
    let Some(first) = owned.terms.first() else { return batch(Vec::new(), (0, 0, 0, 0)) };
    let ((images, height, width, _), outputs) = (shape(&first.inputs[0]), first.outputs());
    let length = height * width * outputs;
    let y = filled_in_chunks(images * length, length, Scratch::default, |scratch, image, y| {
        owned.forward(image, scratch, y);
    });
    let y = batch(y, (images, height, width, outputs));
    owned.record(tape, &y);
    y
}

/// A term that the tape keeps.
struct OwnedTerm<E: Element> {
    inputs: Vec<Batch<E>>,
    weight: Batch<E>,
    shift: Shift,
    feed: Feed,
    gradient: InputGradient,
}

/// All that is summed.
struct Sum<E: Element> {
    terms: Vec<OwnedTerm<E>>,
    biases: Vec<Batch<E>>,
}

/// Buffers a thread uses again and again.
struct Scratch<E> {
    plane: Vec<E>,
    rows: Vec<E>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { plane: Vec::new(), rows: Vec::new() }
    }
}

/// The planes of a call: `height` rows of `width` pixels that start `stride` pixels apart.
#[derive(Clone, Copy)]
struct Layout {
    height: usize,
    width: usize,
    stride: usize,
}

impl Layout {
    /// Windows in a plane, those that reach over a row's end included; their results are dropped.
    fn windows(self) -> usize {
        ((self.height.max(1)) - 1) * self.stride + self.width
    }

    /// Pixels of a plane under a kernel of `kh` rows and `kw` columns.
    fn pixels(self, [kh, kw]: [usize; 2]) -> usize {
        (self.height + kh) * self.stride + kw
    }
}

impl<E: Element> OwnedTerm<E> {
    fn of(term: &Term<E>) -> Self {
        let inputs = term.inputs.iter().map(|&input| input.clone()).collect();
        let Term { weight, shift, feed, gradient, .. } = *term;
        Self { inputs, weight: weight.clone(), shift, feed, gradient }
    }

    fn outputs(&self) -> usize {
        shape(&self.weight).0
    }

    fn kernel(&self) -> [usize; 2] {
        let (_, kh, kw, _) = shape(&self.weight);
        [kh, kw]
    }

    fn channels(&self) -> usize {
        self.feed.channels(self.inputs.iter().map(|input| shape(input).3).sum())
    }

    fn mask(&self, image: usize, length: usize) -> Option<Mask> {
        match self.feed {
            Feed::DroppedConcatElu(dropout) => Some(dropout.bits(image * length, length)),
            _ => None,
        }
    }

    /// Lays f(x) of one image into a plane.
    fn fill(&self, layout: Layout, image: usize, mask: Option<&Mask>, plane: &mut Vec<E>) {
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

    /// The patches under row `u` of the kernel, one row a window.
    fn patches<'a>(&self, layout: Layout, plane: &'a [E], u: usize) -> Matrix<'a, E> {
        let channels = self.channels();
        let [_, kw] = self.kernel();
        Matrix::strided(&plane[u * layout.stride * channels..], layout.windows(), kw * channels, channels)
    }

    /// Row `u` of the kernel, (O, kw C').
    fn weights(&self, u: usize) -> Matrix<'_, E> {
        let ([kh, kw], channels) = (self.kernel(), self.channels());
        Matrix::strided(&view(&self.weight)[u * kw * channels..], self.outputs(), kw * channels, kh * kw * channels)
    }

    /// The kernel turned round, (kh, kw, O, C'): cotangents under it become those of f(x).
    fn turned(&self) -> Vec<E> {
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

    /// Adds the cotangents of f(x), in windows' order, times the slopes that the plane tells, to the gradients of the inputs.
    fn fold(&self, layout: Layout, plane: &[E], mask: Option<&Mask>, rows: &mut [E], gradients: &mut [&mut [E]]) {
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

/// Lays f(x) of one image into a plane, with zeros around it: of the term, the layout, its kernel's reach, the image's number, the mask.
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

/// What [`OwnedTerm::fold`] does, of the term, the layout, the plane, the mask, the cotangents and the gradients.
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

/// elu([x, -x]) of a pixel: elu(x), elu(-x).
pub(crate) struct ConcatElu;

impl<E: Element> Kernel<(&[E], &mut [E], &mut [E])> for ConcatElu {
    type Output = ();

    #[inline(always)]
    fn run((x, positive, negative): (&[E], &mut [E], &mut [E])) {
        concat_elu(x, positive, negative);
    }
}

/// elu(x).
#[inline(always)]
pub(crate) fn elu<E: Element>(x: &[E], y: &mut [E]) {
    for (&x, y) in x.iter().zip(y) {
        let below = x.min(E::zero()).exponential() - E::one();
        *y = if x > E::zero() { x } else { below };
    }
}

/// elu(x) and elu(-x): one of them needs the exponential.
#[inline(always)]
fn concat_elu<E: Element>(x: &[E], positive: &mut [E], negative: &mut [E]) {
    for ((&x, positive), negative) in x.iter().zip(positive).zip(negative) {
        let below = (-x.abs()).exponential() - E::one();
        *positive = if x > E::zero() { x } else { below };
        *negative = if x > E::zero() { below } else { -x };
    }
}

#[inline(always)]
fn add_to<E: Element>(target: &mut [E], values: &[E]) {
    target.iter_mut().zip(values).for_each(|(target, &value)| *target += value);
}

/// elu'(x) = elu(x) + 1 below zero, 1 above.
#[inline(always)]
fn add_sloped<E: Element>(gradient: &mut [E], cotangent: &[E], values: &[E]) {
    for ((gradient, &cotangent), &value) in gradient.iter_mut().zip(cotangent).zip(values) {
        *gradient += cotangent * (value.min(E::zero()) + E::one());
    }
}

/// As [`add_sloped`] for elu(x), less that for elu(-x); values are scaled by 1 / `unscale`.
#[inline(always)]
fn add_both<E: Element>(gradient: &mut [E], cotangents: [&[E]; 2], values: [&[E]; 2], unscale: E) {
    let slope = |value: E| (value * unscale).min(E::zero()) + E::one();
    let pairs = cotangents[0].iter().zip(cotangents[1]).zip(values[0].iter().zip(values[1]));
    for (gradient, ((&up, &down), (&above, &below))) in gradient.iter_mut().zip(pairs) {
        *gradient += up * slope(above) - down * slope(below);
    }
}

/// One lane's results: a sum a term for its weights, (kh, kw C', O), and for each image the sum of its cotangents, (O).
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

    fn forward(&self, image: usize, scratch: &mut Scratch<E>, y: &mut [E]) {
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

    fn record<T: Tape<E, Cpu>>(self, tape: &mut T, y: &Batch<E>) {
        if !T::OWNS_TAPE {
            return;
        }
        let y = y.ghost();
        tape.add_backward_op(move |gradients| {
            let upstream = std::mem::take(&mut **gradients.get_or_alloc_mut(&y)?);
            self.backward(gradients, &upstream)
        });
    }

    fn backward(&self, gradients: &mut Gradients<E, Cpu>, upstream: &[E]) -> Result<(), CpuError> {
        let (images, height, width, _) = shape(&self.terms[0].inputs[0]);
        let (lane, outputs) = (images.div_ceil(LANES).max(1), self.terms[0].outputs());
        let mut taken = self.take(gradients)?;
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
        self.put(gradients, taken)?;
        self.add_sums(gradients, &results)
    }

    /// Takes out the gradients of the inputs that want them, each with the length of an image.
    fn take(&self, gradients: &mut Gradients<E, Cpu>) -> Result<Vec<(Vec<E>, usize)>, CpuError> {
        self.wanted()
            .map(|input| {
                let (images, ..) = shape(input);
                let values = std::mem::take(&mut **gradients.get_or_alloc_mut(input)?);
                let image = values.len() / images.max(1);
                Ok((values, image))
            })
            .collect()
    }

    fn put(&self, gradients: &mut Gradients<E, Cpu>, taken: Vec<(Vec<E>, usize)>) -> Result<(), CpuError> {
        for (input, (values, _)) in self.wanted().zip(taken) {
            **gradients.get_or_alloc_mut(input)? = values;
        }
        Ok(())
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
    fn add_sums(&self, gradients: &mut Gradients<E, Cpu>, lanes: &[Lane<E>]) -> Result<(), CpuError> {
        for (number, term) in self.terms.iter().enumerate() {
            let mut sum = vec![E::zero(); view(&term.weight).len()];
            lanes.iter().for_each(|lane| accumulate(&mut sum, &lane.weights[number]));
            let (outputs, depth) = (term.outputs(), sum.len() / term.outputs());
            let target = gradients.get_or_alloc_mut(&term.weight)?;
            target.par_chunks_mut(depth).enumerate().for_each(|(output, row)| {
                row.iter_mut().enumerate().for_each(|(k, value)| *value += sum[k * outputs + output]);
            });
        }
        for bias in &self.biases {
            let (own, outputs) = (shape(bias).0, shape(bias).3);
            let target = gradients.get_or_alloc_mut(bias)?;
            for (image, sum) in lanes.iter().flat_map(|lane| &lane.images).enumerate() {
                add_to(&mut target[if own == 1 { 0 } else { image * outputs }..][..outputs], sum);
            }
        }
        Ok(())
    }
}

impl<E: Element> OwnedTerm<E> {
    /// sum[u] += patches[u]^T delta, (kw C', O) for each row of the kernel.
    fn weight_gradient(&self, layout: Layout, plane: &[E], delta: &[E], sum: &mut [E]) {
        let delta = Matrix::new(delta, layout.windows(), self.outputs());
        for (u, sum) in sum.chunks_exact_mut(view(&self.weight).len() / self.kernel()[0]).enumerate() {
            let patches = self.patches(layout, plane, u);
            product_in_place(Target::new(sum, self.outputs()), patches.transposed(), delta, Write::Add);
        }
    }

    /// The cotangents of f(x) in windows' order, of those of y in `delta`, which starts with `lead` pixels of zeros.
    fn cotangents(&self, layout: Layout, delta: &[E], lead: usize, turned: &[E], rows: &mut Vec<E>) {
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

/// Lays cotangents of one image into a plane after `lead` pixels of zeros.
fn spread<E: Element>(
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

fn column_sums<E: Element>(values: &[E], columns: usize) -> Vec<E> {
    let mut sum = vec![E::zero(); columns];
    values.chunks_exact(columns).for_each(|row| add_to(&mut sum, row));
    sum
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::NoneTape;

    use super::*;
    use crate::ops::checks::{check_gradients, normal};
    use crate::ops::convolution::{Convolution, convolve};
    use crate::ops::window::{Padding, Window};

    fn term<'a>(inputs: &'a [&'a Batch<f64>], weight: &'a Batch<f64>, shift: Shift, feed: Feed) -> Term<'a, f64> {
        Term { inputs, weight, shift, feed, gradient: InputGradient::Wanted }
    }

    fn dropped() -> Feed {
        let dropout = Dropout::new(0.4, Stream::new(3, "dropout", 0)).map(Feed::DroppedConcatElu);
        dropout.unwrap_or(Feed::ConcatElu)
    }

    #[test]
    fn is_the_padded_convolution() {
        let x: Batch<f64> = normal("x", (3, 5, 4, 3));
        for (shift, kernel) in [
            (Shift::Down, [2, 3]),
            (Shift::Right, [2, 2]),
            (Shift::Down, [1, 3]),
            (Shift::Right, [2, 1]),
            (Shift::None, [1, 1]),
        ] {
            let (weight, bias) = (normal("w", (5, kernel[0], kernel[1], 3)), normal("b", (1, 1, 1, 5)));
            let (top, left) = shift.reach(kernel);
            let padding = Padding { top, bottom: 0, left, right: kernel[1] - 1 - left };
            let window = Window { kernel, stride: [1, 1], padding, dilation: [1, 1] };
            let convolution = Convolution { window, groups: 1 };
            let expected = convolve(&mut NoneTape, &x, &weight, Some(&bias), None, convolution, InputGradient::Wanted);
            let y = causal(&mut NoneTape, &[term(&[&x], &weight, shift, Feed::Plain)], &[&bias]);
            for (a, b) in view(&y).iter().zip(view(&expected)) {
                assert!((a - b).abs() < 1e-12, "{shift:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn gradients_are_differences_for_every_feed_and_shift() {
        for (feed, doubled) in [(Feed::Plain, 1), (Feed::Elu, 1), (Feed::ConcatElu, 2), (dropped(), 2)] {
            for (shift, kernel) in [(Shift::Down, [2, 3]), (Shift::Right, [2, 2])] {
                let inputs = [
                    normal("x", (2, 3, 4, 2)),
                    normal("w", (3, kernel[0], kernel[1], 2 * doubled)),
                    normal("a", (2, 3, 4, 1)),
                    normal("b", (2, 3, 4, 2)),
                    normal("v", (3, 1, 1, 3 * doubled)),
                    normal("bias", (1, 1, 1, 3)),
                    normal("biases", (2, 1, 1, 3)),
                ];
                check_gradients(&inputs, |tape, x| {
                    let (first, second) = ([&x[0]], [&x[2], &x[3]]);
                    let terms = [term(&first, &x[1], shift, feed), term(&second, &x[4], Shift::None, feed)];
                    causal(tape, &terms, &[&x[5], &x[6]])
                });
            }
        }
    }

    #[test]
    fn images_of_a_batch_are_treated_as_each_alone() {
        let (x, weight): (Batch<f32>, Batch<f32>) = (normal("x", (19, 6, 7, 4)), normal("w", (5, 2, 3, 8)));
        let run = |x: &Batch<f32>| {
            let gradient = InputGradient::Unwanted;
            let term = Term { inputs: &[x], weight: &weight, shift: Shift::Down, feed: Feed::ConcatElu, gradient };
            causal(&mut NoneTape, &[term], &[])
        };
        let all = run(&x);
        for image in 0..19 {
            let alone = run(&batch(view(&x)[image * 168..][..168].to_vec(), (1, 6, 7, 4)));
            assert_eq!(view(&alone), &view(&all)[image * 210..][..210]);
        }
    }

    #[test]
    fn dropout_keeps_the_mean() {
        let x: Batch<f64> = batch(vec![1.0; 2 * 64 * 64 * 4], (2, 64, 64, 4));
        // Sums the positive halves: elu(1) = 1 where kept.
        let weight = batch(vec![0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0], (1, 1, 1, 8));
        let y = causal(&mut NoneTape, &[term(&[&x], &weight, Shift::None, dropped())], &[]);
        let mean = view(&y).iter().sum::<f64>() / view(&y).len() as f64;
        // Five standard errors of 32768 draws, each of variance p / (1 - p).
        assert!((mean - 1.0).abs() < 5.0 * (0.4 / 0.6 / 32768.0f64).sqrt(), "{mean}");
    }
}
