//! Sidecars: a JSON file beside every output that says in full how it was made, so that it can be made again.
//!
//! A file's sidecar is `<file>.json`, a folder's is `run.json` inside it. A file's sidecar is first written under a waiting name, then the
//! file is put in its place, then the sidecar. If the run dies between these two, the waiting sidecar is read, so a file is never without
//! its sidecar.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::artifact::Artifact;
use super::artifact::text;
use super::{Error, Result, atomic, budget, digest, is_standard_stream};

/// The version of the sidecar's own format. `obverse-run/1`, which had `parameters` for `request` and `resolved`, is read too.
pub const SCHEMA: &str = "obverse-run/2";

/// How an output was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// [`SCHEMA`].
    pub schema: String,
    /// The tool's name.
    pub tool: String,
    /// The tool's version.
    pub version: String,
    /// The command as it was given: the tool's name and its arguments.
    pub command: Vec<String>,
    /// The folder the command ran in: relative to the sidecar's folder if that lies inside it, else absolute.
    pub directory: String,
    /// The number that a tool raises whenever the same request gives other bytes.
    #[serde(default)]
    pub results: u32,
    /// The values of the arguments as typed, by the names the user types, defaults included.
    #[serde(default, rename = "parameters", alias = "request")]
    pub request: Map<String, Value>,
    /// Values that presets, defaults and the files themselves decide.
    #[serde(default)]
    pub resolved: Map<String, Value>,
    /// The seed of every random stream.
    pub seed: u64,
    /// The inputs, in the order of the command.
    pub inputs: Vec<Artifact>,
    /// The output.
    pub output: Artifact,
    /// The files that were written beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Artifact>,
    /// The metrics; numbers that are not finite are strings.
    pub metrics: Map<String, Value>,
    /// How long it took.
    pub wall_seconds: f64,
    /// The processor time of all cores together, if the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// The most memory that the process held at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// When, by which build and on which machine.
    #[serde(flatten)]
    pub circumstances: Circumstances,
}

/// When an output was made, by which build and on which machine. None of it makes an output stale.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The date and time of the end, in UTC, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The revision of the sources that the tool was built from, if the build was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The device that computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The features of the processor that the last bits of results may depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processor: Vec<String>,
    /// The number of threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Sidecar {
    /// A value by its name, from the request or from the resolved values.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.request.get(name).or_else(|| self.resolved.get(name))
    }

    /// Where the sidecar of `output` lies: inside a folder, or beside a file; none for `-`.
    pub fn path_of(output: &Path) -> Option<PathBuf> {
        if is_standard_stream(output) {
            return None;
        }
        if output.is_dir() {
            return Some(output.join(digest::FOLDER_SIDECAR));
        }
        let mut path = output.as_os_str().to_owned();
        path.push(".json");
        Some(path.into())
    }

    /// Whether a sidecar can be read for `path`.
    pub fn is_there(path: &Path) -> bool {
        path.is_file() || atomic::waiting_for(path).is_file()
    }

    /// Reads a sidecar file, or the one that waits for its place if the output that it describes is already there.
    ///
    /// # Errors
    /// `Read` when there is none; `Json` when it is damaged or something else.
    pub fn read(path: &Path) -> Result<Self> {
        Self::waiting(path).map_or_else(|| Self::read_file(path), Ok)
    }

    /// The sidecar that waits for `path`, if everything that it describes is there.
    fn waiting(path: &Path) -> Option<Self> {
        let waiting = Self::read_file(&atomic::waiting_for(path)).ok()?;
        damage(&path.with_extension(""), &waiting).is_empty().then_some(waiting)
    }

    /// Finishes or undoes what a killed run began. A waiting sidecar takes its place if its output is there. If not, it is removed,
    /// provided that nobody else can be making the output (`alone`).
    pub fn settle(path: &Path, alone: bool) {
        // Best effort: a sidecar that keeps waiting is read as long as it is right.
        if Self::waiting(path).is_some() {
            let _ = atomic::take_place(path);
        } else if alone {
            let _ = fs::remove_file(atomic::waiting_for(path));
        }
    }

    fn read_file(path: &Path) -> Result<Self> {
        let bytes = budget::read(path)?;
        let expected = "a sidecar of this suite";
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), expected, source })
    }

    /// Writes the sidecar to `path`, atomically.
    ///
    /// # Errors
    /// `Write`, naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| Error::write(path)(error.into()))?;
        json.push(b'\n');
        atomic::write(path, &json)
    }

    /// Writes the sidecar durably beside `path`, where it waits until its output is in place.
    ///
    /// # Errors
    /// `Write`, naming the file.
    pub fn announce(&self, path: &Path) -> Result<Announced> {
        let waiting = atomic::waiting_for(path);
        let announced = Announced { path: path.to_owned(), waiting: Some(waiting.clone()) };
        // If flushing its folder fails, the file may be there already: dropping `announced` removes it.
        self.write(&waiting)?;
        Ok(announced)
    }
}

