//! `--expect`: what an imported network makes of inputs, held against what the original makes of them.

use std::path::Path;

use anyhow::{anyhow, ensure};
use obverse::net::import::onnx::Layout;
use obverse::net::{Graph, Network, Size};
use obverse::store::budget;
use obverse::store::npy::Reader;
use obverse::store::sidecar::metric;
use obverse::tensor::{batch, channels_first, channels_last, shape, view};

use crate::request::Input;
use crate::{Failure, Metrics, check_interrupted};

/// Values that are computed at a time.
const ELEMENTS: usize = 1 << 20;

/// What the original makes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExpectArguments {
    /// Run the imported network on X and hold what it makes against Y, which the original makes of X; where they differ by more than
    /// --tolerance, nothing is written. X is what the file's own network takes, before --range, --mean, --std and --channels; both are in
    /// the file's order of axes
    #[arg(long, value_names = ["X.npy", "Y.npy"], num_args = 2, visible_alias = "verify")]
    expect: Vec<Input>,
    /// The output that Y is of [default: the file's first]
    #[arg(long, value_name = "NAME", requires = "expect")]
    expect_output: Option<String>,
    /// The largest difference to Y that passes, as a part of the largest value in Y
    #[arg(long, value_name = "T", default_value_t = 1e-4)]
    tolerance: f64,
}

impl ExpectArguments {
    /// Nothing to be held against.
    pub(super) fn none() -> Self {
        Self { expect: Vec::new(), expect_output: None, tolerance: 0.0 }
    }

    /// Runs the network, if there is something to be held against, and gives the measures. `first` is the file's first output.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit; a [`Failure`] where the difference is larger than it may be.
    pub(super) fn check(&self, network: &Network<f32>, layout: Option<Layout>, first: &str) -> anyhow::Result<Metrics> {
        let [x, y] = self.expect.as_slice() else { return Ok(Metrics::new()) };
        let output = self.output(network.graph(), first)?;
        let (images, order) = Images::open(x, network.graph().input.shape, layout)?;
        let found = outputs(network, &images, order, output)?;
        let (_, expected) = values(y)?;
        let count = expected.len();
        ensure!(
            count == found.len(),
            "{}: expected {} values, as \"{output}\" has for {}, found {count}",
            y.display(),
            found.len(),
            x.display()
        );
        let (largest, relative) = differences(&found, &expected);
        if relative.is_nan() || relative > self.tolerance {
            return Err(Failure(format!(
                "{}: expected what \"{output}\" is within {:e} of the largest value, found a difference of {largest:e}, {relative:e} of it",
                y.display(),
                self.tolerance
            ))
            .into());
        }
        Ok(Metrics::from_iter([
            ("largest_difference".to_string(), metric(largest)),
            ("relative_difference".to_string(), metric(relative)),
        ]))
    }

    /// The output that is held against Y.
    fn output<'a>(&'a self, graph: &Graph, first: &'a str) -> anyhow::Result<&'a str> {
        let names: Vec<&str> = graph.outputs.keys().map(String::as_str).collect();
        let wanted = self.expect_output.as_deref().unwrap_or(first);
        let known = names.contains(&wanted).then_some(wanted);
        known.ok_or_else(|| anyhow!("--expect-output: expected one of {}, found {wanted}", names.join(", ")))
    }
}

/// The order of an image's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    ChannelsFirst,
    ChannelsLast,
}

/// Images of one size, one after the other.
struct Images {
    size: Size,
    values: Vec<f32>,
}

impl Images {
    /// The images of a file: as many as its values make, whatever its axes.
    fn open(path: &Path, size: Size, layout: Option<Layout>) -> anyhow::Result<(Self, Order)> {
        let (axes, values) = values(path)?;
        let elements = size.elements();
        ensure!(
            !values.is_empty() && values.len().is_multiple_of(elements),
            "{}: expected images of {size}, {elements} values each, found shape {axes:?}",
            path.display()
        );
        Ok((Self { size, values }, order(&axes, size, layout)))
    }
}

/// The order that is said, or else the one in which the axes are those of the network's images; channels first, where both are.
fn order(axes: &[usize], size: Size, layout: Option<Layout>) -> Order {
    let Size { channels, height, width } = size;
    let are = |wanted: [usize; 3]| axes.ends_with(&wanted);
    match layout {
        Some(Layout::Nhwc) => Order::ChannelsLast,
        None if are([height, width, channels]) && !are([channels, height, width]) => Order::ChannelsLast,
        Some(Layout::Nchw) | None => Order::ChannelsFirst,
    }
}

/// The shape and the values of an array of any numbers.
fn values(path: &Path) -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
    let mut reader = Reader::open(path)?;
    let axes = reader.shape().to_vec();
    let count: u128 = axes.iter().map(|&axis| axis as u128).product();
    budget::charge(path, "its values", 8 * count)?;
    let rows = reader.rows();
    Ok((axes, reader.read_rows_as_float(rows)?))
}

/// What the network makes, each image's values with the channels first.
fn outputs(network: &Network<f32>, images: &Images, order: Order, output: &str) -> anyhow::Result<Vec<f32>> {
    let Images { size, values } = images;
    let node = network.graph().output(output)?;
    let together = (ELEMENTS / size.elements()).clamp(1, 128);
    let mut found = Vec::new();
    for part in values.chunks(together * size.elements()) {
        check_interrupted()?;
        let axes = (part.len() / size.elements(), size.height, size.width, size.channels);
        let memory = match order {
            Order::ChannelsFirst => channels_last(part, axes),
            Order::ChannelsLast => part.to_vec(),
        };
        let x = batch(memory, axes);
        let values = network.evaluate(&x, &[node])?;
        found.extend(values.iter().flat_map(|value| channels_first(view(value), shape(value))));
    }
    Ok(found)
}

/// The largest difference, and how large a part it is of the largest value that is expected.
fn differences(found: &[f32], expected: &[f32]) -> (f64, f64) {
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(0.0f64, |largest, value| if value.is_nan() || value > largest { value } else { largest })
    };
    let difference = largest(&mut found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()));
    let scale = largest(&mut expected.iter().map(|value| f64::from(*value).abs()));
    (difference, if difference == 0.0 { 0.0 } else { difference / scale })
}
