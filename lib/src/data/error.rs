//! What can go wrong with a dataset. Each message is one line: which file, what was expected, what was found, what to do.

use std::io;
use std::path::Path;

use crate::store;

/// The result of reading or writing a dataset.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file's content is not what its format asks for.
    #[error("{file}: expected {expected}, found {found}; {advice}")]
    Malformed {
        /// The file, with the archive it lies in.
        file: String,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        found: String,
        /// What the user can do.
        advice: String,
    },
    /// A file cannot be read.
    #[error("{file}: expected a file that can be read, found: {source}; check the path and the permissions")]
    File {
        /// The file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A request that cannot be carried out.
    #[error("{operation}: expected {expected}, found {found}")]
    Request {
        /// The operation requested.
        operation: &'static str,
        /// What the operation accepts.
        expected: String,
        /// What was requested.
        found: String,
    },
    /// An address that does not return its file.
    #[error(
        "{address}: expected the file, found: {found}; try again (what has arrived is kept), or set OBVERSE_MIRROR"
    )]
    Fetch {
        /// The address.
        address: String,
        /// What it returned.
        found: String,
    },
    /// An array or a folder that the store cannot read or write.
    #[error("{0}")]
    Store(#[from] store::Error),
}

impl Error {
    /// A file whose content breaks its format.
    pub(crate) fn malformed(file: &str, expected: impl ToString, found: impl ToString, advice: &str) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Malformed { file: file.to_string(), expected, found, advice: advice.to_string() }
    }

    /// A file that ends too early or is otherwise damaged: the advice is always to fetch it again.
    pub(crate) fn damaged(file: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self::malformed(file, expected, found, "the file is damaged or incomplete: fetch it again")
    }

    /// A file that cannot be read.
    pub(crate) fn read(file: impl AsRef<Path>, source: io::Error) -> Self {
        Self::File { file: file.as_ref().display().to_string(), source }
    }

    /// An address that does not return its file.
    pub(crate) fn fetch(address: &str, found: impl ToString) -> Self {
        Self::Fetch { address: address.to_string(), found: found.to_string() }
    }

    /// A request outside what an operation accepts.
    pub(crate) fn request(operation: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Request { operation, expected: expected.to_string(), found: found.to_string() }
    }
}
