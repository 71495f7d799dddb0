//! `ifv-predict` by its command line: predictions of images that `fv-optimize` made, what does not change their bytes, critical
//! spaces, scores, another network, and what is refused.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use obverse::store::npy::{Reader, read, write};
use obverse::store::sidecar::Sidecar;
use obverse_tests::{run, tool, write_images};
use serde_json::Value;
use tempfile::TempDir;

const OUTPUTS: [&str; 6] =
    ["p.npy", "p.jacobians.npy", "p.responses.npy", "p.singular-values.npy", "p.angles.npy", "p.shares.npy"];

/// A folder with two small classifiers, objectives for a layer of the first, and images made for them.
fn realised() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 40, 3, 16).unwrap();
    write(&folder.path().join("labels.npy"), &[40], &(0..40).map(|row| row % 5).collect::<Vec<i64>>()).unwrap();
    let run = |tool: &str, words: &str| run(folder.path(), tool, words).succeeds();
    run("net-fit", "classifier images.npy --labels labels.npy --arch clarke --init he --epochs 1 --quiet -o net");
    run(
        "net-fit",
        "classifier images.npy --labels labels.npy --arch clarke --init he --epochs 1 --seed 5 --quiet -o other",
    );
    run("ifv-predict", "sample --features 8 --count 5 --canonical 1 --quiet -o t.npy");
    let words = "net --objective targets:conv2:t.npy --steps 300 --polish 300 --precision f64 --quiet -o x.npy";
    run("fv-optimize", words);
    folder
}

