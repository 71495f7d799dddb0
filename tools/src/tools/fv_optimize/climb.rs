//! Images by gradient ascent: where they start, chunks with checkpoints, and the outputs.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use obverse::data::batches::ImageFile;
use obverse::net::{Network, Size};
use obverse::objective::parameterisation::Parameterisation;
use obverse::objective::resolved::Objective;
use obverse::store::npy::{Reader, Scalar, Writer, require_finite};
use obverse::store::sidecar::metric;
use obverse::tensor::{Element, batch, channels_first, shape, view};
use obverse::visualisation::ascent::{Ascent, State};
use serde_json::Value;

use super::{Climb, Request, Start, plain};
use crate::climbing::Chunks;
use crate::interrupt::Interrupted;
use crate::{Metrics, Progress, Task, companion, interrupted};

/// Climbs from each start, chunk by chunk, and writes what was reached.
pub(super) fn climb<E: Element + Scalar>(
    request: &Request,
    climb: &Climb,
    network: &Network<E>,
    objective: Objective,
    task: Task,
) -> anyhow::Result<()> {
    let input = network.graph().input.shape;
    let parameterisation = request.image.build::<E>(input)?;
    let image = parameterisation.image_size();
    let ascent = Ascent {
        network,
        parameterisation: parameterisation.as_ref(),
        transforms: &climb.transforms.between(image, input)?,
        plain: &plain(image, input)?,
        objective: &objective,
        settings: climb.settings,
        seed: request.seed,
    };
    let starts = Starts::open((&climb.start, request.pixels), parameterisation.as_ref(), objective.images())?;
    let rows: Vec<usize> = request.rows.shard.shard.rows(objective.images()).collect();
    let usual = if objective.is_joint() { rows.len() } else { 16 };
    if objective.is_joint() {
        ensure!(
            request.rows.batch.or(usual) >= rows.len() && request.rows.shard.shard.is_whole(),
            "diversity: expected all {} images in one batch, since each depends on the others; leave out --batch and --shard",
            rows.len()
        );
    }
    interrupted();
    let chunks = Chunks::of(&request.output, &task.identity(), climb.checkpoint.restarts())?;
    let mut progress = Progress::new(climb.settings.steps * rows.len() as u64, "steps", request.rows.common.quiet);
    let every = climb.checkpoint.every();
    let mut firsts = Vec::new();
    for rows in rows.chunks(request.rows.batch.or(usual).max(1)) {
        firsts.push(rows[0]);
        if !chunks.is_finished(rows[0])? {
            let start = chunks.resume(starts.state(&ascent, rows)?)?;
            climb_chunk(&ascent, start, &chunks, every, &mut progress)?;
        }
        progress.set(climb.settings.steps * (rows[rows.len() - 1] + 1 - firsts[0]) as u64);
    }
    drop(progress);
    finish::<E>(request, &chunks, &firsts, image, task)?;
    chunks.remove()
}

/// Where images start.
enum Starts {
    Drawn,
    Given { reader: Reader, length: usize },
    Images { images: ImageFile, size: Size },
}

impl Starts {
    fn open<E: Element>(
        (start, pixels): (&Start, crate::PixelArguments),
        parameterisation: &dyn Parameterisation<E>,
        count: usize,
    ) -> anyhow::Result<Self> {
        if let Start::Parameters(path) = start {
            let reader = Reader::open(path)?;
            let length = parameterisation.parameters();
            reader.require_row_shape(&[length], "parameters, as many as the parameterisation's")?;
            ensure!(
                reader.rows() == count,
                "{}: expected {count} rows, one per image, found {}",
                path.display(),
                reader.rows()
            );
            return Ok(Self::Given { reader, length });
        }
        let Start::Images(path) = start else { return Ok(Self::Drawn) };
        let (images, size) = (pixels.open(path)?, parameterisation.image_size());
        let found = images.shape();
        ensure!(
            (found.channels, found.height, found.width) == (size.channels, size.height, size.width)
                && images.count() == count,
            "{}: expected {count} images of {size}, found {} of {}x{}x{}",
            path.display(),
            images.count(),
            found.channels,
            found.height,
            found.width
        );
        Ok(Self::Images { images, size })
    }

    fn state<E: Element + Scalar>(&self, ascent: &Ascent<E>, rows: &[usize]) -> anyhow::Result<State<E>> {
        let s = match self {
            Self::Drawn => return Ok(ascent.start(rows.to_vec())),
            Self::Given { reader, length } => {
                let values = reader.read_row_range_as_float_at::<E>(rows[0], rows.len())?;
                require_finite(reader.path(), &values, rows[0], *length)?;
                batch(values, (rows.len(), 1, 1, *length))
            }
            Self::Images { images, size } => {
                let x = batch(images.batch::<E>(rows)?, (rows.len(), size.height, size.width, size.channels));
                let inverse = ascent.parameterisation.parameters_of(&x);
                inverse
                    .context("--start-images: expected a parameterisation that can be inverted; give --start instead")?
            }
        };
        Ok(State::new(rows.to_vec(), s))
    }
}

/// What is measured of each image: the objective and the norm of its gradient at the end, the cosine of response and target if there is
/// one, the norm at the start, and the share of steps without a gradient.
const COLUMNS: [&str; 5] = ["objective", "gradient_norm", "cosine", "start_gradient_norm", "share_without_gradient"];

