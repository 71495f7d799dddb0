//! A plot, one RGB picture: curves or dots in a frame, round ticks with their numbers, a title above, a legend to the right.
//!
//! A series is points (x, y), drawn in file order in a colour of its own, smooth at the edges. Letters are those of grids.

use std::collections::BTreeMap;

use image::{Rgb, RgbImage};
use tiny_skia::{Color, FillRule, LineCap, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};

use super::axis::{Axis, longest_label};
use super::text::{self, CHARACTER};
use super::{Error, Result};
use crate::store;
use crate::store::npy::{Reader, require_finite};

/// Values of an array that are drawn at most: more than a picture has pixels, and some seconds of drawing.
const MOST_VALUES: usize = 1 << 22;

/// Largest picture drawn: half a GiB of memory.
const LIMIT: usize = 1 << 26;

/// The picture at which letters and lines have their smallest size; they grow with it by whole factors.
const SMALLEST: (usize, usize) = (640, 480);

/// Characters of a name that the legend shows.
const NAME: usize = 24;

/// Series of more dots together than this get smaller ones.
const CROWD: usize = 3000;

/// Points of a line that are drawn together: the time for a piece grows with the square of its length.
const PIECE: usize = 1024;

/// Pixels to which places far outside the picture are drawn in: f32 has a hundredth of a pixel left there.
const FAR: f64 = 1e5;

/// Colours of the series: matplotlib's, which are Tableau's ten.
pub(super) const COLOURS: [[u8; 3]; 10] = [
    [0x1f, 0x77, 0xb4],
    [0xff, 0x7f, 0x0e],
    [0x2c, 0xa0, 0x2c],
    [0xd6, 0x27, 0x28],
    [0x94, 0x67, 0xbd],
    [0x8c, 0x56, 0x4b],
    [0xe3, 0x77, 0xc2],
    [0x7f, 0x7f, 0x7f],
    [0xbc, 0xbd, 0x22],
    [0x17, 0xbe, 0xcf],
];

pub(super) const GRID: [u8; 3] = [228; 3];
pub(super) const FRAME: [u8; 3] = [80; 3];

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line from each point to the next.
    Line,
    /// A dot at each point.
    Dot,
}

/// Points of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it. Without any name there is no legend.
    pub name: String,
    /// (x, y), finite.
    pub points: Vec<[f64; 2]>,
}

/// What stands around the points.
#[derive(Clone, Debug)]
pub struct PlotLayout {
    /// Lines or dots.
    pub mark: Mark,
    /// What stands above; may be empty.
    pub title: String,
    /// Ends of the horizontal axis; where there are none, those of the data, widened to whole ticks.
    pub x_range: Option<[f64; 2]>,
    /// Ends of the vertical axis.
    pub y_range: Option<[f64; 2]>,
    /// Width and height of the picture, in pixels.
    pub size: (usize, usize),
}

/// Reads an array of one number a row: (N), (N, 1), (N, 1, 1, 1).
///
/// # Errors
/// `Long` for too many rows; `Store` for another shape, values that are not finite and files that fail.
pub fn read_curve(reader: &mut Reader) -> Result<Vec<f64>> {
    read_columns(reader, 1, "a curve (N) or (N, 1) of at least one value")
}

/// Reads an array of two numbers a row: (N, 2), (N, 2, 1, 1).
///
/// # Errors
/// `Long` for too many rows; `Store` for another shape, values that are not finite and files that fail.
pub fn read_points(reader: &mut Reader) -> Result<Vec<[f64; 2]>> {
    let values = read_columns(reader, 2, "at least one point, (N, 2)")?;
    Ok(values.as_chunks().0.to_vec())
}

fn read_columns(reader: &mut Reader, columns: usize, expected: &str) -> Result<Vec<f64>> {
    let (rows, path) = (reader.rows(), reader.path().to_owned());
    let has_columns = reader.row_len() == columns && reader.row_shape().first().is_none_or(|&first| first == columns);
    if rows == 0 || !has_columns {
        let (expected, found) = (expected.to_owned(), reader.shape().to_vec());
        return Err(store::Error::Shape { path, expected, found }.into());
    }
    if rows > MOST_VALUES {
        return Err(Error::Long { path, limit: MOST_VALUES, found: rows });
    }
    let values = reader.read_rows_as_float(rows)?;
    require_finite(&path, &values, 0, columns)?;
    Ok(values)
}

