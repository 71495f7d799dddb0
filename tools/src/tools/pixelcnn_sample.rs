//! `pixelcnn-sample`: draws images from a density model, or completes images whose upper part is given.

use std::time::{Duration, Instant};

use crate::request::{Input, Output};

use anyhow::{Context, ensure};
use clap::Parser;
use obverse::data::batches::ImageFile;
use obverse::density::sampling::{Draws, sample};
use obverse::density::{Architecture, Condition, PixelCnn};
use obverse::store::is_standard_stream;
use obverse::store::npy::{Dtype, Reader, Scalar, Writer, require_finite};
use obverse::tensor::{Batch, Element, channels_first};
use rayon::prelude::*;

use crate::climbing::Chunks;
use crate::{
    CheckpointArguments, Metrics, Precision, Progress, RowsArguments, SeedArgument, Task, check_interrupted,
    interrupted,
};

/// Draw images from a model that pixelcnn-fit has trained.
///
/// Writes 8-bit images (N, C, H, W). With a condition, --count images are drawn for each of its rows, one row after the other. Layers
/// keep what they have computed, so each pixel is computed once. An image's draws depend only on the seed and its number. A run that
/// was stopped continues from X.npy.checkpoint and ends with the same bytes.
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
    /// The conditions of the images: .npy, (N, F) or (N, C, h, w)
    #[arg(long, value_name = "H.npy")]
    condition: Option<Input>,
    /// Images to draw: in all, or with --condition or --complete for each row [default: 16, or 1 for each row]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Divide logits and multiply scales by this: below 1 the images are more likely than the model's own, 1 samples the model
    #[arg(long, default_value_t = 1.0, value_name = "T")]
    temperature: f64,
    /// Keep the upper part of these images and draw the rest
    #[arg(long, value_name = "IMAGES.npy", requires = "rows_kept")]
    complete: Option<Input>,
    /// Rows to keep of each image
    #[arg(long, value_name = "R", requires = "complete")]
    rows_kept: Option<usize>,
    #[command(flatten)]
    layout: crate::LayoutArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
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
            if condition.is_some() { "takes none" } else { "needs one" }
        );
        let complete = match (&arguments.complete, arguments.rows_kept) {
            (Some(path), Some(rows)) => {
                let images = ImageFile::open_as(path, arguments.layout.options())?;
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
                "--complete: expected {conditions} images, one per row of --condition, found {images}"
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
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let temperature = arguments.temperature;
    ensure!(
        temperature > 0.0 && temperature.is_finite(),
        "--temperature: expected a positive number, found {temperature}"
    );
    let request = Request::open(&arguments)?;
    let mut task = Task::begin(&arguments.rows.common, Some(&arguments.output))?;
    arguments.rows.on_device(&mut task)?;
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
    let mut writer = Writer::create(&arguments.output, Dtype::U8, &[channels, height, width])?.of_images([0.0, 255.0]);
    let batch = arguments.rows.batch.or(16);
    // A batch a thread: the products of one pixel are too small to share.
    let together = batch * rayon::current_num_threads();
    let draw = |numbers: &[usize]| {
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
        anyhow::Ok(parts.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat())
    };
    let rows = arguments.rows.shard.shard.rows(request.total);
    let mut kept = Kept::open(arguments, &task, rows.start)?;
    let mut progress = Progress::new(rows.len() as u64, "images", arguments.rows.common.quiet);
    kept.read(&mut writer)?;
    progress.set((kept.next - rows.start) as u64);
    while kept.next < rows.end {
        let numbers: Vec<usize> = (kept.next..rows.end.min(kept.next + together)).collect();
        let images: Vec<u8> = draw(&numbers)?;
        writer.write_rows(&images)?;
        kept.add(&images, numbers.len(), [channels, height, width])?;
        progress.advance(numbers.len() as u64);
    }
    drop(progress);
    let metrics = Metrics::from_iter([("images".to_string(), rows.len().into())]);
    task.finish_array(writer, metrics)?;
    kept.chunks.map_or(Ok(()), Chunks::remove)
}

/// What is drawn already, kept on disk from time to time and when the run is stopped.
struct Kept {
    /// None where the output has no name that a checkpoint could have.
    chunks: Option<Chunks>,
    every: Duration,
    saved: Instant,
    /// The first image that is not kept yet, and what was drawn from there.
    first: usize,
    images: Vec<u8>,
    /// The image to be drawn next.
    next: usize,
}

impl Kept {
    fn open(arguments: &Arguments, task: &Task, first: usize) -> anyhow::Result<Self> {
        interrupted();
        let (identity, restart) = (task.identity(), arguments.checkpoint.restarts());
        let chunks = match is_standard_stream(&arguments.output) {
            true => None,
            false => Some(Chunks::of(&arguments.output, &identity, restart)?),
        };
        let (every, saved) = (arguments.checkpoint.every(), Instant::now());
        Ok(Self { chunks, every, saved, first, images: Vec::new(), next: first })
    }

    /// Writes what an earlier run drew.
    fn read(&mut self, writer: &mut Writer) -> anyhow::Result<()> {
        let Some(chunks) = &self.chunks else { return Ok(()) };
        while chunks.is_finished(self.next)? {
            let rows = chunks.open("images", self.next)?.rows();
            ensure!(rows > 0, "{}: a checkpoint without images; give --restart", chunks.folder().display());
            chunks.join::<u8>("images", &[self.next], writer)?;
            self.next += rows;
        }
        self.first = self.next;
        Ok(())
    }

    /// Adds images; keeps all that are not kept yet if it is time, or the run is stopped.
    fn add(&mut self, images: &[u8], count: usize, shape: [usize; 3]) -> anyhow::Result<()> {
        self.next += count;
        let stop = interrupted();
        if let Some(chunks) = &self.chunks {
            self.images.extend(images);
            if stop || self.saved.elapsed() >= self.every {
                chunks.finish(self.first, self.next - self.first, &[("images", &shape, &self.images)])?;
                self.images.clear();
                (self.first, self.saved) = (self.next, Instant::now());
            }
        }
        Ok(check_interrupted()?)
    }
}
