//! Every reader of what others may have written, as a function of bytes: for fuzzing, and for the regressions it leaves.
//!
//! Whatever the bytes, a reader returns: it neither panics nor hangs nor takes memory that is not there, and what it reads, writes
//! and reads again is the same. Each reads to the end, all rows and all values. `just fuzz MINUTES` looks for bytes that break this;
//! what it found lies in `regressions/<reader>/` and is read by an ordinary test, as are the seeds and many mutations of them.

mod archives;
mod arrays;
mod datasets;
mod descriptions;
mod expressions;
mod mutation;
mod networks;
mod scratch;
mod weights;

use std::fs;
use std::path::PathBuf;

use obverse::store::budget;

pub use datasets::svhn_file;
pub use mutation::mutated;

use crate::checkout;

/// What a reader makes of some bytes: read, or refused.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Bytes that a reader may ask for because its input says so.
const MEMORY: u64 = 1 << 28;

/// A reader.
#[derive(Clone, Copy)]
pub struct Reader {
    /// Its name: that of its corpus and its regressions.
    pub name: &'static str,
    /// Reads bytes to their end, and checks what was read.
    read: fn(&[u8]) -> Outcome,
    /// Small inputs that are read without an error.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Reader {
    /// Reads bytes, with little memory.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    ///
    /// # Panics
    /// When the reader has a fault.
    pub fn read(&self, bytes: &[u8]) -> Outcome {
        budget::set_limit(MEMORY);
        (self.read)(bytes)
    }

    /// Where the inputs lie that it once read wrongly.
    pub fn folder(&self) -> PathBuf {
        let checkout = checkout();
        checkout.canonicalize().unwrap_or(checkout).join("tests/regressions").join(self.name)
    }

    /// The inputs that it once read wrongly, and what they are called.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn regressions(&self) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let folder = self.folder();
        crate::names(&folder).into_iter().map(|name| Ok((name.clone(), fs::read(folder.join(name))?))).collect()
    }

    /// The longest input that is worth trying.
    pub fn longest(&self) -> usize {
        let seed = (self.seeds)().iter().map(Vec::len).max().unwrap_or_default();
        (2 * seed).max(1 << 12)
    }
}

/// All of them.
pub const READERS: &[Reader] = &[
    reader("npy", arrays::npy, arrays::npy_seeds),
    reader("npy-zst", arrays::zst, arrays::zst_seeds),
    reader("npy-zst-content", arrays::zst_content, arrays::npy_seeds),
    reader("npz", arrays::npz, arrays::npz_seeds),
    reader("npz-member", arrays::npz_member, arrays::npz_member_seeds),
    reader("statistics", arrays::statistics, arrays::statistics_seeds),
    reader("idx", datasets::idx, datasets::idx_seeds),
    reader("mat-svhn", datasets::svhn, datasets::svhn_seeds),
    reader("mat-affnist", datasets::affnist, datasets::affnist_seeds),
    reader("mat-compressed", datasets::compressed, datasets::compressed_seeds),
    reader("cifar-binary", datasets::cifar_binary, datasets::cifar_binary_seeds),
    reader("cifar-python", datasets::cifar_python, datasets::cifar_python_seeds),
    reader("cifar100", datasets::cifar100, datasets::cifar100_seeds),
    reader("stl10", datasets::stl10, datasets::stl10_seeds),
    reader("images", datasets::images, datasets::images_seeds),
    reader("image-names", datasets::named_images, datasets::named_images_seeds),
    reader("image-lists", datasets::lists, datasets::lists_seeds),
    reader("celeba-lists", datasets::celeba, datasets::celeba_seeds),
    reader("samples", datasets::samples, datasets::samples_seeds),
    reader("dataset", datasets::dataset, datasets::dataset_seeds),
    reader("tar", archives::tar, archives::tar_seeds),
    reader("tar-compressed", archives::compressed, archives::compressed_seeds),
    reader("tar-content", archives::tar_content, archives::tar_seeds),
    reader("zip", archives::zip, archives::zip_seeds),
    reader("pickle", weights::pickle, weights::pickle_seeds),
    reader("torch", weights::file, weights::torch_seeds),
    reader("torch-dictionary", weights::dictionary, weights::dictionary_seeds),
    reader("safetensors", weights::file, weights::safetensors_seeds),
    reader("onnx", weights::onnx, weights::onnx_seeds),
    reader("net-json", networks::graph, networks::graph_seeds),
    reader("network", networks::network, networks::network_seeds),
    reader("pixelcnn", networks::pixelcnn, networks::pixelcnn_seeds),
    reader("sidecar", descriptions::sidecar, descriptions::sidecar_seeds),
    reader("checkpoint", descriptions::checkpoint, descriptions::checkpoint_seeds),
    reader("checkpoint-sealed", descriptions::sealed, descriptions::sealed_seeds),
    reader("manifest", descriptions::manifest, descriptions::manifest_seeds),
    reader("claims", descriptions::claims, descriptions::claims_seeds),
    reader("expression", expressions::expression, expressions::expression_seeds),
    reader("transforms", expressions::transforms, expressions::transforms_seeds),
];

const fn reader(name: &'static str, read: fn(&[u8]) -> Outcome, seeds: fn() -> Vec<Vec<u8>>) -> Reader {
    Reader { name, read, seeds }
}