/// Points as one series a class, named by its number, in order of the numbers; a label for each point.
pub fn classes(points: &[[f64; 2]], labels: &[i64]) -> Vec<Series> {
    let mut classes: BTreeMap<i64, Vec<[f64; 2]>> = BTreeMap::new();
    points.iter().zip(labels).for_each(|(&point, &label)| classes.entry(label).or_default().push(point));
    classes.into_iter().map(|(label, points)| Series { name: label.to_string(), points }).collect()
}

/// Draws series in one frame.
///
/// ```
/// use obverse::report::{Mark, PlotLayout, Series, plot};
/// let squares = Series { name: "squares".into(), points: (0..9).map(|x| [x as f64, (x * x) as f64]).collect() };
/// let layout =
///     PlotLayout { mark: Mark::Line, title: String::new(), x_range: None, y_range: Some([0.0, 50.0]), size: (320, 240) };
/// assert_eq!(plot(&[squares], &layout)?.dimensions(), (320, 240));
/// # Ok::<(), obverse::report::Error>(())
/// ```
///
/// # Errors
/// `NoPoints`; `Range` for points or ranges that are not finite; `Large` for a picture that would not fit in memory, `Crowded`
/// for one that has no room for the frame.
pub fn plot(series: &[Series], layout: &PlotLayout) -> Result<RgbImage> {
    let (width, height) = layout.size;
    let large = || Error::Large { limit: LIMIT, width, height };
    if width.saturating_mul(height) > LIMIT {
        return Err(large());
    }
    let page = Page::of(series, layout)?;
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or_else(large)?;
    pixmap.fill(Color::WHITE);
    page.draw_grid(&mut pixmap);
    match layout.mark {
        Mark::Line => page.draw_lines(&mut pixmap, series),
        Mark::Dot => page.draw_dots(&mut pixmap, series),
    }
    page.draw_frame(&mut pixmap);
    page.draw_samples(&mut pixmap, series, layout.mark);
    let mut picture = opaque(&pixmap);
    page.write(&mut picture, series, &layout.title);
    Ok(picture)
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// Where everything stands, in pixels.
struct Page {
    /// Pixels of the thinnest line, and of a dot of a letter.
    unit: usize,
    /// Height and width of a letter.
    em: usize,
    /// Enlargement of the title's letters.
    title: usize,
    frame: Area,
    legend: Legend,
    x: Axis,
    y: Axis,
}

/// The legend's size: names stand in columns.
struct Legend {
    rows: usize,
    /// From one column to the next.
    pitch: usize,
    /// Of all columns.
    width: usize,
}

impl Page {
    fn of(series: &[Series], layout: &PlotLayout) -> Result<Self> {
        let (width, height) = layout.size;
        let unit = (width / SMALLEST.0).min(height / SMALLEST.1).max(1);
        let em = CHARACTER * unit;
        let letters = layout.title.chars().count();
        let title = if 2 * em * letters <= width { 2 * unit } else { unit };
        let top = if letters == 0 { em } else { 2 * em + CHARACTER * title };
        let inside = height.saturating_sub(top + 5 * em / 2);
        let y = Axis::new("y", extent(series, 1)?, layout.y_range, |ticks| ticks.len() * 5 * em / 2 <= inside)?;
        let legend = Legend::of(series, inside, em);
        let left = (y.longest_label() + 1) * em + em / 2;
        let across = width.saturating_sub(left + 2 * em + legend.width);
        let x = Axis::new("x", extent(series, 0)?, layout.x_range, |ticks| {
            ticks.len() * (longest_label(ticks) + 2) * em <= across
        })?;
        if across < 8 * em || inside < 8 * em {
            return Err(Error::Crowded { width, height });
        }
        Ok(Self { unit, em, title, frame: Area { left, top, width: across, height: inside }, legend, x, y })
    }

    /// The pixel, as a fraction, in the middle of which a point stands: a little inside of the frame at an axis's ends.
    fn place(&self, [x, y]: [f64; 2]) -> (f32, f32) {
        let Area { left, top, width, height } = self.frame;
        let between = |start: usize, length: usize, part: f64| {
            let margin = self.em * 3 / 4;
            let place = (start + margin) as f64 + part * (length - 2 * margin - 1) as f64;
            (place + 0.5).clamp(-FAR, FAR) as f32
        };
        (between(left, width, self.x.place(x)), between(top, height, 1.0 - self.y.place(y)))
    }

    /// The column of pixels of a tick below.
    fn column(&self, value: f64) -> usize {
        self.place([value, 0.0]).0.max(0.0) as usize
    }

    /// The row of pixels of a tick at the left.
    fn row(&self, value: f64) -> usize {
        self.place([0.0, value]).1.max(0.0) as usize
    }

    fn draw_grid(&self, pixmap: &mut Pixmap) {
        let Area { left, top, width, height } = self.frame;
        for tick in &self.x.ticks {
            fill(pixmap, Area { left: self.column(tick.value), top, width: self.unit, height }, GRID);
        }
        for tick in &self.y.ticks {
            fill(pixmap, Area { left, top: self.row(tick.value), width, height: self.unit }, GRID);
        }
    }

    fn draw_frame(&self, pixmap: &mut Pixmap) {
        let Area { left, top, width, height } = self.frame;
        let thick = self.unit;
        for side in [
            Area { left, top, width, height: thick },
            Area { left, top: top + height - thick, width, height: thick },
            Area { left, top, width: thick, height },
            Area { left: left + width - thick, top, width: thick, height },
        ] {
            fill(pixmap, side, FRAME);
        }
    }

    fn draw_lines(&self, pixmap: &mut Pixmap, series: &[Series]) {
        let width = 1.5 * self.unit as f32;
        let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        let inside = mask(pixmap, self.frame);
        for (number, series) in series.iter().enumerate() {
            let places: Vec<_> = series.points.iter().map(|&point| self.place(point)).collect();
            let paint = paint(colour(number), u8::MAX);
            if let [only] = places[..] {
                dot(pixmap, only, 2.0 * width, &paint, inside.as_ref());
            }
            for path in pieces(&thinned(&places)).filter_map(polyline) {
                pixmap.stroke_path(&path, &paint, &stroke, Transform::identity(), inside.as_ref());
            }
        }
    }

    /// The first dot of every series, the second of every series, and so on: no class hides all of another.
    fn draw_dots(&self, pixmap: &mut Pixmap, series: &[Series]) {
        let count: usize = series.iter().map(|series| series.points.len()).sum();
        let radius = self.unit as f32 * if count > CROWD { 1.5 } else { 2.5 };
        let inside = mask(pixmap, self.frame);
        let longest = series.iter().map(|series| series.points.len()).max().unwrap_or(0);
        let paints: Vec<_> = (0..series.len()).map(|number| paint(colour(number), 200)).collect();
        for index in 0..longest {
            for (series, paint) in series.iter().zip(&paints) {
                if let Some(&point) = series.points.get(index) {
                    dot(pixmap, self.place(point), radius, paint, inside.as_ref());
                }
            }
        }
    }

    /// The corner of an entry of the legend.
    fn entry(&self, number: usize) -> (usize, usize) {
        let (column, row) = (number / self.legend.rows, number % self.legend.rows);
        let Area { left, top, width, .. } = self.frame;
        (left + width + self.em + column * self.legend.pitch, top + row * Legend::row_height(self.em))
    }

    /// A short line or a dot before each name.
    fn draw_samples(&self, pixmap: &mut Pixmap, series: &[Series], mark: Mark) {
        let entries = if self.legend.width > 0 { series.len() } else { 0 };
        for number in 0..entries {
            let (left, top) = self.entry(number);
            let middle = top + self.em / 2 - self.unit;
            match mark {
                Mark::Line => {
                    let area = Area { left, top: middle, width: 2 * self.em, height: 2 * self.unit };
                    fill(pixmap, area, colour(number));
                }
                Mark::Dot => {
                    let (centre, paint) = ((left + self.em) as f32, paint(colour(number), u8::MAX));
                    dot(pixmap, (centre, (middle + self.unit) as f32), 3.0 * self.unit as f32, &paint, None);
                }
            }
        }
    }

    fn write(&self, picture: &mut RgbImage, series: &[Series], title: &str) {
        let Area { left, top, height, .. } = self.frame;
        let page = picture.width() as usize;
        let above = (page.saturating_sub(title.chars().count() * CHARACTER * self.title)) / 2;
        text::draw(picture, title, (above, self.em), self.title);
        for tick in &self.x.ticks {
            let width = tick.label.len() * self.em;
            let left = (self.column(tick.value).saturating_sub(width / 2)).min(page.saturating_sub(width));
            text::draw(picture, &tick.label, (left, top + height + self.em / 2), self.unit);
        }
        for tick in &self.y.ticks {
            let beside = left - self.em / 2 - tick.label.len() * self.em;
            text::draw(picture, &tick.label, (beside, self.row(tick.value).saturating_sub(3 * self.unit)), self.unit);
        }
        for (number, series) in series.iter().enumerate() {
            let (left, top) = self.entry(number);
            text::draw(picture, &shown(&series.name), (left + 5 * self.em / 2, top), self.unit);
        }
    }
}

impl Legend {
    fn of(series: &[Series], height: usize, em: usize) -> Self {
        let rows = (height / Self::row_height(em)).max(1);
        let longest = series.iter().map(|series| shown(&series.name).chars().count()).max().unwrap_or(0);
        if longest == 0 {
            return Self { rows, pitch: 0, width: 0 };
        }
        let pitch = (longest + 4) * em;
        Self { rows, pitch, width: series.len().div_ceil(rows) * pitch - em }
    }

    fn row_height(em: usize) -> usize {
        3 * em / 2
    }
}

/// As much of a name as the legend shows.
fn shown(name: &str) -> String {
    name.chars().take(NAME).collect()
}

/// The smallest and the largest of one coordinate; NaN where there is one.
fn extent(series: &[Series], coordinate: usize) -> Result<[f64; 2]> {
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point[coordinate]);
    // In the total order NaN lies beyond the infinities, so that none is overlooked.
    let ends = values().min_by(f64::total_cmp).zip(values().max_by(f64::total_cmp));
    ends.map(|(low, high)| [low, high]).ok_or(Error::NoPoints)
}

