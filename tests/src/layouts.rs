//! Small sets of files in the layouts in which datasets are handed out, so that whole recipes run on them.

use std::fs;
use std::io::Result;
use std::path::Path;

use image::{Rgb, RgbImage};
use obverse::tensor::random::Stream;

use crate::readers::svhn_file;

/// The attributes that CelebA knows of each image.
pub const ATTRIBUTES: usize = 40;

/// A picture of soft colours, its own for each number.
fn picture(width: u32, height: u32, number: usize) -> RgbImage {
    let colours: Vec<f64> = Stream::new(0, "pictures", number as u64).uniform(0..6);
    let value = |x: u32, y: u32, channel: usize| {
        let (across, down) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        (255.0 * (across * colours[channel] + down * colours[channel + 3]) / 2.0) as u8
    };
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| value(x, y, channel))))
}

/// Writes a picture, and the folders above it.
///
/// # Errors
/// A file that cannot be written.
pub fn save(path: &Path, number: usize, (width, height): (u32, u32)) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    picture(width, height, number).save(path).map_err(std::io::Error::other)
}

/// CelebA, as its page hands it out: `img_align_celeba/000001.jpg` of 178 x 218, `list_eval_partition.txt` and `list_attr_celeba.txt` with
/// Windows' ends of lines; the first images train, the next validate, the last test.
///
/// # Errors
/// A file that cannot be written.
pub fn celeba(root: &Path, [train, validation, test]: [usize; 3]) -> Result<()> {
    let count = train + validation + test;
    let mut partition = String::new();
    let names: String = (1..=ATTRIBUTES).map(|attribute| format!("Attribute_{attribute} ")).collect();
    let mut attributes = format!("{count}\r\n{names}\r\n");
    for number in 1..=count {
        let name = format!("{number:06}.jpg");
        save(&root.join("img_align_celeba").join(&name), number, (178, 218))?;
        let part = usize::from(number > train) + usize::from(number > train + validation);
        partition += &format!("{name} {part}\r\n");
        // The attribute of an image's own number holds.
        let values: String =
            (1..=ATTRIBUTES).map(|attribute| if attribute == number { "  1" } else { " -1" }).collect();
        attributes += &format!("{name} {values}\r\n");
    }
    fs::write(root.join("list_eval_partition.txt"), partition)?;
    fs::write(root.join("list_attr_celeba.txt"), attributes)
}

/// STL-10, `stl10_binary`: planes of 96 x 96, columns first, and labels from 1.
///
/// # Errors
/// A file that cannot be written.
pub fn stl10(root: &Path, [unlabelled, train, test]: [usize; 3]) -> Result<()> {
    let folder = root.join("stl10_binary");
    fs::create_dir_all(&folder)?;
    for (part, count) in [("unlabeled", unlabelled), ("train", train), ("test", test)] {
        let columns = |number: usize| -> Vec<u8> {
            let picture = picture(96, 96, number);
            let place = |place: u32| (place / 96 % 96, place % 96, place as usize / 9216);
            (0..3 * 96 * 96).map(place).map(|(x, y, channel)| picture.get_pixel(x, y)[channel]).collect()
        };
        fs::write(folder.join(format!("{part}_X.bin")), (0..count).flat_map(columns).collect::<Vec<_>>())?;
        if part != "unlabeled" {
            let labels: Vec<u8> = (0..count).map(|number| (number % 10) as u8 + 1).collect();
            fs::write(folder.join(format!("{part}_y.bin")), labels)?;
        }
    }
    fs::write(folder.join("class_names.txt"), "airplane\n")
}

/// CIFAR-10's binary version: `cifar-10-batches-bin` with `count` records in each batch.
///
/// # Errors
/// A file that cannot be written.
pub fn cifar10(root: &Path, count: usize) -> Result<()> {
    let folder = root.join("cifar-10-batches-bin");
    fs::create_dir_all(&folder)?;
    let record = |number: usize| [vec![(number % 10) as u8], vec![number as u8; 3 * 32 * 32]].concat();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        fs::write(folder.join(format!("{name}.bin")), (0..count).flat_map(record).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// An idx file of bytes.
fn idx(dimensions: &[u32], values: Vec<u8>) -> Vec<u8> {
    let lengths: Vec<u8> = dimensions.iter().flat_map(|length| length.to_be_bytes()).collect();
    [vec![0, 0, 8, dimensions.len() as u8], lengths, values].concat()
}

/// MNIST's four files, digits of one stroke each.
///
/// # Errors
/// A file that cannot be written.
pub fn mnist(root: &Path, [train, test]: [usize; 2]) -> Result<()> {
    fs::create_dir_all(root)?;
    for (part, count) in [("train", train), ("t10k", test)] {
        let pixel = |place: usize| {
            let (image, row, column) = (place / 784, place / 28 % 28, place % 28);
            if (8..20).contains(&row) && (8 + image % 8..11 + image % 8).contains(&column) { 255 } else { 0 }
        };
        let images = idx(&[count as u32, 28, 28], (0..count * 784).map(pixel).collect());
        fs::write(root.join(format!("{part}-images-idx3-ubyte")), images)?;
        let labels = idx(&[count as u32], (0..count).map(|image| (image % 10) as u8).collect());
        fs::write(root.join(format!("{part}-labels-idx1-ubyte")), labels)?;
    }
    Ok(())
}

/// SVHN's cropped digits, `train_32x32.mat` and `test_32x32.mat`.
///
/// # Errors
/// A file that cannot be written.
pub fn svhn(root: &Path, counts: [usize; 2]) -> Result<()> {
    fs::create_dir_all(root)?;
    for (part, count) in ["train", "test"].into_iter().zip(counts) {
        fs::write(root.join(format!("{part}_32x32.mat")), svhn_file(32, count))?;
    }
    Ok(())
}

/// Tiny ImageNet: two classes of `count` images of 64 x 64, as many validation images with their list, and test images of no class.
///
/// # Errors
/// A file that cannot be written.
pub fn tiny_imagenet(root: &Path, count: usize) -> Result<()> {
    let root = root.join("tiny-imagenet-200");
    let classes = ["n01443537", "n01629819"];
    let mut annotations = String::new();
    for (place, class) in classes.iter().enumerate() {
        for number in 0..count {
            save(&root.join(format!("train/{class}/images/{class}_{number}.JPEG")), number, (64, 64))?;
            let name = format!("val_{}.JPEG", 2 * number + place);
            save(&root.join("val/images").join(&name), number, (64, 64))?;
            annotations += &format!("{name}\t{class}\t0\t0\t62\t62\n");
        }
        fs::write(root.join(format!("train/{class}/{class}_boxes.txt")), "")?;
    }
    save(&root.join("test/images/test_0.JPEG"), 0, (64, 64))?;
    fs::write(root.join("val/val_annotations.txt"), annotations)?;
    fs::write(root.join("wnids.txt"), classes.join("\n"))
}
