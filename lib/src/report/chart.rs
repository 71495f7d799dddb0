//! A chart: curves or dots in a frame of linear or logarithmic axes, a title above, a legend to the right.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::figure::{Figure, Pen, RIGHT, colour, ticks, unit_of};
use super::scale::{NARROW, Scale, logarithmic_places, say, widened};
use super::series::Series;
use super::{Error, Result};

/// Largest picture drawn: half a GiB of memory.
const LIMIT: usize = 1 << 26;
/// The least room for points, in pixels each way.
const LEAST: u32 = 64;
/// Room to the left of an axis' name, which turned by a right angle would touch the edge.
const EDGE: i32 = 6;
/// Characters of a name that the legend shows.
const NAME: usize = 24;
/// Charts of more dots than this get smaller ones.
const CROWD: usize = 3000;

/// How points are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// A line from each point to the next; thin where the series has no intervals and another has.
    #[default]
    Line,
    /// A dot at each point.
    Dot,
}

/// Series in one frame.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is drawn, in this order.
    pub series: Vec<Series>,
    /// Lines or dots.
    pub mark: Mark,
    /// Of the horizontal and the vertical axis.
    pub scales: [Scale; 2],
    /// What stands below x = 0, 1, 2 … instead of numbers, where both axes are linear; may be empty.
    pub places: Vec<String>,
    /// Beside the axes; may be empty.
    pub names: [String; 2],
    /// What stands above; may be empty.
    pub title: String,
    /// Ends of the axes; where there are none, those of the data and a little more.
    pub ranges: [Option<[f64; 2]>; 2],
    /// Width and height in pixels.
    pub size: (usize, usize),
}

impl Default for Chart {
    fn default() -> Self {
        let (series, names) = (Vec::new(), [String::new(), String::new()]);
        let (mark, scales) = (Mark::default(), [Scale::default(); 2]);
        Self {
            series,
            mark,
            scales,
            places: Vec::new(),
            names,
            title: String::new(),
            ranges: [None; 2],
            size: (640, 480),
        }
    }
}

impl Chart {
    /// The chart as a figure.
    ///
    /// ```
    /// use obverse::report::{Chart, Scale, Series};
    /// let series = Series { halves: vec![0.1, 0.01], ..Series::new("error", vec![[1.0, 0.5], [10.0, 0.05]], 0) };
    /// let chart = Chart { series: vec![series], scales: [Scale::Logarithmic; 2], title: "one over m".into(), ..Chart::default() };
    /// assert!(chart.figure()?.svg()?.contains("one over m"));
    /// # Ok::<(), obverse::report::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NoPoints`; `Range` for points or ranges that are not finite; `Logarithm` for what has none; `Large` for a picture that would not
    /// fit in memory, `Crowded` for one that has no room for the points.
    pub fn figure(self) -> Result<Figure> {
        let (width, height) = self.size;
        if width.saturating_mul(height) > LIMIT {
            return Err(Error::Large { limit: LIMIT, width, height });
        }
        let ranges = [range("x", &self, 0)?, range("y", &self, 1)?];
        let frame = Frame { legend: self.legend_width(), unit: unit_of(self.size), chart: self, ranges };
        let room = |side: usize, taken: i32| side as i64 - i64::from(taken) >= i64::from(LEAST);
        if !(room(width, EDGE + frame.left() + frame.legend + 2 * RIGHT)
            && room(height, frame.below() + frame.above() + RIGHT))
        {
            return Err(Error::Crowded { width, height });
        }
        Ok(Figure::of((width as u32, height as u32), frame))
    }

    fn is_named(&self) -> bool {
        self.series.iter().any(|series| !series.name.is_empty())
    }

    /// Rows and columns of the legend's names.
    fn legend_grid(&self) -> (i32, i32) {
        let rows = ((self.size.1 as i32 / unit_of(self.size) - 60) / 18).max(1);
        (rows, (self.series.len() as i32 + rows - 1) / rows)
    }

    fn legend_width(&self) -> i32 {
        let longest = self.series.iter().map(|series| series.name.chars().take(NAME).count()).max().unwrap_or(0);
        let (_, columns) = self.legend_grid();
        if self.is_named() { columns * (longest as i32 * 8 + 40) * unit_of(self.size) } else { 0 }
    }
}

