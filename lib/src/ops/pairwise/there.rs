//! Functions of two values for devices; their derivatives are those of what they are made of.

use obverse_engine::{Binary, Unary, Variable};

use super::Pairwise;

/// f(a, b).
pub(super) fn value<'p>(f: Pairwise, a: Variable<'p>, b: Variable<'p>) -> Variable<'p> {
    match f {
        Pairwise::Add => a + b,
        Pairwise::Subtract => a - b,
        Pairwise::Multiply => a * b,
        Pairwise::Divide => a / b,
        Pairwise::Power => power(a, b),
        Pairwise::Minimum => shared([a, b], [b, a]),
        Pairwise::Maximum => shared([a, b], [a, b]),
        Pairwise::Rectify => {
            let whole = common(&[a.shape(), b.shape()]);
            let (a, b) = (a.expand(&whole), b.expand(&whole));
            a.above(0.0).select(a, a * b)
        }
        Pairwise::Fmod => {
            let quotient = (a / b).fixed();
            a - b * (quotient.unary(Unary::Sign) * quotient.abs().unary(Unary::Floor))
        }
        Pairwise::Less => b.binary(Binary::Greater, a),
        Pairwise::LessEqual => b.binary(Binary::GreaterEqual, a),
        Pairwise::Equal => a.binary(Binary::Equal, b),
    }
}

/// a^b, whose slope in b is 0 where a is not above 0.
fn power<'p>(a: Variable<'p>, b: Variable<'p>) -> Variable<'p> {
    let whole = common(&[a.shape(), b.shape()]);
    let (a, b) = (a.expand(&whole), b.expand(&whole));
    let is_above = a.above(0.0);
    let above = is_above.select(a, a.affine(0.0, 1.0)).binary(Binary::Power, b);
    is_above.select(above, a.binary(Binary::Power, b.fixed()))
}

/// a times a share and b times the rest: all where `high` is above `low`, half where they are equal.
fn shared<'p>([a, b]: [Variable<'p>; 2], [high, low]: [Variable<'p>; 2]) -> Variable<'p> {
    let share = (high.binary(Binary::Greater, low) + high.binary(Binary::GreaterEqual, low)) * 0.5;
    a * share + b * share.affine(-1.0, 1.0)
}

/// The shape that arrays of these are repeated to.
pub(super) fn common(shapes: &[Vec<usize>]) -> Vec<usize> {
    (0..shapes[0].len()).map(|axis| shapes.iter().map(|shape| shape[axis]).max().unwrap_or(1)).collect()
}
