//! What a compressed archive unpacks to: one unnamed temporary file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::place::Place;
use crate::data::{Error, Result};
use crate::store;
use crate::store::budget::{ARRAY, check_expansion};

/// Bytes of a member that are unpacked at a time.
const SPOOL_BLOCK: usize = 1 << 16;

/// One unnamed temporary file that collects the members of a compressed archive.
pub(super) struct Spool {
    pub(super) file: File,
    length: u64,
    /// Bytes of the archive.
    stored: u64,
}

impl Spool {
    pub(super) fn new(archive: &Path) -> Result<Self> {
        let stored = fs::metadata(archive).map_err(|source| Error::read(archive, source))?.len();
        let file = tempfile::tempfile().map_err(|source| spool_error(archive, source))?;
        Ok(Self { file, length: 0, stored })
    }

    /// Appends a member of a claimed length and returns its (start, length). An archive that unpacks to many times its size is
    /// refused, so that it cannot fill the disk: both the claimed length and the actual one are checked.
    pub(super) fn add(&mut self, archive: &Path, member: &mut impl Read, claimed: u64) -> Result<(u64, u64)> {
        let start = self.length;
        check_expansion(archive, u128::from(start) + u128::from(claimed), self.stored, ARRAY)?;
        let mut block = vec![0; SPOOL_BLOCK];
        loop {
            let read = match member.read(&mut block) {
                Ok(0) => return Ok((start, self.length - start)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(spool_error(archive, error)),
            };
            self.length += read as u64;
            check_expansion(archive, self.length.into(), self.stored, ARRAY)?;
            self.file.write_all(&block[..read]).map_err(|source| spool_error(archive, source))?;
        }
    }

    pub(super) fn finish(mut self, archive: &Path, spans: Vec<(String, u64, u64)>) -> Result<BTreeMap<String, Place>> {
        self.file.flush().map_err(|source| spool_error(archive, source))?;
        let file = Arc::new(self.file);
        let place = |(name, start, length)| (name, Place::Span { file: file.clone(), start, length });
        Ok(spans.into_iter().map(place).collect())
    }
}

/// Usually the temporary folder is full; a damaged archive is noticed here too, while it is unpacked.
fn spool_error(archive: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied => {
            store::Error::write(&std::env::temp_dir())(source).into()
        }
        _ => Error::read(archive, source),
    }
}