/// The ends of an axis: those asked for, or those of the data and a twentieth more.
fn range(axis: &'static str, chart: &Chart, which: usize) -> Result<[f64; 2]> {
    let scale = chart.scales[which];
    let values = chart.series.iter().flat_map(|series| {
        series.points.iter().enumerate().flat_map(move |(index, point)| {
            let (value, half) = (point[which], if which == 1 { series.half(index) } else { 0.0 });
            // An interval that reaches below zero does not stretch a logarithmic axis.
            let low = if scale == Scale::Logarithmic && value - half <= 0.0 { value } else { value - half };
            [low, value, value + half]
        })
    });
    let mut data = [f64::INFINITY, f64::NEG_INFINITY];
    for value in values {
        if !value.is_finite() {
            return Err(Error::Range { axis, low: value, high: value });
        }
        data = [data[0].min(value), data[1].max(value)];
    }
    if data[0] > data[1] {
        return Err(Error::NoPoints);
    }
    let lowest = chart.ranges[which].map_or(data[0], |asked| asked[0]);
    if scale == Scale::Logarithmic && lowest <= 0.0 {
        return Err(Error::Logarithm { axis, found: lowest });
    }
    let [low, high] = chart.ranges[which].unwrap_or_else(|| widened(data, scale));
    let is_wide = (high - low).is_finite() && high - low > NARROW * low.abs().max(high.abs());
    if is_wide && high - low >= f64::MIN_POSITIVE { Ok([low, high]) } else { Err(Error::Range { axis, low, high }) }
}

/// A chart with its ends, ready to be drawn.
struct Frame {
    chart: Chart,
    ranges: [[f64; 2]; 2],
    legend: i32,
    unit: i32,
}

impl Frame {
    fn left(&self) -> i32 {
        let name = if self.chart.names[1].is_empty() { 0 } else { 20 };
        (name + 60) * self.unit
    }

    fn below(&self) -> i32 {
        let name = if self.chart.names[0].is_empty() { 0 } else { 20 };
        (name + 26) * self.unit
    }

    fn above(&self) -> i32 {
        if self.chart.title.is_empty() { 10 * self.unit } else { 32 * self.unit }
    }

