//! Whole tools and whole pipelines, as a user runs them: the tests are in `tests/`.
//!
//! Here is how they find and run the tools, the recipes, and the commands of documents.

pub mod layouts;
mod mirror;
pub mod oracle;
pub mod readers;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use obverse::tensor::random::Stream;
use tempfile::TempDir;

pub use self::mirror::mirror;

/// What a tool did.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// The environment variable by which `just test` says that it has built the tools: `built`. Nobody else sets it, so that
/// whoever edits a tool and runs a test alone tests what was edited.
const STATE: &str = "OBVERSE_TOOLS";

/// The checkout's folder.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of the tools' binaries: the test is target/<profile>/deps/<test>, a tool is target/<profile>/<tool>.
fn folder_of_tools() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        folder.unwrap_or_default()
    })
}

/// The profile of cargo that the tests, and so the tools, are built with.
pub fn profile() -> &'static str {
    match folder_of_tools().file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    }
}

/// Builds binaries of the tools to the current sources, unless they are built already. Cargo builds a package's binaries for its own tests
/// only. Outside cargo the tests take what is there.
fn build(which: &[&str]) {
    let folder = folder_of_tools();
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| !are_built(folder)) else { return };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "obverse-tools", "--profile", profile()]).args(which);
    let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.is_ok_and(|status| status.success()), "the tools do not build");
}

/// The folder of all tools' binaries, built to the current sources once a test process.
///
/// # Panics
/// When they do not build.
pub fn tools() -> &'static Path {
    ALL_BUILT.call_once(|| build(&["--bins"]));
    folder_of_tools()
}

/// Done when all tools are built.
static ALL_BUILT: Once = Once::new();

/// The path of one tool's binary, built to the current sources once a test process. Whoever changed one tool waits for one to link.
fn binary(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !ALL_BUILT.is_completed() && !built.contains(name) {
        build(&["--bin", name]);
        built.insert(name.to_owned());
    }
    folder_of_tools().join(name)
}

/// Whether the tools in `folder` are those of the current sources.
fn are_built(folder: &Path) -> bool {
    std::env::var_os(STATE).is_some_and(|state| state == "built") && folder.join("fa-fit").is_file()
}

/// Holds a text against a file of the checkout, so that a change of an interface shows in review. `OBVERSE_WRITE=1` writes the file.
///
/// # Panics
/// When they differ, with the first line that does.
#[track_caller]
pub fn assert_kept(name: &str, found: &str) {
    let path = checkout().join(name);
    if std::env::var_os("OBVERSE_WRITE").is_some() {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, found));
        assert!(written.is_ok(), "{}: cannot be written", path.display());
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (old, new): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), found.lines().collect());
    let line = (0..old.len().max(new.len())).find(|&line| old.get(line) != new.get(line));
    let differs = line.map(|line| format!("line {}: {:?} is now {:?}", line + 1, old.get(line), new.get(line)));
    assert!(
        differs.is_none() && kept == found,
        "{name}: {}. If that is meant, run the test with OBVERSE_WRITE=1 and commit the file",
        differs.unwrap_or_default()
    );
}

/// A folder in which the recipes of the checkout run, with copies of the justfiles and a link to the tools: the checkout stays clean, and
/// every path has spaces.
///
/// # Errors
/// A file that cannot be copied.
pub fn recipes() -> std::io::Result<TempDir> {
    let checkout = checkout();
    let folder = tempfile::Builder::new().prefix("recipes in a folder ").tempdir()?;
    std::os::unix::fs::symlink(tools(), folder.path().join(TOOLS_OF_RECIPES))?;
    fs::copy(checkout.join("justfile"), folder.path().join("justfile"))?;
    for part in ["pipelines", "pipelines/claims"] {
        fs::create_dir(folder.path().join(part))?;
        for entry in fs::read_dir(checkout.join(part))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), folder.path().join(part).join(entry.file_name()))?;
            }
        }
    }
    Ok(folder)
}

/// The tools' name in the folder of [`recipes`].
pub const TOOLS_OF_RECIPES: &str = "my tools";

/// A tool by name, ready for arguments.
pub fn tool(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    command.stdin(Stdio::null());
    command
}

/// A shell's command, run in `folder`, which finds the tools.
pub fn shell(folder: &Path, command: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(tools().to_owned()).chain(std::env::split_paths(&path));
    let mut shell = Command::new("sh");
    // A folder whose name holds the separator is on no path.
    shell.env("PATH", std::env::join_paths(found).unwrap_or(path.clone()));
    shell.args(["-c", command]).current_dir(folder).env("HOME", folder).stdin(Stdio::null());
    shell
}

/// A command of a document, and the lines that it is said to print.
#[derive(Debug)]
pub struct Step {
    /// What follows `$ `.
    pub command: String,
    /// The lines after it.
    pub printed: Vec<String>,
}

/// The commands of a document's console blocks, in order.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.into(), printed: Vec::new() }),
                (None, Some(step)) => step.printed.push(line.into()),
                (None, None) => panic!("output before any command: {line}"),
            },
            _ => {}
        }
    }
    steps
}

/// Runs a tool in `folder` with the words of `arguments`.
pub fn run(folder: &Path, name: &str, arguments: &str) -> Outcome {
    run_with_input(folder, name, arguments, &[])
}

/// Runs a tool in `folder` with the words of `arguments` and bytes on standard input.
pub fn run_with_input(folder: &Path, name: &str, arguments: &str, input: &[u8]) -> Outcome {
    let mut command = tool(name);
    command.args(arguments.split_whitespace()).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let outcome = command.spawn().and_then(|mut child| {
        let mut stdin = child.stdin.take();
        let input = input.to_vec();
        // In a thread of its own, so that neither side waits for the other; a tool may leave input unread.
        let feeder = std::thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&input)));
        let output = child.wait_with_output();
        let _ = feeder.join();
        output
    });
    match outcome {
        Ok(output) => Outcome {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Outcome { code: None, stdout: Vec::new(), stderr: format!("{name} cannot be started: {error}") },
    }
}

impl Outcome {
    /// Checks that the tool ended well.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Checks that the tool failed with this code and one line holding each of these words.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.contains(": error: "), "{}", self.stderr);
        words.iter().for_each(|word| assert!(self.stderr.contains(word), "{word:?} in {:?}", self.stderr));
        self
    }
}

/// Writes `count` square u8 images of `channels` x `side` x `side`: soft blobs, each at a place of its own.
///
/// # Errors
/// What the store says.
pub fn write_images(path: &Path, count: usize, channels: usize, side: usize) -> obverse::store::Result<()> {
    let places: Vec<f64> = Stream::new(0, "blobs", 0).uniform(0..3 * count * channels);
    let pixel = |image: usize, i: usize, j: usize| {
        let place = &places[3 * image..3 * image + 3];
        let (y, x) = (i as f64 / side as f64 - place[0], j as f64 / side as f64 - place[1]);
        (255.0 * (-(x * x + y * y) / (0.01 + 0.05 * place[2])).exp()) as u8
    };
    let images = 0..count * channels;
    let pixels: Vec<u8> = images
        .flat_map(|image| (0..side * side).map(move |p| (image, p)))
        .map(|(image, p)| pixel(image, p / side, p % side))
        .collect();
    obverse::store::npy::write(path, &[count, channels, side, side], &pixels).map(drop)
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
