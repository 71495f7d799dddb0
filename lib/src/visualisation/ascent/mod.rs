//! Ascent: s <- s + step along dO/ds, for images x = image(s) that a network sees through random transforms.
//!
//! O is the objective at the network's nodes plus penalties on the image. Plain steps have a fixed length per image, s + rate
//! g / |g|, so that a vanishing gradient does not stop the ascent; Adam has its own step size. Cotangents of the activations are pulled back
//! to s without computing gradients of the weights.
//!
//! Sources: "Feature visualisation" (Olah et al. 2017); generative-model regularisation, section 1.2; inverse feature
//! visualisation, section 3.2.
//!
//! ```
//! use obverse::objective::parameterisation::Clamped;
//! use obverse::objective::transform::Transforms;
//! use obverse::visualisation::ascent::{Ascent, Optimiser, Settings};
//! use obverse::net::{Initialisation, Network, Size, architectures};
//! use obverse::objective::aggregation::Aggregation;
//! use obverse::objective::resolved::{Comparison, Objective};
//! let size = Size::new(1, 4, 4);
//! let graph = architectures::classifier("mnist", size, 3, 0.0)?;
//! let network = Network::<f64>::initialised(graph, Initialisation::Uniform, 0);
//! let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
//! let objective = Objective::new(&"class:2".parse()?, network.graph(), 1, comparison)?;
//! let plain = Transforms::default().between(size, size)?;
//! let optimiser = Optimiser::Normalised { length: 0.1 };
//! let settings = Settings { steps: 5, optimiser, redirected: 0, polish: 0, tolerance: 1e-9 };
//! let ascent = Ascent {
//!     network: &network,
//!     parameterisation: &Clamped::new(size),
//!     transforms: &plain,
//!     plain: &plain,
//!     objective: &objective,
//!     settings,
//!     seed: 0,
//! };
//! let mut state = ascent.start(vec![0]);
//! let before = ascent.evaluate_plain(&state.s, &[0])?.values[0];
//! ascent.step(&mut state)?;
//! assert!(ascent.evaluate_plain(&state.s, &[0])?.values[0] > before);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod search;
mod state;
mod vectors;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::net::{Mode, Network, Slopes};
use crate::objective::parameterisation::Parameterisation;
use crate::objective::resolved::{Objective, Result};
use crate::objective::transform::Pipeline;
use crate::ops::InputGradient;
use crate::tensor::device::computed;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, image_len, shape, view, view_mut};
use crate::train::adam::AdamSettings;
use crate::train::lbfgs::{Lbfgs, Limits};
use vectors::{norm, step_along, sum};

pub use search::Search;
pub use state::State;

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimiser {
    /// Adam with this learning rate.
    Adam {
        /// The learning rate.
        learning_rate: f64,
    },
    /// Steps of this length along the gradient, image by image.
    Normalised {
        /// The Euclidean length of a step.
        length: f64,
    },
}

/// The hyper-parameters of an ascent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps of the optimiser.
    pub steps: u64,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// Steps at the start in which an image whose gradient is zero follows redirected slopes instead.
    pub redirected: u64,
    /// Iterations of L-BFGS afterwards, without transforms.
    pub polish: u64,
    /// The norm of the gradient at which L-BFGS stops.
    pub tolerance: f64,
}

/// Everything that an ascent needs.
pub struct Ascent<'a, E: Element> {
    /// The network; the objective's nodes are tapped.
    pub network: &'a Network<E>,
    /// How images are made.
    pub parameterisation: &'a dyn Parameterisation<E>,
    /// The transformations before the network during steps.
    pub transforms: &'a Pipeline,
    /// The transformations without randomness: none, or a change of size.
    pub plain: &'a Pipeline,
    /// The objective.
    pub objective: &'a Objective,
    /// The hyper-parameters.
    pub settings: Settings,
    /// Keys every random draw.
    pub seed: u64,
}

