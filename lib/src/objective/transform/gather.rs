//! Whole pixels moved: pixel (i, j) of the result is pixel (rows[i], columns[j]) of the image, or grey where there is none.
//!
//! Crops, margins, mirrored margins and translations are such pairs of lists.

use crate::tensor::Element;

/// For each row and column of the result, the row and column of the image.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    rows: Vec<Option<usize>>,
    columns: Vec<Option<usize>>,
    width: usize,
}

impl Gather {
    /// A window of `to` whose first row and column are `offset` into an image of `from`; it may hang over.
    pub fn window(from: (usize, usize), to: (usize, usize), offset: (isize, isize)) -> Self {
        let along = |from: usize, to: usize, offset: isize| {
            let source = move |i: usize| i.checked_add_signed(offset).filter(|&source| source < from);
            (0..to).map(source).collect()
        };
        Self { rows: along(from.0, to.0, offset.0), columns: along(from.1, to.1, offset.1), width: from.1 }
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
        Self { rows: along(from.0), columns: along(from.1), width: from.1 }
    }

    /// For each pixel of the result, where its source starts.
    fn sources(&self, channels: usize) -> impl Iterator<Item = Option<usize>> {
        self.rows.iter().flat_map(move |row| {
            self.columns.iter().map(move |column| Some((row.as_ref()? * self.width + column.as_ref()?) * channels))
        })
    }

    pub fn forward<E: Element>(&self, x: &[E], y: &mut [E], channels: usize, outside: E) {
        for (pixel, source) in y.chunks_exact_mut(channels).zip(self.sources(channels)) {
            match source {
                Some(source) => pixel.copy_from_slice(&x[source..source + channels]),
                None => pixel.fill(outside),
            }
        }
    }

    /// The transpose of the linear part, added to `x`.
    pub fn scatter<E: Element>(&self, y: &[E], x: &mut [E], channels: usize) {
        for (pixel, source) in y.chunks_exact(channels).zip(self.sources(channels)) {
            if let Some(source) = source {
                x[source..source + channels].iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(gather: &Gather, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; gather.rows.len() * gather.columns.len()];
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
