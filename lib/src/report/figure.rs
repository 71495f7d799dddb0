//! Figures of rectangles, lines, dots and text, as a picture or as SVG: stacked bars, and points with their distributions at the
//! margins.
//!
//! Source: inverse feature visualisation, Figures 2 and 3. Letters are 8 x 8 pixels, those of the other pictures; places are in
//! pixels from the upper left corner.

use image::RgbImage;
use tiny_skia::{Color, LineCap, Pixmap, Stroke, Transform};

use super::axis::Axis;
use super::plot::{Area, COLOURS, FRAME, GRID, Series, dot, fill, opaque, paint, polyline};
use super::text::{self, CHARACTER};
use super::{Error, Result};

/// Room around a frame for numbers and names.
pub(super) const MARGIN: usize = 56;
/// Height and width of a frame.
pub(super) const FRAME_SIZE: usize = 400;
/// Height of the distributions at the margins, and how many counts they have.
const MARGINAL: usize = 80;
const COUNTS: usize = 40;
/// From one bar to the next, and how much of that is bar.
const PITCH: usize = 72;
const BAR: usize = 48;
const DOT: f32 = 3.0;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Rectangle { area: Area, colour: [u8; 3] },
    Dot { x: f32, y: f32, colour: [u8; 3] },
    Line { from: (f32, f32), to: (f32, f32), width: f32, colour: [u8; 3] },
    Text { left: usize, top: usize, text: String },
}

/// A drawing on white.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    width: usize,
    height: usize,
    shapes: Vec<Shape>,
}