/// The colour of a series: the ten, the same darker, the same lighter, and again.
fn colour(number: usize) -> [u8; 3] {
    let colour = COLOURS[number % COLOURS.len()];
    match number / COLOURS.len() % 3 {
        0 => colour,
        1 => colour.map(|part| part / 5 * 3),
        _ => colour.map(|part| u8::MAX - (u8::MAX - part) / 2),
    }
}

/// What a line needs of neighbours in one column of pixels: the first, the outermost and the last.
fn thinned(places: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut kept = Vec::new();
    for run in places.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if run.len() <= 4 {
            kept.extend(run);
            continue;
        }
        let upper = run.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let lower = run.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        kept.extend([run.first(), upper, lower, run.last()].into_iter().flatten());
    }
    kept
}

/// A line's pieces: the last place of one is the first of the next.
fn pieces(places: &[(f32, f32)]) -> impl Iterator<Item = &[(f32, f32)]> {
    (0..places.len()).step_by(PIECE - 1).map(|start| &places[start..places.len().min(start + PIECE)])
}

/// A line through two places or more.
pub(super) fn polyline(places: &[(f32, f32)]) -> Option<Path> {
    let (first, rest) = places.split_first()?;
    let mut path = PathBuilder::with_capacity(places.len(), places.len());
    path.move_to(first.0, first.1);
    rest.iter().for_each(|place| path.line_to(place.0, place.1));
    path.finish()
}

