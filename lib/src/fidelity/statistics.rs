//! Statistics of features in a file: mean, covariance, the number of images, and where the features come from. `mu` and `sigma`
//! are those of pytorch-fid's files, `mu_s` and `sigma_s` the spatial features of ADM's; both can be read, in C or Fortran order.
//!
//! ```
//! use obverse::fidelity::{moments::Moments, statistics::Statistics};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("shapes.stats.npz");
//! Statistics::of(Moments::of(&[1.0, 2.0, 6.0], 1)).stage(&path)?.place()?;
//! assert_eq!(Statistics::load(&path)?.moments.mean(), [3.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use faer::{Mat, Side};
use serde::{Deserialize, Serialize};

use super::moments::Moments;
use crate::store::npz::{self, Array, Member, read};
use crate::store::staged::Staged;
use crate::store::{Error, Result};

/// Where features come from: only sets with the same origin can be compared ([`Origin::is_like`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The network's digest.
    pub network: String,
    /// The node.
    pub layer: String,
    /// The convention by which images were resized; `resize` in older files.
    #[serde(alias = "resize")]
    pub input: String,
    /// How pixels were rounded, unless the file is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<String>,
    /// How many channels were read at every place, if not the mean of each over places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_every_place: Option<usize>,
    /// The name of the features: `fid-2048` is only the inception network's last layer.
    pub label: String,
}

impl Origin {
    /// Whether features of this and of the other origin may be compared. Rounding does not count: images of 8 bits are the same
    /// with and without it.
    pub fn is_like(&self, other: &Self) -> bool {
        let key =
            |origin: &Self| (origin.network.clone(), origin.layer.clone(), origin.input.clone(), origin.at_every_place);
        key(self) == key(other)
    }
}

/// Moments of features, and their origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Their mean and covariance.
    pub moments: Moments,
    /// Those of the spatial features of sFID.
    pub spatial: Option<Moments>,
    /// Whether the number of images is known: other programs do not write it.
    pub counted: bool,
    /// Where they come from, where that is known.
    pub origin: Option<Origin>,
}

impl Statistics {
    /// The statistics of features whose number is known, but not where they come from.
    pub fn of(moments: Moments) -> Self {
        Self { moments, spatial: None, counted: true, origin: None }
    }

    /// Writes `mu` (d), `sigma` (d, d), `n` and `origin`, and `mu_s` and `sigma_s`, into a file that is not in its place yet.
    ///
    /// # Errors
    /// Fewer than two images, a file that cannot be written.
    pub fn stage(&self, path: &Path) -> Result<Staged> {
        let covariance = |moments: &Moments| {
            let sides = [moments.dimension(); 2];
            moments.covariance().map(|covariance| (sides, covariance)).map_err(|error| broken(path, error.to_string()))
        };
        let (sides, whole) = covariance(&self.moments)?;
        let spatial = self.spatial.as_ref().map(|moments| Ok((moments.mean(), covariance(moments)?)));
        let spatial = spatial.transpose()?;
        let origin = self.origin.as_ref().and_then(|origin| serde_json::to_vec(origin).ok());
        let count = [self.moments.count() as i64];
        let mut arrays =
            vec![("mu", Array::Float(&sides[..1], self.moments.mean())), ("sigma", Array::Float(&sides, &whole))];
        if let Some((mean, (sides, covariance))) = &spatial {
            arrays.push(("mu_s", Array::Float(&sides[..1], mean)));
            arrays.push(("sigma_s", Array::Float(sides, covariance)));
        }
        if self.counted {
            arrays.push(("n", Array::Integer(&[], &count)));
        }
        arrays.extend(origin.as_ref().map(|origin| ("origin", Array::Bytes(origin))));
        npz::stage(path, &arrays)
    }

    /// Reads what [`Statistics::stage`], pytorch-fid or ADM has written.
    ///
    /// # Errors
    /// A file without `mu` and `sigma`, of other shapes, with values that are not finite, a covariance that is none: not symmetric,
    /// or with a negative eigenvalue, beyond rounding.
    pub fn load(path: &Path) -> Result<Self> {
        let mut members = read(path, &["mu", "sigma", "mu_s", "sigma_s", "n", "origin"])?;
        let count = members.get("n").and_then(|member| member.values.first()).map(|&count| count as usize);
        let moments = moments(path, &mut members, ["mu", "sigma"], count)?;
        let moments = moments.ok_or_else(|| broken(path, "arrays of other names".into()))?;
        let spatial = self::moments(path, &mut members, ["mu_s", "sigma_s"], count)?;
        let text: Option<Vec<u8>> =
            members.get("origin").map(|member| member.values.iter().map(|&byte| byte as u8).collect());
        let origin = text.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self { moments, spatial, counted: count.is_some(), origin })
    }
}

/// The moments of a pair of members, if the file has either.
fn moments(
    path: &Path,
    members: &mut BTreeMap<String, Member>,
    names: [&str; 2],
    count: Option<usize>,
) -> Result<Option<Moments>> {
    let (mean, covariance) = match names.map(|name| members.remove(name)) {
        [Some(mean), Some(covariance)] => (mean, covariance),
        [None, None] => return Ok(None),
        _ => return Err(broken(path, format!("only one of {} and {}", names[0], names[1]))),
    };
    let dimension = mean.values.len();
    if mean.shape != [dimension] || covariance.shape != [dimension, dimension] {
        let [mean, covariance] = [mean, covariance].map(|member| format!("{:?}", member.shape));
        return Err(broken(path, format!("{} of shape {mean} and {} of shape {covariance}", names[0], names[1])));
    }
    if mean.values.iter().chain(&covariance.values).any(|value| !value.is_finite()) {
        return Err(broken(path, format!("values that are not finite in {} or {}", names[0], names[1])));
    }
    if let Some(fault) = fault(&covariance.values, dimension) {
        return Err(broken(path, format!("{} {fault}", names[1])));
    }
    let moments = Moments::from_covariance(count.unwrap_or(2), mean.values, covariance.values);
    moments.map(Some).map_err(|error| broken(path, error.to_string()))
}

