//! Joins `.npy` parts along the first axis, a few rows at a time.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use obverse::store::npy::{Reader, Writer};
use obverse_tools::{CommonArguments, Metrics, Progress, Task, check_interrupted};

/// Bytes copied at a time.
const BLOCK: usize = 1 << 23;

/// Join .npy arrays along the first axis
///
/// The parts must have the same type and the same shape but for the first axis. They are copied a few rows at a time, so
/// memory does not grow with their number. Parts made with --shard 1/N to N/N join to what the whole would have been.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The parts in order: .npy, .npy.zst, or - for standard input
    #[arg(required = true, value_name = "PART.npy")]
    parts: Vec<PathBuf>,
    /// The joined array: .npy, .npy.zst, or - for standard output
    #[arg(short, long, value_name = "OUT.npy")]
    output: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { parts, output, common } = arguments;
    let mut readers = parts.iter().map(|part| Reader::open(part)).collect::<Result<Vec<_>, _>>()?;
    let first = readers.first().context("no parts")?;
    for reader in &readers {
        reader.require_rank(first.shape().len().max(1), "an array with rows, as the first part")?;
        reader.require_row_shape(first.row_shape(), "rows, as in the first part,")?;
        reader.require_dtype(&[first.dtype()])?;
    }
    let mut task = Task::begin(&common, Some(&output))?;
    readers.iter().try_for_each(|reader| task.array(reader))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let rows = readers.iter().map(|reader| reader.rows() as u64).sum();
    let written = join(&mut readers, &output, Progress::new(rows, "rows", common.quiet))?;
    let metrics = Metrics::from_iter([("rows".to_owned(), rows.into()), ("parts".to_owned(), parts.len().into())]);
    task.finish(written, metrics)
}

fn join(readers: &mut [Reader], output: &Path, mut progress: Progress) -> anyhow::Result<obverse::store::npy::Written> {
    let first = readers.first().context("no parts")?;
    let row_bytes = first.row_len().saturating_mul(first.dtype().size());
    let block = (BLOCK / row_bytes.max(1)).max(1);
    let mut writer = Writer::create(output, first.dtype(), first.row_shape())?;
    for reader in readers {
        for start in (0..reader.rows()).step_by(block) {
            check_interrupted()?;
            writer.write_bytes(&reader.read_bytes(block)?)?;
            progress.advance(block.min(reader.rows() - start) as u64);
        }
    }
    Ok(writer.finish()?)
}

obverse_tools::main!(Arguments, run);
