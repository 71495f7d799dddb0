//! What every tool does around its work: declare inputs and parameters, ask the cache, and then write the sidecar and print the
//! metrics.

mod circumstances;
mod device;
mod metrics;
mod stand;

use std::fmt::Debug;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use obverse::store::atomic::AtomicFolder;
use obverse::store::cache::{Freshness, Wanted, check};
use obverse::store::digest;
use obverse::store::npy::{self, Writer};
use obverse::store::sidecar::{Artifact, SCHEMA, Sidecar, directory_from};
use obverse::store::staged::Staged;
use obverse::store::{self, is_standard_stream};
use obverse::train::schedule::Schedule;
use serde::Serialize;
use serde_json::{Map, Value, json};

use circumstances::{circumstances, cost};
use device::DEVICE;
use metrics::{shortened, with_earlier_names};
use stand::{Stand, digest_of, stands};

use crate::arguments::CommonArguments;
use crate::exit::{Failure, say, tool_name};
use crate::owned::{self, Lock};
use crate::request::Request;

/// The measures of a run, by name; see [`obverse::store::sidecar::metric`] for numbers.
pub type Metrics = Map<String, Value>;

/// A run of a tool, from its arguments to its sidecar. It depends on the request of the process ([`Request`]); a tool adds only what
/// its arguments do not name.
///
/// ```no_run
/// # use std::path::Path;
/// # use obverse::store::npy::{Reader, Writer};
/// # use obverse_tools::{CommonArguments, Metrics, Task};
/// # fn run(common: &CommonArguments, input: &Path, output: &Path) -> anyhow::Result<()> {
/// let images = Reader::open(input)?;
/// let mut task = Task::begin(common, Some(output))?;
/// if task.is_fresh()? {
///     return Ok(());
/// }
/// let writer = Writer::create(output, images.dtype(), images.row_shape())?;
/// // … the work …
/// task.finish_array(writer, Metrics::new())
/// # }
/// ```
pub struct Task {
    common: CommonArguments,
    output: Option<PathBuf>,
    companions: Vec<PathBuf>,
    wanted: Wanted,
    /// The arguments that the sidecar records.
    arguments: Vec<String>,
    /// The state of the files that are read, as it was when they were digested.
    read: Vec<(PathBuf, Vec<Stand>)>,
    lock: Option<Lock>,
    /// The companions that did not exist before this run.
    new: Vec<PathBuf>,
    started: Instant,
}

impl Drop for Task {
    /// A failed run leaves nothing beside the output that was not there before.
    fn drop(&mut self) {
        self.new.iter().for_each(|companion| drop(fs::remove_file(companion)));
    }
}

impl Task {
    /// Begins a run that makes `output`; `None` for tools that only measure. The inputs that the arguments name are digested.
    ///
    /// # Errors
    /// When both the metrics and the output would go to standard output; an input that cannot be read; an output that is also an
    /// input, or whose name cannot be recorded.
    pub fn begin(common: &CommonArguments, output: Option<&Path>) -> anyhow::Result<Self> {
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        Self::of_request(common, output, Request::current(), arguments.collect())
    }

    /// Begins a run that makes `output` on the way to another one, as this tool would with these arguments.
    ///
    /// # Errors
    /// As [`Task::begin`].
    pub fn of_request(
        common: &CommonArguments,
        output: Option<&Path>,
        request: Request,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        if common.json && output.is_some_and(is_standard_stream) {
            bail!("--json and -o - both write to standard output; give -o a file");
        }
        let Request { values, defaults, inputs, outputs } = request;
        let wanted = Wanted {
            tool: tool_name().to_owned(),
            results: crate::results_of(tool_name()),
            request: values,
            defaults,
            ..Wanted::default()
        };
        let started = Instant::now();
        let (common, companions, read) = (common.clone(), Vec::new(), Vec::new());
        let mut task = Self {
            common,
            output: output.map(Path::to_owned),
            companions,
            wanted,
            arguments,
            read,
            lock: None,
            new: Vec::new(),
            started,
        };
        let Some(output) = output else { return Ok(task) };
        let endings = outputs.iter().find(|(path, _)| path == output).map_or(&[][..], |(_, endings)| endings);
        owned::check_name(output, endings)?;
        owned::check_apart(output, inputs.iter().map(|(argument, path)| (argument.as_str(), path.as_path())))?;
        for (argument, path) in &inputs {
            task.input(argument, path)?;
        }
        Ok(task)
    }

