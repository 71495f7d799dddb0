//! The formats by name: from a folder, an archive or a file to the parts of a dataset, with the digests of what was read.
//!
//! ```
//! use obverse::data::import::{Format, sha256_of};
//! assert!(Format::Idx.wants("train-images-idx3-ubyte.gz") && !Format::Idx.wants("train_X.bin"));
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("file");
//! std::fs::write(&path, "abc")?;
//! assert_eq!(sha256_of(&path)?, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::output::{Description, PartDescription, SourceFile, no_images};
use super::source::base_name;
use super::{Error, Images, LeftOut, Part, Result, Source};
use super::{affnist, celeba, cifar, cifar100, emnist, folder, idx, samples, stl10, svhn};
use crate::store;
use crate::store::budget::open_file;

/// The formats that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// MNIST and its kin.
    Idx,
    /// CIFAR-10, binary or Python version.
    Cifar,
    /// CIFAR-100, binary or Python version.
    Cifar100,
    /// SVHN's cropped digits.
    Svhn,
    /// STL-10.
    Stl10,
    /// affNIST.
    Affnist,
    /// Image files in folders named for their classes.
    Images,
    /// CelebA: image files, and the file of their parts.
    Celeba,
    /// Arrays of images in an `.npz` file.
    Npz,
    /// A network's weights, which are not images: see [`crate::store::weights`].
    Weights,
}

/// A dataset that is being read.
pub struct Import {
    /// Its parts.
    pub parts: Vec<Part>,
    /// The names of its classes, where the format knows them.
    pub classes: Option<Vec<String>>,
    /// Whether the parts' numbers of images are those of their files, and not what is usual.
    pub counted: bool,
    /// What lies beside its files and is not read.
    pub left_out: LeftOut,
}

impl Import {
    /// The description that [`super::output::write`] would add to `description` and write. Where the images of the files are counted, the
    /// first image of each part is read, else all.
    ///
    /// # Errors
    /// A part without images, and those of the images read.
    pub fn plan(self, mut description: Description) -> Result<Description> {
        description.classes = self.classes;
        description.left_out = self.left_out;
        description.attributes = self.parts.iter().find_map(|part| Some(part.attributes.as_ref()?.names.clone()));
        for Part { name, images: Images { shape, count, mut examples }, attributes } in self.parts {
            let first = examples.next().transpose()?.ok_or_else(|| no_images(&name))?;
            let count = match count.filter(|_| self.counted) {
                Some(count) => count,
                None => 1 + examples.map(|example| example.map(|_| 1)).sum::<Result<usize>>()?,
            };
            let file = |what: &str| format!("{name}-{what}.npy");
            let (labels, attributes) = (first.label.map(|_| file("labels")), attributes.map(|_| file("attributes")));
            let (images, shape) = (file("images"), [shape.channels, shape.height, shape.width]);
            description.parts.push(PartDescription { name, count, shape, images, labels, attributes });
        }
        Ok(description)
    }
}

impl Format {
    /// True for the names of files that this format reads.
    pub fn wants(self, name: &str) -> bool {
        match self {
            Self::Idx => idx::wanted(name),
            Self::Cifar => cifar::wanted(name),
            Self::Cifar100 => cifar100::wanted(name),
            Self::Svhn => svhn::wanted(name),
            Self::Stl10 => stl10::wanted(name),
            Self::Affnist => affnist::wanted(name),
            Self::Images => folder::wanted(name) || celeba::wanted(name),
            Self::Celeba => celeba::wanted(name),
            Self::Npz => name.ends_with(".npz"),
            Self::Weights => false,
        }
    }

    /// True for the names of files that this format reads, of one split if one is chosen: those with `-<split>-` in their names.
    pub fn wants_of_split(self, name: &str, split: Option<&str>) -> bool {
        self.wants(name) && split.is_none_or(|split| base_name(name).contains(&format!("-{split}-")))
    }

    /// The files of this format in the folder or archive at `path`, or the single file there with its labels next to it.
    ///
    /// # Errors
    /// Those of [`Source::open`].
    pub fn source(self, path: &Path) -> Result<Source> {
        self.source_of_split(path, None)
    }

