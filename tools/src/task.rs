//! What every tool does around its work: declare inputs and parameters, ask the cache, and afterwards write the sidecar
//! and print the metrics.

use std::fmt::Debug;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use obverse::store::atomic::AtomicFolder;
use obverse::store::cache::{Freshness, Wanted, check};
use obverse::store::digest;
use obverse::store::npy::Reader;
use obverse::store::sidecar::{Artifact, SCHEMA, Sidecar, directory_from};
use obverse::store::{self, is_standard_stream};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::arguments::CommonArguments;
use crate::exit::{Failure, tool_name};

/// What a run measured, by name; see [`obverse::store::sidecar::metric`] for numbers.
pub type Metrics = Map<String, Value>;

/// A run of a tool, from its arguments to its sidecar.
///
/// ```no_run
/// # use std::path::Path;
/// # use obverse::store::npy::{Reader, Writer};
/// # use obverse_tools::{CommonArguments, Metrics, Task};
/// # fn run(common: &CommonArguments, input: &Path, output: &Path, layer: &str) -> anyhow::Result<()> {
/// let images = Reader::open(input)?;
/// let mut task = Task::begin(common, Some(output))?;
/// task.array(&images)?;
/// task.parameter("layer", layer)?;
/// if task.is_fresh()? {
///     return Ok(());
/// }
/// let writer = Writer::create(output, images.dtype(), images.row_shape())?;
/// // … the work …
/// task.finish(writer.finish()?, Metrics::new())
/// # }
/// ```
pub struct Task {
    common: CommonArguments,
    output: Option<PathBuf>,
    beside: Vec<PathBuf>,
    wanted: Wanted,
    started: Instant,
}

impl Task {
    /// Begins a run that makes `output`; `None` for tools that only measure.
    ///
    /// # Errors
    /// When both the metrics and the output would go to standard output.
    pub fn begin(common: &CommonArguments, output: Option<&Path>) -> anyhow::Result<Self> {
        if common.json && output.is_some_and(is_standard_stream) {
            bail!("--json and -o - both write to standard output; give -o a file");
        }
        let wanted = Wanted {
            tool: tool_name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            parameters: Map::new(),
            seed: 0,
            inputs: Vec::new(),
        };
        let (common, output) = (common.clone(), output.map(Path::to_owned));
        Ok(Self { common, output, beside: Vec::new(), wanted, started: Instant::now() })
    }

