//! Every instruction on Burn's engines, beside the plain one: Burn's own for processors, and the device that `OBVERSE_TEST_DEVICE` names.
#![cfg(all(feature = "burn", feature = "reference"))]

use std::sync::Arc;

use obverse_engine::reference::Reference;
use obverse_engine::{Array, Binary, Convolution, Engine, Instruction, Unary, Values, burn, elements};

/// Devices, and what their results may differ by: drivers have arc tangents and logarithms of their own, to some 20 units of the last place.
fn devices() -> Vec<(Arc<dyn Engine>, f64)> {
    let named = std::env::var("OBVERSE_TEST_DEVICE").ok();
    let names = std::iter::once("flex".to_owned()).chain(named);
    names
        .map(|name| burn::open(&name, false).expect("a device to test"))
        .map(|engine| (engine.clone(), if engine.has_double() { 1e-12 } else { 5e-6 }))
        .collect()
}

/// Values between -2 and 2, of which none is near a whole number or another.
fn values(shape: &[usize], number: usize) -> Vec<f64> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    (0..elements(shape)).map(|place| 4.0 * ((place + 1 + 1000 * number) as f64 * golden).fract() - 2.0).collect()
}

/// The values of a result; what fails on a device says so.
fn result(engine: &Arc<dyn Engine>, instruction: &Instruction, inputs: &[(Vec<usize>, Vec<f64>)]) -> Vec<f64> {
    let job = || {
        let arrays: Vec<Array> =
            inputs.iter().map(|(shape, values)| Array::upload(engine, Values::Double(values.clone()), shape)).collect();
        let result = Array::run(instruction, &arrays.iter().collect::<Vec<_>>());
        match result.download() {
            Values::Double(values) => values,
            Values::Single(_) => panic!("what came in double precision returns in it"),
        }
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).unwrap_or_else(|payload| {
        match payload.downcast::<obverse_engine::Error>() {
            Ok(error) => panic!("{instruction:?}: {error}"),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    })
}

/// Checks an instruction on arrays of these shapes; `change` brings the values to where the instruction is defined.
fn check_with(instruction: &Instruction, shapes: &[&[usize]], change: impl Fn(f64) -> f64) {
    let inputs: Vec<(Vec<usize>, Vec<f64>)> = shapes
        .iter()
        .enumerate()
        .map(|(number, shape)| (shape.to_vec(), values(shape, number).into_iter().map(&change).collect()))
        .collect();
    let reference: Arc<dyn Engine> = Arc::new(Reference::default());
    let expected = result(&reference, instruction, &inputs);
    let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (engine, tolerance) in devices() {
        let found = result(&engine, instruction, &inputs);
        assert_eq!(found.len(), expected.len(), "{instruction:?}");
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest =
            differences.fold(0.0, |largest: f64, difference| if difference <= largest { largest } else { difference });
        let device = &engine.description().name;
        assert!(largest <= tolerance * scale, "{instruction:?} of {shapes:?} on {device}: {largest:e} of {scale:e}");
    }
}

fn check(instruction: &Instruction, shapes: &[&[usize]]) {
    check_with(instruction, shapes, |value| value);
}

#[test]
fn functions_of_each_value() {
    use Unary::*;
    for function in [Abs, Atan, Ceil, Cos, Cosh, Erf, Exp, Floor, Recip, Round, Sign, Sin, Sinh, Tanh] {
        check(&Instruction::Unary(function), &[&[3, 5, 7]]);
    }
    for function in [Ln, Ln1p, Sqrt] {
        check_with(&Instruction::Unary(function), &[&[3, 5, 7]], f64::abs);
    }
    check_with(&Instruction::Unary(Tan), &[&[3, 5, 7]], |value| value / 1.5);
    for function in [Acos, Asin] {
        check_with(&Instruction::Unary(function), &[&[3, 5, 7]], |value| value / 2.1);
    }
    // Halves go to the even one; far out nothing overflows.
    check_with(&Instruction::Unary(Round), &[&[9]], |value| (2.0 * value).round() / 2.0);
    check_with(&Instruction::Unary(Tanh), &[&[64]], |value| 1000.0 * value);
    check_with(&Instruction::Unary(Erf), &[&[64]], |value| 10.0 * value);
    check(&Instruction::Affine { factor: -1.5, term: 0.25 }, &[&[4, 3]]);
    check(&Instruction::Affine { factor: 0.0, term: 0.0 }, &[&[4, 3]]);
    check(&Instruction::Clamp { low: -0.5, high: f64::INFINITY }, &[&[4, 3]]);
    check(&Instruction::Clamp { low: -0.5, high: 0.75 }, &[&[4, 3]]);
    check(&Instruction::Unary(Exp), &[&[]]);
}

#[test]
fn functions_of_two_arrays() {
    use Binary::*;
    for function in [Add, Subtract, Multiply, Divide, Maximum, Minimum, Greater, GreaterEqual, Equal] {
        check(&Instruction::Binary(function), &[&[2, 3, 4], &[2, 3, 4]]);
        check(&Instruction::Binary(function), &[&[2, 1, 4], &[1, 3, 1]]);
        check_with(&Instruction::Binary(function), &[&[3, 4], &[1, 4]], |value| value.round() + 0.5);
    }
    check_with(&Instruction::Binary(Power), &[&[2, 3], &[2, 3]], f64::abs);
    check_with(&Instruction::Select, &[&[3, 4], &[3, 4], &[3, 4]], |value| value.round());
}

#[test]
fn changes_of_shape() {
    check(&Instruction::Reshape(vec![6, 4]), &[&[2, 3, 4]]);
    check(&Instruction::Reshape(vec![2, 1, 3, 2, 2]), &[&[2, 3, 4]]);
    for order in [[2, 0, 1], [1, 2, 0], [0, 2, 1]] {
        check(&Instruction::Permute(order.to_vec()), &[&[2, 3, 4]]);
    }
    for (start, step, length) in [(0, 1, 7), (2, 1, 3), (1, 2, 3), (0, 3, 3), (6, 1, 1), (3, 2, 0)] {
        check(&Instruction::Slice { axis: 1, start, step, length }, &[&[2, 7, 3]]);
        if length > 0 {
            check(&Instruction::Place { axis: 1, start, step, length: 9 }, &[&[2, length, 3]]);
        }
    }
    check(&Instruction::Concat(1), &[&[2, 3, 4], &[2, 1, 4], &[2, 2, 4]]);
    check(&Instruction::Flip(1), &[&[2, 5, 3]]);
    check(&Instruction::Expand(vec![2, 3, 4]), &[&[1, 3, 1]]);
}

#[test]
fn sums_maxima_and_places() {
    for over in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2], vec![]] {
        check(&Instruction::Sum(over), &[&[3, 5, 7]]);
    }
    for axis in 0..3 {
        check(&Instruction::Max(axis), &[&[3, 5, 7]]);
    }
    for places in [vec![0, 1, 2, 3, 4], vec![4, 0, 4, 4, 1], vec![2]] {
        let places: Arc<[u32]> = places.into();
        let length = places.len();
        for axis in 0..3 {
            let mut shape = [2, 2, 2];
            shape[axis] = 6;
            check(&Instruction::Take { axis, places: places.clone() }, &[&shape]);
            shape[axis] = length;
            check(&Instruction::Put { axis, places: places.clone(), length: 6 }, &[&shape]);
        }
    }
}