    /// Declares and digests a file or folder that is read although no argument of type [`crate::Input`] names it; `argument` is the one
    /// that leads to it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn input(&mut self, argument: &str, path: &Path) -> anyhow::Result<()> {
        let artifact = if is_standard_stream(path) {
            // Its digest is known only once the tool has read it.
            Artifact::known(path, String::new())
        } else {
            self.read.push((path.to_owned(), stands(path)));
            Artifact::of_path(path)?
        };
        self.wanted.inputs.push(Artifact { argument: Some(argument.to_owned()), ..artifact });
        Ok(())
    }

    /// What is read, with its digests.
    pub fn inputs(&self) -> &[Artifact] {
        &self.wanted.inputs
    }

    /// Records a value that presets, defaults or the files themselves decide. It decides freshness like the request.
    ///
    /// # Errors
    /// A value without a JSON form.
    pub fn resolved(&mut self, key: &str, value: impl Serialize + Debug) -> anyhow::Result<()> {
        let json = serde_json::to_value(&value).with_context(|| format!("{key}: {value:?}"))?;
        self.wanted.resolved.insert(key.to_owned(), json);
        Ok(())
    }

    /// Declares the files that are written beside the output; it is not fresh without them.
    pub fn beside(&mut self, files: Vec<PathBuf>) {
        self.companions = files;
    }

    /// All that decides the output, except the arguments in `without`. A run continues from a checkpoint only if this agrees.
    fn identity_without(&self, without: &[&str]) -> Value {
        let Wanted { tool, results, request, resolved, inputs, .. } = &self.wanted;
        // A run goes on from the checkpoint of another device.
        let (mut request, mut resolved) = (request.clone(), resolved.clone());
        request.retain(|key, _| key != DEVICE && !without.contains(&key.as_str()));
        resolved.remove(DEVICE);
        let inputs: Vec<_> = inputs.iter().map(|input| (&input.argument, &input.blake3)).collect();
        json!({"tool": tool, "results": results, "request": request, "resolved": resolved, "inputs": inputs})
    }

    /// What a training's checkpoint must agree with. The length of the run does not count if the schedule does not depend on it, nor do
    /// the files that are only evaluated. So a longer run continues from the checkpoint of a shorter one.
    pub fn identity_of_training(&self, schedule: Schedule) -> Value {
        const MEASURED: [&str; 4] = ["test", "test-labels", "test-targets", "test-condition"];
        let mut identity = self.identity_without(&["epochs", "updates", "stop-after"]);
        if schedule.depends_on_length() {
            identity = self.identity_without(&["stop-after"]);
        } else {
            for pace in ["/resolved/pace", "/resolved/settings/pace"] {
                if let Some(Value::Object(pace)) = identity.pointer_mut(pace) {
                    pace.remove("updates");
                }
            }
        }
        if let Some(Value::Array(inputs)) = identity.get_mut("inputs") {
            inputs.retain(|input| !MEASURED.iter().any(|name| input[0] == *name));
        }
        identity
    }

    /// All that decides the output: what a checkpoint must agree with.
    pub fn identity(&self) -> Value {
        self.identity_without(&[])
    }

    /// Whether the output is already what this run would make. If so, it says `fresh`, prints the recorded metrics if asked to, and the
    /// tool returns at once. If not, the output is locked until the task ends.
    ///
    /// # Errors
    /// When the metrics cannot be printed; with `--check`, a [`Failure`] unless the output is fresh; an output that the suite did not
    /// write and may not replace.
    pub fn is_fresh(&mut self) -> anyhow::Result<bool> {
        let Some(output) = self.output.clone() else {
            ensure!(!self.common.check, "--check: there is no output to check; give -o");
            return Ok(false);
        };
        if !self.common.check {
            let waiting = || self.note(&format!("{}: another run makes it; waiting", output.display()));
            self.lock = Lock::take(&output, waiting)?;
            owned::settle(&output, &self.companions, self.lock.is_some());
        }
        match check(&output, &self.wanted) {
            Freshness::Fresh(sidecar) if !self.common.force && self.has_companions(&sidecar) => {
                self.note(&format!("{}: fresh", output.display()));
                self.print(&sidecar.metrics)?;
                self.lock = None;
                Ok(true)
            }
            Freshness::Stale(reasons) if self.common.check => {
                Err(Failure(format!("{}: not fresh: {}", output.display(), reasons.join("; "))).into())
            }
            freshness => {
                if let (Freshness::Stale(reasons), true) = (freshness, self.common.explain) {
                    reasons.iter().for_each(|reason| say(reason));
                }
                owned::check_replaceable(&output, &self.companions, self.common.overwrite)?;
                self.lock.as_mut().map_or(Ok(()), Lock::claim)?;
                self.new = self.companions.iter().filter(|companion| !companion.exists()).cloned().collect();
                Ok(false)
            }
        }
    }

    /// Whether a sidecar records every file that belongs beside the output.
    fn has_companions(&self, sidecar: &Sidecar) -> bool {
        let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
        let recorded: Vec<_> = sidecar.companions.iter().map(|artifact| name(Path::new(&artifact.path))).collect();
        self.companions.iter().all(|companion| recorded.contains(&name(companion)))
    }

    /// Checks that the inputs have not changed since the run began, so that the sidecar describes what was read.
    ///
    /// # Errors
    /// A [`Failure`] that names what changed.
    pub fn verify_inputs(&self) -> anyhow::Result<()> {
        let digested = self.wanted.inputs.iter().filter(|input| !is_standard_stream(Path::new(&input.path)));
        for ((path, before), input) in self.read.iter().zip(digested) {
            // A file that only looks changed is read again.
            let same = stands(path) == *before || digest_of(path).is_ok_and(|now| now == input.blake3);
            if !same {
                let shown = path.display();
                return Err(Failure(format!(
                    "{shown}: it changed during the run, so nothing was written; run it again"
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Ends a run with an array: puts it in its place if the inputs are unchanged, writes the sidecar, prints the metrics.
    ///
    /// # Errors
    /// An input that changed during the run; when something cannot be written.
    pub fn finish_array(self, array: Writer, metrics: Metrics) -> anyhow::Result<()> {
        self.finish_with(|| Ok(array.stage()?), metrics)
    }

    /// Ends a run with the file that `stage` makes: puts it and its sidecar in their places if the inputs are unchanged, and prints the
    /// metrics.
    ///
    /// # Errors
    /// An input that changed during the run; those of `stage`; when something cannot be written. If the file or its sidecar cannot be
    /// written, what was there before is still there.
    pub fn finish_with(
        mut self,
        stage: impl FnOnce() -> anyhow::Result<Staged>,
        metrics: Metrics,
    ) -> anyhow::Result<()> {
        self.verify_inputs()?;
        let staged = stage()?;
        let artifact = staged.artifact().clone();
        let path = Path::new(&artifact.path);
        match Sidecar::path_of(path).filter(|_| !owned::is_device(path)) {
            None => staged.place()?,
            Some(sidecar) => {
                let announced = self.sidecar(parent(&sidecar), artifact, &metrics)?.announce(&sidecar)?;
                staged.place()?;
                // The companions now belong to the output.
                self.new.clear();
                announced.take_place()?;
            }
        }
        self.conclude(&metrics)
    }

    /// Ends a run that made a folder: writes its `run.json` and puts the folder in its place.
    ///
    /// # Errors
    /// An input that changed during the run; when something cannot be written. An earlier folder is then still there.
    pub fn finish_folder(self, folder: AtomicFolder, metrics: Metrics) -> anyhow::Result<()> {
        self.verify_inputs()?;
        let output = Artifact::of_folder(self.output.as_deref().unwrap_or(folder.target()), folder.path())?;
        // The folder under construction lies beside its target, so relative paths from either are the same.
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

    /// The sidecar, to be written into `folder`.
    fn sidecar(&self, folder: &Path, output: Artifact, metrics: &Metrics) -> anyhow::Result<Sidecar> {
        let Wanted { tool, results, request, resolved, inputs, .. } = self.wanted.clone();
        let (cpu_seconds, peak_memory_bytes) = cost().unzip();
        Ok(Sidecar {
            schema: SCHEMA.to_owned(),
            command: std::iter::once(tool.clone()).chain(self.arguments.iter().cloned()).collect(),
            tool,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            results,
            directory: directory_from(folder, Path::new("."))?,
            seed: request.get("seed").and_then(Value::as_u64).unwrap_or(0),
            request,
            resolved,
            inputs: inputs.into_iter().map(with_piped).collect(),
            output,
            companions: self.companions.iter().map(|path| Artifact::of_path(path)).collect::<store::Result<_>>()?,
            metrics: metrics.clone(),
            wall_seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds,
            peak_memory_bytes,
            circumstances: circumstances(),
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
            say(text);
        }
    }

    fn print(&self, metrics: &Metrics) -> anyhow::Result<()> {
        if self.common.json {
            let json = serde_json::to_string(&with_earlier_names(metrics)).context("the metrics")?;
            writeln!(stdout(), "{json}").map_err(store::Error::write(Path::new("-")))?;
        }
        Ok(())
    }
}

/// An input with its digest filled in if it came through standard input.
fn with_piped(input: Artifact) -> Artifact {
    let piped = npy::piped().filter(|_| is_standard_stream(Path::new(&input.path)));
    match piped {
        Some(array) => Artifact { argument: input.argument, ..array.into() },
        None => input,
    }
}

/// The name of a file of another kind beside an output: `a.npy` -> `a.KIND.npy`.
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