    /// Declares a file or folder that is read, digesting it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn input(&mut self, path: &Path) -> anyhow::Result<()> {
        self.wanted.inputs.push(Artifact::of_path(path)?);
        Ok(())
    }

    /// Declares an array that is open, standard input included.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn array(&mut self, reader: &Reader) -> anyhow::Result<()> {
        self.wanted.inputs.push(Artifact::of_array(reader)?);
        Ok(())
    }

    /// Declares a resolved parameter. Leave out what cannot change the output, such as a number of threads.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn parameter(&mut self, key: &str, value: impl Serialize + Debug) -> anyhow::Result<()> {
        let json = serde_json::to_value(&value).with_context(|| format!("parameter {key}: {value:?}"))?;
        self.wanted.parameters.insert(key.to_owned(), json);
        Ok(())
    }

    /// Declares the files that are written beside the output, without which it is not fresh.
    pub fn beside(&mut self, files: Vec<PathBuf>) {
        self.beside = files;
    }

    /// Declares the seed.
    pub fn seed(&mut self, seed: u64) {
        self.wanted.seed = seed;
    }

    /// All that decides the output: what a checkpoint must agree with for a run to go on from it.
    pub fn identity(&self) -> Value {
        let Wanted { tool, version, parameters, seed, inputs } = &self.wanted;
        let inputs: Vec<&str> = inputs.iter().map(|input| input.blake3.as_str()).collect();
        json!({"tool": tool, "version": version, "parameters": parameters, "seed": seed, "inputs": inputs})
    }

    /// Whether the output is already what this run would make. If so it says `fresh`, and prints the recorded metrics where
    /// they are asked for: the tool returns at once.
    ///
    /// # Errors
    /// When the metrics cannot be printed; with `--check`, a [`Failure`] unless the output is fresh.
    pub fn is_fresh(&self) -> anyhow::Result<bool> {
        let Some(output) = self.output.as_deref().filter(|_| !self.common.force) else {
            ensure!(!self.common.check, "--check: there is no output to be fresh; give -o");
            return Ok(false);
        };
        let freshness = match self.beside.iter().find(|file| !file.is_file()) {
            Some(file) => Freshness::Stale(vec![format!("{} is missing", file.display())]),
            None => check(output, &self.wanted),
        };
        match freshness {
            Freshness::Fresh(sidecar) => {
                self.note(&format!("{}: fresh", output.display()));
                self.print(&sidecar.metrics)?;
                Ok(true)
            }
            Freshness::Stale(reasons) if self.common.check => {
                Err(Failure(format!("{}: not fresh: {}", output.display(), reasons.join("; "))).into())
            }
            Freshness::Stale(reasons) => {
                if self.common.explain {
                    reasons.iter().for_each(|reason| eprintln!("{}: {reason}", tool_name()));
                }
                Ok(false)
            }
        }
    }

    /// Ends a run whose output file is in its place: writes the sidecar, prints the metrics.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn finish(self, written: impl Into<Artifact>, metrics: Metrics) -> anyhow::Result<()> {
        let output: Artifact = written.into();
        let path = Path::new(&output.path).to_owned();
        if let Some(sidecar) = Sidecar::path_of(&path) {
            self.sidecar(parent(&sidecar), output, &metrics)?.write(&sidecar)?;
        }
        self.conclude(&metrics)
    }

    /// Ends a run that made a folder: writes its `run.json` and puts the folder in its place.
    ///
    /// # Errors
    /// When something cannot be written; an earlier folder is then still there.
    pub fn finish_folder(self, folder: AtomicFolder, metrics: Metrics) -> anyhow::Result<()> {
        let blake3 = digest::of_folder(folder.path())?;
        let path = self.output.as_deref().unwrap_or(folder.target()).to_string_lossy().into_owned();
        let output = Artifact { path, shape: None, dtype: None, blake3 };
        // The folder under construction lies beside its target, so the way from it to here is the same.
        let sidecar = self.sidecar(folder.path(), output, &metrics)?;
        sidecar.write(&folder.path().join(digest::FOLDER_SIDECAR))?;
        folder.commit()?;
        self.conclude(&metrics)
    }

    /// Ends a run that only measured: prints the metrics.
    ///
    /// # Errors
    /// When they cannot be printed.
    pub fn finish_measurement(self, metrics: &Metrics) -> anyhow::Result<()> {
        self.conclude(metrics)
    }

    /// The sidecar that will lie in `folder`.
    fn sidecar(&self, folder: &Path, output: Artifact, metrics: &Metrics) -> anyhow::Result<Sidecar> {
        let Wanted { tool, version, parameters, seed, inputs } = self.wanted.clone();
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        let (cpu_seconds, peak_memory_bytes) = cost().unzip();
        Ok(Sidecar {
            schema: SCHEMA.to_owned(),
            command: std::iter::once(tool.clone()).chain(arguments).collect(),
            tool,
            version,
            directory: directory_from(folder, Path::new("."))?,
            parameters,
            seed,
            inputs,
            output,
            metrics: metrics.clone(),
            wall_seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds,
            peak_memory_bytes,
        })
    }

    fn conclude(&self, metrics: &Metrics) -> anyhow::Result<()> {
        let output = self.output.as_deref().map(|output| output.display().to_string());
        let name = output.unwrap_or_else(|| "done".to_owned());
        let shown: String = metrics.iter().map(|(key, value)| format!(", {key} {}", shortened(value))).collect();
        self.note(&format!("{name}: {:.1} s{shown}", self.started.elapsed().as_secs_f64()));
        self.print(metrics)
    }

    /// Says something on standard error, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.common.quiet {
            eprintln!("{}: {text}", tool_name());
        }
    }

    fn print(&self, metrics: &Metrics) -> anyhow::Result<()> {
        if self.common.json {
            let json = serde_json::to_string(metrics).context("the metrics")?;
            writeln!(stdout(), "{json}").map_err(store::Error::write(Path::new("-")))?;
        }
        Ok(())
    }
}

/// Seconds of processors and the most bytes that this process has taken so far.
fn cost() -> Option<(f64, u64)> {
    /// The unit of the largest resident size: a kilobyte, but for Apple's systems.
    const UNIT: u64 = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    let peak = u64::try_from(usage.max_rss()).ok()?;
    Some((seconds(usage.user_time()) + seconds(usage.system_time()), peak * UNIT))
}

/// A metric as people read it: of a long list only how many values it has.
fn shortened(value: &Value) -> Value {
    const MOST: usize = 10;
    match value {
        Value::Array(values) if values.len() > MOST => format!("{} values", values.len()).into(),
        Value::Array(values) => values.iter().map(shortened).collect(),
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), shortened(value))).collect(),
        _ => value.clone(),
    }
}

/// The file of another kind beside an output: `a.npy` -> `a.KIND.npy`.
pub fn companion(output: &Path, kind: &str) -> PathBuf {
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".zst").unwrap_or(&name);
    let stem = stem.strip_suffix(".npy").unwrap_or(stem);
    output.with_file_name(format!("{stem}.{kind}.npy"))
}

/// The folder a path lies in, `.` for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
