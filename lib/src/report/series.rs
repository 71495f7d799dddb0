//! Series of points, and the arrays they are read from.

use std::collections::BTreeMap;

use super::{Error, Result};
use crate::store;
use crate::store::npy::{Reader, require_finite};

/// The largest number of values drawn: more than a picture has pixels, and some seconds of drawing.
const MOST_VALUES: usize = 1 << 22;

/// Points of one colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend. Without any names there is no legend.
    pub name: String,
    /// (x, y), finite.
    pub points: Vec<[f64; 2]>,
    /// Half the interval of each y; empty where it is not known.
    pub halves: Vec<f64>,
    /// The number of its colour; a theory has that of its measurement.
    pub colour: usize,
}

impl Series {
    /// Points without intervals.
    pub fn new(name: impl Into<String>, points: Vec<[f64; 2]>, colour: usize) -> Self {
        Self { name: name.into(), points, halves: Vec::new(), colour }
    }

    /// The outline of how many of the values fall into each of `bins` equal parts of the range, its upper end included. Values outside
    /// are left out.
    ///
    /// ```
    /// use obverse::report::Series;
    /// let counted = Series::counted("", &[0.1, 0.2, 0.9], 2, [0.0, 1.0], 0);
    /// assert_eq!(counted.points, [[0.0, 0.0], [0.0, 2.0], [0.5, 2.0], [0.5, 1.0], [1.0, 1.0], [1.0, 0.0]]);
    /// ```
    pub fn counted(name: impl Into<String>, values: &[f64], bins: usize, [low, high]: [f64; 2], colour: usize) -> Self {
        let bins = bins.max(1);
        let mut counts = vec![0u64; bins];
        for value in values.iter().filter(|value| (low..=high).contains(*value)) {
            counts[(((value - low) / (high - low) * bins as f64) as usize).min(bins - 1)] += 1;
        }
        let edge = |bin: usize| low + (high - low) * bin as f64 / bins as f64;
        let mut points = vec![[low, 0.0]];
        for (bin, &count) in counts.iter().enumerate() {
            points.extend([[edge(bin), count as f64], [edge(bin + 1), count as f64]]);
        }
        points.push([high, 0.0]);
        Self::new(name, points, colour)
    }

    pub(super) fn half(&self, index: usize) -> f64 {
        self.halves.get(index).copied().unwrap_or(0.0)
    }

    pub(super) fn has_intervals(&self) -> bool {
        self.halves.iter().any(|&half| half > 0.0)
    }
}

/// Reads an array of one number per row: (N), (N, 1), (N, 1, 1, 1).
///
/// # Errors
/// `Long` for too many rows; `Store` for another shape, values that are not finite and files that fail.
pub fn read_curve(reader: &mut Reader) -> Result<Vec<f64>> {
    read_columns(reader, 1, "a curve (N) or (N, 1) of at least one value")
}

/// Reads an array of two numbers per row: (N, 2), (N, 2, 1, 1).
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

/// Points as one series per class, named by its number, in order of the numbers; a label for each point.
pub fn classes(points: &[[f64; 2]], labels: &[i64]) -> Vec<Series> {
    let mut classes: BTreeMap<i64, Vec<[f64; 2]>> = BTreeMap::new();
    points.iter().zip(labels).for_each(|(&point, &label)| classes.entry(label).or_default().push(point));
    let series = |(colour, (label, points)): (usize, (i64, _))| Series::new(label.to_string(), points, colour);
    classes.into_iter().enumerate().map(series).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::npy::write;

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

    #[test]
    fn every_class_has_a_series_and_a_colour() {
        let points: Vec<_> = (0..36).map(|i| [f64::from(i % 6), f64::from(i / 6)]).collect();
        let labels: Vec<i64> = (0..36).map(|i| i % 12 - 3).collect();
        let classes = classes(&points, &labels);
        assert_eq!((classes[0].name.as_str(), classes[11].name.as_str()), ("-3", "8"));
        assert!(classes.iter().enumerate().all(|(number, class)| class.points.len() == 3 && class.colour == number));
    }

    #[test]
    fn values_are_counted_in_their_bins() {
        let counted = Series::counted("", &[-1.0, 0.0, 0.49, 1.0, 1.0, 7.0], 4, [0.0, 1.0], 0);
        let counts: Vec<f64> = counted.points[1..9].iter().step_by(2).map(|point| point[1]).collect();
        assert_eq!(counts, [1.0, 1.0, 0.0, 2.0]);
    }
}
