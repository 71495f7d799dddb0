//! What every operation of the list must pass, on the examples of its room: values and gradients, both directions, and the gradients of the
//! second.

use super::{Cotangent, Form, Op, Site};
use crate::net::initialise::memory_shape;
use crate::net::size::Size;
use crate::ops::InputGradient;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};
use crate::tensor::random::Stream;
use crate::tensor::{Batch, Tape, batch, shape, view};

/// An operation with drawn inputs and parameters.
struct Example {
    op: Op,
    sizes: Vec<Size>,
    inputs: Vec<Batch<f64>>,
    parameters: Vec<Batch<f64>>,
    /// Which parameters are trained.
    trained: Vec<usize>,
}

impl Example {
    fn new((op, sizes): (Op, Vec<Size>), images: usize) -> Self {
        let input = |(number, size): (usize, &Size)| {
            let drawn: Batch<f64> =
                normal(&format!("input {number}"), (images, size.height, size.width, size.channels));
            batch(view(&drawn).iter().map(|&value| op.domain(value)).collect(), shape(&drawn))
        };
        let inputs = sizes.iter().enumerate().map(input).collect();
        let specs = op.parameters(&sizes);
        let parameter = |(number, spec): (usize, &super::ParameterSpec)| {
            let drawn: Batch<f64> = normal(&format!("parameter {number}"), memory_shape(&spec.shape));
            match spec.trained {
                true => drawn,
                // Variances are positive.
                false => batch(view(&drawn).iter().map(|value| value.abs() + 0.1).collect(), shape(&drawn)),
            }
        };
        let parameters = specs.iter().enumerate().map(parameter).collect();
        let trained = (0..specs.len()).filter(|&which| specs[which].trained).collect();
        Self { op, sizes, inputs, parameters, trained }
    }

    /// The inputs and the trained parameters.
    fn variables(&self) -> Vec<Batch<f64>> {
        let trained = self.trained.iter().map(|&which| self.parameters[which].clone());
        self.inputs.iter().cloned().chain(trained).collect()
    }

    /// The parameters, with these values of those that are trained.
    fn with_trained(&self, variables: &[Batch<f64>]) -> Vec<Batch<f64>> {
        let mut parameters = self.parameters.clone();
        for (&which, value) in self.trained.iter().zip(&variables[self.inputs.len()..]) {
            parameters[which] = value.clone();
        }
        parameters
    }

    /// Calls with the site of these values.
    fn at<R>(
        &self,
        variables: &[Batch<f64>],
        training: Option<Stream>,
        rectifier: Option<f64>,
        call: impl FnOnce(&Site<f64>) -> R,
    ) -> R {
        let parameters = self.with_trained(variables);
        let size = self.op.output(&self.sizes).expect("an example fits");
        let form = Form { parameters: &parameters, turned: None, sizes: &self.sizes, size, takes_before: false };
        let inputs = variables[..self.inputs.len()].iter().collect();
        let wanted = vec![true; self.sizes.len()];
        call(&Site { name: "node", form, inputs, wanted, rectifier, training, gradient: InputGradient::Wanted })
    }

    fn forward(
        &self,
        tape: &mut Tape<f64>,
        variables: &[Batch<f64>],
        training: Option<Stream>,
        rectifier: Option<f64>,
    ) -> Batch<f64> {
        self.at(variables, training, rectifier, |site| self.op.forward(tape, site).value)
    }

    /// The cotangents of the inputs.
    fn pullback(
        &self,
        tape: &mut Tape<f64>,
        variables: &[Batch<f64>],
        training: Option<Stream>,
        cotangent: &Batch<f64>,
    ) -> Vec<Batch<f64>> {
        let cotangent = Cotangent { value: cotangent, slopes: None };
        self.at(variables, training, None, |site| self.op.pullback(tape, site, cotangent))
    }
}

/// The examples of every operation that reads something, in inference and in training.
fn examples(images: usize) -> impl Iterator<Item = (Example, Option<Stream>)> {
    let examples = Op::examples().into_iter().filter(|(_, sizes)| !sizes.is_empty());
    let both = [None, Some(Stream::new(0, "training", 0))];
    examples.flat_map(move |example| both.map(|training| (Example::new(example.clone(), images), training)))
}

#[test]
fn every_operation_has_an_example_and_its_name_in_json_is_its_type_in_snake_case() {
    let with: Vec<String> = Op::examples().iter().map(|(op, _)| format!("{op:?}")).collect();
    for name in Op::names() {
        let is_named = |debug: &&String| debug.starts_with(&format!("{name}("));
        assert!(with.iter().any(|debug| is_named(&debug)), "{name} has no example");
    }
    for (op, _) in Op::examples() {
        let json = serde_json::to_value(&op).expect("JSON");
        assert_eq!(serde_json::from_value::<Op>(json).expect("an operation"), op);
    }
}

