//! Recipes, whole or at a small size, in a folder with copies of the justfiles: the checkout stays clean.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use obverse::store::npy::Reader;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{TOOLS_OF_RECIPES, mirror, recipes, run};
use serde_json::Value;

/// How many times smaller the error of a recovery must be than that of the mean training image, which is what an encoder
/// that learns nothing recovers: measured 3.4 for the shapes and 2.7 for the digits.
const BETTER: f64 = 2.0;

/// Runs a recipe, which must succeed, and returns its standard output and its standard error.
fn said(folder: &Path, recipe: &[&str], environment: &[(&str, &str)]) -> [String; 2] {
    let mut command = Command::new("just");
    command
        .args(recipe)
        .current_dir(folder)
        .env("OBVERSE_BIN", folder.join(TOOLS_OF_RECIPES))
        .envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(output.status.success(), "just {recipe:?}\n{}", said[1]);
    said
}

/// Runs a recipe, which must succeed, and returns the commands that it echoed and the tools' own lines.
fn just(folder: &Path, recipe: &str, mirror: &Path) -> (Vec<String>, Vec<String>) {
    let words: Vec<&str> = recipe.split(' ').collect();
    let [_, said] = said(folder, &words, &[("OBVERSE_MIRROR", mirror.to_str().unwrap())]);
    // As recipes quote them, some inside of an eval.
    let tools = format!("'{}'/", folder.join(TOOLS_OF_RECIPES).display());
    said.lines().map(str::to_owned).partition(|line| line.trim_start_matches("eval \"").starts_with(&tools))
}

/// Pixels of a file of images, and how many an image has.
fn pixels(path: &Path) -> (Vec<f64>, usize) {
    let mut reader = Reader::open(path).unwrap();
    let values: Vec<u8> = reader.read_rows(reader.rows()).unwrap();
    (values.into_iter().map(|value| f64::from(value) / 255.0).collect(), reader.row_len())
}

/// The mean squared error a pixel of the mean training image, taken for every test image: the best recovery that sees
/// nothing of an image.
fn error_of_the_mean_image(images: &Path) -> f64 {
    let (train, length) = pixels(&images.join("train-images.npy"));
    let mut mean = vec![0.0; length];
    let share = length as f64 / train.len() as f64;
    for image in train.chunks_exact(length) {
        mean.iter_mut().zip(image).for_each(|(mean, pixel)| *mean += share * pixel);
    }
    let (test, _) = pixels(&images.join("test-images.npy"));
    let squares = test.chunks_exact(length).flat_map(|image| image.iter().zip(&mean)).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>() / test.len() as f64
}

/// Runs a recipe of `steps` tools twice: it recovers the images of the folder `images` into `out`, then all is fresh.
fn check(recipe: &str, mirror: &Path, steps: usize, images: &str, out: &str) {
    let folder = recipes().unwrap();
    let (commands, _) = just(folder.path(), recipe, mirror);
    assert_eq!(commands.len(), steps, "{commands:#?}");
    let out = folder.path().join(out);
    let picture = image::open(out.join("recovered.png")).unwrap();
    assert!(picture.width() > 300 && picture.height() > 100, "{} x {}", picture.width(), picture.height());
    let error = Sidecar::read(&out.join("recovered.npy.json")).unwrap().metrics["mse"].as_f64().unwrap();
    let blind = error_of_the_mean_image(&folder.path().join(images));
    println!("just {recipe}: mean squared error {error:.4}, of the mean image {blind:.4}");
    assert!(error * BETTER < blind, "{error} is not {BETTER} times below {blind}");
    let (commands, lines) = just(folder.path(), recipe, mirror);
    let fresh = lines.iter().filter(|line| line.ends_with(": fresh")).count();
    assert_eq!((commands.len(), fresh), (steps, steps), "{lines:#?}");
}

#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_demo_recovers_the_shapes_and_is_fresh_the_second_time() {
    check("demo", Path::new(""), 5, "out/shapes/demo/data", "out/shapes/demo");
}

