//! The last layer of a network, fitted to the features that reach it.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use obverse::baselines::head;
use obverse::net::{Mode, Network, Op};
use obverse::ops::InputGradient;
use obverse::store::sidecar::metric;
use obverse::tensor::{Tape, batch, image_len, view, view_mut};
use obverse::train::lbfgs::Limits;
use serde_json::{Value, json};

use super::Arguments;
use super::data::{Files, Split};
use crate::folder::folder_at;
use crate::{Metrics, Progress, Task, check_interrupted};

/// Fits the last layer of a network to the features that reach it.
pub(super) fn fit_head(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { images, labels, .. } = arguments;
    let split = Split::open(&Files { images, labels, targets: &None, condition: &None }, arguments.pixels)?;
    let folder = Path::new(&arguments.arch);
    let mut task = Task::begin(&arguments.training.common, Some(&arguments.output))?;
    task.input("arch", folder)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let mut network = Network::<f32>::load(folder)?;
    crate::require_images(&split.images, network.graph())?;
    let graph = network.graph();
    let place = match &arguments.layer {
        Some(layer) => graph.place(layer)?,
        None => graph.output("logits")?,
    };
    let (name, size) = (graph.nodes[place].name.clone(), graph.input_size(place));
    let places: Vec<usize> = graph.parameters_at(place).iter().map(|&(at, _)| at).collect();
    let (Op::Linear { .. }, &[weight, bias]) = (&graph.nodes[place].op, places.as_slice()) else {
        bail!("--layer {name}: expected a linear layer with a bias, found another operation")
    };
    let source = graph.sources(place)[0].map(|source| graph.nodes[source].name.clone());
    let source = source.context("--layer: expected a layer after others, found one that reads the input")?;
    let classes = graph.size(place).channels;
    let (features, labels) = features(arguments, &split, &network.clone().folded(&[&source])?, (&source, classes))?;
    let start: Vec<f64> =
        [weight, bias].iter().flat_map(|&at| view(&network.parameters()[at]).to_vec()).map(f64::from).collect();
    let limits = Limits { iterations: 5000, ..Limits::default() };
    let features = batch(features, (labels.len(), 1, 1, size.channels));
    let examples = head::Examples { features: &features, labels: &labels, classes };
    let fitted = head::fit(examples, start, arguments.weight_decay, &limits)?;
    let (weights, biases) = fitted.parameters.split_at(classes * size.channels);
    for (at, values) in [(weight, weights), (bias, biases)] {
        let target = view_mut(&mut network.parameters_mut()[at]);
        target.iter_mut().zip(values).for_each(|(target, &value)| *target = value as f32);
    }
    let origin = json!({
        "tool": "net-fit", "version": env!("CARGO_PKG_VERSION"), "kind": "head", "layer": name,
        "without_class": arguments.without_class, "weight_decay": arguments.weight_decay,
    });
    let output = folder_at(&arguments.output)?;
    network.save(output.path(), &origin)?;
    let metrics = Metrics::from_iter([
        ("examples".to_string(), Value::from(labels.len())),
        ("loss".to_string(), metric(fitted.loss)),
        ("gradient_norm".to_string(), metric(fitted.gradient_norm)),
        ("iterations".to_string(), Value::from(fitted.iterations)),
    ]);
    task.finish_folder(output, metrics)
}

/// The features and classes of the images that a head is fitted to.
fn features(
    arguments: &Arguments,
    split: &Split,
    network: &Network<f32>,
    (source, classes): (&str, usize),
) -> anyhow::Result<(Vec<f64>, Vec<usize>)> {
    let labels = split.labels.as_ref().context("a head needs --labels")?;
    let (place, input) = (network.graph().place(source)?, network.graph().input.shape);
    let all: Vec<usize> = (0..split.images.count()).collect();
    let (mut features, mut seen) = (Vec::new(), Vec::new());
    let mut progress = Progress::new(all.len() as u64, "images", arguments.training.common.quiet);
    for rows in all.chunks(arguments.training.batch as usize) {
        check_interrupted()?;
        let x = batch(split.images.batch::<f32>(rows)?, (rows.len(), input.height, input.width, input.channels));
        let trace = network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
        let value = network.value(&trace, place)?;
        for (row, label) in view(value).chunks_exact(image_len(value)).zip(labels.batch(rows)?) {
            let label = usize::try_from(label).ok().filter(|&label| label < classes);
            let label = label.with_context(|| {
                format!("{}: expected classes from 0 to {}", labels.reader().path().display(), classes - 1)
            })?;
            if arguments.without_class != Some(label) {
                features.extend(row.iter().map(|&value| f64::from(value)));
                seen.push(label);
            }
        }
        progress.advance(rows.len() as u64);
    }
    ensure!(!seen.is_empty(), "--without-class: expected images of other classes, found none");
    Ok((features, seen))
}
