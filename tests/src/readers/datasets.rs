//! Datasets in their own formats, images, and the suite's own form of a dataset.

use std::io::{Cursor, Write};
use std::path::Path;

use image::{ImageFormat, RgbImage};
use obverse::data::import::Format;
use obverse::data::output::{self, Description};
use obverse::data::{Source, folder, shapes};

use super::Outcome;
use super::arrays::zip_of;
use super::scratch::{joined, parted, with_file, with_folder, write};

/// Reads every image of every part.
pub fn read_all(format: Format, path: &Path) -> Outcome {
    let source = format.source(path)?;
    for part in format.open(source, folder::Options::default())?.parts {
        let shape = part.images.shape;
        for example in part.images.examples {
            assert_eq!(example?.pixels.len(), shape.len());
        }
    }
    Ok(())
}

/// Images and their labels.
pub fn idx(bytes: &[u8]) -> Outcome {
    let (images, labels) = parted(bytes);
    with_folder(|folder| {
        let path = folder.join("idx/train-images-idx3-ubyte");
        write(&path, images);
        write(&folder.join("idx/train-labels-idx1-ubyte"), labels);
        read_all(Format::Idx, &path)
    })
}

/// Two images of 2 x 3, and their labels.
pub fn idx_files() -> (Vec<u8>, Vec<u8>) {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]].concat();
    (images, vec![0, 0, 8, 1, 0, 0, 0, 2, 4, 9])
}

pub fn idx_seeds() -> Vec<Vec<u8>> {
    let (images, labels) = idx_files();
    vec![joined(&images, &labels), joined(&gzip(&images), &gzip(&labels))]
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
}

pub fn cifar100(bytes: &[u8]) -> Outcome {
    with_file("train.bin", bytes, |path| read_all(Format::Cifar100, path))
}

/// Two records.
pub fn cifar100_seeds() -> Vec<Vec<u8>> {
    vec![[[19, 99], [0, 0]].map(|labels| [&labels[..], &[128; 3072]].concat()).concat()]
}

/// SVHN's file of `count` digits of `side` x `side`, 1 to 10 in turn.
pub fn svhn_file(side: u32, count: usize) -> Vec<u8> {
    let pixels = vec![90; 3 * (side * side) as usize * count];
    let images = matrix("X", 9, &[side, side, 3, count as u32], &element(2, &pixels));
    let labels: Vec<u8> = (0..count).flat_map(|digit| ((digit % 10 + 1) as f64).to_le_bytes()).collect();
    mat(&[images, matrix("y", 6, &[count as u32, 1], &element(9, &labels))])
}

pub fn svhn(bytes: &[u8]) -> Outcome {
    with_file("train_32x32.mat", bytes, |path| read_all(Format::Svhn, path))
}

pub fn affnist(bytes: &[u8]) -> Outcome {
    with_file("training.mat", bytes, |path| read_all(Format::Affnist, path))
}

/// Two elements, each behind a compression that is right.
pub fn compressed(bytes: &[u8]) -> Outcome {
    let (images, labels) = parted(bytes);
    let elements = [images, labels].map(|inner| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let content = encoder.write_all(inner).and_then(|()| encoder.finish()).expect("memory");
        [&15u32.to_le_bytes()[..], &(content.len() as u32).to_le_bytes(), &content].concat()
    });
    svhn(&mat(&elements))
}

/// A MATLAB 5 file.
fn mat(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut header = b"MATLAB 5.0 MAT-file".to_vec();
    header.resize(124, b' ');
    [header, vec![0, 1, b'I', b'M'], elements.concat()].concat()
}

/// An element of a MATLAB 5 file.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut element = [&kind.to_le_bytes()[..], &(data.len() as u32).to_le_bytes(), data].concat();
    element.resize(element.len().next_multiple_of(8), 0);
    element
}

