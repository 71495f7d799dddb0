//! How an ONNX file is to be read.

use crate::net::size::Size;
pub use crate::store::npy::Layout;

/// What is not taken from the file as it stands.
///
/// ```
/// use obverse::net::{Size, import::onnx::Options};
/// let options = Options { size: Some(Size::new(3, 224, 224)), ..Options::default() };
/// assert!(options.until.is_none() && options.layout.is_none() && !options.unbatched);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The size of the images, in place of the file's.
    pub size: Option<Size>,
    /// The node, by its own name or ONNX's, or the value that becomes the only output; what comes after it is left out.
    pub until: Option<String>,
    /// Whether the first axis is no batch: all of the file's input is one image.
    pub unbatched: bool,
    /// The order of the axes of images, in place of the one that the file suggests.
    pub layout: Option<Layout>,
}
