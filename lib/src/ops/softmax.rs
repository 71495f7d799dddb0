//! The softmax along an axis, y = e^x / sum e^x, and its logarithm; axes are counted in (N, H, W, C), so that channels are 3.
//!
//! The largest value of a group is subtracted first, so that nothing overflows. Groups along the channels lie in one piece; along other
//! axes all groups of an image's row, or of an image, are computed side by side.
//!
//! ```
//! use obverse::ops::softmax::{log_softmax, softmax};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![0.0f64, 3f64.ln(), 800.0, 800.0], (1, 1, 2, 2));
//! assert!(view(&softmax(&mut Tape::off(), &x, 3)).iter().zip([0.25, 0.75, 0.5, 0.5]).all(|(y, z)| (y - z).abs() < 1e-15));
//! assert_eq!(view(&log_softmax(&mut Tape::off(), &x, 3))[2], -(2f64.ln()));
//! ```

use obverse_engine::Variable;

use super::broadcast::lengths;
use super::{Kernel, accumulate, record_transpose, vectorised};
use crate::tensor::device::on_device;
use crate::tensor::{Batch, Element, GRAIN, Shape, Tape, batch, filled_in_chunks, shape, view};

/// Partial results of a group, so that its sum is vectorised.
const WAYS: usize = 16;

/// How groups lie: (.., length, inner), a group being the values along the middle.
#[derive(Clone, Copy)]
struct Layout {
    /// Values of a group.
    length: usize,
    /// Groups side by side.
    inner: usize,
}

impl Layout {
    fn new(shape: Shape, axis: usize) -> Self {
        let lengths = lengths(shape);
        Self { length: lengths[axis], inner: lengths[axis + 1..].iter().product() }
    }

    /// The values of groups that lie side by side.
    fn slab(self) -> usize {
        (self.length * self.inner).max(1)
    }
}

/// `length` values, slab by slab: `fill` gets scratch of so many values, a slab's first place and the slab.
fn by_slabs<E: Element>(
    length: usize,
    layout: Layout,
    scratch: usize,
    fill: impl Fn(&mut [E], usize, &mut [E]) + Sync + Send,
) -> Vec<E> {
    let slab = layout.slab();
    let chunk = GRAIN.div_ceil(slab) * slab;
    let scratch = || vec![E::zero(); scratch];
    filled_in_chunks(length, chunk, scratch, |scratch, number, part| {
        let starts = (number * chunk..).step_by(slab);
        starts.zip(part.chunks_mut(slab)).for_each(|(start, part)| fill(scratch, start, part));
    })
}

/// e^x / sum e^x, or its logarithm, of a slab; scratch of two values for each group.
struct Normalised;

impl<E: Element> Kernel<(&[E], &mut [E], Layout, bool, &mut [E])> for Normalised {
    type Output = ();

    #[inline(always)]
    fn run((x, y, layout, logarithm, scratch): (&[E], &mut [E], Layout, bool, &mut [E])) {
        if layout.inner == 1 {
            let largest = joined(x, E::neg_infinity(), |a, b| if b > a { b } else { a });
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - largest).exponential());
            let sum = joined(y, E::zero(), |a, b| a + b);
            match logarithm {
                true => {
                    let sum = sum.ln();
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - largest) - sum);
                }
                false => {
                    let share = sum.recip();
                    y.iter_mut().for_each(|y| *y *= share);
                }
            }
            return;
        }
        let (largest, sums) = scratch.split_at_mut(layout.inner);
        largest.fill(E::neg_infinity());
        for row in x.chunks_exact(layout.inner) {
            largest.iter_mut().zip(row).for_each(|(largest, &x)| *largest = if x > *largest { x } else { *largest });
        }
        sums.fill(E::zero());
        for (row, y) in x.chunks_exact(layout.inner).zip(y.chunks_exact_mut(layout.inner)) {
            for (((y, &x), &largest), sum) in y.iter_mut().zip(row).zip(&*largest).zip(&mut *sums) {
                *y = (x - largest).exponential();
                *sum += *y;
            }
        }
        sums.iter_mut().for_each(|sum| *sum = if logarithm { sum.ln() } else { sum.recip() });
        for (row, y) in x.chunks_exact(layout.inner).zip(y.chunks_exact_mut(layout.inner)) {
            for (((y, &x), &largest), &sum) in y.iter_mut().zip(row).zip(&*largest).zip(&*sums) {
                *y = if logarithm { (x - largest) - sum } else { *y * sum };
            }
        }
    }
}

