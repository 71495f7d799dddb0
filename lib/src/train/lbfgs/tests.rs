use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Mutex;

use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use super::*;

type Value = (f64, Vec<f64>);

/// sum 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2.
fn rosenbrock(x: &[f64]) -> Value {
    let (mut value, mut gradient) = (0.0, vec![0.0; x.len()]);
    for i in 0..x.len() - 1 {
        let (valley, slope) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
        value += 100.0 * valley * valley + slope * slope;
        gradient[i] -= 400.0 * x[i] * valley + 2.0 * slope;
        gradient[i + 1] += 200.0 * valley;
    }
    (value, gradient)
}

/// A bowl whose curvatures go from 1 to 1e6.
fn ill_conditioned(x: &[f64]) -> Value {
    let curvature = |i: usize| 1e6f64.powf(i as f64 / (x.len() - 1) as f64);
    let terms = x.iter().enumerate();
    let value = terms.clone().map(|(i, x)| 0.5 * curvature(i) * (x - 1.0).powi(2)).sum();
    (value, terms.map(|(i, x)| curvature(i) * (x - 1.0)).collect())
}

/// x - ln x, which has no value at and below zero, in each coordinate.
fn half_space(x: &[f64]) -> Value {
    (x.iter().map(|x| x - x.ln()).sum(), x.iter().map(|x| 1.0 - 1.0 / x).collect())
}

fn start(dimensions: usize) -> Vec<f64> {
    (0..dimensions).map(|i| if i % 2 == 0 { -1.2 } else { 1.0 }).collect()
}

fn minimum(f: fn(&[f64]) -> Value, x: Vec<f64>, limits: Limits) -> (Lbfgs<f64>, Stop) {
    let mut f = |x: &[f64]| Ok::<_, Infallible>(f(x));
    let Ok(mut search) = Lbfgs::start(x, &mut f);
    let Ok(stop) = search.run(&LbfgsSettings::default(), &limits, &mut f);
    (search, stop)
}

#[track_caller]
fn assert_ones(search: &Lbfgs<f64>, tolerance: f64) {
    assert!(search.state().x.iter().all(|x| (x - 1.0).abs() < tolerance), "{:?}", search.state().x);
}

#[test]
fn finds_the_minimum_of_rosenbrock_s_valley() {
    for dimensions in [2, 100] {
        let (search, stop) = minimum(rosenbrock, start(dimensions), Limits::default());
        assert_eq!(stop, Stop::Gradient);
        assert_ones(&search, 1e-7);
    }
}

#[test]
fn finds_the_minimum_of_an_ill_conditioned_bowl() {
    let (search, stop) = minimum(ill_conditioned, vec![0.0; 50], Limits { gradient_norm: 1e-6, ..Limits::default() });
    assert_eq!(stop, Stop::Gradient);
    assert_ones(&search, 1e-5);
}

#[test]
fn values_that_are_no_numbers_are_never_accepted() {
    // From 3 the first direction, -g, leads to the undefined side as soon as the step grows.
    let mut f = |x: &[f64]| Ok::<_, Infallible>(half_space(x));
    let Ok(mut search) = Lbfgs::start(vec![3.0, 0.01, 40.0], &mut f);
    loop {
        let Ok(stop) = search.iterate(&LbfgsSettings::default(), &Limits::default(), &mut f);
        assert!(search.state().x.iter().all(|&x| x > 0.0));
        assert!(search.state().value.is_finite() && search.gradient_norm().is_finite());
        if let Some(stop) = stop {
            assert_eq!(stop, Stop::Gradient);
            break;
        }
    }
    assert_ones(&search, 1e-7);
    let (_, stop) = minimum(half_space, vec![-1.0], Limits::default());
    assert_eq!(stop, Stop::NotFinite);
    // The value is finite below zero too, its gradient is not.
    let walled = |x: &[f64]| (x[0], vec![if x[0] > 0.0 { 1.0 } else { f64::NAN }]);
    let (search, stop) = minimum(walled, vec![1.0], Limits { stall: 1e-12, ..Limits::default() });
    assert!(stop == Stop::Stalled && search.state().x[0] > 0.0, "{search:?}");
}

#[test]
fn every_limit_stops() {
    let stop = |limits| minimum(rosenbrock, start(100), limits);
    let none = Limits::default();
    let (search, why) = stop(Limits { iterations: 7, ..none });
    assert_eq!((why, search.state().iterations), (Stop::Iterations, 7));
    let (search, why) = stop(Limits { evaluations: 9, ..none });
    assert!(why == Stop::Evaluations && (9..=9 + 25).contains(&search.state().evaluations));
    let (search, why) = stop(Limits { stall: 1e-3, gradient_norm: 0.0, ..none });
    assert!(why == Stop::Stalled && search.state().value > 1e-8);
    // Down to the precision of numbers, where no step lowers the value any more.
    let (search, why) = stop(Limits { gradient_norm: 0.0, ..none });
    assert!(matches!(why, Stop::Stalled | Stop::Gradient), "{why:?}");
    assert_ones(&search, 1e-7);
}

