//! What an engine computes: a small set of instructions on arrays of any number of axes.
//!
//! The set is closed under differentiation: the cotangents of each instruction are made of others (`derivative.rs`).

use std::sync::Arc;

/// A function of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the functions of that name")]
pub enum Unary {
    Abs,
    Acos,
    Asin,
    Atan,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    Ln,
    /// ln(1 + x).
    Ln1p,
    Recip,
    /// To the nearest integer, halves to the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

/// A function of two values. Axes of one entry are repeated to the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Subtract,
    /// a b.
    Multiply,
    /// a / b.
    Divide,
    /// The larger.
    Maximum,
    /// The smaller.
    Minimum,
    /// a^b.
    Power,
    /// 1 where a > b, else 0.
    Greater,
    /// 1 where a >= b, else 0.
    GreaterEqual,
    /// 1 where a = b, else 0.
    Equal,
}

/// How a convolution slides over (H, W): both numbers of each are those of rows and of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Zeros before and after.
    pub padding: [usize; 2],
    /// Steps within a window.
    pub dilation: [usize; 2],
    /// Parts that channels are split into.
    pub groups: usize,
}

/// One step of a computation.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// A function of each value of one array.
    Unary(Unary),
    /// A function of the values of two arrays of equally many axes.
    Binary(Binary),
    /// factor x + term.
    Affine {
        /// What each value is multiplied by.
        factor: f64,
        /// What is added to it.
        term: f64,
    },
    /// max(low, min(high, x)).
    Clamp {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// The same values, through which no cotangent passes.
    Fixed,
    /// The second of three arrays of one shape where the first is not 0, else the third.
    Select,
    /// The same values in memory order, of another shape.
    Reshape(Vec<usize>),
    /// The axes in another order: axis i is the input's `order[i]`.
    Permute(Vec<usize>),
    /// Every `step`-th entry of an axis, `length` of them.
    Slice {
        /// Which axis.
        axis: usize,
        /// The first entry.
        start: usize,
        /// From one to the next.
        step: usize,
        /// How many.
        length: usize,
    },
    /// The transpose of `Slice`: zeros, and the input at every `step`-th entry of an axis that is `length` long.
    Place {
        /// Which axis.
        axis: usize,
        /// The first entry.
        start: usize,
        /// From one to the next.
        step: usize,
        /// The axis' new length.
        length: usize,
    },
    /// Arrays one after another along an axis.
    Concat(usize),
    /// An axis in opposite order.
    Flip(usize),
    /// Axes of one entry repeated to this shape.
    Expand(Vec<usize>),
    /// The sum over these axes, which stay with one entry.
    Sum(Vec<usize>),
    /// The largest value over one axis, which stays with one entry.
    Max(usize),
    /// The entries of an axis at these places.
    Take {
        /// Which axis.
        axis: usize,
        /// The places, in any order and as often as wanted.
        places: Arc<[u32]>,
    },
    /// The transpose of `Take`: zeros, and each entry of the input added at its place.
    Put {
        /// Which axis.
        axis: usize,
        /// The places.
        places: Arc<[u32]>,
        /// The axis' new length.
        length: usize,
    },
    /// Matrix products, (B, M, K) and (B, K, N) to (B, M, N).
    Matmul,
    /// x (N, H, W, C) and W (O, kh, kw, C / groups) to (N, H', W', O), as PyTorch's convolutions (cross-correlations).
    Convolve(Convolution),
    /// The transpose of `Convolve` in x: a cotangent (N, H', W', O) and W to (N, H, W, C), of the height and width given.
    ConvolveInput(Convolution, [usize; 2]),
    /// The transpose of `Convolve` in W: x and a cotangent to (O, kh, kw, C / groups), of the kernel given.
    ConvolveWeight(Convolution, [usize; 2]),
}

