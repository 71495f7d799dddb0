//! Joins `.npy` parts along the first axis, a few rows at a time.

use crate::request::{Input, Output};
use std::ops::Range;
use std::path::Path;

use crate::arguments::parse_places;
use crate::parts::{PartsArgument, check};
use crate::{CommonArguments, Metrics, Progress, Task, check_interrupted};
use anyhow::{Context, bail};
use clap::Parser;
use obverse::store::is_standard_stream;
use obverse::store::npy::{Dtype, Pixels, Reader, Writer};

/// Bytes copied at a time.
const BLOCK: usize = 1 << 23;

/// Join .npy arrays along the first axis
///
/// The parts must have the same type and, except for the first axis, the same shape. They are copied a few rows at a time, so
/// memory does not grow with their number. Parts made with --shard 1/N to N/N join into the same bytes as the whole. It is an error
/// if one of them is missing, given twice or out of order. Files without shard metadata are not checked.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  rows, parts                how many rows, of how many files

Examples:
  npy-cat part-1.npy part-2.npy part-3.npy -o whole.npy
  npy-cat train-images.npy --head 1000 -o first-thousand.npy
  npy-cat train-images.npy --rows 1000..2000 -o second-thousand.npy"
)]
pub struct Arguments {
    /// The parts in order: .npy, .npy.zst, or - for standard input
    #[arg(required = true, value_name = "PART.npy")]
    parts: Vec<Input>,
    /// The joined array: .npy, .npy.zst, or - for standard output
    #[arg(short, long, value_name = "OUT.npy")]
    output: Output,
    /// Keep only these rows of the joined array, counted from 0, END excluded
    #[arg(long, value_name = "FIRST..END", value_parser = parse_places)]
    rows: Option<Range<usize>>,
    /// Keep only the first N rows of the joined array
    #[arg(long, value_name = "N", conflicts_with = "rows")]
    head: Option<usize>,
    #[command(flatten)]
    any: PartsArgument,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { parts, output, rows, head, any, common } = arguments;
    let mut sources = parts.iter().map(|part| Source::open(part)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = sources.first().context("no parts")?;
    for source in &sources {
        source.require_alike(first)?;
    }
    let total: usize = sources.iter().map(|source| source.rows).sum();
    if let Some(rows) = rows.as_ref().filter(|rows| rows.end > total) {
        bail!("--rows {}..{}: the parts have {total} rows together", rows.start, rows.end);
    }
    let mut task = Task::begin(&common, Some(&output))?;
    // Taking rows or copying one file does not ask for a whole.
    if parts.len() > 1 && rows.is_none() && head.is_none() && !any.any_parts {
        check(task.inputs().iter().map(|input| (Path::new(&input.path), input.blake3.as_str())), true)?;
    }
    if task.is_fresh()? {
        return Ok(());
    }
    let rows = rows.unwrap_or(0..head.map_or(total, |head| head.min(total)));
    let progress = Progress::new(rows.len() as u64, "rows", common.quiet);
    let metrics =
        Metrics::from_iter([("rows".to_owned(), rows.len().into()), ("parts".to_owned(), parts.len().into())]);
    let joined = join(&mut sources, rows, &output, progress)?;
    task.finish_array(joined, metrics)
}

/// A part. Its file is open only while it is read, because a process may hold only a few hundred. Standard input stays open.
struct Source<'a> {
    path: &'a Path,
    dtype: Dtype,
    shape: Vec<usize>,
    rows: usize,
    pixels: Option<Pixels>,
    piped: Option<Reader>,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> anyhow::Result<Self> {
        let reader = Reader::open(path)?;
        let (dtype, shape, rows) = (reader.dtype(), reader.shape().to_vec(), reader.rows());
        let pixels = Pixels::recorded(&reader);
        Ok(Self { path, dtype, shape, rows, pixels, piped: is_standard_stream(path).then_some(reader) })
    }

    /// Checks that its rows have the type and shape of the first part's.
    fn require_alike(&self, first: &Self) -> anyhow::Result<()> {
        let rank = first.shape.len().max(1);
        if self.shape.len() == rank && self.shape[1..] == first.shape[1..] && self.dtype == first.dtype {
            return Ok(());
        }
        let reader = Reader::open(self.path)?;
        reader.require_rank(rank, "an array with rows, as the first part")?;
        reader.require_row_shape(&first.shape[1..], "rows, as in the first part,")?;
        Ok(reader.require_dtype(&[first.dtype])?)
    }

    fn reader(&mut self) -> anyhow::Result<Reader> {
        Ok(self.piped.take().map_or_else(|| Reader::open(self.path), Ok)?)
    }
}

/// Copies `rows`, counted over all parts, a block at a time.
fn join(sources: &mut [Source], rows: Range<usize>, output: &Path, mut progress: Progress) -> anyhow::Result<Writer> {
    let first = sources.first().context("no parts")?;
    let row_shape = &first.shape[1..];
    let row_bytes = row_shape.iter().fold(first.dtype.size(), |bytes, &axis| bytes.saturating_mul(axis));
    let block = (BLOCK / row_bytes.max(1)).max(1);
    let mut writer = Writer::create(output, first.dtype, row_shape)?;
    // Images whose parts all state one range and layout.
    let pixels: Vec<Option<Pixels>> = sources.iter().map(|source| source.pixels).collect();
    writer.set_pixels(pixels[0].filter(|_| pixels.windows(2).all(|pair| pair[0] == pair[1])));
    let mut before = 0;
    for source in sources {
        let here = rows.start.max(before)..rows.end.min(before + source.rows);
        let start_of_source = before;
        before += source.rows;
        if here.is_empty() {
            continue;
        }
        let mut reader = source.reader()?;
        reader.seek(here.start - start_of_source);
        for start in here.clone().step_by(block) {
            check_interrupted()?;
            let count = block.min(here.end - start);
            writer.write_bytes(&reader.read_bytes(count)?)?;
            progress.advance(count as u64);
        }
    }
    Ok(writer)
}
