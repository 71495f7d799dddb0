//! Where a dataset's files lie: a folder, a tar (plain, gzip or zstd), a zip, or one file. Names are relative to it.
//!
//! Nothing is unpacked under a name from an archive: compressed members go to one unnamed temporary file and are read
//! by position, so that any order of reading works and no path outside the source is ever used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::{Error, Result};
use crate::store;
use crate::store::budget::{ARRAY, check_expansion, open_file};

/// Bytes of a member that are unpacked at a time.
const SPOOL_BLOCK: usize = 1 << 16;

/// How deep folders may nest.
const DEPTH_LIMIT: usize = 16;

/// The files of a dataset, by their names relative to the folder or archive.
pub struct Source {
    path: PathBuf,
    single: bool,
    entries: BTreeMap<String, Place>,
}

/// Where the bytes of one file are.
#[derive(Clone)]
enum Place {
    File(PathBuf),
    Span { file: Arc<File>, start: u64, length: u64 },
}

impl AsRef<Source> for Source {
    fn as_ref(&self) -> &Source {
        self
    }
}

impl Source {
    /// The files of the folder, archive or single file at `path` whose names satisfy `wanted`.
    ///
    /// # Errors
    /// A path that cannot be read, a damaged archive, an archive's member or a link that leads outside.
    pub fn open(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|source| Error::read(path, source))?;
        if metadata.is_dir() {
            let entries = folder_entries(path, &wanted)?;
            return Ok(Self { path: path.to_path_buf(), single: false, entries });
        }
        let entries = match kind(path)? {
            Kind::Tar(compression) => tar_entries(path, compression, &wanted)?,
            Kind::Zip => zip_entries(path, &wanted)?,
            Kind::Other => return Ok(Self { path: path.to_path_buf(), single: true, entries: single_entry(path) }),
        };
        Ok(Self { path: path.to_path_buf(), single: false, entries })
    }

    /// Several files as one source: an archive's members get its name as their folder, other files keep theirs.
    ///
    /// # Errors
    /// Those of [`Source::open`].
    pub fn gather(folder: &Path, files: &[PathBuf], wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for path in files {
            let source = Self::open(path, &wanted)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = name.split('.').next().unwrap_or_default();
            let place = |name: String| if source.single { name } else { format!("{stem}/{name}") };
            entries.extend(source.entries.into_iter().map(|(name, file)| (place(name), file)));
        }
        Ok(Self { path: folder.to_path_buf(), single: false, entries })
    }

    /// The folder, archive or file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files on disk that are read: the archive, or the files themselves.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |place: &Place| match place {
            Place::File(path) => path.clone(),
            Place::Span { .. } => self.path.clone(),
        };
        let mut files: Vec<PathBuf> = self.entries.values().map(file).collect();
        files.dedup();
        files
    }

    /// True where the source is one file that is no archive.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// The names of the files, sorted by their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The first name whose last component satisfies `wanted`.
    pub fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.names().find(|name| wanted(base_name(name))).map(str::to_string)
    }

    /// Takes in the file `name` (and `name.gz`) of the same folder where it exists, a file of
    /// labels beside a file of images.
    pub(crate) fn take_in_neighbour(&mut self, name: &str) {
        for name in [name.to_string(), format!("{name}.gz")] {
            let path = self.path.with_file_name(&name);
            if path.is_file() {
                self.entries.insert(name, Place::File(path));
            }
        }
    }

    /// How a message names the file `name`.
    pub(crate) fn describe(&self, name: &str) -> String {
        match self.entries.get(name) {
            Some(Place::File(path)) => path.display().to_string(),
            _ => format!("{}: {name}", self.path.display()),
        }
    }

    /// The bytes of the file `name`, with gzip undone where its content is gzip.
    pub(crate) fn stream(&self, name: &str) -> Result<Box<dyn BufRead + Send>> {
        let failed = |source| Error::read(self.describe(name), source);
        let mut stream: BufReader<Box<dyn Read + Send>> = BufReader::with_capacity(1 << 16, self.raw(name)?);
        let compressed = stream.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        Ok(if compressed { Box::new(BufReader::new(MultiGzDecoder::new(stream))) } else { Box::new(stream) })
    }

    /// The bytes of the file `name` as they are stored.
    fn raw(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        match self.entries.get(name) {
            Some(Place::File(path)) => Ok(Box::new(open_file(path)?)),
            Some(Place::Span { file, start, length }) => {
                Ok(Box::new(Span { file: file.clone(), position: *start, end: start + length }))
            }
            None => Err(Error::damaged(&self.describe(name), "a file of this name", "none")),
        }
    }
}

