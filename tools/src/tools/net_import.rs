//! `net-import`: weights of other programs as a network folder.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Parser;
use obverse::data::import::sha256_of;
use obverse::net::inception;
use obverse::store::weights::Weights;
use serde_json::json;

use super::dataset::folder_at;
use crate::{CommonArguments, Metrics, Task};

/// Make a network folder of a file of weights
///
/// The file is safetensors or PyTorch's state dictionary (.pth), read as data: nothing in it is executed. Batch normalisation is
/// folded into the convolutions before it.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  net-import pt_inception-2015-12-05-6726825d.pth --arch inception-v3-fid -o data/inception
  net-import inception.safetensors --arch inception-v3-fid -o inception"
)]
pub struct Arguments {
    /// The file of weights: .safetensors, .pth
    weights: PathBuf,
    /// The architecture whose weights they are
    #[arg(long, value_name = "NAME", default_value = inception::NAME)]
    arch: String,
    /// The network folder to write
    #[arg(short, long, value_name = "NET")]
    output: PathBuf,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { weights, arch, output, common } = arguments;
    import(Task::begin(&common, Some(&output))?, &weights, &arch, &output)
}

/// Makes the network folder `output` of a file of weights.
///
/// # Errors
/// An architecture that is not known, weights that are not its.
pub(crate) fn import(mut task: Task, weights: &Path, arch: &str, output: &Path) -> anyhow::Result<()> {
    ensure!(arch == inception::NAME, "--arch: expected {}, found {arch}", inception::NAME);
    task.input(weights)?;
    task.parameter("arch", arch)?;
    if task.is_fresh()? {
        return Ok(());
    }
    let network = inception::load(&Weights::open(weights)?)?;
    let folder = folder_at(output)?;
    let origin = json!({"tool": "net-import", "architecture": arch, "weights_sha256": sha256_of(weights)?});
    network.save(folder.path(), &origin)?;
    let outputs: Vec<&String> = network.graph().outputs.keys().collect();
    let metrics = Metrics::from_iter([
        ("parameters".to_string(), network.graph().parameter_count().into()),
        ("outputs".to_string(), json!(outputs)),
    ]);
    task.finish_folder(folder, metrics)
}
