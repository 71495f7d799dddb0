//! What can stop a training.

use std::path::{Path, PathBuf};

use crate::{data, net, store};

/// An error of a training.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A checkpoint that does not parse.
    #[error("{path}: a damaged checkpoint ({reason}); `restart` begins anew")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The parser's message.
        reason: String,
    },
    /// A file in the checkpoint's folder that is not its own.
    #[error(
        "{path}: expected only the files of a checkpoint in its folder; move this one away, or choose another output"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint of another request.
    #[error(
        "{path}: the checkpoint of another request: {differences}; `restart` discards it, or choose another output"
    )]
    OtherRequest {
        /// The checkpoint's folder.
        path: PathBuf,
        /// The keys that differ, with both values.
        differences: String,
    },
    /// A loss that is not finite.
    #[error("training diverged: the loss \"{loss}\" is {value} at update {update} (epoch {epoch}); {advice}")]
    Diverged {
        /// Which loss.
        loss: String,
        /// Its value.
        value: f64,
        /// The update, from 1.
        update: u64,
        /// The epoch, from 1.
        epoch: u64,
        /// What to do.
        advice: String,
    },
    /// Settings that are not valid.
    #[error("{0}")]
    Settings(String),
    /// A network.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// A dataset.
    #[error("{0}")]
    Data(#[from] data::Error),
    /// A file.
    #[error("{0}")]
    Store(#[from] store::Error),
}

impl Error {
    /// A file that does not belong to a checkpoint.
    pub(super) fn foreign(path: &Path) -> Self {
        Self::Foreign { path: path.to_owned() }
    }

    /// A checkpoint's file that does not parse.
    pub(super) fn broken(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