impl Figure {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn push(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    pub(super) fn rectangle(&mut self, left: usize, top: usize, width: usize, height: usize, colour: [u8; 3]) {
        self.shapes.push(Shape::Rectangle { area: Area { left, top, width, height }, colour });
    }

    pub(super) fn text(&mut self, left: usize, top: usize, text: &str) {
        self.shapes.push(Shape::Text { left, top, text: text.to_string() });
    }

    /// Text whose middle is at `centre`.
    pub(super) fn centred(&mut self, centre: usize, top: usize, text: &str) {
        self.text(centre.saturating_sub(text.chars().count() * CHARACTER / 2), top, text);
    }

    /// A frame of [`FRAME_SIZE`] with the axes' ticks and numbers, its upper left corner at (left, top).
    pub(super) fn frame(&mut self, (left, top): (usize, usize), x: &Axis, y: &Axis) {
        for tick in &x.ticks {
            let column = left + along(x, tick.value) as usize;
            self.rectangle(column, top, 1, FRAME_SIZE, GRID);
            self.centred(column, top + FRAME_SIZE + CHARACTER, &tick.label);
        }
        for tick in &y.ticks {
            let row = top + FRAME_SIZE - along(y, tick.value) as usize;
            self.rectangle(left, row, FRAME_SIZE, 1, GRID);
            let label = &tick.label;
            self.text((left - CHARACTER / 2).saturating_sub(label.len() * CHARACTER), row - CHARACTER / 2, label);
        }
        self.rectangle(left, top + FRAME_SIZE, FRAME_SIZE, 1, FRAME);
        self.rectangle(left, top, 1, FRAME_SIZE, FRAME);
    }

    /// The picture.
    ///
    /// # Errors
    /// A figure of no pixels.
    pub fn picture(&self) -> Result<RgbImage> {
        let Self { width, height, .. } = *self;
        let large = || Error::Large { limit: u32::MAX as usize, width, height };
        let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or_else(large)?;
        pixmap.fill(Color::WHITE);
        for shape in &self.shapes {
            match shape {
                Shape::Rectangle { area, colour } => fill(&mut pixmap, *area, *colour),
                Shape::Dot { x, y, colour } => dot(&mut pixmap, (*x, *y), DOT, &paint(*colour, 160), None),
                Shape::Line { from, to, width, colour } => {
                    let stroke = Stroke { width: *width, line_cap: LineCap::Round, ..Stroke::default() };
                    if let Some(path) = polyline(&[*from, *to]) {
                        pixmap.stroke_path(&path, &paint(*colour, u8::MAX), &stroke, Transform::identity(), None);
                    }
                }
                Shape::Text { .. } => {}
            }
        }
        let mut picture = opaque(&pixmap);
        for shape in &self.shapes {
            if let Shape::Text { left, top, text } = shape {
                text::draw(&mut picture, text, (*left, *top), 1);
            }
        }
        Ok(picture)
    }

    /// The same as SVG.
    pub fn svg(&self) -> String {
        let Self { width, height, .. } = self;
        let colour = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        for shape in &self.shapes {
            svg += &match shape {
                Shape::Rectangle { area: Area { left, top, width, height }, colour: fill } => format!(
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
                    colour(*fill)
                ),
                Shape::Dot { x, y, colour: fill } => format!(
                    "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{DOT}\" fill=\"{}\" fill-opacity=\"0.63\"/>\n",
                    colour(*fill)
                ),
                Shape::Line { from, to, width, colour: stroke } => format!(
                    "<line x1=\"{:.2}\" y1=\"{:.2}\" x2=\"{:.2}\" y2=\"{:.2}\" stroke=\"{}\" stroke-width=\"{width}\"/>\n",
                    from.0,
                    from.1,
                    to.0,
                    to.1,
                    colour(*stroke)
                ),
                Shape::Text { left, top, text } => format!(
                    "<text x=\"{left}\" y=\"{}\" font-family=\"monospace\" font-size=\"13\">{}</text>\n",
                    top + CHARACTER,
                    escaped(text)
                ),
            };
        }
        svg + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Bars of parts that add up to 1, the first part at the bottom, each bar with its name below.
///
/// ```
/// use obverse::report::stacked_bars;
/// let figure = stacked_bars(&[("k = 0".into(), vec![0.7, 0.3]), ("k = 3".into(), vec![0.9, 0.1])], "shares")?;
/// assert!(figure.svg().contains("k = 3"));
/// # Ok::<(), obverse::report::Error>(())
/// ```
///
/// # Errors
/// No bars; parts that are negative or not finite.
pub fn stacked_bars(bars: &[(String, Vec<f64>)], title: &str) -> Result<Figure> {
    if bars.is_empty() {
        return Err(Error::NoPoints);
    }
    let (width, height) = (2 * MARGIN + bars.len() * PITCH, FRAME_SIZE + 2 * MARGIN);
    let mut figure = Figure::new(width, height);
    figure.centred(width / 2, MARGIN / 3, title);
    let bottom = MARGIN + FRAME_SIZE;
    for tick in 0..=5 {
        let top = bottom - tick * FRAME_SIZE / 5;
        figure.rectangle(MARGIN, top, bars.len() * PITCH, 1, GRID);
        figure.text(MARGIN / 4, top.saturating_sub(CHARACTER / 2), &format!("{:.1}", tick as f64 / 5.0));
    }
    for (number, (name, parts)) in bars.iter().enumerate() {
        let left = MARGIN + number * PITCH + (PITCH - BAR) / 2;
        let mut below = 0.0;
        for (part, &share) in parts.iter().enumerate() {
            if !(share.is_finite() && share >= 0.0) {
                return Err(Error::Range { axis: "y", low: share, high: 1.0 });
            }
            let at = |share: f64| bottom - (share.min(1.0) * FRAME_SIZE as f64).round() as usize;
            let (high, low) = (at(below + share), at(below));
            if low > high {
                figure.rectangle(left, high, BAR, low - high, COLOURS[part % COLOURS.len()]);
            }
            below += share;
        }
        figure.centred(left + BAR / 2, bottom + CHARACTER + (number % 2) * 2 * CHARACTER, name);
    }
    figure.rectangle(MARGIN, bottom, bars.len() * PITCH, 1, FRAME);
    Ok(figure)
}

/// Points of several series, with the distribution of their abscissae above and of their ordinates to the right.
///
/// # Errors
/// `NoPoints`; `Range` for points that are not finite.
pub fn points_with_margins(series: &[Series], title: &str) -> Result<Figure> {
    let all = || series.iter().flat_map(|series| &series.points);
    let first = *all().next().ok_or(Error::NoPoints)?;
    let extent = |axis: usize| all().fold([first[axis]; 2], |[low, high], p| [low.min(p[axis]), high.max(p[axis])]);
    let (x, y) = (
        Axis::new("x", extent(0), None, |ticks| ticks.len() <= 8)?,
        Axis::new("y", extent(1), None, |t| t.len() <= 8)?,
    );
    let (left, top) = (MARGIN + CHARACTER, MARGIN + MARGINAL);
    let legend = series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0) * CHARACTER + 3 * CHARACTER;
    let (width, height) = (left + FRAME_SIZE + MARGINAL + legend + MARGIN, top + FRAME_SIZE + MARGIN);
    let mut figure = Figure::new(width, height);
    figure.centred(left + FRAME_SIZE / 2, MARGIN / 3, title);
    figure.frame((left, top), &x, &y);
    for (number, Series { name, points }) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        for &[px, py] in points {
            let place = (left as f64 + along(&x, px), (top + FRAME_SIZE) as f64 - along(&y, py));
            figure.shapes.push(Shape::Dot { x: place.0 as f32, y: place.1 as f32, colour });
        }
        let cell = FRAME_SIZE / COUNTS;
        let room = MARGINAL / series.len();
        let base = number * room;
        for (count, share) in histogram(points.iter().map(|p| x.place(p[0]))).into_iter().enumerate() {
            let tall = (share * room as f64).round() as usize;
            figure.rectangle(left + count * cell, top - base - tall, cell, tall, colour);
        }
        for (count, share) in histogram(points.iter().map(|p| y.place(p[1]))).into_iter().enumerate() {
            let tall = (share * room as f64).round() as usize;
            figure.rectangle(left + FRAME_SIZE + base, top + FRAME_SIZE - (count + 1) * cell, tall, cell, colour);
        }
        let line = top + number * 2 * CHARACTER;
        let legend_left = left + FRAME_SIZE + MARGINAL + CHARACTER;
        figure.rectangle(legend_left, line, CHARACTER, CHARACTER, colour);
        figure.text(legend_left + 2 * CHARACTER, line, name);
    }
    Ok(figure)
}

/// Pixels from an end of a frame to where a value stands, within the frame.
pub(super) fn along(axis: &Axis, value: f64) -> f64 {
    (axis.place(value) * FRAME_SIZE as f64).clamp(0.0, FRAME_SIZE as f64)
}

/// Counts of places in 0..1, relative to the largest count.
fn histogram(places: impl Iterator<Item = f64>) -> [f64; COUNTS] {
    let mut counts = [0.0; COUNTS];
    places.for_each(|place| counts[((place * COUNTS as f64) as usize).min(COUNTS - 1)] += 1.0);
    let largest = counts.iter().copied().fold(1.0, f64::max);
    counts.map(|count| count / largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_in_picture_and_svg() {
        let bars = [("one".to_string(), vec![0.75, 0.25]), ("two".to_string(), vec![0.5, 0.5])];
        let figure = stacked_bars(&bars, "a < b").unwrap();
        let picture = figure.picture().unwrap();
        let coloured = |colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
        // Less the grid's lines, none of which is drawn over a bar.
        assert_eq!(coloured(COLOURS[0]), BAR * (FRAME_SIZE * 3 / 4 + FRAME_SIZE / 2));
        assert_eq!(coloured(COLOURS[1]), BAR * (FRAME_SIZE / 4 + FRAME_SIZE / 2));
        let svg = figure.svg();
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n") && svg.matches("<rect").count() == 4 + 1 + 6 + 1);
        assert!(matches!(stacked_bars(&[], ""), Err(Error::NoPoints)));
        assert!(stacked_bars(&[("bad".into(), vec![f64::NAN])], "").is_err());
    }

    #[test]
    fn points_have_a_dot_each_and_distributions_at_the_margins() {
        let points = (0..20).map(|i| [f64::from(i), 1.0 - f64::from(i) / 40.0]).collect();
        let series = [Series { name: "a".into(), points }, Series { name: "b".into(), points: vec![[5.0, 0.9]] }];
        let figure = points_with_margins(&series, "title").unwrap();
        assert_eq!(figure.svg().matches("<circle").count(), 21);
        let dots = figure.shapes.iter().filter(|shape| matches!(shape, Shape::Dot { .. })).count();
        assert_eq!(dots, 21);
        assert!(figure.picture().unwrap().pixels().any(|pixel| pixel.0 == COLOURS[0]));
        assert!(matches!(points_with_margins(&[], ""), Err(Error::NoPoints)));
        let broken = Series { name: String::new(), points: vec![[f64::NAN, 0.0]] };
        assert!(points_with_margins(&[broken], "").is_err());
    }
}