    fn draw_in<DB, X, Y>(&self, root: &DrawingArea<DB, Shift>, x: X, y: Y) -> std::result::Result<(), String>
    where
        DB: DrawingBackend,
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let (chart, unit) = (&self.chart, self.unit);
        let (width, _) = root.dim_in_pixel();
        let (plot, legend) = root.split_horizontally(width as i32 - self.legend);
        let mut builder = ChartBuilder::on(&plot);
        builder.margin_right(RIGHT * unit).margin_top(10 * unit).margin_left(EDGE * unit);
        if !chart.title.is_empty() {
            builder.caption(&chart.title, ("sans-serif", 16 * unit));
        }
        builder.x_label_area_size(self.below()).y_label_area_size(self.left());
        let mut frame = builder.build_cartesian_2d(x, y).map_err(say)?;
        ticks(&mut frame, &chart.names, chart.scales, &chart.places, unit)?;
        let area = frame.plotting_area();
        let place = |[x, y]: [f64; 2]| area.map_coordinate(&(x, y));
        let bare = plot.strip_coord_spec();
        let bare = bare.use_screen_coord();
        match chart.mark {
            Mark::Line => self.draw_lines(&bare, place)?,
            Mark::Dot => self.draw_dots(&bare, place)?,
        }
        self.draw_legend(&legend)
    }

    fn draw_lines<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        place: impl Fn([f64; 2]) -> (i32, i32),
    ) -> std::result::Result<(), String> {
        let has_intervals = self.chart.series.iter().any(Series::has_intervals);
        for series in &self.chart.series {
            let thick = if has_intervals && !series.has_intervals() { 1 } else { 2 };
            let stroke = colour(series.colour).stroke_width((thick * self.unit) as u32);
            if let [only] = series.points[..]
                && self.holds(only)
            {
                area.draw(&Circle::new(place(only), 3 * self.unit, stroke.filled())).map_err(say)?;
            }
            for run in self.runs(&series.points) {
                let places: Vec<_> = run.into_iter().map(&place).collect();
                area.draw(&PathElement::new(places, stroke)).map_err(say)?;
            }
            let thin = colour(series.colour).stroke_width(self.unit as u32);
            for (index, &[x, y]) in series.points.iter().enumerate().filter(|(index, _)| series.half(*index) > 0.0) {
                let half = series.half(index);
                for run in self.runs(&[[x, y - half], [x, y + half]]) {
                    let places: Vec<_> = run.into_iter().map(&place).collect();
                    area.draw(&PathElement::new(places, thin)).map_err(say)?;
                }
            }
        }
        Ok(())
    }

    /// The first dot of every series, the second of every series, and so on: no class hides all of another.
    fn draw_dots<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        place: impl Fn([f64; 2]) -> (i32, i32),
    ) -> std::result::Result<(), String> {
        let series = &self.chart.series;
        let count: usize = series.iter().map(|series| series.points.len()).sum();
        let radius = self.unit * if count > CROWD { 2 } else { 3 };
        let longest = series.iter().map(|series| series.points.len()).max().unwrap_or(0);
        for index in 0..longest {
            for series in series {
                if let Some(&point) = series.points.get(index).filter(|point| self.holds(**point)) {
                    area.draw(&Circle::new(place(point), radius, colour(series.colour).mix(0.8).filled()))
                        .map_err(say)?;
                }
            }
        }
        Ok(())
    }

    fn holds(&self, point: [f64; 2]) -> bool {
        point.iter().zip(self.ranges).all(|(value, [low, high])| (low..=high).contains(value))
    }

    /// The parts of a line within the frame. Where an axis is logarithmic the line is cut there as it is drawn, straight.
    fn runs(&self, points: &[[f64; 2]]) -> Vec<Vec<[f64; 2]>> {
        let shape = |value: f64, which: usize| match self.chart.scales[which] {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
        };
        let back = |value: f64, which: usize| match self.chart.scales[which] {
            Scale::Linear => value,
            Scale::Logarithmic => value.exp(),
        };
        let ends = [0, 1].map(|which| self.ranges[which].map(|end| shape(end, which)));
        let mut runs: Vec<Vec<[f64; 2]>> = Vec::new();
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]].map(|point| [shape(point[0], 0), shape(point[1], 1)]);
            // The part of the way that lies inside, from 0 to 1 (Liang and Barsky).
            let (mut first, mut last) = (0f64, 1f64);
            for which in 0..2 {
                let (start, way) = (from[which], to[which] - from[which]);
                let crossings = ends[which].map(|end| (end - start) / way);
                let is_inside = (ends[which][0]..=ends[which][1]).contains(&start);
                match (way == 0.0, is_inside) {
                    (true, true) => {}
                    (true, false) => last = -1.0,
                    (false, _) => {
                        first = first.max(crossings[0].min(crossings[1]));
                        last = last.min(crossings[0].max(crossings[1]));
                    }
                }
            }
            if first > last {
                continue;
            }
            let at = |part: f64| [0, 1].map(|which| back(from[which] + part * (to[which] - from[which]), which));
            let (start, end) =
                (if first == 0.0 { pair[0] } else { at(first) }, if last == 1.0 { pair[1] } else { at(last) });
            match runs.last_mut().filter(|run| run.last() == Some(&start)) {
                Some(run) => run.push(end),
                None => runs.push(vec![start, end]),
            }
        }
        runs
    }

    /// A short line or a dot before each name, in columns.
    fn draw_legend<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> std::result::Result<(), String> {
        let unit = self.unit;
        let (width, _) = area.dim_in_pixel();
        let (rows, columns) = self.chart.legend_grid();
        let named = if self.chart.is_named() { self.chart.series.as_slice() } else { &[] };
        for (number, series) in (0..).zip(named) {
            let (left, top) = (number / rows * (width as i32 / columns.max(1)), 30 * unit + number % rows * 18 * unit);
            let fill = colour(series.colour);
            let middle = top + 7 * unit;
            match self.chart.mark {
                Mark::Line => area.draw(&PathElement::new(
                    vec![(left, middle), (left + 16 * unit, middle)],
                    fill.stroke_width(2 * unit as u32),
                )),
                Mark::Dot => area.draw(&Circle::new((left + 8 * unit, middle), 4 * unit, fill.filled())),
            }
            .map_err(say)?;
            let name: String = series.name.chars().take(NAME).collect();
            area.draw(&Text::new(name, (left + 22 * unit, top), ("sans-serif", 13 * unit))).map_err(say)?;
        }
        Ok(())
    }
}

