use super::*;
use crate::net::op::{Flatten, Linear};
use crate::net::{Graph, Initialisation, InputSpec, Node, Size};
use crate::objective::aggregation::Aggregation;
use crate::objective::parameterisation::{Clamped, Colours, Pixels, Squashed};
use crate::objective::resolved::Comparison;
use crate::objective::transform::Transforms;
use crate::ops::checks::assert_close;

/// Two linear units of an image of 2 x 2.
fn network() -> Network<f64> {
    let nodes = vec![Node::new("flat", Flatten, "input"), Node::new("fc", Linear::new(2, true), "flat")];
    let outputs = [("logits".to_string(), "fc".to_string())].into();
    let graph = Graph::new(InputSpec::plain(Size::new(1, 2, 2)), nodes, outputs).unwrap();
    Network::initialised(graph, Initialisation::He, 2)
}

/// The length over such a norm is infinite in single precision, and infinity times zero no number.
#[test]
fn steps_along_subnormal_gradients_have_their_length() {
    let gradient = [3e-39f32, 0.0, 4e-39];
    let mut s = [1.0f32; 3];
    step_along(&mut s, &gradient, norm(&gradient), 100.0);
    assert_close(&s, &[61.0f32, 1.0, 81.0], 1e-4);
    step_along(&mut s, &[0.0; 3], 0.0, 100.0);
    assert_close(&s, &[61.0f32, 1.0, 81.0], 1e-4);
}

fn climb(parameterisation: &dyn Parameterisation<f64>, text: &str, settings: Settings) -> (Ascended, State<f64>) {
    let network = network();
    let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
    let objective = Objective::new(&text.parse().unwrap(), network.graph(), 2, comparison).unwrap();
    let size = Size::new(1, 2, 2);
    let plain = Transforms::default().between(size, size).unwrap();
    let ascent = Ascent {
        network: &network,
        parameterisation,
        transforms: &plain,
        plain: &plain,
        objective: &objective,
        settings,
        seed: 3,
    };
    let mut state = ascent.start(vec![0, 1]);
    while state.step < settings.steps {
        ascent.step(&mut state).unwrap();
    }
    let mut searches = ascent.searches(&state).unwrap();
    // As a run that is stopped after each iteration.
    while !ascent.polish(&mut state, &mut searches, &|| true).unwrap() {}
    let polished = searches.into_iter().map(|search| search.trace).collect();
    let weights = view(&network.parameters()[0])[..4].to_vec();
    ((weights, polished), state)
}

/// The weights of the first unit, and the traces of L-BFGS.
type Ascended = (Vec<f64>, Vec<Vec<[f64; 2]>>);

const PLAIN: Settings = Settings {
    steps: 200,
    optimiser: Optimiser::Normalised { length: 0.05 },
    redirected: 0,
    polish: 0,
    tolerance: 1e-9,
};

/// The largest value of a linear unit on the box is at the corner that the signs of its weights tell.
#[test]
fn clamped_pixels_reach_the_corner_that_a_linear_unit_wants() {
    for optimiser in [PLAIN.optimiser, Optimiser::Adam { learning_rate: 0.05 }] {
        let ((weights, _), state) =
            climb(&Clamped::new(Size::new(1, 2, 2)), "class:0", Settings { optimiser, ..PLAIN });
        let corner: Vec<f64> = weights.iter().map(|&weight| f64::from(u8::from(weight > 0.0))).collect();
        assert_eq!(view(&state.s), [corner.clone(), corner].concat());
    }
}

/// class:0 - c l2 has its maximum where the slope of the penalty is the weight: x = 1/2 + w n / (2 c), inside the box.
#[test]
fn l_bfgs_ends_where_the_penalty_balances_the_weight() {
    let squashed = Squashed::new::<f64>(Pixels(Size::new(1, 2, 2)), Colours::Plain).unwrap();
    let settings = Settings { steps: 3, polish: 100, ..PLAIN };
    let ((weights, polished), state) = climb(&squashed, "class:0 - 40*l2", settings);
    let found = squashed.at(&state.s).images().clone();
    for (place, x) in view(&found).iter().enumerate() {
        let expected = 0.5 + weights[place % 4] * 4.0 / 80.0;
        assert!((x - expected).abs() < 1e-8, "{place}: {x} {expected}");
    }
    assert!(polished.iter().all(|trace| trace.windows(2).all(|pair| pair[1][0] >= pair[0][0])));
    assert_eq!(state.trace.len(), 3 * 2 * 2);
}
