//! The files that a training reads: images, classes, targets and conditions, to train on and held out.

use crate::request::Input;
use std::path::Path;

use anyhow::ensure;
use obverse::baselines::classifier::Labelled;
use obverse::baselines::regressor::{Inputs, Pairs};
use obverse::data::batches::{ImageFile, LabelFile};
use obverse::net::srnet;
use obverse::store::npy::Reader;
use obverse::train::evaluation::HeldOut;

use super::Arguments;

/// The images of a split, with their classes, targets and conditions if given.
pub(super) struct Split {
    pub(super) images: ImageFile,
    pub(super) labels: Option<LabelFile>,
    targets: Option<ImageFile>,
    condition: Option<Reader>,
}

/// The files of a split.
pub(super) struct Files<'a> {
    pub(super) images: &'a Path,
    pub(super) labels: &'a Option<Input>,
    pub(super) targets: &'a Option<Input>,
    pub(super) condition: &'a Option<Input>,
}

impl Split {
    pub(super) fn open(files: &Files, pixels: crate::PixelArguments) -> anyhow::Result<Self> {
        let images = pixels.open(files.images)?;
        let labels = files.labels.as_ref().map(|path| LabelFile::open(path, images.count())).transpose()?;
        let targets = files.targets.as_deref().map(|path| pixels.open(path)).transpose()?;
        let condition = files.condition.as_deref().map(Reader::open).transpose()?;
        if let Some(targets) = &targets {
            let (small, large) = (images.shape(), targets.shape());
            let (height, width) = (srnet::FACTOR * small.height, srnet::FACTOR * small.width);
            ensure!(
                targets.count() == images.count()
                    && (large.channels, large.height, large.width) == (small.channels, height, width),
                "{}: expected {} images of {}x{height}x{width}, {} times as large as those to enlarge, found {} of {}x{}x{}",
                targets.reader().path().display(),
                images.count(),
                small.channels,
                srnet::FACTOR,
                targets.count(),
                large.channels,
                large.height,
                large.width
            );
        }
        Ok(Self { images, labels, targets, condition })
    }

    /// The inputs of a decoder, and the images it should recover.
    pub(super) fn conditioned(&self) -> Option<Pairs<'_>> {
        self.condition.as_ref().map(|condition| (Inputs::Layer(condition), &self.images))
    }

    /// Images, and the targets of a srnet.
    pub(super) fn enlarged(&self) -> Option<Pairs<'_>> {
        self.targets.as_ref().map(|targets| (Inputs::Images(&self.images), targets))
    }

    /// Images and their classes.
    pub(super) fn labelled(&self) -> Option<Labelled<'_>> {
        self.labels.as_ref().map(|labels| (&self.images, labels))
    }
}

/// The splits of a training.
pub(super) struct Data {
    pub(super) train: Split,
    test: Option<Split>,
    validation: Option<Split>,
}

impl Data {
    pub(super) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let Arguments { images, labels, targets, condition, .. } = arguments;
        let train = Split::open(&Files { images, labels, targets, condition }, arguments.pixels)?;
        let (labels, targets, condition) = (&arguments.test_labels, &arguments.test_targets, &arguments.test_condition);
        let split = |files: Option<Files>| files.as_ref().map(|files| Split::open(files, arguments.pixels)).transpose();
        let test = split(arguments.test.as_deref().map(|images| Files { images, labels, targets, condition }))?;
        let (labels, targets, condition) =
            (&arguments.validation_labels, &arguments.validation_targets, &arguments.validation_condition);
        let validation =
            split(arguments.validation.as_deref().map(|images| Files { images, labels, targets, condition }))?;
        let wanted = train.images.shape();
        for images in [&test, &validation].into_iter().flatten().map(|split| &split.images) {
            let found = images.shape();
            ensure!(
                wanted == found,
                "{}: expected images of {}x{}x{}, as those to train on, found {}x{}x{}",
                images.reader().path().display(),
                wanted.channels,
                wanted.height,
                wanted.width,
                found.channels,
                found.height,
                found.width
            );
        }
        Ok(Self { train, test, validation })
    }

    /// The splits that are only evaluated.
    pub(super) fn held_out<'a, T>(&'a self, of: impl Fn(&'a Split) -> Option<T>) -> HeldOut<T> {
        HeldOut { test: self.test.as_ref().and_then(&of), validation: self.validation.as_ref().and_then(&of) }
    }
}
