//! Smooth activations: exponential linear units, sigmoids, and products of x with a sigmoid.

use std::f64::consts::FRAC_1_SQRT_2;

use super::curve::Curve;
use super::piecewise::sign;
use super::{sigmoid, softplus};
use crate::tensor::Element;

/// 1 / sqrt(2 pi).
const NORMAL_DENSITY: f64 = 0.398_942_280_401_432_7;

/// sqrt(2 / pi), and the share of the cube in GELU's approximation.
const GELU_TANH: [f64; 2] = [0.797_884_560_802_865_4, 0.044_715];

/// |x| from which the GELU is 0 or x in any precision: powers of no larger x are taken, so that nothing overflows.
const FAR: f64 = 40.0;

#[derive(Clone, Copy)]
pub(super) struct Elu {
    pub(super) alpha: f64,
}

impl Curve for Elu {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        if x > E::zero() { x } else { E::of(self.alpha) * x.exp_m1() }
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        if x > E::zero() { E::one() } else { E::of(self.alpha) * x.exp() }
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        if x > E::zero() { E::zero() } else { E::of(self.alpha) * x.exp() }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Celu {
    pub(super) alpha: f64,
}

impl Curve for Celu {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        let alpha = E::of(self.alpha);
        if x > E::zero() { x } else { alpha * (x / alpha).exp_m1() }
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        if x > E::zero() { E::one() } else { (x / E::of(self.alpha)).exp() }
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let alpha = E::of(self.alpha);
        if x > E::zero() { E::zero() } else { (x / alpha).exp() / alpha }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Selu {
    pub(super) alpha: f64,
    pub(super) gamma: f64,
}

impl Curve for Selu {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        E::of(self.gamma) * Elu { alpha: self.alpha }.value(x)
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        E::of(self.gamma) * Elu { alpha: self.alpha }.slope(x)
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        E::of(self.gamma) * Elu { alpha: self.alpha }.curvature(x)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

impl Curve for Sigmoid {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        sigmoid(x)
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        sigmoid(x) * (E::one() - sigmoid(x))
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let (one, y) = (E::one(), sigmoid(x));
        y * (one - y) * (one - y - y)
    }
}

#[derive(Clone, Copy)]
pub(super) struct LogSigmoid;

impl Curve for LogSigmoid {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        -softplus(-x)
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        shares(x).1
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let (above, below) = shares(x);
        -above * below
    }
}

#[derive(Clone, Copy)]
pub(super) struct Tanh;

impl Curve for Tanh {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x.tanh()
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        E::one() - x.tanh() * x.tanh()
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let y = x.tanh();
        -(y + y) * (E::one() - y * y)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Softplus {
    pub(super) beta: f64,
}

impl Curve for Softplus {
    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        let beta = E::of(self.beta);
        softplus(beta * x) / beta
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        sigmoid(E::of(self.beta) * x)
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let beta = E::of(self.beta);
        beta * Sigmoid.slope(beta * x)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Softsign;

impl Curve for Softsign {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x / (E::one() + x.abs())
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let inverse = (E::one() + x.abs()).recip();
        inverse * inverse
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let inverse = (E::one() + x.abs()).recip();
        E::of(-2.0) * sign(x) * inverse * inverse * inverse
    }
}

/// 1 / (1 + e^-x) and 1 / (1 + e^x), each as exact as the other, in vectors.
#[inline(always)]
fn shares<E: Element>(x: E) -> (E, E) {
    let small = (-x.abs()).exponential();
    let large = (E::one() + small).recip();
    if x < E::zero() { (small * large, large) } else { (large, small * large) }
}

/// `x`, or the bound that it is beyond.
#[inline(always)]
fn near<E: Element>(x: E) -> E {
    let far = E::of(FAR);
    if x > far {
        far
    } else if x < -far {
        -far
    } else {
        x
    }
}

#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Curve for Silu {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x * shares(x).0
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let (above, below) = shares(x);
        above + x * above * below
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let (above, below) = shares(x);
        above * below * (E::of(2.0) + x * (below - above))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Mish;

impl Mish {
    /// t = tanh(ln(1 + e^x)), 1 - t^2, and the shares of x.
    #[inline(always)]
    fn parts<E: Element>(x: E) -> (E, E, (E, E)) {
        let (one, two, z) = (E::one(), E::of(2.0), (-x.abs()).exponential());
        // t = (s^2 - 1) / (s^2 + 1), s = 1 + e^x; above zero both are divided by e^2x.
        let (t, rest) = if x < E::zero() {
            let square = z * (z + two);
            (square / (square + two), two / (square + two))
        } else {
            let (above, rest) = (one + two * z, two * z * z);
            (above / (above + rest), rest / (above + rest))
        };
        (t, rest * (two - rest), shares(x))
    }
}

impl Curve for Mish {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x * Self::parts(x).0
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let (t, bend, (above, _)) = Self::parts(x);
        t + x * bend * above
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let (t, bend, (above, below)) = Self::parts(x);
        let bent = bend * above;
        // What is 0 far from 0 times x last: twice x may be infinite.
        bent + bent + bent * (below - (t + t) * above) * x
    }
}

#[derive(Clone, Copy)]
pub(super) struct Gelu;

impl Gelu {
    /// The distribution function and the density.
    #[inline(always)]
    fn parts<E: Element>(x: E) -> (E, E) {
        let share = E::of(0.5) * (-x * E::of(FRAC_1_SQRT_2)).complementary_error_function();
        (share, E::of(NORMAL_DENSITY) * (-E::of(0.5) * x * x).exponential())
    }
}

impl Curve for Gelu {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x * Self::parts(x).0
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let (share, density) = Self::parts(near(x));
        share + near(x) * density
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let x = near(x);
        Self::parts(x).1 * (E::of(2.0) - x * x)
    }
}

#[derive(Clone, Copy)]
pub(super) struct GeluTanh;

impl GeluTanh {
    /// (1 + tanh u) / 2 = 1 / (1 + e^-2u) and 1 less that, and the first two derivatives of 2u in x.
    #[inline(always)]
    fn parts<E: Element>(x: E) -> ((E, E), E, E) {
        let scale = E::of(2.0 * GELU_TANH[0]);
        let cubic = E::of(2.0 * GELU_TANH[0] * GELU_TANH[1]);
        let square = x * x;
        (shares(x * (scale + cubic * square)), scale + E::of(3.0) * cubic * square, E::of(6.0) * cubic * x)
    }
}

impl Curve for GeluTanh {
    const VECTORS: bool = true;

    #[inline(always)]
    fn value<E: Element>(self, x: E) -> E {
        x * Self::parts(near(x)).0.0
    }

    #[inline(always)]
    fn slope<E: Element>(self, x: E) -> E {
        let x = near(x);
        let ((above, below), first, _) = Self::parts(x);
        above + x * above * below * first
    }

    #[inline(always)]
    fn curvature<E: Element>(self, x: E) -> E {
        let x = near(x);
        let ((above, below), first, second) = Self::parts(x);
        above * below * (first + first + x * ((below - above) * first * first + second))
    }
}
