//! A disk that fails and a run that is killed, at each system call by which an output comes about: after each there is the old output
//! or the new one, whole, nothing is called fresh that is not, and the next run leaves nothing behind.
//!
//! strace injects the faults. Here calls get one of them each, and of a training's many calls some; `just faults` gives every call all.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use obverse::store::digest;
use obverse::store::sidecar::Sidecar;
use obverse::train::{checkpoint, seal};
use obverse_tests::{Outcome, names, run, tools, write_images};
use tempfile::TempDir;

/// The calls that write, flush and name files.
const CALLS: &str = "openat,write,pwrite64,writev,fsync,fdatasync,syncfs,ftruncate,fchmod,mkdir,rename,renameat,renameat2,unlink,\
                     unlinkat,rmdir,link,linkat,copy_file_range";
/// Faults of calls in general, and those of writes besides.
const FAULTS: [&str; 3] = ["error=ENOSPC", "signal=SIGKILL", "error=EIO"];
const WRITE_FAULTS: [&str; 4] = ["error=ENOSPC", "signal=SIGKILL", "error=EIO", "error=EPIPE"];
/// A file system that cannot exchange two names.
const NO_EXCHANGE: &str = "renameat2:error=EINVAL";
/// By this `just faults` asks for every fault at every call.
const ALL: &str = "OBVERSE_FAULTS";

const ARCHITECTURE: &str = r#"{"format": "obverse-net/1", "input": {"shape": [1, 8, 8]}, "nodes": [
    {"name": "flatten", "op": "flatten", "input": "input"},
    {"name": "z", "op": "linear", "input": "flatten", "features": 4}], "outputs": {"z": "z"}}"#;
const FIT: &str = "images.npy --arch arch.json --epochs 1 --batch 8 --threads 1 --quiet";

/// What is asked, of whom, and where it goes.
struct Request {
    tool: &'static str,
    words: String,
    output: &'static str,
}

impl Request {
    fn new(tool: &'static str, words: &str, output: &'static str) -> Self {
        Self { tool, words: format!("{words} -o {output}"), output }
    }

    fn run(&self, folder: &Path) -> Outcome {
        run(folder, self.tool, &self.words)
    }

    /// Whether the tool calls its output fresh.
    fn is_fresh(&self, folder: &Path) -> bool {
        run(folder, self.tool, &format!("{} --check", self.words)).code == Some(0)
    }

