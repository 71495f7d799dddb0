//! How parameters become images: the arguments, and what an image's sidecar keeps of them for tools that read the image.

use crate::request::Input;
use std::path::Path;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use obverse::data::batches::ImageFile;
use obverse::net::{Network, Size};
use obverse::objective::parameterisation::{
    Clamped, Colours, Cppn, Decoder, Fourier, FrequencyScale, Geometry, Magnitudes, Mask, Parameterisation, Phases,
    Pixels, Squashed,
};
use obverse::store::npy::Scalar;
use obverse::tensor::Element;
use serde::{Deserialize, Serialize};

use crate::fitted::FittedImages;

/// Images read at a time when a spectrum is measured.
const MEASURED: usize = 64;

/// The parameterisation of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Pixels, put back into 0..1 after each step.
    Clamped,
    /// Pixels before a sigmoid.
    #[default]
    Sigmoid,
    /// A spectrum before a sigmoid, scaled to favour low frequencies.
    Fourier,
    /// An unscaled spectrum before a sigmoid.
    FourierFlat,
    /// Phases of a spectrum whose magnitudes are those of --spectrum-of.
    Maco,
    /// Weights of a small network that maps coordinates to colours.
    Cppn,
    /// Angles, depth and mask of a surface: five channels.
    Geometry,
}

/// Whether colours are decorrelated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColoursArgument {
    /// Channels as they are.
    Plain,
    /// Three channels mixed as those of photographs are (Lucid).
    Decorrelated,
}

/// The mask of a surface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskArgument {
    /// One everywhere.
    #[default]
    Hard,
    /// Between 0 and 1, one parameter per pixel.
    Continuous,
}

/// The arguments of a parameterisation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct ParameterisationArguments {
    /// How the optimised parameters become an image
    #[arg(long, value_enum, default_value_t)]
    pub parameterisation: Kind,
    /// Whether colours are decorrelated [default: decorrelated for spectra with three channels]
    #[arg(long, value_enum)]
    pub colours: Option<ColoursArgument>,
    /// The mask of --parameterisation geometry
    #[arg(long, value_enum, default_value_t)]
    pub mask: MaskArgument,
    /// The images whose mean spectrum --parameterisation maco keeps; images of another size are resized
    #[arg(long, value_name = "IMAGES.npy")]
    pub spectrum_of: Option<Input>,
    /// Make images with a decoder network instead, and optimise its input
    #[arg(long, value_name = "NET", conflicts_with_all = ["parameterisation", "image_size"])]
    pub decoder: Option<Input>,
    /// Height and width of the images [default: the network's; other sizes are resized for it]
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub image_size: Option<(usize, usize)>,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    match sides {
        Some((h, w)) if (1..=1 << 14).contains(&h) && (1..=1 << 14).contains(&w) => Ok((h, w)),
        _ => Err("expected HxW, such as 224x224, up to 16384".into()),
    }
}

impl ParameterisationArguments {
    /// The files that making images needs.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.decoder, &self.spectrum_of].into_iter().flatten().map(|path| &**path)
    }

    /// The parameterisation of images for a network that takes `input`.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit, colours that cannot be decorrelated.
    pub fn build<E: Element + Scalar>(&self, input: Size) -> anyhow::Result<Box<dyn Parameterisation<E>>> {
        if let Some(folder) = &self.decoder {
            return decoder(folder, input);
        }
        let (height, width) = self.image_size.unwrap_or((input.height, input.width));
        let size = Size::new(input.channels, height, width);
        let spectral = matches!(self.parameterisation, Kind::Fourier | Kind::FourierFlat | Kind::Maco);
        let colours = match (self.colours, spectral && input.channels == 3) {
            (Some(ColoursArgument::Decorrelated), _) | (None, true) => Colours::Decorrelated,
            _ => Colours::Plain,
        };
        Ok(match self.parameterisation {
            Kind::Clamped => Box::new(Clamped::new(size)),
            Kind::Sigmoid => Box::new(Squashed::new::<E>(Pixels(size), colours)?),
            Kind::Fourier => Box::new(Squashed::new(Fourier::<E>::new(size, FrequencyScale::Inverse), colours)?),
            Kind::FourierFlat => {
                Box::new(Squashed::new(Fourier::<E>::new(size, FrequencyScale::Orthonormal), colours)?)
            }
            Kind::Maco => {
                let phases = Phases::<E>::new(&self.magnitudes::<E>(size, colours)?)?;
                Box::new(Squashed::new(phases, colours)?)
            }
            Kind::Cppn => Box::new(Cppn::new(size)),
            Kind::Geometry => {
                let mask = match self.mask {
                    MaskArgument::Hard => Mask::One,
                    MaskArgument::Continuous => Mask::Between(0.0, 1.0),
                };
                Box::new(Geometry::new(height, width, mask))
            }
        })
    }

    /// The mean spectrum of the user's images.
    fn magnitudes<E: Element + Scalar>(&self, size: Size, colours: Colours) -> anyhow::Result<Magnitudes> {
        let path = self.spectrum_of.as_deref().context("--parameterisation maco: expected --spectrum-of IMAGES.npy")?;
        let images = FittedImages::open(ImageFile::open(path)?, size)?;
        let mut magnitudes = Magnitudes::new(size, colours)?;
        let rows: Vec<usize> = (0..images.count()).collect();
        for rows in rows.chunks(MEASURED) {
            magnitudes.add(&images.batch::<E>(rows)?);
        }
        Ok(magnitudes)
    }
}

fn decoder<E: Element + Scalar>(folder: &Path, input: Size) -> anyhow::Result<Box<dyn Parameterisation<E>>> {
    // An autoencoder's decoder lies in the autoencoder's folder.
    let inside = folder.join("decoder");
    let folder = if inside.is_dir() { &inside } else { folder };
    let decoder = Decoder::new(Network::<E>::load(folder)?)?;
    let made = decoder.image_size();
    ensure!(
        made.channels == input.channels,
        "--decoder {}: expected images of {} channels, which the network takes, found {made}",
        folder.display(),
        input.channels
    );
    Ok(Box::new(decoder))
}
