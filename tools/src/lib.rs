//! The conventions that all tools share: common arguments, the cache and the sidecar around a run, progress, interrupts,
//! and the one place that turns errors into a line and an exit code.
//!
//! A tool is a module of [`tools`] and a line in `src/bin/<tool>.rs`: `obverse_tools::main!(obverse_tools::tools::<tool>);`.

mod alignment;
mod arguments;
mod climbing;
mod comparison;
mod complete;
pub mod exit;
mod features;
mod fitted;
mod folder;
pub mod interrupt;
mod network;
mod owned;
mod parameterisation;
mod parts;
mod picture;
mod pixels;
mod progress;
pub mod request;
mod task;
pub mod tools;
mod training;
mod wording;

use clap::CommandFactory;

pub(crate) use arguments::{
    BatchArgument, CheckpointArguments, DeviceArgument, RestartArgument, SeedArgument, ShardArgument,
};
pub use arguments::{CommonArguments, Shard};
pub use exit::Failure;
pub(crate) use interrupt::{check_interrupted, interrupted};
pub(crate) use network::{Classes, Precision, RowsArguments, architecture_file, require_images, training_failure};
#[doc(hidden)]
pub use obverse::tensor::memory::MiMalloc;
pub(crate) use pixels::{LayoutArguments, PixelArguments};
pub use progress::Progress;
pub(crate) use request::Input;
pub(crate) use task::companion;
pub use task::{Metrics, Task};

/// A tool of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The name of its binary.
    pub name: &'static str,
    /// Its arguments and help, without a name.
    pub command: fn() -> clap::Command,
    /// Raised whenever the same request gives other bytes; outputs that were made before are then no longer fresh.
    pub results: u32,
}

/// The number of a tool's results; 0 if there is no such tool.
fn results_of(name: &str) -> u32 {
    TOOLS.iter().find(|tool| tool.name == name).map_or(0, |tool| tool.results)
}

/// Every tool of the suite, in alphabetical order.
pub const TOOLS: &[Tool] = &[
    Tool { name: "dataset", command: tools::dataset::Arguments::command, results: 2 },
    Tool { name: "fa-encode", command: tools::fa_encode::Arguments::command, results: 1 },
    Tool { name: "fa-fit", command: tools::fa_fit::Arguments::command, results: 1 },
    Tool { name: "fa-invert", command: tools::fa_invert::Arguments::command, results: 1 },
    Tool { name: "fid-score", command: tools::fid_score::Arguments::command, results: 2 },
    Tool { name: "fv-optimize", command: tools::fv_optimize::Arguments::command, results: 1 },
    Tool { name: "ifv-predict", command: tools::ifv_predict::Arguments::command, results: 1 },
    Tool { name: "metric-view", command: tools::metric_view::Arguments::command, results: 1 },
    Tool { name: "mi-bound", command: tools::mi_bound::Arguments::command, results: 1 },
    Tool { name: "nearest", command: tools::nearest::Arguments::command, results: 1 },
    Tool { name: "net-export", command: tools::net_export::Arguments::command, results: 1 },
    Tool { name: "net-fit", command: tools::net_fit::Arguments::command, results: 1 },
    Tool { name: "net-import", command: tools::net_import::Arguments::command, results: 2 },
    Tool { name: "net-tap", command: tools::net_tap::Arguments::command, results: 1 },
    Tool { name: "npy-cat", command: tools::npy_cat::Arguments::command, results: 1 },
    Tool { name: "npy-view", command: tools::npy_view::Arguments::command, results: 1 },
    Tool { name: "obverse-again", command: tools::obverse_again::Arguments::command, results: 1 },
    Tool { name: "obverse-manual", command: tools::obverse_manual::Arguments::command, results: 1 },
    Tool { name: "obverse-table", command: tools::obverse_table::Arguments::command, results: 1 },
    Tool { name: "obverse-verify", command: tools::obverse_verify::Arguments::command, results: 1 },
    Tool { name: "pixelcnn-fit", command: tools::pixelcnn_fit::Arguments::command, results: 1 },
    Tool { name: "pixelcnn-sample", command: tools::pixelcnn_sample::Arguments::command, results: 1 },
    Tool { name: "report", command: tools::report::Arguments::command, results: 1 },
    Tool { name: "shadow-measure", command: tools::shadow_measure::Arguments::command, results: 1 },
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
