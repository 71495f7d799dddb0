//! `npy-view`: grids as PNG and in the terminal, captions and labels, wrong inputs.

use std::path::Path;

use image::{Rgb, RgbImage};
use obverse::store::npy::write;
use obverse::store::sidecar::Sidecar;
use obverse_tests::{names, run, run_with_input};

/// Six grey images of 4 x 4 in dark.npy (value 10 times the index) and six RGB ones, brighter, in light.npy.
fn images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dark: Vec<u8> = (0..6).flat_map(|index| [10 * index; 16]).collect();
    let light: Vec<f32> = (0..6).flat_map(|index| [(100 + 10 * index) as f32 / 255.0; 48]).collect();
    write(&folder.path().join("dark.npy"), &[6, 1, 4, 4], &dark).unwrap();
    write(&folder.path().join("light.npy"), &[6, 3, 4, 4], &light).unwrap();
    write(&folder.path().join("labels.npy"), &[6], &[3i64, 1, 4, 1, 5, 9]).unwrap();
    folder
}

fn picture(folder: &Path, name: &str) -> RgbImage {
    image::open(folder.join(name)).unwrap().to_rgb8()
}

/// The grey of the first pixel of each cell, for cells of 4 x 4 without captions.
fn cells(picture: &RgbImage) -> Vec<Vec<u8>> {
    let row = |y: u32| (2..picture.width()).step_by(6).map(|x| picture.get_pixel(x, y).0[0]).collect();
    (2..picture.height()).step_by(6).map(row).collect()
}

#[test]
fn files_stand_one_below_the_other_or_row_by_row() {
    let folder = images();
    run(folder.path(), "npy-view", "dark.npy light.npy -o g.png --columns 4 --scale 1").succeeds();
    let blank = 255;
    assert_eq!(
        cells(&picture(folder.path(), "g.png")),
        [[0, 10, 20, 30], [40, 50, blank, blank], [100, 110, 120, 130], [140, 150, blank, blank]]
    );
    run(folder.path(), "npy-view", "dark.npy light.npy -o g.png --columns 3 --scale 1 --interleave").succeeds();
    assert_eq!(cells(&picture(folder.path(), "g.png")), [[0, 10, 20], [100, 110, 120], [30, 40, 50], [130, 140, 150]]);
    run(folder.path(), "npy-view", "dark.npy -o g.png --count 2 --scale 1").succeeds();
    assert_eq!(cells(&picture(folder.path(), "g.png")), [[0, 10]]);
    run(folder.path(), "npy-view", "dark.npy light.npy -o g.png --count 2 --scale 1 --beside").succeeds();
    assert_eq!(cells(&picture(folder.path(), "g.png")), [[0, 100], [10, 110]]);
    run(folder.path(), "npy-view", "dark.npy light.npy -o g.png --count 2 --scale 1 --beside --captions a,b")
        .succeeds();
    let captioned = picture(folder.path(), "g.png");
    assert!(captioned.width() == 2 + 2 * 6 && captioned.height() > 2 + 2 * 6, "{:?}", captioned.dimensions());
}

#[test]
fn images_are_made_smaller_by_their_means() {
    let folder = images();
    run(folder.path(), "npy-view", "dark.npy -o g.png --count 2 --scale 1/2").succeeds();
    let picture = picture(folder.path(), "g.png");
    assert_eq!(picture.dimensions(), (2 + 2 * 4, 2 + 4));
    assert_eq!([2, 6].map(|x| picture.get_pixel(x, 2).0[0]), [0, 10]);
}

#[test]
fn captions_and_labels_are_written_around_the_images() {
    let folder = images();
    let arguments = "dark.npy light.npy -o g.png --columns 6 --scale 4 --captions before,after --labels labels.npy";
    run(folder.path(), "npy-view", arguments).succeeds();
    let picture = picture(folder.path(), "g.png");
    assert_eq!(picture.dimensions(), (6 * 8 + 2 + 6 * 18 + 2, 2 * (18 + 9) + 2));
    let ink = picture.view_ink(0, 0, 48, picture.height());
    assert!(ink > 100, "{ink}");
    let below = picture.view_ink(50, 19, 108, 8);
    assert!(below > 50, "{below}");
}

trait Ink {
    fn view_ink(&self, x: u32, y: u32, width: u32, height: u32) -> usize;
}

impl Ink for RgbImage {
    /// Black pixels in a part of the picture.
    fn view_ink(&self, x: u32, y: u32, width: u32, height: u32) -> usize {
        let part = image::imageops::crop_imm(self, x, y, width, height).to_image();
        part.pixels().filter(|&&pixel| pixel == Rgb([0; 3])).count()
    }
}