/// The values of a row, joined in [`WAYS`] parts.
#[inline(always)]
fn joined<E: Element>(row: &[E], start: E, join: impl Fn(E, E) -> E) -> E {
    let mut ways = [start; WAYS];
    let parts = row.chunks_exact(WAYS);
    let rest = parts.remainder();
    parts.for_each(|part| ways.iter_mut().zip(part).for_each(|(way, &x)| *way = join(*way, x)));
    ways.iter_mut().zip(rest).for_each(|(way, &x)| *way = join(*way, x));
    ways.iter().fold(start, |a, &b| join(a, b))
}

fn normalised<E: Element>(x: &Batch<E>, axis: usize, logarithm: bool) -> Batch<E> {
    let (layout, values) = (Layout::new(shape(x), axis), view(x));
    let y = by_slabs(values.len(), layout, 2 * layout.inner, |scratch, start, y| {
        vectorised::<Normalised, _>((&values[start..start + y.len()], y, layout, logarithm, scratch));
    });
    batch(y, shape(x))
}

/// The softmax or its logarithm, for devices.
fn there(x: Variable<'_>, axis: usize, logarithm: bool) -> Variable<'_> {
    let below = x - x.largest(axis).fixed();
    let powers = below.exp();
    match logarithm {
        true => below - powers.sum(&[axis]).ln(),
        false => powers / powers.sum(&[axis]),
    }
}

/// e^x / sum e^x.
pub fn softmax<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, axis: usize) -> Batch<E> {
    if let Some(y) = on_device(tape, &[x], shape(x), |_, x| there(x[0], axis, false)) {
        return y;
    }
    let y = normalised(x, axis, false);
    let (layout, kept) = (Layout::new(shape(x), axis), y.clone());
    record_transpose(tape, x, &y, move |upstream| jacobian(layout, upstream, view(&kept)));
    y
}

/// ln(e^x / sum e^x).
pub fn log_softmax<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, axis: usize) -> Batch<E> {
    if let Some(y) = on_device(tape, &[x], shape(x), |_, x| there(x[0], axis, true)) {
        return y;
    }
    let y = normalised(x, axis, true);
    let (layout, kept) = (Layout::new(shape(x), axis), y.clone());
    record_transpose(tape, x, &y, move |upstream| {
        by_groups(layout, [upstream, view(&kept)], |[u, _]| [u], |[u, y], [sum]| u - y.exponential() * sum)
    });
    y
}

/// The cotangent of x for a cotangent of its softmax `y`: y (cotangent - sum of y cotangent), as all of y is given. Where y is one image,
/// it stands for all of them.
pub fn softmax_pullback<E: Element>(tape: &mut Tape<E>, cotangent: &Batch<E>, y: &Batch<E>, axis: usize) -> Batch<E> {
    let there = on_device(tape, &[cotangent, y], shape(cotangent), |_, values| {
        values[1] * (values[0] - (values[1] * values[0]).sum(&[axis]))
    });
    if let Some(result) = there {
        return result;
    }
    let layout = Layout::new(shape(y), axis);
    let result = batch(jacobian(layout, view(cotangent), view(y)), shape(cotangent));
    record_both(tape, cotangent, y, &result, move |upstream, cotangent, y| {
        let bent = by_groups(
            layout,
            [upstream, cotangent, y],
            |[u, c, y]| [u * y, c * y],
            |[u, c, _], [of_upstream, of_cotangent]| u * (c - of_cotangent) - c * of_upstream,
        );
        // The derivative of the softmax is symmetric.
        (jacobian(layout, upstream, y), bent)
    });
    result
}

/// The cotangent of x for a cotangent of its log-softmax, y being its softmax: cotangent - y times the sum of the cotangent. Where y is one
/// image, it stands for all of them.
pub fn log_softmax_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    y: &Batch<E>,
    axis: usize,
) -> Batch<E> {
    let there =
        on_device(tape, &[cotangent, y], shape(cotangent), |_, values| values[0] - values[1] * values[0].sum(&[axis]));
    if let Some(result) = there {
        return result;
    }
    let layout = Layout::new(shape(y), axis);
    let values = by_groups(layout, [view(cotangent), view(y)], |[c, _]| [c], |[c, y], [sum]| c - y * sum);
    let result = batch(values, shape(cotangent));
    record_both(tape, cotangent, y, &result, move |upstream, cotangent, y| {
        let turned = by_groups(layout, [upstream, y], |[u, y]| [u * y], |[u, _], [sum]| u - sum);
        (turned, by_groups(layout, [upstream, cotangent], |[_, c]| [c], |[u, _], [sum]| -u * sum))
    });
    result
}

/// y (c - sum of y c).
fn jacobian<E: Element>(layout: Layout, c: &[E], y: &[E]) -> Vec<E> {
    by_groups(layout, [c, y], |[c, y]| [c * y], |[c, y], [sum]| y * (c - sum))
}

