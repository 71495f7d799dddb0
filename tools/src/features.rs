//! Where the features that `fid-score` compares come from: images through a network, arrays, files of statistics.

mod side;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use obverse::data::pictures::Pictures;
use obverse::fidelity::features::{FeatureMap, Reading};
use obverse::fidelity::input::{Convention, Input, Rounding, Scale};
use obverse::fidelity::statistics::Origin;
use obverse::net::{self, Graph, Network, inception};
use obverse::store::digest;

use crate::request::Declared;
use crate::{BatchArgument, DeviceArgument, Progress, Shard, check_interrupted};

pub use side::{Left, Rows, Side, common_origin};

/// Where the inception network lies unless `--net` is given.
const DEFAULT: &str = "data/inception";

/// The sha256 of the weights that the Fréchet inception distance is defined by, as `dataset fetch inception` checks it.
const OFFICIAL: &str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";

/// How images become features.
#[derive(Clone, Debug, Args)]
pub struct FeatureArguments {
    /// The network that images go through, a folder
    #[arg(long, value_name = "NET", default_value = DEFAULT, add = Declared)]
    pub net: PathBuf,
    /// The node whose spatial mean is compared [default: the last features_N, or the last node]
    #[arg(long, value_name = "NODE")]
    pub layer: Option<String>,
    /// Instead of each channel's mean over places, compare the first N channels of --layer at every place
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_every_place: Option<u32>,
    /// How images are resized for the network
    #[arg(long, alias = "resize", value_enum, default_value_t)]
    pub input: InputArgument,
    /// Take values as they are, instead of what a PNG of 8 bits would hold: clipped to 0..1 and rounded to 256 levels
    #[arg(long)]
    pub no_round: bool,
    /// Range and layout of arrays.
    #[command(flatten)]
    pub pixels: crate::PixelArguments,
    /// What to do with an image file that cannot be decoded
    #[arg(long, value_enum, default_value_t)]
    pub on_error: OnError,
    /// `--device`.
    #[command(flatten)]
    pub device: DeviceArgument,
    /// `--batch`.
    #[command(flatten)]
    pub batch: BatchArgument,
}

/// `--input`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum InputArgument {
    /// As pytorch-fid: bilinear, without antialiasing
    #[default]
    Bilinear,
    /// As TensorFlow 1, torch-fidelity, torchmetrics and ADM: bilinear from the corner; (v - 128) / 128 of bytes for inception
    Tf1,
    /// As clean-fid: bicubic, antialiased; (v - 128) / 128 of bytes for inception
    Clean,
    /// Not at all: images must have the network's size
    None,
}

impl InputArgument {
    fn input(self) -> Input {
        match self {
            Self::Bilinear => Input::Bilinear,
            Self::Tf1 => Input::Tf1,
            Self::Clean => Input::Clean,
            Self::None => Input::None,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// `--on-error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Stop, naming the file
    #[default]
    Fail,
    /// Name the file and go on without it
    Skip,
}

/// What is read of images.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// The features that are compared: `--layer`.
    Compared,
    /// The spatial features of sFID.
    Spatial,
    /// The logits of this node, or those that the network names so.
    Logits(Option<String>),
}

/// A node of the network, how it is read, and what the features are.
#[derive(Clone, Debug)]
pub struct Tap {
    /// How it is read.
    pub reading: Reading,
    /// What the features are; its `layer` is the node.
    pub origin: Origin,
    /// How many they are.
    pub dimension: usize,
}

/// A network, and what is read of it.
pub struct Opened {
    network: Network<f32>,
    convention: Convention,
    /// What is read of it, in the order in which it was asked for.
    pub taps: Vec<Tap>,
}

impl Opened {
    /// The network up to these taps.
    ///
    /// # Errors
    /// None: the nodes are there.
    pub fn map(self, taps: &[&Tap]) -> anyhow::Result<FeatureMap> {
        let nodes: Vec<_> = taps.iter().map(|tap| (tap.origin.layer.as_str(), tap.reading)).collect();
        Ok(FeatureMap::new(self.network, &nodes, self.convention)?)
    }
}

impl FeatureArguments {
    /// The network, with what is wanted of it.
    ///
    /// # Errors
    /// No network there, no such layer.
    pub fn open(&self, wanted: &[Wanted]) -> anyhow::Result<Opened> {
        let folder = self.net.as_path();
        ensure!(
            folder.join("net.json").is_file(),
            "{}: expected a network folder, found none; make one with `dataset fetch inception`, or with `net-import \
             WEIGHTS --arch {} -o NET`, and name it with --net",
            folder.display(),
            inception::NAME
        );
        self.device.open()?;
        let network = Network::<f32>::load(folder)?;
        let from = net::origin(folder)?;
        let is = |key: &str, value: &str| from.get(key).and_then(|found| found.as_str()) == Some(value);
        let of_inception = is("architecture", inception::NAME);
        let official = of_inception && is("weights_sha256", OFFICIAL);
        let convention = Convention {
            input: self.input.input(),
            rounding: if self.no_round { Rounding::Unrounded } else { Rounding::Byte },
            scale: if of_inception { Scale::Inception } else { Scale::Unit },
        };
        let digest = digest::of_path(folder)?;
        let tap = |wanted: &Wanted| {
            let (layer, reading) = self.node(network.graph(), wanted)?;
            let one = FeatureMap::new(network.clone(), &[(layer.as_str(), reading)], convention)?;
            let dimension = one.dimension(0);
            let label = match reading {
                Reading::Mean if layer == inception::output(dimension) && of_inception => match official {
                    false if dimension == 2048 => format!("fid-{dimension}-unofficial-weights"),
                    _ => format!("fid-{dimension}"),
                },
                _ => format!("frechet-{layer}-{dimension}"),
            };
            let origin = Origin {
                network: digest.clone(),
                layer,
                input: self.input.name(),
                rounding: Some(if self.no_round { "none" } else { "byte" }.to_owned()),
                at_every_place: match reading {
                    Reading::Mean => None,
                    Reading::Places { channels } => Some(channels),
                },
                label,
            };
            Ok(Tap { reading, origin, dimension })
        };
        let taps = wanted.iter().map(tap).collect::<anyhow::Result<_>>()?;
        Ok(Opened { network, convention, taps })
    }

