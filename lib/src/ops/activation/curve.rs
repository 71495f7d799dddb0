//! Functions of one number and their derivatives, and loops over them that know the function before they start.

use std::marker::PhantomData;

use super::{elementary, piecewise, smooth};
use crate::ops::{Kernel, vectorised};
use crate::tensor::Element;

/// A function of one number.
pub(super) trait Curve: Copy {
    /// Whether its second derivative is 0 wherever there is one.
    const FLAT: bool = false;

    /// Whether it is made of operations that a compiler turns into vectors.
    const VECTORS: bool = false;

    /// f(x).
    fn value<E: Element>(self, x: E) -> E;

    /// f'(x).
    fn slope<E: Element>(self, x: E) -> E;

    /// f''(x); not asked for where it is 0 everywhere.
    fn curvature<E: Element>(self, _x: E) -> E {
        E::zero()
    }
}

/// Which derivative of a function.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// f.
    Value,
    /// f'.
    Slope,
    /// f''.
    Curvature,
}

/// Makes [`Activation`] of a list of functions, of which each is a type too.
macro_rules! activations {
    ($($(#[$doc:meta])* $module:ident::$Name:ident $({ $($(#[$about:meta])* $field:ident),* $(,)? })?;)*) => {
        /// An activation function.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Activation {
            $($(#[$doc])* $Name $({ $($(#[$about])* $field: f64),* })?),*
        }

        impl Activation {
            /// Puts the derivative of each x into `y`.
            pub(super) fn fill<E: Element>(self, order: Order, x: &[E], y: &mut [E]) {
                match self {
                    $(Self::$Name $({ $($field),* })? => fill($module::$Name $({ $($field),* })?, order, x, y)),*
                }
            }

            /// Whether the second derivative is 0 wherever there is one.
            pub(super) fn is_flat(self) -> bool {
                match self {
                    $(Self::$Name { .. } => <$module::$Name as Curve>::FLAT),*
                }
            }
        }
    };
}

activations! {
    /// max(x, slope x), which is x, or slope x below zero, for 0 <= slope < 1; ReLU has slope 0 (Maas et al. 2013). Other slopes: x, or
    /// slope x below zero.
    piecewise::LeakyRelu {
        /// The slope below zero.
        slope,
    };
    /// min(max(x, low), high), low <= high; ReLU6 is the clip to 0..6 (Howard et al. 2017). At the bounds its slope is 0.
    piecewise::Clip {
        /// The lowest value.
        low,
        /// The highest value.
        high,
    };
    /// max(0, min(1, alpha x + beta)) (Courbariaux et al. 2015).
    piecewise::HardSigmoid {
        /// The slope.
        alpha,
        /// The value at 0.
        beta,
    };
    /// x max(0, min(1, x / 6 + 1 / 2)) (Howard et al. 2019).
    piecewise::HardSwish;
    /// x above the threshold, else the value.
    piecewise::Threshold {
        /// The largest x that is replaced.
        threshold,
        /// What replaces it.
        value,
    };
    /// x - bias above lambda, x + bias below -lambda, 0 between.
    piecewise::Shrink {
        /// The largest |x| that becomes 0.
        lambda,
        /// What the others move towards 0 by.
        bias,
    };
    /// |x|; at 0 its slope is 0.
    piecewise::Abs;
    /// -x.
    piecewise::Neg;
    /// 1 above 0, -1 below.
    piecewise::Sign;
    /// The largest integer that is not above x.
    piecewise::Floor;
    /// The smallest integer that is not below x.
    piecewise::Ceil;
    /// The nearest integer, of two the even one.
    piecewise::Round;
    /// x above 0, alpha (e^x - 1) below (Clevert et al. 2015).
    smooth::Elu {
        /// Less the limit below.
        alpha,
    };
    /// x above 0, alpha (e^(x / alpha) - 1) below (Barron 2017).
    smooth::Celu {
        /// Less the limit below.
        alpha,
    };
    /// gamma x above 0, gamma alpha (e^x - 1) below (Klambauer et al. 2017).
    smooth::Selu {
        /// Less the limit below, but for gamma.
        alpha,
        /// The slope above 0.
        gamma,
    };
    /// 1 / (1 + e^-x).
    smooth::Sigmoid;
    /// ln(1 / (1 + e^-x)), computed without overflow.
    smooth::LogSigmoid;
    /// (e^x - e^-x) / (e^x + e^-x).
    smooth::Tanh;
    /// ln(1 + e^(beta x)) / beta, computed without overflow.
    smooth::Softplus {
        /// How sharply it bends at 0.
        beta,
    };
    /// x / (1 + |x|).
    smooth::Softsign;
    /// x / (1 + e^-x), also called swish (Elfwing et al. 2017).
    smooth::Silu;
    /// x tanh(ln(1 + e^x)) (Misra 2019).
    smooth::Mish;
    /// x F(x), F being the normal distribution function (Hendrycks & Gimpel 2016).
    smooth::Gelu;
    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which approximates it.
    smooth::GeluTanh;
    /// ln(x + sqrt(1 + x^2)): invertible and unbounded (feature alignment, section 3.5).
    elementary::Asinh;
    /// (e^x - e^-x) / 2, the inverse of asinh.
    elementary::Sinh;
    /// (e^x + e^-x) / 2.
    elementary::Cosh;
    /// ln(x + sqrt(x^2 - 1)), the inverse of cosh from 1 on.
    elementary::Acosh;
    /// ln((1 + x) / (1 - x)) / 2, the inverse of tanh.
    elementary::Atanh;
    /// Sine.
    elementary::Sin;
    /// Cosine.
    elementary::Cos;
    /// Tangent.
    elementary::Tan;
    /// The inverse of the sine.
    elementary::Asin;
    /// The inverse of the cosine.
    elementary::Acos;
    /// The inverse of the tangent.
    elementary::Atan;
    /// e^x.
    elementary::Exp;
    /// ln x.
    elementary::Log;
    /// The square root.
    elementary::Sqrt;
    /// 1 / x.
    elementary::Reciprocal;
    /// x^exponent.
    elementary::Power {
        /// The exponent.
        exponent,
    };
    /// The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.
    elementary::Erf;
}

struct Values<C>(PhantomData<C>);
struct Slopes<C>(PhantomData<C>);
struct Curvatures<C>(PhantomData<C>);

impl<E: Element, C: Curve> Kernel<(C, &[E], &mut [E])> for Values<C> {
    type Output = ();

    #[inline(always)]
    fn run((curve, x, y): (C, &[E], &mut [E])) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = curve.value(x));
    }
}

impl<E: Element, C: Curve> Kernel<(C, &[E], &mut [E])> for Slopes<C> {
    type Output = ();

    #[inline(always)]
    fn run((curve, x, y): (C, &[E], &mut [E])) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = curve.slope(x));
    }
}

impl<E: Element, C: Curve> Kernel<(C, &[E], &mut [E])> for Curvatures<C> {
    type Output = ();

    #[inline(always)]
    fn run((curve, x, y): (C, &[E], &mut [E])) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = curve.curvature(x));
    }
}

fn fill<E: Element, C: Curve>(curve: C, order: Order, x: &[E], y: &mut [E]) {
    let arguments = (curve, x, y);
    match (order, C::VECTORS) {
        (Order::Value, true) => vectorised::<Values<C>, _>(arguments),
        (Order::Value, false) => Values::run(arguments),
        (Order::Slope, true) => vectorised::<Slopes<C>, _>(arguments),
        (Order::Slope, false) => Slopes::run(arguments),
        (Order::Curvature, true) => vectorised::<Curvatures<C>, _>(arguments),
        (Order::Curvature, false) => Curvatures::run(arguments),
    }
}
