//! Images one by one, of any size, from an array or from a folder or archive of files.
//!
//! ```
//! use obverse::data::pictures::Pictures;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("images.npy");
//! obverse::store::npy::write(&path, &[2, 1, 1, 2], &[0u8, 255, 51, 102])?;
//! let pictures = Pictures::open(&path)?;
//! let picture = pictures.read(&[1]).remove(0)?;
//! assert_eq!((pictures.count(), picture.pixels), (2, vec![0.2, 0.4]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use rayon::prelude::*;

use super::batches::ImageFile;
use super::folder::{self, Options};
use super::samples::Samples;
use super::source::Source;
use super::{Error, LeftOut, Result, Shape};

/// An image, channels last, (H, W, C), in 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its channels, rows and columns.
    pub shape: Shape,
    /// Its values.
    pub pixels: Vec<f32>,
}

/// A set of images, in a fixed order.
pub enum Pictures {
    /// An array's, by their rows.
    File(ImageFile),
    /// An `.npz` file's.
    Samples(Samples),
    /// A folder's or archive's, in the order of their names, in colour, whatever classes they lie in. Samples of 16 bits
    /// become 8, transparency is dropped.
    Folder {
        /// Where they lie.
        source: Source,
        /// Their names.
        names: Vec<String>,
    },
}

impl Pictures {
    /// Opens an array (`.npy`, `.npy.zst`, `-`), samples (`.npz`), a folder, or an archive (tar, zip).
    ///
    /// # Errors
    /// A path that cannot be read, an array of something else, several arrays of images, a folder or archive without images.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        if name == "-" || name.ends_with(".npy") || name.ends_with(".npy.zst") {
            return Ok(Self::File(ImageFile::open(path)?));
        }
        if name.ends_with(".npz") {
            return Ok(Self::Samples(the_only(&name, Samples::open(path)?)?));
        }
        let source = Source::open(path, folder::is_image)?;
        let names: Vec<String> = source.names().filter(|name| folder::is_image(name)).map(str::to_string).collect();
        if names.is_empty() {
            let advice = "name a folder or archive of images, or an .npy or .npz file";
            return Err(Error::malformed(&name, "image files", "none", advice));
        }
        Ok(Self::Folder { source, names })
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        match self {
            Self::File(file) => file.count(),
            Self::Samples(samples) => samples.count(),
            Self::Folder { names, .. } => names.len(),
        }
    }

    /// What lies in the folder or archive and is no image.
    pub fn left_out(&self) -> Option<&LeftOut> {
        match self {
            Self::Folder { source, .. } => Some(source.left_out()).filter(|left_out| !left_out.is_empty()),
            Self::File(_) | Self::Samples(_) => None,
        }
    }

    /// The images at `rows`, or for each the reason why it cannot be read.
    pub fn read(&self, rows: &[usize]) -> Vec<Result<Picture>> {
        match self {
            Self::File(file) => {
                let each = |&row: &usize| Ok(Picture { shape: file.shape(), pixels: file.batch(&[row])? });
                rows.iter().map(each).collect()
            }
            Self::Samples(samples) => {
                let shape = samples.shape();
                let each = |&row: &usize| Ok(Picture { shape, pixels: interleaved(shape, &samples.pixels(row)?) });
                rows.par_iter().map(each).collect()
            }
            Self::Folder { source, names } => {
                let options = Options { channels: Some(3), ..Options::default() };
                let each = |&row: &usize| {
                    let (shape, pixels) = folder::decode(source, &names[row], options)?;
                    Ok(Picture { shape, pixels: interleaved(shape, &pixels) })
                };
                rows.par_iter().map(each).collect()
            }
        }
    }
}

/// The array of images where there is one.
fn the_only(file: &str, mut samples: Vec<Samples>) -> Result<Samples> {
    let names: Vec<&str> = samples.iter().map(Samples::array).collect();
    if names.len() > 1 {
        let advice = "take one part: `dataset import --format npz` makes an array of each";
        return Err(Error::malformed(file, "one array of images", names.join(", "), advice));
    }
    samples.pop().ok_or_else(|| Error::malformed(file, "an array of images", "none", "name another file"))
}

/// Bytes, channels first, as values, channels last.
fn interleaved(shape: Shape, pixels: &[u8]) -> Vec<f32> {
    let plane = shape.height * shape.width;
    let at = |place: usize| (0..shape.channels).map(move |channel| f32::from(pixels[channel * plane + place]) / 255.0);
    (0..plane).flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_folders_hold_the_same_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..2 * 3 * 4 * 5).map(|i| (i * 37 % 256) as u8).collect();
        let array = folder.path().join("x.npy");
        crate::store::npy::write(&array, &[2, 3, 4, 5], &bytes).unwrap();
        let files = folder.path().join("files/class");
        std::fs::create_dir_all(&files).unwrap();
        for (i, image) in bytes.chunks(60).enumerate() {
            let pixel = |x: u32, y: u32| {
                let at = |channel: usize| image[channel * 20 + y as usize * 5 + x as usize];
                image::Rgb([at(0), at(1), at(2)])
            };
            image::RgbImage::from_fn(5, 4, pixel).save(files.join(format!("{i}.png"))).unwrap();
        }
        std::fs::write(files.join("2.png"), "no image").unwrap();
        let (array, files) = (Pictures::open(&array).unwrap(), Pictures::open(&folder.path().join("files")).unwrap());
        assert_eq!((array.count(), files.count()), (2, 3));
        let mut found = files.read(&[1, 0, 2]);
        let broken = found.pop().unwrap().unwrap_err().to_string();
        assert!(broken.contains("2.png"), "{broken}");
        let expected: Vec<Picture> = array.read(&[1, 0]).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
        let left = |name: &str| Pictures::open(&folder.path().join(name)).unwrap().left_out().map(ToString::to_string);
        assert_eq!((left("files"), left("x.npy"), left("")), (None, None, Some("1 .npy".to_string())));
        assert!(Pictures::open(folder.path().join("files/none").as_path()).is_err());
    }
}
