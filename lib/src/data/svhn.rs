//! SVHN, cropped digits: MATLAB 5 files, `X` u8 (32, 32, 3, N) column-major, `y` (N, 1) with 10 for the digit 0.
//! `train_32x32.mat`, `test_32x32.mat`, `extra_32x32.mat`. Source: Netzer et al. 2011, the dataset's page.
//!
//! ```
//! use obverse::data::svhn::wanted;
//! assert!(wanted("train_32x32.mat") && wanted("extra_32x32.mat") && !wanted("train.tar.gz"));
//! ```

use super::images::{Records, from_columns, labelled};
use super::matlab::Array;
use super::source::base_name;
use super::{Error, Part, Result, Shape, Source};

/// The files under their usual names and the parts they become.
const FILES: [(&str, &str); 3] =
    [("train_32x32.mat", "train"), ("test_32x32.mat", "test"), ("extra_32x32.mat", "extra")];

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    FILES.iter().any(|(file, _)| base_name(name) == *file)
}

/// Those of the parts `train`, `test` and `extra` that exist. Labels are the digits: 10 becomes 0.
///
/// # Errors
/// No such files, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    if source.is_single() {
        let name = source.find(|_| true).unwrap_or_default();
        let part = FILES.iter().find(|(file, _)| *file == name).map_or("train", |(_, part)| part);
        return Ok(vec![open_part(&source, &name, part)?]);
    }
    let mut parts = Vec::new();
    for (file, part) in FILES {
        if let Some(name) = source.find(|name| name == file) {
            parts.push(open_part(&source, &name, part)?);
        }
    }
    source.require_parts(parts, "train_32x32.mat", "no such file")
}

fn open_part(source: &Source, name: &str, part: &str) -> Result<Part> {
    let file = source.describe(name);
    let images = Array::find(&file, Box::new(source.stream(name)?), &["X"])?;
    let (height, width, channels, count) = match *images.dimensions {
        // MATLAB drops a last dimension of 1.
        [height, width, channels] => (height, width, channels, 1),
        [height, width, channels, count] => (height, width, channels, count),
        _ => return Err(Error::damaged(&file, "X of 4 dimensions", format!("{:?}", images.dimensions))),
    };
    let shape = Shape::checked(&file, channels, height, width)?;
    let labels = Array::find(&file, Box::new(source.stream(name)?), &["y"])?.integers(count)?;
    let labels = labels.into_iter().map(|label| digit(&file, label)).collect::<Result<Vec<_>>>()?;
    let images = Records::new(&file, images.bytes()?, shape.len());
    let images = images.map(move |columns| Ok(from_columns(shape, &columns?)));
    Ok(Part::new(part, shape, Some(count), Box::new(labelled(images, file, labels))))
}

fn digit(file: &str, label: i64) -> Result<i64> {
    match label {
        1..=10 => Ok(label % 10),
        _ => Err(Error::damaged(file, "labels 1 to 10", label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::mirror::mirror;
    use crate::store::npy;

    #[test]
    #[ignore = "it takes OBVERSE_MIRROR"]
    fn the_sample_is_read_to_the_byte() {
        let folder = mirror("formats");
        let source = Source::open(&folder.join("svhn_sample_32x32.mat"), wanted).unwrap();
        let part = open(source).unwrap().remove(0);
        assert_eq!(part.images.shape, Shape { channels: 3, height: 32, width: 32 });
        let examples: Vec<_> = part.images.examples.map(Result::unwrap).collect();
        let truth = npy::read::<u8>(&folder.join("svhn_sample_first3_nchw.npy")).unwrap();
        let first: Vec<u8> = examples[..3].iter().flat_map(|example| &example.pixels).copied().collect();
        assert!(truth.iter().eq(&first));
        // The sample was drawn from MNIST's digits: the label 10 of the file is the digit 0.
        let labels: Vec<i64> = examples.iter().filter_map(|example| example.label).collect();
        assert!(labels.contains(&0) && labels.iter().all(|label| (0..10).contains(label)));
    }
}