#[test]
fn a_second_run_is_fresh_and_the_sidecar_knows_the_labels() {
    let folder = images();
    let arguments = "dark.npy -o g.png --labels labels.npy --explain";
    run(folder.path(), "npy-view", arguments).succeeds();
    assert!(run(folder.path(), "npy-view", arguments).succeeds().stderr.contains("fresh"));
    write(&folder.path().join("labels.npy"), &[6], &[0u8; 6]).unwrap();
    assert!(run(folder.path(), "npy-view", arguments).succeeds().stderr.contains("labels.npy changed"));
    let sidecar = Sidecar::read(&folder.path().join("g.png.json")).unwrap();
    assert_eq!(sidecar.metrics["images"], 6);
    assert_eq!(sidecar.inputs.len(), 2);
}

#[test]
fn pictures_pass_through_pipes_and_show_in_the_terminal() {
    let folder = images();
    let array = std::fs::read(folder.path().join("dark.npy")).unwrap();
    let piped = run_with_input(folder.path(), "npy-view", "- -o -", &array).succeeds();
    run(folder.path(), "npy-view", "dark.npy -o g.png").succeeds();
    assert_eq!(piped.stdout, std::fs::read(folder.path().join("g.png")).unwrap());
    let shown = run(folder.path(), "npy-view", "light.npy").succeeds();
    assert!(String::from_utf8_lossy(&shown.stdout).contains('▄'));
}

#[test]
fn a_wrong_input_is_one_line_and_leaves_nothing() {
    let folder = images();
    let path = folder.path();
    write(&path.join("flat.npy"), &[2, 3], &[0.0f32; 6]).unwrap();
    write(&path.join("nan.npy"), &[1, 1, 2], &[0.0, f32::NAN]).unwrap();
    write(&path.join("none.npy"), &[0, 1, 4, 4], &[0u8; 0]).unwrap();
    let before = names(path);
    for (arguments, words) in [
        ("flat.npy -o g.png", &["flat.npy", "(N, C, H, W)", "[2, 3]"][..]),
        ("nan.npy -o g.png", &["nan.npy", "NaN in row 0, element 1"]),
        ("none.npy -o g.png", &["none.npy", "found none"]),
        ("labels.npy -o g.png", &["labels.npy"]),
        ("dark.npy -o g.png --labels dark.npy", &["dark.npy", "labels (N)"]),
        ("dark.npy -o g.png --captions a,b", &["--captions"]),
        ("dark.npy -o g.png --scale 0", &["--scale"]),
        ("dark.npy -o g.png --scale 2/3", &["--scale", "1/K"]),
        ("dark.npy -o g.png --scale 99999", &["pixels", "--scale"]),
    ] {
        run(path, "npy-view", arguments).fails(2, words);
    }
    assert_eq!(names(path), before);
}

/// Two curves, their abscissae, six points in two classes.
fn numbers() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("train.npy"), &[5], &[1.0f32, 0.5, 0.3, 0.2, 0.15]).unwrap();
    write(&path("test.npy"), &[5, 1, 1, 1], &[1.1f64, 0.7, 0.5, 0.45, 0.44]).unwrap();
    write(&path("epochs.npy"), &[5], &[0i64, 10, 20, 40, 80]).unwrap();
    write(&path("latents.npy"), &[6, 2], &[0.0f32, 0.0, 1.0, 0.0, 0.0, 1.0, 3.0, 3.0, 3.0, 4.0, 4.0, 3.0]).unwrap();
    write(&path("classes.npy"), &[6], &[0i64, 0, 0, 7, 7, 7]).unwrap();
    folder
}

/// Pixels of exactly this colour.
fn count(picture: &RgbImage, colour: [u8; 3]) -> usize {
    picture.pixels().filter(|pixel| pixel.0 == colour).count()
}

const BLUE: [u8; 3] = [0x1f, 0x77, 0xb4];
const ORANGE: [u8; 3] = [0xff, 0x7f, 0x0e];

