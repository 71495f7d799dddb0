//! The members of a tar or a zip.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::left_out::LeftOut;
use super::name::{lies_hidden, member_name};
use super::place::Files;
use super::spool::Spool;
use crate::data::{Error, Result};
use crate::store::budget::open_file;

/// What is said of an archive that holds what no archive of images needs.
const UNTRUSTED: &str = "the archive is not to be trusted as it is: pack the files again";

/// What a file is, by its first bytes and never by its name.
pub(super) enum Kind {
    Tar(Compression),
    Zip,
    Other,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

pub(super) fn kind(path: &Path) -> Result<Kind> {
    let failed = |source| Error::read(path, source);
    let mut start = Vec::new();
    open_file(path)?.take(4).read_to_end(&mut start).map_err(failed)?;
    let compression = match start.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        [b'P', b'K', 3, 4] => return Ok(Kind::Zip),
        _ => Compression::None,
    };
    let mut block = Vec::new();
    // A damaged compressed file does not count as a tar; its own reader reports what is wrong with it.
    let readable = decompress(path, compression)?.take(512).read_to_end(&mut block).is_ok();
    let tar = readable && block.get(257..262) == Some(b"ustar".as_slice());
    Ok(if tar { Kind::Tar(compression) } else { Kind::Other })
}

fn decompress(path: &Path, compression: Compression) -> Result<Box<dyn Read>> {
    let failed = |source| Error::read(path, source);
    let file = BufReader::with_capacity(1 << 16, open_file(path)?);
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(failed)?),
    })
}

pub(super) fn tar_entries(path: &Path, compression: Compression, wanted: &impl Fn(&str) -> bool) -> Result<Files> {
    let file = path.display().to_string();
    let failed = |source| Error::read(path, source);
    let mut spool = Spool::new(path)?;
    let (mut spans, mut left_out) = (Vec::new(), LeftOut::default());
    let mut archive = tar::Archive::new(decompress(path, compression)?);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let member = entry.path().map_err(failed)?.into_owned();
        let kind = entry.header().entry_type();
        let Some(name) = tar_member(&file, &member, kind)? else { continue };
        if !wanted(&name) {
            left_out.add_file(&name);
            continue;
        }
        if !(kind.is_file() || kind.is_contiguous()) {
            return Err(special(&file, &name));
        }
        let (start, length) = match compression {
            // A plain tar is its own spool.
            Compression::None => (entry.raw_file_position(), entry.size()),
            _ => {
                let claimed = entry.size();
                spool.add(path, &mut entry, claimed)?
            }
        };
        spans.push((name, start, length));
    }
    if compression == Compression::None {
        spool.file = open_file(path)?;
        within(&file, &mut spool.file, &spans)?;
    }
    Ok((spool.finish(path, spans)?, left_out))
}

/// The name of a member that is neither a folder nor hidden; an error for one that would lead outside.
fn tar_member(file: &str, member: &Path, kind: tar::EntryType) -> Result<Option<String>> {
    if kind.is_dir() || lies_hidden(member) {
        return Ok(None);
    }
    let outside = || Error::malformed(file, "members inside the archive", member.display(), UNTRUSTED);
    member_name(member).map(Some).ok_or_else(outside)
}

/// An error for a link or special file: an archive's links are not followed.
fn special(file: &str, member: &str) -> Error {
    Error::malformed(file, "regular files", format!("{member}, a link or special file"), UNTRUSTED)
}

/// An error where a plain tar claims members beyond its end.
fn within(name: &str, file: &mut File, spans: &[(String, u64, u64)]) -> Result<()> {
    let length = file.seek(SeekFrom::End(0)).map_err(|source| Error::read(name, source))?;
    match spans.iter().find(|(_, start, size)| start.checked_add(*size).is_none_or(|end| end > length)) {
        None => Ok(()),
        Some((member, _, size)) => {
            Err(Error::damaged(name, format!("{size} bytes of {member}"), format!("an archive of {length} bytes")))
        }
    }
}

pub(super) fn zip_entries(path: &Path, wanted: &impl Fn(&str) -> bool) -> Result<Files> {
    let file = path.display().to_string();
    let damaged = |error: zip::result::ZipError| Error::damaged(&file, "a zip archive", error);
    let reader = BufReader::new(open_file(path)?);
    let mut archive = zip::ZipArchive::new(reader).map_err(damaged)?;
    let mut spool = Spool::new(path)?;
    let (mut spans, mut left_out) = (Vec::new(), LeftOut::default());
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(damaged)?;
        let shown = member.name().map_err(damaged)?.into_owned();
        if member.is_dir() || lies_hidden(Path::new(&shown)) {
            continue;
        }
        let Some(name) = member_name(Path::new(&shown)) else {
            return Err(Error::malformed(&file, "members inside the archive", shown, UNTRUSTED));
        };
        if !wanted(&name) {
            left_out.add_file(&name);
            continue;
        }
        if member.is_symlink() {
            return Err(special(&file, &name));
        }
        let claimed = member.size();
        let (start, length) = spool.add(path, &mut member, claimed)?;
        spans.push((name, start, length));
    }
    Ok((spool.finish(path, spans)?, left_out))
}
