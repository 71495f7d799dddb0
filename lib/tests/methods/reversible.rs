//! Classifiers trained on their shadows, through the public interface.

use obverse::baselines::classifier::Classifier;
use obverse::data::batches::{ImageFile, LabelFile};
use obverse::net::{Graph, Initialisation, Network, Size, architectures};
use obverse::reversible::training::{Settings, Shadow};
use obverse::store::npy::write;
use obverse::tensor::random::Stream;
use obverse::tensor::view;
use obverse::train::checkpoint::Position;
use obverse::train::course::Course;
use obverse::train::evaluation::HeldOut;
use obverse::train::run::{Losses, Trainee};
use obverse::train::schedule::{Pace, Schedule};

const SETTINGS: Settings = Settings { weight: 1.0, start: 0, attached: false };

fn graph() -> Graph {
    architectures::classifier("connected", Size::new(1, 5, 5), 3, 0.5).unwrap()
}

/// The parameters after two updates, and what the second reported.
fn trained(settings: Option<Settings>, epoch: u64) -> (Vec<f64>, Losses) {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = (folder.path().join("x.npy"), folder.path().join("l.npy"));
    write(&images, &[12, 1, 5, 5], &Stream::new(0, "x", 0).uniform::<f64>(0..300)).unwrap();
    write(&labels, &[12], &(0..12).map(|row| row % 3).collect::<Vec<i64>>()).unwrap();
    let (images, labels) = (ImageFile::open(&images).unwrap(), LabelFile::open(&labels, 12).unwrap());
    let network = Network::<f64>::initialised(graph(), Initialisation::He, 0);
    let pace = Pace { learning_rate: 1e-2, schedule: Schedule::Constant, betas: [0.9, 0.999], updates: 2 };
    let part = (&images, &labels);
    let mut classifier =
        Classifier::new(network, Course { pace, seed: 0 }, part, HeldOut { test: None, validation: None }).unwrap();
    if let Some(settings) = settings {
        classifier = classifier.with_shadows(Shadow::new(settings, &graph(), 0).unwrap());
    }
    let rows: Vec<usize> = (0..12).collect();
    let mut losses = Losses::new();
    for update in 0..2 {
        losses = classifier.update(&Position { epoch, update, ..Position::default() }, &rows).unwrap();
    }
    (classifier.network().parameters().iter().flat_map(|parameter| view(parameter).to_vec()).collect(), losses)
}

#[test]
fn shadows_join_from_their_first_epoch_on() {
    let later = Settings { start: 1, ..SETTINGS };
    assert_eq!(trained(Some(later), 0), trained(None, 0));
    let (parameters, losses) = trained(Some(later), 1);
    assert_eq!((&parameters, &losses), (&trained(Some(SETTINGS), 1).0, &trained(Some(SETTINGS), 1).1));
    assert_ne!(parameters, trained(None, 1).0);
    assert_eq!(
        losses.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["cross_entropy", "shadow_cross_entropy", "shadows_kept"]
    );
    assert!((0.0..=12.0).contains(&losses[2].1) && losses[2].1.fract() == 0.0);
}

#[test]
fn gradients_through_shadows_and_their_weight_change_the_training() {
    let detached = trained(Some(SETTINGS), 0).0;
    assert_ne!(detached, trained(Some(Settings { attached: true, ..SETTINGS }), 0).0);
    assert_ne!(detached, trained(Some(Settings { weight: 0.5, ..SETTINGS }), 0).0);
}

#[test]
fn weights_that_are_not_positive_and_networks_without_reverse_are_refused() {
    for weight in [0.0, -1.0, f64::NAN] {
        assert!(Shadow::new(Settings { weight, ..SETTINGS }, &graph(), 0).is_err());
    }
    let pooled = architectures::classifier("clarke", Size::new(1, 32, 32), 3, 0.0).unwrap();
    let error = Shadow::new(SETTINGS, &pooled, 0).unwrap_err().to_string();
    assert!(error.contains("\"pool4\": max_pool2d has no reverse"), "{error}");
}