    /// The node that is read for this, and how.
    fn node(&self, graph: &Graph, wanted: &Wanted) -> anyhow::Result<(String, Reading)> {
        let net = self.net.display();
        match wanted {
            Wanted::Compared => {
                let largest = inception::FEATURES.iter().rev().map(|&features| inception::output(features));
                let known = largest.clone().find(|output| graph.output(output).is_ok());
                let last = || graph.nodes.last().map(|node| node.name.clone());
                let layer = self.layer.clone().or(known).or_else(last);
                let layer = layer.context("a network without nodes has no features")?;
                let channels = self.at_every_place.map(|channels| channels as usize);
                Ok((layer, channels.map_or(Reading::Mean, |channels| Reading::Places { channels })))
            }
            Wanted::Spatial => {
                let node = inception::SPATIAL;
                ensure!(
                    graph.place(node).is_ok(),
                    "{net}: expected the node {node} for sFID, found none; use the inception network, or compare the \
                     channels of a node of this one with --layer NODE --at-every-place N"
                );
                Ok((node.to_owned(), Reading::Places { channels: inception::SPATIAL_CHANNELS }))
            }
            Wanted::Logits(Some(node)) => Ok((node.clone(), Reading::Mean)),
            Wanted::Logits(None) => {
                let node = [inception::LOGITS, "logits"].iter().find_map(|&output| graph.outputs.get(output));
                let node = node.with_context(|| {
                    format!(
                        "{net}: expected an output of logits for the Inception Score, found none; name a node with --logits, \
                         or import weights that go up to fc.weight"
                    )
                })?;
                Ok((node.clone(), Reading::Mean))
            }
        }
    }

    /// Gives the features of this shard's pictures to `sink`, a batch at a time, in order, of every tap of `map`.
    ///
    /// # Errors
    /// An image that cannot be read, unless those are skipped; one that the network cannot take; an error of `sink`.
    pub fn pass(
        &self,
        map: &FeatureMap,
        pictures: &Pictures,
        path: &Path,
        shard: Shard,
        quiet: bool,
        sink: &mut dyn FnMut(&[Vec<f32>]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Left> {
        let rows: Vec<usize> = shard.rows(pictures.count()).collect();
        let mut progress = Progress::new(rows.len() as u64, "images", quiet);
        let mut left = Left::default();
        if let Some(left_out) = pictures.left_out().filter(|_| !quiet) {
            progress.note(&format!("{}: left out: {left_out}", path.display()));
        }
        for rows in rows.chunks(self.batch.or(16)) {
            check_interrupted()?;
            let mut taken = Vec::with_capacity(rows.len());
            for picture in pictures.read(rows) {
                match picture {
                    Ok(picture) => taken.push(picture),
                    Err(error) if self.on_error == OnError::Skip => {
                        left.skipped += 1;
                        progress.note(&format!("skipped: {error}"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let taken = map
                .features(&taken)
                .map_err(|refusal| anyhow::anyhow!("{}: from image {} on: {refusal}", path.display(), rows[0]))?;
            left.clipped += taken.clipped;
            sink(&taken.features)?;
            progress.advance(rows.len() as u64);
        }
        if left.clipped > 0 {
            progress.note(&format!(
                "{}: {} values outside 0..1 were clipped, as in a PNG of 8 bits; --no-round takes them as they are",
                path.display(),
                left.clipped
            ));
        }
        Ok(left)
    }
}
