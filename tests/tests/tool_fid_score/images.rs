//! Images that become features: rounded, kept, and measured in other ways; and statistics that others made.

use std::fs;
use std::path::Path;

use obverse::store::npy::{read, write};
use obverse::store::npz::{self, Array};
use obverse::tensor::random::Stream;
use obverse_tests::{names, run};
use serde_json::Value;

use super::{NET, close, images, json};

#[test]
fn floats_are_scored_as_the_bytes_that_a_png_would_hold() {
    let folder = images();
    let path = folder.path();
    let noise: Vec<f64> = Stream::new(0, "noise", 0).normal(0..40 * 3 * 64);
    let pixels = read::<u8>(&path.join("images.npy")).unwrap();
    let values: Vec<f32> = pixels.iter().zip(&noise).map(|(&v, n)| f32::from(v) / 255.0 + 0.15 * *n as f32).collect();
    write(&path.join("floats.npy"), &[40, 3, 8, 8], &values).unwrap();
    let bytes: Vec<u8> = values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    write(&path.join("bytes.npy"), &[40, 3, 8, 8], &bytes).unwrap();
    let outside = values.iter().filter(|value| !(0.0..=1.0).contains(*value)).count();
    assert!(outside > 1000);
    for input in ["bilinear", "tf1", "clean", "none"] {
        let fid =
            |b: &str, more: &str| json(path, "fid-score", &format!("images.npy {b} {NET} --input {input} {more}"));
        let (floats, bytes) = (fid("floats.npy", ""), fid("bytes.npy", ""));
        assert_eq!((&floats["fid"], &floats["kid"]), (&bytes["fid"], &bytes["kid"]), "{input}");
        assert_eq!((floats["clipped_b"].as_u64(), bytes.get("clipped_b")), (Some(outside as u64), None), "{input}");
        let unrounded = fid("floats.npy", "--no-round");
        // clean-fid clips after it has resized, so that rounding alone is left.
        let least = if input == "clean" { 1e-6 } else { 0.01 };
        assert!(!close(&unrounded["fid"], bytes["fid"].as_f64().unwrap(), least), "{input}: {unrounded} {bytes}");
        assert_eq!((unrounded.get("clipped_b"), fid("bytes.npy", "--no-round").get("clipped_b")), (None, None));
    }
    let said = run(path, "fid-score", &format!("features floats.npy {NET} -o f.npy")).succeeds().stderr;
    assert!(said.contains(&format!("floats.npy: {outside} values")) && said.contains("--no-round"), "{said}");
}