/// An objective and its gradient at some parameters.
#[derive(Clone, Debug)]
pub struct Evaluation<E: Element> {
    /// O of each image.
    pub values: Vec<f64>,
    /// The cosine of each image's response and target, where there is one.
    pub cosines: Vec<Option<f64>>,
    /// dO/ds, (N, 1, 1, P).
    pub gradient: Batch<E>,
    /// |dO/ds| of each image.
    pub norms: Vec<f64>,
}

/// Which draw of the transforms an evaluation sees.
#[derive(Clone, Copy, Debug)]
enum View {
    /// The image as it is.
    Plain,
    /// Transformed by the draw of this step.
    Transformed(u64),
}

impl<E: Element> Ascent<'_, E> {
    /// The start of images number `rows`: each depends on the seed and its own number alone.
    pub fn start(&self, rows: Vec<usize>) -> State<E> {
        let stream = Stream::new(self.seed, "start", 0);
        let each = rows.iter().flat_map(|&row| view(&self.parameterisation.initial(stream, row..row + 1)).to_vec());
        let values: Vec<E> = each.collect();
        let shape = (rows.len(), 1, 1, self.parameterisation.parameters());
        State::new(rows, batch(values, shape))
    }

    /// One step of the optimiser.
    ///
    /// # Errors
    /// A network that does not compute the objective's nodes.
    pub fn step(&self, state: &mut State<E>) -> Result<()> {
        let mut found = self.evaluate(&state.s, &state.rows, View::Transformed(state.step), Slopes::True)?;
        if state.step < self.settings.redirected && found.norms.contains(&0.0) {
            self.redirect(state, &mut found)?;
        }
        state.trace.extend(found.values.iter().zip(&found.norms).flat_map(|(&value, &norm)| [value, norm]));
        match self.settings.optimiser {
            Optimiser::Adam { learning_rate } => {
                // Adam descends.
                let gradient = &found.gradient;
                let there = computed(&[gradient], |_, values| [values[0].affine(-1.0, 0.0)]).map(|[down]| down);
                let down =
                    there.unwrap_or_else(|| batch(view(gradient).iter().map(|&g| -g).collect(), shape(gradient)));
                state.adam.advance();
                state.adam.update(0, &mut state.s, &down, &AdamSettings::with_rate(learning_rate), None);
            }
            Optimiser::Normalised { length } => {
                let count = image_len(&state.s);
                let images = view_mut(&mut state.s).chunks_exact_mut(count);
                for ((s, gradient), &norm) in images.zip(view(&found.gradient).chunks_exact(count)).zip(&found.norms) {
                    step_along(s, gradient, norm, length);
                }
            }
        }
        self.parameterisation.project(&mut state.s);
        state.step += 1;
        Ok(())
    }

    /// Replaces gradients of zero by redirected ones.
    fn redirect(&self, state: &State<E>, found: &mut Evaluation<E>) -> Result<()> {
        let redirected = self.evaluate(&state.s, &state.rows, View::Transformed(state.step), Slopes::Redirected)?;
        let count = image_len(&state.s);
        let gradients = view_mut(&mut found.gradient).chunks_exact_mut(count);
        for (image, (gradient, other)) in gradients.zip(view(&redirected.gradient).chunks_exact(count)).enumerate() {
            if found.norms[image] == 0.0 {
                gradient.copy_from_slice(other);
                found.norms[image] = redirected.norms[image];
            }
        }
        Ok(())
    }

    /// The objective and its gradient for images as they are.
    ///
    /// # Errors
    /// A network that does not compute the objective's nodes.
    pub fn evaluate_plain(&self, s: &Batch<E>, rows: &[usize]) -> Result<Evaluation<E>> {
        self.evaluate(s, rows, View::Plain, Slopes::True)
    }

    fn evaluate(&self, s: &Batch<E>, rows: &[usize], seen: View, slopes: Slopes) -> Result<Evaluation<E>> {
        let point = self.parameterisation.at(s);
        let x = point.images();
        let (pipeline, step) = match seen {
            View::Plain => (self.plain, 0),
            View::Transformed(step) => (self.transforms, step),
        };
        let drawn = pipeline.draw(Stream::new(self.seed, "transforms", step), rows.iter().copied());
        let trace = self.network.forward(&mut Tape::off(), &drawn.forward(x), Mode::Inference, InputGradient::Wanted);
        let judged = self.objective.judge(self.network, &trace, rows)?;
        let cotangents: Vec<_> = judged.cotangents.iter().map(|(place, cotangent)| (*place, cotangent)).collect();
        let down = self.network.pullback_by(&trace, &cotangents, slopes);
        drop(trace);
        let down = down.map(|down| drawn.pullback(&down));
        let (penalties, at_images) = self.objective.judge_images(x, rows);
        let cotangent = match (down, at_images) {
            (Some(down), Some(more)) => sum(down, &more),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => batch(vec![E::zero(); view(x).len()], shape(x)),
        };
        let gradient = point.pullback(&cotangent);
        let values = judged.values.iter().zip(&penalties).map(|(value, penalty)| value + penalty).collect();
        let norms = view(&gradient).chunks_exact(image_len(&gradient)).map(norm).collect();
        Ok(Evaluation { values, cosines: judged.cosines, gradient, norms })
    }

    /// The searches by L-BFGS from where the steps ended, for [`Ascent::polish`]: one per image, or one for all images where the objective is joint.
    ///
    /// # Errors
    /// A network that does not compute the objective's nodes.
    pub fn searches(&self, state: &State<E>) -> Result<Vec<Search<E>>> {
        let (parts, length) = self.parts(state);
        let starts = view(&state.s).par_chunks_exact(length).zip(parts);
        starts.map(|(s, rows)| Ok(Search::new(Lbfgs::start(s.to_vec(), &mut self.descent(rows))?))).collect()
    }

    /// Continues searches until all have ended, or `stop` returns true after an iteration. If all have ended, their points become the
    /// state's and the result is true.
    ///
    /// # Errors
    /// A network that does not compute the objective's nodes.
    pub fn polish(
        &self,
        state: &mut State<E>,
        searches: &mut [Search<E>],
        stop: &(impl Fn() -> bool + Sync),
    ) -> Result<bool> {
        let limits =
            Limits { iterations: self.settings.polish, gradient_norm: self.settings.tolerance, ..Limits::default() };
        let (parts, length) = self.parts(state);
        searches
            .par_iter_mut()
            .zip(parts)
            .try_for_each(|(search, rows)| search.run(&limits, &mut self.descent(rows), stop))?;
        let ended = searches.iter().all(|search| search.ended);
        if ended {
            let points = view_mut(&mut state.s).chunks_exact_mut(length).zip(searches);
            points.for_each(|(s, search)| s.copy_from_slice(&search.lbfgs.state().x));
        }
        Ok(ended)
    }

    /// The rows of images that are searched together, and how many parameters they have.
    fn parts<'s>(&self, state: &'s State<E>) -> (rayon::slice::Chunks<'s, usize>, usize) {
        let together = if self.objective.is_joint() { state.rows.len() } else { 1 };
        (state.rows.par_chunks(together.max(1)), together * image_len(&state.s))
    }

    /// Minus the sum of the objectives of `rows`, and its gradient.
    fn descent<'r>(&self, rows: &'r [usize]) -> impl FnMut(&[E]) -> Result<(f64, Vec<E>)> + use<'_, 'r, E> {
        move |s: &[E]| {
            let shape = (rows.len(), 1, 1, s.len() / rows.len());
            let found = self.evaluate_plain(&batch(s.to_vec(), shape), rows)?;
            Ok((-found.values.iter().sum::<f64>(), view(&found.gradient).iter().map(|&g| -g).collect()))
        }
    }
}

#[cfg(test)]
mod tests;
