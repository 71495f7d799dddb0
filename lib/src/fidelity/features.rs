//! From images to the features that are compared: prepared for the network, and read off its nodes.
//!
//! ```
//! use obverse::data::{Shape, pictures::Picture};
//! use obverse::fidelity::features::{FeatureMap, Reading};
//! use obverse::fidelity::input::{Convention, Input, Rounding, Scale};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! let graph = architectures::encoder("mnist", Size::new(1, 8, 8), &[("z", 3)])?;
//! let network = Network::initialised(graph, Initialisation::Uniform, 0);
//! let convention = Convention { input: Input::Bilinear, rounding: Rounding::Byte, scale: Scale::Unit };
//! let map = FeatureMap::new(network, &[("z", Reading::Mean)], convention)?;
//! let shape = Shape { channels: 1, height: 5, width: 6 };
//! let taken = map.features(&[Picture { shape, pixels: vec![0.5; 30] }])?;
//! assert_eq!((taken.features[0].len(), taken.clipped), (map.dimension(0), 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use rayon::prelude::*;

use super::input::{Convention, Input, Prepared};
use crate::data::Shape;
use crate::data::pictures::Picture;
use crate::net::{self, Network, Size};
use crate::tensor::{Batch, batch, shape, view};

/// What is read off a node, (H, W, C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The mean over places of each channel, C numbers.
    Mean,
    /// The first channels at every place, H W times as many numbers, place after place: with 7 of `Mixed_6d.branch1x1` the spatial
    /// features of sFID (Nash et al. 2021), in ADM's order.
    Places {
        /// How many channels.
        channels: usize,
    },
}

/// A network up to some nodes, off which an image's features are read.
#[derive(Debug)]
pub struct FeatureMap {
    network: Network<f32>,
    taps: Vec<(usize, Reading)>,
    convention: Convention,
}

/// The features of some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Of each node (N, d), in row order.
    pub features: Vec<Vec<f32>>,
    /// How many of the pictures' values lay outside 0..1 and were clipped.
    pub clipped: usize,
}

impl FeatureMap {
    /// The features that these nodes of `network` compute of pictures that come by `convention`.
    ///
    /// # Errors
    /// No node of that name.
    pub fn new(network: Network<f32>, taps: &[(&str, Reading)], convention: Convention) -> net::Result<Self> {
        let nodes: Vec<&str> = taps.iter().map(|(node, _)| *node).collect();
        let network = network.only(&nodes)?;
        let place = |&(node, reading): &(&str, Reading)| Ok((network.graph().place(node)?, reading));
        let taps = taps.iter().map(place).collect::<net::Result<_>>()?;
        Ok(Self { network, taps, convention })
    }

    /// The number of features, d, of the node `tap`.
    pub fn dimension(&self, tap: usize) -> usize {
        let (node, reading) = self.taps[tap];
        let Size { channels, height, width } = self.network.graph().size(node);
        match reading {
            Reading::Mean => channels,
            Reading::Places { channels: first } => first.min(channels) * height * width,
        }
    }

    /// The size of the network's images.
    pub fn input(&self) -> Size {
        self.network.graph().input.shape
    }

    /// The features of pictures; grey ones are treated as colour ones with three equal channels.
    ///
    /// # Errors
    /// A picture with other channels, or of another size where none is resized: the number of the first one, expected and found.
    pub fn features(&self, pictures: &[Picture]) -> Result<Taken, Refusal> {
        let refused = |(number, picture): (usize, &Picture)| {
            self.refusal(picture.shape).map(|expected| Refusal { number, expected, found: picture.shape })
        };
        if let Some(refusal) = pictures.iter().enumerate().find_map(refused) {
            return Err(refusal);
        }
        let Size { channels, height, width } = self.input();
        let prepared = |picture: &Picture| self.convention.prepared(picture, (channels, height, width));
        let prepared: Vec<Prepared> = pictures.par_iter().map(prepared).collect();
        let clipped = prepared.iter().map(|picture| picture.clipped).sum();
        let x: Vec<f32> = prepared.into_iter().flat_map(|picture| picture.values).collect();
        let x = batch(x, (pictures.len(), height, width, channels));
        let nodes: Vec<usize> = self.taps.iter().map(|&(node, _)| node).collect();
        // The nodes are among those computed since `new`.
        let values = self.network.evaluate(&x, &nodes).unwrap_or_default();
        let read = |((_, reading), value): (&(usize, Reading), &Batch<f32>)| reading.of(value);
        Ok(Taken { features: self.taps.iter().zip(&values).map(read).collect(), clipped })
    }

