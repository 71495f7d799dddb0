//! Statistics of features in a file: mean, covariance, the number of images, and where the features come from. `mu` and `sigma`
//! are those of pytorch-fid's files, which can be read too.
//!
//! ```
//! use obverse::fidelity::{moments::Moments, statistics::Statistics};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("shapes.stats.npz");
//! Statistics { moments: Moments::of(&[1.0, 2.0, 6.0], 1), counted: true, origin: None }.stage(&path)?.place()?;
//! assert_eq!(Statistics::load(&path)?.moments.mean(), [3.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::moments::Moments;
use crate::store::npz::{self, Array, read};
use crate::store::staged::Staged;
use crate::store::{Error, Result};

/// Where features come from: only sets with the same origin can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The network's digest.
    pub network: String,
    /// The node.
    pub layer: String,
    /// How images were resized.
    pub resize: String,
    /// The name of the features: `fid-2048` is only the inception network's last layer.
    pub label: String,
}

/// Moments of features, and their origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Their mean and covariance.
    pub moments: Moments,
    /// Whether the number of images is known: other programs do not write it.
    pub counted: bool,
    /// Where they come from, where that is known.
    pub origin: Option<Origin>,
}

impl Statistics {
    /// Writes `mu` (d), `sigma` (d, d), `n` and `origin` into a file that is not in its place yet.
    ///
    /// # Errors
    /// Fewer than two images, a file that cannot be written.
    pub fn stage(&self, path: &Path) -> Result<Staged> {
        let dimension = self.moments.dimension();
        let covariance = self.moments.covariance().map_err(|error| broken(path, error.to_string()))?;
        let origin = self.origin.as_ref().and_then(|origin| serde_json::to_vec(origin).ok());
        let count = [self.moments.count() as i64];
        let mean = [dimension];
        let square = [dimension, dimension];
        let mut arrays =
            vec![("mu", Array::Float(&mean, self.moments.mean())), ("sigma", Array::Float(&square, &covariance))];
        if self.counted {
            arrays.push(("n", Array::Integer(&[], &count)));
        }
        arrays.extend(origin.as_ref().map(|origin| ("origin", Array::Bytes(origin))));
        npz::stage(path, &arrays)
    }

    /// Reads what [`Statistics::stage`] or pytorch-fid has written.
    ///
    /// # Errors
    /// A file without `mu` and `sigma`, of other shapes, with values that are not finite.
    pub fn load(path: &Path) -> Result<Self> {
        let mut members = read(path, &["mu", "sigma", "n", "origin"])?;
        let (Some(mean), Some(covariance)) = (members.remove("mu"), members.remove("sigma")) else {
            return Err(broken(path, "arrays of other names".into()));
        };
        let dimension = mean.values.len();
        if mean.shape != [dimension] || covariance.shape != [dimension, dimension] {
            return Err(broken(path, format!("shapes {:?} and {:?}", mean.shape, covariance.shape)));
        }
        if mean.values.iter().chain(&covariance.values).any(|value| !value.is_finite()) {
            return Err(broken(path, "values that are not finite".into()));
        }
        let count = members.get("n").and_then(|member| member.values.first()).map(|&count| count as usize);
        let moments = Moments::from_covariance(count.unwrap_or(2), mean.values, covariance.values)
            .map_err(|error| broken(path, error.to_string()))?;
        let text: Option<Vec<u8>> =
            members.get("origin").map(|member| member.values.iter().map(|&byte| byte as u8).collect());
        let origin = text.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self { moments, counted: count.is_some(), origin })
    }
}

fn broken(path: &Path, found: String) -> Error {
    Error::Format {
        path: path.to_owned(),
        expected: "statistics: mu (d) and sigma (d, d) of two images or more",
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    #[test]
    fn statistics_return_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.stats.npz");
        let rows: Vec<f64> = Stream::new(0, "rows", 0).normal(0..30 * 4);
        let text = |text: &str| text.to_string();
        let origin = Origin { network: text("digest"), layer: text("z"), resize: text("none"), label: text("z-4") };
        let moments = Moments::of(&rows, 4);
        let statistics = Statistics { moments, counted: true, origin: Some(origin) };
        statistics.stage(&path).unwrap().place().unwrap();
        let read = Statistics::load(&path).unwrap();
        assert_eq!((read.moments.count(), &read.origin), (30, &statistics.origin));
        let (a, b) = (read.moments.covariance().unwrap(), statistics.moments.covariance().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-15 * b.abs()));
        // As pytorch-fid writes them.
        npz::stage(&path, &[("mu", Array::Float(&[1], &[0.5])), ("sigma", Array::Float(&[1, 1], &[2.0]))])
            .unwrap()
            .place()
            .unwrap();
        let read = Statistics::load(&path).unwrap();
        assert!(!read.counted && read.origin.is_none());
        assert_eq!(read.moments.covariance().unwrap(), [2.0]);
        npz::stage(&path, &[("mu", Array::Float(&[2], &[0.5, 0.0])), ("sigma", Array::Float(&[1, 1], &[2.0]))])
            .unwrap()
            .place()
            .unwrap();
        assert!(Statistics::load(&path).unwrap_err().to_string().contains("shapes"));
    }
}