#[test]
fn products() {
    for (b, m, k, n) in [(1, 1, 1, 1), (2, 3, 5, 4), (3, 1, 7, 2), (1, 64, 33, 17), (2, 1, 1, 5)] {
        check(&Instruction::Matmul, &[&[b, m, k], &[b, k, n]]);
    }
}

/// An array that some steps made, as kernels find them: permuted, repeated, parts of others.
fn made(engine: &Arc<dyn Engine>, shape: &[usize], steps: &[Instruction], number: usize) -> Array {
    let start = Array::upload(engine, Values::Double(values(shape, number)), shape);
    steps.iter().fold(start, |array, step| Array::run(step, &[&array]))
}

#[test]
fn products_of_arrays_that_do_not_lie_in_order() {
    let (b, m, k, n) = (2, 3, 4, 5);
    let lefts = [
        (vec![b, m, k], vec![]),
        (vec![1, m, k], vec![Instruction::Expand(vec![b, m, k])]),
        (vec![b, k, m], vec![Instruction::Permute(vec![0, 2, 1])]),
        (vec![1, k, m], vec![Instruction::Permute(vec![0, 2, 1]), Instruction::Expand(vec![b, m, k])]),
        (vec![m, b, k], vec![Instruction::Permute(vec![1, 0, 2])]),
        (vec![b, 1, k], vec![Instruction::Expand(vec![b, m, k])]),
        (vec![b, m, 1], vec![Instruction::Expand(vec![b, m, k])]),
        (vec![b, m, 2 * k], vec![Instruction::Slice { axis: 2, start: 1, step: 2, length: k }]),
        (vec![b, k, m], vec![Instruction::Permute(vec![0, 2, 1]), Instruction::Unary(Unary::Exp)]),
    ];
    let rights = [
        (vec![b, k, n], vec![]),
        (vec![1, k, n], vec![Instruction::Expand(vec![b, k, n])]),
        (vec![b, n, k], vec![Instruction::Permute(vec![0, 2, 1])]),
        (vec![1, n, k], vec![Instruction::Permute(vec![0, 2, 1]), Instruction::Expand(vec![b, k, n])]),
        (vec![b, k, 1], vec![Instruction::Expand(vec![b, k, n])]),
        (vec![b, 1, n], vec![Instruction::Expand(vec![b, k, n])]),
    ];
    for (left_shape, left) in &lefts {
        for (right_shape, right) in &rights {
            for ones in [false, true] {
                let product = |engine: &Arc<dyn Engine>| {
                    let (mut a, mut b) = (made(engine, left_shape, left, 0), made(engine, right_shape, right, 1));
                    if ones {
                        // One row times one column.
                        a = Array::run(&Instruction::Slice { axis: 1, start: 1, step: 1, length: 1 }, &[&a]);
                        b = Array::run(&Instruction::Slice { axis: 2, start: 0, step: 1, length: 1 }, &[&b]);
                    }
                    match Array::run(&Instruction::Matmul, &[&a, &b]).download() {
                        Values::Double(values) => values,
                        Values::Single(_) => Vec::new(),
                    }
                };
                let expected = product(&(Arc::new(Reference::default()) as Arc<dyn Engine>));
                for (engine, tolerance) in devices() {
                    let found = product(&engine);
                    let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    let device = &engine.description().name;
                    assert!(largest <= 30.0 * tolerance, "{left:?} times {right:?}, {ones}, on {device}: {largest:e}");
                }
            }
        }
    }
}