#[test]
fn gradients_of_every_operation_are_differences() {
    for (example, training) in examples(2) {
        println!("{:?} {training:?}", example.op);
        check_gradients(&example.variables(), |tape, variables| example.forward(tape, variables, training, None));
    }
}

#[test]
fn every_pullback_is_the_transposed_derivative_of_each_input() {
    for (example, training) in examples(2) {
        println!("{:?} {training:?}", example.op);
        for which in 0..example.inputs.len() {
            let with = |x: &Batch<f64>| {
                let mut variables = example.variables();
                variables[which] = x.clone();
                variables
            };
            check_adjoint(
                &example.inputs[which],
                |x| example.forward(&mut Tape::recording(), &with(x), training, None),
                |cotangent| {
                    let pulled = example.pullback(&mut Tape::recording(), &example.variables(), training, cotangent);
                    assert_eq!(pulled.len(), example.inputs.len(), "a cotangent for each input");
                    pulled[which].clone()
                },
            );
        }
    }
}

#[test]
fn gradients_through_every_pullback_are_differences() {
    for (example, training) in examples(2) {
        println!("{:?} {training:?}", example.op);
        let y = example.forward(&mut Tape::recording(), &example.variables(), training, None);
        let cotangent = normal("a cotangent", shape(&y));
        let inputs: Vec<Batch<f64>> = std::iter::once(cotangent).chain(example.variables()).collect();
        for which in 0..example.inputs.len() {
            check_gradients(&inputs, |tape, inputs| {
                example.pullback(tape, &inputs[1..], training, &inputs[0])[which].clone()
            });
        }
    }
}

#[test]
fn one_image_stands_for_all_of_the_cotangents_at_inference() {
    for (example, _) in examples(1).filter(|(_, training)| training.is_none()) {
        println!("{:?}", example.op);
        let y = example.forward(&mut Tape::recording(), &example.variables(), None, None);
        let (_, h, w, c) = shape(&y);
        let cotangent = normal("cotangents", (3, h, w, c));
        let pull = |variables: &[Batch<f64>]| example.pullback(&mut Tape::recording(), variables, None, &cotangent);
        let mut many = example.variables();
        many[..example.inputs.len()].iter_mut().for_each(|x| *x = repeated(x, 3));
        for (one, many) in pull(&example.variables()).iter().zip(&pull(&many)) {
            assert_close(view(one), view(many), 1e-14);
        }
    }
}

#[test]
fn a_rectifier_computed_with_an_operation_is_the_one_after_it() {
    let slope = 0.25;
    for (example, training) in examples(2).filter(|(example, _)| example.op.takes_rectifier()) {
        let plain = example.forward(&mut Tape::recording(), &example.variables(), training, None);
        let fused = example.forward(&mut Tape::recording(), &example.variables(), training, Some(slope));
        let rectified: Vec<f64> = view(&plain).iter().map(|y| if *y > 0.0 { *y } else { slope * y }).collect();
        assert_eq!(view(&fused), rectified, "{:?}", example.op);
        let cotangent: Batch<f64> = normal("cotangent", shape(&fused));
        let slopes = view(&cotangent).iter().zip(&rectified).map(|(c, y)| if *y > 0.0 { *c } else { slope * c });
        let by_hand = batch(slopes.collect(), shape(&fused));
        let expected = example.pullback(&mut Tape::recording(), &example.variables(), training, &by_hand);
        let of_fused = Cotangent { value: &cotangent, slopes: Some((&fused, slope)) };
        let pulled = example
            .at(&example.variables(), training, None, |site| example.op.pullback(&mut Tape::off(), site, of_fused));
        assert_close(view(&pulled[0]), view(&expected[0]), 1e-14);
    }
}

#[test]
fn what_absorbs_a_scale_and_a_shift_computes_them() {
    let mut absorbed = 0;
    for (example, _) in examples(2).filter(|(_, training)| training.is_none()) {
        let y = example.forward(&mut Tape::recording(), &example.variables(), None, None);
        let (_, _, _, channels) = shape(&y);
        let number = |which: f64| (0..channels).map(|channel| which + 0.5 * channel as f64).collect::<Vec<f64>>();
        let by = super::Affine { mean: number(0.25), scale: number(-0.75), shift: number(1.0) };
        let Some((op, parameters)) = example.op.absorb(&example.parameters, &by) else { continue };
        absorbed += 1;
        let values = view(&y).iter().enumerate();
        let expected: Vec<f64> = values
            .map(|(at, y)| {
                let channel = at % channels;
                by.scale[channel] * (y - by.mean[channel]) + by.shift[channel]
            })
            .collect();
        let trained = (0..parameters.len()).collect();
        let folded = Example { op, parameters, trained, ..example };
        let found = folded.forward(&mut Tape::recording(), &folded.variables(), None, None);
        assert_close(view(&found), &expected, 1e-13);
    }
    assert!(absorbed >= 2, "convolutions and linear layers absorb");
}