fn bytes(folder: &Path, names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

fn metrics(folder: &Path, words: &str) -> Value {
    serde_json::from_slice(&run(folder, "ifv-predict", &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

const PREDICT: &str = "net x.npy --layer conv2 --targets t.npy --precision f64";

#[test]
fn objectives_of_images_are_predicted_to_the_same_bytes_however_they_are_computed() {
    let folder = realised();
    let folder = folder.path();
    let said = metrics(folder, &format!("{PREDICT} -o p.npy"));
    let number = |name: &str| said[name].as_f64().unwrap_or_else(|| panic!("{name} in {said}"));
    // Kinks of pooling, on which ascent ends, keep so small a network from an exact optimum.
    assert!(number("median_angle") < 0.6 * number("median_angle_of_response"), "{said}");
    assert!(number("median_angle_of_response") < number("median_angle_of_random"), "{said}");
    assert!(number("median_distance_from_optimum") < 0.5, "{said}");
    for (name, shape) in OUTPUTS.iter().zip([vec![6, 8], vec![6, 8, 9], vec![6, 8], vec![6, 8], vec![6, 3], vec![6, 8]])
    {
        assert_eq!(Reader::open(&folder.join(name)).unwrap().shape(), shape, "{name}");
    }
    for row in read::<f64>(&folder.join("p.npy")).unwrap().rows() {
        assert!((row.dot(&row) - 1.0).abs() < 1e-12);
    }
    let sidecar = Sidecar::read(&folder.join("p.npy.json")).unwrap();
    assert_eq!(sidecar.resolved["parameters_from"], "parameters");
    assert_eq!(sidecar.resolved["cosine_power"], 3);
    let first = bytes(folder, &OUTPUTS);
    assert!(run(folder, "ifv-predict", &format!("{PREDICT} -o p.npy")).succeeds().stderr.contains("fresh"));
    run(folder, "ifv-predict", &format!("{PREDICT} --threads 1 --batch 3 --force --quiet -o p.npy")).succeeds();
    assert!(first == bytes(folder, &OUTPUTS), "threads or blocks change bytes");
    let again = "--jacobians p.jacobians.npy --targets t.npy --precision f64 --quiet -o q.npy";
    run(folder, "ifv-predict", again).succeeds();
    assert_eq!(first[0], fs::read(folder.join("q.npy")).unwrap());
    for part in 1..=2 {
        run(folder, "ifv-predict", &format!("{PREDICT} --shard {part}/2 --quiet -o s{part}.npy")).succeeds();
    }
    for (place, kind) in ["", ".jacobians", ".responses", ".singular-values", ".angles", ".shares"].iter().enumerate() {
        run(folder, "npy-cat", &format!("s1{kind}.npy s2{kind}.npy --force --quiet -o joined.npy")).succeeds();
        assert_eq!(fs::read(folder.join("joined.npy")).unwrap(), first[place], "{kind}: shards change bytes");
    }
    assert!(!folder.join("p.npy.checkpoint").exists());
}

#[test]
fn joined_images_keep_what_their_parts_say_and_a_missing_companion_makes_an_output_stale() {
    let folder = realised();
    let folder = folder.path();
    let optimise = "net --objective targets:conv2:t.npy --steps 20 --cosine-power 2 --precision f64 --quiet";
    for part in 1..=2 {
        run(folder, "fv-optimize", &format!("{optimise} --shard {part}/2 -o x{part}.npy")).succeeds();
    }
    for kind in ["", ".parameters"] {
        run(folder, "npy-cat", &format!("x1{kind}.npy x2{kind}.npy --quiet -o joined{kind}.npy")).succeeds();
    }
    let said = |images: &str| {
        run(folder, "ifv-predict", &format!("net {images} --layer conv2 --force --quiet -o p.npy")).succeeds();
        let mut said = Sidecar::read(&folder.join("p.npy.json")).unwrap().resolved;
        ["parameters_from", "cosine_power"].map(|key| said.remove(key).unwrap())
    };
    assert_eq!(said("joined.npy"), ["parameters".into(), Value::from(2)]);
    // Put in the place of what it was joined of, and of a part that is another one now: nothing is known.
    run(folder, "npy-cat", "joined.npy --quiet -o twice.npy").succeeds();
    for (from, to) in [("twice.npy", "joined.npy"), ("twice.npy.json", "joined.npy.json")] {
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    }
    assert_eq!(said("joined.npy")[1], 3);
    run(folder, "npy-cat", "x1.npy --quiet -o one.npy").succeeds();
    assert_eq!(said("one.npy")[1], 2);
    run(folder, "fv-optimize", &format!("{optimise} --seed 1 --shard 1/2 -o x1.npy")).succeeds();
    assert_eq!(said("one.npy")[1], 3);

    let check = |tool: &str, words: &str| run(folder, tool, &format!("{words} --check"));
    let (optimise, predict) = (format!("{optimise} --shard 2/2 -o x2.npy"), "net x.npy --layer conv2 --quiet -o q.npy");
    run(folder, "ifv-predict", predict).succeeds();
    check("fv-optimize", &optimise).succeeds();
    check("ifv-predict", predict).succeeds();
    for (tool, words, beside) in
        [("fv-optimize", &*optimise, "x2.trace.npy"), ("ifv-predict", predict, "q.responses.npy")]
    {
        fs::remove_file(folder.join(beside)).unwrap();
        check(tool, words).fails(1, &["not fresh", &format!("{beside} is missing")]);
        assert!(!folder.join(beside).exists());
        run(folder, tool, words).succeeds();
        check(tool, words).succeeds();
    }
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let folder = realised();
    let folder = folder.path();
    run(folder, "ifv-predict", &format!("{PREDICT} --quiet -o p.npy")).succeeds();
    let whole = bytes(folder, &["p.npy", "p.jacobians.npy"]);
    let mut command = tool("ifv-predict");
    command.args(PREDICT.split(' ')).args(["--quiet", "-o", "r.npy"]).current_dir(folder).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while !folder.join("r.npy.checkpoint").is_dir() && !folder.join("r.npy").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let code = child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(0), "{code:?}");
    run(folder, "ifv-predict", &format!("{PREDICT} --quiet -o r.npy")).succeeds();
    assert!(whole == bytes(folder, &["r.npy", "r.jacobians.npy"]));
    assert!(!folder.join("r.npy.checkpoint").exists());
}

#[test]
fn spaces_are_orthonormal_and_scores_tell_what_changed() {
    let folder = realised();
    let folder = folder.path();
    run(folder, "ifv-predict", &format!("{PREDICT} --quiet -o p.npy")).succeeds();
    let space = "critical-space --jacobians p.jacobians.npy";
    // Up to the largest singular value itself every dimension comes up, and none is left at the end.
    let found = metrics(folder, &format!("{space} --targets t.npy --largest-threshold 1 --stability 1 -o q.npy"));
    let candidates = found["candidates"].as_array().unwrap();
    assert!(candidates.len() > 1 && candidates[0]["dimension"] == 8, "{found}");
    let basis = read::<f64>(&folder.join("q.npy")).unwrap();
    let dimension = found["dimension"].as_u64().unwrap() as usize;
    assert_eq!(basis.shape(), [8, dimension]);
    let basis = basis.into_dimensionality::<ndarray::Ix2>().unwrap();
    let product = basis.t().dot(&basis);
    assert!(product.indexed_iter().all(|((i, j), value)| (value - f64::from(u8::from(i == j))).abs() < 1e-12));
    let within = metrics(folder, "--jacobians p.jacobians.npy --targets t.npy --critical-space q.npy -o w.npy");
    assert_eq!(within["shares"].as_array().unwrap().len(), dimension);
    let sum: f64 = within["shares"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{within}");
    // From images, the same as from the Jacobians of the same images.
    let whole = "net x.npy --layer conv2 --precision f64";
    run(folder, "ifv-predict", &format!("{space} --threshold 0.2 --quiet -o a.npy")).succeeds();
    run(folder, "ifv-predict", &format!("critical-space {whole} --threshold 0.2 --quiet -o b.npy")).succeeds();
    assert_eq!(fs::read(folder.join("a.npy")).unwrap(), fs::read(folder.join("b.npy")).unwrap());
    assert!(!folder.join("b.npy.checkpoint").exists());

    let score = "score t.npy --targets t.npy --images x.npy";
    let same = metrics(folder, &format!("{score} --again x.npy -o same.npy"));
    assert!(
        same["outliers"].as_array().unwrap().is_empty() && same["angle"]["largest"].as_f64().unwrap() < 1e-6,
        "{same}"
    );
    run(folder, "npy-cat", "images.npy --rows 0..6 --quiet -o six.npy").succeeds();
    let other = metrics(folder, &format!("{score} --again six.npy -o other.npy"));
    assert_eq!(other["outliers"].as_array().unwrap().len(), 6, "{other}");
    assert_eq!(Reader::open(&folder.join("other.npy")).unwrap().shape(), [6, 2]);
}

#[test]
fn plain_images_and_other_networks_are_predicted_with_a_measure_of_doubt() {
    let folder = realised();
    let folder = folder.path();
    let said = run(folder, "ifv-predict", "net images.npy --layer conv2 -o plain.npy").succeeds();
    assert!(said.stderr.contains("logits"), "{}", said.stderr);
    // A value an image is not for reading.
    assert!(said.stderr.contains("residual \"40 values\""), "{}", said.stderr);
    let sidecar = Sidecar::read(&folder.join("plain.npy.json")).unwrap();
    assert!(sidecar.resolved["parameters_from"].as_str().unwrap().contains("1e-6"));
    let plain = sidecar.metrics["median_distance_from_optimum"].as_f64().unwrap();
    let words = "net x.npy --layer conv2 --net other --precision f64 -o there.npy";
    let found = metrics(folder, words);
    let home = found["distance_from_optimum_at_home"]["median"].as_f64().unwrap();
    let there = found["median_distance_from_optimum"].as_f64().unwrap();
    assert!(home > 0.0 && there > 1.2 * home && plain > 1.2 * home, "{home} {there} {plain}");
    assert_eq!(found["distance_from_optimum"].as_array().unwrap().len(), 6);
}

#[test]
fn figures_are_drawn_as_pictures_and_as_svg() {
    let folder = realised();
    let folder = folder.path();
    run(folder, "ifv-predict", &format!("{PREDICT} --quiet -o p.npy")).succeeds();
    run(folder, "ifv-predict", "score p.npy --targets t.npy --images x.npy --again x.npy --quiet -o s.npy").succeeds();
    run(folder, "ifv-predict", "figure points s.npy s.npy --captions a,b --quiet -o s.svg").succeeds();
    let svg = fs::read_to_string(folder.join("s.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<circle").count() == 12 + 2, "{svg}");
    run(folder, "ifv-predict", "figure bars p.shares.npy --captions conv2 --quiet -o b.png").succeeds();
    let picture = image::open(folder.join("b.png")).unwrap();
    assert!(picture.width() > 100 && picture.height() > 300);
    run(folder, "ifv-predict", "figure bars p.shares.npy -o b.gif").fails(2, &["b.gif", ".svg"]);
    run(folder, "ifv-predict", "figure bars s.npy p.shares.npy --captions a -o b.svg")
        .fails(2, &["--captions", "2 files"]);
    run(folder, "ifv-predict", "figure points p.shares.npy -o b.svg").fails(2, &["p.shares.npy"]);
}

#[test]
fn a_head_fitted_alone_leaves_the_other_layers_as_they_were() {
    let folder = realised();
    let folder = folder.path();
    let words =
        "head images.npy --labels labels.npy --arch net --without-class 4 --weight-decay 1e-3 --quiet --json -o head";
    let said: Value = serde_json::from_slice(&run(folder, "net-fit", words).succeeds().stdout).unwrap();
    assert!(said["gradient_norm"].as_f64().unwrap() < 1e-6 && said["examples"] == 32, "{said}");
    let weight = read::<f32>(&folder.join("head/params/logits.weight.npy")).unwrap();
    // The softmax does not see what all rows share, and the decay takes it away.
    for column in weight.columns() {
        assert!(column.sum().abs() < 1e-3, "{}", column.sum());
    }
    for entry in fs::read_dir(folder.join("net/params")).unwrap() {
        let name = entry.unwrap().file_name();
        let same = fs::read(folder.join("net/params").join(&name)).unwrap()
            == fs::read(folder.join("head/params").join(&name)).unwrap();
        assert_eq!(same, !name.to_string_lossy().starts_with("logits."), "{name:?}");
    }
    let refused = |words: &str, said: &[&str]| drop(run(folder, "net-fit", words).fails(2, said));
    refused("head images.npy --arch net -o bad", &["--labels"]);
    refused("head images.npy --labels labels.npy --arch net --layer act3 -o bad", &["act3", "linear"]);
    refused("classifier images.npy --labels labels.npy --without-class 4 -o bad", &["--without-class"]);
}

#[test]
fn surfaces_train_a_network_whose_objectives_are_predicted_from_normals_and_depth() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "dataset", "synth surfaces --count 12 --size 8 --quiet -o data").succeeds();
    let parts = "--test data/test-images.npy --test-targets data/test-targets.npy";
    let words =
        format!("srnet data/train-images.npy --targets data/train-targets.npy {parts} --init uniform --batch 4");
    let fit = |epochs: u32, to: &str| -> f64 {
        run(folder, "net-fit", &format!("{words} --epochs {epochs} --quiet -o {to}")).succeeds();
        Sidecar::read(&folder.join(to).join("run.json")).unwrap().metrics["test_mse"].as_f64().unwrap()
    };
    let (first, last) = (fit(1, "one"), fit(8, "net"));
    assert!(last < first, "{first} {last}");
    run(folder, "ifv-predict", "sample --features 64 --count 2 --quiet -o t.npy").succeeds();
    for mask in ["hard", "continuous"] {
        let words = format!(
            "net --objective targets:block8:t.npy --parameterisation geometry --mask {mask} --steps 100 --polish 100 --precision f64"
        );
        run(folder, "fv-optimize", &format!("{words} --quiet -o {mask}.npy")).succeeds();
        let said =
            metrics(folder, &format!("net {mask}.npy --layer block8 --targets t.npy --precision f64 -o p-{mask}.npy"));
        let angle = |name: &str| said[name].as_f64().unwrap();
        assert!(angle("median_angle") < 0.7 * angle("median_angle_of_response"), "{mask}: {said}");
    }
    let refused = "srnet data/train-images.npy --targets data/train-images.npy --quiet -o bad";
    run(folder, "net-fit", refused).fails(2, &["train-images.npy", "5x32x32"]);
}

#[test]
fn sampled_objectives_depend_on_seed_and_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "ifv-predict", "sample --features 20 --count 6 --canonical 20 --quiet -o a.npy").succeeds();
    run(folder, "ifv-predict", "sample --features 20 --count 3 --quiet -o b.npy").succeeds();
    let (a, b) = (read::<f64>(&folder.join("a.npy")).unwrap(), read::<f64>(&folder.join("b.npy")).unwrap());
    assert_eq!((a.shape(), b.shape()), (&[26, 20][..], &[3, 20][..]));
    assert!(b.iter().zip(a.iter()).all(|(b, a)| a == b));
    assert!(a.iter().all(|&value| value >= 0.0));
    assert!((0..20).all(|row| a[[6 + row, row]] == 1.0));
    run(folder, "ifv-predict", "sample --features 20 --count 3 --seed 1 --quiet -o c.npy").succeeds();
    assert_ne!(read::<f64>(&folder.join("c.npy")).unwrap(), b);
}