/// A matrix of this class, its content an element or a structure's fields.
fn matrix(name: &str, class: u8, dimensions: &[u32], content: &[u8]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|length| length.to_le_bytes()).collect();
    let head = [element(6, &[class, 0, 0, 0, 0, 0, 0, 0]), element(5, &dimensions), element(1, name.as_bytes())];
    element(14, &[head.concat(), content.to_vec()].concat())
}

/// SVHN's variables, of two images of 2 x 2.
fn digits() -> (Vec<u8>, Vec<u8>) {
    let images = matrix("X", 9, &[2, 2, 3, 2], &element(2, &[5; 24]));
    // Doubles, of which 10 stands for 0.
    let labels: Vec<u8> = [10.0f64, 3.0].iter().flat_map(|label| label.to_le_bytes()).collect();
    (images, matrix("y", 6, &[2, 1], &element(9, &labels)))
}

pub fn svhn_seeds() -> Vec<Vec<u8>> {
    let (images, labels) = digits();
    vec![mat(&[images.clone(), labels.clone()]), mat(&[labels, matrix("z", 9, &[1, 1], &element(2, &[1])), images])]
}

pub fn compressed_seeds() -> Vec<Vec<u8>> {
    let (images, labels) = digits();
    vec![joined(&images, &labels)]
}

pub fn affnist_seeds() -> Vec<Vec<u8>> {
    let mut names = [0; 20];
    names[..9].copy_from_slice(b"label_int");
    names[10..15].copy_from_slice(b"image");
    let fields = [
        element(5, &10u32.to_le_bytes()),
        element(1, &names),
        matrix("", 9, &[1, 1], &element(2, &[7])),
        matrix("", 9, &[1600, 1], &element(2, &[9; 1600])),
    ];
    vec![mat(&[matrix("affNISTdata", 2, &[1, 1], &fields.concat())])]
}

pub fn cifar_binary(bytes: &[u8]) -> Outcome {
    with_file("data_batch_1.bin", bytes, |path| read_all(Format::Cifar, path))
}

pub fn cifar_binary_seeds() -> Vec<Vec<u8>> {
    vec![[vec![6], vec![100; 3072]].concat()]
}

pub fn cifar_python(bytes: &[u8]) -> Outcome {
    with_file("data_batch_1", bytes, |path| read_all(Format::Cifar, path))
}

/// As Python 2 wrote it: a dictionary of an array of numpy's and a list.
pub fn cifar_python_seeds() -> Vec<Vec<u8>> {
    let before = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR\
                   (K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR\x89T\x00\x0c\x00\x00";
    vec![[&before[..], &[50; 3072], b"tbU\x06labels]K\x03au."].concat()]
}

pub fn stl10(bytes: &[u8]) -> Outcome {
    let (images, labels) = parted(bytes);
    with_folder(|folder| {
        let path = folder.join("stl10/train_X.bin");
        write(&path, images);
        write(&folder.join("stl10/train_y.bin"), labels);
        read_all(Format::Stl10, &path)
    })
}

pub fn stl10_seeds() -> Vec<Vec<u8>> {
    vec![joined(&[1; 3 * 96 * 96], &[10])]
}

pub fn images(bytes: &[u8]) -> Outcome {
    with_file("image.png", bytes, |path| {
        let source = Source::open(path, folder::wanted)?;
        let (shape, pixels) = folder::decode(&source, "image.png", folder::Options::default())?;
        assert_eq!(pixels.len(), shape.len());
        Ok(())
    })
}

pub fn images_seeds() -> Vec<Vec<u8>> {
    let image = RgbImage::from_fn(5, 4, |x, y| image::Rgb([40 * x as u8, 60 * y as u8, 7]));
    let formats = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
        ImageFormat::Qoi,
    ];
    formats.map(|format| encoded(&image, format)).into()
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("memory");
    bytes.into_inner()
}

