//! Reductions for devices that are not made of other operations.

use obverse_engine::{Binary, Program, Variable, elements};

use super::Reduction;
use crate::ops::broadcast::lengths;
use crate::tensor::Shape;

/// The axes that are joined.
pub(super) fn joined(from: Shape, to: Shape) -> Vec<usize> {
    let (from, to) = (lengths(from), lengths(to));
    (0..4).filter(|&axis| to[axis] == 1 && from[axis] != 1).collect()
}

/// Whether it is one of this file.
pub(super) fn is_own(reduction: Reduction) -> bool {
    use Reduction::{ArgMax, ArgMin, Max, Min, Prod};
    matches!(reduction, Max | Min | Prod | ArgMax | ArgMin)
}

/// The reduction of images of shape `from` to `to`.
pub(super) fn reduced<'p>(
    program: &'p Program,
    x: Variable<'p>,
    from: Shape,
    to: Shape,
    reduction: Reduction,
) -> Variable<'p> {
    let axes = joined(from, to);
    let extreme = |x: Variable<'p>| axes.iter().fold(x, |x, &axis| x.largest(axis)).fixed();
    match reduction {
        Reduction::Max => shared(x, extreme(x), &axes),
        Reduction::Min => shared(x, -extreme(-x), &axes),
        Reduction::Prod => axes.iter().fold(x, |x, &axis| {
            let length = x.shape()[axis];
            (1..length).fold(x.slice(axis, 0, 1, 1), |product, at| product * x.slice(axis, at, 1, 1))
        }),
        Reduction::ArgMin => first(program, x, -extreme(-x), &axes),
        _ => first(program, x, extreme(x), &axes),
    }
}

/// The extreme value, as the mean of all that are equal to it: so they share its cotangent.
fn shared<'p>(x: Variable<'p>, extreme: Variable<'p>, axes: &[usize]) -> Variable<'p> {
    let is_extreme = x.fixed().binary(Binary::Equal, extreme);
    (x * is_extreme).sum(axes) / is_extreme.sum(axes)
}

/// The first place, counted over the joined axes, of a value that is extreme.
fn first<'p>(program: &'p Program, x: Variable<'p>, extreme: Variable<'p>, axes: &[usize]) -> Variable<'p> {
    let mut shape = vec![1; 4];
    axes.iter().for_each(|&axis| shape[axis] = x.shape()[axis]);
    let count = elements(&shape);
    let places: Vec<f64> = (0..count).map(|place| place as f64).collect();
    // Those that are not extreme lie behind all others.
    let places = program.constant(&places, &shape);
    let behind = x.binary(Binary::Equal, extreme).affine(-(count as f64), count as f64);
    -axes.iter().fold(-(places + behind), |x, &axis| x.largest(axis))
}