/// The last component of a name.
pub(crate) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A part of a file, read by position: many can be read at once without a shared cursor.
struct Span {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..length], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// What a file is, told by its first bytes and never by its name.
enum Kind {
    Tar(Compression),
    Zip,
    Other,
}

#[derive(Clone, Copy, PartialEq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

fn kind(path: &Path) -> Result<Kind> {
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
    // A damaged compressed file is no tar; its own reader says what is wrong with it.
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

fn single_entry(path: &Path) -> BTreeMap<String, Place> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    BTreeMap::from([(name, Place::File(path.to_path_buf()))])
}

fn folder_entries(root: &Path, wanted: &impl Fn(&str) -> bool) -> Result<BTreeMap<String, Place>> {
    let inside = fs::canonicalize(root).map_err(|source| Error::read(root, source))?;
    let mut entries = BTreeMap::new();
    let mut folders = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |source| Error::read(&folder, source);
        if depth > DEPTH_LIMIT {
            return Err(Error::damaged(&folder.display().to_string(), "at most 16 nested folders", "more"));
        }
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_hidden(&path) {
                continue;
            }
            if path.is_dir() {
                contained(&inside, &path)?;
                folders.push((path, depth + 1));
                continue;
            }
            let name = path.strip_prefix(root).ok().and_then(member_name);
            if let Some(name) = name.filter(|name| wanted(name)) {
                contained(&inside, &path)?;
                entries.insert(name, Place::File(path));
            }
        }
    }
    Ok(entries)
}

/// Hidden files are no data: `.DS_Store`, and the `._name` twins that macOS writes into archives.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// An error where a symbolic link leads out of the folder.
fn contained(inside: &Path, path: &Path) -> Result<()> {
    let target = fs::canonicalize(path).map_err(|source| Error::read(path, source))?;
    if target.starts_with(inside) {
        return Ok(());
    }
    let file = path.display().to_string();
    let found = format!("a link to {}", target.display());
    Err(Error::malformed(&file, "a file inside the folder", found, "copy the file there or name its own folder"))
}

/// A member's path as a name with `/`, where it stays inside: no root, no `..`.
fn member_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// One unnamed temporary file that collects the members of a compressed archive.
struct Spool {
    file: File,
    length: u64,
    /// Bytes of the archive.
    stored: u64,
}

impl Spool {
    fn new(archive: &Path) -> Result<Self> {
        let stored = fs::metadata(archive).map_err(|source| Error::read(archive, source))?.len();
        let file = tempfile::tempfile().map_err(|source| spool_error(archive, source))?;
        Ok(Self { file, length: 0, stored })
    }

    /// Appends a member, which claims a length, and returns its (start, length). An archive that unpacks to many times its size is
    /// refused, so that it fills no disk: by what it claims, and by what comes.
    fn add(&mut self, archive: &Path, member: &mut impl Read, claimed: u64) -> Result<(u64, u64)> {
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

    fn finish(mut self, archive: &Path, spans: Vec<(String, u64, u64)>) -> Result<BTreeMap<String, Place>> {
        self.file.flush().map_err(|source| spool_error(archive, source))?;
        let file = Arc::new(self.file);
        let place = |(name, start, length)| (name, Place::Span { file: file.clone(), start, length });
        Ok(spans.into_iter().map(place).collect())
    }
}

/// Most often the temporary folder is full; a damaged archive shows here too, while it is unpacked.
fn spool_error(archive: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied => {
            store::Error::write(&std::env::temp_dir())(source).into()
        }
        _ => Error::read(archive, source),
    }
}

