//! An axis of a plot: its range, its ticks at multiples of 1, 2 or 5 times a power of ten, and their numbers. On a logarithmic one
//! ticks stand at 1, 2 and 5 times the powers of ten, or at these alone.

use super::{Error, Result};

/// Steps of an axis at most.
const MOST: usize = 12;

/// The part of its larger end that a range spans at least: the numbers of its ticks then differ within 12 digits, and f64
/// has 15.
const NARROW: f64 = 1e-9;

/// Ranges of less than this have no step above the smallest float.
const TINY: f64 = 1e-300;

/// The part of a step by which a quotient of floats may miss a whole number.
const SLACK: f64 = 1e-6;

/// A place with a number beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where it stands.
    pub value: f64,
    /// How it is written.
    pub label: String,
}

/// What is at equal distances on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Numbers of equal differences.
    Linear,
    /// Numbers of equal ratios.
    Logarithmic,
}

/// An axis with its ticks, from the lowest.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// At equal distances on a linear axis.
    pub ticks: Vec<Tick>,
}

impl Axis {
    /// The axis `name` over exactly the range asked for, or else over `data` widened to whole steps; with as many ticks as
    /// `fit`.
    ///
    /// # Errors
    /// `Range` for data that are not finite and for a range that is not finite, reversed or too narrow.
    pub fn new(
        name: &'static str,
        data: [f64; 2],
        asked: Option<[f64; 2]>,
        fit: impl Fn(&[Tick]) -> bool,
    ) -> Result<Self> {
        let refused = |[low, high]: [f64; 2]| Error::Range { axis: name, low, high };
        if !(data[1] - data[0]).is_finite() {
            return Err(refused(data));
        }
        let range = asked.unwrap_or_else(|| widened(data));
        if !is_wide(range) {
            return Err(refused(range));
        }
        let divided = |count| Self::divided(range, asked.is_some(), count);
        Ok((2..=MOST).rev().map(divided).find(|axis| fit(&axis.ticks)).unwrap_or_else(|| divided(1)))
    }

    /// `count` steps or fewer, the outermost of which may reach beyond the range unless it is `exact`.
    fn divided([low, high]: [f64; 2], exact: bool, count: usize) -> Self {
        let (digit, exponent) = round_step((high - low) / count as f64);
        let step = decimal(digit, exponent);
        let (first, last) = match exact {
            true => ((low / step - SLACK).ceil(), (high / step + SLACK).floor()),
            false => ((low / step + SLACK).floor(), (high / step - SLACK).ceil()),
        };
        let values: Vec<f64> = (first as i64..=last as i64).map(|i| decimal(i * digit, exponent)).collect();
        let (low, high) = match (exact, values.first(), values.last()) {
            (false, Some(&first), Some(&last)) => (first, last),
            _ => (low, high),
        };
        let largest = low.abs().max(high.abs());
        let ticks = values.iter().map(|&value| Tick { value, label: label(value, largest, exponent) });
        Self { scale: Scale::Linear, low, high, ticks: ticks.collect() }
    }

    /// The logarithmic axis `name` over `data` widened to ticks; with as many ticks as `fit`.
    ///
    /// # Errors
    /// `Range` for data that are not finite, `Logarithm` for data that are not positive.
    pub fn logarithmic(name: &'static str, data: [f64; 2], fit: impl Fn(&[Tick]) -> bool) -> Result<Self> {
        let [low, high] = data;
        if !(high - low).is_finite() {
            return Err(Error::Range { axis: name, low, high });
        }
        if low < TINY {
            return Err(Error::Logarithm { axis: name, found: low });
        }
        let every = |digits: &[i64]| Self::of_digits(data, digits);
        Ok(Some(every(&[1, 2, 5])).filter(|axis| fit(&axis.ticks)).unwrap_or_else(|| every(&[1])))
    }

    /// Ticks at these digits times powers of ten, from the last at or below the data to the first at or above.
    fn of_digits([low, high]: [f64; 2], digits: &[i64]) -> Self {
        let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32 + 1;
        let all: Vec<Tick> = exponents
            .flat_map(|exponent| digits.iter().map(move |&digit| (decimal(digit, exponent), exponent)))
            .map(|(value, exponent)| Tick { value, label: label(value, value, exponent) })
            .collect();
        let first = all.iter().rposition(|tick| tick.value <= low * (1.0 + SLACK)).unwrap_or(0);
        let reached = all.iter().position(|tick| tick.value >= high * (1.0 - SLACK)).unwrap_or(all.len() - 1);
        let ticks = all[first..=reached.max(first + 1)].to_vec();
        Self { scale: Scale::Logarithmic, low: ticks[0].value, high: ticks[ticks.len() - 1].value, ticks }
    }

