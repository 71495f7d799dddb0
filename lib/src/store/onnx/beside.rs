//! Tensors in files beside an ONNX file: in its folder, and nowhere else.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::protocol::StringStringEntryProto;
use super::tensors::{Parsed, TensorReader};
use crate::store::budget;
use crate::store::weights::Broken;

impl TensorReader {
    /// The bytes of a tensor in a file beside this one.
    pub(super) fn beside(&mut self, entries: &[StringStringEntryProto], length: usize, name: &str) -> Parsed<Vec<u8>> {
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                Broken::new(format!("a number of bytes as the {key} of \"{name}\""), format!("\"{text}\""))
            }),
        };
        let path = self.path_beside(entry("location").unwrap_or_default(), name)?;
        let offset = number("offset")?.unwrap_or(0);
        let failed = |error: std::io::Error| {
            Broken::new(format!("the values of \"{name}\""), format!("{}: {error}", path.display()))
        };
        let opened = budget::open_file(&path);
        let mut file = opened.map_err(|error| Broken::new(format!("the values of \"{name}\""), error.to_string()))?;
        let available = file.metadata().map_err(failed)?.len().saturating_sub(offset);
        let said = number("length")?.unwrap_or(length as u64);
        if said != length as u64 || available < said {
            return Err(Broken::new(
                format!("{length} bytes of \"{name}\" in {}, from {offset}", path.display()),
                format!("{}", said.min(available)),
            ));
        }
        self.charge(length as u128, name)?;
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
        self.external.insert(path);
        Ok(bytes)
    }

    /// The path of a file that must lie in the folder of this one: not above it, and not behind a link.
    fn path_beside(&self, location: &str, name: &str) -> Parsed<PathBuf> {
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let refused = || {
            let expected = format!("the values of \"{name}\" in a file of the folder {}", folder.display());
            Broken::new(expected, format!("\"{location}\""))
        };
        let relative = Path::new(location);
        let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !is_inside {
            return Err(refused());
        }
        let path = folder.join(relative);
        match (folder.canonicalize(), path.canonicalize()) {
            (Ok(folder), Ok(target)) if target.starts_with(&folder) && target.is_file() => Ok(path),
            _ => Err(refused()),
        }
    }
}