/// For each image, the norm of the gradient at the first step and the share of steps where it was zero.
fn slopes<E: Element>(state: &State<E>) -> Vec<[f64; 2]> {
    let count = state.rows.len();
    let norms = |image: usize| state.trace.chunks_exact(2 * count).map(move |step| step[2 * image + 1]);
    let share = |image: usize| norms(image).filter(|&norm| norm == 0.0).count() as f64 / norms(image).count() as f64;
    (0..count).map(|image| [norms(image).next().unwrap_or(f64::NAN), share(image)]).collect()
}

/// Climbs a chunk to its end and keeps it.
fn climb_chunk<E: Element + Scalar>(
    ascent: &Ascent<E>,
    mut state: State<E>,
    chunks: &Chunks,
    every: Duration,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let mut saved = Instant::now();
    while state.step < ascent.settings.steps {
        ascent.step(&mut state)?;
        progress.advance(state.rows.len() as u64);
        let stop = interrupted();
        if stop || saved.elapsed() >= every {
            chunks.keep(&state, &[])?;
            saved = Instant::now();
        }
        if stop {
            return Err(Interrupted.into());
        }
    }
    let polished = polish(ascent, &mut state, chunks, every)?;
    let found = ascent.evaluate_plain(&state.s, &state.rows)?;
    let point = ascent.parameterisation.at(&state.s);
    let (n, h, w, c) = shape(point.images());
    let images = channels_first(view(point.images()), (n, h, w, c));
    let trace: Vec<E> = traces(&state, &polished, ascent.settings.polish).into_iter().map(E::of).collect();
    let cosine = |cosine: Option<f64>| cosine.unwrap_or(f64::NAN);
    let summary = found.values.iter().zip(&found.norms).zip(&found.cosines).zip(slopes(&state));
    let summary: Vec<E> = summary
        .flat_map(|(((&value, &norm), &cos), [start, without])| [value, norm, cosine(cos), start, without])
        .map(E::of)
        .collect();
    let length = ascent.parameterisation.parameters();
    let steps = trace.len() / (2 * n);
    chunks.finish(
        state.rows[0],
        n,
        &[
            ("images", &[c, h, w], &images),
            ("parameters", &[length], view(&state.s)),
            ("trace", &[steps, 2], &trace),
            ("summary", &[COLUMNS.len()], &summary),
        ],
    )
}

/// L-BFGS from where the steps ended, with checkpoints; the trace of each image.
fn polish<E: Element + Scalar>(
    ascent: &Ascent<E>,
    state: &mut State<E>,
    chunks: &Chunks,
    every: Duration,
) -> anyhow::Result<Vec<Vec<[f64; 2]>>> {
    let images = state.rows.len();
    let each = if ascent.objective.is_joint() { images } else { 1 };
    let length = each * ascent.parameterisation.parameters();
    let mut searches = chunks.searches(state.rows[0], length)?;
    if searches.len() != images / each {
        searches = ascent.searches(state)?;
    }
    let mut saved = Instant::now();
    while !ascent.polish(state, &mut searches, &|| interrupted() || saved.elapsed() >= every)? {
        chunks.keep(state, &searches)?;
        saved = Instant::now();
        if interrupted() {
            return Err(Interrupted.into());
        }
    }
    Ok(searches.iter().flat_map(|search| std::iter::repeat_n(search.trace.clone(), each)).collect())
}

/// The traces of all images, (N, T, 2): steps, then iterations of L-BFGS, the last one repeated if it stopped before its limit.
fn traces<E: Element>(state: &State<E>, polished: &[Vec<[f64; 2]>], polish: u64) -> Vec<f64> {
    let count = state.rows.len();
    let mut traces = Vec::new();
    for (image, polished) in polished.iter().enumerate() {
        let mut last = [f64::NAN; 2];
        for step in state.trace.chunks_exact(2 * count) {
            last = [step[2 * image], step[2 * image + 1]];
            traces.extend(last);
        }
        for iteration in 0..polish as usize {
            last = polished.get(iteration).copied().unwrap_or(last);
            traces.extend(last);
        }
    }
    traces
}

/// Joins the chunks into the outputs.
fn finish<E: Element + Scalar>(
    request: &Request,
    chunks: &Chunks,
    firsts: &[usize],
    size: Size,
    task: Task,
) -> anyhow::Result<()> {
    let Some(&first) = firsts.first() else { bail!("--shard: expected a part with at least one image, found none") };
    let mut metrics = Metrics::new();
    for kind in ["parameters", "trace"] {
        let row_shape = chunks.open(kind, first)?.row_shape().to_vec();
        let path = companion(&request.output, kind);
        let mut writer = Writer::create(&path, E::DTYPE, &row_shape)?;
        chunks.join::<E>(kind, firsts, &mut writer)?;
        writer.finish()?;
        metrics.insert(kind.into(), path.file_name().map(|name| name.to_string_lossy()).into());
    }
    let mut columns = COLUMNS.map(|_| Vec::new());
    for &first in firsts {
        let mut reader = chunks.open("summary", first)?;
        let rows = reader.rows();
        for row in reader.read_rows::<E>(rows)?.chunks_exact(COLUMNS.len()) {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(metric(value.wide())));
        }
    }
    for (name, column) in COLUMNS.into_iter().zip(columns) {
        if name != "cosine" || column.iter().any(Value::is_number) {
            metrics.insert(name.into(), column.into());
        }
    }
    let mut writer =
        Writer::create(&request.output, E::DTYPE, &[size.channels, size.height, size.width])?.of_images([0.0, 1.0]);
    chunks.join::<E>("images", firsts, &mut writer)?;
    task.finish_array(writer, metrics)
}
