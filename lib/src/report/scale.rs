//! Linear and logarithmic axes: how they are widened, and where their ticks are.

use std::fmt::Debug;

/// The smallest width of a range, relative to its larger end.
pub(super) const NARROW: f64 = 1e-9;

/// What equal distances on an axis mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios.
    Logarithmic,
}

/// Widened by a twentieth on both sides; a single value lies in the middle.
pub(super) fn widened([low, high]: [f64; 2], scale: Scale) -> [f64; 2] {
    let size = low.abs().max(high.abs());
    match scale {
        Scale::Logarithmic => {
            let ratio = (high / low).powf(0.05).max(1.2);
            [low / ratio, high * ratio]
        }
        Scale::Linear if size < 1e-290 => [-1.0, 1.0],
        Scale::Linear if high - low <= NARROW * size => [low - size / 10.0, high + size / 10.0],
        Scale::Linear => [low - (high - low) / 20.0, high + (high - low) / 20.0],
    }
}

/// The ticks of a logarithmic axis: powers of ten or, if these are few, multiples of them: as few as give three ticks.
pub(super) fn logarithmic_places([low, high]: [f64; 2]) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().floor() as i32);
    let sets: [Vec<f64>; 4] = [
        vec![1.0],
        vec![1.0, 2.0, 5.0],
        (1..10).map(f64::from).collect(),
        (5..50).map(|fifths| f64::from(fifths) / 5.0).collect(),
    ];
    let places = |factors: &[f64]| -> Vec<f64> {
        let powers = (first..=last).step_by(((last - first) as usize).div_ceil(8).max(1));
        let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
        all.filter(|place| (low..=high).contains(place)).collect()
    };
    let found = sets.iter().map(|factors| places(factors)).find(|places| places.len() > 2);
    found.unwrap_or_else(|| places(&sets[3]))
}

/// A drawing error as text.
pub(super) fn say(error: impl Debug) -> String {
    format!("{error:?}")
}