#[test]
fn curves_share_a_frame_and_a_legend_of_their_names() {
    let folder = numbers();
    let path = folder.path();
    run(path, "npy-view", "train.npy test.npy --plot line --title loss -o p.png").succeeds();
    let plotted = picture(path, "p.png");
    assert_eq!(plotted.dimensions(), (640, 480));
    assert!(count(&plotted, BLUE) > 20 && count(&plotted, ORANGE) > 20);
    let alone = "train.npy --plot line -o alone.png --size 320x240 --x-range 0,4 --y-range -1,1.5";
    run(path, "npy-view", alone).succeeds();
    assert_eq!(picture(path, "alone.png").dimensions(), (320, 240));
    // Over other abscissae another picture; the same request, the same bytes.
    run(path, "npy-view", "train.npy test.npy --plot line --title loss --against epochs.npy -o e.png").succeeds();
    run(path, "npy-view", "train.npy test.npy --plot line --title loss -o again.png --threads 1").succeeds();
    let bytes = |name: &str| std::fs::read(path.join(name)).unwrap();
    assert_ne!(bytes("p.png"), bytes("e.png"));
    assert_eq!(bytes("p.png"), bytes("again.png"));
    assert_eq!(Sidecar::read(&path.join("p.png.json")).unwrap().metrics["points"], 10);
}

#[test]
fn points_are_coloured_by_class() {
    let folder = numbers();
    let path = folder.path();
    run(path, "npy-view", "latents.npy --plot scatter -o plain.png").succeeds();
    assert_eq!(count(&picture(path, "plain.png"), ORANGE), 0);
    run(path, "npy-view", "latents.npy --plot scatter --colour-by classes.npy -o p.png").succeeds();
    let plotted = picture(path, "p.png");
    assert!(count(&plotted, BLUE) > 10 && count(&plotted, ORANGE) > 10);
    let shown = run(path, "npy-view", "latents.npy --plot scatter").succeeds();
    assert!(String::from_utf8_lossy(&shown.stdout).contains('▄'));
}

#[test]
fn a_plot_is_fresh_until_its_data_or_its_legend_change() {
    let folder = numbers();
    let path = folder.path();
    let plot = |arrays: &str| run(path, "npy-view", &format!("{arrays} --plot line -o p.png --explain")).succeeds();
    plot("train.npy test.npy");
    assert!(plot("train.npy test.npy").stderr.contains("fresh"));
    std::fs::copy(path.join("test.npy"), path.join("validation.npy")).unwrap();
    assert!(plot("train.npy validation.npy").stderr.contains("legend"));
    assert!(!plot("train.npy validation.npy --captions a,b").stderr.contains("fresh"));
}

#[test]
fn a_wrong_plot_is_one_line_and_leaves_nothing() {
    let folder = numbers();
    let path = folder.path();
    write(&path.join("nan.npy"), &[3], &[0.0, f32::NAN, 1.0]).unwrap();
    write(&path.join("none.npy"), &[0], &[0.0f32; 0]).unwrap();
    write(&path.join("three.npy"), &[2, 3], &[0.0f32; 6]).unwrap();
    let before = names(path);
    let cases: [(&str, &[&str]); 20] = [
        ("nan.npy --plot line", &["nan.npy", "NaN in row 1"]),
        ("none.npy --plot line", &["none.npy", "at least one"]),
        ("three.npy --plot line", &["three.npy", "(N, 1)", "[2, 3]"]),
        ("three.npy --plot scatter", &["three.npy", "(N, 2)", "[2, 3]"]),
        ("latents.npy --plot line", &["latents.npy", "(N, 1)"]),
        ("latents.npy --plot scatter --against epochs.npy", &["latents.npy", "(N, 1)"]),
        ("train.npy --plot line --against classes.npy", &["train.npy", "expected 6", "found 5"]),
        ("latents.npy --plot scatter --colour-by epochs.npy", &["epochs.npy", "expected 6", "found 5"]),
        ("latents.npy --plot scatter --colour-by train.npy", &["train.npy"]),
        ("train.npy --plot line --colour-by classes.npy", &["--colour-by"]),
        ("train.npy --plot line --x-range 1,0", &["x axis", "1,0"]),
        ("train.npy --plot line --y-range nan,1", &["y axis"]),
        ("train.npy --plot line --y-range 5", &["--y-range", "A,B"]),
        ("train.npy --plot line --size 40x40", &["40 x 40", "--size"]),
        ("train.npy --plot line --columns 3", &["--columns", "--plot"]),
        ("train.npy --title loss", &["--plot"]),
        ("nan.npy --plot histogram", &["nan.npy", "NaN in row 1"]),
        ("none.npy --plot histogram", &["none.npy", "at least one"]),
        ("train.npy --plot histogram --against epochs.npy", &["--against", "histogram"]),
        ("train.npy --plot line --bins 3", &["--bins", "histogram"]),
    ];
    for (arguments, words) in cases {
        run(path, "npy-view", &format!("{arguments} -o g.png")).fails(2, words);
    }
    assert_eq!(names(path), before);
}

