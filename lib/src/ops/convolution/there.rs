//! Convolutions for devices.

use obverse_engine::{Convolution as Slide, Program, Variable};

use super::Convolution;
use crate::ops::window::{Padding, Window};

/// W * x.
pub(super) fn convolved<'p>(x: Variable<'p>, weight: Variable<'p>, convolution: Convolution) -> Variable<'p> {
    let Window { kernel, stride, padding, dilation } = convolution.window;
    let Padding { top, bottom, left, right } = padding;
    let (depth, outputs) = (weight.shape()[3], weight.shape()[0]);
    let shape = x.shape();
    let pointwise = kernel == [1, 1] && stride == [1, 1] && [top, bottom, left, right] == [0; 4];
    if pointwise && convolution.groups == 1 {
        let pixels = shape[0] * shape[1] * shape[2];
        let weight = weight.reshape(&[1, outputs, depth]).permute(&[0, 2, 1]);
        return x.reshape(&[1, pixels, depth]).matmul(weight).reshape(&[shape[0], shape[1], shape[2], outputs]);
    }
    let (x, padding) = if top == bottom && left == right {
        (x, [top, left])
    } else {
        let tall = x.place_in(1, top, 1, shape[1] + top + bottom);
        (tall.place_in(2, left, 1, shape[2] + left + right), [0, 0])
    };
    x.convolve(weight, Slide { stride, padding, dilation, groups: convolution.groups })
}

/// The cotangent of x, whose values are not read.
pub(super) fn back<'p>(
    program: &'p Program,
    cotangent: Variable<'p>,
    x: Variable<'p>,
    weight: Variable<'p>,
    convolution: Convolution,
) -> Variable<'p> {
    let y = convolved(x, weight, convolution);
    program.pull(y, cotangent, &[x]).remove(0).unwrap_or(x)
}
