//! The reference values of `tests/oracle`, `<case>.npz`: `case.json` and arrays, from PyTorch and SciPy. `OBVERSE_ORACLE` names another
//! folder of cases, each an archive or a folder of the same files; those it lacks are the bundled ones.
//!
//! The library's own tests read them by this file too, each as a module of its own.

// The library's tests deny panics where they are no test to clippy.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a case that cannot be read fails its test")]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use obverse::store::npy::{Reader, Scalar};
use obverse::store::npz;
use obverse::tensor::{Batch, Element, batch, channels_last};
use serde_json::Value;
use tempfile::TempDir;
use zip::ZipArchive;

/// Reference arrays and the JSON that describes them.
pub struct Case {
    /// An archive, or a folder.
    path: PathBuf,
    /// What `case.json` says.
    pub description: Value,
}

impl Case {
    /// The case of this name.
    pub fn open(name: &str) -> Self {
        let bundled = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oracle"));
        let chosen = std::env::var_os("OBVERSE_ORACLE").map(PathBuf::from);
        let roots = chosen.into_iter().chain([bundled.to_owned()]);
        let paths = roots.flat_map(|root| [root.join(name), root.join(format!("{name}.npz"))]);
        let path = paths.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no case {name}"));
        let mut text = String::new();
        if path.is_dir() {
            File::open(path.join("case.json")).unwrap().read_to_string(&mut text).unwrap();
        } else {
            archive(&path).by_name("case.json").unwrap().read_to_string(&mut text).unwrap();
        }
        Self { path, description: serde_json::from_str(&text).unwrap() }
    }

    /// How close values of this type must come: |a - b| <= tolerance * max(1, max |b|), element by element.
    pub fn tolerance<E: Element>(&self) -> f64 {
        let name = E::NAME.replace('f', "float");
        self.description["tolerance"][&name].as_f64().unwrap_or_else(|| panic!("a tolerance for {name}"))
    }

    /// An array as it is stored, NCHW, weights (O, I, kh, kw): its axes and its values.
    pub fn stored<E: Element + Scalar>(&self, name: &str) -> (Vec<usize>, Vec<E>) {
        if self.path.is_dir() {
            let path = self.path.join(format!("{name}.npy"));
            let mut reader = Reader::open(&path).unwrap_or_else(|error| panic!("{error}"));
            (reader.shape().to_vec(), reader.read_rows_as_float(reader.rows()).unwrap())
        } else {
            let mut members = npz::read(&self.path, &[name]).unwrap_or_else(|error| panic!("{error}"));
            let array = members.remove(name).unwrap_or_else(|| panic!("{}: no {name}", self.path.display()));
            (array.shape, array.values.into_iter().map(E::of).collect())
        }
    }

    /// An array: four axes channels last, (N, H, W, C) and (O, kh, kw, I); two as (N, 1, 1, F), one as (1, 1, 1, F), a number as
    /// (1, 1, 1, 1). A spectrum's five are each image's values in their order, (N, 1, 1, F).
    pub fn array<E: Element + Scalar>(&self, name: &str) -> Batch<E> {
        let (axes, values) = self.stored(name);
        match *axes.as_slice() {
            [n, c, h, w] => batch(channels_last(&values, (n, h, w, c)), (n, h, w, c)),
            [n, f] => batch(values, (n, 1, 1, f)),
            [n, c, h, w, parts] => batch(values, (n, 1, 1, c * h * w * parts)),
            [] | [_] => {
                let features = values.len();
                batch(values, (1, 1, 1, features))
            }
            _ => panic!("{name}: an array of {} axes", axes.len()),
        }
    }

    /// The case as a folder of files, for what takes paths.
    pub fn unpacked(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        if self.path.is_dir() {
            for entry in std::fs::read_dir(&self.path).unwrap() {
                let file = entry.unwrap();
                std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
            }
        } else {
            archive(&self.path).extract(&folder).unwrap();
        }
        folder
    }
}

/// The members of an archive.
fn archive(path: &Path) -> ZipArchive<File> {
    ZipArchive::new(File::open(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
