//! The network against the oracle, what each pixel may see, sizes that are no multiple of 4, and gradients.

use super::architecture::{Architecture, Condition, Likelihood};
use super::network::{Mode, PixelCnn};
use crate::ops::InputGradient;
use crate::ops::arithmetic::combine;
use crate::ops::causal::{Feed, Shift, Term, causal};
use crate::ops::checks::{Case, assert_close, check_gradients_of_some, normal};
use crate::ops::upsample::bilinear;
use crate::store::npy::Scalar;
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Element, Tape, backward, batch, gradient, shape, view};

/// The model of the case: 3 channels, 6 filters, 1 block; 20 outputs are 2 logistics of 3 colours.
fn oracle_model<E: Element + Scalar>(case: &Case) -> PixelCnn<E> {
    let architecture = Architecture {
        channels: 3,
        height: 8,
        width: 12,
        filters: 6,
        blocks: 1,
        likelihood: Likelihood::LogisticMixture(2),
        condition: Some(Condition::Vector(5)),
    };
    let mut model = PixelCnn::<E>::random(architecture, 0).unwrap();
    let names: Vec<String> = model.specs().iter().map(|spec| spec.name.clone()).collect();
    for (name, parameter) in names.iter().zip(model.parameters_mut()) {
        let value = case.array::<E>(&format!("param.{name}"));
        assert_eq!(shape(&value), shape(parameter), "{name}");
        *parameter = value;
    }
    model
}

fn check_oracle<E: Element + Scalar>() {
    let case = Case::open("pixelcnn");
    let model = oracle_model::<E>(&case);
    let (x, h) = (case.array::<E>("x"), case.array::<E>("h"));
    let mut tape = Tape::recording();
    let y = model.forward(&mut tape, &x, Some((&h, InputGradient::Wanted)), Mode::Inference);
    assert_close(view(&y), view(&case.array::<f64>("y")), case.tolerance::<E>());
    let mut gradients = backward(tape, &y, view(&case.array::<E>("grad_y")).to_vec());
    let check = |name: &str, values: &[E]| {
        assert_close(values, view(&case.array::<f64>(name)), case.tolerance::<E>());
    };
    check("grad_h", &gradient(&mut gradients, &h));
    for (spec, parameter) in model.specs().iter().zip(model.parameters()) {
        check(&format!("grad.{}", spec.name), &gradient(&mut gradients, parameter));
    }
}

#[test]
fn oracle_outputs_and_gradients_in_f64() {
    check_oracle::<f64>();
}

#[test]
fn oracle_outputs_and_gradients_in_f32() {
    check_oracle::<f32>();
}

fn check_maps<E: Element + Scalar>() {
    let case = Case::open("spatial_context");
    let h = case.array::<E>("h");
    for side in [28, 14, 7] {
        let weight = case.array::<E>(&format!("{side}.weight"));
        let mut tape = Tape::recording();
        let maps = bilinear(&mut tape, &h, (side, side));
        let inputs = [&maps];
        let gradient_of = InputGradient::Wanted;
        let term =
            Term { inputs: &inputs, weight: &weight, shift: Shift::None, feed: Feed::Plain, gradient: gradient_of };
        let y = causal(&mut tape, &[term], &[]);
        let check = |name: &str, values: &[E]| {
            assert_close(values, view(&case.array::<f64>(&format!("{side}.{name}"))), case.tolerance::<E>());
        };
        check("bias_map", view(&y));
        let mut gradients = backward(tape, &y, view(&case.array::<E>(&format!("{side}.grad_y"))).to_vec());
        check("grad_h", &gradient(&mut gradients, &h));
        check("grad_weight", &gradient(&mut gradients, &weight));
    }
}

#[test]
fn oracle_maps_as_conditions() {
    check_maps::<f32>();
    check_maps::<f64>();
}

/// Every kind of image, likelihood and condition; sides that are multiples of 4 and not.
pub(super) fn configurations() -> Vec<Architecture> {
    let grey = Architecture {
        channels: 1,
        height: 8,
        width: 8,
        filters: 3,
        blocks: 1,
        likelihood: Likelihood::Softmax,
        condition: None,
    };
    let colour = Architecture { channels: 3, likelihood: Likelihood::LogisticMixture(2), ..grey };
    vec![
        grey,
        Architecture { height: 7, width: 5, condition: Some(Condition::Vector(3)), ..grey },
        Architecture { likelihood: Likelihood::LogisticMixture(2), condition: Some(Condition::Maps(2, 3, 5)), ..grey },
        Architecture { height: 6, width: 9, condition: Some(Condition::Maps(2, 12, 3)), ..colour },
        Architecture { blocks: 2, condition: Some(Condition::Vector(4)), ..colour },
    ]
}

/// Images and conditions for a model; scales and biases fitted to them, so that no layer is idle.
pub(super) fn example<E: Element + Scalar>(
    architecture: Architecture,
    images: usize,
) -> (PixelCnn<E>, Vec<u8>, Option<Batch<E>>) {
    let bits = Stream::new(1, "pixels", 0).bits(0..images * architecture.dimensions());
    let pixels: Vec<u8> = bits.iter().map(|bits| (bits >> 56) as u8).collect();
    let condition = architecture.condition.map(|condition| match condition {
        Condition::Vector(features) => normal("condition", (images, 1, 1, features)),
        Condition::Maps(channels, height, width) => normal("condition", (images, height, width, channels)),
    });
    let mode = Mode::Training { dropout: 0.5, condition_dropout: 0.0, stream: Stream::new(2, "dropout", 0) };
    let model = PixelCnn::random(architecture, 3).unwrap().fitted_to(&pixels, condition.as_ref(), mode);
    (model, pixels, condition)
}