#[test]
fn a_resumed_search_goes_on_to_the_same_bits() {
    let limited = |iterations| Limits { iterations, ..Limits::default() };
    let (whole, _) = minimum(rosenbrock, start(20), limited(30));
    let (half, _) = minimum(rosenbrock, start(20), limited(13));
    let mut resumed = Lbfgs::resumed(half.state().clone());
    let mut f = |x: &[f64]| Ok::<_, Infallible>(rosenbrock(x));
    let Ok(_) = resumed.run(&LbfgsSettings::default(), &limited(30), &mut f);
    assert_eq!(resumed.state(), whole.state());
    assert_eq!(whole.state().steps.len(), 10);
}

#[test]
fn single_precision_comes_as_near_as_it_can() {
    let mut f = |x: &[f32]| {
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (value, gradient) = rosenbrock(&wide);
        Ok::<_, Infallible>((value, gradient.iter().map(|&value| value as f32).collect()))
    };
    let Ok(mut search) = Lbfgs::start(vec![-1.2f32, 1.0], &mut f);
    let Ok(_) = search.run(&LbfgsSettings::default(), &Limits::default(), &mut f);
    assert!(search.state().x.iter().all(|x| (x - 1.0).abs() < 1e-3), "{:?}", search.state().x);
}

#[test]
fn the_function_s_error_ends_the_search() {
    let mut calls = 0;
    let mut f = |x: &[f64]| {
        calls += 1;
        if calls < 4 { Ok(rosenbrock(x)) } else { Err("interrupted") }
    };
    let mut search = Lbfgs::start(start(2), &mut f).unwrap();
    assert_eq!(search.run(&LbfgsSettings::default(), &Limits::default(), &mut f), Err("interrupted"));
}

/// A problem as argmin takes it, and the points that it asked for: it asks for some more than once.
struct Peer {
    f: fn(&[f64]) -> Value,
    points: Mutex<HashSet<Vec<u64>>>,
}

impl Peer {
    fn at(&self, x: &[f64]) -> Value {
        self.points.lock().unwrap().insert(x.iter().map(|x| x.to_bits()).collect());
        (self.f)(x)
    }
}

impl CostFunction for Peer {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        Ok(self.at(x).0)
    }
}

impl Gradient for Peer {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, x: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        Ok(self.at(x).1)
    }
}

/// The points at which argmin's L-BFGS evaluates, until the gradient has this norm.
fn peer(f: fn(&[f64]) -> Value, x: Vec<f64>, gradient_norm: f64) -> usize {
    let search = MoreThuenteLineSearch::new().with_c(1e-4, 0.9).unwrap();
    let solver = LBFGS::new(search, 10).with_tolerance_grad(gradient_norm).unwrap();
    let solver = solver.with_tolerance_cost(0.0).unwrap();
    let problem = Peer { f, points: Mutex::default() };
    let solved = Executor::new(problem, solver).configure(|state| state.param(x).max_iters(10_000)).run().unwrap();
    let reached = f(&solved.state.best_param.unwrap()).1;
    assert!(norm(&reached) <= gradient_norm, "argmin reaches {:e}", norm(&reached));
    solved.problem.problem.unwrap().points.into_inner().unwrap().len()
}

#[test]
fn needs_about_as_many_evaluations_as_argmin() {
    for (name, f, x, gradient_norm) in [
        ("rosenbrock 2", rosenbrock as fn(&[f64]) -> Value, start(2), 1e-8),
        ("rosenbrock 100", rosenbrock, start(100), 1e-8),
        ("ill-conditioned 50", ill_conditioned, vec![0.0; 50], 1e-6),
    ] {
        let theirs = peer(f, x.clone(), gradient_norm);
        let (search, stop) = minimum(f, x, Limits { gradient_norm, ..Limits::default() });
        let ours = search.state().evaluations;
        println!("{name}: {ours} evaluations, argmin {theirs}");
        assert_eq!(stop, Stop::Gradient);
        // Rounding alone moves the count of hundreds of iterations by a tenth; a fifth more would be another method.
        assert!(ours as f64 <= 1.2 * theirs as f64, "{name}: {ours} evaluations, argmin {theirs}");
    }
}