#[test]
fn bad_input_is_named() {
    let folder = realised();
    let folder = folder.path();
    let refused =
        |words: &str, said: &[&str]| drop(run(folder, "ifv-predict", &format!("{words} -o bad.npy")).fails(2, said));
    refused("net x.npy --layer conv22", &["conv22", "conv2"]);
    refused("net x.npy", &["--layer"]);
    refused("net x.npy --layer conv2 --features 9", &["conv2", "2 to 8", "found 9"]);
    refused("net x.npy --layer conv2 --features 1", &["found 1"]);
    refused("net x.npy --layer conv2 --parameterisation fourier", &["parameters"]);
    write_images(&folder.join("grey.npy"), 4, 1, 16).unwrap();
    refused("net grey.npy --layer conv2", &["grey.npy", "3x16x16", "1x16x16"]);
    write(&folder.join("few.npy"), &[2, 8], &[1.0f64; 16]).unwrap();
    refused("net x.npy --layer conv2 --targets few.npy", &["few.npy", "expected 6"]);
    write(&folder.join("s.npy"), &[6, 768], &vec![0.0f32; 6 * 768]).unwrap();
    refused("critical-space net x.npy --layer conv2 --targets few.npy", &["few.npy", "expected 6"]);
    refused("net x.npy --layer conv2 --critical-space few.npy", &["few.npy", "8 rows"]);
    // They were refused before any linearisation, so no checkpoint stands in the way.
    assert!(!folder.join("bad.npy.checkpoint").exists());
    refused("net x.npy --layer conv2 --parameters s.npy", &["s.npy", "x.npy"]);
    run(folder, "ifv-predict", &format!("{PREDICT} --quiet -o p.npy")).succeeds();
    refused("--jacobians x.npy", &["x.npy", "jacobians.npy"]);
    refused("--jacobians p.jacobians.npy --critical-space few.npy", &["few.npy", "8 rows"]);
    write(&folder.join("skew.npy"), &[8, 2], &[1.0f64; 16]).unwrap();
    refused("--jacobians p.jacobians.npy --critical-space skew.npy", &["skew.npy", "orthonormal"]);
    write(&folder.join("equal.npy"), &[6, 8], &[1.0f64; 48]).unwrap();
    refused("critical-space --jacobians p.jacobians.npy --targets equal.npy", &["equal.npy", "row 1 equal to row 0"]);
    refused("critical-space --jacobians p.jacobians.npy --dimension 9", &["--dimension"]);
    write(&folder.join("zero.npy"), &[6, 8], &[0.0f64; 48]).unwrap();
    refused("--jacobians p.jacobians.npy --targets zero.npy", &["zero.npy", "row 0"]);
    refused("sample --features 1 --count 3", &["--features"]);
    refused("sample --features 3 --count 3 --canonical 4", &["--canonical", "at most 3"]);
    assert!(!folder.join("bad.npy").exists());
}
