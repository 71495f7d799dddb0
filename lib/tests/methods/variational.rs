//! Variational and local steps through the public interface, against PyTorch's (`tests/oracle`: vfa_step, published_step,
//! local_step), and the perceptual loss of gan_losses.

use obverse::alignment::adversarial::AdversarialSettings;
use obverse::alignment::local::Chain;
use obverse::alignment::recovery::Recovery;
use obverse::alignment::step::{AimWeights, Draw, Examples, Heads, Objective, step};
use obverse::net::{Graph, Initialisation, Network};
use obverse::ops::adversarial::{Role, Rule};
use obverse::store::npy::Scalar;
use obverse::tensor::{Batch, Element, batch, shape, view, zeros};
use serde_json::json;

use super::common::Case;

const FROM_MU: AimWeights = AimWeights { deviated: false, alpha: 0.0 };

fn numbers(case: &Case, name: &str) -> Vec<f64> {
    case.values(name)
}

/// Equations 5 and 6: means over the batch.
fn check_vfa_step<E: Element + Scalar>() {
    let case = Case::open("vfa_step");
    let encoder = case.encoder::<E>(&[("mu", "mu"), ("log_var", "log_var")]);
    let x = case.array::<E>("x");
    let n = shape(&x).0 as f64;
    // The oracle's tau multiplies the gradient of a sum of squares, ours that of half of it.
    let recovery = Recovery { steps: 1, tau: 2.0 * case.description["tau"].as_f64().unwrap(), sigmoid: false };
    let objective = Objective { recovery, weights: FROM_MU, factor: 1.0 / n };
    let weights = numbers(&case, "beta").iter().map(|beta| beta / n).collect();
    let draw = Draw { noise: case.array("eps"), weights };
    let examples = Examples { x: &x, labels: None, r: &case.array("r0") };
    let heads = Heads::of(encoder.graph()).unwrap();
    let step = step(&encoder, &heads, &objective, &examples, Some(&draw)).unwrap();
    case.check("mu", view(&step.latents));
    case.check("log_var", view(step.log_variances.as_ref().unwrap()));
    case.check_batch("r_hat", &step.recovered);
    case.check("C", &[E::of(step.squared_error / n + step.divergence)]);
    assert_eq!(case.check_gradients("", &encoder, &step.gradients), 14);
}

#[test]
fn a_variational_step_agrees_with_the_oracle() {
    check_vfa_step::<f64>();
    check_vfa_step::<f32>();
}

/// The authors' code: half sums, r0 = 0, sigmoid, z_r = mu + sigma, class head.
fn check_published_step<E: Element + Scalar>() {
    let case = Case::open("published_step");
    let encoder = case.encoder::<E>(&[("mu", "mu"), ("log_var", "log_var"), ("class", "label")]);
    let (x, labels) = (case.array::<E>("x"), case.array("labels"));
    let recovery = Recovery { steps: 1, tau: 1.0, sigmoid: true };
    let objective = Objective { recovery, weights: AimWeights { deviated: true, alpha: 0.0 }, factor: 0.5 };
    let draw = Draw { noise: case.array("eps"), weights: numbers(&case, "beta") };
    let heads = Heads::of(encoder.graph()).unwrap();
    // One image of zeros stands for all.
    for r in [zeros((1, 12, 12, 1)), zeros(shape(&x))] {
        let examples = Examples { x: &x, labels: Some(&labels), r: &r };
        let step = step(&encoder, &heads, &objective, &examples, Some(&draw)).unwrap();
        case.check("mu", view(&step.latents));
        case.check("log_var", view(step.log_variances.as_ref().unwrap()));
        case.check_batch("r_hat", &step.recovered);
        case.check("C", &[E::of(0.5 * step.squared_error + step.divergence)]);
        // The bias of the class head moves nothing but its own output, so PyTorch has a gradient for it too.
        assert_eq!(case.check_gradients("", &encoder, &step.gradients), 16);
    }
}

#[test]
fn a_step_of_the_published_code_agrees_with_the_oracle() {
    check_published_step::<f64>();
    check_published_step::<f32>();
}

