//! `fid-score`, `nearest`: distances of the oracle by the command line, statistics in shards, sets of images of every kind, features
//! that are kept, and what cannot be compared.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

mod images;

use std::fs;
use std::path::Path;

use obverse::store::npy::{read, write};
use obverse::tensor::random::Stream;
use obverse_tests::oracle::Case;
use obverse_tests::{run, write_images};
use serde_json::Value;
use tempfile::TempDir;

fn json(folder: &Path, tool: &str, words: &str) -> Value {
    serde_json::from_slice(&run(folder, tool, &format!("{words} --json --quiet")).succeeds().stdout).unwrap()
}

fn close(value: &Value, expected: f64, relative: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() <= relative * expected.abs()
}

/// A folder with 40 images of 8 x 8 and a small network.
fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("images.npy"), 40, 3, 8).unwrap();
    run(folder.path(), "npy-cat", "images.npy --rows 20..40 -o half.npy").succeeds();
    run(folder.path(), "fa-fit", "images.npy --arch mnist --latent 4 --init uniform --epochs 0 --quiet -o net")
        .succeeds();
    folder
}

const NET: &str = "--net net --layer act2";

#[test]
fn features_give_the_distances_of_the_oracle() {
    let case = Case::open("frechet");
    let (folder, expected) = (case.unpacked(), &case.description["expected"]);
    for (set, label) in [("full", "frechet-features-"), ("deficient", "deficient")] {
        let found = json(folder.path(), "fid-score", &format!("{set}.a.npy {set}.b.npy"));
        for name in ["fid", "kid"] {
            assert!(close(&found[name], expected[set][name].as_f64().unwrap(), 1e-6), "{set} {name}: {found}");
        }
        assert!(found["features"]["label"].as_str().unwrap().contains(label), "{found}");
        assert!(found["images_a"].as_u64().unwrap() > 1 && found["images_b"].as_u64().unwrap() > 1);
    }
    let found = json(folder.path(), "fid-score", "full.a.npy full.b.npy --intervals --prdc --infinity");
    for same in ["--intervals --threads 1", "--bootstrap 50"] {
        let words = format!("full.a.npy full.b.npy {same} --prdc --infinity");
        assert_eq!(found, json(folder.path(), "fid-score", &words));
    }
    for name in ["fid", "kid", "precision", "recall", "density", "coverage"] {
        let (interval, value) = (&found[format!("{name}_interval")], found[name].as_f64().unwrap());
        let (low, high) = (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap());
        assert!(found[format!("{name}_standard_error")].as_f64().unwrap() > 0.0, "{name}: {found}");
        assert!(low <= value && value <= high, "{name}: {found}");
    }
    assert_eq!(found["fid_interval"], found["fid_infinity_interval"]);
    // The bias of 400 images is about an error here.
    let [infinity, error, fid] =
        ["fid_infinity", "fid_infinity_standard_error", "fid"].map(|name| found[name].as_f64().unwrap());
    assert!(infinity < fid && fid < infinity + 3.0 * error && error < 0.1 * fid, "{found}");
}

#[test]
fn two_sets_are_tested_against_one_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let set = |name: &str, count: usize, shift: f32| {
        let rows: Vec<f32> = Stream::new(0, name, 0).normal::<f32>(0..count * 6).iter().map(|x| x + shift).collect();
        write(&path.join(format!("{name}.npy")), &[count, 6], &rows).unwrap();
    };
    for (name, count, shift) in
        [("a", 300, 0.0), ("b", 200, 0.3), ("same", 200, 0.3), ("far", 200, 0.9), ("few", 150, 0.9)]
    {
        set(name, count, shift);
    }
    let against = |c: &str, more: &str| json(path, "fid-score", &format!("a.npy b.npy --against {c}.npy {more}"));
    let (same, far) = (against("same", "--prdc"), against("far", "--prdc"));
    for name in ["fid", "kid", "precision", "recall", "coverage"] {
        let number = |found: &Value, key: &str| found[format!("{name}_{key}")].as_f64().unwrap();
        let [low, high] = [0, 1].map(|end| same[format!("{name}_difference_interval")][end].as_f64().unwrap());
        // An interval of 95% leaves out 0 where the probability is below 5%, as it is once in twenty draws of one law.
        let probability = number(&same, "difference_p_value");
        assert!(probability > 0.01 && (low < 0.0 && 0.0 < high) == (probability > 0.05), "{name}: {same}");
        assert!(number(&far, "difference_p_value") < 0.01, "{name}: {far}");
        let nearer = if ["fid", "kid"].contains(&name) { -1.0 } else { 1.0 };
        assert!(nearer * number(&far, "difference") > 0.0 && number(&far, "against") != number(&same, "against"));
    }
    // The same numbers as without a third set.
    let alone = json(path, "fid-score", "a.npy b.npy --prdc --intervals");
    for (key, value) in alone.as_object().unwrap() {
        assert_eq!(&far[key], value, "{key}");
    }
    assert_eq!(far["images_against"], 200);
    run(path, "fid-score", "a.npy b.npy --against few.npy --prdc").fails(2, &["200", "found 150"]);
    assert!(against("few", "")["fid_difference"].as_f64().unwrap() < 0.0);
    // A reference of statistics is exact: its images add nothing to the error.
    run(path, "fid-score", "stats a.npy -o a.npz").succeeds();
    let exact = json(path, "fid-score", "a.npz b.npy --intervals --infinity");
    assert!(exact["fid_standard_error"].as_f64() < alone["fid_standard_error"].as_f64(), "{exact} {alone}");
    assert!(exact["fid_infinity"].as_f64() < exact["fid"].as_f64() && exact["kid"].is_null());
}

