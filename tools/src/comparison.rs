//! How responses are compared with objectives, as arguments; and how an image was made, according to its sidecar.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use obverse::objective::aggregation::Aggregation;
use obverse::objective::resolved::Comparison;
use obverse::store::sidecar::{Artifact, Sidecar};
use serde::de::DeserializeOwned;

use crate::parameterisation::ParameterisationArguments;
use crate::{Input, companion};

/// How deep joined files may nest. This stops at a file that was joined into itself.
const JOINS: usize = 8;

/// The arguments of a comparison.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ComparisonArguments {
    /// The power K of the cosine, for directions and targets [default: 3 for targets, 0 for directions]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(..=16))]
    pub cosine_power: Option<u32>,
    /// How the activations of a channel become one number, for directions and targets [default: maxpool-mean]
    #[arg(long, value_enum)]
    pub aggregate: Option<AggregateArgument>,
    /// Side and stride of the windows of --aggregate maxpool-mean [default: 3/2]
    #[arg(long, value_name = "K/S", value_parser = pool)]
    pub pool: Option<(usize, usize)>,
}

/// `--aggregate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AggregateArgument {
    /// The mean over all positions
    Mean,
    /// The position at the centre
    Centre,
    /// The maximum over all positions
    Max,
    /// The mean of the maxima of all windows
    MaxpoolMean,
}

fn pool(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('/').and_then(|(k, s)| Some((k.parse().ok()?, s.parse().ok()?)));
    sides.filter(|&(k, s)| k > 0 && s > 0).ok_or_else(|| "expected K/S, such as 3/2".into())
}

impl ComparisonArguments {
    /// What was given; `otherwise` for the rest.
    pub fn resolved(self, otherwise: Comparison) -> Comparison {
        let pooled = |(kernel, stride)| Aggregation::MaxpoolMean { kernel, stride };
        let aggregation = match (self.aggregate, self.pool, otherwise.aggregation) {
            (Some(AggregateArgument::Mean), ..) => Aggregation::Mean,
            (Some(AggregateArgument::Centre), ..) => Aggregation::Centre,
            (Some(AggregateArgument::Max), ..) => Aggregation::Max,
            (_, Some(pool), _) => pooled(pool),
            (Some(AggregateArgument::MaxpoolMean), None, other @ Aggregation::MaxpoolMean { .. }) => other,
            (Some(AggregateArgument::MaxpoolMean), None, _) => Aggregation::USUAL,
            (None, None, other) => other,
        };
        Comparison { aggregation, power: self.cosine_power.unwrap_or(otherwise.power) }
    }
}

/// How images were made, according to their sidecar or that of an output computed from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// How the objective compared.
    pub aggregation: Option<Aggregation>,
    /// The power of the cosine.
    pub power: Option<u32>,
    /// How parameters became images.
    pub parameterisation: Option<ParameterisationArguments>,
    /// The parameters.
    pub parameters: Option<PathBuf>,
}

impl Made {
    /// What the sidecar of `file` says, or what the sidecars of its parts agree on. Nothing if there is no sidecar, or one of a tool
    /// other than `tool`.
    ///
    /// # Errors
    /// A sidecar that cannot be read.
    pub fn of(file: &Path, tool: &str) -> anyhow::Result<Self> {
        Self::told(file, tool, None, JOINS)
    }

    /// The same of a file that may have been overwritten since its content was `content`, and was joined `joins` times at most.
    fn told(file: &Path, tool: &str, content: Option<&str>, joins: usize) -> anyhow::Result<Self> {
        let Some(path) = Sidecar::path_of(file).filter(|path| Sidecar::is_there(path)) else {
            return Ok(Self::default());
        };
        let sidecar = Sidecar::read(&path)?;
        if content.is_some_and(|content| content != sidecar.output.blake3) {
            return Ok(Self::default());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        // Files are named from where the tool ran.
        let ran_in = folder.join(&sidecar.directory);
        if sidecar.tool == "npy-cat" && joins > 0 {
            let part = |part: &Artifact| Self::told(&ran_in.join(&part.path), tool, Some(&part.blake3), joins - 1);
            return Ok(Self::joined(&sidecar.inputs.iter().map(part).collect::<anyhow::Result<Vec<_>>>()?, file));
        }
        if sidecar.tool != tool {
            return Ok(Self::default());
        }
        let found = |file: Option<Input>| file.map(|file| Input::from(ran_in.join(file)));
        let parameterisation: Option<ParameterisationArguments> = parameter(&sidecar, "parameterisation");
        let parameters = sidecar.metrics.get("parameters").and_then(|name| name.as_str());
        Ok(Self {
            aggregation: parameter(&sidecar, "aggregation"),
            power: parameter(&sidecar, "cosine_power"),
            parameterisation: parameterisation.map(|made| ParameterisationArguments {
                spectrum_of: found(made.spectrum_of),
                decoder: found(made.decoder),
                ..made
            }),
            parameters: parameters.map(|name| folder.join(name)),
        })
    }

    /// What `parts` agree on, for the file they were joined into. Its parameters lie beside it if they were joined too.
    fn joined(parts: &[Self], file: &Path) -> Self {
        let alike = |part: &Self| Self { parameters: None, ..part.clone() };
        let agreed = parts.first().map(alike).filter(|first| parts.iter().all(|part| alike(part) == *first));
        let parameters = Some(companion(file, "parameters")).filter(|path| path.is_file());
        agreed.filter(|made| *made != Self::default()).map_or_else(Self::default, |made| Self { parameters, ..made })
    }

    /// The comparison; `usual` for what is not known.
    pub fn comparison(&self, usual: Comparison) -> Comparison {
        Comparison {
            aggregation: self.aggregation.unwrap_or(usual.aggregation),
            power: self.power.unwrap_or(usual.power),
        }
    }
}

fn parameter<T: DeserializeOwned>(sidecar: &Sidecar, name: &str) -> Option<T> {
    sidecar.resolved.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
}
