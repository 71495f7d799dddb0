//! The files that an alignment is trained and tested on.

use anyhow::bail;
use obverse::alignment::training::Dataset;
use obverse::data::batches::{ImageFile, LabelFile};
use obverse::store::npy::Reader;

use super::Arguments;

/// Every file that a training reads.
pub(super) struct Data {
    pub(super) images: ImageFile,
    pub(super) labels: Option<LabelFile>,
    pub(super) targets: Option<Reader>,
    pub(super) test: Option<(ImageFile, Option<LabelFile>)>,
}

impl Data {
    pub(super) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let images = arguments.pixels.open(&arguments.images)?;
        let labels = arguments.labels.as_deref().map(|path| LabelFile::open(path, images.count())).transpose()?;
        let targets = arguments.targets.as_deref().map(Reader::open).transpose()?;
        if let Some(targets) = &targets {
            targets.require_rank(2, "targets (N, F)")?;
            if targets.rows() != images.count() {
                let path = targets.path().display();
                bail!("{path}: expected {} rows, one per image, found {}", images.count(), targets.rows());
            }
        }
        let test = arguments.test.as_deref().map(|path| arguments.pixels.open(path)).transpose()?;
        let test = test
            .map(|test| {
                let labels = arguments.test_labels.as_deref().map(|path| LabelFile::open(path, test.count()));
                anyhow::Ok((test, labels.transpose()?))
            })
            .transpose()?;
        Ok(Self { images, labels, targets, test })
    }

    pub(super) fn examples(&self) -> Dataset<'_> {
        Dataset { images: &self.images, labels: self.labels.as_ref() }
    }

    pub(super) fn test(&self) -> Option<Dataset<'_>> {
        self.test.as_ref().map(|(images, labels)| Dataset { images, labels: labels.as_ref() })
    }
}