#[test]
fn sums_and_shapes_of_arrays_that_do_not_lie_in_order() {
    let permute = Instruction::Permute(vec![0, 1, 3, 2]);
    let mut starts = vec![
        (vec![1, 2, 3, 4], vec![Instruction::Expand(vec![2, 2, 3, 4])]),
        (vec![1, 2, 3, 4], vec![Instruction::Expand(vec![2, 2, 3, 4]), permute.clone()]),
        (vec![2, 2, 3, 1], vec![Instruction::Expand(vec![2, 2, 3, 4])]),
    ];
    for order in [[0, 1, 3, 2], [3, 1, 2, 0], [1, 0, 2, 3], [2, 3, 0, 1]] {
        starts.push((vec![2, 3, 4, 5], vec![Instruction::Permute(order.to_vec())]));
        starts.push((vec![2, 3, 4, 5], vec![Instruction::Permute(order.to_vec()), Instruction::Unary(Unary::Tanh)]));
    }
    let exp = Instruction::Unary(Unary::Exp);
    for (shape, steps) in starts {
        let ends = (0..4).flat_map(|axis| {
            let (sum, max) = (Instruction::Sum(vec![axis]), Instruction::Max(axis));
            [vec![sum.clone()], vec![max], vec![sum.clone(), exp.clone()], vec![sum, permute.clone()]]
        });
        let all = elements(&shape) * if shape[0] == 1 { 2 } else { 1 } * if shape[3] == 1 { 4 } else { 1 };
        let flat = [vec![Instruction::Reshape(vec![all])], vec![exp.clone(), Instruction::Reshape(vec![all / 2, 2])]];
        for end in ends.chain(flat) {
            let steps = [steps.clone(), end].concat();
            let run = |engine: &Arc<dyn Engine>| match made(engine, &shape, &steps, 0).download() {
                Values::Double(values) => values,
                Values::Single(_) => Vec::new(),
            };
            let expected = run(&(Arc::new(Reference::default()) as Arc<dyn Engine>));
            let scale = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
            for (engine, tolerance) in devices() {
                let found = run(&engine);
                assert_eq!(found.len(), expected.len());
                let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                let device = &engine.description().name;
                assert!(largest <= tolerance * scale, "{steps:?} on {device}: {largest:e}");
            }
        }
    }
}

/// Images, height, width, channels, channels out, kernel, stride, padding, dilation, groups.
type Window = (usize, usize, usize, usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2], usize);

#[test]
fn convolutions() {
    let windows: &[Window] = &[
        (2, 5, 6, 3, 4, [3, 3], [1, 1], [1, 1], [1, 1], 1),
        (1, 5, 6, 3, 4, [2, 3], [2, 1], [0, 1], [1, 1], 1),
        (2, 8, 8, 4, 4, [3, 3], [2, 2], [1, 1], [1, 1], 4),
        (2, 8, 7, 4, 6, [3, 3], [1, 1], [2, 2], [2, 2], 2),
        (3, 1, 1, 7, 5, [1, 1], [1, 1], [0, 0], [1, 1], 1),
        (1, 1, 1, 1, 1, [1, 1], [1, 1], [0, 0], [1, 1], 1),
        (2, 9, 9, 2, 3, [5, 5], [4, 3], [2, 0], [1, 1], 1),
        (2, 4, 4, 2, 2, [1, 1], [3, 3], [0, 0], [1, 1], 1),
        (1, 16, 16, 8, 16, [4, 4], [2, 2], [1, 1], [1, 1], 1),
    ];
    for &(n, h, w, c, o, kernel, stride, padding, dilation, groups) in windows {
        let convolution = Convolution { stride, padding, dilation, groups };
        let (x, weight) = ([n, h, w, c], [o, kernel[0], kernel[1], c / groups]);
        let forward = Instruction::Convolve(convolution);
        let y = forward.shape(&[&x, &weight]);
        check(&forward, &[&x, &weight]);
        check(&Instruction::ConvolveInput(convolution, [h, w]), &[&y, &weight]);
        check(&Instruction::ConvolveWeight(convolution, kernel), &[&x, &y]);
    }
}
