//! Fetching the files of a manifest: from a mirror folder, from what was fetched before, or over HTTP with resumption
//! (RFC 9110, Range). What arrives is held against its sha256 before anything reads it.
//!
//! A download grows under `<name>.partial` and takes its name when it is complete and right.
//!
//! ```
//! use obverse::data::{fetch::Request, manifest::Manifest};
//! let folder = tempfile::tempdir()?;
//! let manifest = Manifest::named("celeba")?;
//! // CelebA is not to be fetched: it wants your own copy, which the error asks for.
//! let request = Request { manifest: &manifest, downloads: folder.path(), mirror: None, all: false, recorded: &[] };
//! assert!(request.fetch(&mut |_, _, _| ()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::import::{sha256, sha256_of};
use super::manifest::{Manifest, RemoteFile, UNVERIFIED};
use super::output::SourceFile;
use super::{Error, Result};
use crate::store;

/// Time to reach a server, and the longest silence while it sends.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the size is not known, nothing beyond this is believed to be a dataset: 64 GiB.
const SIZE_LIMIT: u64 = 1 << 36;

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

/// A file that is there and right.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// What to write about it into the description of the dataset.
    pub source: SourceFile,
}

impl Request<'_> {
    /// Fetches all files; `progress` hears a file's name, the bytes that are there and the bytes there will be.
    ///
    /// # Errors
    /// No address that works, files without an address that are not there, a wrong digest, a full disk. What has
    /// arrived of an interrupted download is kept, and continued by the next call.
    pub fn fetch(&self, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<Vec<Fetched>> {
        let wanted = self.manifest.files.iter().filter(|file| self.all || !file.optional);
        wanted.map(|file| self.fetch_file(file, progress)).collect()
    }

    fn fetch_file(&self, file: &RemoteFile, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<Fetched> {
        let local = self.downloads.join(&file.name);
        let mirrored = self.mirror.map(|mirror| mirror.join(&file.mirror));
        for path in mirrored.into_iter().chain([local.clone()]) {
            if path.is_file() {
                return self.verified(file, path, None);
            }
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

    fn no_address(&self, file: &RemoteFile) -> Error {
        let advice = self.manifest.own_copy.as_deref().unwrap_or("look for a copy of the dataset");
        let place = self.downloads.join(&file.name).display().to_string();
        Error::malformed(&place, "your own copy of the file", "none", advice)
    }

    /// Checks a completed download and gives it its name. What is wrong is removed: no resumption could mend it.
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

    /// Holds a file against the digest of the manifest, or against what was recorded where the manifest has none.
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

    /// Brings the rest of a file into its partial.
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

/// Whether what is inside a gzip file has the digest that the manifest gives for it.
fn unpacked_is_right(file: &RemoteFile, path: &Path) -> Result<bool> {
    let Some(expected) = &file.unpacked_sha256 else { return Ok(false) };
    let packed = File::open(path).map_err(|source| Error::read(path, source))?;
    // What is no gzip file is not right.
    Ok(sha256(MultiGzDecoder::new(io::BufReader::new(packed))).is_ok_and(|digest| digest == *expected))
}

fn partial_path(local: &Path) -> PathBuf {
    let mut name = local.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// What a server answers to a request for the bytes from some position on.
struct Answer {
    /// Where its bytes begin: what was asked, or 0 from a server that cannot resume.
    start: u64,
    length: Option<u64>,
    body: Box<dyn Read>,
}

impl Answer {
    fn ask(address: &str, start: u64) -> Result<Self> {
        let failed = |found: String| Error::fetch(address, found);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = agent.get(address);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| failed(error.to_string()))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let length = header("content-length").and_then(|length| length.parse().ok());
        let begins =
            header("content-range").and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        let start = match response.status().as_u16() {
            200 => 0,
            206 if begins == Some(start) => start,
            // Nothing lies beyond what is there, or something else does: begin anew.
            416 if start > 0 => return Self::ask(address, 0),
            status => return Err(failed(format!("HTTP status {status}"))),
        };
        Ok(Self { start, length, body: Box::new(response.into_body().into_reader()) })
    }
}

/// Copies the body into the partial file, never beyond the size that is expected.
fn receive(
    address: &str,
    mut answer: Answer,
    partial: &mut File,
    path: &Path,
    size: Option<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut done = answer.start;
    let mut block = vec![0; 1 << 16];
    loop {
        let read = answer.body.read(&mut block).map_err(|error| Error::fetch(address, error))?;
        if read == 0 {
            break;
        }
        done += read as u64;
        if done > size.unwrap_or(SIZE_LIMIT) {
            // Kept, it would be taken for a start to resume from.
            fs::remove_file(path).map_err(store::Error::write(path))?;
            return Err(Error::fetch(address, format!("more than the {} bytes expected", size.unwrap_or(SIZE_LIMIT))));
        }
        partial.write_all(&block[..read]).map_err(store::Error::write(path))?;
        progress(done);
    }
    partial.sync_all().map_err(store::Error::write(path))?;
    match size {
        Some(size) if done < size => Err(Error::fetch(address, format!("the end after {done} of {size} bytes"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const CONTENT: &[u8] = b"0123456789abcdefghij";

    /// How the server of a test behaves at one request.
    #[derive(Clone, Copy)]
    enum Manner {
        /// Answers in full, ranges too.
        Whole,
        /// Sends half of what it announces and hangs up.
        Half,
        /// Knows no ranges.
        Forgetful,
        /// Answers with this status.
        Status(u16),
        /// Sends twice what is expected.
        Doubled,
    }

    /// A server on this machine that answers one request in each manner and tells which range was asked.
    fn serve(manners: Vec<Manner>) -> (String, Receiver<Option<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/file.bin", listener.local_addr().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for manner in manners {
                let (mut stream, _) = listener.accept().unwrap();
                let lines: Vec<String> = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map(|line| line.unwrap())
                    .take_while(|line| !line.is_empty())
                    .collect();
                let range = lines.iter().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
                });
                sender.send(range).unwrap();
                let start = range.unwrap_or(0).min(CONTENT.len());
                let (status, extra, body) = match manner {
                    Manner::Status(status) => (status, String::new(), Vec::new()),
                    Manner::Doubled => (200, String::new(), CONTENT.repeat(2)),
                    Manner::Forgetful => (200, String::new(), CONTENT.to_vec()),
                    _ if range.is_none() => (200, String::new(), CONTENT.to_vec()),
                    _ => (206, format!("Content-Range: bytes {start}-19/20\r\n"), CONTENT[start..].to_vec()),
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let sent = if matches!(manner, Manner::Half) { body.len() / 2 } else { body.len() };
                stream.write_all(head.as_bytes()).unwrap();
                // A client that has seen enough may have left.
                let _ = stream.write_all(&body[..sent]);
            }
        });
        (address, receiver)
    }

    fn manifest(addresses: &[&str], sha256: &str) -> Manifest {
        let mut manifest = Manifest::named("cifar10").unwrap();
        manifest.files[0] = RemoteFile {
            name: "file.bin".into(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            mirror: "some/file.bin".into(),
            size: Some(20),
            sha256: sha256.into(),
            repacked_sha256: Vec::new(),
            unpacked_sha256: None,
            optional: false,
        };
        manifest
    }

    fn digest() -> String {
        sha256(CONTENT).unwrap()
    }

    fn fetch(manifest: &Manifest, downloads: &Path, recorded: &[SourceFile]) -> Result<Vec<Fetched>> {
        Request { manifest, downloads, mirror: None, all: false, recorded }.fetch(&mut |_, _, _| ())
    }

    #[test]
    fn a_broken_download_is_continued_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (address, ranges) = serve(vec![Manner::Half, Manner::Whole]);
        let manifest = manifest(&[&address], &digest());
        assert!(fetch(&manifest, folder.path(), &[]).is_err());
        assert_eq!(fs::read(folder.path().join("file.bin.partial")).unwrap(), CONTENT[..10]);
        let fetched = fetch(&manifest, folder.path(), &[]).unwrap();
        assert_eq!(fs::read(&fetched[0].path).unwrap(), CONTENT);
        assert_eq!(fetched[0].source.verification.as_deref(), Some("verified"));
        assert_eq!(ranges.iter().take(2).collect::<Vec<_>>(), [None, Some(10)]);
        assert!(!folder.path().join("file.bin.partial").exists());
        // What is there is not fetched again: the server answers no more.
        assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap()[0].path, fetched[0].path);
    }

    #[test]
    fn a_server_without_ranges_is_read_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.bin.partial"), "0123").unwrap();
        let (address, _ranges) = serve(vec![Manner::Forgetful]);
        let fetched = fetch(&manifest(&[&address], &digest()), folder.path(), &[]).unwrap();
        assert_eq!(fs::read(&fetched[0].path).unwrap(), CONTENT);
    }

    #[test]
    fn a_wrong_digest_leaves_nothing_and_says_both() {
        let folder = tempfile::tempdir().unwrap();
        let (address, _ranges) = serve(vec![Manner::Whole]);
        let wrong = "0".repeat(64);
        let error = fetch(&manifest(&[&address], &wrong), folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains(&wrong) && error.contains(&digest()), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_next_address_is_tried_and_a_flood_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _ranges) = serve(vec![Manner::Status(404)]);
        let (second, _ranges) = serve(vec![Manner::Doubled]);
        let (third, _ranges) = serve(vec![Manner::Whole]);
        let manifest = manifest(&[&first, &second, &third], &digest());
        assert_eq!(fetch(&manifest, folder.path(), &[]).unwrap()[0].source.address, Some(third));
        let (refused, _ranges) = serve(vec![Manner::Status(404)]);
        let empty = tempfile::tempdir().unwrap();
        let error = fetch(&super::tests::manifest(&[&refused], &digest()), empty.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("HTTP status 404"), "{error}");
    }

    #[test]
    fn an_unpublished_digest_is_recorded_once_and_holds_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let (address, _ranges) = serve(vec![Manner::Whole]);
        let manifest = manifest(&[&address], UNVERIFIED);
        let fetched = fetch(&manifest, folder.path(), &[]).unwrap();
        assert_eq!(fetched[0].source.verification.as_deref(), Some("recorded"));
        fs::write(&fetched[0].path, "something else").unwrap();
        assert!(fetch(&manifest, folder.path(), &[fetched[0].source.clone()]).is_err());
    }

    #[test]
    fn the_mirror_comes_first_and_a_file_compressed_otherwise_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("some");
        fs::create_dir(&mirror).unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(CONTENT).unwrap();
        fs::write(mirror.join("file.bin"), packed.finish().unwrap()).unwrap();
        let mut manifest = manifest(&["http://127.0.0.1:1/file.bin"], &"0".repeat(64));
        let request = |manifest: &Manifest| {
            let request =
                Request { manifest, downloads: &mirror, mirror: Some(folder.path()), all: false, recorded: &[] };
            request.fetch(&mut |_, _, _| ())
        };
        assert!(request(&manifest).is_err());
        manifest.files[0].unpacked_sha256 = Some(digest());
        assert_eq!(request(&manifest).unwrap()[0].path, mirror.join("file.bin"));
    }

    #[test]
    fn a_file_without_address_asks_for_the_users_own_copy() {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(&Manifest::named("celeba").unwrap(), folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("img_align_celeba.zip") && error.contains("mmlab"), "{error}");
    }
}
