//! A chart's frame: its axes, its points and its legend, drawn.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::EDGE;
use super::specification::{Chart, Mark, NAME};
use crate::report::Series;
use crate::report::figure::{Pen, RIGHT, colour, ticks};
use crate::report::scale::{Scale, logarithmic_places, say};

/// Above this number of dots, they are drawn smaller.
const CROWD: usize = 3000;

/// A chart with its ends, ready to be drawn.
pub(super) struct Frame {
    pub(super) chart: Chart,
    pub(super) ranges: [[f64; 2]; 2],
    pub(super) legend: i32,
    pub(super) unit: i32,
}

impl Frame {
    pub(super) fn left(&self) -> i32 {
        let name = if self.chart.names[1].is_empty() { 0 } else { 20 };
        (name + 60) * self.unit
    }

    pub(super) fn below(&self) -> i32 {
        let name = if self.chart.names[0].is_empty() { 0 } else { 20 };
        (name + 26) * self.unit
    }

    pub(super) fn above(&self) -> i32 {
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

    /// The first dot of every series, the second of every series, and so on: so that no class hides another.
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

    /// The parts of a line within the frame. On logarithmic axes lines are straight in the picture, and cut there.
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