/// The case's three convolutions with asinh between, without biases.
fn chain<E: Element + Scalar>(case: &Case) -> Chain<E> {
    let nodes: Vec<_> = [(4, 1), (4, 2), (8, 1)]
        .iter()
        .enumerate()
        .flat_map(|(l, (channels, stride))| {
            let input = if l == 0 { "input".to_string() } else { format!("act{}", l - 1) };
            [
                json!({"name": format!("conv{l}"), "op": "conv2d", "input": input, "channels": channels, "kernel": 3,
                    "stride": stride, "padding": 1, "bias": false}),
                json!({"name": format!("act{l}"), "op": "asinh", "input": format!("conv{l}")}),
            ]
        })
        .collect();
    let description = json!({"format": "obverse-net/1", "input": {"shape": [1, 10, 10]}, "nodes": nodes,
        "outputs": {"z": "act2"}});
    let graph = Graph::from_json(std::path::Path::new("net.json"), &description).unwrap();
    let mut chain = Chain::of(&Network::initialised(graph, Initialisation::Uniform, 0)).unwrap();
    for (l, layer) in chain.layers_mut().iter_mut().enumerate() {
        // (O, I, kh, kw) of the file to (O, kh, kw, I) of memory, as images are.
        layer.network_mut().parameters_mut()[0] = case.array(&format!("layer{l}.weight"));
    }
    chain
}

/// Algorithms 2 and 3.
fn check_local_step<E: Element + Scalar>() {
    let case = Case::open("local_step");
    let chain = chain::<E>(&case);
    let mut x: Batch<E> = case.array("x");
    let n = shape(&x).0 as f64;
    let number = |name: &str| case.description[name].as_f64().unwrap();
    let recovery = Recovery { steps: number("T") as usize, tau: 2.0 * number("tau"), sigmoid: false };
    let objective = Objective { recovery, weights: FROM_MU, factor: 1.0 / n };
    let first = x.clone();
    for (l, layer) in chain.layers().iter().enumerate() {
        let step = layer.step(&objective, &x, &case.array(&format!("layer{l}.r0"))).unwrap();
        case.check_batch(&format!("layer{l}.r_hat"), &step.recovered);
        case.check(&format!("layer{l}.C"), &[E::of(step.squared_error / n)]);
        case.check_batch(&format!("layer{l}.grad"), &step.gradients[0]);
        x = layer.activate(&step.latents);
    }
    case.check_batch("output", &x);
    case.check_batch("output", &chain.encode(&first).unwrap());
    for (l, layer) in chain.layers().iter().enumerate().rev() {
        x = layer.recover(&recovery, &x, &case.array(&format!("layer{l}.r0"))).unwrap();
        case.check_batch(&format!("layer{l}.inverted"), &x);
    }
}

#[test]
fn local_steps_and_inversions_agree_with_the_oracle() {
    check_local_step::<f64>();
    check_local_step::<f32>();
}

/// Equation 7 whole: the case holds sigma^2, the encoder gives its logarithm.
fn check_generator_loss<E: Element + Scalar>() {
    let case = Case::open("gan_losses");
    let settings =
        AdversarialSettings { lambda: case.description["lambda"].as_f64().unwrap(), ..AdversarialSettings::paper() };
    let logarithm = |name: &str| -> Batch<E> {
        let values = numbers(&case, name);
        batch(values.iter().map(|value| E::of(value.ln())).collect(), (6, 1, 1, 4))
    };
    let real = [&case.array("mu_x"), &logarithm("var_x")];
    let fake = [&case.array("mu_g"), &logarithm("var_g")];
    let mean = 1.0 / 6.0;
    let perceptual = settings.perceptual(real, fake, mean);
    let (judged, _) = Rule::LeastSquares.judge(&case.array::<E>("d_fake"), Role::Wanted, mean);
    case.check("L_G", &[E::of(judged + perceptual.loss)]);
    case.check("L_G.grad_mu", view(&perceptual.mu));
    // d sigma^2 / d log_var = sigma^2.
    let of_variance: Vec<E> =
        view(&perceptual.log_var).iter().zip(numbers(&case, "var_g")).map(|(&slope, var)| slope / E::of(var)).collect();
    case.check("L_G.grad_var", &of_variance);
}

#[test]
fn the_generators_loss_agrees_with_the_oracle() {
    check_generator_loss::<f64>();
    check_generator_loss::<f32>();
}