/// An image whose format its name tells where its bytes do not: TGA has no first bytes of its own.
pub fn named_images(bytes: &[u8]) -> Outcome {
    with_file("image.tga", bytes, |path| read_all(Format::Images, path))
}

pub fn named_images_seeds() -> Vec<Vec<u8>> {
    vec![encoded(&RgbImage::new(5, 4), ImageFormat::Tga)]
}

/// The list of two validation images.
pub fn lists(bytes: &[u8]) -> Outcome {
    with_folder(|folder| {
        let folder = folder.join("listed");
        for name in ["train/a/1.ppm", "train/b/2.ppm", "val/images/3.ppm", "val/images/4.ppm"] {
            write(&folder.join(name), b"P5 1 1 255\n7");
        }
        write(&folder.join("val/val_annotations.txt"), bytes);
        read_all(Format::Images, &folder)
    })
}

pub fn lists_seeds() -> Vec<Vec<u8>> {
    ["3.ppm\ta\t0\t0\t1\t1\n4.ppm\tb\t0\t0\t1\t1\n", "3 1\n4 0\n", "b\na\n"].map(Vec::from).into()
}

/// CelebA's lists of two images.
pub fn celeba(bytes: &[u8]) -> Outcome {
    let (partition, attributes) = parted(bytes);
    with_folder(|folder| {
        let folder = folder.join("celeba");
        for name in ["1.ppm", "2.ppm"] {
            write(&folder.join(name), b"P5 1 1 255\n7");
        }
        write(&folder.join("list_eval_partition.txt"), partition);
        write(&folder.join("list_attr_celeba.txt"), attributes);
        read_all(Format::Celeba, &folder)
    })
}

pub fn celeba_seeds() -> Vec<Vec<u8>> {
    vec![joined(b"1.jpg 0\r\n2.jpg 2\r\n", b"2\r\nBald Smiling\r\n1.jpg -1  1\r\n2.jpg  1 -1\r\n")]
}

/// Samples and their classes, in an `.npz` file.
pub fn samples(bytes: &[u8]) -> Outcome {
    with_file("samples.npz", bytes, |path| read_all(Format::Npz, path))
}

pub fn samples_seeds() -> Vec<Vec<u8>> {
    with_folder(|folder| {
        let folder = folder.join("arrays");
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let array = |shape: &[usize], values: &[u8]| {
            let path = folder.join("a.npy");
            obverse::store::npy::write(&path, shape, values).expect("a scratch folder");
            std::fs::read(&path).expect("what was written")
        };
        let members = [("arr_0.npy", array(&[2, 1, 2, 3], &[5; 12])), ("arr_1.npy", array(&[2, 1], &[4, 9]))];
        let members = members.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()));
        [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated].map(|how| zip_of(&members, how)).into()
    })
}

/// A description and the images that it names.
pub fn dataset(bytes: &[u8]) -> Outcome {
    let (description, images) = parted(bytes);
    with_folder(|folder| {
        let folder = folder.join("dataset");
        write(&folder.join(output::DESCRIPTION), description);
        write(&folder.join("train-images.npy"), images);
        obverse::store::npy::write(&folder.join("train-labels.npy"), &[2], &[0i64, 1])?;
        let description = Description::read(&folder)?;
        let _ = description.to_string();
        for part in &description.parts {
            part.stream(&folder)?.examples.try_for_each(|example| example.map(drop))?;
        }
        Ok(())
    })
}

pub fn dataset_seeds() -> Vec<Vec<u8>> {
    with_folder(|folder| {
        let folder = folder.join("seed");
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let mut parts = shapes::parts(600, 16, 0).expect("sizes that are right");
        let train = parts.remove(0).limit(2);
        output::write(&folder, Description::new("shapes"), vec![train], &mut |_, _| ()).expect("a scratch folder");
        let read = |name| std::fs::read(folder.join(name)).expect("what was written");
        vec![joined(&read(output::DESCRIPTION), &read("train-images.npy"))]
    })
}
