//! The softmax along an axis, and its logarithm.

use serde::{Deserialize, Serialize};

use super::settings::single;
use super::{Axis, Compute, Computed, Cotangent, Operation, Site};
use crate::net::size::Size;
use crate::ops::softmax::{log_softmax, log_softmax_pullback, softmax, softmax_pullback};
use crate::tensor::{Batch, Element, Tape};

/// e^x / sum e^x along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Softmax {
    /// The axis.
    pub axis: Axis,
}

/// ln(e^x / sum e^x) along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSoftmax {
    /// The axis.
    pub axis: Axis,
}

/// The rooms of both: the function, and its pullback, which gets the softmax.
macro_rules! rooms {
    ($($Name:ident, $forward:ident, $pullback:ident;)*) => {
        $(
            impl Operation for $Name {
                fn output(&self, inputs: &[Size]) -> Result<Size, String> {
                    single(inputs)
                }
            }

            impl Compute for $Name {
                fn forward<E: Element>(&self, tape: &mut Tape<E>, site: &Site<E>) -> Computed<E> {
                    $forward(tape, site.x(), self.axis.in_batch()).into()
                }

                fn pullback<E: Element>(
                    &self,
                    tape: &mut Tape<E>,
                    site: &Site<E>,
                    cotangent: Cotangent<E>,
                ) -> Vec<Batch<E>> {
                    let axis = self.axis.in_batch();
                    let y = softmax(tape, site.x(), axis);
                    vec![$pullback(tape, cotangent.value, &y, axis)]
                }
            }

            #[cfg(test)]
            impl super::Examples for $Name {
                fn examples() -> Vec<(Self, Vec<Size>)> {
                    let axes = [Axis::Channels, Axis::Height, Axis::Width];
                    axes.map(|axis| (Self { axis }, vec![Size::new(3, 2, 4)])).to_vec()
                }
            }
        )*
    };
}

rooms! {
    Softmax, softmax, softmax_pullback;
    LogSoftmax, log_softmax, log_softmax_pullback;
}