#[test]
fn a_kernel_distance_says_what_it_needs_and_has_an_interval_however_many_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, count) in [("a", 60), ("b", 40), ("many", 10_001)] {
        let rows: Vec<f32> = Stream::new(0, name, 0).normal(0..count * 2);
        write(&path.join(format!("{name}.npy")), &[count, 2], &rows).unwrap();
    }
    let few = json(path, "fid-score", "a.npy b.npy --kid-subsets 10 --prdc --intervals");
    assert!(few["kid"].is_null() && few["fid"].is_number() && few["precision_interval"].is_array(), "{few}");
    let remark = few["kid_remark"].as_str().unwrap();
    assert!(["1000", "--kid-size", "found 40"].iter().all(|word| remark.contains(word)), "{remark}");
    let taken = json(path, "fid-score", "a.npy b.npy --kid-subsets 10 --kid-size 40 --intervals");
    assert!(taken["kid"].is_number() && taken["kid_interval"].is_array() && taken["kid_remark"].is_null());
    let many = json(path, "fid-score", "many.npy many.npy --kid-size 50 --intervals");
    assert_eq!(many["kid_subsets"], serde_json::json!([100, 50]));
    assert!(many["kid_interval"][0].as_f64() <= many["kid_interval"][1].as_f64());
    assert!(many["kid_standard_error"].as_f64().unwrap() > 0.0, "{many}");
}

#[test]
fn statistics_of_shards_merge_to_the_whole_in_any_order() {
    let folder = images();
    let run = |words: &str| run(folder.path(), "fid-score", words).succeeds();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    run(&format!("stats images.npy {NET} -o whole.npz"));
    for part in 1..=3 {
        run(&format!("stats images.npy {NET} --shard {part}/3 --batch {part} -o p{part}.npz"));
    }
    run("merge p1.npz p2.npz p3.npz -o one.npz");
    run("merge p3.npz p1.npz p2.npz -o other.npz");
    assert_eq!(bytes("one.npz"), bytes("other.npz"));
    let refused = |parts: &str, words: &[&str]| {
        obverse_tests::run(folder.path(), "fid-score", &format!("merge {parts} -o less.npz")).fails(2, words);
        assert!(!folder.path().join("less.npz").exists());
    };
    refused("p1.npz p3.npz", &["p1.npz", "all 3 parts", "found none for 2/3", "--any-parts"]);
    refused("p1.npz p2.npz p3.npz p2.npz", &["each of the 3 parts", "found 4 files"]);
    run("merge p1.npz p3.npz --any-parts -o less.npz");
    run(&format!("features images.npy {NET} -o f.npy"));
    run("stats f.npy -o features.npz");
    let fid = |b: &str| json(folder.path(), "fid-score", &format!("whole.npz {b}"));
    for same in ["one.npz", "features.npz", "f.npy"] {
        assert!(fid(same)["fid"].as_f64().unwrap() < 1e-10, "{same}: {}", fid(same));
    }
    assert!(run(&format!("stats images.npy {NET} -o whole.npz")).stderr.contains("fresh"));
    for part in 1..=2 {
        run(&format!("features images.npy {NET} --shard {part}/2 --batch 3 -o f{part}.npy"));
    }
    obverse_tests::run(folder.path(), "npy-cat", "f1.npy f2.npy -o joined.npy").succeeds();
    assert_eq!(bytes("joined.npy"), bytes("f.npy"));
    let join = |words: &str| obverse_tests::run(folder.path(), "npy-cat", &format!("{words} -o less.npy"));
    join("f2.npy f1.npy").fails(2, &["f2.npy", "in order", "found 2, 1"]);
    join("f1.npy f1.npy").fails(2, &["f1.npy", "found none for 2/2"]);
    assert!(!folder.path().join("less.npy").exists());
    join("f2.npy f1.npy --any-parts").succeeds();
    // Parts beside what is none, rows of them, and one by itself: nothing is asked.
    for words in ["f1.npy f.npy", "f2.npy f1.npy --head 3", "f2.npy"] {
        join(words).succeeds();
    }
    // As the JSON says, from the network, its node and the resizing.
    let described = &fid("f.npy")["features"];
    assert_eq!((described["layer"].as_str(), described["resize"].as_str()), (Some("act2"), Some("bilinear")));
}

