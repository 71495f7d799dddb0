//! Nodes of one input and no parameters: which operation each is, y = f(x) and its pullback, (N, H, W, C).
//!
//! What a node asks in net.json's words becomes what `ops` takes. Shapes were checked when the graph was made.

use dfdx::prelude::{Cpu, Tape};

use super::operation::Op;
use super::size::Size;
use crate::ops::activation::{Activation, activate};
use crate::ops::concat::{concat_elu, concat_elu_pullback, slice, slice_pullback};
use crate::ops::pad::{crop, pad};
use crate::ops::pooling::{Divisor, End, Pooling, average_pool, average_pool_pullback, max_pool, max_pool_pullback};
use crate::ops::reshape::{flatten, unflatten};
use crate::ops::upsample::{bilinear, bilinear_pullback, nearest, nearest_pullback};
use crate::ops::{activation, window::Window};
use crate::tensor::{Batch, Element};

/// What a node computes of x, or `None` where it is another kind of node. `to` is the size of the result.
pub(super) fn forward<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    op: &Op,
    x: &Batch<E>,
    from: Size,
    to: Size,
) -> Option<Batch<E>> {
    Some(match op {
        Op::MaxPool2d { ceil_mode, .. } => max_pool(tape, x, pooling(op.window()?, *ceil_mode)),
        Op::AvgPool2d { .. } | Op::GlobalAvgPool => {
            let (pooling, divisor) = averaging(op, from)?;
            average_pool(tape, x, pooling, divisor)
        }
        Op::UpsampleNearest { factor } => nearest(tape, x, *factor),
        Op::UpsampleBilinear { .. } => bilinear(tape, x, (to.height, to.width)),
        Op::Slice { start, end } => slice(tape, x, *start..*end),
        Op::ConcatElu => concat_elu(tape, x),
        Op::Pad { .. } => pad(tape, x, op.frame()?),
        Op::Flatten => flatten(tape, x),
        Op::Reshape { .. } => reshape(tape, x, from, to),
        _ => activate(tape, x, activation_of(op)?),
    })
}

/// The cotangent of x for one of a node's result, or `None` where it is another kind of node. `from` is the size of x.
pub(super) fn pullback<E: Element, T: Tape<E, Cpu>>(
    tape: &mut T,
    op: &Op,
    cotangent: &Batch<E>,
    x: &Batch<E>,
    from: Size,
) -> Option<Batch<E>> {
    Some(match op {
        Op::MaxPool2d { ceil_mode, .. } => max_pool_pullback(tape, cotangent, x, pooling(op.window()?, *ceil_mode)),
        Op::AvgPool2d { .. } | Op::GlobalAvgPool => {
            let (pooling, divisor) = averaging(op, from)?;
            average_pool_pullback(tape, cotangent, pooling, divisor, (from.height, from.width))
        }
        Op::UpsampleNearest { factor } => nearest_pullback(tape, cotangent, *factor),
        Op::UpsampleBilinear { .. } => bilinear_pullback(tape, cotangent, (from.height, from.width)),
        Op::Slice { start, end } => slice_pullback(tape, cotangent, from.channels, *start..*end),
        Op::ConcatElu => concat_elu_pullback(tape, cotangent, x),
        Op::Pad { .. } => crop(tape, cotangent, op.frame()?),
        Op::Flatten => unflatten(tape, cotangent, (from.channels, from.height, from.width)),
        Op::Reshape { shape: [channels, height, width] } => {
            reshape(tape, cotangent, Size::new(*channels, *height, *width), from)
        }
        _ => activation::pullback(tape, cotangent, x, activation_of(op)?),
    })
}

/// The same values in channels-first order, as an image of another size.
fn reshape<E: Element, T: Tape<E, Cpu>>(tape: &mut T, x: &Batch<E>, from: Size, to: Size) -> Batch<E> {
    let vector = if from.is_vector() { x.clone() } else { flatten(tape, x) };
    if to.is_vector() { vector } else { unflatten(tape, &vector, (to.channels, to.height, to.width)) }
}

fn pooling(window: Window, ceil_mode: bool) -> Pooling {
    Pooling { window, end: if ceil_mode { End::Over } else { End::Within } }
}

/// How a node takes means of images of size `from`.
fn averaging(op: &Op, from: Size) -> Option<(Pooling, Divisor)> {
    Some(match op {
        Op::AvgPool2d { ceil_mode, count_include_pad, .. } => {
            let divisor = if *count_include_pad { Divisor::Padded } else { Divisor::Inside };
            (pooling(op.window()?, *ceil_mode), divisor)
        }
        Op::GlobalAvgPool => (Pooling::whole(from.height, from.width), Divisor::Inside),
        _ => return None,
    })
}

/// The activation that an operation is.
fn activation_of(op: &Op) -> Option<Activation> {
    Some(match op {
        Op::LeakyRelu { slope } => Activation::LeakyRelu { slope: *slope },
        Op::Relu => Activation::LeakyRelu { slope: 0.0 },
        Op::Clip { low, high } => Activation::Clip { low: *low, high: *high },
        Op::Elu => Activation::Elu,
        Op::Asinh => Activation::Asinh,
        Op::Sinh => Activation::Sinh,
        Op::Sigmoid => Activation::Sigmoid,
        Op::Tanh => Activation::Tanh,
        Op::Softplus => Activation::Softplus,
        _ => return None,
    })
}
