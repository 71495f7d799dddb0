//! How alike two images, or two rows of features, are: L1, L2, structural similarity; and nearest neighbours by any of them.

pub mod nearest;
pub mod ssim;

/// How a row is compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Mean |a - b| over the values of a row.
    L1,
    /// Root of the sum of (a - b)^2.
    L2,
    /// 1 - SSIM, for images of this many channels, rows and columns.
    Ssim {
        /// Channels.
        channels: usize,
        /// Rows of a channel.
        height: usize,
        /// Columns of a channel.
        width: usize,
    },
}

impl Metric {
    /// How far `a` is from `b`, rows of one length; 0 for equal rows.
    ///
    /// ```
    /// use obverse::similarity::Metric;
    /// assert_eq!(Metric::L1.distance(&[0.0, 1.0], &[0.5, 0.5]), 0.5);
    /// assert_eq!(Metric::L2.distance(&[0.0, 0.0], &[3.0, 4.0]), 5.0);
    /// ```
    pub fn distance(self, a: &[f64], b: &[f64]) -> f64 {
        match self {
            Self::L1 => summed(a, b, |a, b| (a - b).abs()) / a.len().max(1) as f64,
            Self::L2 => summed(a, b, |a, b| (a - b) * (a - b)).sqrt(),
            Self::Ssim { channels, height, width } => 1.0 - ssim::ssim(a, b, [channels, height, width]),
        }
    }
}

/// The sum of `term` over two rows, in lanes side by side: a single sum would have to wait for each addition.
fn summed(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum();
    lanes.iter().sum::<f64>() + rest
}
