//! Images of another height and width, y (N, H', W', C) of x (N, H, W, C), by ONNX's formulas of Resize.
//!
//! Along each axis place i of the result stands at a coordinate of the input, which the [`Coordinates`] give. Nearest takes the place that
//! the coordinate is rounded to. Linear and cubic interpolation weigh the places t away from it with 1 - |t| below 1, and with Keys'
//! convolution below 2 (Keys 1981), (a + 2)|t|^3 - (a + 3)|t|^2 + 1 up to 1, a |t|^3 - 5 a |t|^2 + 8 a |t| - 4 a beyond; places beyond the
//! image are its first and last ones. Against aliasing the weights of an image that is made smaller are stretched as much, and divided by
//! their sum. Each axis is a table of places and weights, its transpose that of the pullback.
//!
//! ```
//! use obverse::ops::resize::{Resampling, resize};
//! use obverse::tensor::{Tape, batch, view};
//! let x = batch(vec![0.0f64, 4.0], (1, 1, 2, 1));
//! assert_eq!(view(&resize(&mut Tape::off(), &x, (1, 4), Resampling::LINEAR)), [0.0, 1.0, 3.0, 4.0]);
//! ```

use serde::{Deserialize, Serialize};

use super::along::{Table, along};
use crate::tensor::{Batch, Element, Tape, shape};

/// What a value of a resized image is made of. `net.json` writes its name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// One pixel.
    #[default]
    Nearest,
    /// Two pixels along each axis.
    Linear,
    /// Four pixels along each axis.
    Cubic,
}

/// The coordinate x in the input, of length n, of place i of the result, of length m, where `scale` is m / n or given. `net.json` writes
/// its name in snake case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// (i + 1/2) / scale - 1/2.
    #[default]
    HalfPixel,
    /// i / scale.
    Asymmetric,
    /// i (n - 1) / (m - 1), and 0 where m is 1.
    AlignCorners,
    /// As half-pixel, and 0 where m is 1.
    PytorchHalfPixel,
    /// As half-pixel, moved so that the centres agree: by n / 2 (1 - m / (n scale)).
    HalfPixelSymmetric,
}

/// Which place a coordinate is rounded to. `net.json` writes its name in snake case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The nearest, the lower one of two.
    #[default]
    RoundPreferFloor,
    /// The nearest, the higher one of two.
    RoundPreferCeil,
    /// The one below.
    Floor,
    /// The one above.
    Ceil,
}

/// How an image is resized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// What a value is made of.
    pub interpolation: Interpolation,
    /// Where places of the result stand in the input.
    pub coordinates: Coordinates,
    /// How nearest rounds.
    pub rounding: Rounding,
    /// a of cubic interpolation.
    pub cubic: f64,
    /// The scales along height and width, where they are not the quotients of the lengths.
    pub scales: Option<[f64; 2]>,
    /// Whether an image made smaller is interpolated over as much more pixels.
    pub antialias: bool,
    /// Whether places beyond the image weigh nothing, and the others as much more.
    pub exclude_outside: bool,
}

impl Resampling {
    /// Linear interpolation, half-pixel centres.
    pub const LINEAR: Self = Self {
        interpolation: Interpolation::Linear,
        coordinates: Coordinates::HalfPixel,
        rounding: Rounding::RoundPreferFloor,
        cubic: -0.75,
        scales: None,
        antialias: false,
        exclude_outside: false,
    };

    /// What each of `to` places reads of `from`; axis 0 is the height, 1 the width.
    fn table(&self, axis: usize, from: usize, to: usize) -> Table {
        let scale = self.scales.map(|scales| scales[axis]);
        let stretch = if self.antialias { scale.unwrap_or(to as f64 / from as f64).min(1.0) } else { 1.0 };
        let row = |place: usize| {
            let at = self.coordinates.of(place as f64, from as f64, to as f64, scale);
            match self.interpolation {
                Interpolation::Nearest => vec![(clamped(self.rounding.of(at), from), 1.0)],
                Interpolation::Linear => self.weights(at, from, stretch, 1.0, |t| 1.0 - t),
                Interpolation::Cubic => self.weights(at, from, stretch, 2.0, |t| keys(t, self.cubic)),
            }
        };
        Table { length: from, rows: (0..to).map(row).collect() }
    }