fn tar_entries(
    path: &Path,
    compression: Compression,
    wanted: &impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Place>> {
    let file = path.display().to_string();
    let failed = |source| Error::read(path, source);
    let mut spool = Spool::new(path)?;
    let mut spans = Vec::new();
    let mut archive = tar::Archive::new(decompress(path, compression)?);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let member = entry.path().map_err(failed)?.into_owned();
        let Some(name) = tar_member(&file, &member, entry.header().entry_type(), wanted)? else { continue };
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
    spool.finish(path, spans)
}

/// The name of a wanted regular member, none for what is not wanted, an error for what would lead outside.
fn tar_member(
    file: &str,
    member: &Path,
    kind: tar::EntryType,
    wanted: &impl Fn(&str) -> bool,
) -> Result<Option<String>> {
    let shown = member.display().to_string();
    let advice = "the archive is not to be trusted as it is: pack the files again";
    if kind.is_dir() || is_hidden(member) {
        return Ok(None);
    }
    let Some(name) = member_name(member) else {
        return Err(Error::malformed(file, "members inside the archive", shown, advice));
    };
    if !wanted(&name) {
        return Ok(None);
    }
    if !(kind.is_file() || kind.is_contiguous()) {
        return Err(Error::malformed(file, "regular files", format!("{shown}, a link or special file"), advice));
    }
    Ok(Some(name))
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

fn zip_entries(path: &Path, wanted: &impl Fn(&str) -> bool) -> Result<BTreeMap<String, Place>> {
    let file = path.display().to_string();
    let damaged = |error: zip::result::ZipError| Error::damaged(&file, "a zip archive", error);
    let reader = BufReader::new(open_file(path)?);
    let mut archive = zip::ZipArchive::new(reader).map_err(damaged)?;
    let mut spool = Spool::new(path)?;
    let mut spans = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(damaged)?;
        let shown = member.name().map_err(damaged)?.into_owned();
        if member.is_dir() || is_hidden(Path::new(&shown)) {
            continue;
        }
        let Some(name) = member_name(Path::new(&shown)) else {
            let advice = "the archive is not to be trusted as it is: pack the files again";
            return Err(Error::malformed(&file, "members inside the archive", shown, advice));
        };
        if wanted(&name) {
            let claimed = member.size();
            let (start, length) = spool.add(path, &mut member, claimed)?;
            spans.push((name, start, length));
        }
    }
    spool.finish(path, spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_with(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_ustar();
            // `set_path` refuses names that lead outside, which is what a hostile archive has.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn text(source: &Source, name: &str) -> String {
        let mut text = String::new();
        source.stream(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_same_files_are_found_in_a_folder_and_in_every_kind_of_archive() {
        let folder = tempfile::tempdir().unwrap();
        let members: [(&str, &[u8]); 3] = [("top/b/2.txt", b"two"), ("top/a/1.txt", b"one"), ("top/skip.md", b"no")];
        for (name, content) in members {
            let path = folder.path().join("plain").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let plain = tar_with(&members);
        fs::write(folder.path().join("x.tar"), &plain).unwrap();
        fs::write(folder.path().join("x.tar.zst"), zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
        let gzip = File::create(folder.path().join("x.tgz")).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(gzip, flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        gzip.finish().unwrap();
        let mut zip = zip::ZipWriter::new(File::create(folder.path().join("x.zip")).unwrap());
        for (name, content) in members {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        for name in ["plain", "x.tar", "x.tar.zst", "x.tgz", "x.zip"] {
            let source = Source::open(&folder.path().join(name), |name| name.ends_with(".txt")).unwrap();
            assert_eq!(source.names().collect::<Vec<_>>(), ["top/a/1.txt", "top/b/2.txt"], "{name}");
            assert_eq!(text(&source, "top/b/2.txt"), "two", "{name}");
            assert_eq!(text(&source, "top/a/1.txt"), "one", "{name}");
        }
    }

    #[test]
    fn a_member_that_leads_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        for name in ["../outside.txt", "/outside.txt", "a/../../outside.txt"] {
            fs::write(&path, tar_with(&[(name, b"bad")])).unwrap();
            let error = Source::open(&path, |_| true).err().unwrap().to_string();
            assert!(error.contains("outside.txt"), "{error}");
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_many_times_its_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.zst");
        let mut archive = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_size(1 << 31);
        header.set_cksum();
        archive.write_all(header.as_bytes()).unwrap();
        archive.finish().unwrap();
        let error = Source::open(&path, |_| true).err().unwrap().to_string();
        assert!(error.contains("x.tar.zst") && error.contains("unpack it first"), "{error}");
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
        assert!(Source::open(&inner, |_| true).is_err());
    }

    #[test]
    fn a_plain_tar_cut_short_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let whole = tar_with(&[("a", &[7; 4096])]);
        fs::write(&path, &whole[..2048]).unwrap();
        assert!(Source::open(&path, |_| true).is_err());
    }
}
