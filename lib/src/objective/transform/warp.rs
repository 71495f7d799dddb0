//! An image scaled and turned about its centre, by bilinear interpolation; grey outside.
//!
//! Pixel p of the result reads the image at R (p - c) / scale + c, between four pixels; those outside count as grey. Sizes
//! stay. A pixel's weights are those of Lucid's and TensorFlow's `rotate`.

use std::ops::Range;

use crate::tensor::Element;

/// Where each pixel of the result reads the image.
#[derive(Clone, Debug)]
pub(super) struct Warp {
    height: usize,
    width: usize,
    /// The step in columns and rows of the image for a step right; a step down is (-down, right) turned by 90 degrees.
    step: (f64, f64),
}

/// Four pixels and their weights: where the upper left starts, and the shares of the right and the lower ones.
struct Between<E> {
    row: isize,
    column: isize,
    right: E,
    below: E,
}

/// Where the pixels of one row of the result read: column and row of the first, and the step to the next.
struct Row {
    start: (f64, f64),
    step: (f64, f64),
}

impl Row {
    /// The column and row that pixel `j` reads.
    fn position(&self, j: usize) -> (f64, f64) {
        (self.start.0 + self.step.0 * j as f64, self.start.1 + self.step.1 * j as f64)
    }

    /// What pixel `j` reads.
    fn at<E: Element>(&self, j: usize) -> Between<E> {
        let (column, row) = self.position(j);
        let (left, top) = (floor(column), floor(row));
        Between { row: top, column: left, right: E::of(column - left as f64), below: E::of(row - top as f64) }
    }

    /// The same for a pixel of the interior, where cutting is rounding down.
    fn at_interior<E: Element>(&self, j: usize) -> Between<E> {
        let (column, row) = self.position(j);
        let (left, top) = (column as i32, row as i32);
        let (right, below) = (E::of(column - f64::from(left)), E::of(row - f64::from(top)));
        Between { row: top as isize, column: left as isize, right, below }
    }
}

impl Warp {
    /// Larger by `scale` and turned by `degrees` anticlockwise.
    pub fn new((height, width): (usize, usize), scale: f64, degrees: f64) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self { height, width, step: (cosine / scale, sine / scale) }
    }

    /// Where the pixels of row `i` read.
    fn row(&self, i: usize) -> Row {
        let (right, down) = self.step;
        let centre = ((self.width as f64 - 1.0) / 2.0, (self.height as f64 - 1.0) / 2.0);
        let y = i as f64 - centre.1;
        let start = (centre.0 - right * centre.0 - down * y, centre.1 - down * centre.0 + right * y);
        Row { start, step: self.step }
    }

    /// The pixels of a row all of whose four lie within the image: they are side by side, the image being convex.
    fn interior(&self, row: &Row) -> Range<usize> {
        let inside = |&j: &usize| self.inside(&row.at::<f64>(j)).is_some();
        let first = (0..self.width).find(inside).unwrap_or(self.width);
        let last = (first..self.width).rev().find(inside);
        first..last.map_or(first, |last| last + 1)
    }

    /// Where the upper left pixel of four starts, if all four are within the image.
    fn inside<E>(&self, at: &Between<E>) -> Option<usize> {
        let (row, column) = (usize::try_from(at.row).ok()?, usize::try_from(at.column).ok()?);
        (row + 1 < self.height && column + 1 < self.width).then_some(row * self.width + column)
    }

    /// The four pixels, none for those outside, and their weights.
    fn corners<E: Element>(&self, at: &Between<E>) -> [(Option<usize>, E); 4] {
        let pixel = |down: isize, right: isize| {
            let row = usize::try_from(at.row + down).ok().filter(|&row| row < self.height)?;
            let column = usize::try_from(at.column + right).ok().filter(|&column| column < self.width)?;
            Some(row * self.width + column)
        };
        let [[upper_left, upper_right], [lower_left, lower_right]] = at.weights();
        [(pixel(0, 0), upper_left), (pixel(0, 1), upper_right), (pixel(1, 0), lower_left), (pixel(1, 1), lower_right)]
    }

    pub fn forward<E: Element>(&self, x: &[E], y: &mut [E], channels: usize, outside: E) {
        match channels {
            1 => self.forward_pixels::<E, 1>(x.as_chunks().0, y.as_chunks_mut().0, outside),
            3 => self.forward_pixels::<E, 3>(x.as_chunks().0, y.as_chunks_mut().0, outside),
            _ => self.forward_channels(x, y, channels, outside),
        }
    }

    /// The transpose of the linear part, added to `x`.
    pub fn scatter<E: Element>(&self, y: &[E], x: &mut [E], channels: usize) {
        match channels {
            1 => self.scatter_pixels::<E, 1>(y.as_chunks().0, x.as_chunks_mut().0),
            3 => self.scatter_pixels::<E, 3>(y.as_chunks().0, x.as_chunks_mut().0),
            _ => self.scatter_channels(y, x, channels),
        }
    }

    /// For few channels, known when this is compiled.
    fn forward_pixels<E: Element, const C: usize>(&self, x: &[[E; C]], y: &mut [[E; C]], outside: E) {
        for (i, pixels) in y.chunks_exact_mut(self.width).enumerate() {
            let row = self.row(i);
            let interior = self.interior(&row);
            for (j, pixel) in pixels[interior.clone()].iter_mut().enumerate() {
                let at = row.at_interior(interior.start + j);
                let start = at.row as usize * self.width + at.column as usize;
                let (upper, lower) = (&x[start..start + 2], &x[start + self.width..start + self.width + 2]);
                *pixel = weighted(at.weights(), [[upper[0], upper[1]], [lower[0], lower[1]]]);
            }
            for j in (0..interior.start).chain(interior.end..self.width) {
                let at = row.at(j);
                let [a, b, c, d] = self.corners(&at).map(|(place, _)| place.map_or([outside; C], |place| x[place]));
                pixels[j] = weighted(at.weights(), [[a, b], [c, d]]);
            }
        }
    }

    fn scatter_pixels<E: Element, const C: usize>(&self, y: &[[E; C]], x: &mut [[E; C]]) {
        for (i, pixels) in y.chunks_exact(self.width).enumerate() {
            let row = self.row(i);
            let interior = self.interior(&row);
            for (j, pixel) in pixels[interior.clone()].iter().enumerate() {
                let at = row.at_interior(interior.start + j);
                let start = at.row as usize * self.width + at.column as usize;
                let [upper, lower] = at.weights();
                let sums = &mut x[start..start + self.width + 2];
                add(&mut sums[0], pixel, upper[0]);
                add(&mut sums[1], pixel, upper[1]);
                add(&mut sums[self.width], pixel, lower[0]);
                add(&mut sums[self.width + 1], pixel, lower[1]);
            }
            for j in (0..interior.start).chain(interior.end..self.width) {
                let corners = self.corners(&row.at(j)).into_iter();
                corners.filter_map(|(place, weight)| Some((place?, weight))).for_each(|(place, weight)| {
                    add(&mut x[place], &pixels[j], weight);
                });
            }
        }
    }

    fn forward_channels<E: Element>(&self, x: &[E], y: &mut [E], channels: usize, outside: E) {
        for (i, pixels) in y.chunks_exact_mut(self.width * channels).enumerate() {
            let row = self.row(i);
            for (j, pixel) in pixels.chunks_exact_mut(channels).enumerate() {
                let corners = self.corners(&row.at::<E>(j));
                pixel.iter_mut().enumerate().for_each(|(channel, value)| {
                    let part = |&(place, weight): &(Option<usize>, E)| {
                        weight * place.map_or(outside, |place| x[place * channels + channel])
                    };
                    *value = corners.iter().map(part).sum();
                });
            }
        }
    }

    fn scatter_channels<E: Element>(&self, y: &[E], x: &mut [E], channels: usize) {
        for (i, pixels) in y.chunks_exact(self.width * channels).enumerate() {
            let row = self.row(i);
            for (j, pixel) in pixels.chunks_exact(channels).enumerate() {
                for (place, weight) in self.corners(&row.at::<E>(j)) {
                    let Some(place) = place else { continue };
                    let sums = x[place * channels..][..channels].iter_mut();
                    sums.zip(pixel).for_each(|(sum, &value)| *sum += weight * value);
                }
            }
        }
    }
}