impl Pen for Frame {
    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>) -> std::result::Result<(), String> {
        let [x, y] = self.ranges.map(|[low, high]| low..high);
        let [at_x, at_y] = [0, 1].map(|which| move || logarithmic_places(self.ranges[which]));
        match self.chart.scales {
            [Scale::Linear, Scale::Linear] if self.chart.places.is_empty() => self.draw_in(root, x, y),
            [Scale::Linear, Scale::Linear] => {
                self.draw_in(root, Places { all: self.chart.places.len(), axis: x.into() }, y)
            }
            [Scale::Linear, Scale::Logarithmic] => self.draw_in(root, x, y.log_scale().with_key_points(at_y())),
            [Scale::Logarithmic, Scale::Linear] => self.draw_in(root, x.log_scale().with_key_points(at_x()), y),
            [Scale::Logarithmic, Scale::Logarithmic] => {
                let (x, y) = (x.log_scale().with_key_points(at_x()), y.log_scale().with_key_points(at_y()));
                self.draw_in(root, x, y)
            }
        }
    }
}

/// An axis with names at 0, 1, 2 …
struct Places {
    all: usize,
    axis: RangedCoordf64,
}

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.axis.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..self.all).map(|place| place as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        self.axis.range()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(points: &[[f64; 2]]) -> Chart {
        Chart { series: vec![Series::new("", points.to_vec(), 0)], ..Chart::default() }
    }

    /// The numbers of each attribute of this name.
    fn numbers(svg: &str, name: &str) -> Vec<f64> {
        svg.split(&format!(" {name}=\"")).skip(1).map(|text| text.split('"').next().unwrap().parse().unwrap()).collect()
    }

    /// The points of the polylines of the first series' colour.
    fn drawn(chart: Chart) -> Vec<Vec<[f64; 2]>> {
        let svg = chart.figure().unwrap().svg().unwrap();
        let lines = svg.split("<polyline ").skip(1).filter(|line| line.split("/>").next().unwrap().contains("#1F77B4"));
        let places = lines.map(|line| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().to_owned());
        let pair = |text: &str| text.split_once(',').map(|(x, y)| [x.parse().unwrap(), y.parse().unwrap()]).unwrap();
        places.map(|places| places.split_whitespace().map(pair).collect()).collect()
    }

    #[test]
    fn dots_stand_where_their_numbers_say() {
        let points = [[0.0, 0.0], [10.0, 0.0], [5.0, 4.0]];
        let chart = Chart { mark: Mark::Dot, ranges: [Some([0.0, 10.0]), Some([0.0, 4.0])], ..lines(&points) };
        let svg = chart.figure().unwrap().svg().unwrap();
        let (x, y) = (numbers(&svg, "cx"), numbers(&svg, "cy"));
        assert_eq!(x.len(), 3, "{svg}");
        assert!((x[2] - (x[0] + x[1]) / 2.0).abs() <= 1.0 && x[1] - x[0] > 400.0, "{x:?}");
        assert!(y[0] == y[1] && y[0] - y[2] > 300.0, "{y:?}");
    }

    #[test]
    fn a_line_is_cut_at_the_frame() {
        let chart = Chart {
            ranges: [None, Some([0.0, 1.0])],
            ..lines(&[[0.0, 0.5], [1.0, 0.5], [2.0, 1e300], [3.0, -1e300], [4.0, 0.5]])
        };
        let lines = drawn(chart);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().flatten().all(|[_, y]| (0.0..=460.0).contains(y)), "{lines:?}");
    }

    #[test]
    fn a_power_is_a_straight_line_on_logarithmic_axes() {
        let points: Vec<[f64; 2]> = [1.0f64, 10.0, 100.0].map(|x| [x, 3.0 * x.sqrt()]).to_vec();
        let series = Series { halves: vec![0.5; 3], ..Series::new("", points, 0) };
        let chart = Chart { series: vec![series], scales: [Scale::Logarithmic; 2], ..Chart::default() };
        let lines = drawn(chart);
        assert_eq!(lines.len(), 1 + 3, "a line for each interval");
        let slope = |a: [f64; 2], b: [f64; 2]| (b[1] - a[1]) / (b[0] - a[0]);
        let line = &lines[0];
        assert!((slope(line[0], line[1]) / slope(line[1], line[2]) - 1.0).abs() < 0.02, "{line:?}");
    }

    #[test]
    fn logarithmic_axes_have_numbers_however_short_or_long() {
        assert_eq!(logarithmic_places([0.03, 0.35]), [0.05, 0.1, 0.2]);
        assert_eq!(logarithmic_places([2.1, 5.9]), [3.0, 4.0, 5.0]);
        assert_eq!(logarithmic_places([2.1, 2.9]), [2.2, 2.4, 2.6, 2.8]);
        assert_eq!(logarithmic_places([0.5, 2000.0]), [1.0, 10.0, 100.0, 1000.0]);
        assert!(logarithmic_places([1e-300, 1e300]).len() <= 10);
    }

    #[test]
    fn constant_and_single_values_are_drawn() {
        for points in [&[[0.0, 3.0]; 1][..], &[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], &[[1e-300, 1e300]]] {
            for mark in [Mark::Line, Mark::Dot] {
                let chart = Chart { mark, ..lines(points) };
                let picture = chart.figure().unwrap().picture().unwrap();
                assert!(picture.pixels().any(|pixel| pixel.0[2] > pixel.0[0] + 60), "{points:?} {mark:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -f64::NAN] {
            let points = [[0.0, 0.0], [1.0, bad], [2.0, 1.0]];
            assert!(matches!(lines(&points).figure(), Err(Error::Range { axis: "y", .. })));
            assert!(Chart { ranges: [None, Some([0.0, 1.0])], ..lines(&points) }.figure().is_err());
        }
        assert!(matches!(lines(&[]).figure(), Err(Error::NoPoints)));
        for asked in [[1.0, 1.0], [2.0, 1.0], [0.0, f64::INFINITY], [f64::NAN, 1.0], [1.0, 1.0 + 1e-12], [0.0, 1e-320]]
        {
            let chart = Chart { ranges: [Some(asked), None], ..lines(&[[0.0, 0.0], [1.0, 1.0]]) };
            assert!(matches!(chart.figure(), Err(Error::Range { axis: "x", .. })), "{asked:?}");
        }
        let logarithmic = |points: &[[f64; 2]]| Chart { scales: [Scale::Logarithmic; 2], ..lines(points) };
        assert!(matches!(logarithmic(&[[1.0, -1.0]]).figure(), Err(Error::Logarithm { axis: "y", .. })));
        // An interval below zero is cut at the frame.
        let mut chart = logarithmic(&[[1.0, 0.5], [2.0, 0.1]]);
        chart.series[0].halves = vec![0.7, 0.0];
        assert!(chart.figure().unwrap().svg().is_ok());
        for size in [(0, 0), (0, 480), (60, 480), (640, 60)] {
            let chart = Chart { size, ..lines(&[[0.0, 1.0]]) };
            assert!(matches!(chart.figure(), Err(Error::Crowded { .. })), "{size:?}");
        }
        for size in [(1 << 20, 1 << 20), (usize::MAX, usize::MAX)] {
            assert!(matches!(Chart { size, ..lines(&[[0.0, 1.0]]) }.figure(), Err(Error::Large { .. })), "{size:?}");
        }
    }

    #[test]
    fn every_series_has_its_colour_in_the_legend_and_a_larger_picture_larger_letters() {
        let series: Vec<Series> =
            (0..12).map(|number| Series::new(number.to_string(), vec![[0.0, number as f64]], number)).collect();
        let svg = |size| {
            let chart =
                Chart { series: series.clone(), mark: Mark::Dot, size, title: "a < b".into(), ..Chart::default() };
            chart.figure().unwrap().svg().unwrap()
        };
        let (small, large) = (svg((640, 480)), svg((1280, 960)));
        assert_eq!(numbers(&small, "cx").len(), 24);
        assert!(small.contains("a &lt; b"));
        let largest = |svg: &str| numbers(svg, "font-size").into_iter().fold(0.0, f64::max);
        assert!((largest(&large) / largest(&small) - 2.0).abs() < 0.1, "{}", largest(&large));
    }
}
