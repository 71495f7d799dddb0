//! Sums and maps of several slices at once, in lanes that compilers turn into vectors. For kernels that [`super::vectorised`] runs.

use crate::tensor::Element;

/// Partial sums: as many as the widest vectors hold numbers of f32. A fixed number, so that sums are the same for any width.
pub(crate) const LANES: usize = 16;

/// The sums over slices of one length of K functions of their values.
#[inline(always)]
pub(crate) fn sums<E: Element, const S: usize, const K: usize>(
    slices: [&[E]; S],
    f: impl Fn([E; S]) -> [E; K],
) -> [E; K] {
    let mut lanes = [[E::zero(); LANES]; K];
    let parts = slices.map(|slice| slice.as_chunks::<LANES>());
    let mut add = |lane: usize, values: [E; S]| {
        lanes.iter_mut().zip(f(values)).for_each(|(lanes, term)| lanes[lane] += term);
    };
    for chunk in 0..parts[0].0.len() {
        let values = parts.map(|(chunks, _)| &chunks[chunk]);
        (0..LANES).for_each(|lane| add(lane, values.map(|values| values[lane])));
    }
    for place in 0..parts[0].1.len() {
        add(place, parts.map(|(_, rest)| rest[place]));
    }
    lanes.map(|mut lanes| {
        let mut width = LANES / 2;
        while width > 0 {
            let (low, high) = lanes.split_at_mut(width);
            low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            width /= 2;
        }
        lanes[0]
    })
}

/// Each value of `target` a function of those at its place in slices of the same length.
#[inline(always)]
pub(crate) fn fill<E: Element, const S: usize>(target: &mut [E], slices: [&[E]; S], f: impl Fn([E; S]) -> E) {
    let parts = slices.map(|slice| slice.as_chunks::<LANES>());
    let (chunks, rest) = target.as_chunks_mut::<LANES>();
    for (chunk, target) in chunks.iter_mut().enumerate() {
        let values = parts.map(|(chunks, _)| &chunks[chunk]);
        target.iter_mut().enumerate().for_each(|(lane, target)| *target = f(values.map(|values| values[lane])));
    }
    rest.iter_mut().enumerate().for_each(|(place, target)| *target = f(parts.map(|(_, rest)| rest[place])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_maps_are_those_of_the_definition_for_any_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            let (a, b): (Vec<f64>, Vec<f64>) = (0..length).map(|i| (f64::from(i), f64::from(i * i % 7))).unzip();
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(sums([&a, &b], |[a, b]| [a * b, b]), [expected, b.iter().sum()], "{length}");
            let mut target = vec![f64::NAN; a.len()];
            fill(&mut target, [&a, &b], |[a, b]| a - b);
            assert!(target.iter().zip(a.iter().zip(&b)).all(|(target, (a, b))| *target == a - b), "{length}");
        }
    }
}
