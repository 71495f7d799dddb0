//! Values whose axes are written with the same factors, so that an operation can go over them side by side.

use std::collections::BTreeMap;

use super::arrangement::{Arrangement, Factor};

/// A factor that several values share: the label of its axis, and its place within it.
pub(super) type Key = (usize, usize);

/// Values whose axes are split alike: for each, which key each factor of its memory is, and whether the images are in it.
#[derive(Debug)]
pub(super) struct Aligned {
    /// The lengths of each label's factors.
    pub lengths: BTreeMap<usize, Vec<usize>>,
    /// The values, split.
    pub values: Vec<Keyed>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub arrangement: Arrangement,
    /// The key of each place of memory.
    pub keys: Vec<Key>,
    /// The label of the axis that the images are in.
    pub batch: Option<usize>,
}

impl Aligned {
    /// The label of the axis that the images are in.
    pub fn batch(&self) -> Option<usize> {
        self.values.iter().find_map(|value| value.batch)
    }

    /// All keys, in the order of the first value of `computed` that has them all, else in that of the labels.
    pub fn order(&self, computed: &[usize], labels: &[usize]) -> Vec<Key> {
        let all = labels
            .iter()
            .flat_map(|&label| (0..self.lengths.get(&label).map_or(0, Vec::len)).map(move |index| (label, index)));
        let all: Vec<Key> = all.collect();
        let has_all = |which: &&usize| self.values[**which].keys.len() == all.len();
        computed.iter().find(has_all).map_or(all.clone(), |&which| self.values[which].keys.clone())
    }

    /// Splits values so that axes of one label have the same factors; an axis of length 1 fits any. `None` where two have no factors in
    /// common, or the images are in one axis and not in the other.
    pub fn new(values: &[(&Arrangement, &[usize])]) -> Option<Self> {
        Self::but_for(values, None)
    }

    /// As [`Aligned::new`], but for one label, whose axis is a single factor of whatever length.
    pub fn but_for(values: &[(&Arrangement, &[usize])], free: Option<usize>) -> Option<Self> {
        let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut batches: BTreeMap<usize, bool> = BTreeMap::new();
        let mut batch = None;
        for (value, labels) in values {
            // What has no images at all is the same for each of them.
            let has_batch = value.sequence().contains(&Factor::Batch);
            for (axis, &label) in labels.iter().enumerate() {
                let factors = value.axis(axis);
                if factors.is_empty() {
                    continue;
                }
                let is_batch = factors[0] == Factor::Batch;
                if is_batch && *batch.get_or_insert(label) != label {
                    return None;
                }
                let differs = has_batch && *batches.entry(label).or_insert(is_batch) != is_batch;
                if differs || factors[1..].contains(&Factor::Batch) {
                    return None;
                }
                let own = factors.iter().filter_map(|factor| match factor {
                    Factor::At(place) => Some(value.memory[*place]),
                    Factor::Batch => None,
                });
                let own: Vec<usize> = own.collect();
                if Some(label) == free {
                    continue;
                }
                let all = match lengths.get(&label) {
                    Some(others) => common(others, &own)?,
                    None => own,
                };
                lengths.insert(label, all);
            }
        }
        let split = |(value, labels): &(&Arrangement, &[usize])| keyed(value, labels, &lengths, free);
        let values = values.iter().map(split).collect::<Option<_>>()?;
        Some(Self { lengths, values })
    }

    /// The length of a key.
    pub fn length(&self, (label, index): Key) -> usize {
        self.lengths[&label][index]
    }

    /// A value of these labels as axes, these keys in memory, and the images in the axis of this label.
    pub fn arrangement(&self, labels: &[usize], order: &[Key], batch: Option<usize>) -> Arrangement {
        let axis = |&label: &usize| {
            let own = (0..self.lengths.get(&label).map_or(0, Vec::len)).map(|index| (label, index));
            let places = own.filter_map(|key| order.iter().position(|other| *other == key)).map(Factor::At);
            (batch == Some(label)).then_some(Factor::Batch).into_iter().chain(places).collect()
        };
        let memory = order.iter().map(|&key| self.length(key)).collect();
        Arrangement { memory, axes: labels.iter().map(axis).collect() }.normalised()
    }
}

fn keyed(
    value: &Arrangement,
    labels: &[usize],
    lengths: &BTreeMap<usize, Vec<usize>>,
    free: Option<usize>,
) -> Option<Keyed> {
    let mut arrangement = value.clone();
    // From the last place on, so that the others stay where they are.
    for place in (0..value.memory.len()).rev() {
        let (axis, within) = value.axes.iter().enumerate().find_map(|(axis, factors)| {
            factors.iter().position(|factor| *factor == Factor::At(place)).map(|within| (axis, within))
        })?;
        let before: usize = value.axes[axis][..within].iter().map(|factor| value.length(*factor, 1)).product();
        let own = value.memory[place];
        if Some(labels[axis]) == free {
            continue;
        }
        let (mut outer, mut parts) = (1, Vec::new());
        for &length in &lengths[&labels[axis]] {
            if outer >= before && outer < before * own {
                parts.push(length);
            }
            outer *= length;
        }
        (parts.iter().product::<usize>() == own).then_some(())?;
        arrangement = arrangement.split(place, &parts);
    }
    let mut keys = vec![(0, 0); arrangement.memory.len()];
    let mut batch = None;
    for (axis, factors) in arrangement.axes.iter().enumerate() {
        let mut index = 0;
        for factor in factors {
            match factor {
                Factor::Batch => batch = Some(labels[axis]),
                Factor::At(place) => {
                    keys[*place] = (labels[axis], index);
                    index += 1;
                }
            }
        }
    }
    Some(Keyed { arrangement, keys, batch })
}

/// Factors that both products can be written with, from the outside in.
fn common(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    let mut result = Vec::new();
    while let (Some(&last), Some(&other)) = (a.last(), b.last()) {
        let (small, large) = (last.min(other), last.max(other));
        if small == 0 || !large.is_multiple_of(small) {
            return None;
        }
        result.push(small);
        for list in [&mut a, &mut b] {
            match list.pop() {
                Some(length) if length > small => list.push(length / small),
                _ => {}
            }
        }
    }
    result.reverse();
    (a.is_empty() && b.is_empty()).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_alike() {
        let image = Arrangement::image(6, 4, 5);
        let tokens = Arrangement::new(&[20, 6], &[0, 1], true);
        let flat = image.reshaped(&[1, 6, 20], 1).unwrap();
        let aligned = Aligned::new(&[(&flat, &[0, 1, 2]), (&tokens, &[0, 2, 1])]).unwrap();
        assert_eq!(aligned.values[0].keys, aligned.values[1].keys);
        assert_eq!(common(&[2, 6], &[3, 4]), None);
        assert_eq!(common(&[4, 6], &[2, 12]), Some(vec![2, 2, 6]));
    }
}
