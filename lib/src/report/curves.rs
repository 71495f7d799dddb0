//! Curves with intervals, y ± half, in a frame of linear or logarithmic axes, as a picture or as SVG.

use super::axis::{Axis, Scale};
use super::figure::{FRAME_SIZE, Figure, MARGIN, Shape, along};
use super::plot::COLOURS;
use super::text::CHARACTER;
use super::{Error, Result};

/// Width of a measured curve, of its intervals, and of a curve without intervals.
const THICK: f32 = 2.0;
const THIN: f32 = 1.0;

/// A curve of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// x, y, and half the interval of y, 0 where there is none: finite.
    pub points: Vec<[f64; 3]>,
    /// The number of its colour; a theory has that of its measurement.
    pub colour: usize,
}

impl Curve {
    fn has_intervals(&self) -> bool {
        self.points.iter().any(|point| point[2] > 0.0)
    }
}

/// Curves in one frame; those without intervals are thin. `names` are those of the axes.
///
/// ```
/// use obverse::report::{Curve, Scale, curves_with_intervals};
/// let curve = Curve { name: "error".into(), points: vec![[1.0, 0.5, 0.1], [10.0, 0.05, 0.01]], colour: 0 };
/// let figure = curves_with_intervals(&[curve], [Scale::Logarithmic; 2], ["m", "error"], "one over m")?;
/// assert!(figure.svg().contains("one over m"));
/// # Ok::<(), obverse::report::Error>(())
/// ```
///
/// # Errors
/// `NoPoints`; `Range` for points that are not finite, `Logarithm` for those that are not positive on a logarithmic axis.
pub fn curves_with_intervals(curves: &[Curve], scales: [Scale; 2], names: [&str; 2], title: &str) -> Result<Figure> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return Err(Error::NoPoints);
    }
    let axis = |which: usize, name: &'static str, spread: f64| {
        let values = points().flat_map(|p| {
            let [low, high] = [p[which] - spread * p[2], p[which] + spread * p[2]];
            // An interval that reaches below zero does not stretch a logarithmic axis.
            [if scales[which] == Scale::Logarithmic && low <= 0.0 { p[which] } else { low }, high]
        });
        let data = match points().flatten().all(|value| value.is_finite()) {
            true => {
                values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
            }
            false => [f64::NAN; 2],
        };
        match scales[which] {
            Scale::Linear => Axis::new(name, data, None, |ticks| ticks.len() <= 8),
            Scale::Logarithmic => Axis::logarithmic(name, data, |ticks| ticks.len() <= 10),
        }
    };
    let (x, y) = (axis(0, "x", 0.0)?, axis(1, "y", 1.0)?);
    let (left, top) = (MARGIN + 2 * CHARACTER, MARGIN);
    let longest = curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0);
    let mut figure = Figure::new(left + FRAME_SIZE + (longest + 5) * CHARACTER + MARGIN / 2, top + FRAME_SIZE + MARGIN);
    figure.centred(left + FRAME_SIZE / 2, MARGIN / 4, title);
    figure.frame((left, top), &x, &y);
    figure.centred(left + FRAME_SIZE / 2, top + FRAME_SIZE + 3 * CHARACTER, names[0]);
    figure.text(CHARACTER, top - 2 * CHARACTER, names[1]);
    let place =
        |px: f64, py: f64| (left as f32 + along(&x, px) as f32, (top + FRAME_SIZE) as f32 - along(&y, py) as f32);
    for (number, curve) in curves.iter().enumerate() {
        draw(&mut figure, curve, place);
        let (line, beside) = (top + number * 2 * CHARACTER, left + FRAME_SIZE + CHARACTER);
        let tall = if curve.has_intervals() { 4 } else { 1 };
        figure.rectangle(beside, line + CHARACTER / 2, 2 * CHARACTER, tall, COLOURS[curve.colour % COLOURS.len()]);
        figure.text(beside + 3 * CHARACTER, line, &curve.name);
    }
    Ok(figure)
}

/// Lines from point to point, and upright ones for intervals.
fn draw(figure: &mut Figure, curve: &Curve, place: impl Fn(f64, f64) -> (f32, f32)) {
    let colour = COLOURS[curve.colour % COLOURS.len()];
    let width = if curve.has_intervals() { THICK } else { THIN };
    for pair in curve.points.windows(2) {
        let [from, to] = [&pair[0], &pair[1]].map(|point| place(point[0], point[1]));
        figure.push(Shape::Line { from, to, width, colour });
    }
    for &[x, y, half] in curve.points.iter().filter(|point| point[2] > 0.0) {
        let (from, to) = (place(x, y - half), place(x, y + half));
        figure.push(Shape::Line { from, to, width: THIN, colour });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[[f64; 3]], colour: usize) -> Curve {
        Curve { name: format!("curve {colour}"), points: points.to_vec(), colour }
    }

    #[test]
    fn a_power_is_a_straight_line_on_logarithmic_axes() {
        let points: Vec<[f64; 3]> = [1.0f64, 10.0, 100.0].map(|x| [x, 3.0 * x.sqrt(), 0.5]).to_vec();
        let figure = curves_with_intervals(&[curve(&points, 0)], [Scale::Logarithmic; 2], ["x", "y"], "").unwrap();
        let svg = figure.svg();
        let number = |line: &str, name: &str| -> f64 {
            line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        let slopes: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("<line") && number(line, "x1") != number(line, "x2"))
            .map(|line| (number(line, "y1") - number(line, "y2")) / (number(line, "x2") - number(line, "x1")))
            .collect();
        assert_eq!(slopes.len(), 2);
        assert!((slopes[0] - slopes[1]).abs() < 1e-3, "{slopes:?}");
        assert_eq!(svg.matches("<line").count(), 2 + 3, "a line for each interval");
    }

    #[test]
    fn measured_and_stated_curves_have_the_colour_asked_for() {
        let (measured, stated) =
            (curve(&[[1.0, 0.0, 0.2], [2.0, 1.0, 0.2]], 3), curve(&[[1.0, 1.0, 0.0], [2.0, 0.0, 0.0]], 3));
        let figure = curves_with_intervals(&[measured, stated], [Scale::Linear; 2], ["x", "y"], "title").unwrap();
        let pixels = figure.picture().unwrap().pixels().filter(|pixel| pixel.0 == COLOURS[3]).count();
        assert!(pixels > 400, "{pixels}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let draw = |points: &[[f64; 3]], scale| curves_with_intervals(&[curve(points, 0)], [scale; 2], ["x", "y"], "");
        assert!(matches!(draw(&[], Scale::Linear), Err(Error::NoPoints)));
        assert!(matches!(draw(&[[1.0, f64::NAN, 0.0]], Scale::Linear), Err(Error::Range { .. })));
        assert!(matches!(draw(&[[1.0, -1.0, 0.0]], Scale::Logarithmic), Err(Error::Logarithm { .. })));
        // An interval below zero is cut at the frame.
        assert!(draw(&[[1.0, 0.5, 0.7], [2.0, 0.1, 0.0]], Scale::Logarithmic).is_ok());
    }
}
