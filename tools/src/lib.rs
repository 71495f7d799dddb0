//! The conventions that all tools share: common arguments, the cache and the sidecar around a run, progress, interrupts,
//! and the one place that turns errors into a line and an exit code.
//!
//! A tool is `src/bin/<tool>.rs`: a clap struct that is its manual, a `run` that reads like the manual's summary, and
//! `obverse_tools::main!(Arguments, run);`.

pub mod alignment;
pub mod arguments;
pub mod exit;
pub mod interrupt;
pub mod network;
pub mod progress;
pub mod task;
pub mod training;

pub use arguments::{BatchArgument, CommonArguments, SeedArgument, Shard, ShardArgument};
pub use exit::Failure;
pub use interrupt::{check_interrupted, interrupted};
#[doc(hidden)]
pub use mimalloc::MiMalloc;
pub use network::{Precision, RowsArguments, network_file, require_images, training_failure};
pub use progress::Progress;
pub use task::{Metrics, Task};

/// Every tool of the suite, by the name of its binary: what `again` may run.
pub const TOOLS: &[&str] = &[
    "dataset",
    "fa-encode",
    "fa-fit",
    "fa-invert",
    "fid-score",
    "fv-optimize",
    "ifv-predict",
    "mi-bound",
    "nearest",
    "net-fit",
    "net-import",
    "net-tap",
    "npy-cat",
    "npy-view",
    "obverse-again",
    "pixelcnn-fit",
    "pixelcnn-sample",
    "report",
];

/// The `main` of a tool: its allocator, its arguments' type and its `fn(Arguments) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! main {
    ($arguments:ty, $run:path) => {
        // The buffers of tensors are freed and asked for again at every step: mimalloc recycles them.
        #[global_allocator]
        static ALLOCATOR: $crate::MiMalloc = $crate::MiMalloc;

        fn main() -> std::process::ExitCode {
            $crate::exit::run_tool::<$arguments>(env!("CARGO_BIN_NAME"), $run)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary_is_a_tool_of_the_suite() {
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(TOOLS.contains(&name), "{name} is missing from TOOLS");
        }
    }
}
