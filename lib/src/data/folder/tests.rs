use std::fs;
use std::path::Path;

use proptest::prelude::*;

use image::DynamicImage;

use super::decode::decode_limited;
use super::*;
use crate::data::import::{Format, Import};
use crate::data::mirror::mirror;
use crate::data::resize::Filter;

fn save(root: &Path, name: &str, image: impl Into<DynamicImage>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

fn grey(value: u8, width: u32, height: u32) -> image::GrayImage {
    image::GrayImage::from_pixel(width, height, image::Luma([value]))
}

fn read(root: &Path, options: Options) -> Result<Vec<(String, Vec<Example>)>> {
    let (parts, _) = open(Source::open(root, wanted)?, options)?;
    parts.into_iter().map(|part| Ok((part.name, part.images.examples.collect::<Result<_>>()?))).collect()
}

#[test]
fn classes_are_the_sorted_folders_and_images_come_in_rounds() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("b/1.png", 3), ("b/2.png", 4), ("a/1.png", 1), ("a/9.png", 2), ("a/notes.txt.png", 5)] {
        save(folder.path(), &format!("data/train/{name}"), grey(value, 2, 2));
    }
    save(folder.path(), "data/test/b/1.png", grey(9, 2, 2));
    let (parts, classes) = open(Source::open(folder.path(), wanted).unwrap(), Options::default()).unwrap();
    assert_eq!(classes.unwrap(), ["a", "b"]);
    let read = |part: Part| {
        let examples = part.images.examples.map(Result::unwrap);
        (part.name, examples.map(|example| (example.pixels[0], example.label)).collect::<Vec<_>>())
    };
    let train = vec![(1, Some(0)), (3, Some(1)), (2, Some(0)), (4, Some(1)), (5, Some(0))];
    let expected = [("train".to_string(), train), ("test".to_string(), vec![(9, Some(1))])];
    assert_eq!(parts.into_iter().map(read).collect::<Vec<_>>(), expected);
}

#[test]
fn a_single_folder_has_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "img_align_celeba/000001.png", grey(1, 4, 6));
    let parts = read(folder.path(), Options { crop: Some(4), resize: Some((2, Filter::Lanczos)), channels: Some(3) });
    let expected = Example { pixels: vec![1; 12], label: None };
    assert_eq!(parts.unwrap(), [("train".to_string(), vec![expected])]);
}

#[test]
fn images_that_differ_are_named_and_resizing_makes_them_equal() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "a.png", grey(1, 4, 4));
    save(folder.path(), "b.png", grey(1, 5, 4));
    let error = read(folder.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("`resize`"), "{error}");
    let options = Options { resize: Some((4, Filter::Lanczos)), ..Options::default() };
    assert_eq!(read(folder.path(), options).unwrap()[0].1.len(), 2);
    save(folder.path(), "b.png", image::RgbImage::from_pixel(4, 4, image::Rgb([1, 2, 3])));
    assert!(read(folder.path(), options).unwrap_err().to_string().contains("`channels`"));
}

#[test]
fn channels_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([x as u8, 10 + y as u8, 20]);
    save(folder.path(), "a.png", image::RgbImage::from_fn(2, 1, pixel));
    assert_eq!(read(folder.path(), Options::default()).unwrap()[0].1[0].pixels, [0, 1, 10, 10, 20, 20]);
}

#[test]
#[ignore = "it takes OBVERSE_MIRROR"]
fn the_lossy_cifar_has_5000_and_1000_images_of_each_class() {
    let archive = mirror("cifar10/cifar10-jpeg.tar.zst");
    let (parts, classes) = open(Source::open(&archive, wanted).unwrap(), Options::default()).unwrap();
    assert_eq!(classes.unwrap(), crate::data::cifar::CLASSES);
    for part in parts {
        let mut counts = [0; 10];
        for (place, example) in part.images.examples.enumerate() {
            let label = example.unwrap().label.unwrap() as usize;
            assert_eq!(label, place % 10);
            counts[label] += 1;
        }
        assert_eq!(counts, [if part.name == "train" { 5000 } else { 1000 }; 10]);
    }
}

