//! Image against image.

use anyhow::ensure;
use obverse::data::pictures::{Picture, Pictures};
use obverse::similarity::Metric;
use obverse::statistics::Measure;
use obverse::store::sidecar::metric;

use super::CompareArguments;
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
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        if arguments.intervals() {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
            Measure::of_mean(mean, (variance / count).sqrt(), values.len()).insert(name, &mut metrics);
        } else {
            metrics.insert(name.into(), metric(mean));
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
