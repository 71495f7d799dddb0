//! The images that a file's input holds.

use super::arrangement::Arrangement;
use super::{Layout, Options};
use crate::net::error::Result;
use crate::net::import::unfit;
use crate::net::size::Size;
use crate::store::onnx::{self, Model};

/// The size of the images, and where ONNX's axes are in them.
pub(super) fn input(model: &Model, input: &onnx::Input, options: &Options) -> Result<(Size, Arrangement)> {
    let has_batch = !options.unbatched;
    let given = if has_batch { input.shape.get(1..).unwrap_or_default() } else { input.shape.as_slice() };
    let refused = |found: String| {
        let first = if has_batch { "(N, C, H, W), (N, T, D) or (N, F)" } else { "(C, H, W) or fewer axes" };
        unfit(&model.path, format!("an input {first} in \"{}\"", input.name), found)
    };
    if given.is_empty() || (given.len() > 3 && has_batch) {
        return Err(refused(format!("{} axes", input.shape.len())));
    }
    // Keras and TensorFlow put the channels last.
    let is_side = |axis: &Option<usize>| axis.is_none_or(|length| length > 4);
    let looks_last = matches!(given, [rows, columns, Some(1 | 3 | 4)] if is_side(rows) && is_side(columns));
    let is_last = given.len() == 3 && options.layout.map_or(looks_last && has_batch, |layout| layout == Layout::Nhwc);
    let axes: Vec<usize> = match options.size {
        Some(size) if is_last => vec![size.height, size.width, size.channels],
        Some(size) if given.len() == 1 => vec![size.elements()],
        Some(size) => {
            let mut axes = vec![size.channels, size.height, size.width];
            while axes.len() > given.len() && axes.last() == Some(&1) {
                axes.pop();
            }
            axes
        }
        None => {
            let open = "axes left open; give `input_size`, as C,H,W";
            let axes = given.iter().copied().collect::<Option<Vec<_>>>();
            axes.ok_or_else(|| unfit(&model.path, format!("the size of \"{}\"", input.name), open))?
        }
    };
    if axes.len() != given.len() {
        return Err(refused(format!("`input_size` of {} axes for {}", axes.len(), given.len())));
    }
    let agrees = axes.iter().zip(given).all(|(axis, given)| given.is_none_or(|given| given == *axis));
    if !agrees && options.size.is_none() {
        return Err(refused(format!("{axes:?}")));
    }
    let order: Vec<usize> = match axes.len() {
        1 => vec![0],
        2 => vec![1, 0],
        3 if is_last => vec![0, 1, 2],
        more => (1..more).chain([0]).collect(),
    };
    let size = match *axes.as_slice() {
        [features] => Size::new(features, 1, 1),
        [channels, height] => Size::new(channels, height, 1),
        [height, width, channels] if is_last => Size::new(channels, height, width),
        [channels, height, ref rest @ ..] => Size::new(channels, height, rest.iter().product()),
        [] => return Err(refused("none".into())),
    };
    Ok((size, Arrangement::new(&axes, &order, has_batch)))
}
