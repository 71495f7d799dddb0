//! `net-export`: a network folder as a file of other programs.

use crate::request::{Input, Output};

use anyhow::{Context, bail};
use clap::Parser;
use obverse::net::{Network, export};
use obverse::store::staged::Staged;
use serde_json::json;

use crate::{CommonArguments, Metrics, Task};

/// Write a network as an ONNX file, or its weights as safetensors
///
/// An ONNX file (opset 17) holds the graph: onnxruntime, PyTorch, Netron and net-import read it. It takes images in 0..1 as this suite's
/// tools do: the subtraction of the mean and the division by the standard deviation are in the graph. Its tensors have the names and
/// layouts of PyTorch's (conv1.weight is (out, in, height, width)); so have those of a safetensors file, which load_state_dict takes
/// where the network came from PyTorch's names.
#[derive(Parser)]
#[command(
    version,
    after_help = "Measures:
  format                     onnx or safetensors
  nodes, parameters, bytes   operations in the file, numbers in its parameters, bytes

Examples:
  net-export net -o net.onnx
  net-export net -o weights.safetensors
  net-import net.onnx -o again"
)]
pub struct Arguments {
    /// The network folder
    #[arg(value_name = "NET")]
    network: Input,
    /// The file to write: .onnx or .safetensors
    #[arg(short, long, value_name = "OUT")]
    output: Output,
    #[command(flatten)]
    common: CommonArguments,
}

/// Runs the tool.
///
/// # Errors
/// Bad usage, bad input, a run that fails.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { network, output, common } = arguments;
    let extension = output.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_string();
    if !["onnx", "safetensors"].contains(&extension.as_str()) {
        bail!("--output: expected a name that ends in .onnx or .safetensors, found {}", output.display());
    }
    let mut task = Task::begin(&common, Some(&output))?;
    if task.is_fresh()? {
        return Ok(());
    }
    let network = Network::<f32>::load(&network)?;
    let (nodes, bytes) = match extension.as_str() {
        "onnx" => {
            let model = export::onnx(&network)?;
            (model.nodes.len(), model.to_bytes().with_context(|| output.display().to_string())?)
        }
        _ => (network.graph().nodes.len(), export::safetensors(&network, &output)?),
    };
    let metrics = Metrics::from_iter([
        ("format".to_owned(), json!(extension)),
        ("nodes".to_owned(), nodes.into()),
        ("parameters".to_owned(), network.graph().parameter_count().into()),
        ("bytes".to_owned(), bytes.len().into()),
    ]);
    task.finish_with(|| Ok(Staged::of_bytes(&output, bytes)?), metrics)
}
