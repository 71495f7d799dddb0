//! Arguments that tools share. A tool flattens [`CommonArguments`], and those of the others that it uses.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use obverse::tensor::device;
use serde_json::{Value, json};

use crate::request::ChangesNothing;

/// What every tool understands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CommonArguments {
    // Read before the tool runs, because the tool runs in one of these threads (`exit::run_tool`).
    /// How many threads to compute with; the result is the same for any number [default: all cores]
    #[arg(long, value_name = "N", add = ChangesNothing)]
    pub threads: Option<NonZeroUsize>,
    /// Read every file again for its digest, even if it looks unchanged
    #[arg(long, add = ChangesNothing)]
    pub rehash: bool,
    /// The most memory that inputs may need, such as 8G or 500M [default: what the machine has]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, add = ChangesNothing)]
    pub memory: Option<u64>,
    /// Print the metrics as one JSON object on standard output
    #[arg(long, add = ChangesNothing)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(long, add = ChangesNothing)]
    pub quiet: bool,
    /// Run even if the output is fresh
    #[arg(long, add = ChangesNothing)]
    pub force: bool,
    /// Replace the output even if this suite did not write it
    #[arg(long, add = ChangesNothing)]
    pub overwrite: bool,
    /// Say which inputs or arguments have changed since the output was made
    #[arg(long, add = ChangesNothing)]
    pub explain: bool,
    /// Only check whether the output is fresh: exit code 0 if it is, 1 if not
    #[arg(long, conflicts_with = "force", add = ChangesNothing)]
    pub check: bool,
}

/// `--device`, for tools that run networks.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeviceArgument {
    /// Where to compute: cpu, gpu (the first that is found), vulkan, metal, cuda or rocm, with :N for the N-th of several; a build with
    /// `--features gpu` has them
    #[arg(long, value_name = "NAME", default_value = "cpu", env = "OBVERSE_DEVICE", hide_env_values = true)]
    pub device: String,
}

impl DeviceArgument {
    /// The name, unless it is the processor.
    pub fn name(&self) -> Option<&str> {
        (self.device != "cpu").then_some(self.device.as_str())
    }

    /// Opens the device; `None` of the processor.
    ///
    /// # Errors
    /// A device that this build or machine does not have.
    pub fn open(&self) -> anyhow::Result<Option<Value>> {
        let Some(name) = self.name() else { return Ok(None) };
        let found = device::open(name).map_err(|reason| anyhow!("--device {reason}"))?;
        let (name, processor, driver, precision) = (found.name, found.processor, found.driver, found.precision);
        Ok(Some(json!({"name": name, "processor": processor, "driver": driver, "precision": precision})))
    }
}

/// `--restart`, for tools that keep checkpoints.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct RestartArgument {
    /// Discard the checkpoint and start again, for example if it is damaged or belongs to other arguments
    #[arg(long, add = ChangesNothing)]
    pub restart: bool,
}

/// `--checkpoint-minutes` and `--restart`, for tools that keep checkpoints as they go.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CheckpointArguments {
    /// Minutes between checkpoints
    #[arg(long, default_value_t = 5.0, value_name = "M", add = ChangesNothing)]
    checkpoint_minutes: f64,
    #[command(flatten)]
    restart: RestartArgument,
}

impl CheckpointArguments {
    /// The time between checkpoints.
    pub fn every(self) -> Duration {
        Duration::from_secs_f64((60.0 * self.checkpoint_minutes).clamp(0.0, 1e9))
    }

    /// Whether an existing checkpoint is discarded.
    pub fn restarts(self) -> bool {
        self.restart.restart
    }
}

/// `--seed`, for tools that draw random numbers.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct SeedArgument {
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// `--batch`, for tools that compute a batch of rows at a time.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct BatchArgument {
    /// Rows to compute at a time [default: depends on the tool]
    #[arg(long, value_name = "N", add = ChangesNothing)]
    pub batch: Option<NonZeroUsize>,
}

impl BatchArgument {
    /// The number given, or the tool's own.
    pub fn or(self, default: usize) -> usize {
        self.batch.map_or(default, NonZeroUsize::get)
    }
}

/// A number of bytes: 8G, 500M, 1048576.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let plain = text.trim_end_matches("iB").trim_end_matches('B');
    let unit = units.into_iter().find_map(|(unit, shift)| Some((plain.strip_suffix(unit)?, shift)));
    let (number, shift) = unit.unwrap_or((plain, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| "expected a number of bytes, such as 8G or 500M".to_owned())
}

/// Rows or channels: FIRST..END, at least one.
pub(crate) fn parse_places(text: &str) -> Result<Range<usize>, String> {
    let ends = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    ends.filter(|places: &Range<usize>| places.start < places.end)
        .ok_or_else(|| "expected FIRST..END, such as 0..1000".to_owned())
}

/// `--shard`, for tools whose rows can be computed separately.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ShardArgument {
    /// Compute only part I of N, from 1/N to N/N; `npy-cat` joins the parts into the whole, byte for byte
    #[arg(long, value_name = "I/N", default_value_t)]
    pub shard: Shard,
}

/// Part I of N, counted from 1.
///
/// ```
/// use obverse_tools::Shard;
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!(shard.rows(10), 3..6);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// The rows of this part of `total` rows. The parts follow each other without gap and differ by one row at most.
    pub fn rows(self, total: usize) -> Range<usize> {
        // In 128 bits no product overflows, and a quotient is at most `total`.
        let bound = |index: usize| (total as u128 * index as u128 / self.count as u128) as usize;
        bound(self.index - 1)..bound(self.index)
    }

    /// Which part it is, from 1.
    pub fn index(self) -> usize {
        self.index
    }

    /// How many parts there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether it is the only part.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 1, count: 1 }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 1 to N, such as 1/4".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}