impl<E: Element> Between<E> {
    /// Weights of the upper and lower two.
    fn weights(&self) -> [[E; 2]; 2] {
        let (left, above) = (E::one() - self.right, E::one() - self.below);
        [[left * above, self.right * above], [left * self.below, self.right * self.below]]
    }
}

/// The weighted sum of four pixels.
fn weighted<E: Element, const C: usize>([[a, b], [c, d]]: [[E; 2]; 2], [upper, lower]: [[[E; C]; 2]; 2]) -> [E; C] {
    std::array::from_fn(|channel| {
        a * upper[0][channel] + b * upper[1][channel] + c * lower[0][channel] + d * lower[1][channel]
    })
}

/// sums += weight * pixel.
fn add<E: Element, const C: usize>(sums: &mut [E; C], pixel: &[E; C], weight: E) {
    sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += weight * value);
}

/// The largest integer not above; without the call that `f64::floor` is where SSE4.1 is not assumed.
fn floor(x: f64) -> isize {
    let cut = x as isize;
    cut - isize::from((cut as f64) > x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::assert_close;

    fn forward(warp: &Warp, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        warp.forward(x, &mut y, 1, 0.5);
        y
    }

    #[test]
    fn quarter_turns_move_whole_pixels_anticlockwise() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        assert_close(&forward(&Warp::new((3, 3), 1.0, 0.0), &x), &x, 0.0);
        let turned = [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0];
        assert_close(&forward(&Warp::new((3, 3), 1.0, 90.0), &x), &turned, 1e-14);
    }

    #[test]
    fn scales_are_about_the_centre_and_grey_surrounds() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_close(&forward(&Warp::new((1, 5), 2.0, 0.0), &x), &[2.0, 2.5, 3.0, 3.5, 4.0], 1e-15);
        assert_close(&forward(&Warp::new((1, 5), 0.5, 0.0), &x), &[0.5, 1.0, 3.0, 5.0, 0.5], 1e-15);
    }

    #[test]
    fn any_number_of_channels_gives_what_one_gives() {
        let plane: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17)).collect();
        let warp = Warp::new((5, 6), 0.8, 25.0);
        let expected = forward(&warp, &plane);
        for channels in [2, 3] {
            let x: Vec<f64> = plane.iter().flat_map(|&value| vec![value; channels]).collect();
            let mut y = vec![0.0; x.len()];
            warp.forward(&x, &mut y, channels, 0.5);
            let repeated: Vec<f64> = expected.iter().flat_map(|&value| vec![value; channels]).collect();
            assert_close(&y, &repeated, 1e-15);
        }
    }
}
