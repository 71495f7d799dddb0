//! What a run may write. The suite replaces only what it wrote and recorded; anything else is an error before the work starts, and
//! nothing is touched. A lock keeps apart two runs that make the same output.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use obverse::store::sidecar::{Artifact, Sidecar};
use obverse::store::{self, atomic, digest, is_standard_stream};
use obverse::train::checkpoint;

/// The most bytes that names beside an output add to its own: `.NAME.partial-PID-xxxxxx.json`.
const NAME_ROOM: usize = 40;
/// The longest name of a file on Linux and macOS.
const LONGEST_NAME: usize = 255;
/// The content of a lock once its run knows that it may replace the output.
const CLAIMED: &[u8] = b"a run of obverse writes what this lock is named for\n";

/// Checks that `output` has a name that can be written and recorded, with an ending that the tool writes.
///
/// # Errors
/// A name that is not UTF-8, too long for its sidecar, or has another ending than one of `endings`.
pub fn check_name(output: &Path, endings: &[&str]) -> anyhow::Result<()> {
    if is_standard_stream(output) || is_device(output) {
        return Ok(());
    }
    let shown = output.display();
    let text =
        output.to_str().with_context(|| format!("{shown}: expected a name in UTF-8, which a sidecar can record"))?;
    let name = output.file_name().map_or(0, |name| name.len());
    let most = LONGEST_NAME - NAME_ROOM;
    ensure!(name <= most, "{shown}: expected a name of at most {most} bytes, with room for its sidecar, found {name}");
    let known = endings.is_empty() || endings.iter().any(|ending| text.ends_with(ending));
    ensure!(known, "{shown}: expected a name that ends in {}; choose another -o", endings.join(" or "));
    Ok(())
}

/// Checks that no input is the output or lies in it.
///
/// # Errors
/// An input that would be overwritten.
pub fn check_apart<'a>(output: &Path, inputs: impl Iterator<Item = (&'a str, &'a Path)>) -> anyhow::Result<()> {
    let Some(target) = resolved(output) else { return Ok(()) };
    if is_device(&target) {
        return Ok(());
    }
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    for (argument, input) in inputs.filter(|(_, input)| !is_standard_stream(input)) {
        let Ok(source) = fs::canonicalize(input) else { continue };
        let same = target.exists() && identity(&source) == identity(&target) || source.starts_with(&target);
        ensure!(
            same || !target.starts_with(&source),
            "{}: it lies in {}, which is read as {argument} and would be changed; choose another -o",
            output.display(),
            input.display()
        );
        ensure!(
            !same,
            "{}: it is also read, as {argument} {}, and would be overwritten; choose another -o",
            output.display(),
            input.display()
        );
    }
    Ok(())
}

/// Where a path leads, whether or not something is there; none if its folder is missing.
fn resolved(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(path).ok().or_else(|| Some(fs::canonicalize(folder).ok()?.join(path.file_name()?)))
}

/// Checks that whatever is at `output` and beside it was written by the suite. With `overwrite`, a file of other origin may be replaced
/// too; never a folder, and never a JSON file in the place of the sidecar.
///
/// # Errors
/// A file or folder of other origin, by name.
pub fn check_replaceable(output: &Path, companions: &[PathBuf], overwrite: bool) -> anyhow::Result<()> {
    if is_standard_stream(output) || is_device(output) {
        return Ok(());
    }
    if output.is_dir() {
        return check_folder(output);
    }
    let path = Sidecar::path_of(output).context("an output without a sidecar")?;
    let sidecar = recorded(&path)?;
    // A run that was killed between the file and its sidecar has left its lock, which says that it was allowed to replace the file.
    let claimed = fs::read(lock_of(output)).is_ok_and(|content| content == CLAIMED);
    if overwrite || claimed {
        return Ok(());
    }
    let of_the_suite = |file: &Path| match &sidecar {
        None => false,
        Some(_) if file == output => true,
        Some(sidecar) => sidecar.schema == "obverse-run/1" || is_among(&sidecar.companions, file),
    };
    for file in std::iter::once(output).chain(companions.iter().map(PathBuf::as_path)) {
        ensure!(
            fs::symlink_metadata(file).is_err() || of_the_suite(file),
            "{}: expected a free name or a file that this suite wrote, found a file without a sidecar; choose another -o, or \
             give --overwrite",
            file.display()
        );
    }
    Ok(())
}