#[test]
fn a_histogram_counts_values_of_any_shape_and_a_plot_is_written_as_svg() {
    let folder = numbers();
    let path = folder.path();
    write(&path.join("values.npy"), &[2, 2, 2], &[0.0f32, 0.1, 0.2, 0.9, 1.0, 1.0, 0.5, 0.4]).unwrap();
    let svg = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    run(path, "npy-view", "values.npy --plot histogram --bins 4 -o h.svg").succeeds();
    run(path, "npy-view", "train.npy test.npy --plot line --title loss -o l.svg").succeeds();
    assert!(svg("h.svg").starts_with("<svg") && svg("l.svg").contains("loss"));
    run(path, "npy-view", "values.npy --plot histogram -o h.png").succeeds();
    assert!(count(&picture(path, "h.png"), BLUE) > 100);
}

#[test]
fn maps_of_many_channels_are_shown_by_their_channels() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let maps: Vec<f32> = (0..2 * 5).flat_map(|map| [map as f32 - 5.0; 16]).collect();
    write(&folder.join("maps.npy"), &[2, 5, 4, 4], &maps).unwrap();
    run(folder, "npy-view", "maps.npy -o g.png").fails(2, &["maps.npy", "[2, 5, 4, 4]", "channels"]);
    run(folder, "npy-view", "maps.npy --channels 3..5 --range -5,5 --scale 1 --columns 4 -o g.png").succeeds();
    assert_eq!(cells(&picture(folder, "g.png")), [[77, 102, 204, 230]]);
    run(folder, "npy-view", "maps.npy --channels 4..7 -o h.png").fails(2, &["maps.npy", "4..7"]);
    run(folder, "npy-view", "maps.npy --channels 3 -o h.png").fails(2, &["--channels", "FIRST..END"]);
    run(folder, "npy-view", "maps.npy --channels 0..3 --range 1,1 -o h.png").fails(2, &["--range", "A below B"]);
}

#[test]
fn differences_stand_beside_what_differs_and_classes_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write(&path.join("a.npy"), &[2, 1, 4, 4], &[100u8; 32]).unwrap();
    let mut changed = vec![100u8; 32];
    (changed[0], changed[31]) = (200, 50);
    write(&path.join("b.npy"), &[2, 1, 4, 4], &changed).unwrap();
    write(&path.join("labels.npy"), &[2], &[1i64, 0]).unwrap();
    std::fs::write(path.join("dataset.json"), r#"{"classes": ["cat", "dog"]}"#).unwrap();
    run(path, "npy-view", "a.npy b.npy --difference --beside --captions a,b,- --scale 8 -o d.png").succeeds();
    let metrics = Sidecar::read(&path.join("d.png.json")).unwrap().metrics;
    assert!((metrics["difference_range"].as_f64().unwrap() - 100.0 / 255.0).abs() < 1e-9, "{metrics:?}");
    let drawn = picture(path, "d.png");
    // A pixel of the second image in full red, and the end of the scale; half as strong a blue.
    assert!(count(&drawn, [0x67, 0x00, 0x1f]) > 64);
    assert_eq!(count(&drawn, [0x82, 0x98, 0xb0]), 64);
    run(path, "npy-view", "a.npy --labels labels.npy --scale 16 -o n.png").succeeds();
    run(path, "npy-view", "a.npy --labels labels.npy --class-names dataset.json --scale 16 -o c.png").succeeds();
    let ink = |name: &str| count(&picture(path, name), [0; 3]);
    assert!(ink("c.png") > 2 * ink("n.png"), "{} {}", ink("c.png"), ink("n.png"));
    let refused = |words: &str, said: &[&str]| drop(run(path, "npy-view", &format!("{words} -o x.png")).fails(2, said));
    refused("a.npy --difference", &["--difference", "two files"]);
    refused("a.npy labels.npy --difference", &["labels.npy"]);
    refused("a.npy b.npy --difference --captions a,b", &["--captions", "3"]);
    refused("a.npy b.npy --difference-range 1", &["--difference"]);
    refused("a.npy b.npy --difference --difference-range 0", &["--difference-range"]);
    refused("a.npy --labels labels.npy --class-names cat", &["--class-names", "label 1"]);
    refused("a.npy --labels labels.npy --class-names a.json", &["a.json"]);
    refused("a.npy --class-names a,b", &["--labels"]);
}