    /// Why a picture of this shape is rejected, if it is.
    fn refusal(&self, picture: Shape) -> Option<String> {
        let input = self.input();
        if picture.channels != input.channels && (picture.channels, input.channels) != (1, 3) {
            return Some(format!("images of {} channels", input.channels));
        }
        let fits = (picture.height, picture.width) == (input.height, input.width);
        (self.convention.input == Input::None && !fits).then(|| format!("images of {}x{}", input.height, input.width))
    }
}

/// A picture that does not fit the network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("image {number}: expected {expected}, found {}x{}x{}", found.channels, found.height, found.width)]
pub struct Refusal {
    /// Which of the pictures, from 0.
    pub number: usize,
    /// What the network takes.
    pub expected: String,
    /// The picture's shape.
    pub found: Shape,
}

impl Reading {
    /// The features of each image of a node's value.
    fn of(self, value: &Batch<f32>) -> Vec<f32> {
        let (_, h, w, c) = shape(value);
        match self {
            Self::Mean => view(value).chunks_exact(h * w * c).flat_map(|image| means(image, c, h * w)).collect(),
            Self::Places { channels } => {
                view(value).chunks_exact(c).flat_map(|place| &place[..channels.min(c)]).copied().collect()
            }
        }
    }
}

/// The mean over places of each channel of an image.
fn means(image: &[f32], channels: usize, places: usize) -> impl Iterator<Item = f32> {
    let mut sums = vec![0.0; channels];
    for place in image.chunks_exact(channels) {
        sums.iter_mut().zip(place).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(move |sum| (sum / places as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fidelity::input::{Rounding, Scale};
    use crate::net::{Initialisation, architectures};

    #[test]
    fn a_node_is_read_as_means_or_place_by_place() {
        let graph = architectures::encoder("mnist", Size::new(1, 8, 8), &[("z", 3)]).unwrap();
        let conv = graph.nodes.iter().position(|node| node.name == "act1").unwrap();
        let Size { channels, height, width } = graph.size(conv);
        let network = Network::initialised(graph, Initialisation::Uniform, 0);
        let convention = Convention { input: Input::None, rounding: Rounding::Byte, scale: Scale::Unit };
        let (few, all) = (Reading::Places { channels: 2 }, Reading::Places { channels });
        let taps = [("act1", Reading::Mean), ("act1", few), ("act1", all)];
        let map = FeatureMap::new(network, &taps, convention).unwrap();
        let pixels = (0..64).map(|place| (place * 29 % 64) as f32 / 63.0).collect();
        let picture = Picture { shape: Shape { channels: 1, height: 8, width: 8 }, pixels };
        let taken = map.features(&[picture.clone(), picture]).unwrap().features;
        let lengths: Vec<usize> = taken.iter().map(Vec::len).collect();
        assert_eq!(lengths, [channels, 2 * height * width, channels * height * width].map(|each| 2 * each));
        assert!((0..3).all(|tap| map.dimension(tap) == lengths[tap] / 2));
        for channel in 0..2 {
            let at = |values: &[f32], of: usize| -> Vec<f32> {
                values[..values.len() / 2].iter().skip(channel).step_by(of).copied().collect()
            };
            let (few, all) = (at(&taken[1], 2), at(&taken[2], channels));
            assert_eq!(few, all);
            let mean = all.iter().sum::<f32>() / all.len() as f32;
            // Rounding of a sum of 64 f32.
            assert!((taken[0][channel] - mean).abs() <= 64.0 * f32::EPSILON * mean.abs().max(1.0), "{mean}");
        }
    }
}