/// Why a matrix, (d, d) in row order, is no covariance, if it is none.
///
/// Rounding leaves asymmetries and negative eigenvalues of about d times the precision of its numbers, times its size.
fn fault(matrix: &[f64], dimension: usize) -> Option<String> {
    // Numbers that all fit into f32 have been f32.
    let single = matrix.iter().all(|&value| f64::from(value as f32) == value);
    let precision = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let size = matrix.iter().map(|value| value * value).sum::<f64>().sqrt();
    let rounding = (precision * dimension as f64).max(1e-10) * size;
    for i in 0..dimension {
        for j in 0..i {
            let (below, above) = (matrix[i * dimension + j], matrix[j * dimension + i]);
            if (below - above).abs() > rounding {
                return Some(format!("that is not symmetric: {below:.6} at ({i}, {j}), {above:.6} at ({j}, {i})"));
            }
        }
    }
    let shifted = |i: usize, j: usize| matrix[i * dimension + j] + if i == j { rounding } else { 0.0 };
    let shifted = Mat::<f64>::from_fn(dimension, dimension, shifted);
    // A Cholesky factor is there exactly where all eigenvalues are positive, and takes a fraction of their time.
    if size == 0.0 || shifted.llt(Side::Lower).is_ok() {
        return None;
    }
    let smallest = shifted.self_adjoint_eigenvalues(Side::Lower).ok()?.into_iter().fold(f64::INFINITY, f64::min);
    // Where rounding stops the factor, the eigenvalues decide.
    (smallest < 0.0).then(|| format!("with the negative eigenvalue {:.6e}", smallest - rounding))
}

fn broken(path: &Path, found: String) -> Error {
    Error::Weights {
        path: path.to_owned(),
        expected: "statistics: the mean mu (d) and the covariance sigma (d, d) of two images or more".into(),
        found: format!("{found}; write them again, with `fid-score stats` or pytorch-fid --save-stats"),
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
        let origin = Origin {
            network: text("digest"),
            layer: text("z"),
            input: text("none"),
            rounding: Some(text("byte")),
            at_every_place: None,
            label: text("z-4"),
        };
        let statistics = Statistics {
            spatial: Some(Moments::of(&rows, 3)),
            origin: Some(origin),
            ..Statistics::of(Moments::of(&rows, 4))
        };
        statistics.stage(&path).unwrap().place().unwrap();
        let read = Statistics::load(&path).unwrap();
        assert_eq!((read.moments.count(), &read.origin), (30, &statistics.origin));
        let (a, b) = (read.moments.covariance().unwrap(), statistics.moments.covariance().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-15 * b.abs()));
        assert_eq!(read.spatial.unwrap().mean(), statistics.spatial.unwrap().mean());
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
        assert!(Statistics::load(&path).unwrap_err().to_string().contains("sigma of shape [1, 1]"));
    }

    #[test]
    fn features_of_an_older_file_are_like_those_of_today() {
        let older = r#"{"network": "n", "layer": "z", "resize": "clean", "label": "l"}"#;
        let newer = r#"{"network": "n", "layer": "z", "input": "clean", "rounding": "byte", "label": "other"}"#;
        let [older, newer]: [Origin; 2] = [older, newer].map(|text| serde_json::from_str(text).unwrap());
        assert!(older.is_like(&newer) && !older.is_like(&Origin { at_every_place: Some(7), ..newer.clone() }));
        assert!(!older.is_like(&Origin { input: "tf1".into(), ..newer }));
    }

    #[test]
    fn what_is_no_covariance_is_refused_and_rounding_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let load = |covariance: &[f64]| {
            let side = covariance.len().isqrt();
            let mean = vec![0.5; side];
            let arrays = [("mu", Array::Float(&[side], &mean)), ("sigma", Array::Float(&[side, side], covariance))];
            npz::stage(&path, &arrays).unwrap().place().unwrap();
            Statistics::load(&path)
        };
        let refused = |covariance: &[f64], word: &str| {
            let error = load(covariance).unwrap_err().to_string();
            assert!(error.contains("a.npz") && error.contains(word) && error.contains("fid-score stats"), "{error}");
        };
        refused(&[1.0, 0.5, 0.4, 1.0], "not symmetric");
        refused(&[1.0, 2.0, 2.0, 1.0], "negative eigenvalue -1.0");
        refused(&[1.0, 0.0, 0.0, -1e-3], "negative eigenvalue -1.0");
        // Of fewer images than features: eigenvalues of 0 that rounding puts on either side of it.
        let rows: Vec<f64> = Stream::new(0, "rows", 0).normal(0..10 * 40);
        let covariance = Moments::of(&rows, 40).covariance().unwrap();
        assert!(load(&covariance).is_ok());
        let single: Vec<f64> = covariance.iter().map(|&value| f64::from(value as f32)).collect();
        assert!(load(&single).is_ok());
        assert!(load(&[0.0; 4]).is_ok());
    }
}
