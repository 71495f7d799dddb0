//! Image against image.

use anyhow::ensure;
use obverse::data::pictures::{Picture, Pictures};
use obverse::fidelity::resampling::{interval, resample};
use obverse::similarity::Metric;
use obverse::store::sidecar::metric;

use super::CompareArguments;
use super::bootstrap::insert_interval;
use crate::{Metrics, Task};

/// Image against image: structural similarity and L2 distance.
pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<()> {
    let task = Task::begin(&arguments.common, None)?;
    let (a_path, b_path) = arguments.sets()?;
    let (a, b) = (Pictures::open(a_path)?, Pictures::open(b_path)?);
    ensure!(
        a.count() == b.count() && a.count() > 0,
        "{}: expected as many images as {} has, {}, found {}",
        b_path.display(),
        a_path.display(),
        a.count(),
        b.count()
    );
    for (path, pictures) in [(a_path, &a), (b_path, &b)] {
        if let Some(left_out) = pictures.left_out() {
            task.note(&format!("{}: left out: {left_out}", path.display()));
        }
    }
    let (mut similarities, mut distances) = (Vec::new(), Vec::new());
    let rows: Vec<usize> = (0..a.count()).collect();
    for rows in rows.chunks(256) {
        crate::check_interrupted()?;
        for ((row, a), b) in rows.iter().zip(a.read(rows)).zip(b.read(rows)) {
            let (a, b) = (a?, b?);
            ensure!(a.shape == b.shape, "{}: image {row}: expected {}, found {}", b_path.display(), a.shape, b.shape);
            let [x, y] = [&a, &b].map(planes);
            let [channels, height, width] = [a.shape.channels, a.shape.height, a.shape.width];
            similarities.push(1.0 - Metric::Ssim { channels, height, width }.distance(&x, &y));
            distances.push(Metric::L2.distance(&x, &y));
        }
    }
    let mut metrics = Metrics::new();
    for (name, values) in [("ssim", &similarities), ("l2", &distances)] {
        let mean = |rows: &[usize]| rows.iter().map(|&row| values[row]).sum::<f64>() / rows.len() as f64;
        let estimate = mean(&(0..values.len()).collect::<Vec<_>>());
        metrics.insert(name.into(), metric(estimate));
        if let Some(count) = arguments.bootstrap {
            let replicate = |number| mean(&resample(values.len(), arguments.seed.seed, "pairs", number));
            let replicates: Vec<f64> = (0..count).map(replicate).collect();
            insert_interval(&mut metrics, name, estimate, interval(estimate, &replicates, 0.95));
        }
    }
    metrics.insert("images".into(), similarities.len().into());
    task.finish_measurement(&metrics)
}

/// A picture's values, channels first.
fn planes(picture: &Picture) -> Vec<f64> {
    let channels = picture.shape.channels;
    let plane = |channel: usize| picture.pixels.iter().skip(channel).step_by(channels).map(|&value| f64::from(value));
    (0..channels).flat_map(plane).collect()
}
