//! Images of another height and width.

use serde::{Deserialize, Serialize};

use super::settings::{fit, is_default, is_false, single};
use super::{Compute, Computed, Coordinates, Cotangent, Form, Interpolation, Operation, Pair, Rounding, Site};
use crate::net::size::Size;
use crate::ops::resize::{Resampling, resize, resize_pullback};
use crate::tensor::{Batch, Element, Tape};

/// An image of another height and width, by ONNX's formulas of Resize.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Height and width of the result.
    pub size: Pair,
    /// What a value is made of.
    pub mode: Interpolation,
    /// Where a value of the result stands in the input.
    #[serde(default, skip_serializing_if = "is_default")]
    pub coordinates: Coordinates,
    /// How nearest rounds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    /// The coefficient a of cubic interpolation.
    #[serde(default = "cubic", skip_serializing_if = "is_cubic")]
    pub cubic: f64,
    /// The scales along height and width, where they are not the quotients of the sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<[f64; 2]>,
    /// Whether an image made smaller is interpolated over as much more pixels.
    #[serde(default, skip_serializing_if = "is_false")]
    pub antialias: bool,
    /// Whether pixels beyond the image weigh nothing, instead of being its first and last ones.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclude_outside: bool,
}

fn cubic() -> f64 {
    -0.75
}

fn is_cubic(value: &f64) -> bool {
    *value == cubic()
}

impl Resize {
    /// To this height and width, the other settings ONNX's defaults.
    pub fn new(size: Pair, mode: Interpolation) -> Self {
        let (coordinates, rounding) = (Coordinates::default(), Rounding::default());
        let cubic = cubic();
        Self { size, mode, coordinates, rounding, cubic, scales: None, antialias: false, exclude_outside: false }
    }

    fn resampling(&self) -> Resampling {
        let Self { mode: interpolation, coordinates, rounding, cubic, scales, antialias, exclude_outside, .. } = *self;
        Resampling { interpolation, coordinates, rounding, cubic, scales, antialias, exclude_outside }
    }
}

impl Operation for Resize {
    fn output(&self, inputs: &[Size]) -> Result<Size, String> {
        let (size, [height, width]) = (single(inputs)?, self.size.values());
        if !self.cubic.is_finite() {
            return Err("a finite coefficient of cubic interpolation".into());
        }
        if self.antialias && self.mode == Interpolation::Nearest {
            return Err("no antialias with the nearest pixel".into());
        }
        let makes = |scale: f64, from: usize, to: usize| {
            let length = scale * from as f64;
            length >= 0.5 && (length - to as f64).abs() <= 1.0
        };
        if self.scales.is_some_and(|[h, w]| !makes(h, size.height, height) || !makes(w, size.width, width)) {
            return Err("scales that make such a size".into());
        }
        fit(Some((height, width)), size.channels)
    }
}

impl Compute for Resize {
    fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
        let to = site.form.size;
        resize(tape, site.x(), (to.height, to.width), self.resampling()).into()
    }

    fn adjoint<E: Element>(&self, tape: &mut Tape<E>, form: Form<E>, cotangent: Cotangent<E>) -> Option<Batch<E>> {
        let from = form.from();
        Some(resize_pullback(tape, cotangent.value, (from.height, from.width), self.resampling()))
    }
}

#[cfg(test)]
impl super::Examples for Resize {
    fn examples() -> Vec<(Self, Vec<Size>)> {
        let to = |mode| Self::new(Pair::Each([5, 2]), mode);
        let (linear, cubic) = (to(Interpolation::Linear), to(Interpolation::Cubic));
        [
            to(Interpolation::Nearest),
            Self { rounding: Rounding::Floor, coordinates: Coordinates::Asymmetric, ..to(Interpolation::Nearest) },
            linear.clone(),
            Self { coordinates: Coordinates::AlignCorners, ..linear.clone() },
            Self { scales: Some([1.7, 0.6]), antialias: true, ..linear },
            Self { cubic: -0.5, exclude_outside: true, ..cubic.clone() },
            cubic,
        ]
        .map(|resize| (resize, vec![Size::new(2, 3, 4)]))
        .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::op::Op;

    #[test]
    fn settings_that_are_not_given_are_those_of_onnx_and_are_not_written() {
        let json = json!({"op": "resize", "size": [5, 2], "mode": "cubic"});
        let op: Op = serde_json::from_value(json.clone()).expect("an operation");
        assert_eq!(op, Resize::new(Pair::Each([5, 2]), Interpolation::Cubic).into());
        assert_eq!(serde_json::to_value(op).expect("JSON"), json);
        let json = json!({"op": "resize", "size": 5, "mode": "nearest", "coordinates": "pytorch_half_pixel",
                          "rounding": "round_prefer_ceil", "cubic": -0.5, "scales": [1.5, 2.0]});
        let op: Op = serde_json::from_value(json.clone()).expect("an operation");
        assert_eq!(serde_json::to_value(op).expect("JSON"), json);
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let plain = Resize::new(Pair::Each([5, 2]), Interpolation::Linear);
        let refused = |resize: Resize| resize.output(&[Size::new(2, 3, 4)]).expect_err("refused");
        for scales in [[1.0, 0.5], [1.7, f64::NAN], [1.7, f64::INFINITY], [1.7, -0.5], [1.7, 1e-300]] {
            assert_eq!(refused(Resize { scales: Some(scales), ..plain.clone() }), "scales that make such a size");
        }
        let nearest = Resize { mode: Interpolation::Nearest, antialias: true, ..plain.clone() };
        assert_eq!(refused(nearest), "no antialias with the nearest pixel");
        let cubic = Resize { cubic: f64::NAN, ..plain.clone() };
        assert_eq!(refused(cubic), "a finite coefficient of cubic interpolation");
        assert_eq!(plain.output(&[Size::new(2, 3, 4)]), Ok(Size::new(2, 5, 2)));
    }
}
