//! What a server sends, copied into a file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::data::{Error, Result};
use crate::store;

/// Time to reach a server, and the longest silence while it sends.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest download where the size is not known: 64 GiB.
const SIZE_LIMIT: u64 = 1 << 36;

/// What a server answers to a request for the bytes from some position on.
pub(super) struct Answer {
    /// Where its bytes begin: the requested position, or 0 from a server that cannot resume.
    pub(super) start: u64,
    pub(super) length: Option<u64>,
    body: Box<dyn Read>,
}

impl Answer {
    pub(super) fn ask(address: &str, start: u64) -> Result<Self> {
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
            // The file on the server is no longer than ours, or another one: start again.
            416 if start > 0 => return Self::ask(address, 0),
            status => return Err(failed(format!("HTTP status {status}"))),
        };
        Ok(Self { start, length, body: Box::new(response.into_body().into_reader()) })
    }
}

/// Copies the body into the partial file, never beyond the size that is expected.
pub(super) fn receive(
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
            // If it were kept, the next run would resume from it.
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
