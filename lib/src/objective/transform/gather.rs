//! Whole pixels moved: pixel (i, j) of the result is pixel (rows[i], columns[j]) of the image, or grey outside it.
//!
//! Crops, margins, mirrored margins and translations are such pairs of lists.

use std::ops::Range;

use crate::tensor::Element;

/// For each row of the result the row of the image, and the runs of columns.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    rows: Vec<Option<usize>>,
    columns: Vec<Run>,
    from_width: usize,
    to_width: usize,
}

/// Columns that lie side by side in the image and in the result.
#[derive(Clone, Copy, Debug)]
struct Run {
    to: usize,
    from: usize,
    length: usize,
}

impl Gather {
    fn new(from_width: usize, rows: Vec<Option<usize>>, columns: Vec<Option<usize>>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (to, from) in columns.iter().enumerate().filter_map(|(to, from)| Some((to, (*from)?))) {
            match runs.last_mut() {
                Some(run) if run.to + run.length == to && run.from + run.length == from => run.length += 1,
                _ => runs.push(Run { to, from, length: 1 }),
            }
        }
        Self { rows, columns: runs, from_width, to_width: columns.len() }
    }

    /// A window of `to` whose first row and column are `offset` into an image of `from`; it may hang over.
    pub fn window(from: (usize, usize), to: (usize, usize), offset: (isize, isize)) -> Self {
        let along = |from: usize, to: usize, offset: isize| {
            let source = move |i: usize| i.checked_add_signed(offset).filter(|&source| source < from);
            (0..to).map(source).collect()
        };
        Self::new(from.1, along(from.0, to.0, offset.0), along(from.1, to.1, offset.1))
    }

    /// The centre, cropped or with a margin.
    pub fn centred(from: (usize, usize), to: (usize, usize)) -> Self {
        let offset = |from: usize, to: usize| (from as isize - to as isize).div_euclid(2);
        Self::window(from, to, (offset(from.0, to.0), offset(from.1, to.1)))
    }

    /// A margin mirrored at the border pixels, which are not repeated; narrower than the image.
    pub fn mirrored(from: (usize, usize), margin: usize) -> Self {
        let along = |length: usize| {
            let source = move |i: usize| {
                let distance = i.abs_diff(margin);
                Some(if distance < length { distance } else { 2 * (length - 1) - distance })
            };
            (0..length + 2 * margin).map(source).collect()
        };
        Self::new(from.1, along(from.0), along(from.1))
    }

    pub fn forward<E: Element>(&self, x: &[E], y: &mut [E], channels: usize, outside: E) {
        for (row, &source) in y.chunks_exact_mut(self.to_width * channels).zip(&self.rows) {
            row.fill(outside);
            let Some(source) = source else { continue };
            for run in &self.columns {
                let (to, from) = self.ranges(run, source, channels);
                row[to].copy_from_slice(&x[from]);
            }
        }
    }

    /// The transpose of the linear part, added to `x`.
    pub fn scatter<E: Element>(&self, y: &[E], x: &mut [E], channels: usize) {
        for (row, &source) in y.chunks_exact(self.to_width * channels).zip(&self.rows) {
            let Some(source) = source else { continue };
            for run in &self.columns {
                let (to, from) = self.ranges(run, source, channels);
                x[from].iter_mut().zip(&row[to]).for_each(|(sum, &value)| *sum += value);
            }
        }
    }

    /// Where a run lies in a row of the result and, from row `source`, in the image.
    fn ranges(&self, run: &Run, source: usize, channels: usize) -> (Range<usize>, Range<usize>) {
        let (to, from) = (run.to * channels, (source * self.from_width + run.from) * channels);
        (to..to + run.length * channels, from..from + run.length * channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(gather: &Gather, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; gather.rows.len() * gather.to_width];
        gather.forward(x, &mut y, 1, 0.5);
        y
    }

    #[test]
    fn windows_hang_over_into_grey() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(forward(&Gather::window((1, 4), (1, 3), (0, -1)), &x), [0.5, 1.0, 2.0]);
        assert_eq!(forward(&Gather::window((1, 4), (1, 3), (0, 2)), &x), [3.0, 4.0, 0.5]);
        assert_eq!(forward(&Gather::centred((1, 4), (1, 2)), &x), [2.0, 3.0]);
        assert_eq!(forward(&Gather::centred((1, 4), (3, 4)), &x), [[0.5; 4], x, [0.5; 4]].concat());
    }

    #[test]
    fn mirrored_margins_do_not_repeat_the_border() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let y = forward(&Gather::mirrored((3, 3), 2), &x);
        assert_eq!(y[..7], [9.0, 8.0, 7.0, 8.0, 9.0, 8.0, 7.0]);
        assert_eq!(y[14..21], [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
    }
}
