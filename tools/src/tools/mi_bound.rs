//! `mi-bound`: how many nats of information about its input a layer holds.

use crate::request::{Input, Output};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use obverse::density::training::{Examples, log_likelihoods};
use obverse::density::{Architecture, PixelCnn};
use obverse::information::bound::{Estimate, bits_per_dimension, differences};
use obverse::information::estimators::{
    Squash, binned, gaussian_entropy, kernel_bounds, neighbour_entropy, neighbour_information,
};
use obverse::statistics::Measure;
use obverse::store::npy::{Dtype, Reader, Scalar, Writer, require_finite};
use obverse::store::sidecar::metric;
use obverse::tensor::Element;
use serde_json::Value;

use crate::tools::pixelcnn_fit::examples;
use crate::training::pair;
use crate::{CommonArguments, Metrics, Precision, Progress, SeedArgument, Shard, ShardArgument, Task};

/// Measure how much information about the images x a layer's values h hold, in nats.
///
/// With a model of pixelcnn-fit: NCE, the mean of log p(x | h) over test images, with its standard error and a bootstrap interval of 95%
/// over images. H(x) + NCE is a lower bound of I(x; h). -o writes each image's log-likelihood. With --estimator kde, neighbours or
/// binned: estimates from the values of h alone; give H.npy instead of a model. With --estimator log-likelihoods: the same measures
/// from log-likelihoods that were written before, such as those of parts (--shard) joined by npy-cat.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  nce_nats                  minus the cross-entropy: the mean log-likelihood of an image, with its standard error and interval
  bits_per_dimension        minus NCE in bits, divided by the numbers in an image
  mi_lower_bound_nats       with --input-entropy: H(x) + NCE
  mi_estimate_nats          with --marginal: mean of log p(x | h) - log p(x). Not a bound: a poor marginal raises it above I(x; h)
  marginal_nce_nats         with --marginal: NCE of the marginal
  difference_nats           with --against: this model's NCE minus the other's, image by image
  other_nce_nats            with --against: NCE of the other model
  gap_nats                  with --train-images: NCE of the training images minus NCE of the test images
  train_nce_nats            with --train-images: NCE of the training images
  images                    how many images
  kde_upper_nats            estimator kde: upper bound of I(x; h + noise)
  kde_lower_nats            estimator kde: lower bound of the same
  noise_entropy_nats        estimator kde: entropy of the noise
  kozachenko_leonenko_nats  estimator neighbours: entropy of h
  neighbours_mi_nats        estimator neighbours with --noise-variance: I(x; h + noise)
  binned_nats               estimator binned: entropy of h in bins, which is I(x; bin(h))
  rows                      how many rows of h