    /// Where a value lies between the axis's ends, 0 and 1; beyond them where the value is.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            // What has no logarithm lies far below.
            Scale::Logarithmic => (value.max(TINY) / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// Characters of the longest number.
    pub fn longest_label(&self) -> usize {
        longest_label(&self.ticks)
    }
}

/// Characters of the longest number of some ticks.
pub fn longest_label(ticks: &[Tick]) -> usize {
    ticks.iter().map(|tick| tick.label.len()).max().unwrap_or(0)
}

/// What a single value, or values that hardly differ, are shown in the middle of; other ranges as they are.
fn widened([low, high]: [f64; 2]) -> [f64; 2] {
    let size = low.abs().max(high.abs());
    if size < TINY / NARROW {
        [-1.0, 1.0]
    } else if high - low <= NARROW * size {
        [low - size / 10.0, high + size / 10.0]
    } else {
        [low, high]
    }
}

fn is_wide([low, high]: [f64; 2]) -> bool {
    (high - low).is_finite() && high - low > (NARROW * low.abs().max(high.abs())).max(TINY)
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`: the digit and the exponent.
fn round_step(step: f64) -> (i64, i32) {
    let exponent = step.log10().floor() as i32;
    let is_enough = |digit: &i64| decimal(*digit, exponent) >= step * (1.0 - SLACK);
    [1, 2, 5].into_iter().find(is_enough).map_or((1, exponent + 1), |digit| (digit, exponent))
}

/// integer x 10^exponent.
fn decimal(integer: i64, exponent: i32) -> f64 {
    // Parsed, since a product is not always the float nearest to the decimal; an integer and an exponent always parse.
    format!("{integer}e{exponent}").parse().unwrap_or_default()
}

/// A number as it is written beside ticks up to `largest`, 10^exponent or a multiple of it apart.
fn label(value: f64, largest: f64, exponent: i32) -> String {
    match value {
        _ if largest < 1e6 && exponent >= -4 => format!("{value:.*}", exponent.min(0).unsigned_abs() as usize),
        0.0 => "0".to_owned(),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(data: [f64; 2], asked: Option<[f64; 2]>) -> Vec<String> {
        let axis = Axis::new("x", data, asked, |ticks| ticks.len() <= 6).unwrap();
        axis.ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_written_as_one_would_by_hand() {
        assert_eq!(labels([0.0, 1.0], None), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels([0.03, 0.29], None), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels([-3.0, 99.0], None), ["-50", "0", "50", "100"]);
        assert_eq!(labels([0.0, 3e6], None), ["0", "1e6", "2e6", "3e6"]);
        assert_eq!(labels([1e-7, 3.9e-7], None), ["1e-7", "2e-7", "3e-7", "4e-7"]);
        assert_eq!(labels([1000.0, 1000.3], None), ["1000.0", "1000.1", "1000.2", "1000.3"]);
    }

    #[test]
    fn an_asked_range_is_kept_and_its_ticks_lie_inside() {
        assert_eq!(labels([0.0, 1.0], Some([-0.3, 2.2])), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        let axis = Axis::new("x", [0.0, 1.0], Some([-0.3, 2.2]), |_| true).unwrap();
        assert_eq!((axis.place(-0.3), axis.place(2.2)), (0.0, 1.0));
    }

    #[test]
    fn a_single_value_lies_in_the_middle() {
        for value in [0.0, 5.0, -1e-7, 1e300, 5e-324] {
            let axis = Axis::new("y", [value, value], None, |_| true).unwrap();
            assert!((0.3..=0.7).contains(&axis.place(value)), "{value}: {axis:?}");
            assert!(axis.ticks.len() >= 2, "{value}: {axis:?}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_by_name() {
        for data in [[f64::NAN; 2], [0.0, f64::INFINITY], [0.0, f64::NAN], [-1e308, 1e308]] {
            let error = Axis::new("y", data, None, |_| true).unwrap_err().to_string();
            assert!(error.starts_with("y axis"), "{error}");
            assert!(Axis::new("y", data, Some([0.0, 1.0]), |_| true).is_err(), "{data:?}");
        }
        for asked in [[1.0, 1.0], [2.0, 1.0], [0.0, f64::INFINITY], [f64::NAN, 1.0], [1.0, 1.0 + 1e-12], [0.0, 1e-320]]
        {
            assert!(Axis::new("x", [0.0, 1.0], Some(asked), |_| true).is_err(), "{asked:?}");
        }
    }

    #[test]
    fn logarithmic_ticks_stand_at_equal_ratios() {
        let axis = Axis::logarithmic("x", [0.3, 45.0], |_| true).unwrap();
        let labels: Vec<&str> = axis.ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["0.2", "0.5", "1", "2", "5", "10", "20", "50"]);
        assert!((axis.place(1.0) - axis.place(0.5) - (axis.place(20.0) - axis.place(10.0))).abs() < 1e-12);
        let few = Axis::logarithmic("x", [0.3, 45.0], |ticks| ticks.len() < 5).unwrap();
        assert_eq!(few.ticks.iter().map(|tick| tick.value).collect::<Vec<_>>(), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(Axis::logarithmic("x", [10.0, 10.0], |_| true).unwrap().ticks.len(), 2);
        assert!(matches!(Axis::logarithmic("x", [0.0, 1.0], |_| true), Err(Error::Logarithm { .. })));
        assert!(Axis::logarithmic("x", [1.0, f64::NAN], |_| true).is_err());
    }

    proptest! {
        #[test]
        fn ticks_are_round_few_and_cover_the_data(
            low in -1e9f64..1e9, exponent in -8i32..9, width in 1.0f64..10.0, most in 3usize..12,
        ) {
            let high = low + width * 10f64.powi(exponent);
            prop_assume!(is_wide([low, high]));
            let axis = Axis::new("x", [low, high], None, |ticks| ticks.len() <= most).unwrap();
            let step = axis.ticks[1].value - axis.ticks[0].value;
            let (digit, exponent) = round_step(step * (1.0 - 1e-5));
            prop_assert!((decimal(digit, exponent) / step - 1.0).abs() < 1e-5, "{axis:?}");
            prop_assert!(axis.ticks.len() <= most, "{axis:?}");
            prop_assert!(axis.place(low) >= -SLACK && axis.place(high) <= 1.0 + SLACK, "{axis:?}");
            // Whole steps: less than one lies on either side of the data.
            prop_assert!((low - axis.low).max(axis.high - high) < step * (1.0 + 1e-5), "{axis:?}");
            for tick in &axis.ticks {
                prop_assert_eq!(tick.label.parse::<f64>().unwrap(), tick.value);
            }
        }
    }
}