fn is_among(recorded: &[Artifact], file: &Path) -> bool {
    recorded.iter().any(|artifact| Path::new(&artifact.path).file_name() == file.file_name())
}

/// The sidecar at `path`, if there is one.
fn recorded(path: &Path) -> anyhow::Result<Option<Sidecar>> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    let sidecar = Sidecar::read(path);
    ensure!(
        sidecar.as_ref().is_ok_and(is_ours),
        "{}: expected a free name for the sidecar, found a file of another kind; choose another -o, or move it away",
        path.display()
    );
    Ok(sidecar.ok())
}

fn is_ours(sidecar: &Sidecar) -> bool {
    sidecar.schema.starts_with("obverse-run/") && crate::TOOLS.iter().any(|tool| tool.name == sidecar.tool)
}

fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let names = digest::names_in(folder)?;
    let path = folder.join(digest::FOLDER_SIDECAR);
    if names.is_empty() && !path.exists() {
        return Ok(());
    }
    let shown = folder.display();
    let sidecar = Sidecar::read(&path).ok().filter(is_ours);
    let Some(sidecar) = sidecar else {
        let first = names.first().map_or(path.display().to_string(), |name| folder.join(name).display().to_string());
        bail!("{shown}: expected a free name or a folder that this suite wrote, found {first}; choose another -o");
    };
    let files = &sidecar.output.files;
    if files.is_empty() {
        // The first schema recorded no names, so only an unchanged folder is known to be ours.
        let whole = digest::of_folder(folder)? == sidecar.output.blake3;
        ensure!(whole, "{shown}: expected the folder as it was written, found changed or new files; move it away");
        return Ok(());
    }
    for name in names {
        ensure!(
            name.to_str().is_some_and(|name| files.contains_key(name)),
            "{}: expected only files that this suite wrote in {shown}, which would be replaced; move it away, or choose another -o",
            folder.join(&name).display()
        );
    }
    Ok(())
}

/// Whether it is neither file nor folder, such as `/dev/null`.
pub(crate) fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Finishes or undoes what killed runs began at `output`, and removes what they left, if nobody else can be making it.
pub fn settle(output: &Path, companions: &[PathBuf], alone: bool) {
    if is_standard_stream(output) || is_device(output) {
        return;
    }
    atomic::restore(output);
    let sidecar = Sidecar::path_of(output).filter(|_| !output.is_dir());
    if let Some(sidecar) = &sidecar {
        Sidecar::settle(sidecar, alone);
    }
    if alone {
        let waiting = sidecar.as_deref().map(atomic::waiting_for);
        let beside = companions.iter().cloned().chain([checkpoint::folder_of(output)]);
        beside.chain(sidecar).chain(waiting).for_each(|path| atomic::clear(&path));
        atomic::clear(output);
    }
}

/// The file that is locked while an output is made: `.NAME.lock` beside it.
fn lock_of(output: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".lock");
    output.with_file_name(name)
}

/// A lock on an output, held until it is dropped.
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of `output`. If another run holds it, calls `waiting` and waits. None if nothing can be locked: standard output, a
    /// device, a folder that is missing or cannot be written (the writer will report that).
    ///
    /// # Errors
    /// An interrupt.
    pub fn take(output: &Path, waiting: impl FnOnce()) -> anyhow::Result<Option<Self>> {
        if is_standard_stream(output) || is_device(output) || output.file_name().is_none() {
            return Ok(None);
        }
        let path = lock_of(&fs::canonicalize(output).unwrap_or_else(|_| output.to_owned()));
        let mut waiting = Some(waiting);
        loop {
            let Ok(file) = File::options().create(true).truncate(false).read(true).write(true).open(&path) else {
                return Ok(None);
            };
            match file.try_lock() {
                // The run that held it may have removed it meanwhile; then it no longer locks anything.
                Ok(()) if is_at(&file, &path) => return Ok(Some(Self { path, file })),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    crate::check_interrupted()?;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                // Locks are not supported here, so nobody else can take one either.
                Err(TryLockError::Error(_)) => {
                    let _ = fs::remove_file(&path);
                    return Ok(None);
                }
            }
        }
    }

    /// Notes in the lock that this run may replace the output, for the next run in case this one is killed.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn claim(&mut self) -> anyhow::Result<()> {
        self.file.set_len(0).and_then(|()| self.file.write_all(CLAIMED)).map_err(store::Error::write(&self.path))?;
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(held), Ok(there)) if place(held.clone()) == place(there.clone()))
}