pub(super) fn paint([red, green, blue]: [u8; 3], opacity: u8) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, opacity);
    paint
}

fn rectangle(area: Area) -> Option<Rect> {
    Rect::from_xywh(area.left as f32, area.top as f32, area.width as f32, area.height as f32)
}

pub(super) fn fill(pixmap: &mut Pixmap, area: Area, colour: [u8; 3]) {
    if let Some(rectangle) = rectangle(area) {
        pixmap.fill_rect(rectangle, &paint(colour, u8::MAX), Transform::identity(), None);
    }
}

pub(super) fn dot(pixmap: &mut Pixmap, (x, y): (f32, f32), radius: f32, paint: &Paint, inside: Option<&Mask>) {
    if let Some(circle) = PathBuilder::from_circle(x, y, radius) {
        pixmap.fill_path(&circle, paint, FillRule::Winding, Transform::identity(), inside);
    }
}

/// What keeps marks inside of an area.
fn mask(pixmap: &Pixmap, area: Area) -> Option<Mask> {
    let mut mask = Mask::new(pixmap.width(), pixmap.height())?;
    let inside = PathBuilder::from_rect(rectangle(area)?);
    mask.fill_path(&inside, FillRule::Winding, false, Transform::identity());
    Some(mask)
}

/// Everything stands on white, so nothing shines through.
pub(super) fn opaque(pixmap: &Pixmap) -> RgbImage {
    let (width, pixels) = (pixmap.width(), pixmap.pixels());
    RgbImage::from_fn(width, pixmap.height(), |x, y| {
        let pixel = pixels[y as usize * width as usize + x as usize];
        Rgb([pixel.red(), pixel.green(), pixel.blue()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::npy::write;

    fn layout(mark: Mark) -> PlotLayout {
        PlotLayout { mark, title: String::new(), x_range: None, y_range: None, size: (320, 240) }
    }

    fn series(name: &str, points: &[[f64; 2]]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    /// Columns and rows of the pixels in the colour of series `number`, each part of it within `distance`.
    fn places(picture: &RgbImage, number: usize, distance: u8) -> (Vec<u32>, Vec<u32>) {
        let is_near = |pixel: &Rgb<u8>| pixel.0.iter().zip(colour(number)).all(|(a, b)| a.abs_diff(b) <= distance);
        picture.enumerate_pixels().filter(|(.., pixel)| is_near(pixel)).map(|(x, y, _)| (x, y)).unzip()
    }

    /// What a line leaves of its colour where it covers two thirds of a pixel.
    const SMOOTHED: u8 = 80;

    fn mean(values: &[u32]) -> f64 {
        f64::from(values.iter().sum::<u32>()) / values.len() as f64
    }

    #[test]
    fn dots_stand_where_their_numbers_say() {
        // The legend's dots would stand among them: without names there is none. Opaque where two lie on each other.
        let places: Vec<_> = [[0.0, 0.0], [10.0, 0.0], [5.0, 4.0]]
            .map(|point| {
                let layout = PlotLayout { x_range: Some([0.0, 10.0]), y_range: Some([0.0, 4.0]), ..layout(Mark::Dot) };
                places(&plot(&[series("", &[point; 8])], &layout).unwrap(), 0, 3)
            })
            .into();
        let at: Vec<_> = places.iter().map(|(x, y)| (mean(x), mean(y))).collect();
        assert!((at[0].1 - at[1].1).abs() < 0.1 && (at[2].0 - (at[0].0 + at[1].0) / 2.0).abs() < 1.0, "{at:?}");
        assert!(at[1].0 - at[0].0 > 250.0 && at[0].1 - at[2].1 > 180.0, "{at:?}");
    }

    #[test]
    fn a_line_is_unbroken_and_stays_in_the_frame() {
        let curve: Vec<_> = (0..50).map(|i| [f64::from(i), f64::from(i * i)]).collect();
        let (columns, _) = places(&plot(&[series("", &curve)], &layout(Mark::Line)).unwrap(), 0, SMOOTHED);
        let (first, last) = (columns.iter().min().unwrap(), columns.iter().max().unwrap());
        let drawn = (*first..=*last).filter(|column| columns.contains(column)).count();
        assert!(drawn > 200, "{drawn}");
        // 1e300 lies far above: the line leaves the frame and nothing is drawn outside.
        let narrow = PlotLayout { y_range: Some([0.0, 1.0]), ..layout(Mark::Line) };
        let picture = plot(&[series("", &[[0.0, 0.5], [1.0, 0.5], [2.0, 1e300], [3.0, -1e300]])], &narrow).unwrap();
        let (columns, rows) = places(&picture, 0, SMOOTHED);
        assert!(columns.len() > 80, "{}", columns.len());
        assert!(rows.iter().all(|&row| (8..240 - 20).contains(&row)));
    }

    #[test]
    fn a_line_needs_few_of_the_points_in_a_column_and_all_of_those_that_go_back_and_forth() {
        let column = [(3.1, 5.0), (3.2, 9.0), (3.3, 6.0), (3.4, 1.0), (3.5, 5.5), (3.6, 7.0), (4.0, 2.0)];
        assert_eq!(thinned(&column), [(3.1, 5.0), (3.4, 1.0), (3.2, 9.0), (3.6, 7.0), (4.0, 2.0)]);
        let back_and_forth: Vec<_> = (0..9).map(|i| ((i % 2) as f32, 0.0)).collect();
        assert_eq!(thinned(&back_and_forth), back_and_forth);
    }

    #[test]
    fn the_pieces_of_a_line_join() {
        for count in [0, 1, 2, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let places: Vec<_> = (0..count).map(|i| (i as f32, 0.0)).collect();
            let steps = pieces(&places).flat_map(|piece| piece.windows(2)).map(|pair| (pair[0], pair[1]));
            assert!(steps.eq(places.windows(2).map(|pair| (pair[0], pair[1]))), "{count}");
        }
    }

    #[test]
    fn constant_and_single_values_are_drawn() {
        for points in [&[[0.0, 3.0]; 1][..], &[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], &[[1e-300, 1e300]]] {
            for mark in [Mark::Line, Mark::Dot] {
                let picture = plot(&[series("", points)], &layout(mark)).unwrap();
                let (columns, _) = places(&picture, 0, SMOOTHED);
                assert!(!columns.is_empty(), "{points:?} {mark:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -f64::NAN] {
            let points = [[0.0, 0.0], [1.0, bad], [2.0, 1.0]];
            assert!(matches!(plot(&[series("", &points)], &layout(Mark::Line)), Err(Error::Range { axis: "y", .. })));
            let asked = PlotLayout { y_range: Some([0.0, 1.0]), ..layout(Mark::Line) };
            assert!(plot(&[series("", &points)], &asked).is_err());
        }
        assert!(matches!(plot(&[], &layout(Mark::Dot)), Err(Error::NoPoints)));
        assert!(matches!(plot(&[series("", &[])], &layout(Mark::Dot)), Err(Error::NoPoints)));
    }

    #[test]
    fn sizes_without_room_are_refused() {
        let draw = |size| plot(&[series("a long name", &[[0.0, 1.0]])], &PlotLayout { size, ..layout(Mark::Dot) });
        for size in [(0, 0), (0, 480), (60, 480), (640, 60), (220, 480)] {
            assert!(matches!(draw(size), Err(Error::Crowded { .. })), "{size:?}");
        }
        for size in [(1 << 20, 1 << 20), (usize::MAX, usize::MAX)] {
            assert!(matches!(draw(size), Err(Error::Large { .. })), "{size:?}");
        }
    }

    #[test]
    fn every_class_has_a_colour_and_a_place_in_the_legend() {
        let points: Vec<_> = (0..36).map(|i| [f64::from(i % 6), f64::from(i / 6)]).collect();
        let labels: Vec<i64> = (0..36).map(|i| i % 12 - 3).collect();
        let classes = classes(&points, &labels);
        assert_eq!(classes.len(), 12);
        assert_eq!((classes[0].name.as_str(), classes[11].name.as_str()), ("-3", "8"));
        assert!(classes.iter().all(|class| class.points.len() == 3));
        let picture = plot(&classes, &layout(Mark::Dot)).unwrap();
        for number in 0..12 {
            // Dots in the frame are not opaque: the pure colour is the legend's.
            let (columns, rows) = places(&picture, number, 3);
            assert!(columns.len() > 10 && columns.iter().all(|&x| x > 260), "{number}: {columns:?}");
            assert!((mean(&rows) - 12.0 * (number as f64 + 1.0)).abs() < 3.0, "{number}: {rows:?}");
        }
    }

    #[test]
    fn a_title_and_a_larger_size_make_larger_letters() {
        let ink = |size, title: &str| {
            let title = title.to_owned();
            let picture = plot(&[series("", &[[0.0, 0.0]])], &PlotLayout { size, title, ..layout(Mark::Dot) }).unwrap();
            picture.pixels().filter(|pixel| pixel.0 == [0; 3]).count()
        };
        let (bare, titled) = (ink((640, 480), ""), ink((640, 480), "loss"));
        assert!(titled > bare + 100, "{bare} {titled}");
        assert_eq!(ink((1280, 960), ""), 4 * bare);
    }

    #[test]
    fn arrays_of_one_or_two_numbers_a_row_are_read_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let open = |shape: &[usize], values: &[f32]| {
            write(&path, shape, values).unwrap();
            Reader::open(&path).unwrap()
        };
        for shape in [&[2][..], &[2, 1], &[2, 1, 1, 1]] {
            assert_eq!(read_curve(&mut open(shape, &[0.5, 2.0])).unwrap(), [0.5, 2.0]);
        }
        assert_eq!(read_points(&mut open(&[2, 2], &[0.0, 1.0, 2.0, 3.0])).unwrap(), [[0.0, 1.0], [2.0, 3.0]]);
        assert!(read_points(&mut open(&[1, 1, 2], &[0.0, 1.0])).is_err());
        assert!(read_curve(&mut open(&[0], &[])).is_err());
        let wrong = read_curve(&mut open(&[1, 2], &[0.0, 1.0])).unwrap_err().to_string();
        assert!(wrong.contains("x.npy") && wrong.contains("[1, 2]"), "{wrong}");
        let wrong = read_curve(&mut open(&[2], &[0.0, f32::INFINITY])).unwrap_err().to_string();
        assert!(wrong.contains("row 1"), "{wrong}");
    }
}
