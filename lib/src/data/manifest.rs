//! Manifests, `data/<name>.toml`: for each dataset that can be fetched its files (addresses, size, sha256), licence and
//! citation. They are part of the program, so an installed tool has them.
//!
//! ```
//! use obverse::data::manifest::Manifest;
//! let mnist = Manifest::named("mnist")?;
//! assert_eq!((mnist.files.len(), mnist.files[0].sha256.len()), (4, 64));
//! assert!(Manifest::named("mnits").is_err());
//! # Ok::<(), obverse::data::Error>(())
//! ```

use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::import::Format;
use super::{Error, Result};

/// The word in place of a digest that was never published.
pub const UNVERIFIED: &str = "unverified";

/// The manifests of the suite.
const MANIFESTS: &[&str] = &[
    include_str!("../../../data/mnist.toml"),
    include_str!("../../../data/fashion-mnist.toml"),
    include_str!("../../../data/cifar10.toml"),
    include_str!("../../../data/cifar10-jpeg.toml"),
    include_str!("../../../data/cifar100.toml"),
    include_str!("../../../data/emnist.toml"),
    include_str!("../../../data/kmnist.toml"),
    include_str!("../../../data/qmnist.toml"),
    include_str!("../../../data/svhn.toml"),
    include_str!("../../../data/stl10.toml"),
    include_str!("../../../data/affnist.toml"),
    include_str!("../../../data/celeba.toml"),
    include_str!("../../../data/inception.toml"),
];

/// What is known about a dataset before it is fetched.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name that `dataset fetch` takes.
    pub name: String,
    /// The format of its files.
    pub format: Format,
    /// The splits of which one is chosen, where it has several.
    pub splits: Option<Vec<String>>,
    /// The names of its classes, where the files do not hold them.
    pub classes: Option<Vec<String>>,
    /// The licence its makers state.
    pub licence: Option<String>,
    /// Whom to cite.
    pub citation: String,
    /// Where the sizes and digests below come from.
    pub digests: String,
    /// How to get files that have no address.
    pub own_copy: Option<String>,
    /// The files.
    pub files: Vec<RemoteFile>,
}

/// A file that can be fetched.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// The name it gets.
    pub name: String,
    /// Where it can be fetched, tried in order.
    pub addresses: Vec<String>,
    /// Where it lies in a mirror folder.
    pub mirror: String,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The sha256 of its bytes in hexadecimal, or [`UNVERIFIED`].
    pub sha256: String,
    /// Further digests of the same content, compressed differently.
    #[serde(default)]
    pub repacked_sha256: Vec<String>,
    /// The sha256 of what is in it, for a gzip file that others may have compressed differently.
    pub unpacked_sha256: Option<String>,
    /// True for files that are fetched only if all files are requested.
    #[serde(default)]
    pub optional: bool,
    /// True for files that are taken where they lie in the mirror or among the downloads, and not asked for.
    #[serde(default)]
    pub if_there: bool,
}

impl Manifest {
    /// Checks the split that is chosen.
    ///
    /// # Errors
    /// A split that the dataset does not have, none where it has several, one where it has none.
    pub fn check_split(&self, split: Option<&str>) -> Result<()> {
        let splits = self.splits.as_deref().unwrap_or_default();
        match split {
            None if splits.is_empty() => Ok(()),
            Some(split) if splits.iter().any(|known| known == split) => Ok(()),
            _ => {
                let several = format!("`split`, one of {}", splits.join(", "));
                let expected =
                    if splits.is_empty() { "no `split`, since there is one only".to_string() } else { several };
                Err(Error::request("fetch", expected, split.unwrap_or("none")))
            }
        }
    }

    /// The manifest of the dataset `name`.
    ///
    /// # Errors
    /// An unknown name.
    pub fn named(name: &str) -> Result<Self> {
        let known = Self::all()?;
        let names: Vec<String> = known.iter().map(|manifest| manifest.name.clone()).collect();
        let found = known.into_iter().find(|manifest| manifest.name == name);
        found.ok_or_else(|| Error::request("fetch", format!("one of {}", names.join(", ")), name))
    }

    /// All manifests.
    ///
    /// # Errors
    /// Cannot fail in a program whose tests pass: the manifests are built in.
    pub fn all() -> Result<Vec<Self>> {
        MANIFESTS.iter().map(|text| text.parse()).collect()
    }
}

impl FromStr for Manifest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = |found: String| {
            let found = found.lines().next().unwrap_or_default().to_string();
            Error::malformed("manifest", "a dataset's manifest", found, "correct it")
        };
        let manifest: Self = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let plain = |name: &str| Path::new(name).file_name().is_some_and(|last| last == name);
        match manifest.files.iter().find(|file| !plain(&file.name)) {
            Some(file) => Err(malformed(format!("the file name {:?}", file.name))),
            None => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_is_complete() {
        let hexadecimal = |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        for manifest in Manifest::all().unwrap() {
            assert!(!manifest.files.is_empty() && !manifest.digests.is_empty(), "{}", manifest.name);
            for file in &manifest.files {
                assert!(file.sha256 == UNVERIFIED || hexadecimal(&file.sha256), "{}", file.name);
                assert!(file.repacked_sha256.iter().all(|digest| hexadecimal(digest)), "{}", file.name);
                assert!(file.unpacked_sha256.as_deref().is_none_or(hexadecimal), "{}", file.name);
                assert!(file.addresses.iter().all(|address| address.ends_with(&file.name)), "{}", file.name);
                assert_eq!(file.addresses.is_empty(), manifest.own_copy.is_some(), "{}", file.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Manifest::named("mnits").unwrap_err().to_string();
        assert!(error.contains("mnist, fashion-mnist, cifar10"), "{error}");
    }

    #[test]
    fn a_split_is_chosen_where_there_are_several() {
        let check = |name: &str, split: Option<&str>| Manifest::named(name).unwrap().check_split(split);
        assert!(check("emnist", Some("letters")).is_ok() && check("mnist", None).is_ok());
        for (name, split, words) in [
            ("emnist", None, "`split`, one of byclass, bymerge"),
            ("emnist", Some("words"), "found words"),
            ("mnist", Some("letters"), "no `split`"),
        ] {
            let error = check(name, split).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_manifest_writes_into_its_own_folder_only() {
        let text = MANIFESTS[0].replace("\"train-images-idx3-ubyte.gz\"", "\"../train-images-idx3-ubyte.gz\"");
        assert!(text.parse::<Manifest>().unwrap_err().to_string().contains("../train"));
    }
}
