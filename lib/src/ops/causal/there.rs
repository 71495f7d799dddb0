//! Causal convolutions for devices.

use obverse_engine::{Convolution, Program, Variable, concat};

use super::{Feed, Term};
use crate::ops::InputGradient;
use crate::tensor::device::on_device_wanting;
use crate::tensor::{Batch, Element, Shape, Tape, shape};

/// The sum of the terms and of the biases.
pub(super) fn summed<E: Element>(
    tape: &mut Tape<E>,
    terms: &[Term<E>],
    biases: &[&Batch<E>],
    to: Shape,
) -> Option<Batch<E>> {
    let (mut inputs, mut wanted): (Vec<&Batch<E>>, Vec<usize>) = (Vec::new(), Vec::new());
    for term in terms {
        let first = inputs.len();
        inputs.extend(term.inputs);
        if term.gradient == InputGradient::Wanted {
            wanted.extend(first..inputs.len());
        }
        wanted.push(inputs.len());
        inputs.push(term.weight);
    }
    wanted.extend(inputs.len()..inputs.len() + biases.len());
    inputs.extend(biases);
    on_device_wanting(tape, &inputs, &wanted, to, |program, variables| {
        let mut rest = variables;
        let mut sum: Option<Variable> = None;
        for term in terms {
            let (own, after) = rest.split_at(term.inputs.len() + 1);
            rest = after;
            let y = convolved(program, term, own);
            sum = Some(sum.map_or(y, |sum| sum + y));
        }
        let sum = sum.unwrap_or_else(|| program.zeros(&[to.0, to.1, to.2, to.3]));
        biases.iter().zip(rest).fold(sum, |sum, (bias, variable)| {
            let (n, _, _, c) = shape(bias);
            sum + variable.reshape(&[n, 1, 1, c])
        })
    })
}

/// W * f(x); the weight is the last of the variables.
fn convolved<'p, E: Element>(program: &'p Program, term: &Term<E>, variables: &[Variable<'p>]) -> Variable<'p> {
    let (inputs, weight) = (&variables[..variables.len() - 1], variables[variables.len() - 1]);
    let x = activated(program, term.feed, concat(inputs, 3));
    let (x_shape, w_shape) = (x.shape(), weight.shape());
    let kernel = [w_shape[1], w_shape[2]];
    let (top, left) = term.shift.reach(kernel);
    let x = x.place_in(1, top, 1, x_shape[1] + kernel[0] - 1);
    let x = x.place_in(2, left, 1, x_shape[2] + kernel[1] - 1);
    x.convolve(weight, Convolution { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 })
}

fn activated<'p>(program: &'p Program, feed: Feed, x: Variable<'p>) -> Variable<'p> {
    let elu = |x: Variable<'p>| x.above(0.0).select(x, x.clamp(f64::NEG_INFINITY, 0.0).exp() + -1.0);
    match feed {
        Feed::Plain => x,
        Feed::Elu => elu(x),
        Feed::ConcatElu => elu(concat(&[x, -x], 3)),
        Feed::DroppedConcatElu(dropout) => {
            let y = elu(concat(&[x, -x], 3));
            let shape = y.shape();
            y * program.constant(&dropout.factors(shape.iter().product()), &shape)
        }
    }
}
