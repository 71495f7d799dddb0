//! Figures, as pictures or as SVG: charts, stacked bars, and points with their distributions at the margins.
//!
//! Source: inverse feature visualisation, Figures 2 and 3. Drawn by plotters; letters are those of DejaVu Sans in pictures, the
//! reader's own in SVG.

use std::sync::OnceLock;

use image::RgbImage;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::scale::{Scale, say};
use super::series::Series;
use super::{Error, Result};

/// Room at the right of a frame, in pixels.
pub(super) const RIGHT: i32 = 16;
/// Height and width of a frame, of the distributions beside it, and how many counts those have.
const FRAME: u32 = 400;
/// Room above the title.
const ABOVE: u32 = 10;
const MARGIN: u32 = 80;
const COUNTS: usize = 40;
/// From one bar to the next.
const PITCH: u32 = 72;

/// Colours of the series: matplotlib's, which are Tableau's ten.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xbc, 0xbd, 0x22),
    RGBColor(0x17, 0xbe, 0xcf),
];

pub(super) fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// How often letters and lines of the smallest size are enlarged.
pub(super) fn unit_of((width, height): (usize, usize)) -> i32 {
    (width / 640).min(height / 480).clamp(1, 64) as i32
}

/// Something that can be drawn with any backend.
pub(super) trait Pen {
    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>) -> std::result::Result<(), String>;
}

/// A [`Pen`] with both backends: it can be boxed.
trait Drawing: Send + Sync {
    fn bitmap(&self, root: &DrawingArea<BitMapBackend<'_>, Shift>) -> std::result::Result<(), String>;
    fn vectors(&self, root: &DrawingArea<SVGBackend<'_>, Shift>) -> std::result::Result<(), String>;
}

impl<P: Pen + Send + Sync> Drawing for P {
    fn bitmap(&self, root: &DrawingArea<BitMapBackend<'_>, Shift>) -> std::result::Result<(), String> {
        self.draw(root)
    }

    fn vectors(&self, root: &DrawingArea<SVGBackend<'_>, Shift>) -> std::result::Result<(), String> {
        self.draw(root)
    }
}

/// A drawing on white.
pub struct Figure {
    size: (u32, u32),
    drawing: Box<dyn Drawing>,
}

impl Figure {
    pub(super) fn of(size: (u32, u32), pen: impl Pen + Send + Sync + 'static) -> Self {
        Self { size, drawing: Box::new(pen) }
    }

    /// The picture.
    ///
    /// # Errors
    /// `Drawing` when the plotting library fails.
    pub fn picture(&self) -> Result<RgbImage> {
        font()?;
        let (width, height) = self.size;
        let mut bytes = vec![u8::MAX; width as usize * height as usize * 3];
        let root = BitMapBackend::with_buffer(&mut bytes, self.size).into_drawing_area();
        self.drawing.bitmap(&root).and_then(|()| root.present().map_err(say)).map_err(Error::Drawing)?;
        drop(root);
        RgbImage::from_raw(width, height, bytes).ok_or_else(|| Error::Drawing("the picture has another size".into()))
    }

    /// The same as SVG.
    ///
    /// # Errors
    /// `Drawing` when the plotting library fails.
    pub fn svg(&self) -> Result<String> {
        font()?;
        let mut text = String::new();
        let root = SVGBackend::with_string(&mut text, self.size).into_drawing_area();
        let drawn = root.fill(&WHITE).map_err(say).and_then(|()| self.drawing.vectors(&root));
        drawn.and_then(|()| root.present().map_err(say)).map_err(Error::Drawing)?;
        drop(root);
        Ok(text)
    }
}

/// The font, registered once per process.
fn font() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let register = || register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok();
    match REGISTERED.get_or_init(register) {
        true => Ok(()),
        false => Err(Error::Drawing("the font cannot be read".into())),
    }
}

/// Draws a frame's grid and its numbers, or the names of its places.
pub(super) fn ticks<DB, X, Y>(
    frame: &mut ChartContext<'_, DB, Cartesian2d<X, Y>>,
    names: &[String; 2],
    scales: [Scale; 2],
    places: &[String],
    unit: i32,
) -> std::result::Result<(), String>
where
    DB: DrawingBackend,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let (x, y) = (frame.plotting_area().get_x_range(), frame.plotting_area().get_y_range());
    // Ticks with equal ratios differ in their first digits.
    let write = |value: f64, scale: Scale, span: f64| match scale {
        Scale::Linear => number(value, span),
        Scale::Logarithmic => number(value, value),
    };
    let place = |value: f64| match places {
        [] => write(value, scales[0], x.end - x.start),
        _ => places.get(value as usize).cloned().unwrap_or_default(),
    };
    frame
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&|value| place(*value))
        .y_label_formatter(&|value| write(*value, scales[1], y.end - y.start))
        .x_desc(&names[0])
        .y_desc(&names[1])
        .label_style(("sans-serif", 12 * unit))
        .axis_desc_style(("sans-serif", 13 * unit))
        .draw()
        .map_err(say)
}

