//! The network that turns latents into images.

use std::path::Path;

use anyhow::ensure;
use obverse::alignment::adversarial::Refiner;
use obverse::alignment::local::Chain;
use obverse::alignment::settings::Settings;
use obverse::alignment::step::{Heads, Wanted};
use obverse::alignment::training::image_size;
use obverse::baselines::autoencoder::decode;
use obverse::net::{self, Graph, Network, Size};
use obverse::store::npy::Scalar;
use obverse::tensor::random::Stream;
use obverse::tensor::{Batch, Element, Tape};
use serde_json::Value;

use super::Arguments;

/// The network that turns latents into images.
pub(super) enum Inverter<E: Element> {
    Alignment { encoder: Network<E>, heads: Heads },
    Local(Chain<E>),
    Decoder(Network<E>),
}

impl<E: Element + Scalar> Inverter<E> {
    pub(super) fn load(arguments: &Arguments) -> anyhow::Result<Self> {
        let folder = &arguments.network;
        if folder.join("decoder").is_dir() {
            return Ok(Self::Decoder(Network::load(&folder.join("decoder"))?));
        }
        let network = Network::<E>::load(folder)?;
        if network.graph().output("image").is_ok() {
            return Ok(Self::Decoder(network));
        }
        let local = net::origin(folder)?.get("mode").and_then(Value::as_str) == Some("local");
        if local || arguments.local {
            return Ok(Self::Local(Chain::of(&network)?));
        }
        let heads = Heads::of(network.graph())?;
        // Outputs that nothing is aimed at are not computed.
        let wanted = [Some(heads.latent), heads.log_var, heads.class, heads.value].into_iter().flatten();
        let names: Vec<String> = wanted.map(|place| network.graph().nodes[place].name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Self::Alignment { encoder: network.only(&names)?, heads })
    }

    /// Features of a latent.
    pub(super) fn features(&self) -> usize {
        match self {
            Self::Alignment { encoder, heads } => encoder.graph().size(heads.latent).channels,
            Self::Local(chain) => last_size(chain.graph()).channels,
            Self::Decoder(network) => network.graph().input.shape.channels,
        }
    }

    /// The network that is run.
    pub(super) fn graph(&self) -> &Graph {
        match self {
            Self::Alignment { encoder, .. } => encoder.graph(),
            Self::Local(chain) => chain.graph(),
            Self::Decoder(network) => network.graph(),
        }
    }

    /// The size of the images.
    pub(super) fn image(&self) -> anyhow::Result<Size> {
        Ok(match self {
            Self::Alignment { encoder, .. } => encoder.graph().input.shape,
            Self::Local(chain) => chain.graph().input.shape,
            Self::Decoder(network) => network.graph().size(network.graph().output("image")?),
        })
    }

    /// The number of classes that a recovery can aim at.
    pub(super) fn classes(&self) -> Option<usize> {
        match self {
            Self::Alignment { encoder, heads } => heads.class.map(|place| encoder.graph().size(place).channels),
            _ => None,
        }
    }

    /// The images of latents, the first of which is number `first`.
    pub(super) fn invert(
        &self,
        settings: &Settings,
        wanted: &Wanted<E>,
        stream: &Stream,
        first: usize,
    ) -> anyhow::Result<Batch<E>> {
        let count = obverse::tensor::shape(wanted.z).0;
        Ok(match self {
            Self::Alignment { encoder, heads } => {
                let start = settings.start.draw(stream, first, count, image_size(encoder.graph()));
                let aims = heads.aims(wanted, &settings.weights());
                settings.recovery().recover(&mut Tape::off(), encoder, &aims, &start)?
            }
            Self::Local(chain) => chain.recover(&settings.recovery(), wanted.z, settings.start, stream, first)?,
            Self::Decoder(network) => decode(network, wanted.z)?,
        })
    }
}

/// The size of a chain's last result.
fn last_size(graph: &Graph) -> Size {
    graph.nodes.len().checked_sub(1).map_or(graph.input.shape, |last| graph.size(last))
}

/// The generator in a network's folder.
pub(super) fn refiner<E: Element + Scalar>(folder: &Path) -> anyhow::Result<Refiner<E>> {
    let path = folder.join("generator");
    ensure!(
        path.is_dir(),
        "{}: expected a generator, as fa-fit --mode vfa-gan writes it, found none; leave out --generator",
        path.display()
    );
    Ok(Refiner::new(Network::load(&path)?)?)
}
