//! A network's other direction: cotangents of nodes in, the cotangent of its input out.

use obverse_engine::Binary;

use super::{Network, Slopes, Trace};
use crate::net::op::Cotangent;
use crate::ops::arithmetic::combine;
use crate::ops::{accumulate, normalise};
use crate::tensor::device::{computed, on_device_already, repeated};
use crate::tensor::{Batch, Element, Tape, shape, view, view_mut, zeros};

impl<E: Element> Network<E> {
    /// The transposed derivative at `trace`: from cotangents of nodes to the cotangent of the input.
    ///
    /// The trace may hold one image that stands for all of the cotangents'. The nodes must be outputs or tapped.
    /// Returns `None` where no cotangent reaches the input.
    pub fn pullback(
        &self,
        tape: &mut Tape<E>,
        trace: &Trace<E>,
        cotangents: &[(usize, &Batch<E>)],
    ) -> Option<Batch<E>> {
        self.pull(tape, trace, cotangents, Slopes::True)
    }

    /// As [`Network::pullback`] off the tape, with the slopes of rectifiers as said. Differs from it for
    /// [`Slopes::Redirected`], which is no derivative of anything.
    pub fn pullback_by(&self, trace: &Trace<E>, cotangents: &[(usize, &Batch<E>)], slopes: Slopes) -> Option<Batch<E>> {
        self.pull(&mut Tape::off(), trace, cotangents, slopes)
    }

    fn pull(
        &self,
        tape: &mut Tape<E>,
        trace: &Trace<E>,
        cotangents: &[(usize, &Batch<E>)],
        slopes: Slopes,
    ) -> Option<Batch<E>> {
        let mut skipped = None;
        let mut waiting: Vec<Option<Batch<E>>> = vec![None; self.executions.len()];
        let mut at_input: Option<Batch<E>> = None;
        for &(place, cotangent) in cotangents {
            let previous = waiting[place].take();
            waiting[place] = Some(summed(tape, previous, cotangent.clone()));
        }
        for place in (0..self.executions.len()).rev() {
            let Some((from, rectifier)) = self.executions[place].computes(place) else { continue };
            if !self.is_reached(Some(place)) {
                continue;
            }
            let Some(mut cotangent) = waiting[from].take() else { continue };
            // Off the tape nothing depends on a cotangent of zeros, such as those of branches that hold none of a block's channels.
            // What lies on a device is not looked at: it would have to come back.
            let is_here = !on_device_already(&[&cotangent]);
            if is_here && !tape.records() && view(&cotangent).iter().all(|&value| value == E::zero()) {
                skipped = Some(shape(&cotangent).0);
                continue;
            }
            let own = self.graph.nodes[from].op.rectifier();
            let rectifier = match (slopes, own, trace.value(from)) {
                (Slopes::Redirected, Some(0.0), Some(y)) => {
                    redirect(&mut cotangent, y);
                    None
                }
                _ => rectifier,
            };
            if slopes == Slopes::Redirected && own == Some(0.0) && from == place {
                // The rectifier is a node of its own, and its slopes are in the cotangent now.
                let source = self.graph.sources(place)[0];
                let slot = source.map_or(&mut at_input, |source| &mut waiting[source]);
                *slot = Some(summed(tape, slot.take(), cotangent));
                continue;
            }
            let Some(site) = self.site(trace, place, None) else { continue };
            let slopes = trace.value(from).zip(rectifier.map(E::of));
            let cotangent = Cotangent { value: &cotangent, slopes };
            for (which, part) in self.graph.nodes[place].op.pullback(tape, &site, cotangent).into_iter().enumerate() {
                let slot = match self.read(place, which) {
                    None => &mut at_input,
                    Some(source) if self.is_reached(Some(source)) => &mut waiting[source],
                    Some(_) => continue,
                };
                *slot = Some(summed(tape, slot.take(), part));
            }
        }
        let size = self.graph.input.shape;
        let at_input = at_input.or_else(|| skipped.map(|n| zeros((n, size.height, size.width, size.channels))));
        match (at_input, self.graph.input.normalisation()) {
            (Some(cotangent), Some((_, std))) => Some(normalise::pullback(tape, &cotangent, &std)),
            (at_input, _) => at_input,
        }
    }
}

/// Zeroes cotangents that would push down what is off; `y`, one image or as many, is what the rectifier gave.
fn redirect<E: Element>(cotangent: &mut Batch<E>, y: &Batch<E>) {
    let images = shape(cotangent).0;
    let there = computed(&[&*cotangent, y], |program, values| {
        let (cotangent, y) = (values[0], repeated(values[1], images));
        let nothing = program.zeros(&cotangent.shape());
        let pushes_down = y.above(0.0).select(nothing, nothing.binary(Binary::Greater, cotangent));
        [pushes_down.select(nothing, cotangent)]
    });
    if let Some([redirected]) = there {
        *cotangent = redirected;
        return;
    }
    let length = view(y).len();
    for image in view_mut(cotangent).chunks_mut(length) {
        for (cotangent, &y) in image.iter_mut().zip(view(y)) {
            if y <= E::zero() && *cotangent < E::zero() {
                *cotangent = E::zero();
            }
        }
    }
}

/// The sum of what has arrived and what arrives.
fn summed<E: Element>(tape: &mut Tape<E>, before: Option<Batch<E>>, more: Batch<E>) -> Batch<E> {
    match before {
        None => more,
        Some(mut before)
            if !tape.records() && shape(&before) == shape(&more) && !on_device_already(&[&before, &more]) =>
        {
            accumulate(view_mut(&mut before), view(&more));
            before
        }
        Some(before) => combine(tape, E::one(), &before, E::one(), &more),
    }
}