    /// Runs under strace with these injections; the calls are written to `trace` beside the folder.
    fn traced(&self, folder: &Path, injections: &[&str]) -> Outcome {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-qq", "-y", "-o"])
            .arg(folder.with_extension("trace"))
            .args(["-e", &format!("trace={CALLS}")]);
        strace.args(injections.iter().flat_map(|injection| ["-e".to_owned(), format!("inject={injection}")]));
        // Cargo's, in whose many folders the loader would look for libraries.
        strace.env_remove("LD_LIBRARY_PATH");
        strace.arg(tools().join(self.tool)).args(self.words.split_whitespace()).current_dir(folder);
        let output = strace.output().unwrap();
        let killed = output.status.signal().is_some();
        Outcome {
            code: output.status.code().filter(|code| !killed && *code < 128),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder inside a temporary one, where a run's files are.
fn folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("base");
    fs::create_dir(&folder).unwrap();
    write_images(&folder.join("images.npy"), 16, 1, 8).unwrap();
    fs::write(folder.join("arch.json"), ARCHITECTURE).unwrap();
    // Read one after another: the calls of the run's own threads are then counted beyond those of the loader, which comes before.
    for part in 0..8 {
        run(&folder, "npy-cat", &format!("images.npy --rows {part}..{} --quiet -o part-{part}.npy", part + 1))
            .succeeds();
    }
    (parent, folder)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// An output with its sidecar, as one that reads them finds them.
#[derive(Clone, PartialEq)]
struct Found {
    content: String,
    sidecar: Sidecar,
}

/// What is under the output's name, if what its sidecar says is right; none where nothing is.
fn found(folder: &Path, output: &str) -> Result<Option<Found>, String> {
    let path = folder.join(output);
    let sidecar = Sidecar::path_of(&path).unwrap();
    if !path.exists() {
        return if sidecar.exists() { Err("a sidecar without its output".into()) } else { Ok(None) };
    }
    let content = digest::of_path(&path).map_err(|error| error.to_string())?;
    let sidecar = Sidecar::read(&sidecar).map_err(|error| error.to_string())?;
    if sidecar.output.blake3 != content {
        return Err("an output that is not its sidecar's".into());
    }
    Ok(Some(Found { content, sidecar }))
}

/// A checkpoint that is there is whole.
fn check_checkpoint(folder: &Path, output: &str) -> Result<(), String> {
    let path = checkpoint::folder_of(&folder.join(output));
    match seal::content(&path) {
        Ok(Some(content)) => seal::verify(&path, &content).map_err(|error| error.to_string()),
        Ok(None) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Calls of a thread by their names: which of them, counted from 1, touch the outputs.
fn calls(trace: &str, folder: &Path) -> Vec<(String, usize)> {
    let place = folder.to_str().unwrap();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut touching = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        let writes = name != "openat" || arguments.contains("O_CREAT");
        // `unlink` alone is given a name without the folder that it is in.
        if writes && (arguments.contains(place) || name == "unlink") {
            touching.push((thread, name, *count));
        }
    }
    // An injection counts for each thread. Another one that comes so far would be hit first; errors are said there, by the first `write`.
    let elsewhere = |thread: &str, name: &str| {
        counts.iter().filter(|((other, of), _)| *other != thread && *of == name).map(|(_, count)| *count).max()
    };
    let alone = |(thread, name, count): &(&str, &str, usize)| elsewhere(thread, name).is_none_or(|most| most < *count);
    let all = touching.len();
    let chosen: Vec<_> = touching.into_iter().filter(alone).map(|(_, name, count)| (name.to_owned(), count)).collect();
    assert!(chosen.len() == all && all > 10, "of {all} calls only {} can be reached alone:\n{trace}", chosen.len());
    chosen
}

/// Injects faults into `request`, run in copies of `base`, which holds what was there before, on a file system that has these faults
/// anyway; of `thin` calls into one, with one fault, unless all are asked for. Returns how many.
fn torture(base: &Path, request: &Request, always: &[&str], thin: usize) -> usize {
    let before = found(base, request.output).unwrap();
    let good = base.with_extension("good");
    copy(base, &good);
    let said = request.traced(&good, always).succeeds();
    assert_eq!(said.stderr, "");
    let after = found(&good, request.output).unwrap().unwrap();
    assert!(before.as_ref().is_none_or(|before| before.content != after.content));
    let trace = fs::read_to_string(good.with_extension("trace")).unwrap();
    let (mut injected, all) = (0, std::env::var_os(ALL).is_some());
    for (place, (name, count)) in calls(&trace, &good).into_iter().enumerate() {
        if !all && !place.is_multiple_of(thin) {
            continue;
        }
        let faults: &[&str] = if name.contains("write") { &WRITE_FAULTS } else { &FAULTS };
        let chosen = if all { faults } else { &faults[place / thin % faults.len()..][..1] };
        for fault in chosen {
            let injection = format!("{name}:{fault}:when={count}");
            let folder = base.with_extension("faulty");
            copy(base, &folder);
            let what = format!("{} {}, {injection} {always:?}", request.tool, request.words);
            let ended = request.traced(&folder, &[always, &[&injection]].concat());
            check_after(&folder, request, &ended, (&before, &after), &what);
            request.run(&folder).succeeds();
            let again =
                found(&folder, request.output).unwrap_or_else(|error| panic!("{what}: again: {error}")).unwrap();
            assert_eq!(again.content, after.content, "{what}");
            let mut left = names(&folder);
            // A run that was killed when all was done but for this; another that asks for more goes on from it.
            left.retain(|name| *name != format!("{}.checkpoint", request.output));
            check_checkpoint(&folder, request.output).unwrap_or_else(|error| panic!("{what}: again: {error}"));
            assert_eq!(left, names(&good), "{what}");
            fs::remove_dir_all(&folder).unwrap();
            injected += 1;
        }
    }
    fs::remove_dir_all(&good).unwrap();
    injected
}

/// Checks what a fault has left.
fn check_after(
    folder: &Path,
    request: &Request,
    ended: &Outcome,
    (before, after): (&Option<Found>, &Found),
    what: &str,
) {
    let Request { output, .. } = request;
    let now = found(folder, output).unwrap_or_else(|error| panic!("{what}: {error}\n{}", ended.stderr));
    let is_new =
        now.as_ref().is_some_and(|now| now.content == after.content && now.sidecar.command == after.sidecar.command);
    // Where two names cannot be exchanged, a run that is killed between two renames leaves the old folder aside, for the next to put back.
    let aside = format!(".{output}.old");
    let is_aside = now.is_none() && found(folder, &aside).is_ok_and(|aside| aside == *before);
    let killed = ended.code.is_none();
    assert!(is_new || now == *before || killed && is_aside, "{what}: neither old nor new\n{}", ended.stderr);
    assert_eq!(request.is_fresh(folder), is_new, "{what}: fresh");
    if now.is_some() {
        run(folder, "obverse-verify", output).succeeds();
    }
    check_checkpoint(folder, output).unwrap_or_else(|error| panic!("{what}: {error}"));
    match ended.code {
        None => assert!(what.contains("SIGKILL"), "{what}: {}", ended.stderr),
        // The fault hit what can be done without.
        Some(0) => assert!(is_new, "{what}: success without an output"),
        Some(code) => {
            assert_eq!(code, 1, "{what}: {}", ended.stderr);
            // The first write of the thread that speaks is the one that failed.
            if !what.contains(" write:error") || !what.contains("when=1 ") {
                assert_eq!(ended.stderr.lines().count(), 1, "{what}: {}", ended.stderr);
                let cause = ["No space left", "Input/output error", "Broken pipe"];
                assert!(cause.iter().any(|cause| ended.stderr.contains(cause)), "{what}: {}", ended.stderr);
                assert!(ended.stderr.contains(output), "{what}: {}", ended.stderr);
            }
            assert!(!ended.stderr.contains("internal error"), "{what}: {}", ended.stderr);
        }
    }
}

const PARTS: &str =
    "part-0.npy part-1.npy part-2.npy part-3.npy part-4.npy part-5.npy part-6.npy part-7.npy --threads 1 --quiet";

#[test]
#[cfg_attr(not(strace), ignore = "it takes strace, and leave to trace")]
fn a_file_and_its_sidecar_are_old_or_new_after_every_fault() {
    let (_parent, base) = folder();
    let request = Request::new("npy-cat", PARTS, "a.npy");
    let first = torture(&base, &request, &[], 1);
    Request::new("npy-cat", &format!("{PARTS} --head 3"), "a.npy").run(&base).succeeds();
    println!("{first} faults, {} over an older output", torture(&base, &request, &[], 1));
}

#[test]
#[cfg_attr(not(strace), ignore = "it takes strace, and leave to trace")]
fn a_part_is_old_or_new_after_every_fault() {
    let (_parent, base) = folder();
    run(&base, "fa-fit", &format!("{FIT} -o enc")).succeeds();
    let request = Request::new("fa-encode", "enc images.npy --shard 1/2 --threads 1 --quiet", "p.npy");
    let first = torture(&base, &request, &[], 1);
    Request::new("fa-encode", "enc images.npy --shard 1/2 --precision f64 --quiet", "p.npy").run(&base).succeeds();
    println!("{first} faults, {} over an older output", torture(&base, &request, &[], 1));
}

#[test]
#[cfg_attr(not(strace), ignore = "it takes strace, and leave to trace")]
fn a_folder_is_old_or_new_after_every_fault() {
    let (_parent, base) = folder();
    let request = Request::new("fa-fit", FIT, "enc");
    let first = torture(&base, &request, &[], 2);
    Request::new("fa-fit", &format!("{FIT} --seed 1"), "enc").run(&base).succeeds();
    let second = torture(&base, &request, &[], 2);
    let third = torture(&base, &request, &[NO_EXCHANGE], 2);
    println!("{first} faults, {second} over an older output, {third} where names cannot be exchanged");
}

/// A folder of so many files is flushed with its file system, in one call.
#[test]
#[cfg_attr(not(strace), ignore = "it takes strace, and leave to trace")]
fn a_folder_of_many_files_is_old_or_new_after_every_fault() {
    let (_parent, base) = folder();
    let layer = |place: usize| {
        let input = if place == 0 { "flatten".to_owned() } else { format!("l{}", place - 1) };
        format!(r#"{{"name": "l{place}", "op": "linear", "input": "{input}", "features": 4}},"#)
    };
    let layers: String = (0..16).map(layer).collect();
    let z = r#"{"name": "z", "op": "linear", "input": "#;
    let deep = ARCHITECTURE.replace(&format!("{z}\"flatten\""), &format!("{layers}{z}\"l15\""));
    assert_ne!(deep, ARCHITECTURE);
    fs::write(base.join("arch.json"), deep).unwrap();
    let request = Request::new("fa-fit", FIT, "enc");
    let first = torture(&base, &request, &[], 20);
    Request::new("fa-fit", &format!("{FIT} --seed 1"), "enc").run(&base).succeeds();
    let second = torture(&base, &request, &["syncfs:error=EIO"], 20);
    println!("{first} faults, {second} over an older output where the file system as a whole cannot be flushed");
}

#[test]
#[cfg_attr(not(strace), ignore = "it takes strace, and leave to trace")]
fn a_checkpoint_is_old_or_new_after_every_fault_and_the_training_ends_with_the_same_bytes() {
    let (_parent, base) = folder();
    let request = Request::new("fa-fit", &format!("{FIT} --checkpoint-minutes 0"), "enc");
    let first = torture(&base, &request, &[], 5);
    // Killed before the second checkpoint takes the place of the first.
    assert_eq!(request.traced(&base, &["renameat2:signal=SIGKILL:when=1"]).code, None);
    assert!(base.join("enc.checkpoint/run.json").is_file());
    let second = torture(&base, &request, &[], 5);
    let third = torture(&base, &request, &[NO_EXCHANGE], 5);
    println!("{first} faults, {second} on the way from a checkpoint, {third} where names cannot be exchanged");
}
