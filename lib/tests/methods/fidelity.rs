//! Distances between sets, structural similarity and the inception network, against the oracle.

use obverse::data::pictures::Pictures;
use obverse::fidelity::Features;
use obverse::fidelity::features::{FeatureMap, Reading};
use obverse::fidelity::frechet::{frechet, frechet_of_features};
use obverse::fidelity::input::{Convention, Input, Rounding, Scale};
use obverse::fidelity::kernel::kernel_distance;
use obverse::fidelity::moments::Moments;
use obverse::net::inception;
use obverse::similarity::ssim::ssim;
use obverse::store::weights::Weights;

use crate::common::Case;
use crate::mirror::mirror;

#[test]
fn frechet_and_kernel_distances_are_those_of_the_oracle() {
    let case = Case::open("frechet");
    let relative = case.description["tolerance"]["relative"].as_f64().unwrap();
    for set in ["full", "deficient"] {
        let ((axes, a), (_, b)) = (case.stored::<f64>(&format!("{set}.a")), case.stored::<f64>(&format!("{set}.b")));
        let (a, b) = (Features::new(&a, axes[1]), Features::new(&b, axes[1]));
        let expected = &case.description["expected"][set];
        let check = |name: &str, actual: f64, relative: f64| {
            let expected = expected[name].as_f64().unwrap();
            assert!((actual - expected).abs() <= relative * expected.abs(), "{set} {name}: {actual}, {expected}");
        };
        check("fid", frechet_of_features(a, b).unwrap().distance(), relative);
        check("kid", kernel_distance(a, b).unwrap(), relative);
        let moments = |features: Features| Moments::of(features.rows(), axes[1]);
        check("fid", frechet(&moments(a), &moments(b)).unwrap().distance(), 1e-6);
    }
}

#[test]
fn structural_similarity_is_that_of_the_oracle() {
    let case = Case::open("similarity");
    let ((axes, a), (_, b)) = (case.stored::<f64>("a"), case.stored::<f64>("b"));
    let size = [axes[1], axes[2], axes[3]];
    let images = a.chunks(size.iter().product()).zip(b.chunks(size.iter().product()));
    let similarities: Vec<f64> = images.map(|(a, b)| ssim(a, b, size)).collect();
    case.check("ssim", &similarities);
}

/// The developers' copy of the inception network, as far as it goes.
fn inception_map() -> FeatureMap {
    let weights = Weights::open(&mirror("weights/inception-v3-2015-to-mixed-6e.safetensors")).unwrap();
    let convention = Convention { input: Input::Bilinear, rounding: Rounding::Byte, scale: Scale::Inception };
    let layer = inception::output(768);
    FeatureMap::new(inception::load(&weights).unwrap(), &[(layer.as_str(), Reading::Mean)], convention).unwrap()
}

#[test]
#[ignore = "it takes OBVERSE_MIRROR"]
fn inception_features_are_those_of_the_oracle() {
    let map = inception_map();
    let case = Case::open("inception");
    let folder = case.unpacked();
    let pictures = Pictures::open(&folder.path().join("images.npy")).unwrap();
    let rows: Vec<usize> = (0..pictures.count()).collect();
    let pictures: Vec<_> = pictures.read(&rows).into_iter().map(Result::unwrap).collect();
    let features = map.features(&pictures).unwrap().features.remove(0);
    let expected = case.values::<f32>("features_768");
    let difference: f32 = features.iter().zip(&expected).map(|(a, b)| (a - b) * (a - b)).sum();
    let length: f32 = expected.iter().map(|value| value * value).sum();
    let relative = (difference / length).sqrt();
    println!("relative L2 difference {relative:e}");
    assert!(f64::from(relative) < 1e-4 && features.len() == expected.len(), "{relative}");
}
