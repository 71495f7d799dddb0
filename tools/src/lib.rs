//! The conventions that all tools share: common arguments, the cache and the sidecar around a run, progress, interrupts,
//! and the one place that turns errors into a line and an exit code.
//!
//! A tool is a module of [`tools`] and a line in `src/bin/<tool>.rs`: `obverse_tools::main!(obverse_tools::tools::<tool>);`.

pub mod alignment;
pub mod arguments;
pub mod climbing;
pub mod comparison;
pub mod exit;
pub mod features;
pub mod interrupt;
pub mod network;
pub mod parameterisation;
pub mod picture;
pub mod progress;
pub mod task;
pub mod tools;
pub mod training;

pub use arguments::{BatchArgument, CommonArguments, SeedArgument, Shard, ShardArgument};
pub use exit::Failure;
pub use interrupt::{check_interrupted, interrupted};
pub use network::{Classes, Precision, RowsArguments, architecture_file, require_images, training_failure};
#[doc(hidden)]
pub use obverse::tensor::memory::MiMalloc;
pub use progress::Progress;
pub use task::{Metrics, Task, companion};

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
    "shadow-measure",
];

/// The `main` of a tool: its allocator, and the module that holds its `Arguments` and its `run`.
#[macro_export]
macro_rules! main {
    ($($tool:tt)*) => {
        // The buffers of tensors are freed and asked for again at every step: mimalloc recycles them.
        #[global_allocator]
        static ALLOCATOR: $crate::MiMalloc = $crate::MiMalloc;

        fn main() -> std::process::ExitCode {
            use $($tool)*::{Arguments, run};
            $crate::exit::run_tool::<Arguments>(env!("CARGO_BIN_NAME"), run)
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