/// A number as written at a tick of an axis with this span, with enough digits to distinguish neighbours.
fn number(value: f64, span: f64) -> String {
    let size = value.abs();
    if size < span * 1e-9 {
        return "0".to_owned();
    }
    let wanted = 2 - span.log10().floor() as i32;
    let text = match size {
        _ if size < 1e6 && wanted <= 6 => format!("{value:.*}", wanted.max(0) as usize),
        _ => format!("{value:.*e}", (wanted + size.log10().floor() as i32).clamp(0, 12) as usize),
    };
    let (digits, exponent) =
        text.split_once('e').map_or((text.as_str(), None), |(digits, power)| (digits, Some(power)));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    exponent.map_or_else(|| digits.to_owned(), |exponent| format!("{digits}e{exponent}"))
}

/// Bars of parts that add up to 1, the first part at the bottom, each bar with its name below.
///
/// ```
/// use obverse::report::stacked_bars;
/// let figure = stacked_bars(&[("k = 0".into(), vec![0.7, 0.3]), ("k = 3".into(), vec![0.9, 0.1])], "shares")?;
/// assert!(figure.svg()?.contains("k = 3"));
/// # Ok::<(), obverse::report::Error>(())
/// ```
///
/// # Errors
/// `NoPoints` without bars; `Range` for parts that are negative or not finite.
pub fn stacked_bars(bars: &[(String, Vec<f64>)], title: &str) -> Result<Figure> {
    if bars.is_empty() {
        return Err(Error::NoPoints);
    }
    if let Some(&share) = bars.iter().flat_map(|(_, parts)| parts).find(|share| !(share.is_finite() && **share >= 0.0))
    {
        return Err(Error::Range { axis: "y", low: share, high: 1.0 });
    }
    let size = (2 * MARGIN + bars.len() as u32 * PITCH, FRAME + MARGIN);
    Ok(Figure::of(size, Bars { bars: bars.to_vec(), title: title.to_owned() }))
}

struct Bars {
    bars: Vec<(String, Vec<f64>)>,
    title: String,
}

impl Pen for Bars {
    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>) -> std::result::Result<(), String> {
        let count = self.bars.len() as f64;
        let mut chart = ChartBuilder::on(root)
            .caption(&self.title, ("sans-serif", 16))
            .margin(10)
            .y_label_area_size(44)
            .x_label_area_size(40)
            .build_cartesian_2d(0.0..count, 0.0..1.0)
            .map_err(say)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 12))
            .y_label_formatter(&|value| number(*value, 1.0))
            .draw()
            .map_err(say)?;
        for (place, (name, parts)) in self.bars.iter().enumerate() {
            let (left, right) = (place as f64 + 0.17, place as f64 + 0.83);
            let mut below = 0.0;
            for (part, &share) in parts.iter().enumerate() {
                let above = f64::min(below + share, 1.0);
                let bar = Rectangle::new([(left, above), (right, below)], colour(part).filled());
                chart.draw_series([bar]).map_err(say)?;
                below = above;
            }
            // Long names of neighbours stand on two lines.
            let (middle, bottom) = chart.plotting_area().map_coordinate(&(place as f64 + 0.5, 0.0));
            let (width, _) = root.estimate_text_size(name, &("sans-serif", 12).into_text_style(root)).map_err(say)?;
            let at = (middle - width as i32 / 2, bottom + 8 + (place % 2) as i32 * 14);
            root.draw(&Text::new(name.clone(), at, ("sans-serif", 12))).map_err(say)?;
        }
        Ok(())
    }
}