/// Records what the gradient of `result` is for the cotangent and, image by image, for y.
fn record_both<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    y: &Batch<E>,
    result: &Batch<E>,
    back: impl FnOnce(&[E], &[E], &[E]) -> (Vec<E>, Vec<E>) + 'static,
) {
    if !tape.records() {
        return;
    }
    let (cotangent, y, result) = (cotangent.clone(), y.clone(), result.ghost());
    tape.add_backward_op(move |gradients| {
        let upstream = gradients.take(&result);
        let (turned, bent) = back(&upstream, view(&cotangent), view(&y));
        accumulate(gradients.of(&cotangent), &turned);
        let target = gradients.of(&y);
        bent.chunks(view(&y).len().max(1)).for_each(|part| accumulate(target, part));
    });
}

/// `value` of each place, given its inputs and the sums of `terms` over its group. Inputs are as long as the longest, or repeat.
fn by_groups<E: Element, const K: usize, const S: usize>(
    layout: Layout,
    inputs: [&[E]; K],
    terms: impl Fn([E; K]) -> [E; S] + Sync + Send,
    value: impl Fn([E; K], [E; S]) -> E + Sync + Send,
) -> Vec<E> {
    let length = inputs.iter().map(|input| input.len()).max().unwrap_or(0);
    by_slabs(length, layout, S * layout.inner, |scratch, start, result| {
        let inputs = inputs.map(|input| &input[start % input.len()..][..result.len()]);
        vectorised::<Grouped, _>((inputs, result, layout, scratch, &terms, &value));
    })
}

/// See [`by_groups`], of one slab.
struct Grouped;

impl<E: Element, F, G, const K: usize, const S: usize> Kernel<([&[E]; K], &mut [E], Layout, &mut [E], &F, &G)>
    for Grouped
