use crate::tensor::Tape;

use super::*;
use crate::net::op::{Flatten, Linear, Softplus};
use crate::net::{Initialisation, InputSpec, Mode, Node, Size};
use crate::objective::aggregation::Aggregation;
use crate::ops::InputGradient;
use crate::store::npy;
use crate::tensor::random::Stream;

/// Two smooth layers, so that differences are gradients: softplus of a convolution, and a linear one.
fn network() -> Network<f64> {
    let conv =
        serde_json::json!({"name": "conv", "op": "conv2d", "input": "input", "channels": 4, "kernel": 3, "padding": 1});
    let nodes = vec![
        Node::from_json(&conv).unwrap(),
        Node::new("act", Softplus::default(), "conv"),
        Node::new("flat", Flatten, "act"),
        Node::new("fc", Linear::new(5, true), "flat"),
    ];
    let outputs = [("scores".to_string(), "fc".to_string())].into();
    let graph = Graph::new(InputSpec::plain(Size::new(2, 6, 5)), nodes, outputs).unwrap();
    Network::initialised(graph, Initialisation::Uniform, 1).tapped(&["act"]).unwrap()
}

fn images(count: usize) -> Batch<f64> {
    batch(Stream::new(3, "images", 0).uniform(0..count * 60), (count, 6, 5, 2))
}

fn total(objective: &Objective, network: &Network<f64>, x: &Batch<f64>) -> (f64, Vec<f64>) {
    let rows: Vec<usize> = (0..shape(x).0).collect();
    let trace = network.forward(&mut Tape::off(), x, Mode::Inference, InputGradient::Wanted);
    let judged = objective.judge(network, &trace, &rows).unwrap();
    let (penalties, at_images) = objective.judge_images(x, &rows);
    let cotangents: Vec<_> = judged.cotangents.iter().map(|(place, cotangent)| (*place, cotangent)).collect();
    let mut gradient = vec![0.0; view(x).len()];
    if let Some(down) = network.pullback(&mut Tape::off(), &trace, &cotangents) {
        gradient.iter_mut().zip(view(&down)).for_each(|(sum, more)| *sum += more);
    }
    if let Some(more) = at_images {
        gradient.iter_mut().zip(view(&more)).for_each(|(sum, more)| *sum += more);
    }
    (judged.values.iter().sum::<f64>() + penalties.iter().sum::<f64>(), gradient)
}

#[test]
fn gradients_are_differences_for_every_kind_of_term() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.npy");
    npy::write(&file, &[3, 3], &[0.3f64, 0.2, -0.5, 1.0, 0.0, 0.0, 0.5, 0.5, 2.0]).unwrap();
    let one = folder.path().join("d.npy");
    npy::write(&one, &[4], &[0.3f32, 0.2, 0.5, 1.0]).unwrap();
    let network = network();
    let x = images(3);
    let comparison = Comparison { aggregation: Aggregation::USUAL, power: 3 };
    for text in [
        "neuron:act:2:1:4".to_string(),
        "channel:act:3".into(),
        "class:4 - 0.5*channel:act:0".into(),
        "layer:act".into(),
        "neuron:act:1@7".into(),
        "token:act:3 - head:act:1/2".into(),
        format!("direction:act:{}[1]@5", file.display()),
        "diversity:act".into(),
        "channel:act:1 to 3*diversity:act".into(),
        format!("targets:act:{}", file.display()),
        format!("-direction:act:{}", one.display()),
        "l1 + 2*l2 - 0.3*tv".into(),
    ] {
        let objective = Objective::new(&text.parse().unwrap(), network.graph(), 3, comparison).unwrap();
        let (_, gradient) = total(&objective, &network, &x);
        for i in (0..180).step_by(7) {
            let at = |step: f64| {
                let mut values = view(&x).to_vec();
                values[i] += step;
                total(&objective, &network, &batch(values, shape(&x))).0
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - gradient[i]).abs() < 1e-7, "{text}: {i}: {difference} {}", gradient[i]);
        }
    }
}

#[test]
fn joined_objectives_keep_to_their_images() {
    let network = network();
    let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
    let one = |text: &str, images| Objective::new(&text.parse().unwrap(), network.graph(), images, comparison).unwrap();
    let texts = [("channel:act:1", 2), ("diversity:act - l2", 2), ("class:3", 1)];
    let joined = Objective::joined(texts.map(|(text, images)| one(text, images)));
    let x = images(5);
    let (whole, gradient) = total(&joined, &network, &x);
    let (mut sum, mut parts, mut first) = (0.0, Vec::new(), 0);
    for (text, count) in texts {
        let part = batch(view(&x)[first * 60..(first + count) * 60].to_vec(), (count, 6, 5, 2));
        let (value, gradient) = total(&one(text, count), &network, &part);
        sum += value;
        parts.extend(gradient);
        first += count;
    }
    assert!((whole - sum).abs() < 1e-12);
    assert!(gradient.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn what_is_not_there_is_named() {
    let network = network();
    let comparison = Comparison { aggregation: Aggregation::Mean, power: 0 };
    let refused =
        |text: &str| Objective::new(&text.parse().unwrap(), network.graph(), 2, comparison).unwrap_err().to_string();
    assert!(refused("channel:cnov:1").contains("conv"), "{}", refused("channel:cnov:1"));
    assert!(refused("channel:conv:4").contains("below 4"));
    assert!(refused("neuron:conv:0:6:0").contains("within 6x5"));
    assert!(refused("class:5").contains("below 5"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.npy");
    let with = |shape: &[usize], values: &[f64]| {
        npy::write(&file, shape, values).unwrap();
        refused(&format!("targets:act:{}", file.display()))
    };
    assert!(with(&[2, 5], &[1.0; 10]).contains("at most 4"));
    assert!(with(&[3, 2], &[1.0; 6]).contains("2 directions"));
    assert!(with(&[2, 2], &[1.0, f64::NAN, 0.0, 1.0]).contains("NaN"));
    assert!(with(&[2, 2], &[1.0, 1.0, 0.0, 0.0]).contains("zero in row 1"));
}