#[test]
fn folders_and_archives_of_any_size_are_images_too() {
    let folder = images();
    let path = folder.path();
    let pixels = read::<u8>(&path.join("images.npy")).unwrap();
    fs::create_dir_all(path.join("files/a")).unwrap();
    for (i, image) in pixels.outer_iter().enumerate() {
        let pixel = |x: u32, y: u32| image::Rgb([0, 1, 2].map(|c| image[[c, y as usize, x as usize]]));
        image::RgbImage::from_fn(8, 8, pixel).save(path.join(format!("files/a/{i:03}.png"))).unwrap();
    }
    let fid = |a: &str, b: &str, more: &str| json(path, "fid-score", &format!("{a} {b} {NET} {more}"));
    assert!(fid("images.npy", "files", "")["fid"].as_f64().unwrap() < 1e-10);
    let archive = fs::File::create(path.join("files.tar")).unwrap();
    let mut archive = tar::Builder::new(archive);
    archive.append_dir_all("files", path.join("files")).unwrap();
    archive.finish().unwrap();
    assert!(fid("files.tar", "files", "")["fid"].as_f64().unwrap() < 1e-10);
    // Other sizes are resized, 16 bits and grey are taken.
    image::RgbImage::from_pixel(20, 5, image::Rgb([9, 99, 199])).save(path.join("files/wide.png")).unwrap();
    let deep = image::ImageBuffer::from_pixel(8, 8, image::Luma([40_000u16]));
    deep.save(path.join("files/deep.png")).unwrap();
    assert_eq!(fid("files", "images.npy", "")["images_a"], 42);
    assert_eq!(fid("files", "images.npy", "--resize clean")["images_a"], 42);
    // One that is broken is named, and stops the run unless it may be skipped.
    fs::write(path.join("files/broken.png"), "no image").unwrap();
    run(path, "fid-score", &format!("files images.npy {NET}")).fails(2, &["broken.png"]);
    let found = fid("files", "images.npy", "--on-error skip");
    assert_eq!((&found["images_a"], &found["skipped_a"]), (&Value::from(42), &Value::from(1)));
}

#[test]
fn pairs_have_a_similarity_and_pools_have_neighbours() {
    let folder = images();
    let found = json(folder.path(), "fid-score", "images.npy images.npy --paired --intervals");
    assert!(close(&found["ssim"], 1.0, 1e-12) && found["l2"].as_f64() == Some(0.0), "{found}");
    let case = Case::open("similarity").unpacked();
    let expected = read::<f64>(&case.path().join("ssim.npy")).unwrap();
    let found = json(case.path(), "fid-score", "a.npy b.npy --paired");
    assert!(close(&found["ssim"], expected.mean().unwrap(), 1e-6), "{found}");
    for metric in ["l1", "l2", "ssim"] {
        let words = format!("half.npy images.npy --metric {metric} -k 3 -o near");
        assert_eq!(json(folder.path(), "nearest", &words)["mean_distance"], 0.0);
        let rows = read::<i64>(&folder.path().join("near/neighbours.npy")).unwrap();
        assert_eq!(rows.shape(), [20, 3]);
        assert!((0..20).all(|row| rows[[row, 0]] == 20 + row as i64), "{metric}: {rows}");
        let distances = read::<f64>(&folder.path().join("near/distances.npy")).unwrap();
        assert!((0..20).all(|row| 0.0 < distances[[row, 1]] && distances[[row, 1]] <= distances[[row, 2]]));
    }
    run(folder.path(), "nearest", "half.npy images.npy --metric l2 --group 2 -k 2 -o groups").succeeds();
    let rows = read::<i64>(&folder.path().join("groups/neighbours.npy")).unwrap();
    assert!((0..20).all(|row| rows[[row, 0]] / 2 == row as i64 && rows[[row, 1]] / 2 == row as i64), "{rows}");
    run(folder.path(), "nearest", "half.npy images.npy --metric l2 --paired -o x")
        .fails(2, &["images.npy", "20", "40"]);
}