impl Instruction {
    /// What messages call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unary(_) | Self::Affine { .. } | Self::Clamp { .. } | Self::Fixed => "a function of each value",
            Self::Binary(_) | Self::Select => "a function of two arrays",
            Self::Reshape(_) | Self::Permute(_) | Self::Flip(_) => "a change of shape",
            Self::Slice { .. } | Self::Place { .. } | Self::Concat(_) | Self::Expand(_) => "a part of an array",
            Self::Sum(_) | Self::Max(_) => "a sum or a maximum",
            Self::Take { .. } | Self::Put { .. } => "entries by their places",
            Self::Matmul => "a matrix product",
            Self::Convolve(_) | Self::ConvolveInput(..) | Self::ConvolveWeight(..) => "a convolution",
        }
    }

    /// The shape of the result for inputs of these shapes.
    ///
    /// # Panics
    /// Inputs that the instruction does not take: a fault of the caller's.
    pub fn shape(&self, inputs: &[&[usize]]) -> Vec<usize> {
        let first = inputs.first().map_or(&[][..], |shape| shape);
        let with = |axis: usize, length: usize| {
            let mut shape = first.to_vec();
            shape[axis] = length;
            shape
        };
        match self {
            Self::Fixed | Self::Unary(_) | Self::Affine { .. } | Self::Clamp { .. } | Self::Flip(_) => first.to_vec(),
            Self::Binary(_) => broadcast(first, inputs[1]),
            Self::Select => {
                assert!(inputs.iter().all(|shape| *shape == first), "select: expected one shape, found {inputs:?}");
                first.to_vec()
            }
            Self::Reshape(shape) => {
                assert_eq!(elements(shape), elements(first), "reshape: {first:?} to {shape:?}");
                shape.clone()
            }
            Self::Permute(order) => order.iter().map(|&axis| first[axis]).collect(),
            &Self::Slice { axis, start, step, length } => {
                let last = start + length.saturating_sub(1) * step;
                assert!(length == 0 || last < first[axis], "slice: up to {last} of {first:?}, axis {axis}");
                with(axis, length)
            }
            &Self::Place { axis, start, step, length } => {
                let last = start + first[axis].saturating_sub(1) * step;
                assert!(first[axis] == 0 || last < length, "place: up to {last} of {length}");
                with(axis, length)
            }
            &Self::Concat(axis) => with(axis, inputs.iter().map(|shape| shape[axis]).sum()),
            Self::Expand(shape) => broadcast(first, shape),
            Self::Sum(axes) => {
                let mut shape = first.to_vec();
                axes.iter().for_each(|&axis| shape[axis] = 1);
                shape
            }
            &Self::Max(axis) => with(axis, 1),
            Self::Take { axis, places } => with(*axis, places.len()),
            Self::Put { axis, length, .. } => with(*axis, *length),
            Self::Matmul => {
                let (a, b) = (first, inputs[1]);
                assert!(a[0] == b[0] && a[2] == b[1], "matmul: expected (B, M, K) and (B, K, N), found {inputs:?}");
                vec![a[0], a[1], b[2]]
            }
            Self::Convolve(convolution) => {
                let (x, w) = (first, inputs[1]);
                let side = |axis: usize| {
                    let reach = convolution.dilation[axis] * (w[1 + axis] - 1) + 1;
                    (x[1 + axis] + 2 * convolution.padding[axis] - reach) / convolution.stride[axis] + 1
                };
                vec![x[0], side(0), side(1), w[0]]
            }
            Self::ConvolveInput(convolution, size) => {
                vec![first[0], size[0], size[1], inputs[1][3] * convolution.groups]
            }
            Self::ConvolveWeight(convolution, kernel) => {
                vec![inputs[1][3], kernel[0], kernel[1], first[3] / convolution.groups]
            }
        }
    }
}

/// The number of values of a shape.
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The shape that two shapes are repeated to.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let fits = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || *a == 1 || *b == 1);
    assert!(fits, "expected shapes that fit, found {a:?} and {b:?}");
    a.iter().zip(b).map(|(&a, &b)| if a == 1 { b } else { a }).collect()
}
