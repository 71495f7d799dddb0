//! A chart: curves or dots in a frame of linear or logarithmic axes, a title above, a legend to the right.

mod frame;
mod ranges;
mod specification;

use super::figure::{Figure, RIGHT, unit_of};
use super::{Error, Result};
use frame::Frame;
use ranges::range;

pub use specification::{Chart, Mark};

/// Largest picture drawn: half a GiB of memory.
const LIMIT: usize = 1 << 26;
/// The least room for points, in pixels each way.
const LEAST: u32 = 64;
/// Room to the left of an axis' name, which turned by a right angle would touch the edge.
const EDGE: i32 = 6;

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
}

#[cfg(test)]
mod tests;
