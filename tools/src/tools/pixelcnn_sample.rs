//! `pixelcnn-sample`: draws images from a density model, whole or completing upper parts.

use crate::request::{Input, Output};

use anyhow::{Context, ensure};
use clap::Parser;
use obverse::data::batches::ImageFile;
use obverse::density::sampling::{Draws, sample};
use obverse::density::{Architecture, Condition, PixelCnn};
use obverse::store::npy::{Dtype, Reader, Scalar, Writer, require_finite};
use obverse::tensor::{Batch, Element, channels_first};
use rayon::prelude::*;

use crate::{Metrics, Precision, RowsArguments, SeedArgument, Task};

/// Draw images from a model that pixelcnn-fit has trained.
///
/// Writes 8-bit images (N, C, H, W). With a condition, --count images for each of its rows, one row after the other. Every layer
/// keeps what it has computed, so that a pixel costs a pixel's work; an image's draws depend on the seed and its number alone.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  images                     how many images

Examples:
  pixelcnn-sample fc3-model --condition test-fc3.npy --count 10 -o samples.npy
  net-tap net samples.npy --layer fc3 -o samples-fc3.npy
  nearest test-fc3.npy samples-fc3.npy --metric l1 --group 10 -o closest
  pixelcnn-sample density --count 64 -o drawn.npy
  pixelcnn-sample density --complete test-images.npy --rows-kept 14 -o completed.npy"
)]
pub struct Arguments {
    /// The model's folder
    model: Input,
    /// What the images are conditional on: .npy, (N, F) or (N, C, h, w)
    #[arg(long, value_name = "H.npy")]
    condition: Option<Input>,
    /// Images to draw: in all, or with a condition or with --complete for each row [default: 16, or 1 for each row]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Divides logits and multiplies scales: below 1 images are likelier than the model's, 1 samples it
    #[arg(long, default_value_t = 1.0, value_name = "T")]
    temperature: f64,
    /// Images whose upper part is kept and whose rest is drawn
    #[arg(long, value_name = "IMAGES.npy", requires = "rows_kept")]
    complete: Option<Input>,
    /// Rows of each image that are kept
    #[arg(long, value_name = "R", requires = "complete")]
    rows_kept: Option<usize>,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    rows: RowsArguments,
    /// Where the images go; - for standard output
    #[arg(short, long, value_name = "X.npy")]
    output: Output,
}

/// The condition and the given pixels of a few images.
type Given<E> = (Option<Batch<E>>, Option<Vec<u8>>);

/// What is drawn, and from what.
struct Request {
    architecture: Architecture,
    condition: Option<(Reader, Condition)>,
    complete: Option<(ImageFile, usize)>,
    /// Images for each row of these.
    each: usize,
    /// Images in all.
    total: usize,
}

