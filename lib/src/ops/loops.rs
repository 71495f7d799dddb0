//! Nested loops over arrays: how many steps each takes, and how far a step goes in each of K arrays.

/// A loop over one axis of K arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loop<const K: usize> {
    /// How many steps it takes.
    pub steps: usize,
    /// How far a step goes in each array; 0 where the array does not have the axis.
    pub strides: [usize; K],
}

/// The same places in the same order by the fewest loops: without those of one step, and a loop that goes on where the one within it
/// ends joined with it.
pub(crate) fn merged<const K: usize>(loops: impl IntoIterator<Item = Loop<K>>) -> Vec<Loop<K>> {
    let mut result: Vec<Loop<K>> = Vec::new();
    for inner in loops.into_iter().filter(|inner| inner.steps != 1) {
        let whole = inner.strides.map(|stride| stride * inner.steps);
        match result.last_mut() {
            Some(outer) if outer.strides == whole => *outer = Loop { steps: outer.steps * inner.steps, ..inner },
            _ => result.push(inner),
        }
    }
    result
}

/// The number of places that nested loops visit.
pub(crate) fn count<const K: usize>(loops: &[Loop<K>]) -> usize {
    loops.iter().map(|each| each.steps).product()
}

/// The innermost loop, which may be one of a single step, and those around it.
pub(crate) fn innermost<const K: usize>(loops: &[Loop<K>]) -> (Loop<K>, &[Loop<K>]) {
    loops.split_last().map_or((Loop { steps: 1, strides: [0; K] }, &[]), |(inner, outer)| (*inner, outer))
}

/// Place number `number` that nested loops, the outermost first, visit.
pub(crate) fn place<const K: usize>(loops: &[Loop<K>], number: usize) -> [usize; K] {
    let (mut rest, mut at) = (number, [0; K]);
    for each in loops.iter().rev() {
        at.iter_mut().zip(each.strides).for_each(|(at, stride)| *at += rest % each.steps * stride);
        rest /= each.steps;
    }
    at
}

/// The places that nested loops, the outermost first, visit from number `first` on.
pub(crate) fn places<const K: usize>(loops: &[Loop<K>], first: usize) -> Places<'_, K> {
    let (mut rest, mut taken) = (first, vec![0; loops.len()]);
    for (each, taken) in loops.iter().zip(&mut taken).rev() {
        *taken = rest % each.steps;
        rest /= each.steps;
    }
    Places { loops, taken, at: place(loops, first), left: count(loops).saturating_sub(first) }
}

/// See [`places`].
pub(crate) struct Places<'a, const K: usize> {
    loops: &'a [Loop<K>],
    /// The steps that each loop has taken.
    taken: Vec<usize>,
    at: [usize; K],
    left: usize,
}

impl<const K: usize> Iterator for Places<'_, K> {
    type Item = [usize; K];

    fn next(&mut self) -> Option<[usize; K]> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        for (each, taken) in self.loops.iter().zip(&mut self.taken).rev() {
            *taken += 1;
            let starts_again = *taken == each.steps;
            for (at, stride) in self.at.iter_mut().zip(each.strides) {
                *at = if starts_again { *at - (each.steps - 1) * stride } else { *at + stride };
            }
            if !starts_again {
                break;
            }
            *taken = 0;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest() -> Vec<Loop<2>> {
        let each = |steps, strides| Loop { steps, strides };
        vec![each(2, [12, 0]), each(3, [4, 1]), each(1, [9, 9]), each(4, [1, 3])]
    }

    #[test]
    fn places_come_outermost_first_and_from_any_number_on() {
        let all: Vec<[usize; 2]> = places(&nest(), 0).collect();
        let expected: Vec<[usize; 2]> = (0..24).map(|i| [i, i / 4 % 3 + i % 4 * 3]).collect();
        assert_eq!(all, expected);
        for first in 0..25 {
            assert_eq!(places(&nest(), first).collect::<Vec<_>>(), expected[first..]);
        }
        assert_eq!(place(&nest(), 17), expected[17]);
        assert_eq!(places::<1>(&[], 0).collect::<Vec<_>>(), [[0]]);
    }

    #[test]
    fn loops_that_go_on_where_the_one_within_ends_are_one() {
        let first = nest().into_iter().map(|each| Loop { steps: each.steps, strides: [each.strides[0]] });
        assert_eq!(merged(first), [Loop { steps: 24, strides: [1] }]);
        assert_eq!(merged(nest()), nest().into_iter().filter(|each| each.steps > 1).collect::<Vec<_>>());
        assert_eq!(innermost(&merged(nest())).0, Loop { steps: 4, strides: [1, 3] });
    }
}