/// Images of 2 x 2 with these names, each of the value of its place, and files of text.
fn tree(names: &[&str], texts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    names.iter().zip(1..).for_each(|(name, value)| save(folder.path(), name, grey(value, 2, 2)));
    for (name, text) in texts {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A part's name, and the value and the label of each of its images.
type Read = (String, Vec<(u8, Option<i64>)>);

fn imported(root: &Path) -> Result<(Vec<Read>, Vec<String>, String)> {
    let Import { parts, classes, left_out, .. } =
        Format::Images.open(Format::Images.source(root)?, Options::default())?;
    let read = |part: Part| {
        let values = part.images.examples.map(|example| example.map(|example| (example.pixels[0], example.label)));
        Ok((part.name, values.collect::<Result<_>>()?))
    };
    let parts = parts.into_iter().map(read).collect::<Result<_>>()?;
    Ok((parts, classes.unwrap_or_default(), left_out.to_string()))
}

fn part(name: &str, images: &[(u8, i64)]) -> Read {
    (name.to_string(), images.iter().map(|&(value, label)| (value, Some(label))).collect())
}

#[track_caller]
fn refused(names: &[&str], texts: &[(&str, &str)], words: &[&str]) {
    let folder = tree(names, texts);
    let error = imported(folder.path()).unwrap_err().to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} in {error}"));
}

#[test]
fn what_leaves_a_part_or_class_open_is_refused_by_name() {
    // A third folder, a loose image, classes beside a class named train.
    refused(
        &["train/a/1.png", "test/a/2.png", "samples/a/3.png"],
        &[],
        &["beside them samples (1 image)", "named train"],
    );
    refused(&["train/a/1.png", "train/b/2.png", "preview.png"], &[], &["preview.png (1 image)"]);
    refused(&["set/apple/1.png", "set/train/2.png", "set/worm/3.png"], &[], &["apple (1 image), worm (1 image)"]);
    // Two folders of one part, parts within classes.
    refused(
        &["val/a/1.png", "valid/a/2.png", "train/a/3.png"],
        &[],
        &["one folder of the part validation", "val, valid"],
    );
    refused(&["cat/train/1.png", "cat/test/2.png", "dog/train/3.png"], &[], &["cat/test/2.png", "train/CLASS"]);
    // Classes for some images only, and folders that are of another kind.
    refused(&["train/a/1.png", "train/b/2.png", "train/3.png"], &[], &["train/3.png", "class folders"]);
    refused(&["train/a/1.png", "train/b/2.png", "test/unknown/3.png"], &[], &["the classes of train", "found unknown"]);
    refused(&["train/1.png", "test/a/2.png", "test/b/3.png"], &[], &["the part train", "none of train/1.png"]);
    refused(
        &["train/a/1.png", "train/b/2.png", "val/images/3.png"],
        &[],
        &["val_annotations.txt", "val/images/3.png", "`list`"],
    );
}

#[test]
fn parts_have_many_names_and_may_be_flat() {
    let names = ["Training/b/1.png", "Training/a/2.png", "testing/3.png", "unlabelled/x/4.png", "valid/a/5.png"];
    let folder = tree(&names, &[("Training/notes.txt", ""), ("README.md", ""), ("testing/.hidden/9.png", "")]);
    let (parts, classes, left_out) = imported(folder.path()).unwrap();
    let unlabelled = |name: &str, value| (name.to_string(), vec![(value, None)]);
    let expected = [
        part("train", &[(2, 0), (1, 1)]),
        unlabelled("test", 3),
        part("validation", &[(5, 0)]),
        unlabelled("unlabeled", 4),
    ];
    assert_eq!((parts.as_slice(), classes.as_slice()), (&expected[..], &["a".to_string(), "b".to_string()][..]));
    assert_eq!(left_out, "1 .md, 1 .txt");
}

#[test]
fn tiny_imagenet_has_its_list_and_a_test_part_without_classes() {
    let names = [
        "tiny/train/n2/images/n2_0.png",
        "tiny/train/n1/images/n1_0.png",
        "tiny/val/images/val_0.png",
        "tiny/val/images/val_1.png",
        "tiny/test/images/test_0.png",
    ];
    let list = "val_0.png\tn2\t0\t32\t44\t62\nval_1.png\tn1\t1\t2\t3\t4\nval_2.png\tn1\t1\t2\t3\t4\n";
    let texts = [("tiny/val/val_annotations.txt", list), ("tiny/wnids.txt", "n1\nn2\n")];
    let folder = tree(&names, &texts);
    let (parts, classes, _) = imported(folder.path()).unwrap();
    let test = ("test".to_string(), vec![(5, None)]);
    let validation = part("validation", &[(4, 0), (3, 1)]);
    assert_eq!(parts, [part("train", &[(2, 0), (1, 1)]), test, validation.clone()]);
    assert_eq!(classes, ["n1", "n2"]);
    // The part alone.
    assert_eq!(imported(&folder.path().join("tiny/val")).unwrap().0, [validation]);
    refused(
        &names,
        &[("tiny/val/val_annotations.txt", "val_0.png\tn2\t0\t0\t1\t1\n")],
        &["val_1.png", "the class of every"],
    );
}

#[test]
fn imagenet_has_the_lists_that_users_hold() {
    let names = [
        "ILSVRC/Data/train/n2/n2_1.png",
        "ILSVRC/Data/train/n1/n1_1.png",
        "ILSVRC/Data/val/ILSVRC2012_val_00000001.png",
        "ILSVRC/Data/val/ILSVRC2012_val_00000002.png",
    ];
    let kaggle = "ImageId,PredictionString\nILSVRC2012_val_00000002,n1 85 1 499 272 n1 0 0 1 1\nILSVRC2012_val_00000001,n2 1 2 3 4\n";
    let caffe = "ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 0\n";
    let lists = [
        ("LOC_val_solution.csv", kaggle),
        ("ILSVRC/Data/val/val.txt", caffe),
        ("imagenet_2012_validation_synset_labels.txt", "n2\nn1\n"),
    ];
    for list in lists {
        let folder = tree(&names, &[list]);
        let (parts, classes, _) = imported(folder.path()).unwrap();
        assert_eq!(parts, [part("train", &[(2, 0), (1, 1)]), part("validation", &[(4, 0), (3, 1)])], "{list:?}");
        assert_eq!(classes, ["n1", "n2"], "{list:?}");
    }
    // A list that the user names.
    let folder = tree(&names, &[("mine", caffe)]);
    let mut source = Format::Images.source(&folder.path().join("ILSVRC")).unwrap();
    source.take_in(LIST, &folder.path().join("mine"));
    let (mut parts, _) = open(source, Options::default()).unwrap();
    assert_eq!(parts.pop().unwrap().images.examples.next().unwrap().unwrap().label, Some(0));
    refused(&names, &[("val.txt", "val_1\nval_2\n")], &["the part validation"]);
    refused(&names, &[("val.txt", &caffe.replace(" 1", " 2"))], &["val.txt", "2 class folders", "found 2"]);
    refused(&names, &[("imagenet_2012_validation_synset_labels.txt", "n2\n")], &["each of the 2", "1 lines"]);
    refused(&names, &[("ILSVRC2012_validation_ground_truth.txt", "1\n2\n")], &["LOC_val_solution.csv"]);
}

#[test]
fn a_folder_of_links_is_read_as_what_they_lead_to() {
    let folder = tree(&["store/0.png", "store/1.png"], &[]);
    for (link, target) in [("cat/0.png", "../../store/0.png"), ("dog/1.png", "../../store/1.png"), ("cat/loop", "..")] {
        let link = folder.path().join("set").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    }
    let set = folder.path().join("set");
    assert_eq!(imported(&set).unwrap().0, [part("train", &[(1, 0), (2, 1)])]);
    std::os::unix::fs::symlink("../../store/9.png", set.join("dog/9.png")).unwrap();
    let error = imported(&set).unwrap_err().to_string();
    assert!(error.contains("dog/9.png") && error.contains("git annex get"), "{error}");
}

#[test]
fn every_format_gives_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([40 * x as u8, 60 * y as u8, 7]);
    let picture = image::RgbImage::from_fn(5, 4, pixel);
    let names = ["1.bmp", "2.pam", "3.png", "4.ppm", "5.pnm", "6.qoi", "7.tga", "8.TIFF", "9.webp"];
    names.iter().for_each(|name| save(folder.path(), name, picture.clone()));
    let parts = read(folder.path(), Options::default()).unwrap();
    assert_eq!(parts[0].1.len(), names.len());
    assert!(parts[0].1.iter().all(|example| *example == parts[0].1[0]));
    // Text and bits, and fewer levels than 256.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.pgm"), "P2 2 1 15\n0 15\n").unwrap();
    fs::write(folder.path().join("b.pbm"), b"P4 2 1\n\x80").unwrap();
    fs::write(folder.path().join("c.pbm"), "P1 2 1\n1 0\n").unwrap();
    let parts = read(folder.path(), Options::default()).unwrap();
    let pixels: Vec<_> = parts[0].1.iter().map(|example| example.pixels.as_slice()).collect();
    assert_eq!(pixels, [[0, 255], [0, 255], [0, 255]]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(kind in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let starts: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"BM", b""];
        let _ = decode_limited("x", &[starts[kind], &bytes].concat());
    }
}
