//! `nearest`: the rows of a pool that are nearest to each query.

use crate::request::{Input, Output};
use std::path::Path;

use anyhow::{bail, ensure};
use clap::{Parser, ValueEnum};
use obverse::similarity::Metric;
use obverse::similarity::nearest::{Nearest, search};
use obverse::store::atomic::AtomicFolder;
use obverse::store::npy::{Dtype, Reader, Writer, require_finite, write};
use obverse::store::sidecar::metric;

use crate::{CommonArguments, Metrics, Progress, Task, check_interrupted};

/// Values of the pool read at a time.
const BLOCK: usize = 1 << 22;

/// Find the rows of a pool that are nearest to each query: images, or features
///
/// Writes a folder with neighbours.npy (N, K), the rows' numbers in the pool, nearest first, and distances.npy (N, K): the mean
/// absolute difference (l1), the root of the sum of squares (l2), or 1 - SSIM of images (ssim). Bytes are scaled to 0..1.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  mean_distance              the distance to the nearest row, averaged over queries

Examples:
  nearest samples.npy train-images.npy --metric l2 -k 5 -o neighbours
  nearest test-fc3.npy samples-fc3.npy --metric l1 --group 10 -k 1 --json -o closest
  nearest test-fc3.npy samples-fc3.npy --metric l1 --group 10 -k 6 --gather samples.npy -o best"
)]
pub struct Arguments {
    /// The queries, (N, …)
    query: Input,
    /// The pool, (M, …), rows of the same shape
    pool: Input,
    /// How rows are compared
    #[arg(long, value_enum)]
    metric: MetricArgument,
    /// How many neighbours
    #[arg(short, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    k: u32,
    /// The pool has N rows per query, one query after the other; search only the query's own rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    group: Option<u32>,
    /// Compare row with row: the same as --group 1
    #[arg(long, conflicts_with_all = ["group", "k"])]
    paired: bool,
    /// Another array with one row for each row of the pool, such as the images of features: the neighbours' rows are written to
    /// gathered.npy, (N K, …)
    #[arg(long, value_name = "X.npy")]
    gather: Option<Input>,
    /// The folder to write
    #[arg(short, long, value_name = "OUT")]
    output: Output,
    #[command(flatten)]
    common: CommonArguments,
}

/// `--metric`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MetricArgument {
    /// Mean |a - b|
    L1,
    /// Root of the sum of (a - b)^2
    L2,
    /// 1 - SSIM, of images
    Ssim,
}

impl MetricArgument {
    fn metric(self, rows: &Reader) -> anyhow::Result<Metric> {
        Ok(match (self, rows.row_shape()) {
            (Self::L1, _) => Metric::L1,
            (Self::L2, _) => Metric::L2,
            (Self::Ssim, &[channels, height, width]) => Metric::Ssim { channels, height, width },
            (Self::Ssim, &[height, width]) => Metric::Ssim { channels: 1, height, width },
            (Self::Ssim, _) => {
                let shape = rows.shape();
                bail!("{}: --metric ssim: expected images (N, C, H, W), found shape {shape:?}", rows.path().display())
            }
        })
    }
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (queries, pool) = (Reader::open(&arguments.query)?, Reader::open(&arguments.pool)?);
    pool.require_row_shape(queries.row_shape(), "rows, as the queries'")?;
    let length = queries.row_len();
    ensure!(
        length > 0,
        "{}: expected values in each row, found shape {:?}",
        arguments.query.display(),
        queries.shape()
    );
    let row_metric = arguments.metric.metric(&queries)?;
    let group = if arguments.paired { Some(1) } else { arguments.group.map(|group| group as usize) };
    let (k, count) = (arguments.k as usize, queries.rows());
    let among = group.unwrap_or(pool.rows());
    let wanted = group.map_or(pool.rows(), |group| group * count);
    let path = arguments.pool.display();
    ensure!(pool.rows() == wanted, "{path}: expected {wanted} rows, {among} per query, found {}", pool.rows());
    ensure!(k <= among, "-k: expected at most {among} neighbours, as many as a query's rows, found {k}");
    let gather = arguments.gather.as_deref().map(Reader::open).transpose()?;
    if let Some(gather) = &gather {
        let (found, wanted) = (gather.rows(), pool.rows());
        ensure!(
            found == wanted,
            "{}: expected {wanted} rows, one per row of the pool, found {found}",
            gather.path().display()
        );
    }
    let mut task = Task::begin(&arguments.common, Some(&arguments.output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let rows = Rows { reader: &queries, length }.read(0, count)?;
    let mut nearest = vec![Nearest::new(k); count];
    let mut progress = Progress::new(pool.rows() as u64, "rows", arguments.common.quiet);
    let pool_rows = Rows { reader: &pool, length };
    let block = (BLOCK / length).max(1);
    match group {
        None => {
            for first in (0..pool.rows()).step_by(block) {
                check_interrupted()?;
                let size = block.min(pool.rows() - first);
                search(row_metric, &rows, &pool_rows.read(first, size)?, length, first, &mut nearest);
                progress.advance(size as u64);
            }
        }
        Some(group) => {
            for (query, (row, nearest)) in rows.chunks_exact(length).zip(&mut nearest).enumerate() {
                check_interrupted()?;
                let first = query * group;
                let found = std::slice::from_mut(nearest);
                search(row_metric, row, &pool_rows.read(first, group)?, length, first, found);
                progress.advance(group as u64);
            }
        }
    }
    let all = || nearest.iter().flat_map(Nearest::found);
    let neighbours: Vec<i64> = all().map(|found| found.row as i64).collect();
    let distances: Vec<f64> = all().map(|found| found.distance).collect();
    let folder = AtomicFolder::create(&arguments.output)?;
    write(&folder.path().join("neighbours.npy"), &[count, k], &neighbours)?;
    write(&folder.path().join("distances.npy"), &[count, k], &distances)?;
    if let Some(gather) = gather {
        let mut writer = Writer::create(&folder.path().join("gathered.npy"), gather.dtype(), gather.row_shape())?;
        for found in all() {
            let mut row = Reader::open(gather.path())?;
            row.seek(found.row);
            writer.write_bytes(&row.read_bytes(1)?)?;
        }
        writer.finish()?;
    }
    let mean = distances.chunks_exact(k).map(|row| row[0]).sum::<f64>() / count.max(1) as f64;
    task.finish_folder(folder, Metrics::from_iter([("mean_distance".to_string(), metric(mean))]))
}

/// The rows of an array as numbers, bytes in 0..1.
struct Rows<'a> {
    reader: &'a Reader,
    length: usize,
}

impl Rows<'_> {
    fn read(&self, first: usize, count: usize) -> anyhow::Result<Vec<f64>> {
        if self.reader.dtype() == Dtype::U8 {
            let bytes: Vec<u8> = self.reader.read_row_range_at(first, count)?;
            return Ok(bytes.into_iter().map(|byte| f64::from(byte) / 255.0).collect());
        }
        let values: Vec<f64> = self.reader.read_row_range_as_float_at(first, count)?;
        require_finite(Path::new(self.reader.path()), &values, first, self.length)?;
        Ok(values)
    }
}
