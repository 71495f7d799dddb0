//! The response f (n) of an image, and its Jacobian J = df/ds (n x P) at the image's parameters s.
//!
//! One forward pass keeps its trace; cotangents, one per feature, are pulled back in blocks through aggregation, network and
//! parameterisation, all at the same image. What follows needs only J J^T, so J is reduced to L (n x n) with
//! J J^T = L L^T: J = L Q^T by Householder reflections in f64, which, unlike the product, does not square the condition
//! number. Columns are reduced in fixed lanes, so that the number of threads does not change the result.
//!
//! Source: inverse feature visualisation, sections 2 and 3.3.
//!
//! ```
//! use obverse::ifv::jacobian::Jacobian;
//! // f = (1, 2) where df/ds = ((3, 0), (0, 4)).
//! let jacobian = Jacobian { response: vec![1.0, 2.0], rows: vec![3.0, 0.0, 0.0, 4.0] };
//! let at = jacobian.reduced()?;
//! // L L^T = J J^T.
//! let gram = &at.factor * at.factor.transpose();
//! assert!((gram[(0, 0)] - 9.0).abs() < 1e-12 && (gram[(1, 1)] - 16.0).abs() < 1e-12);
//! # Ok::<(), obverse::ifv::Error>(())
//! ```

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::{Error, Result, norm};
use crate::net::{Mode, Network, Slopes, Trace};
use crate::objective::aggregation::Aggregation;
use crate::objective::parameterisation::{Parameterisation, Point};
use crate::objective::transform::{Applied, Transforms};
use crate::ops::InputGradient;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, batch, shape, view};

/// Cotangents pulled back at a time; memory grows with them.
pub const BLOCK: usize = 16;
/// Parts of the columns that are reduced separately.
const LANES: usize = 8;

/// The map from an image's parameters to its response.
pub struct Response<'a, E: Element> {
    network: &'a Network<E>,
    parameterisation: &'a dyn Parameterisation<E>,
    place: usize,
    aggregation: Aggregation,
    features: usize,
    /// Nothing, or the change to the network's size.
    fitting: Applied,
}

/// A response and its Jacobian.
#[derive(Clone, Debug)]
pub struct Jacobian<E> {
    /// f, (n).
    pub response: Vec<f64>,
    /// J in row order, n x P.
    pub rows: Vec<E>,
}

/// A response and what its Jacobian does to directions of features.
#[derive(Clone, Debug)]
pub struct Linearisation {
    /// f, (n).
    pub response: Vec<f64>,
    /// L, n x n, with J J^T = L L^T.
    pub factor: Mat<f64>,
}

impl<'a, E: Element> Response<'a, E> {
    /// The response at `node` of the network's first `features` channels there (all where `None`).
    ///
    /// # Errors
    /// No such node; more features than channels or parameters, or fewer than two; images of other channels than the network's.
    pub fn new(
        network: &'a Network<E>,
        parameterisation: &'a dyn Parameterisation<E>,
        node: &str,
        aggregation: Aggregation,
        features: Option<usize>,
    ) -> Result<Self> {
        let place = network.graph().place(node)?;
        let (channels, parameters) = (network.graph().size(place).channels, parameterisation.parameters());
        let features = features.unwrap_or(channels);
        let most = channels.min(parameters);
        if !(2..=most).contains(&features) {
            let expected = format!("2 to {most}, of {channels} channels and {parameters} parameters an image");
            return Err(Error::Features { node: node.to_string(), expected, found: features });
        }
        let pipeline = Transforms::default().between(parameterisation.image_size(), network.graph().input.shape)?;
        // Nothing is drawn: images are seen as they are.
        let fitting = pipeline.draw(Stream::new(0, "plain", 0), [0]);
        Ok(Self { network, parameterisation, place, aggregation, features, fitting })
    }

    /// The number of features, n.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The response and Jacobian at `s` (1, 1, 1, P), from `block` pullbacks at a time, whose number does not change the result.
    ///
    /// # Errors
    /// A network that does not compute the node.
    pub fn jacobian(&self, s: &Batch<E>, block: usize) -> Result<Jacobian<E>> {
        let point = self.parameterisation.at(s);
        let x = self.fitting.forward(point.images());
        let trace = self.network.forward(&mut Tape::off(), &x, Mode::Inference, InputGradient::Wanted);
        let activations = self.network.value(&trace, self.place)?;
        let response = self.aggregation.response(activations);
        let mut rows = Vec::with_capacity(self.features * self.parameterisation.parameters());
        for first in (0..self.features).step_by(block.max(1)) {
            let channels = first..self.features.min(first + block.max(1));
            rows.extend_from_slice(view(&self.pullback(&point, &trace, activations, channels)));
        }
        let response = view(&response)[..self.features].iter().map(|value| value.wide()).collect();
        Ok(Jacobian { response, rows })
    }

