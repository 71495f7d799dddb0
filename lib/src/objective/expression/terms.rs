//! A sum of quantities with their factors.

use std::path::{Path, PathBuf};

/// A place of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// Row and column.
    Pixel(usize, usize),
    /// A token, or a pixel counted row by row.
    Token(usize),
}

/// One quantity of a network or an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Atom {
    /// The activation of one neuron; the central one of a channel where no place is given.
    Neuron {
        /// The node.
        node: String,
        /// The channel, from 0.
        channel: usize,
        /// Where; at the centre if it is not said.
        at: Option<Location>,
    },
    /// The mean activation of a channel.
    Channel {
        /// The node.
        node: String,
        /// The channel, from 0.
        channel: usize,
    },
    /// A class's score before the softmax.
    Class(usize),
    /// The mean square of a node's activations (DeepDream).
    Layer {
        /// The node.
        node: String,
    },
    /// The mean square of one token's features.
    Token {
        /// The node.
        node: String,
        /// The token, from 0; a class token is usually the first.
        token: usize,
    },
    /// The mean square of one head's features: the channels of so many heads lie side by side.
    Head {
        /// The node.
        node: String,
        /// The head, from 0.
        head: usize,
        /// The number of heads.
        of: usize,
    },
    /// The similarity to one direction, the same for all images.
    Direction {
        /// The node.
        node: String,
        /// A vector, (F), or the rows of a matrix, (R, F), such as the decoder of a sparse autoencoder.
        file: PathBuf,
        /// The row, of a matrix.
        row: Option<usize>,
        /// The response at one place alone; the aggregated one if it is not said.
        at: Option<Location>,
    },
    /// The similarity to a target, one row per image.
    Targets {
        /// The node.
        node: String,
        /// The targets, (N, F).
        file: PathBuf,
    },
    /// How little the images of a batch resemble each other at a node: minus the mean cosine of their Gram matrices.
    Diversity {
        /// The node.
        node: String,
    },
    /// The mean |x - 1/2| of the image.
    L1,
    /// The mean (x - 1/2)^2 of the image.
    L2,
    /// The mean over pixels of the absolute differences to the neighbours below and to the right.
    TotalVariation,
}

/// An atom's factor: one for the first image of an objective, one for the last, and linear between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// For the first image.
    pub first: f64,
    /// For the last image.
    pub last: f64,
}

impl Weight {
    /// The factor for image `image` of `count`; the first one's where there is one image.
    pub fn at(self, image: usize, count: usize) -> f64 {
        let share = if count > 1 { image as f64 / (count - 1) as f64 } else { 0.0 };
        self.first + (self.last - self.first) * share
    }
}

/// A sum of atoms with their factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(pub Vec<(Weight, Atom)>);

impl Expression {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|(_, atom)| match atom {
            Atom::Direction { file, .. } | Atom::Targets { file, .. } => Some(file.as_path()),
            _ => None,
        })
    }
}