/// Points of several series, with the distribution of their abscissae above and of their ordinates to the right.
///
/// # Errors
/// `NoPoints`; `Range` for points that are not finite.
pub fn points_with_margins(series: &[Series], title: &str) -> Result<Figure> {
    let all = || series.iter().flat_map(|series| &series.points);
    let first = *all().next().ok_or(Error::NoPoints)?;
    let mut ranges = [[0.0; 2]; 2];
    for (which, axis) in ["x", "y"].into_iter().enumerate() {
        let start = [first[which]; 2];
        let [low, high] = all().fold(start, |[low, high], point| [low.min(point[which]), high.max(point[which])]);
        if !(all().all(|point| point[which].is_finite()) && (high - low).is_finite()) {
            return Err(Error::Range { axis, low, high });
        }
        let more = if high > low { (high - low) / 20.0 } else { (high.abs() / 10.0).max(1e-9) };
        ranges[which] = [low - more, high + more];
    }
    let longest = series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0) as u32;
    let size = (60 + FRAME + MARGIN + longest * 8 + 40, ABOVE + 32 + MARGIN + FRAME + 30);
    Ok(Figure::of(size, Margins { series: series.to_vec(), ranges, title: title.to_owned() }))
}

struct Margins {
    series: Vec<Series>,
    ranges: [[f64; 2]; 2],
    title: String,
}

impl Margins {
    /// The count of each part of an axis, as a share of the largest.
    fn shares(&self, series: &Series, which: usize) -> [f64; COUNTS] {
        let [low, high] = self.ranges[which];
        let mut counts = [0.0; COUNTS];
        for point in &series.points {
            let place = (point[which] - low) / (high - low) * COUNTS as f64;
            counts[(place as usize).min(COUNTS - 1)] += 1.0;
        }
        let largest = counts.iter().copied().fold(1.0, f64::max);
        counts.map(|count| count / largest)
    }
}