Examples:
  mi-bound fc3-model test-images.npy --condition test-fc3.npy --count 2000 --json -o fc3.npy
  mi-bound conv2-model test-images.npy --condition test-conv2.npy --against fc3-model --condition2 test-fc3.npy --json
  mi-bound --estimator kde --noise-variance 0.1 test-fc3.npy --json
  mi-bound fc3-model test-images.npy --condition test-fc3.npy --shard 1/8 -o fc3-1.npy
  mi-bound --estimator log-likelihoods fc3.npy --dimensions 784 --json
  mi-bound --estimator log-likelihoods conv2-likelihoods.npy --against fc3-likelihoods.npy --json"
)]
pub struct Arguments {
    /// The model's folder and the test images, u8 .npy; with an estimator the values of h, .npy (N, …)
    #[arg(value_name = "MODEL IMAGES.npy | H.npy | L.npy", required = true, num_args = 1..=2)]
    inputs: Vec<Input>,
    /// The condition of each image
    #[arg(long, value_name = "H.npy")]
    condition: Option<Input>,
    /// H(x) in nats, if it is known
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    input_entropy: Option<f64>,
    /// A model of the same images without a condition, or its log-likelihoods
    #[arg(long, value_name = "MODEL | L.npy", conflicts_with = "shard")]
    marginal: Option<Input>,
    /// Another model to compare with, image by image, or its log-likelihoods
    #[arg(long, value_name = "MODEL2 | L2.npy", conflicts_with = "shard")]
    against: Option<Input>,
    /// The condition of the other model
    #[arg(long, value_name = "H2.npy", requires = "against")]
    condition2: Option<Input>,
    /// Images the model was trained on, to measure the gap
    #[arg(long, value_name = "IMAGES.npy", conflicts_with = "shard")]
    train_images: Option<Input>,
    /// The condition of the training images
    #[arg(long, value_name = "H.npy", requires = "train_images")]
    train_condition: Option<Input>,
    /// Use only the first N images of each file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Bootstrap replicates behind the intervals
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bootstrap: u32,
    /// How information is measured
    #[arg(long, value_enum, default_value_t)]
    estimator: Estimator,
    /// Bins of equal width per feature
    #[arg(long, default_value_t = 30, value_name = "N")]
    bins: usize,
    /// How values are mapped into the bins' range
    #[arg(long, value_enum, default_value_t)]
    squash: SquashArgument,
    /// The bins' range with --squash none
    #[arg(long, value_name = "A,B", value_parser = pair, allow_negative_numbers = true)]
    range: Option<[f64; 2]>,
    /// How many numbers an image has, for bits per dimension from log-likelihoods
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    dimensions: Option<u32>,
    /// Variance of the Gaussian noise that is added to h
    #[arg(long, value_name = "V")]
    noise_variance: Option<f64>,
    /// Use the K-th nearest neighbour
    #[arg(long, default_value_t = 5, value_name = "K")]
    k: usize,
    /// The numbers a model computes with
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    #[command(flatten)]
    device: crate::DeviceArgument,
    /// Where the images' log-likelihoods go, f64 (N)
    #[arg(short, long, value_name = "L.npy")]
    output: Option<Output>,
    #[command(flatten)]
    layout: crate::LayoutArguments,
    #[command(flatten)]
    shard: ShardArgument,
    #[command(flatten)]
    seed: SeedArgument,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum Estimator {
    /// A model's log-likelihoods
    #[default]
    Bound,
    /// Log-likelihoods that an earlier run wrote
    LogLikelihoods,
    /// Kernel densities
    Kde,
    /// Distances to the k-th neighbour
    Neighbours,
    /// Equal bins
    Binned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum SquashArgument {
    #[default]
    Tanh,
    None,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails, an interrupt.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    match (arguments.estimator, arguments.inputs.as_slice()) {
        (Estimator::Bound, [model, images]) => bound(&arguments, model, images),
        (Estimator::Bound, _) => {
            bail!("expected MODEL IMAGES.npy, found one path; the other estimators take one")
        }
        (Estimator::LogLikelihoods, [values]) => sum_up(&arguments, values),
        (_, [values]) => estimate(&arguments, values),
        _ => bail!("--estimator: expected H.npy alone, found a second path"),
    }
}

/// A model with images for it.
struct Measured {
    model: PathBuf,
    examples: Examples,
    rows: Range<usize>,
}

impl Measured {
    fn open(
        model: &Path,
        images: &Path,
        condition: Option<&Path>,
        count: Option<u32>,
        (shard, layout): (Shard, crate::LayoutArguments),
    ) -> anyhow::Result<Self> {
        let examples = examples(images, condition, layout)?;
        let architecture = Architecture::load(model)?;
        ensure!(
            architecture.condition.is_none() || condition.is_some(),
            "{}: the model needs a condition; give --condition (for --against, --condition2)",
            model.display()
        );
        examples.check(&architecture)?;
        let (found, wanted) = (examples.count(), count.map_or(examples.count(), |count| count as usize));
        ensure!(wanted <= found, "{}: --count: expected at most {found} images, found {wanted}", images.display());
        let rows = shard.rows(wanted);
        ensure!(
            !rows.is_empty(),
            "{}: --shard {shard}: this part has none of the {wanted} images; use fewer parts",
            images.display()
        );
        Ok(Self { model: model.to_owned(), examples, rows })
    }

    fn log_likelihoods(&self, precision: Precision, progress: &mut Progress) -> anyhow::Result<Vec<f64>> {
        match precision {
            Precision::F32 => self.computed::<f32>(progress),
            Precision::F64 => self.computed::<f64>(progress),
        }
    }

    fn computed<E: Element + Scalar>(&self, progress: &mut Progress) -> anyhow::Result<Vec<f64>> {
        let model = PixelCnn::<E>::load(&self.model)?;
        let mut result = Vec::with_capacity(self.rows.len());
        // In parts, so that an interrupt is seen.
        for first in self.rows.clone().step_by(64) {
            crate::check_interrupted()?;
            let rows = first..self.rows.end.min(first + 64);
            result.extend(log_likelihoods(&model, &self.examples, rows, |count| progress.advance(count as u64))?);
        }
        if let Some(image) = result.iter().position(|value| !value.is_finite()) {
            bail!("{}: the log-likelihood of image {image} is {}", self.model.display(), result[image]);
        }
        Ok(result)
    }
}

fn bound(arguments: &Arguments, model: &Path, images: &Path) -> anyhow::Result<()> {
    let (count, shard) = (arguments.count, arguments.shard.shard);
    ensure!(
        shard.is_whole() || arguments.output.is_some(),
        "--shard: npy-cat joins the parts' log-likelihoods; give -o"
    );
    let open = |model: &Path, images: &Path, condition: Option<&Path>| {
        Measured::open(model, images, condition, count, (shard, arguments.layout))
    };
    let own = open(model, images, arguments.condition.as_deref())?;
    let marginal = arguments.marginal.as_deref().map(|model| open(model, images, None)).transpose()?;
    let other = arguments.against.as_deref();
    let other = other.map(|model| open(model, images, arguments.condition2.as_deref())).transpose()?;
    let train = arguments.train_images.as_deref();
    let train = train.map(|images| open(model, images, arguments.train_condition.as_deref())).transpose()?;
    let mut task = Task::begin(&arguments.common, arguments.output.as_deref())?;
    task.on(&arguments.device, arguments.precision == Precision::F64)?;
    let parts = || std::iter::once(&own).chain([&marginal, &other, &train].into_iter().flatten());
    if task.is_fresh()? {
        return Ok(());
    }
    let total: usize = parts().map(|part| part.rows.len()).sum();
    let mut progress = Progress::new(total as u64, "images", arguments.common.quiet);
    let mut measure = |part: &Measured| part.log_likelihoods(arguments.precision, &mut progress);
    let values = measure(&own)?;
    let [marginal, other, train] = [&marginal, &other, &train].map(|part| part.as_ref().map(&mut measure).transpose());
    let dimensions = u32::try_from(Architecture::load(model)?.dimensions())?;
    let metrics = arguments.metrics(&values, [marginal?, other?, train?], Some(dimensions))?;
    match &arguments.output {
        Some(output) => {
            let mut writer = Writer::create(output, Dtype::F64, &[])?;
            writer.write_rows(&values)?;
            task.finish_array(writer, metrics)
        }
        None => task.finish_measurement(&metrics),
    }
}

impl Arguments {
    fn estimate(&self, values: &[f64]) -> anyhow::Result<Estimate> {
        Ok(Estimate::of(values, self.bootstrap as usize, self.seed.seed)?)
    }

    /// All measures of the model's log-likelihoods, and of those of a marginal, another model and the training images.
    fn metrics(
        &self,
        values: &[f64],
        [marginal, other, train]: [Option<Vec<f64>>; 3],
        dimensions: Option<u32>,
    ) -> anyhow::Result<Metrics> {
        let nce = self.estimate(values)?;
        let mut metrics = Metrics::from_iter([("images".to_string(), Value::from(values.len()))]);
        Measure::from(nce).insert("nce_nats", &mut metrics);
        if let Some(dimensions) = dimensions {
            Measure::from(nce.scaled(bits_per_dimension(dimensions as usize)))
                .insert("bits_per_dimension", &mut metrics);
        }
        if let Some(entropy) = self.input_entropy {
            ensure!(
                entropy >= 0.0 && entropy.is_finite(),
                "--input-entropy: expected a number of at least 0, found {entropy}"
            );
            Measure::from(nce.shifted(entropy)).insert("mi_lower_bound_nats", &mut metrics);
        }
        if let Some(marginal) = marginal {
            Measure::from(self.estimate(&marginal)?).insert("marginal_nce_nats", &mut metrics);
            Measure::from(self.estimate(&differences(values, &marginal)?)?).insert("mi_estimate_nats", &mut metrics);
        }
        if let Some(other) = other {
            Measure::from(self.estimate(&other)?).insert("other_nce_nats", &mut metrics);
            Measure::from(self.estimate(&differences(values, &other)?)?).insert("difference_nats", &mut metrics);
        }
        if let Some(train) = train {
            let seen = self.estimate(&train)?;
            Measure::from(seen).insert("train_nce_nats", &mut metrics);
            // The two errors are independent because the images are different.
            let error = seen.standard_error.hypot(nce.standard_error);
            Measure { value: seen.mean - nce.mean, standard_error: Some(error), interval: None }
                .insert("gap_nats", &mut metrics);
        }
        Ok(metrics)
    }
}

/// Measures of log-likelihoods that an earlier run wrote, compared with those of other models.
fn sum_up(arguments: &Arguments, path: &Path) -> anyhow::Result<()> {
    ensure!(arguments.output.is_none(), "-o: the log-likelihoods are written already");
    let count = arguments.count;
    let values = written(path, count)?;
    let of = |path: &Option<Input>| path.as_deref().map(|path| written(path, count)).transpose();
    let others = [of(&arguments.marginal)?, of(&arguments.against)?, None];
    let task = Task::begin(&arguments.common, None)?;
    task.finish_measurement(&arguments.metrics(&values, others, arguments.dimensions)?)
}

/// The first `count` log-likelihoods of a file, or all.
fn written(path: &Path, count: Option<u32>) -> anyhow::Result<Vec<f64>> {
    ensure!(path.is_file(), "{}: expected log-likelihoods that mi-bound -o wrote, found no file", path.display());
    let reader = Reader::open(path)?;
    reader.require_dtype(&[Dtype::F64])?;
    ensure!(
        reader.shape().len() == 1 && reader.rows() > 0,
        "{}: expected log-likelihoods (N), found shape {:?}; mi-bound -o writes them",
        path.display(),
        reader.shape()
    );
    let rows = count.map_or(reader.rows(), |count| reader.rows().min(count as usize));
    let values: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(path, &values, 0, 1)?;
    Ok(values)
}

/// Estimates from the values of h alone.
fn estimate(arguments: &Arguments, path: &Path) -> anyhow::Result<()> {
    ensure!(arguments.output.is_none(), "-o: an estimator has no log-likelihoods to write");
    let reader = Reader::open(path)?;
    reader.require_dtype(&[Dtype::F32, Dtype::F64])?;
    ensure!(reader.shape().len() > 1, "{}: expected values (N, …), found shape {:?}", path.display(), reader.shape());
    let rows = arguments.count.map_or(reader.rows(), |count| reader.rows().min(count as usize));
    let features = reader.row_len();
    ensure!(rows > 0 && features > 0, "{}: expected values, found shape {:?}", path.display(), reader.shape());
    let h: Vec<f64> = reader.read_row_range_as_float_at(0, rows)?;
    require_finite(path, &h, 0, features)?;
    let task = Task::begin(&arguments.common, None)?;
    let mut metrics = Metrics::from_iter([("rows".to_string(), Value::from(rows))]);
    let mut insert = |name: &str, value: f64| drop(metrics.insert(name.into(), metric(value)));
    match arguments.estimator {
        Estimator::Kde => {
            let variance = arguments.noise_variance.context("--estimator kde needs --noise-variance")?;
            let bounds = kernel_bounds(&h, features, variance)?;
            insert("kde_upper_nats", bounds.upper);
            insert("kde_lower_nats", bounds.lower);
            insert("noise_entropy_nats", gaussian_entropy(features, variance));
        }
        Estimator::Neighbours => {
            if let Some(variance) = arguments.noise_variance {
                let seed = arguments.seed.seed;
                insert("neighbours_mi_nats", neighbour_information(&h, features, arguments.k, variance, seed)?);
            } else {
                insert("kozachenko_leonenko_nats", neighbour_entropy(&h, features, arguments.k)?);
            }
        }
        Estimator::Binned | Estimator::Bound | Estimator::LogLikelihoods => {
            let squash = match (arguments.squash, arguments.range) {
                (SquashArgument::Tanh, None) => Squash::Tanh,
                (SquashArgument::None, Some([low, high])) => Squash::Range(low, high),
                (SquashArgument::None, None) => bail!("--squash none needs --range A,B"),
                (SquashArgument::Tanh, Some(_)) => bail!("--range needs --squash none: tanh has the range -1,1"),
            };
            insert("binned_nats", binned(&h, features, arguments.bins, squash)?);
        }
    }
    task.finish_measurement(&metrics)
}