    /// Places with their weights: those less than `reach` away from a coordinate, in steps of `stretch`.
    fn weights(
        &self,
        at: f64,
        from: usize,
        stretch: f64,
        reach: f64,
        weight: impl Fn(f64) -> f64,
    ) -> Vec<(usize, f64)> {
        let [first, last] = [at - reach / stretch, at + reach / stretch].map(f64::round);
        let places = (first as isize - 1..=last as isize + 1).map(|place| (place, (place as f64 - at).abs() * stretch));
        let terms = places.filter(|&(_, t)| t < reach).map(|(place, t)| (place, weight(t)));
        let is_inside = |place: isize| (0..from as isize).contains(&place);
        let terms: Vec<(isize, f64)> =
            terms.filter(|&(place, weight)| weight != 0.0 && (!self.exclude_outside || is_inside(place))).collect();
        // Elsewhere weights sum to 1 already, but for rounding.
        let sum = match self.antialias || self.exclude_outside {
            true => terms.iter().map(|(_, weight)| weight).sum::<f64>(),
            false => 1.0,
        };
        let mut row: Vec<(usize, f64)> = Vec::new();
        for (place, weight) in terms {
            let place = clamped(place as f64, from);
            match row.last_mut() {
                Some((before, total)) if *before == place => *total += weight / sum,
                _ => row.push((place, weight / sum)),
            }
        }
        row
    }

    /// The tables along height and width, each with the number of its axis; that which leaves fewer values first.
    fn tables(&self, from: (usize, usize), to: (usize, usize)) -> [(usize, Table); 2] {
        let [height, width] = [(1, self.table(0, from.0, to.0)), (2, self.table(1, from.1, to.1))];
        match to.0 * from.1 <= from.0 * to.1 {
            true => [height, width],
            false => [width, height],
        }
    }
}

impl Coordinates {
    fn of(self, place: f64, from: f64, to: f64, scale: Option<f64>) -> f64 {
        // Without a scale a division fewer, so that what should be whole is.
        let scaled = |place: f64| scale.map_or(place * from / to, |scale| place / scale);
        let half_pixel = scaled(place + 0.5) - 0.5;
        match self {
            Self::HalfPixel => half_pixel,
            Self::Asymmetric => scaled(place),
            Self::AlignCorners | Self::PytorchHalfPixel if to == 1.0 => 0.0,
            Self::AlignCorners => place * (from - 1.0) / (to - 1.0),
            Self::PytorchHalfPixel => half_pixel,
            Self::HalfPixelSymmetric => half_pixel + from / 2.0 * (1.0 - scaled(to) / from),
        }
    }
}

impl Rounding {
    fn of(self, at: f64) -> f64 {
        match self {
            Self::RoundPreferFloor => (at - 0.5).ceil(),
            Self::RoundPreferCeil => (at + 0.5).floor(),
            Self::Floor => at.floor(),
            Self::Ceil => at.ceil(),
        }
    }
}

/// The place itself, or the first or last one of an axis of this length.
fn clamped(place: f64, length: usize) -> usize {
    (place.max(0.0) as usize).min(length.saturating_sub(1))
}

/// The weight of Keys' convolution at a distance below 2.
fn keys(t: f64, a: f64) -> f64 {
    match t <= 1.0 {
        true => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
        false => ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a,
    }
}

/// x resized to `size`, height and width.
pub fn resize<E: Element>(tape: &mut Tape<E>, x: &Batch<E>, size: (usize, usize), by: Resampling) -> Batch<E> {
    let (_, h, w, _) = shape(x);
    let [(first, one), (second, other)] = by.tables((h, w), size);
    let between = along(tape, x, first, &one);
    along(tape, &between, second, &other)
}