impl Pen for Margins {
    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>) -> std::result::Result<(), String> {
        let body = root.margin(ABOVE as i32, 0, 0, 0).titled(&self.title, ("sans-serif", 16)).map_err(say)?;
        let areas = body.split_by_breakpoints([60 + FRAME as i32], [MARGIN as i32]);
        let [x, y] = self.ranges.map(|[low, high]| low..high);
        let mut chart = ChartBuilder::on(&areas[2])
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(x, y)
            .map_err(say)?;
        ticks(&mut chart, &[String::new(), String::new()], [Scale::Linear; 2], &[], 1)?;
        let count = self.series.len() as f64;
        let step = |which: usize| (self.ranges[which][1] - self.ranges[which][0]) / COUNTS as f64;
        let mut above = ChartBuilder::on(&areas[0])
            .y_label_area_size(60)
            .build_cartesian_2d(self.ranges[0][0]..self.ranges[0][1], 0.0..count)
            .map_err(say)?;
        let mut beside = ChartBuilder::on(&areas[3])
            .x_label_area_size(30)
            .build_cartesian_2d(0.0..count + 1.0, self.ranges[1][0]..self.ranges[1][1])
            .map_err(say)?;
        for (number, series) in self.series.iter().enumerate() {
            let fill = colour(series.colour);
            chart
                .draw_series(series.points.iter().map(|&[x, y]| Circle::new((x, y), 3, fill.mix(0.63).filled())))
                .map_err(say)?;
            let base = number as f64;
            let bars = |which: usize| {
                let shares = self.shares(series, which);
                let from = self.ranges[which][0];
                (0..COUNTS).filter(move |&bin| shares[bin] > 0.0).map(move |bin| {
                    [from + step(which) * bin as f64, from + step(which) * (bin + 1) as f64, shares[bin]]
                })
            };
            above
                .draw_series(
                    bars(0).map(|[a, b, share]| Rectangle::new([(a, base + 0.95 * share), (b, base)], fill.filled())),
                )
                .map_err(say)?;
            beside
                .draw_series(
                    bars(1).map(|[a, b, share]| Rectangle::new([(base, b), (base + 0.95 * share, a)], fill.filled())),
                )
                .map_err(say)?;
            let line = number as i32 * 18 + 4;
            areas[1].draw(&Circle::new((14, line + 7), 4, fill.filled())).map_err(say)?;
            areas[1].draw(&Text::new(series.name.clone(), (26, line), ("sans-serif", 13))).map_err(say)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_in_picture_and_svg() {
        let bars = [("one".to_string(), vec![0.75, 0.25]), ("two".to_string(), vec![0.5, 0.5])];
        let figure = stacked_bars(&bars, "a < b").unwrap();
        let picture = figure.picture().unwrap();
        let coloured = |number: usize| {
            let RGBColor(r, g, b) = colour(number);
            picture.pixels().filter(|pixel| pixel.0 == [r, g, b]).count() as f64
        };
        assert!((coloured(0) / coloured(1) - 1.25 / 0.75).abs() < 0.02, "{} {}", coloured(0), coloured(1));
        let svg = figure.svg().unwrap();
        assert!(svg.contains("a &lt; b") && svg.contains("one") && svg.contains("two"), "{svg}");
        assert!(matches!(stacked_bars(&[], ""), Err(Error::NoPoints)));
        assert!(matches!(stacked_bars(&[("a".into(), vec![f64::NAN])], ""), Err(Error::Range { .. })));
    }

    #[test]
    fn points_have_their_distributions_at_the_margins() {
        let series =
            [Series::new("low", vec![[1.0, 0.1], [1.1, 0.1], [1.2, 0.9]], 0), Series::new("high", vec![[9.0, 0.5]], 1)];
        let svg = points_with_margins(&series, "title").unwrap().svg().unwrap();
        // Four dots and two of the legend; the bars of three and of one abscissae, two and one ordinates, and the ground.
        assert_eq!(svg.matches("<circle").count(), 4 + 2);
        let bars = svg.matches("<rect").count() - 1;
        assert!((6..=7).contains(&bars), "{bars}");
        assert!(matches!(points_with_margins(&[], ""), Err(Error::NoPoints)));
        let bad = [Series::new("", vec![[0.0, f64::NAN]], 0)];
        assert!(matches!(points_with_margins(&bad, ""), Err(Error::Range { axis: "y", .. })));
    }

    #[test]
    fn numbers_are_written_as_one_would_by_hand() {
        let written = |values: &[f64], span| values.iter().map(|&value| number(value, span)).collect::<Vec<_>>();
        assert_eq!(written(&[-50.0, 6.9e-18, 50.0], 100.0), ["-50", "0", "50"]);
        assert_eq!(written(&[0.30000000000000004, 1.0], 1.0), ["0.3", "1"]);
        assert_eq!(written(&[0.31412, 0.31414], 1e-4), ["0.31412", "0.31414"]);
        assert_eq!(written(&[1e6, 2e6], 3e6), ["1e6", "2e6"]);
        assert_eq!(written(&[1e-7, 2e-7], 4e-7), ["1e-7", "2e-7"]);
        assert_eq!(written(&[1000.1, 1000.25], 0.3), ["1000.1", "1000.25"]);
        assert_eq!(written(&[0.001], 0.001), ["0.001"]);
    }
}
