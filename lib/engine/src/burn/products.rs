//! Matrix products and convolutions, in single precision or with factors of 16 bits.

use burn_backend::ops::{ConvOptions, FloatTensorOps, ModuleOps};
use burn_backend::{FloatDType, Scalar, Shape, TensorMetadata};
use burn_dispatch::Dispatch as B;

use super::{Burn, Precision, Tensor};
use crate::Convolution;

/// Terms of size 1 whose sum a 16-bit float holds.
const MOST_TERMS: f64 = 32_768.0;

/// The type of an array's numbers.
fn kind_of(x: &Tensor) -> FloatDType {
    x.dtype().into()
}

fn options(convolution: &Convolution) -> ConvOptions<2> {
    let Convolution { stride, padding, dilation, groups } = *convolution;
    ConvOptions::new(stride, padding, dilation, groups)
}

/// (N, H, W, C) as (N, C, H, W): a view, no values move.
fn channels_first(x: Tensor) -> Tensor {
    B::float_permute(x, &[0, 3, 1, 2])
}

fn channels_last(x: Tensor) -> Tensor {
    B::float_permute(x, &[0, 2, 3, 1])
}

impl Burn {
    pub(super) fn matmul(&self, a: Tensor, b: Tensor) -> Tensor {
        let terms = a.shape()[2];
        self.product(a, b, terms, B::float_matmul)
    }

    pub(super) fn convolve(&self, x: Tensor, weight: Tensor, convolution: &Convolution) -> Tensor {
        let terms = weight.shape()[1..].iter().product();
        self.product(x, weight, terms, |x, weight| {
            channels_last(B::conv2d(channels_first(x), channels_first(weight), None, options(convolution)))
        })
    }

    pub(super) fn convolve_input(
        &self,
        cotangent: Tensor,
        weight: Tensor,
        convolution: &Convolution,
        shape: &[usize],
    ) -> Tensor {
        let terms = weight.shape()[..3].iter().product::<usize>() / convolution.groups;
        let kind = self.kind_of_factors(&weight);
        self.product(cotangent, weight, terms, |cotangent, weight| {
            // Only its shape is read.
            let x = B::float_empty(Shape::from(shape.to_vec()), &self.device, kind);
            let (x, weight, cotangent) = (channels_first(x), channels_first(weight), channels_first(cotangent));
            channels_last(B::conv2d_x_backward(x, weight, cotangent, options(convolution)))
        })
    }

    pub(super) fn convolve_weight(
        &self,
        x: Tensor,
        cotangent: Tensor,
        convolution: &Convolution,
        shape: &[usize],
    ) -> Tensor {
        let terms = cotangent.shape()[..3].iter().product();
        let kind = self.kind_of_factors(&x);
        self.product(x, cotangent, terms, |x, cotangent| {
            let weight = B::float_empty(Shape::from(shape.to_vec()), &self.device, kind);
            let (x, weight, cotangent) = (channels_first(x), channels_first(weight), channels_first(cotangent));
            channels_last(B::conv2d_weight_backward(x, weight, cotangent, options(convolution)))
        })
    }

    fn kind_of_factors(&self, x: &Tensor) -> FloatDType {
        match self.precision {
            Precision::Single => kind_of(x),
            Precision::Mixed(sixteen) => sixteen,
        }
    }

    /// A product, which is linear in both factors.
    ///
    /// With factors of 16 bits each is first scaled to have 1 as its largest size, and the product scaled back: what loss scaling is for,
    /// without a factor to choose or to carry through a checkpoint. A sum of K terms would then be at most K, and 16-bit floats end at 65,504:
    /// where there are more terms, the largest size is less than 1.
    fn product(&self, a: Tensor, b: Tensor, terms: usize, compute: impl FnOnce(Tensor, Tensor) -> Tensor) -> Tensor {
        let Precision::Mixed(sixteen) = self.precision else { return compute(a, b) };
        let largest = (MOST_TERMS / terms as f64).min(1.0).sqrt();
        let kind = kind_of(&a);
        let ((a, size_a), (b, size_b)) = (scaled(a, largest), scaled(b, largest));
        let small = compute(B::float_cast(a, sixteen), B::float_cast(b, sixteen));
        let size = B::float_mul(size_a, size_b);
        let rank = small.rank();
        B::float_mul(B::float_cast(small, kind), B::float_reshape(size, Shape::from(vec![1; rank])))
    }
}

/// An array divided so that its largest size is this, and what it was divided by.
fn scaled(x: Tensor, largest: f64) -> (Tensor, Tensor) {
    let rank = x.rank();
    // An array of zeros is divided by something.
    let size = B::float_clamp_min(B::float_max_abs(x.clone()), Scalar::Float(f64::from(f32::MIN_POSITIVE)));
    let size = B::float_mul_scalar(size, Scalar::Float(1.0 / largest));
    (B::float_div(x, B::float_reshape(size.clone(), Shape::from(vec![1; rank]))), size)
}
