//! Fetching the files of a manifest: from a mirror folder, from earlier downloads, or over HTTP with resumption
//! (RFC 9110, Range). Every file is checked against its sha256 before anything reads it.
//!
//! A download is written to `<name>.partial` and renamed when it is complete and correct.
//!
//! ```
//! use obverse::data::{fetch::Request, manifest::Manifest};
//! let folder = tempfile::tempdir()?;
//! let manifest = Manifest::named("celeba")?;
//! // CelebA cannot be fetched: the error asks for your own copy.
//! let request = Request { manifest: &manifest, downloads: folder.path(), mirror: None, all: false, recorded: &[] };
//! assert!(request.fetch(&mut |_, _, _| ()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::import::{sha256, sha256_of};
use super::manifest::{Manifest, RemoteFile, UNVERIFIED};
use super::output::SourceFile;
use super::{Error, Result};
use crate::store;
use answer::{Answer, receive};

/// What to fetch, and where to look before asking the network.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The dataset.
    pub manifest: &'a Manifest,
    /// Where downloads are kept.
    pub downloads: &'a Path,
    /// A folder with copies, laid out as the manifests' `mirror` entries say.
    pub mirror: Option<&'a Path>,
    /// Whether the optional files are wanted too.
    pub all: bool,
    /// What an earlier fetch recorded: the digests of files whose manifest has none.
    pub recorded: &'a [SourceFile],
}

/// A file that exists and is correct.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// What to write about it into the description of the dataset.
    pub source: SourceFile,
}

impl Request<'_> {
    /// Fetches all files; `progress` gets a file's name, the bytes so far and the expected total.
    ///
    /// # Errors
    /// No working address, missing files without an address, a wrong digest, a full disk. The bytes that have
    /// arrived of an interrupted download are kept; the next call resumes it.
    pub fn fetch(&self, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<Vec<Fetched>> {
        let wanted = self.manifest.files.iter().filter(|file| self.all || !file.optional);
        let wanted = wanted.filter(|file| !file.if_there || self.places(file).any(|path| path.is_file()));
        wanted.map(|file| self.fetch_file(file, progress)).collect()
    }

    fn fetch_file(&self, file: &RemoteFile, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<Fetched> {
        let local = self.downloads.join(&file.name);
        if let Some(path) = self.places(file).find(|path| path.is_file()) {
            return self.verified(file, path, None);
        }
        let mut failure = self.no_address(file);
        for address in &file.addresses {
            match self.download(file, address, &local, progress) {
                Ok(()) => return self.complete(file, address, &local),
                // Another address can help against a server, not against a full disk.
                Err(error @ Error::Fetch { .. }) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Where a file may lie already.
    fn places(&self, file: &RemoteFile) -> impl Iterator<Item = PathBuf> {
        let mirrored = self.mirror.map(|mirror| mirror.join(&file.mirror));
        mirrored.into_iter().chain([self.downloads.join(&file.name)])
    }

    fn no_address(&self, file: &RemoteFile) -> Error {
        let advice = self.manifest.own_copy.as_deref().unwrap_or("look for a copy of the dataset");
        let place = self.downloads.join(&file.name).display().to_string();
        Error::malformed(&place, "your own copy of the file", "none", advice)
    }

    /// Checks a completed download and renames it. A wrong file is removed: resuming could not repair it.
    fn complete(&self, file: &RemoteFile, address: &str, local: &Path) -> Result<Fetched> {
        let partial = partial_path(local);
        match self.verified(file, partial.clone(), Some(address)) {
            Ok(fetched) => {
                fs::rename(&partial, local).map_err(store::Error::write(local))?;
                Ok(Fetched { path: local.to_path_buf(), ..fetched })
            }
            Err(error) => {
                fs::remove_file(&partial).map_err(store::Error::write(&partial))?;
                Err(error)
            }
        }
    }

    /// Checks a file against the digest of the manifest, or against the recorded one where the manifest has none.
    fn verified(&self, file: &RemoteFile, path: PathBuf, address: Option<&str>) -> Result<Fetched> {
        let digest = sha256_of(&path)?;
        let recorded = self.recorded.iter().find(|source| source.file == file.name);
        let recorded = recorded.and_then(|source| source.digest.strip_prefix("sha256:"));
        let expected = if file.sha256 == UNVERIFIED { recorded } else { Some(file.sha256.as_str()) };
        let right = match expected {
            Some(expected) => {
                digest == expected || file.repacked_sha256.contains(&digest) || unpacked_is_right(file, &path)?
            }
            None => true,
        };
        if !right {
            let place = path.display().to_string();
            let expected = format!("sha256 {}", expected.unwrap_or_default());
            let advice =
                "remove the file if it is there, and fetch it again; if that does not help, the source has changed";
            return Err(Error::malformed(&place, expected, digest, advice));
        }
        let verification = if file.sha256 == UNVERIFIED { "recorded" } else { "verified" };
        let source = SourceFile {
            file: file.name.clone(),
            digest: format!("sha256:{digest}"),
            address: address.map(str::to_string),
            verification: Some(verification.to_string()),
        };
        Ok(Fetched { path, source })
    }

    /// Downloads the rest of a file into its partial file.
    fn download(
        &self,
        file: &RemoteFile,
        address: &str,
        local: &Path,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<()> {
        fs::create_dir_all(self.downloads).map_err(store::Error::write(self.downloads))?;
        let path = partial_path(local);
        let mut start = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if file.size.is_some_and(|size| start > size) {
            start = 0;
        }
        if file.size == Some(start) {
            return Ok(());
        }
        let answer = Answer::ask(address, start)?;
        let mut partial =
            File::options().create(true).append(answer.start > 0).write(true).truncate(answer.start == 0).open(&path);
        if answer.start > 0 {
            partial = partial.and_then(|partial| partial.set_len(answer.start).map(|()| partial));
        }
        let mut partial = partial.map_err(store::Error::write(&path))?;
        let size = file.size.or(answer.length.map(|length| answer.start + length));
        receive(address, answer, &mut partial, &path, size, &mut |done| progress(&file.name, done, size))
    }
}

/// Whether the content of a gzip file has the digest that the manifest gives for it.
fn unpacked_is_right(file: &RemoteFile, path: &Path) -> Result<bool> {
    let Some(expected) = &file.unpacked_sha256 else { return Ok(false) };
    let packed = File::open(path).map_err(|source| Error::read(path, source))?;
    // A file that is not gzip does not match.
    Ok(sha256(MultiGzDecoder::new(io::BufReader::new(packed))).is_ok_and(|digest| digest == *expected))
}

fn partial_path(local: &Path) -> PathBuf {
    let mut name = local.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

#[cfg(test)]
mod tests;