where
    F: Fn([E; K]) -> [E; S],
    G: Fn([E; K], [E; S]) -> E,
{
    type Output = ();

    #[inline(always)]
    fn run((inputs, result, layout, sums, terms, value): ([&[E]; K], &mut [E], Layout, &mut [E], &F, &G)) {
        let Layout { length, inner } = layout;
        let inputs = inputs.map(|input| &input[..result.len()]);
        if inner == 1 {
            let mut ways = [[E::zero(); WAYS]; S];
            let mut add = |way: usize, place: usize| {
                let terms = terms(inputs.map(|input| input[place]));
                ways.iter_mut().zip(terms).for_each(|(ways, term)| ways[way] += term);
            };
            let whole = length / WAYS * WAYS;
            (0..whole).step_by(WAYS).for_each(|first| (0..WAYS).for_each(|way| add(way, first + way)));
            (whole..length).for_each(|place| add(place - whole, place));
            let sums = ways.map(|ways| ways.iter().fold(E::zero(), |a, &b| a + b));
            result.iter_mut().enumerate().for_each(|(place, result)| {
                *result = value(inputs.map(|input| input[place]), sums);
            });
            return;
        }
        sums.fill(E::zero());
        for (place, group) in (0..length).flat_map(|row| (0..inner).map(move |group| (row * inner + group, group))) {
            let terms = terms(inputs.map(|input| input[place]));
            terms.into_iter().enumerate().for_each(|(which, term)| sums[which * inner + group] += term);
        }
        for (row, result) in result.chunks_exact_mut(inner).enumerate() {
            for (group, result) in result.iter_mut().enumerate() {
                let sums = std::array::from_fn(|which| sums[which * inner + group]);
                *result = value(inputs.map(|input| input[row * inner + group]), sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::Tape;

    use super::*;
    use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};

    /// `torch.softmax` and `torch.log_softmax` of 3 sin(0..12) as (1, 3, 2, 2), along each axis, in double precision.
    #[rustfmt::skip]
    const EXPECTED: [(usize, [f64; 12], [f64; 12]); 3] = [
        (1, [0.048643576845786816, 0.7810564169523228, 0.9605744375507002, 0.17443547611229526, 0.005023426578244722, 0.0035235239311557304, 0.027150425077393583, 0.8198772884597594, 0.9463329965759684, 0.21542005911652162, 0.012275137371906353, 0.00568723542794531], [-3.023235506902396, -0.2471078949366503, -0.04022380102501912, -1.7462003701188216, -5.293642992826181, -5.648293673349755, -3.606362576098842, -0.19860059814205594, -0.05516076703225078, -1.5351653936350698, -4.400179414170173, -5.169531013950533]),
        (2, [0.06134742140706261, 0.8910054759343233, 0.9386525785929375, 0.1089945240656766, 0.1927622000460316, 0.007785064825239631, 0.8072377999539684, 0.9922149351747603, 0.9900495584371186, 0.9857455072226438, 0.009950441562881477, 0.01425449277735631], [-2.791202139563263, -0.11540470570044524, -0.0633098590862179, -2.2164576359445327, -1.6462979738800783, -4.855548146789337, -0.21413698255307143, -0.007815526643554805, -0.010000278079020219, -0.014357063959723587, -4.610138350617275, -4.250683139337103]),
        (3, [0.07416436401939114, 0.9258356359806089, 0.9092517035436395, 0.09074829645636048, 0.6471112414023412, 0.3528887585976587, 0.056828708033048334, 0.9431712919669517, 0.8496322034540935, 0.15036779654590648, 0.7970418338743389, 0.20295816612566114], [-2.6014715134554756, -0.07705855903178617, -0.09513332154666512, -2.3996655778441083, -0.4352370650989511, -1.0416024031645819, -2.867713657821226, -0.058507367068081184, -0.16295172495893423, -1.8946710091038097, -0.22684811239209204, -1.594755399376093]),
    ];

    #[test]
    fn values_are_pytorchs_along_every_axis() {
        let x: Vec<f64> = (0..12).map(|value| 3.0 * f64::from(value).sin()).collect();
        let x = batch(x, (1, 3, 2, 2));
        for (axis, softmaxes, logarithms) in EXPECTED {
            assert_close(view(&softmax(&mut Tape::off(), &x, axis)), &softmaxes, 1e-14);
            assert_close(view(&log_softmax(&mut Tape::off(), &x, axis)), &logarithms, 1e-14);
            let narrow: Batch<f32> = batch(view(&x).iter().map(|&x| x as f32).collect(), shape(&x));
            assert_close(view(&softmax(&mut Tape::off(), &narrow, axis)), &softmaxes, 5e-7);
            assert_close(view(&log_softmax(&mut Tape::off(), &narrow, axis)), &logarithms, 5e-7);
        }
    }

    #[test]
    fn long_and_short_groups_sum_to_one_and_large_values_do_not_overflow() {
        for size in [(2, 3, 5, 1), (1, 2, 40, 37), (3, 1, 1, 5000), (1, 9, 1, 2), (40, 1, 1, 10)] {
            let drawn: Batch<f32> = normal("x", size);
            let x = batch(view(&drawn).iter().map(|x| 300.0 * x + 2000.0).collect(), size);
            for axis in 1..4 {
                let (y, logarithms) = (softmax(&mut Tape::off(), &x, axis), log_softmax(&mut Tape::off(), &x, axis));
                let Layout { length, inner } = Layout::new(size, axis);
                for slab in view(&y).chunks(length * inner) {
                    for group in 0..inner {
                        let sum: f32 = slab[group..].iter().step_by(inner).sum();
                        assert!((sum - 1.0).abs() < 1e-5, "{size:?} {axis}: {sum}");
                    }
                }
                for (y, logarithm) in view(&y).iter().zip(view(&logarithms)) {
                    assert!((y - logarithm.exp()).abs() < 2e-6, "{y} {logarithm}");
                }
            }
        }
        let masked: Batch<f32> = batch(vec![f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 1.0], (1, 1, 1, 4));
        assert_eq!(view(&softmax(&mut Tape::off(), &masked, 3)), [0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn gradients_are_differences_also_through_the_pullbacks_and_with_one_image_for_all() {
        for axis in 1..4 {
            let x = normal("x", (2, 3, 2, 4));
            check_gradients(std::slice::from_ref(&x), |tape, x| softmax(tape, &x[0], axis));
            check_gradients(std::slice::from_ref(&x), |tape, x| log_softmax(tape, &x[0], axis));
            for images in [2, 1] {
                let inputs = [normal("c", (2, 3, 2, 4)), normal("x", (images, 3, 2, 4))];
                check_gradients(&inputs, |tape, x| {
                    let y = softmax(tape, &x[1], axis);
                    softmax_pullback(tape, &x[0], &y, axis)
                });
                check_gradients(&inputs, |tape, x| {
                    let y = softmax(tape, &x[1], axis);
                    log_softmax_pullback(tape, &x[0], &y, axis)
                });
            }
        }
    }

    #[test]
    fn the_pullbacks_are_the_transposed_derivatives() {
        for axis in 1..4 {
            let x = repeated(&normal("x", (1, 3, 2, 4)), 2);
            let y = softmax(&mut Tape::off(), &batch(view(&x)[..24].to_vec(), (1, 3, 2, 4)), axis);
            check_adjoint(
                &x,
                |x| softmax(&mut Tape::off(), x, axis),
                |c| softmax_pullback(&mut Tape::off(), c, &y, axis),
            );
            check_adjoint(
                &x,
                |x| log_softmax(&mut Tape::off(), x, axis),
                |c| log_softmax_pullback(&mut Tape::off(), c, &y, axis),
            );
        }
    }
}
