//! Archives of a dataset's files: tar, plain and compressed, and zip. Each holds idx files, which are read to their end.

use obverse::data::import::Format;

use super::Outcome;
use super::arrays::zip_of;
use super::datasets::{self, read_all};
use super::scratch::with_file;

pub fn tar(bytes: &[u8]) -> Outcome {
    with_file("mnist.tar", bytes, |path| read_all(Format::Idx, path))
}

/// gzip or zstd around a tar.
pub fn compressed(bytes: &[u8]) -> Outcome {
    tar(bytes)
}

/// A tar within a compression that is right: what is read of it is what is read of the tar.
pub fn tar_content(bytes: &[u8]) -> Outcome {
    let unpacked = tar(&zstd::encode_all(bytes, 1)?);
    // A plain tar may be cut short after the last file that is wanted; in a compressed one that is seen earlier or later.
    let _ = tar(bytes);
    unpacked
}

pub fn zip(bytes: &[u8]) -> Outcome {
    with_file("mnist.zip", bytes, |path| read_all(Format::Idx, path))
}

/// Images and labels under their usual names.
fn files() -> [(&'static str, Vec<u8>); 2] {
    let (images, labels) = datasets::idx_files();
    [("mnist/train-images-idx3-ubyte", images), ("mnist/train-labels-idx1-ubyte", labels)]
}

pub fn tar_seeds() -> Vec<Vec<u8>> {
    let of = |mut header: tar::Header, files: &[(&str, Vec<u8>)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_slice()).expect("memory");
        }
        builder.into_inner().expect("memory")
    };
    let long = format!("{}/train-images-idx3-ubyte", "a".repeat(120));
    vec![of(tar::Header::new_ustar(), &files()), of(tar::Header::new_gnu(), &[(long.as_str(), files()[0].1.clone())])]
}

pub fn compressed_seeds() -> Vec<Vec<u8>> {
    let tars = tar_seeds();
    let zstd = tars.iter().map(|tar| zstd::encode_all(tar.as_slice(), 1).expect("memory"));
    zstd.chain(tars.iter().map(|tar| datasets::gzip(tar))).collect()
}

pub fn zip_seeds() -> Vec<Vec<u8>> {
    let files = files();
    let members: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (*name, content.as_slice())).collect();
    [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated].map(|method| zip_of(&members, method)).into()
}