/// A sidecar that waits for its output; if it is dropped before the output is there, it leaves nothing.
#[must_use]
pub struct Announced {
    path: PathBuf,
    waiting: Option<PathBuf>,
}

impl Announced {
    /// Puts the sidecar in its place, now that its output is in place.
    ///
    /// # Errors
    /// `Write`, naming the file. The sidecar then keeps waiting and is read there.
    pub fn take_place(mut self) -> Result<()> {
        self.waiting = None;
        atomic::take_place(&self.path)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waiting {
            let _ = fs::remove_file(waiting);
        }
    }
}

/// How an output and the files beside it differ from what the sidecar recorded, one line per difference.
pub fn damage(output: &Path, sidecar: &Sidecar) -> Vec<String> {
    let folder = output.parent().unwrap_or(Path::new(""));
    let beside = sidecar.companions.iter().map(|companion| {
        let name = Path::new(&companion.path).file_name().unwrap_or_default();
        (companion.path.as_str(), folder.join(name), companion)
    });
    let all = std::iter::once(("output", output.to_owned(), &sidecar.output)).chain(beside);
    all.filter_map(|(name, path, recorded)| match digest::of_path(&path) {
        Ok(now) if now == recorded.blake3 => None,
        Ok(now) => Some(changed(name, &recorded.blake3, &now)),
        Err(_) if !path.exists() => Some(format!("{} is missing", path.display())),
        Err(error) => Some(error.to_string()),
    })
    .collect()
}

/// A line about something that has changed.
pub(super) fn changed(key: &str, old: &str, new: &str) -> String {
    format!("{key} changed: {old} -> {new}")
}

/// A measured number as JSON. JSON has no infinity and no NaN, so these become `"NaN"`, `"inf"` and `"-inf"`.
///
/// ```
/// use obverse::store::sidecar::metric;
/// assert_eq!(metric(0.5), 0.5);
/// assert_eq!(metric(f64::NEG_INFINITY), "-inf");
/// ```
pub fn metric(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

/// The `directory` of a sidecar in the folder `sidecar_folder` for a command run in `working_folder`.
///
/// # Errors
/// `Read` when one of the folders is not there.
pub fn directory_from(sidecar_folder: &Path, working_folder: &Path) -> Result<String> {
    let working = fs::canonicalize(working_folder).map_err(Error::read(working_folder))?;
    let sidecar = fs::canonicalize(sidecar_folder).map_err(Error::read(sidecar_folder))?;
    // Relative if possible, so that a project can be moved together with its outputs.
    Ok(match sidecar.strip_prefix(&working) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => vec![".."; below.components().count()].join("/"),
        Err(_) => text(&working),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn example(inputs: Vec<Artifact>, output: Artifact) -> Sidecar {
        Sidecar {
            schema: SCHEMA.into(),
            tool: "net-tap".into(),
            version: "1.0".into(),
            command: vec!["net-tap".into(), "net".into()],
            directory: ".".into(),
            results: 1,
            resolved: Map::new(),
            request: Map::from_iter([("layer".to_owned(), "conv1".into()), ("batch".to_owned(), 128.into())]),
            seed: u64::MAX,
            inputs,
            output,
            companions: Vec::new(),
            metrics: Map::from_iter([("loss".to_owned(), metric(f64::NAN)), ("error".to_owned(), metric(0.1))]),
            wall_seconds: 1.5,
            cpu_seconds: Some(2.5),
            peak_memory_bytes: None,
            circumstances: Circumstances::default(),
        }
    }

    #[test]
    fn a_sidecar_returns_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let array = folder.path().join("a.npy");
        let written: Artifact = super::super::npy::write(&array, &[2], &[1u8, 2]).unwrap().into();
        assert_eq!(Artifact::of_path(&array).unwrap(), written);
        let sidecar = example(vec![written.clone()], written);
        let path = Sidecar::path_of(&array).unwrap();
        assert!(path.ends_with("a.npy.json"));
        sidecar.write(&path).unwrap();
        assert_eq!(Sidecar::read(&path).unwrap(), sidecar);
        let json = fs::read_to_string(&path).unwrap();
        assert!(json.contains(r#""loss": "NaN""#) && json.contains(r#""dtype": "u8""#), "{json}");
    }

    #[test]
    fn a_sidecar_lies_beside_a_file_and_inside_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Sidecar::path_of(folder.path()), Some(folder.path().join("run.json")));
        assert_eq!(Sidecar::path_of(Path::new("-")), None);
    }

    #[test]
    fn another_json_file_is_no_sidecar() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "{\"tool\": 3}").unwrap();
        assert!(Sidecar::read(&path).unwrap_err().to_string().contains("a.json"));
    }

    #[test]
    fn the_working_folder_is_told_from_the_sidecar_where_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("out/mnist");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(directory_from(&inner, folder.path()).unwrap(), "../..");
        assert_eq!(directory_from(folder.path(), folder.path()).unwrap(), ".");
        let working = fs::canonicalize(&inner).unwrap();
        assert_eq!(directory_from(folder.path(), &inner).unwrap(), working.to_str().unwrap());
    }
}
