//! Sums, products, quotients, powers, extremes and comparisons of inputs that broadcast: along each axis their lengths are equal or 1.

use serde::{Deserialize, Serialize};

use super::{Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::arithmetic::combine;
use crate::ops::pairwise::{Pairwise, pairwise, pullback};
use crate::tensor::{Batch, Element, Tape, shape};

/// The rooms of functions of two inputs, and of those that join any number of them, one after the other.
macro_rules! rooms {
    ($($(#[$doc:meta])* $Name:ident, $function:expr, $($count:literal)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $Name;

            impl Operation for $Name {
                fn output(&self, inputs: &[Size]) -> Result<Size, String> {
                    $(if inputs.len() != $count {
                        return Err(format!("{} inputs", $count));
                    })?
                    broadcast(inputs)
                }
            }

            impl Compute for $Name {
                fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
                    let more = site.inputs[1..].iter();
                    more.fold(site.x().clone(), |joined, more| join(tape, &joined, more, $function)).into()
                }

                fn pullback<E: Element>(
                    &self,
                    tape: &mut Tape<E>,
                    site: &Site<E>,
                    cotangent: Cotangent<E>,
                ) -> Vec<Batch<E>> {
                    part(tape, site, cotangent.value, $function)
                }
            }
        )*
    };
}

rooms! {
    /// The sum of the inputs.
    Add, Pairwise::Add, ;
    /// The product of the inputs.
    Mul, Pairwise::Multiply, ;
    /// The smallest of the inputs, place by place.
    Minimum, Pairwise::Minimum, ;
    /// The largest of the inputs, place by place.
    Maximum, Pairwise::Maximum, ;
    /// The first input less the second.
    Sub, Pairwise::Subtract, 2;
    /// The first input divided by the second.
    Div, Pairwise::Divide, 2;
    /// The first input to the power of the second.
    Pow, Pairwise::Power, 2;
    /// What is left of the first input once the second is taken off as often as it fits, with the sign of the first.
    Fmod, Pairwise::Fmod, 2;
    /// 1 where the first input is less than the second, else 0.
    Less, Pairwise::Less, 2;
    /// 1 where the first input is at most the second, else 0.
    LessEqual, Pairwise::LessEqual, 2;
    /// 1 where the inputs are equal, else 0.
    Equal, Pairwise::Equal, 2;
}

/// The size that inputs broadcast to.
fn broadcast(inputs: &[Size]) -> Result<Size, String> {
    let Some((&first, more)) = inputs.split_first() else { return Err("at least one input".into()) };
    let axis = |a: usize, b: usize| match (a, b) {
        (1, length) | (length, 1) => Some(length),
        (a, b) => (a == b).then_some(a),
    };
    let joined = more.iter().try_fold(first, |all, size| {
        Some(Size {
            channels: axis(all.channels, size.channels)?,
            height: axis(all.height, size.height)?,
            width: axis(all.width, size.width)?,
        })
    });
    joined.ok_or_else(|| "inputs whose channels, heights and widths are equal or 1".into())
}

/// f(a, b).
fn join<E: Element>(tape: &mut Tape<E>, a: &Batch<E>, b: &Batch<E>, f: Pairwise) -> Batch<E> {
    match f {
        Pairwise::Add if is_alike(a, b) => combine(tape, E::one(), a, E::one(), b),
        _ => pairwise(tape, a, b, f),
    }
}

/// Whether images are of one size.
fn is_alike<E: Element>(a: &Batch<E>, b: &Batch<E>) -> bool {
    let ((_, h, w, c), other) = (shape(a), shape(b));
    (h, w, c) == (other.1, other.2, other.3)
}

/// The cotangents of the inputs for one of what they are joined to.
fn part<E: Element>(tape: &mut Tape<E>, site: &Site<E>, cotangent: &Batch<E>, f: Pairwise) -> Vec<Batch<E>> {
    let inputs = &site.inputs;
    if f == Pairwise::Add {
        return inputs.iter().map(|x| pullback(tape, cotangent, [x, x], f, 0)).collect();
    }
    // What the first inputs are joined to, up to the last but one: each is joined with the input after it.
    let mut joined = vec![site.x().clone()];
    for which in 1..inputs.len().saturating_sub(1) {
        let next = join(tape, &joined[which - 1], inputs[which], f);
        joined.push(next);
    }
    let mut cotangent = cotangent.clone();
    let mut parts = Vec::with_capacity(inputs.len());
    for which in (1..inputs.len()).rev() {
        let operands = [&joined[which - 1], inputs[which]];
        parts.push(match site.wanted[which] {
            true => pullback(tape, &cotangent, operands, f, 1),
            false => cotangent.clone(),
        });
        if site.wanted[..which].contains(&true) {
            cotangent = pullback(tape, &cotangent, operands, f, 0);
        }
    }
    parts.push(cotangent);
    parts.reverse();
    parts
}

/// Sizes that are equal, and those that broadcast: per channel, per place, one number, and both.
#[cfg(test)]
fn sizes() -> Vec<Vec<Size>> {
    let size = Size::new;
    let pairs = [size(2, 2, 3), size(2, 1, 1), size(1, 2, 3), size(1, 1, 1)].map(|small| vec![size(2, 2, 3), small]);
    // As many values, not in the same places.
    let even = [size(3, 1, 1), size(1, 3, 1)];
    let both = [vec![size(2, 1, 3), size(1, 2, 1)], vec![size(3, 1, 1), size(3, 2, 1)], even.to_vec()];
    pairs.into_iter().chain(both).collect()
}

#[cfg(test)]
macro_rules! examples {
    ($($Name:ident, $domain:expr, $more:expr;)*) => {
        $(impl super::Examples for $Name {
            fn examples() -> Vec<(Self, Vec<Size>)> {
                sizes().into_iter().chain($more).map(|sizes| (Self, sizes)).collect()
            }

            fn domain(value: f64) -> f64 {
                let domain: fn(f64) -> f64 = $domain;
                domain(value)
            }
        })*
    };
}

/// One input, and four, of which some broadcast.
#[cfg(test)]
fn numbers() -> Vec<Vec<Size>> {
    let size = Size::new;
    vec![vec![size(4, 1, 1)], vec![size(2, 1, 3), size(2, 2, 1), size(1, 1, 1), size(2, 2, 3)]]
}

#[cfg(test)]
examples! {
    Add, |value| value, numbers();
    Mul, |value| value, numbers();
    Minimum, |value| value, numbers();
    Maximum, |value| value, numbers();
    Sub, |value| value, [];
    Div, |value| value.abs() + 0.5, [];
    Pow, |value| value.abs() + 0.5, [];
    Fmod, |value| value.abs() + 0.5, [];
    Less, |value| value, [];
    LessEqual, |value| value, [];
    Equal, |value| value, [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_do_not_broadcast_are_refused_in_words() {
        let (image, row) = (Size::new(2, 3, 4), Size::new(2, 1, 4));
        assert_eq!(Add.output(&[row, image, Size::new(1, 1, 1)]), Ok(image));
        assert!(Mul.output(&[image, Size::new(2, 3, 2)]).is_err_and(|error| error.contains("equal or 1")));
        assert!(Add.output(&[]).is_err_and(|error| error.contains("at least one")));
        for wrong in [vec![image], vec![image; 3]] {
            assert!(Sub.output(&wrong).is_err_and(|error| error.contains("2 inputs")));
        }
    }
}