    /// The gradients of the response's `channels` in s, (K, 1, 1, P).
    fn pullback(
        &self,
        point: &Point<E>,
        trace: &Trace<E>,
        activations: &Batch<E>,
        channels: std::ops::Range<usize>,
    ) -> Batch<E> {
        let (_, _, _, all) = shape(activations);
        let count = channels.len();
        let mut chosen = vec![E::zero(); count * all];
        channels.enumerate().for_each(|(row, channel)| chosen[row * all + channel] = E::one());
        let cotangent = self.aggregation.pullback(&batch(chosen, (count, 1, 1, all)), activations);
        match self.network.pullback_by(trace, &[(self.place, &cotangent)], Slopes::True) {
            Some(at_input) => point.pullback(&self.fitting.pullback(&at_input)),
            None => crate::tensor::zeros((count, 1, 1, self.parameterisation.parameters())),
        }
    }
}

impl<E: Element> Jacobian<E> {
    /// L in the place of J.
    ///
    /// # Errors
    /// A response or a Jacobian of zero.
    pub fn reduced(&self) -> Result<Linearisation> {
        let features = self.response.len();
        let columns = self.rows.len() / features.max(1);
        if norm(&self.response) == 0.0 {
            return Err(Error::NoResponse);
        }
        if self.rows.iter().all(|&value| value == E::zero()) {
            return Err(Error::NoGradient);
        }
        // Fewer lanes where a lane would not be several times higher than the triangle it leaves.
        let lanes = (columns / (4 * features)).clamp(1, LANES);
        let lane = columns.div_ceil(lanes);
        let triangles: Vec<Mat<f64>> = (0..lanes)
            .into_par_iter()
            .map(|number| {
                let first = number * lane;
                let rows = lane.min(columns.saturating_sub(first));
                triangle(Mat::from_fn(rows, features, |i, j| self.rows[j * columns + first + i].wide()).as_ref())
            })
            .collect();
        let whole = match triangles.as_slice() {
            [one] => one.clone(),
            several => triangle(stacked(several, features).as_ref()),
        };
        Ok(Linearisation { response: self.response.clone(), factor: whole.transpose().to_owned() })
    }
}

/// The upper triangle R of A = Q R, square: rows of zeros where A has too few.
fn triangle(a: MatRef<f64>) -> Mat<f64> {
    let n = a.ncols();
    let qr = a.qr();
    let r = qr.thin_R();
    Mat::from_fn(n, n, |i, j| if i <= j && i < r.nrows() { r[(i, j)] } else { 0.0 })
}

/// Squares of `n` columns one below the other.
fn stacked(squares: &[Mat<f64>], n: usize) -> Mat<f64> {
    Mat::from_fn(squares.len() * n, n, |i, j| squares[i / n][(i % n, j)])
}

impl Linearisation {
    /// The number of features, n.
    pub fn features(&self) -> usize {
        self.response.len()
    }

    /// One row of a file: for each feature its response and its row of L, n x (n + 1).
    pub fn to_row(&self) -> Vec<f64> {
        let n = self.features();
        (0..n).flat_map(|i| std::iter::once(self.response[i]).chain((0..n).map(move |j| self.factor[(i, j)]))).collect()
    }

    /// From a row of a file, n x (n + 1).
    ///
    /// # Errors
    /// A response of zero.
    pub fn from_row(values: &[f64], features: usize) -> Result<Self> {
        let at = |i: usize, j: usize| values[i * (features + 1) + j];
        let response: Vec<f64> = (0..features).map(|i| at(i, 0)).collect();
        if norm(&response) == 0.0 {
            return Err(Error::NoResponse);
        }
        Ok(Self { response, factor: Mat::from_fn(features, features, |i, j| at(i, j + 1)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// L L^T = J J^T whatever the shape, also where columns are cut into lanes and where J has not the full rank.
        #[test]
        fn the_factor_has_the_jacobians_gram_matrix(n in 2usize..6, columns in 6usize..200, rank in 1usize..6) {
            let left: Vec<f64> = Stream::new(1, "left", 0).normal(0..n * rank);
            let right: Vec<f64> = Stream::new(1, "right", 0).normal(0..rank * columns);
            let at = |i: usize, j: usize| (0..rank).map(|k| left[i * rank + k] * right[k * columns + j]).sum::<f64>();
            let rows: Vec<f64> = (0..n * columns).map(|k| at(k / columns, k % columns)).collect();
            let jacobian = Jacobian { response: vec![1.0; n], rows: rows.clone() };
            let factor = jacobian.reduced().unwrap().factor;
            let gram = &factor * factor.transpose();
            let j = MatRef::from_row_major_slice(&rows, n, columns);
            let expected = j * j.transpose();
            prop_assert!((&gram - &expected).norm_max() < 1e-12 * expected.norm_max().max(1.0));
        }
    }

    #[test]
    fn a_row_of_a_file_is_read_as_it_was_written() {
        let jacobian = Jacobian { response: vec![1.0, 2.0], rows: vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0] };
        let whole = jacobian.reduced().unwrap();
        let again = Linearisation::from_row(&whole.to_row(), 2).unwrap();
        assert_eq!((again.response, again.factor), (whole.response, whole.factor));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let silent = Jacobian { response: vec![0.0; 2], rows: vec![1.0; 6] };
        assert!(matches!(silent.reduced(), Err(Error::NoResponse)));
        let flat = Jacobian { response: vec![1.0; 2], rows: vec![0.0; 6] };
        assert!(matches!(flat.reduced(), Err(Error::NoGradient)));
    }
}
