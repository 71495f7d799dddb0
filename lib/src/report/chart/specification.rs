//! What a chart shows.

use crate::report::figure::unit_of;
use crate::report::scale::Scale;
use crate::report::series::Series;

/// Characters of a name that the legend shows.
pub(super) const NAME: usize = 24;

/// How points are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// A line from each point to the next; thin if the series has no intervals but another one has.
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
    /// The scales of the horizontal and the vertical axis.
    pub scales: [Scale; 2],
    /// Labels below x = 0, 1, 2 … instead of numbers, where both axes are linear; may be empty.
    pub places: Vec<String>,
    /// Names of the axes; may be empty.
    pub names: [String; 2],
    /// The title above; may be empty.
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
    pub(super) fn is_named(&self) -> bool {
        self.series.iter().any(|series| !series.name.is_empty())
    }

    /// Rows and columns of the legend's names.
    pub(super) fn legend_grid(&self) -> (i32, i32) {
        let rows = ((self.size.1 as i32 / unit_of(self.size) - 60) / 18).max(1);
        (rows, (self.series.len() as i32 + rows - 1) / rows)
    }

    pub(super) fn legend_width(&self) -> i32 {
        let longest = self.series.iter().map(|series| series.name.chars().take(NAME).count()).max().unwrap_or(0);
        let (_, columns) = self.legend_grid();
        if self.is_named() { columns * (longest as i32 * 8 + 40) * unit_of(self.size) } else { 0 }
    }
}
