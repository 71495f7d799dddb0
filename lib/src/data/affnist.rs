//! affNIST: MATLAB 5 files with a structure `affNISTdata`, field `image` u8 (1600, N), each column a 40 x 40 image row
//! by row, field `label_int` (1, N). `training.mat`, `validation.mat`, `test.mat`, or numbered batches in folders of
//! these names. Source: T. Tieleman's page.
//!
//! ```
//! use obverse::data::affnist::{SHAPE, wanted};
//! assert!(wanted("training.mat") && !wanted("readme.txt"));
//! assert_eq!(SHAPE.len(), 1600);
//! ```

use std::sync::Arc;

use super::images::{Examples, Records, labelled};
use super::matlab::Array;
use super::source::base_name;
use super::{Error, Part, Result, Shape, Source};

/// The shape of every image.
pub const SHAPE: Shape = Shape { channels: 1, height: 40, width: 40 };

/// True for the names that [`open`] looks for.
pub fn wanted(name: &str) -> bool {
    name.ends_with(".mat")
}

/// Those of the parts `train`, `test` and `validation` that exist; batches follow in the order of their numbers.
///
/// # Errors
/// No such files, or files that break the format.
pub fn open(source: Source) -> Result<Vec<Part>> {
    let source = Arc::new(source);
    let mut parts = Vec::new();
    for part in ["train", "test", "validation"] {
        let mut names: Vec<String> = source.names().filter(|name| part_of(name) == part).map(str::to_string).collect();
        names.sort_by_key(|name| (number(name), name.clone()));
        if !names.is_empty() {
            let source = source.clone();
            let examples = names.into_iter().flat_map(move |name| {
                file(&source, &name).unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
            });
            parts.push(Part::new(part, SHAPE, None, Box::new(examples)));
        }
    }
    if parts.is_empty() {
        let file = source.path().display().to_string();
        return Err(Error::malformed(
            &file,
            "training.mat or test.mat",
            "no .mat file",
            "name their folder or archive",
        ));
    }
    Ok(parts)
}

/// The part that a file belongs to, by its path: `test_batches/7.mat`, `validation.mat`.
fn part_of(name: &str) -> &'static str {
    let folder = name.rsplit('/').nth(1).unwrap_or_default();
    match (base_name(name), folder) {
        (file, folder) if file.starts_with("test") || folder.starts_with("test") => "test",
        (file, folder) if file.starts_with("validation") || folder.starts_with("validation") => "validation",
        _ => "train",
    }
}

/// The number of a batch, such as 7 of `7.mat`; 0 where there is none.
fn number(name: &str) -> u64 {
    base_name(name).trim_end_matches(".mat").parse().unwrap_or(0)
}

fn file(source: &Source, name: &str) -> Result<Examples> {
    let file = source.describe(name);
    let images = Array::find(&file, Box::new(source.stream(name)?), &["affNISTdata", "image"])?;
    let &[1600, count] = images.dimensions.as_slice() else {
        return Err(Error::damaged(&file, "images (1600, N)", format!("{:?}", images.dimensions)));
    };
    let labels = Array::find(&file, Box::new(source.stream(name)?), &["affNISTdata", "label_int"])?.integers(count)?;
    if let Some(label) = labels.iter().find(|label| !(0..10).contains(*label)) {
        return Err(Error::damaged(&file, "labels 0 to 9", label));
    }
    let images = Records::new(&file, images.bytes()?, SHAPE.len());
    Ok(Box::new(labelled(images, file, labels)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.io.savemat("7.mat", {"affNISTdata": {"label_int": [[3, 8]] as u8, "image": (1600, 2) as u8, where column n
    /// is n + its row number of the canvas}}, do_compression=True)
    const SAMPLE: &[u8] = include_bytes!("testdata/affnist.mat");

    #[test]
    fn a_column_is_an_image_row_by_row() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("test_batches")).unwrap();
        std::fs::write(folder.path().join("test_batches/7.mat"), SAMPLE).unwrap();
        let part = open(Source::open(folder.path(), wanted).unwrap()).unwrap().remove(0);
        assert_eq!(part.name, "test");
        let examples: Vec<_> = part.images.examples.map(Result::unwrap).collect();
        assert_eq!([examples[0].label, examples[1].label], [Some(3), Some(8)]);
        assert!((0..1600).all(|place| examples[1].pixels[place] as usize == 1 + place / 40));
    }

    #[test]
    fn batches_follow_by_number_and_their_folder_tells_the_part() {
        assert!(number("a/2.mat") < number("a/10.mat"));
        let names = ["training_batches/1.mat", "training_and_validation_batches/1.mat", "validation.mat", "test.mat"];
        assert_eq!(names.map(part_of), ["train", "train", "validation", "test"]);
    }
}