    /// Like [`Format::source`], of the files of one split.
    ///
    /// # Errors
    /// Those of [`Source::open`].
    pub fn source_of_split(self, path: &Path, split: Option<&str>) -> Result<Source> {
        if self == Self::Npz && path.is_file() {
            return Ok(Source::of_file(path));
        }
        let mut source = Source::open(path, |name| self.wants_of_split(name, split))?;
        if self == Self::Celeba {
            celeba::take_in_lists(&mut source);
        }
        if let Some(name) = source.find(|_| true).filter(|_| source.is_single()) {
            match self {
                Self::Idx => {
                    let names = idx::labels_names(name.trim_end_matches(".gz"));
                    names.iter().for_each(|name| source.take_in_neighbour(name));
                }
                Self::Stl10 => source.take_in_neighbour(&stl10::labels_name(&name)),
                _ => {}
            }
        }
        Ok(source)
    }

    /// Opens the dataset in `source`; `options` are what is done with each image.
    ///
    /// # Errors
    /// Those of the format's own reader; a crop or channels for another format than images.
    pub fn open(self, mut source: Source, options: folder::Options) -> Result<Import> {
        let is_decoded = matches!(self, Self::Images | Self::Celeba);
        if !is_decoded && (options.crop.is_some() || options.channels.is_some()) {
            return Err(Error::request(
                "import",
                "a crop or channels with the format images only",
                format!("{self:?}"),
            ));
        }
        let names = |classes: &[&str]| Some(classes.iter().map(ToString::to_string).collect());
        let mut left_out = source.left_out().clone();
        let (parts, classes) = match self {
            // The file of parts says whose images they are.
            Self::Images if source.find(celeba::is_partition).is_none() => folder::open(source, options)?,
            Self::Images | Self::Celeba => {
                let (parts, more) = celeba::open(source, options)?;
                left_out = more;
                (parts, None)
            }
            Self::Idx => {
                let split = source.names().find_map(emnist::Split::of);
                (idx::open(source)?, split.map(emnist::Split::classes))
            }
            Self::Cifar => (cifar::open(source)?, names(&cifar::CLASSES)),
            Self::Cifar100 => (cifar100::open(source)?, names(&cifar100::CLASSES)),
            Self::Svhn => (svhn::open(source)?, names(&DIGITS)),
            Self::Stl10 => (stl10::open(source)?, names(&stl10::CLASSES)),
            Self::Affnist => (affnist::open(source)?, names(&DIGITS)),
            Self::Npz => {
                let parts = samples::open(&mut source)?;
                left_out = source.left_out().clone();
                (parts, None)
            }
            Self::Weights => return Err(Error::request("import", "a format of images", "weights; see net-import")),
        };
        let parts = match options.resize.filter(|_| !is_decoded) {
            None => parts,
            Some((size, filter)) => parts.into_iter().map(|part| part.resized(size, filter)).collect::<Result<_>>()?,
        };
        Ok(Import { parts, classes, counted: is_decoded || self == Self::Npz, left_out })
    }
}

/// The classes of datasets of digits.
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The digests of the files of `source`: one for the archive, or the single file and its neighbour; one for each file of a folder,
/// or a single one for all files of a folder of more than 100; and one for each file that lies beside them.
///
/// # Errors
/// Files that cannot be read.
pub fn digests(source: &Source) -> Result<Vec<SourceFile>> {
    let entry = |file: String, digest: String| SourceFile { file, digest, address: None, verification: None };
    let of_file = |path: &PathBuf| Ok(entry(file_name(path), format!("sha256:{}", sha256_of(path)?)));
    let files = source.files();
    if files.len() > 100 {
        let digest = format!("blake3:{}", store::digest::of_path(source.path())?);
        let beside = source.beside().iter().map(of_file);
        return std::iter::once(Ok(entry(file_name(source.path()), digest))).chain(beside).collect();
    }
    files.iter().map(of_file).collect()
}

/// The last component of a path, the only one that is written into a description. A link has its own name.
pub fn file_name(path: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let whole = || named(&fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()));
    named(path).or_else(whole).unwrap_or_default()
}

/// The sha256 of a file in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let failed = |source| Error::read(path, source);
    sha256(open_file(path)?).map_err(failed)
}

/// The sha256 of a stream in hexadecimal.
pub(crate) fn sha256(mut stream: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(&block[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sha256_is_that_of_fips_180() {
        let digest = sha256(b"abc".as_slice()).unwrap();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_files_of_a_source_are_recorded_by_name_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-images-idx3-ubyte");
        fs::write(&path, "abc").unwrap();
        for source in [folder.path(), &path] {
            let digests = digests(&Source::open(source, |_| true).unwrap()).unwrap();
            assert_eq!(digests[0].file, "train-images-idx3-ubyte");
            assert_eq!(digests[0].digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        }
    }
}