#[test]
fn no_output_sees_its_own_or_later_pixels_and_each_sees_the_one_before() {
    for architecture in configurations() {
        let (model, pixels, condition) = example::<f64>(architecture, 1);
        let given = |x: &Batch<f64>| {
            let condition = condition.as_ref().map(|condition| (condition, InputGradient::Unwanted));
            view(&model.forward(&mut Tape::off(), x, condition, Mode::Inference)).to_vec()
        };
        let x = model.scaled(&pixels);
        let (before, outputs) = (given(&x), architecture.outputs());
        let wide = architecture.levels()[0].1;
        for number in 0..architecture.height * architecture.width {
            let mut values = view(&x).to_vec();
            values[number * architecture.channels..][..architecture.channels].iter_mut().for_each(|x| *x += 0.7);
            let after = given(&batch(values, shape(&x)));
            for other in 0..architecture.height * architecture.width {
                let place = (other / architecture.width * wide + other % architecture.width) * outputs;
                let changed = before[place..place + outputs] != after[place..place + outputs];
                assert!(other > number || !changed, "{architecture:?}: output {other} sees pixel {number}");
                let neighbour = other == number + 1 && other % architecture.width > 0;
                assert!(!neighbour || changed, "{architecture:?}: output {other} does not see pixel {number}");
            }
        }
    }
}

#[test]
fn fitted_layers_have_the_scale_of_their_data() {
    for architecture in configurations() {
        let (model, pixels, condition) = example::<f64>(architecture, 4);
        let given = condition.as_ref().map(|condition| (condition, InputGradient::Unwanted));
        let y = model.forward(&mut Tape::off(), &model.scaled(&pixels), given, Mode::Inference);
        let values = view(&y);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = (values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        // Fitted with dropout on, evaluated without: of the size of 1.
        assert!((0.3..3.0).contains(&deviation), "{architecture:?}: {deviation}");
    }
}

#[test]
fn gradients_of_a_model_are_differences() {
    let architecture = configurations()[3];
    let architecture = Architecture { filters: 2, height: 5, width: 4, ..architecture };
    let (model, pixels, condition) = example::<f64>(architecture, 2);
    let mode = Mode::Training { dropout: 0.3, condition_dropout: 0.0, stream: Stream::new(5, "dropout", 1) };
    let tested: Vec<usize> = (0..model.specs().len()).step_by(9).collect();
    let inputs: Vec<Batch<f64>> = tested.iter().map(|&which| model.parameters()[which].clone()).collect();
    check_gradients_of_some(&inputs, |tape, inputs| {
        let mut model = model.clone();
        for (&which, input) in tested.iter().zip(inputs) {
            model.parameters_mut()[which] = input.clone();
        }
        let nll = model.negative_log_likelihood(tape, &pixels, condition.as_ref(), mode);
        // A subpixel's share: differences are exact to 1e-7 for values of the size of 1.
        combine(tape, 1.0 / architecture.dimensions() as f64, &nll, 0.0, &nll)
    });
}

#[test]
fn the_likelihood_of_an_image_does_not_depend_on_its_batch_or_threads() {
    for architecture in configurations() {
        let (model, pixels, condition) = example::<f32>(architecture, 3);
        let all = model.negative_log_likelihood(&mut Tape::off(), &pixels, condition.as_ref(), Mode::Inference);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for image in 0..3 {
            let own = &pixels[image * architecture.dimensions()..][..architecture.dimensions()];
            let given = condition.as_ref().map(|condition| {
                let (images, h, w, c) = shape(condition);
                let length = view(condition).len() / images;
                batch(view(condition)[image * length..][..length].to_vec(), (1, h, w, c))
            });
            let alone =
                pool.install(|| model.negative_log_likelihood(&mut Tape::off(), own, given.as_ref(), Mode::Inference));
            assert_eq!(view(&alone)[0], view(&all)[image], "{architecture:?}");
        }
    }
}

#[test]
fn a_model_is_read_back_as_it_was_and_others_are_refused() {
    let (model, ..) = example::<f32>(configurations()[1], 2);
    let folder = tempfile::tempdir().unwrap();
    model.save(folder.path(), &serde_json::json!({"tool": "test"})).unwrap();
    let read = PixelCnn::<f32>::load(folder.path()).unwrap();
    assert_eq!(read.architecture(), model.architecture());
    for (a, b) in read.parameters().iter().zip(model.parameters()) {
        assert_eq!((shape(a), view(a)), (shape(b), view(b)));
    }
    let path = folder.path().join("pixelcnn.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("obverse-pixelcnn/1", "other/1")).unwrap();
    assert!(PixelCnn::<f32>::load(folder.path()).unwrap_err().to_string().contains("found \"other/1\""));
    std::fs::write(&path, text.replace("\"filters\": 3", "\"filters\": 4")).unwrap();
    assert!(PixelCnn::<f32>::load(folder.path()).is_err());
    std::fs::write(&path, text.replace("\"filters\": 3", "\"filters\": 400000000000")).unwrap();
    assert!(PixelCnn::<f32>::load(folder.path()).unwrap_err().to_string().contains("filters"));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let grey = configurations()[0];
    let refused = |architecture: Architecture| architecture.check().unwrap_err().to_string();
    assert!(refused(Architecture { channels: 3, ..grey }).contains("one channel"));
    assert!(refused(Architecture { filters: 0, ..grey }).contains("filters"));
    assert!(
        refused(Architecture { channels: 2, likelihood: Likelihood::LogisticMixture(5), ..grey }).contains("1 or 3")
    );
    assert!(Condition::of_rows("h.npy", &[3, 0, 2]).unwrap_err().to_string().contains("h.npy"));
    assert!(Condition::of_rows("h.npy", &[3, 2]).unwrap_err().to_string().contains("feature maps"));
}
