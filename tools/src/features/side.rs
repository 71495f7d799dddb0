//! The two sets that are compared: rows of features, or their statistics.

use anyhow::{bail, ensure};
use obverse::fidelity::Features;
use obverse::fidelity::moments::Moments;
use obverse::fidelity::statistics::{Origin, Statistics};
use obverse::store::npy::{Reader, require_finite};
use obverse::store::sidecar::Sidecar;

/// What a pass left out or changed, or that there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// Files that could not be decoded.
    pub skipped: usize,
    /// Values outside 0..1 that were clipped.
    pub clipped: usize,
    /// Whether the features were there from an earlier run.
    pub kept: bool,
}

/// Rows of numbers, one per image.
pub struct Rows {
    /// (N, d) in row order.
    pub values: Vec<f64>,
    /// d.
    pub dimension: usize,
}

impl Rows {
    /// No rows yet, of this many numbers.
    pub fn new(dimension: usize) -> Self {
        Self { values: Vec::new(), dimension }
    }

    /// All rows of an array of two axes.
    ///
    /// # Errors
    /// An array without values, values that are not finite, a file that fails.
    pub fn of_array(reader: &mut Reader) -> anyhow::Result<Self> {
        let (count, dimension) = (reader.rows(), reader.row_len());
        ensure!(count > 0 && dimension > 0, "{}: expected features, found none", reader.path().display());
        let values: Vec<f64> = reader.read_rows_as_float(count)?;
        require_finite(reader.path(), &values, 0, dimension)?;
        Ok(Self { values, dimension })
    }

    /// Adds rows.
    pub fn extend(&mut self, rows: &[f32]) {
        self.values.extend(rows.iter().map(|&value| f64::from(value)));
    }

    /// The same as features.
    pub fn features(&self) -> Features<'_> {
        Features::new(&self.values, self.dimension)
    }
}

/// One of the two sets that are compared.
pub enum Side {
    /// Features, one row per image.
    Features {
        /// What is compared.
        rows: Rows,
        /// The spatial features, if they were wanted.
        spatial: Option<Rows>,
        /// The logits, if they were wanted.
        logits: Option<Rows>,
        /// Where the features come from, if that is known.
        origin: Option<Origin>,
        /// What was left out or changed.
        left: Left,
    },
    /// A file of statistics.
    Statistics(Statistics),
}

impl Side {
    /// Features of an array of two axes.
    ///
    /// # Errors
    /// As [`Rows::of_array`].
    pub fn of_array(reader: &mut Reader) -> anyhow::Result<Self> {
        let rows = Rows::of_array(reader)?;
        let sidecar = Sidecar::path_of(reader.path()).and_then(|path| Sidecar::read(&path).ok());
        let origin = sidecar.and_then(|sidecar| serde_json::from_value(sidecar.resolved.get("features")?.clone()).ok());
        Ok(Self::Features { rows, spatial: None, logits: None, origin, left: Left::default() })
    }

    /// The number of images, if it is known.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Features { rows, .. } => Some(rows.features().count()),
            Self::Statistics(statistics) => statistics.counted.then(|| statistics.moments.count()),
        }
    }

    /// The number of features.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Features { rows, .. } => rows.dimension,
            Self::Statistics(statistics) => statistics.moments.dimension(),
        }
    }

    /// Where the features come from, if that is known.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Features { origin, .. } => origin.as_ref(),
            Self::Statistics(statistics) => statistics.origin.as_ref(),
        }
    }

    /// The rows, unless only statistics are there.
    pub fn features(&self) -> Option<Features<'_>> {
        match self {
            Self::Features { rows, .. } => Some(rows.features()),
            Self::Statistics(_) => None,
        }
    }

    /// The mean and covariance of the features.
    pub fn moments(&self) -> Moments {
        match self {
            Self::Features { rows, .. } => Moments::of(&rows.values, rows.dimension),
            Self::Statistics(statistics) => statistics.moments.clone(),
        }
    }

    /// The spatial features, if they were read.
    pub fn spatial(&self) -> Option<Features<'_>> {
        match self {
            Self::Features { spatial, .. } => spatial.as_ref().map(Rows::features),
            Self::Statistics(_) => None,
        }
    }

    /// The mean and covariance of the spatial features, if they are known.
    pub fn spatial_moments(&self) -> Option<Moments> {
        match self {
            Self::Features { spatial, .. } => spatial.as_ref().map(|rows| Moments::of(&rows.values, rows.dimension)),
            Self::Statistics(statistics) => statistics.spatial.clone(),
        }
    }

    /// The logits, if they were read.
    pub fn logits(&self) -> Option<Features<'_>> {
        match self {
            Self::Features { logits, .. } => logits.as_ref().map(Rows::features),
            Self::Statistics(_) => None,
        }
    }

    /// What was left out or changed.
    pub fn left(&self) -> Left {
        match self {
            Self::Features { left, .. } => *left,
            Self::Statistics(_) => Left::default(),
        }
    }
}

/// Where the features of both sides come from. It must be the same if both are known.
///
/// # Errors
/// Different networks, layers or conventions.
pub fn common_origin(a: &Side, b: &Side) -> anyhow::Result<Option<Origin>> {
    match (a.origin(), b.origin()) {
        (Some(one), Some(other)) if !one.is_like(other) => {
            bail!(
                "expected both sets' features from one layer of one network, found {} of {} ({}) and {} of {} ({})",
                one.layer,
                one.network,
                one.input,
                other.layer,
                other.network,
                other.input
            )
        }
        (one, other) => Ok(one.or(other).cloned()),
    }
}
