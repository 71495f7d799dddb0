//! From images to the features that are compared: resized to the network's size, and a node's mean over places.
//!
//! ```
//! use obverse::data::{Shape, pictures::Picture};
//! use obverse::fidelity::features::{FeatureMap, Resize};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! let graph = architectures::encoder("mnist", Size::new(1, 8, 8), &[("z", 3)])?;
//! let network = Network::initialised(graph, Initialisation::Uniform, 0);
//! let map = FeatureMap::new(network, "z", Resize::Bilinear)?;
//! let shape = Shape { channels: 1, height: 5, width: 6 };
//! let features = map.features(&[Picture { shape, pixels: vec![0.5; 30] }]);
//! assert_eq!(features.map(|features| features.len()).ok(), Some(map.dimension()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use rayon::prelude::*;

use crate::data::Shape;
use crate::data::pictures::Picture;
use crate::data::resize::{Filter, resize};
use crate::net::{self, Mode, Network, Size};
use crate::ops::InputGradient;
use crate::ops::upsample::bilinear;
use crate::tensor::{Batch, Tape, batch, channels_first, channels_last, shape, view};

/// How images are resized for the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// As pytorch-fid: bilinear with half-pixel centres, without antialiasing.
    Bilinear,
    /// As in clean-fid: bicubic with antialiasing, channel by channel, in floats, clipped; and 128 as the middle grey.
    Clean,
    /// Not at all: images must have the network's size.
    None,
}

/// A network up to a node, whose mean over places is an image's features.
#[derive(Debug)]
pub struct FeatureMap {
    network: Network<f32>,
    node: usize,
    resize: Resize,
}

impl FeatureMap {
    /// The features that `node` of `network` computes.
    ///
    /// # Errors
    /// No node of that name.
    pub fn new(network: Network<f32>, node: &str, resize: Resize) -> net::Result<Self> {
        let network = network.only(&[node])?;
        let node = network.graph().place(node)?;
        Ok(Self { network, node, resize })
    }

    /// The number of features, d.
    pub fn dimension(&self) -> usize {
        self.network.graph().size(self.node).channels
    }

    /// The size of the network's images.
    pub fn input(&self) -> Size {
        self.network.graph().input.shape
    }

    /// The features (N, d) of pictures, each resized for the network; grey ones are treated as colour ones with three equal
    /// channels.
    ///
    /// # Errors
    /// A picture with other channels, or of another size without `resize`: the number of the first one, expected and found.
    pub fn features(&self, pictures: &[Picture]) -> Result<Vec<f32>, Refusal> {
        let refused = |(number, picture): (usize, &Picture)| {
            self.refusal(picture.shape).map(|expected| Refusal { number, expected, found: picture.shape })
        };
        if let Some(refusal) = pictures.iter().enumerate().find_map(refused) {
            return Err(refusal);
        }
        let Size { channels, height, width } = self.input();
        let x: Vec<f32> = pictures.par_iter().flat_map_iter(|picture| self.prepared(picture)).collect();
        let x = batch(x, (pictures.len(), height, width, channels));
        let trace = self.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Unwanted);
        // The node is among those computed since `new`.
        Ok(trace.value(self.node).map(means).unwrap_or_default())
    }

    /// Why a picture of this shape is rejected, if it is.
    fn refusal(&self, picture: Shape) -> Option<String> {
        let input = self.input();
        if picture.channels != input.channels && (picture.channels, input.channels) != (1, 3) {
            return Some(format!("images of {} channels", input.channels));
        }
        let fits = (picture.height, picture.width) == (input.height, input.width);
        (self.resize == Resize::None && !fits).then(|| format!("images of {}x{}", input.height, input.width))
    }

    /// A picture at the network's size, (H, W, C).
    fn prepared(&self, picture: &Picture) -> Vec<f32> {
        let Size { channels, height, width } = self.input();
        let Shape { height: h, width: w, channels: c } = picture.shape;
        let coloured: Vec<f32> = match c == channels {
            true => picture.pixels.clone(),
            false => picture.pixels.iter().flat_map(|&value| std::iter::repeat_n(value, channels)).collect(),
        };
        let from = (1, h, w, channels);
        match self.resize {
            Resize::Clean => {
                let bytes: Vec<f32> = channels_first(&coloured, from).into_iter().map(|value| value * 255.0).collect();
                let resized = resize(&bytes, Shape { channels, ..picture.shape }, height, width, Filter::Bicubic);
                // (x - 128) / 128 is 2 x' - 1 of x' = x / 256.
                let values: Vec<f32> = resized.into_iter().map(|value| value.clamp(0.0, 255.0) / 256.0).collect();
                channels_last(&values, (1, height, width, channels))
            }
            Resize::Bilinear if (h, w) != (height, width) => {
                view(&bilinear(&mut Tape::off(), &batch(coloured, from), (height, width))).to_vec()
            }
            _ => coloured,
        }
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

/// The mean over places of each channel, image by image.
fn means(value: &Batch<f32>) -> Vec<f32> {
    let (_, h, w, c) = shape(value);
    let mean = |image: &[f32]| {
        let mut sums = vec![0.0; c];
        for place in image.chunks_exact(c) {
            sums.iter_mut().zip(place).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sums.into_iter().map(move |sum| (sum / (h * w) as f64) as f32)
    };
    view(value).chunks_exact(h * w * c).flat_map(mean).collect()
}