/// A few updates of every model of two layers, on 480 shapes: the tables and sheets of the study are there, and all is fresh the
/// second time.
#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_information_study_measures_layers_and_is_fresh_the_second_time() {
    let folder = recipes().unwrap();
    run(folder.path(), "dataset", "synth shapes --count 600 --size 16 -o data").succeeds();
    let small = "--filters 4 --blocks 1 --mixtures 2";
    let recipe = ["information", "study", "data", "nash-colour", "3", "2", "10", "out", small, "conv1 fc3"];
    let study = || {
        let [_, lines] = said(folder.path(), &recipe, &[]);
        lines
    };
    study();
    let out = folder.path().join("out");
    for layer in ["conv1", "fc3"] {
        assert!(image::open(out.join(format!("{layer}.png"))).unwrap().height() > 100, "{layer}");
        let measured = Sidecar::read(&out.join(format!("{layer}-likelihoods.npy.json"))).unwrap().metrics;
        assert!(measured["nce_nats"].as_f64().unwrap() < 0.0, "{measured:?}");
        let distance = |kind: &str| {
            let path = out.join(format!("{layer}-{kind}/run.json"));
            Sidecar::read(&path).unwrap().metrics["mean_distance"].as_f64().unwrap()
        };
        assert!(distance("im-nn") <= distance("im-s") && distance("1nn") > 0.0, "{layer}");
    }
    assert!(["nce.png", "layers.png"].iter().all(|picture| out.join(picture).is_file()));
    // The classifier, twelve runs a layer for its measures and sheet, two figures, eight a layer for its row of the table.
    let again = study();
    assert_eq!(again.lines().filter(|line| line.ends_with(": fresh")).count(), 1 + 2 * 12 + 2 + 2 * 8, "{again}");
    let dynamics = ["information", "dynamics", "data", "nash-colour", "3", "2", "dynamics", small, "fc3", "0 2"];
    said(folder.path(), &dynamics, &[]);
    let drawn = Sidecar::read(&folder.path().join("dynamics/fc3.png.json")).unwrap().metrics;
    let text = |group: &Value, name: &str| group[name].as_str().unwrap().to_owned();
    let groups = drawn["groups"].as_array().unwrap();
    let places: Vec<String> = groups.iter().map(|group| text(group, "name") + " " + &text(group, "at")).collect();
    assert_eq!(places, ["normal 0", "normal 2", "over-fitted 0", "over-fitted 2"]);
    assert_eq!(groups[3]["seeds"].as_array().unwrap().len(), 2, "{drawn:?}");
}

/// An epoch of every training of two seeds, on 80 shapes: tables have their rows, pictures are there, and all is fresh the second time.
#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_reversible_study_compares_trainings_and_is_fresh_the_second_time() {
    let folder = recipes().unwrap();
    run(folder.path(), "dataset", "synth shapes --count 100 --size 16 -o data").succeeds();
    let just = |words: &[&str]| {
        let mut command = Command::new("just");
        let output = command
            .args(words)
            .current_dir(folder.path())
            .env("OBVERSE_BIN", folder.path().join(TOOLS_OF_RECIPES))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "just {words:?}\n{said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let study = ["reversible", "study", "data", "out", "1", "0 1", "1e-3", "--batch 16"];
    let (table, _) = just(&study);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| rows.iter().filter(|row| row[0] == name).map(Vec::len).collect::<Vec<_>>();
    for method in ["plain", "dropout", "dropout+SHADOW"] {
        assert_eq!(row(method), [5], "{table}");
    }
    for network in ["random", "plain-0", "dropout-0", "shadow-0"] {
        assert_eq!(row(network), [11, 11, 11], "a line a layer: {table}");
    }
    let out = folder.path().join("out");
    for picture in ["errors.png", "convergence.png", "shadows.png", "spectra.png", "reversed.png"] {
        assert!(image::open(out.join(picture)).unwrap().width() > 300, "{picture}");
    }
    let (again, said) = just(&study);
    let stale: Vec<&str> =
        said.lines().filter(|line| line.starts_with("net-fit") && !line.ends_with(": fresh")).collect();
    assert!(again == table && stale.is_empty(), "{stale:#?}");
    let (errors, _) = just(&["reversible", "inversions", "data", "mnist", "inversions", "1", "16", "--batch 16"]);
    assert_eq!(errors.lines().count(), 1 + 4, "{errors}");
    assert!(
        errors.lines().skip(1).all(|line| line
            .split_whitespace()
            .rev()
            .take(2)
            .all(|word| word.parse::<f64>().is_ok()))
    );
}

/// One update of every model of a study, on 80 shapes: what the recipes write is there, and what they print has its rows.
#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_alignment_study_draws_every_figure_and_is_fresh_the_second_time() {
    let folder = recipes().unwrap();
    run(folder.path(), "dataset", "synth shapes --count 100 --size 16 -o data").succeeds();
    let study = || just(folder.path(), "alignment study data mnist 1 out 16", Path::new("")).1;
    study();
    just(folder.path(), "alignment two-neurons data mnist 1 out", Path::new(""));
    just(folder.path(), "alignment classes out vfa 2", Path::new(""));
    let out = folder.path().join("out");
    for picture in [
        "vfa-samples",
        "vfa-gan-samples",
        "vae-samples",
        "gan-samples",
        "reconstructions",
        "local-recovered",
        "vfa-way",
        "vfa-gan-way",
        "vfa-gan-square",
        "two-neurons",
        "vfa-classes",
    ] {
        let picture = image::open(out.join(picture).with_extension("png")).unwrap();
        assert!(picture.width() > 150 && picture.height() > 50, "{} x {}", picture.width(), picture.height());
    }
    // The rows of a study's table: a model, its parameters, milliseconds, error, half its interval.
    let [table, _] = said(folder.path(), &["alignment", "table", "data", "out"], &[]);
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<Vec<_>>(),
        ["autoencoder", "vae", "gan", "vfa", "vfa-gan", "local"]
    );
    for row in &rows {
        let numbers: Vec<f64> = row[1..].iter().map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() == 4 && numbers[0] > 1e5 && numbers[1..].iter().all(|&number| number > 0.0), "{row:?}");
    }
    let words = "classifier data/train-images.npy --labels data/train-labels.npy --epochs 1 --quiet -o judge";
    run(folder.path(), "net-fit", words).succeeds();
    just(folder.path(), "alignment judge out judge vfa-gan --generator", Path::new(""));
    let judged = Sidecar::read(&out.join("vfa-gan-judged.npy.json")).unwrap();
    assert_eq!(judged.metrics["confusion"].as_array().unwrap().len(), 60);
    let stale: Vec<String> =
        study().into_iter().filter(|line| line.starts_with("fa-") && !line.ends_with(": fresh")).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