#[test]
fn what_cannot_be_compared_is_said_in_one_line() {
    let folder = images();
    let path = folder.path();
    let refused = |words: &str, expected: &[&str]| {
        run(path, "fid-score", words).fails(2, expected);
    };
    run(path, "npy-cat", "images.npy --head 1 -o one.npy").succeeds();
    run(path, "npy-cat", "images.npy --head 0 -o none.npy").succeeds();
    write(&path.join("two.npy"), &[5, 2, 8, 8], &[7u8; 5 * 2 * 64]).unwrap();
    write(&path.join("f3.npy"), &[5, 3], &[1.0f32; 15]).unwrap();
    write(&path.join("f4.npy"), &[5, 4], &[1.0f32; 20]).unwrap();
    write(&path.join("nan.npy"), &[2, 4], &[f32::NAN; 8]).unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    refused(&format!("images.npy one.npy {NET}"), &["at least 2 images, found 1"]);
    refused(&format!("images.npy none.npy {NET}"), &["none.npy"]);
    refused(&format!("images.npy empty {NET}"), &["empty"]);
    refused(&format!("images.npy two.npy {NET}"), &["two.npy", "3 channels"]);
    refused("f3.npy f4.npy", &["expected 3 features, found 4"]);
    refused("f4.npy nan.npy", &["nan.npy"]);
    refused("images.npy half.npy --net nowhere", &["nowhere", "dataset fetch inception"]);
    refused(&format!("images.npy half.npy {NET}x"), &["act2x"]);
    refused("f4.npy f4.npy --prdc", &["at least 6 images, found 5"]);
    run(path, "fid-score", &format!("stats images.npy {NET} -o s.npz")).succeeds();
    refused("s.npz s.npz --intervals", &["--intervals", "statistics on both"]);
    refused("s.npz s.npz --bootstrap 5", &["--bootstrap"]);
    refused("f4.npy f4.npy --intervals", &["at least 6 images, found 5"]);
    refused("s.npz half.npy --net net --layer act1", &["act1", "act2"]);
    write(&path.join("sixteen.npy"), &[3, 3, 16, 16], &[1u8; 3 * 3 * 256]).unwrap();
    refused(&format!("images.npy sixteen.npy {NET} --resize none"), &["sixteen.npy", "8x8"]);
    fs::write(path.join("bad.npz"), "no zip").unwrap();
    refused("bad.npz f4.npy", &["bad.npz"]);
}

/// The inception network from the developers' weights: the features of the oracle, and what they are called.
#[test]
#[cfg_attr(not(mirror), ignore = "it takes OBVERSE_MIRROR")]
fn inception_features_are_named_and_are_those_of_the_oracle() {
    let weights = obverse_tests::mirror("weights/inception-v3-2015-to-mixed-6e.safetensors");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, "net-import", &format!("{} -o net", weights.display())).succeeds();
    let oracle = Case::open("inception").unpacked();
    let images = oracle.path().join("images.npy");
    run(path, "fid-score", &format!("features {} --net net -o f.npy", images.display())).succeeds();
    let expected = read::<f32>(&oracle.path().join("features_768.npy")).unwrap();
    let found = read::<f32>(&path.join("f.npy")).unwrap();
    let norm = |values: ndarray::ArrayD<f32>| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!(norm(&found - &expected) < 1e-4 * norm(expected));
    let label = |layer: &str, more: &str| {
        let words = format!("{0} {0} --net net {layer} {more}", images.display());
        let found = json(path, "fid-score", &words);
        assert!(found["fid"].as_f64().unwrap() < 1e-6, "{found}");
        found["features"]["label"].as_str().unwrap().to_string()
    };
    // Eight images are fewer than any of its features.
    assert_eq!(label("", ""), "fid-768-deficient");
    assert_eq!(label("--layer features_64", "--resize clean"), "fid-64-deficient");
    assert_eq!(label("--layer Mixed_5b", ""), "frechet-Mixed_5b-256-deficient");
    let sfid = json(path, "fid-score", &format!("{0} {0} --net net --layer features_64 --sfid", images.display()));
    assert!(sfid["sfid"].as_f64().unwrap() < 1e-6, "{sfid}");
    run(path, "fid-score", &format!("{0} {0} --net net --layer features_2048", images.display()))
        .fails(2, &["features_768"]);
}