/// The cotangent of x, of height and width `size`, for a cotangent of [`resize`].
pub(crate) fn resize_pullback<E: Element>(
    tape: &mut Tape<E>,
    cotangent: &Batch<E>,
    size: (usize, usize),
    by: Resampling,
) -> Batch<E> {
    let (_, h, w, _) = shape(cotangent);
    let [(first, one), (second, other)] = by.tables(size, (h, w));
    let between = along(tape, cotangent, second, &other.transposed());
    along(tape, &between, first, &one.transposed())
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ops::checks::{assert_close, check_directions, normal};
    use crate::ops::upsample::bilinear;
    use crate::tensor::{Tape, batch, view};
    use Coordinates::{AlignCorners, Asymmetric, HalfPixel, HalfPixelSymmetric, PytorchHalfPixel};
    use Interpolation::{Cubic, Nearest};

    const LINEAR: Resampling = Resampling::LINEAR;
    const CUBIC: Resampling = Resampling { interpolation: Cubic, ..LINEAR };

    /// 1, 4, 2, 8, 5 along the width and along the height.
    #[track_caller]
    fn check(by: Resampling, tolerance: f64, expected: &[f64]) {
        let values = vec![1.0f64, 4.0, 2.0, 8.0, 5.0];
        let wide = resize(&mut Tape::off(), &batch(values.clone(), (1, 1, 5, 1)), (1, expected.len()), by);
        assert_close(view(&wide), expected, tolerance);
        let turned = Resampling { scales: by.scales.map(|[height, width]| [width, height]), ..by };
        let high = resize(&mut Tape::off(), &batch(values, (1, 5, 1, 1)), (expected.len(), 1), turned);
        assert_eq!(view(&high), view(&wide));
    }

    /// ONNX's reference implementation, whose numbers have more than f32's digits for linear interpolation alone.
    #[test]
    fn interpolated_values_are_those_of_onnx() {
        let at = |coordinates| (Resampling { coordinates, ..LINEAR }, Resampling { coordinates, ..CUBIC });
        for coordinates in [HalfPixel, PytorchHalfPixel] {
            let (linear, cubic) = at(coordinates);
            check(linear, 1e-14, &[1.0, 2.3125, 3.875, 2.625, 3.875, 7.625, 6.3125, 5.0]);
            check(linear, 1e-14, &[2.0, 2.0, 6.0]);
            let large = [0.721496582, 2.450927734, 4.007751465, 2.071105957, 3.683654785, 7.820007324, 6.773925781];
            check(cubic, 1e-9, &[&large[..], &[4.721496582]].concat());
            check(cubic, 1e-6, &[2.055555045, 2.0, 6.277777135]);
        }
        let (linear, cubic) = at(Asymmetric);
        check(linear, 1e-14, &[1.0, 2.875, 3.5, 2.25, 5.0, 7.625, 5.75, 5.0]);
        check(linear, 1e-14, &[1.0, 8.0 / 3.0, 7.0]);
        check(cubic, 1e-9, &[1.0, 3.138671875, 3.65234375, 1.809082031, 5.09375, 8.1171875, 5.890625, 4.670410156]);
        check(cubic, 1e-6, &[1.0, 2.129629016, 7.722220898]);
        let (linear, cubic) = at(AlignCorners);
        let sevenths = [7.0, 19.0, 26.0, 18.0, 26.0, 50.0, 47.0, 35.0].map(|seventh: f64| seventh / 7.0);
        check(linear, 1e-14, &sevenths);
        check(cubic, 1e-6, &[1.0, 2.950437427, 3.915452480, 2.002913952, 3.495628595, 7.483965158, 7.370262027, 5.0]);
        for coordinates in [AlignCorners, PytorchHalfPixel] {
            check(at(coordinates).0, 1e-14, &[1.0]);
        }
        // A scale whose product with the length is no whole number, 8.75.
        let scaled = |coordinates| Resampling { coordinates, scales: Some([1.0, 1.75]), ..LINEAR };
        check(scaled(HalfPixelSymmetric), 1e-14, &sevenths);
        let sevenths = [7.0, 14.5, 26.5, 21.0, 17.0, 41.0, 51.5, 39.5].map(|seventh: f64| seventh / 7.0);
        check(scaled(HalfPixel), 1e-14, &sevenths);
    }

    #[test]
    fn the_nearest_values_are_those_of_onnx() {
        let check = |rounding, expected: [(Coordinates, [usize; 8], [usize; 3]); 3]| {
            for (coordinates, large, small) in expected {
                let by = Resampling { interpolation: Nearest, coordinates, rounding, ..LINEAR };
                check(by, 0.0, &large.map(|value| value as f64));
                check(by, 0.0, &small.map(|value| value as f64));
            }
        };
        let (half, corners) = ([1, 1, 4, 2, 2, 8, 5, 5], [1, 4, 4, 2, 2, 8, 8, 5]);
        let up = [1, 4, 2, 2, 8, 8, 5, 5];
        let down = [1, 1, 4, 4, 2, 2, 8, 5];
        check(
            Rounding::RoundPreferFloor,
            [
                (HalfPixel, half, [1, 2, 5]),
                (Asymmetric, [1, 4, 4, 2, 2, 8, 5, 5], [1, 2, 8]),
                (AlignCorners, corners, [1, 2, 5]),
            ],
        );
        check(
            Rounding::RoundPreferCeil,
            [
                (HalfPixel, half, [1, 2, 5]),
                (Asymmetric, [1, 4, 4, 2, 8, 8, 5, 5], [1, 2, 8]),
                (AlignCorners, corners, [1, 2, 5]),
            ],
        );
        check(
            Rounding::Floor,
            [
                (HalfPixel, down, [1, 2, 8]),
                (Asymmetric, [1, 1, 4, 4, 2, 8, 8, 5], [1, 4, 8]),
                (AlignCorners, down, [1, 2, 5]),
            ],
        );
        check(
            Rounding::Ceil,
            [
                (HalfPixel, up, [4, 2, 5]),
                (Asymmetric, [1, 4, 2, 2, 8, 5, 5, 5], [1, 2, 5]),
                (AlignCorners, up, [1, 2, 5]),
            ],
        );
    }

    /// ONNX's reference, and of the cubic one within the image PyTorch's `interpolate` with antialias.
    #[test]
    fn weights_against_aliasing_and_those_within_the_image_are_those_of_onnx_and_pytorch() {
        let antialias = |by: Resampling| Resampling { antialias: true, ..by };
        check(antialias(LINEAR), 1e-14, &[2.125, 34.0 / 9.0, 6.125]);
        check(antialias(CUBIC), 1e-6, &[1.997586371, 4.047618122, 6.344579079]);
        let within = Resampling { exclude_outside: true, cubic: -0.5, ..CUBIC };
        check(antialias(within), 1e-15, &[2.1230769230769235, 3.8976744186046517, 6.36923076923077]);
        let large = [0.784132841, 2.285078205, 3.997680664, 2.202026367, 3.586303711, 7.857543945, 6.486471058];
        check(within, 1e-9, &[&large[..], &[4.784132841]].concat());
    }

    #[test]
    fn both_axes_are_resized_and_linear_is_bilinear() {
        for size in [(7, 5), (2, 3), (3, 4), (1, 9)] {
            let x: Batch<f64> = normal("x", (2, 3, 4, 2));
            let y = resize(&mut Tape::off(), &x, size, LINEAR);
            assert_close(view(&y), view(&bilinear(&mut Tape::off(), &x, size)), 1e-14);
        }
    }

    #[test]
    fn the_directions_are_transposed() {
        for size in [(7, 3), (2, 5), (2, 2), (5, 8)] {
            for interpolation in [Nearest, Interpolation::Linear, Cubic] {
                let by = Resampling { interpolation, antialias: true, ..LINEAR };
                check_directions(
                    &normal("x", (2, 3, 4, 2)),
                    |tape, x| resize(tape, x, size, by),
                    |tape, cotangent, _| resize_pullback(tape, cotangent, (3, 4), by),
                );
            }
        }
    }
}
