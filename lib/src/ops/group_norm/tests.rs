use crate::tensor::Tape;

use super::*;
use crate::ops::checks::{assert_close, check_adjoint, check_gradients, normal, repeated};

const GROUPS: Groups = Groups { groups: 2, epsilon: 1e-3 };

fn inputs() -> [Batch<f64>; 3] {
    [normal("x", (2, 3, 2, 4)), normal("gain", (1, 1, 1, 4)), normal("bias", (1, 1, 1, 4))]
}

fn all() -> [Groups; 3] {
    [1, 2, 4].map(|groups| Groups { groups, ..GROUPS })
}

/// PyTorch's `group_norm` of four channels with eps 0.01.
#[test]
fn values_are_those_of_pytorch() {
    let x = batch(vec![1.0, 2.0, 4.0, 0.0, -1.0, 0.5, 0.0, 3.0], (1, 1, 2, 4));
    let gain = batch(vec![1.0, 2.0, -1.0, 0.5], (1, 1, 1, 4));
    let bias = batch(vec![0.5, 0.0, 0.25, -1.0], (1, 1, 1, 4));
    for (groups, expected) in [(2, &IN_PAIRS), (4, &ALONE)] {
        let y = group_norm(&mut Tape::off(), &x, &gain, &bias, Groups { groups, epsilon: 0.01 });
        assert_close(view(&y), expected, 1e-15);
    }
}

const IN_PAIRS: [f64; 8] = [
    0.8449415373637055,
    2.5295712740005065,
    -1.0082798489462783,
    -1.489331052367997,
    -0.9947466619093903,
    -0.22996102490913695,
    1.2286621047359942,
    -0.6504778197371448,
];

const ALONE: [f64; 8] = [
    1.4950371902099893,
    1.982455801365269,
    -0.7487523388778448,
    -1.4988925789283045,
    -0.49503719020998926,
    -1.9824558013652696,
    1.2487523388778445,
    -0.5011074210716955,
];

#[test]
fn gradients_are_differences() {
    for groups in all() {
        check_gradients(&inputs(), |tape, x| group_norm(tape, &x[0], &x[1], &x[2], groups));
    }
}

#[test]
fn the_directions_are_transposed() {
    let [x, gain, bias] = &inputs();
    for groups in all() {
        check_adjoint(
            x,
            |x| group_norm(&mut Tape::off(), x, gain, bias, groups),
            |cotangent| pullback(&mut Tape::off(), cotangent, x, gain, groups),
        );
    }
}

#[test]
fn gradients_through_the_pullback_are_differences_also_of_one_image_for_all() {
    let [x, gain, _] = inputs();
    let cotangent = normal("a cotangent", shape(&x));
    for groups in all() {
        for x in [x.clone(), normal("one", (1, 3, 2, 4))] {
            check_gradients(&[cotangent.clone(), x, gain.clone()], |tape, inputs| {
                pullback(tape, &inputs[0], &inputs[1], &inputs[2], groups)
            });
        }
    }
}

#[test]
fn one_image_stands_for_a_batch_of_copies() {
    let [_, gain, _] = inputs();
    let (x, cotangent) = (normal("x", (1, 3, 2, 4)), normal("a cotangent", (5, 3, 2, 4)));
    let pull = |x: &Batch<f64>| pullback(&mut Tape::off(), &cotangent, x, &gain, GROUPS);
    assert_eq!(view(&pull(&x)), view(&pull(&repeated(&x, 5))));
}

/// Images of many blocks, and several images in one chunk.
#[test]
fn large_and_small_images_are_normalised_and_alike_alone_and_in_a_batch() {
    for (size, groups) in [((2, 150, 150, 3), 3), ((300, 3, 3, 8), 4)] {
        let x: Batch<f32> = normal("x", size);
        let shifted = batch(view(&x).iter().map(|x| x + 1000.0).collect(), size);
        let ones = batch(vec![1.0; size.3], (1, 1, 1, size.3));
        let zeros = batch(vec![0.0; size.3], (1, 1, 1, size.3));
        let run = |x: &Batch<f32>| group_norm(&mut Tape::off(), x, &ones, &zeros, Groups { groups, epsilon: 1e-5 });
        let y = run(&shifted);
        let (image, group) = (size.1 * size.2 * size.3, size.3 / groups);
        for image in view(&y).chunks(image) {
            for first in (0..size.3).step_by(group) {
                let values = image.chunks(size.3).flat_map(|place| &place[first..first + group]);
                let values: Vec<f64> = values.map(|&value| f64::from(value)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
                assert_close(&[mean, square], &[0.0, 1.0], 1e-3);
            }
        }
        let last = batch(view(&shifted)[(size.0 - 1) * image..].to_vec(), (1, size.1, size.2, size.3));
        assert_eq!(view(&run(&last)), &view(&y)[(size.0 - 1) * image..]);
    }
}