#[test]
fn features_are_kept_and_a_second_comparison_does_not_run_the_network() {
    let folder = images();
    let path = folder.path();
    let fresh = |words: &str| {
        let outcome = run(path, "fid-score", &format!("{words} --json")).succeeds();
        let kept = outcome.stderr.lines().filter(|line| line.ends_with("kept by an earlier run")).count();
        (kept, serde_json::from_slice::<Value>(&outcome.stdout).unwrap()["fid"].clone())
    };
    let words = format!("images.npy half.npy {NET}");
    let (kept, value) = fresh(&format!("{words} --no-cache"));
    assert!(kept == 0 && !path.join("half.npy.features").exists());
    assert_eq!(fresh(&words), (0, value.clone()));
    assert_eq!(fresh(&words), (2, value.clone()));
    assert_eq!(fresh(&format!("{words} --force")), (0, value.clone()));
    // What is kept is like any other output: it says what it is, and can be compared.
    let file = path.join("half.npy.features");
    let names = || names(&file).into_iter().filter(|name| name.ends_with(".npy")).collect::<Vec<_>>();
    let kept = format!("half.npy.features/{}", names()[0]);
    assert_eq!(fresh(&format!("images.npy {kept} {NET}")), (1, value.clone()));
    let again = run(path, "obverse-again", &format!("{kept} --dry-run")).succeeds().stdout;
    assert!(String::from_utf8_lossy(&again).contains("\"features\""), "{}", String::from_utf8_lossy(&again));
    // Another node, convention or rounding is another file; the same ones stay.
    for other in ["--layer act1", "--input tf1", "--no-round", "--at-every-place 2"] {
        let words = words.replace("--layer act2", if other.starts_with("--layer") { "" } else { "--layer act2" });
        assert_eq!(fresh(&format!("{words} {other}")).0, 0, "{other}");
    }
    assert_eq!((names().len(), fresh(&words)), (5, (2, value.clone())));
    // Another set in the same place is not the one that was kept, whose file it replaces.
    run(path, "npy-cat", "images.npy --rows 0..20 -o half.npy --force").succeeds();
    let (kept, other) = fresh(&words);
    assert!((kept, names().len()) == (1, 5) && other != value, "{kept} {other}");
    // In a folder of many sets content alone counts, not where it lies.
    let words = format!("images.npy half.npy {NET} --cache many");
    assert_eq!(fresh(&words), (0, other.clone()));
    fs::rename(path.join("half.npy"), path.join("moved.npy")).unwrap();
    assert_eq!(fresh(&words.replace("half.npy", "moved.npy")), (2, other.clone()));
    // A file that the suite did not write stays, and a place that cannot be written is no reason to fail.
    let foreign = |file: &Path| {
        fs::remove_file(file.with_extension("npy.json")).unwrap();
        fs::write(file, "mine").unwrap();
    };
    names().iter().for_each(|name| foreign(&file.join(name)));
    fs::rename(path.join("moved.npy"), path.join("half.npy")).unwrap();
    let outcome = run(path, "fid-score", &format!("images.npy half.npy {NET} --json")).succeeds();
    assert!(outcome.stderr.contains("its features are not kept"), "{}", outcome.stderr);
    assert!(names().iter().all(|name| fs::read(file.join(name)).unwrap() == b"mine"));
    fs::write(path.join("taken"), "a file").unwrap();
    assert_eq!(fresh(&format!("images.npy half.npy {NET} --cache taken")), (0, other.clone()));
    // Runs at one time wait for each other and say the same.
    let together: Vec<_> = std::thread::scope(|scope| {
        let start = |_| scope.spawn(|| fresh(&format!("images.npy half.npy {NET} --cache together")).1);
        let runs: Vec<_> = (0..4).map(start).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(together, vec![other; 4]);
}

#[test]
fn other_measures_come_beside_the_distance_and_by_themselves() {
    let folder = images();
    let path = folder.path();
    let found = json(
        path,
        "fid-score",
        &format!("images.npy half.npy {NET} --cmmd --inception-score --logits z --is-splits 4"),
    );
    assert!(found["cmmd"].as_f64().unwrap() > 0.0, "{found}");
    let same = json(path, "fid-score", &format!("half.npy half.npy {NET} --cmmd"));
    assert!(same["cmmd"].as_f64().unwrap().abs() < 1e-9, "{same}");
    // By images, and by their logits.
    run(path, "fid-score", "features half.npy --net net --layer z -o logits.npy").succeeds();
    for set in ["half.npy --net net --logits z", "logits.npy"] {
        let alone = json(path, "fid-score", &format!("inception-score {set} --is-splits 4"));
        for name in ["inception_score", "inception_score_deviation"] {
            assert_eq!(alone[name], found[name], "{set} {name}: {alone}");
        }
        assert_eq!((alone["images"].as_u64(), alone["dimension"].as_u64()), (Some(20), Some(4)), "{set}");
    }
    let given = json(path, "fid-score", "inception-score logits.npy --is-splits 4 --is-order given");
    assert_ne!(given["inception_score"], found["inception_score"]);
    let places = json(path, "fid-score", &format!("images.npy half.npy {NET} --at-every-place 3"));
    assert_eq!(places["features"]["dimension"].as_u64().map(|dimension| dimension % 3), Some(0), "{places}");
    let refused = |words: &str, expected: &[&str]| {
        run(path, "fid-score", words).fails(2, expected);
    };
    refused(&format!("images.npy half.npy {NET} --sfid"), &["Mixed_6d.branch1x1", "--at-every-place"]);
    refused(&format!("images.npy half.npy {NET} --inception-score"), &["logits", "--logits"]);
    refused("inception-score logits.npy --is-splits 21", &["--is-splits", "at least 21 images, found 20"]);
    refused("logits.npy logits.npy --inception-score", &["fid-score inception-score"]);
    refused("logits.npy logits.npy --sfid", &["mu_s", "stats --sfid"]);
    refused(&format!("images.npy half.npy {NET} --paired --cmmd"), &["--paired"]);
}

#[test]
fn statistics_of_other_programs_are_read_and_what_is_no_covariance_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows: Vec<f64> = Stream::new(0, "rows", 0).normal(0..50 * 3);
    write(&path.join("f.npy"), &[50, 3], &rows).unwrap();
    run(path, "fid-score", "stats f.npy -o f.npz").succeeds();
    let whole = npz::read(&path.join("f.npz"), &["mu", "sigma"]).unwrap();
    let (mean, sigma) = (&whole["mu"].values, &whole["sigma"].values);
    let stage = |name: &str, sigma: &[f64], spatial: &[f64]| {
        let side = [spatial.len().isqrt(); 2];
        let arrays = [
            ("mu", Array::Float(&[3], mean)),
            ("sigma", Array::Float(&[3, 3], sigma)),
            ("mu_s", Array::Float(&side[..1], &mean[..side[0]])),
            ("sigma_s", Array::Float(&side, spatial)),
            ("arr_0", Array::Bytes(&[1, 2, 3])),
        ];
        npz::stage(&path.join(name), &arrays).unwrap().place().unwrap();
    };
    stage("adm.npz", sigma, &[2.0, 0.5, 0.5, 1.0]);
    stage("other.npz", sigma, &[2.0, 0.5, 0.5, 4.0]);
    let found = json(path, "fid-score", "adm.npz other.npz --sfid");
    // [[2, .5], [.5, 1]] and [[2, .5], [.5, 4]]: tr A + tr B - 2 sqrt(tr AB + 2 sqrt(det A det B)).
    let expected = 9.0 - 2.0 * (8.5 + 2.0 * (1.75f64 * 7.75).sqrt()).sqrt();
    assert!(close(&found["sfid"], expected, 1e-9) && found["fid"].as_f64().unwrap() < 1e-9, "{found}");
    let lopsided: Vec<f64> =
        sigma.iter().enumerate().map(|(place, value)| value + f64::from(u8::from(place == 1))).collect();
    let negative: Vec<f64> =
        sigma.iter().enumerate().map(|(place, value)| value - 9.0 * f64::from(u8::from(place == 4))).collect();
    for (sigma, spatial, words) in [
        (&lopsided, vec![1.0], ["sigma", "not symmetric", "fid-score stats"]),
        (&negative, vec![1.0], ["sigma", "negative eigenvalue", "pytorch-fid"]),
        (sigma, vec![-1.0], ["sigma_s", "negative eigenvalue", "pytorch-fid"]),
    ] {
        stage("bad.npz", sigma, &spatial);
        run(path, "fid-score", "adm.npz bad.npz").fails(2, &words);
        run(path, "fid-score", "adm.npz bad.npz").fails(2, &["bad.npz"]);
    }
}
