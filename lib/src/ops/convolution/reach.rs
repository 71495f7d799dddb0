//! Which values of an axis a convolution, or its adjoint, gathers for each of its results.

use std::ops::Range;

/// One axis of a convolution: target i reads sources i s + t d - p by taps t. That of its adjoint, `turned`, reads them the other way round.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// Values that are read.
    pub(super) sources: usize,
    /// Results.
    pub(super) targets: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Padding before the first value of the convolution's input.
    pub(super) before: usize,
    pub(super) turned: bool,
}

/// Targets `step` apart that the same taps serve, from sources `advance` apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) advance: usize,
    /// Taps, and the source that the first target reads by each, which may lie outside.
    pub(super) taps: Vec<(usize, isize)>,
    /// The targets, by number, that read no source outside.
    pub(super) inside: Range<usize>,
    sources: usize,
}

impl Line {
    /// The taps that serve the target of this number.
    pub(super) fn taps_at(&self, number: usize, taps: &mut Vec<(usize, isize)>) {
        let at = |offset: isize| offset + (number * self.advance) as isize;
        taps.clear();
        taps.extend(self.taps.iter().copied().filter(|&(_, offset)| (0..self.sources as isize).contains(&at(offset))));
    }

    /// The targets, by number, that a tap of this offset serves, and the source that the first of them reads.
    pub(super) fn served(&self, offset: isize) -> (Range<usize>, usize) {
        let before = ((-offset).max(0) as usize).div_ceil(self.advance);
        let end = ((self.sources as isize - offset).max(0) as usize).div_ceil(self.advance).min(self.count);
        (before.min(end)..end, (offset + (before * self.advance) as isize) as usize)
    }
}

impl Reach {
    /// Taps that serve a target, and the source that each reads, in order.
    pub(super) fn taps(self, target: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.kernel).filter_map(move |tap| Some((tap, self.source(target, tap)?)))
    }

    fn source(self, target: usize, tap: usize) -> Option<usize> {
        let source = if self.turned {
            let at = (target + self.before).checked_sub(tap * self.dilation)?;
            at.is_multiple_of(self.stride).then_some(at / self.stride)?
        } else {
            (target * self.stride + tap * self.dilation).checked_sub(self.before)?
        };
        (source < self.sources).then_some(source)
    }

    /// The sources that some of these targets read: from the first to the last of them.
    pub(super) fn sources_of(self, targets: Range<usize>) -> Range<usize> {
        let sources = || targets.clone().flat_map(|target| self.taps(target)).map(|(_, source)| source);
        sources().min().unwrap_or(0)..sources().max().map_or(0, |last| last + 1)
    }

    /// All targets, in lines.
    pub(super) fn lines(self) -> Vec<Line> {
        let lines = if self.turned { self.stride.min(self.targets) } else { 1 };
        (0..lines).map(|first| self.line(first)).collect()
    }

    fn line(self, first: usize) -> Line {
        let (step, advance) = if self.turned { (self.stride, 1) } else { (1, self.stride) };
        let count = (self.targets - first).div_ceil(step);
        let offset = |tap: usize| {
            let shift = (tap * self.dilation) as isize;
            if !self.turned {
                return Some(shift - self.before as isize);
            }
            let (at, stride) = ((first + self.before) as isize - shift, self.stride as isize);
            (at.rem_euclid(stride) == 0).then_some(at.div_euclid(stride))
        };
        let taps: Vec<_> = (0..self.kernel).filter_map(|tap| Some((tap, offset(tap)?))).collect();
        let mut line = Line { first, step, count, advance, taps, inside: 0..count, sources: self.sources };
        let served = line.taps.iter().map(|&(_, offset)| line.served(offset).0);
        let start = served.clone().map(|served| served.start).max().unwrap_or(0);
        let end = served.map(|served| served.end).min().unwrap_or(count);
        line.inside = start.min(end)..end;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches() -> Vec<Reach> {
        let mut reaches = Vec::new();
        for (size, kernel, stride, dilation, before) in
            [(7, 3, 1, 1, 1), (8, 3, 2, 1, 1), (9, 2, 3, 2, 0), (5, 4, 1, 2, 5), (6, 1, 4, 1, 2), (4, 5, 2, 1, 4)]
        {
            let targets = (size + 2 * before - (kernel - 1) * dilation - 1) / stride + 1;
            let reach = Reach { sources: size, targets, kernel, stride, dilation, before, turned: false };
            reaches.push(reach);
            reaches.push(Reach { sources: targets, targets: size, turned: true, ..reach });
        }
        reaches
    }

    #[test]
    fn the_adjoint_reads_the_other_way_round() {
        for pair in reaches().chunks_exact(2) {
            let read =
                |reach: Reach| (0..reach.targets).flat_map(move |i| reach.taps(i).map(move |(tap, s)| (i, tap, s)));
            let mut there: Vec<_> = read(pair[0]).collect();
            let mut back: Vec<_> = read(pair[1]).map(|(i, tap, source)| (source, tap, i)).collect();
            there.sort_unstable();
            back.sort_unstable();
            assert!(!there.is_empty());
            assert_eq!(there, back);
        }
    }

    #[test]
    fn lines_hold_every_target_once_and_know_where_all_taps_serve() {
        for reach in reaches() {
            let (mut seen, mut taps) = (vec![0; reach.targets], Vec::new());
            for line in reach.lines() {
                for q in 0..line.count {
                    let target = line.first + q * line.step;
                    seen[target] += 1;
                    line.taps_at(q, &mut taps);
                    let served =
                        taps.iter().map(|&(tap, offset)| (tap, (offset + (q * line.advance) as isize) as usize));
                    let served: Vec<_> = served.collect();
                    assert_eq!(served, reach.taps(target).collect::<Vec<_>>());
                    let by = |&&(_, offset): &&(usize, isize)| line.served(offset).0.contains(&q);
                    assert_eq!(line.taps.iter().filter(by).copied().collect::<Vec<_>>(), taps);
                    assert_eq!(line.inside.contains(&q), served.len() == line.taps.len(), "{line:?}, {q}");
                }
            }
            assert!(seen.iter().all(|&count| count == 1));
        }
    }

    #[test]
    fn the_sources_of_targets_are_those_that_their_taps_read() {
        let reach = reaches()[0];
        assert_eq!([reach.sources_of(0..1), reach.sources_of(2..4), reach.sources_of(6..7)], [0..2, 1..5, 5..7]);
        assert_eq!(Reach { before: 5, ..reaches()[6] }.sources_of(0..0), 0..0);
    }
}