/// Every figure of the shapes and the table of the four methods, from 700 shapes and a few steps; then objectives of the
/// classifier's third layer predicted from the images that they were made for.
#[test]
#[cfg_attr(not(just), ignore = "it takes just")]
fn just_shapes_all_and_ifv_draw_every_figure_and_are_fresh_the_second_time() {
    const SMALL: [(&str, &str); 4] = [
        ("OBVERSE_SHAPES_COUNT", "700"),
        ("OBVERSE_SHAPES_EPOCHS", "1"),
        ("OBVERSE_SHAPES_STEPS", "12"),
        ("OBVERSE_SHAPES_SEARCH", "200"),
    ];
    let folder = recipes().unwrap();
    let stale = |lines: &str| {
        let tool = |line: &&str| ["fv-", "net-", "fa-", "ifv-"].iter().any(|start| line.starts_with(start));
        let stale = lines.lines().filter(tool).filter(|line| !line.ends_with(": fresh"));
        stale.map(str::to_owned).collect::<Vec<_>>()
    };
    let [table, _] = said(folder.path(), &["shapes", "all"], &SMALL);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + 3 * 3, "{table}");
    for row in &rows {
        assert!(row.len() == 1 + 8 && row[1..].iter().all(|value| value.parse::<f64>().is_ok()), "{row:?}");
    }
    for picture in [
        "classes",
        "reconstructed",
        "channels",
        "classes-wanted",
        "latent-ascent",
        "best-latents",
        "best-of-channels",
        "table",
    ] {
        let picture = image::open(folder.path().join("out/shapes").join(picture).with_extension("png")).unwrap();
        assert!(picture.width() > 150 && picture.height() > 50, "{} x {}", picture.width(), picture.height());
    }
    let [_, again] = said(folder.path(), &["shapes", "all"], &SMALL);
    assert!(stale(&again).is_empty(), "{again}");
    said(folder.path(), &["shapes", "report"], &SMALL);
    let page = fs::read_to_string(folder.path().join("out/shapes/report.html")).unwrap();
    assert!(
        page.matches("<figure>").count() >= 8 && !page.contains("not run here") && !page.contains("id=\"problems\"")
    );

    let network = "out/shapes/classifier";
    let realise: &[&str] = &["ifv", "realise", network, "act3", "out/ifv", "8", "6", "0", "12", "4"];
    let recipes = [
        realise,
        &["ifv", "show", "out/ifv"],
        &["ifv", "within", "out/ifv", "4"],
        &["ifv", "relative", "out/ifv"],
        &["ifv", "again", network, "act3", "out/ifv", "4", "4", "within"],
    ];
    recipes.iter().for_each(|recipe| drop(said(folder.path(), recipe, &[])));
    let [table, _] = said(folder.path(), &["ifv", "table", "out/ifv"], &[]);
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<Vec<_>>(),
        ["out/ifv/predicted", "out/ifv/within", "out/ifv/relative"]
    );
    for row in &rows {
        let angles: Vec<f64> = row[1..4].iter().map(|angle| angle.parse().unwrap()).collect();
        assert!(angles.iter().all(|angle| (0.0..=90.0).contains(angle)) && angles[1] < angles[2], "{table}");
    }
    let [timings, _] = said(folder.path(), &["ifv", "timings", "out/ifv"], &[]);
    assert_eq!(timings.lines().nth(1).unwrap().split_whitespace().count(), 5, "{timings}");
    for recipe in recipes {
        let [_, again] = said(folder.path(), recipe, &[]);
        assert!(stale(&again).is_empty(), "{again}");
    }
    // A row of costs a kind of run, of the same network.
    let images = "data/shapes/test-images.npy";
    said(folder.path(), &["scale", "fid", network, images, "60", "2", "--layer act1 --resize none"], &[]);
    said(folder.path(), &["scale", "channels", network, "act1:4 act3:8", "4", "4"], &[]);
    let [costs, _] = said(folder.path(), &["scale", "table"], &[]);
    let rows: Vec<Vec<&str>> = costs.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["fid", "channels"], "{costs}");
    assert!(rows.iter().all(|row| row[1..].iter().all(|value| value.parse::<f64>().is_ok())), "{costs}");
}

#[test]
#[cfg_attr(not(all(mirror, just)), ignore = "it takes OBVERSE_MIRROR and just")]
fn just_mnist_quick_recovers_the_digits_and_is_fresh_the_second_time() {
    check("mnist quick", mirror("mnist").parent().unwrap(), 7, "out/mnist/quick", "out/mnist/quick/fa");
}