impl Request {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let architecture = Architecture::load(&arguments.model)?;
        let condition = arguments.condition.as_deref().map(|path| condition(path, &architecture)).transpose()?;
        ensure!(
            condition.is_some() == architecture.condition.is_some(),
            "{}: --condition: the model {}",
            arguments.model.display(),
            if condition.is_some() { "takes none" } else { "needs what its images are conditional on" }
        );
        let complete = match (&arguments.complete, arguments.rows_kept) {
            (Some(path), Some(rows)) => {
                let images = ImageFile::open(path)?;
                images.reader().require_dtype(&[Dtype::U8])?;
                let (wanted, found) = (architecture.image(), images.shape());
                ensure!(wanted == found, "{}: expected images of {wanted}, found {found}", path.display());
                let height = architecture.height;
                ensure!(rows < height, "--rows-kept: expected fewer than the image's {height} rows, found {rows}");
                Some((images, rows))
            }
            _ => None,
        };
        let listed = [condition.as_ref().map(|(reader, _)| reader.rows()), complete.as_ref().map(|(i, _)| i.count())];
        if let [Some(conditions), Some(images)] = listed {
            ensure!(
                conditions == images,
                "--complete: expected {conditions} images, one a row of --condition, found {images}"
            );
        }
        let rows = listed.into_iter().flatten().next();
        let each = arguments.count.map_or(if rows.is_some() { 1 } else { 16 }, |count| count as usize);
        let total = rows.unwrap_or(1).checked_mul(each).context("--count: too many images")?;
        Ok(Self { architecture, condition, complete, each, total })
    }

    /// The condition and the given pixels of images numbered `rows`.
    fn given<E: Element + Scalar>(&self, rows: &[usize]) -> anyhow::Result<Given<E>> {
        let condition = self.condition.as_ref().map(|(reader, condition)| {
            let mut values = Vec::with_capacity(rows.len() * reader.row_len());
            for row in rows.iter().map(|row| row / self.each) {
                let part: Vec<E> = reader.read_row_range_as_float_at(row, 1)?;
                require_finite(reader.path(), &part, row, reader.row_len())?;
                values.extend(part);
            }
            anyhow::Ok(condition.batch(values, rows.len()))
        });
        let pixels = self
            .complete
            .as_ref()
            .map(|(images, _)| images.bytes(&rows.iter().map(|row| row / self.each).collect::<Vec<_>>()));
        Ok((condition.transpose()?, pixels.transpose()?))
    }
}

/// A file of conditions for a model.
fn condition(path: &std::path::Path, architecture: &Architecture) -> anyhow::Result<(Reader, Condition)> {
    let reader = Reader::open(path)?;
    reader.require_dtype(&[Dtype::F32, Dtype::F64])?;
    if let Some(wanted) = architecture.condition {
        reader.require_row_shape(&wanted.row_shape(), "what the model is conditional on")?;
    }
    let condition = Condition::of_rows(&path.display().to_string(), reader.row_shape())?;
    Ok((reader, condition))
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails; the user's wish to stop.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let temperature = arguments.temperature;
    ensure!(
        temperature > 0.0 && temperature.is_finite(),
        "--temperature: expected a positive number, found {temperature}"
    );
    let request = Request::open(&arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    match arguments.rows.precision {
        Precision::F32 => draw::<f32>(&arguments, &request, task),
        Precision::F64 => draw::<f64>(&arguments, &request, task),
    }
}

fn draw<E: Element + Scalar>(arguments: &Arguments, request: &Request, task: Task) -> anyhow::Result<()> {
    let model = PixelCnn::<E>::load(&arguments.model)?;
    let Architecture { channels, height, width, .. } = request.architecture;
    let mut writer = Writer::create(&arguments.output, Dtype::U8, &[channels, height, width])?;
    let batch = arguments.rows.batch.or(16);
    // A batch a thread: the products of one pixel are too small to share.
    let together = batch * rayon::current_num_threads();
    let rows = &arguments.rows;
    let mut step = |numbers: &[usize]| {
        let parts: Vec<anyhow::Result<Vec<u8>>> = numbers
            .par_chunks(batch)
            .map(|numbers| {
                let (condition, pixels) = request.given::<E>(numbers)?;
                let kept = request.complete.as_ref().map_or(0, |(_, rows)| *rows);
                let draws = Draws { seed: arguments.seed.seed, first: numbers[0], temperature: arguments.temperature };
                let given = pixels.as_deref().map(|pixels| (pixels, kept));
                let images = sample(&model, numbers.len(), condition.as_ref(), draws, given);
                Ok(channels_first(&images, (numbers.len(), height, width, channels)))
            })
            .collect();
        for part in parts {
            writer.write_rows(&part?)?;
        }
        Ok(())
    };
    crate::network::for_each_batch(rows.shard.shard.rows(request.total), together, rows.common.quiet, &mut step)?;
    let mut metrics = Metrics::new();
    metrics.insert("images".into(), rows.shard.shard.rows(request.total).len().into());
    task.finish_array(writer, metrics)
}
