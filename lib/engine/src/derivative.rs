//! The cotangents of an instruction's inputs, made of instructions: they can be differentiated again.

use crate::{Binary, Instruction, Unary, Variable};

/// The cotangent of input number `which` for that of the output; `None` where no value of the output depends on it.
pub(crate) fn cotangent<'p>(
    instruction: &Instruction,
    inputs: &[Variable<'p>],
    output: Variable<'p>,
    cotangent: Variable<'p>,
    which: usize,
) -> Option<Variable<'p>> {
    let run = |instruction: Instruction, inputs: &[Variable<'p>]| cotangent.program().run(instruction, inputs);
    let x = inputs[which];
    Some(match instruction {
        Instruction::Unary(function) => cotangent * slope(*function, x, output)?,
        Instruction::Binary(function) => binary(*function, inputs, output, cotangent, which)?.sum_to(&x.shape()),
        Instruction::Affine { factor, .. } => cotangent.affine(*factor, 0.0),
        Instruction::Clamp { .. } => cotangent * x.binary(Binary::Equal, output),
        Instruction::Fixed => return None,
        Instruction::Select if which == 0 => return None,
        Instruction::Select => {
            let zeros = cotangent.affine(0.0, 0.0);
            let (yes, no) = if which == 1 { (cotangent, zeros) } else { (zeros, cotangent) };
            run(Instruction::Select, &[inputs[0], yes, no])
        }
        Instruction::Reshape(_) => cotangent.reshape(&x.shape()),
        Instruction::Permute(order) => {
            let mut inverse = vec![0; order.len()];
            order.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
            cotangent.permute(&inverse)
        }
        &Instruction::Slice { axis, start, step, .. } => {
            run(Instruction::Place { axis, start, step, length: x.shape()[axis] }, &[cotangent])
        }
        &Instruction::Place { axis, start, step, .. } => {
            run(Instruction::Slice { axis, start, step, length: x.shape()[axis] }, &[cotangent])
        }
        &Instruction::Concat(axis) => {
            let start = inputs[..which].iter().map(|input| input.shape()[axis]).sum();
            run(Instruction::Slice { axis, start, step: 1, length: x.shape()[axis] }, &[cotangent])
        }
        &Instruction::Flip(axis) => run(Instruction::Flip(axis), &[cotangent]),
        Instruction::Expand(_) => cotangent.sum_to(&x.shape()),
        Instruction::Sum(_) => cotangent.expand(&x.shape()),
        // Methods take the first of equal values themselves; here equal ones would each be given all of it.
        Instruction::Max(_) => cotangent * x.binary(Binary::Equal, output),
        Instruction::Take { axis, places } => {
            run(Instruction::Put { axis: *axis, places: places.clone(), length: x.shape()[*axis] }, &[cotangent])
        }
        Instruction::Put { axis, places, .. } => {
            run(Instruction::Take { axis: *axis, places: places.clone() }, &[cotangent])
        }
        Instruction::Matmul if which == 0 => cotangent.matmul(inputs[1].permute(&[0, 2, 1])),
        Instruction::Matmul => inputs[0].permute(&[0, 2, 1]).matmul(cotangent),
        &Instruction::Convolve(convolution) if which == 0 => {
            run(Instruction::ConvolveInput(convolution, sides(x)), &[cotangent, inputs[1]])
        }
        &Instruction::Convolve(convolution) => {
            run(Instruction::ConvolveWeight(convolution, sides(x)), &[inputs[0], cotangent])
        }
        &Instruction::ConvolveInput(convolution, _) if which == 0 => cotangent.convolve(inputs[1], convolution),
        &Instruction::ConvolveInput(convolution, _) => {
            run(Instruction::ConvolveWeight(convolution, sides(x)), &[cotangent, inputs[0]])
        }
        &Instruction::ConvolveWeight(convolution, _) if which == 0 => {
            run(Instruction::ConvolveInput(convolution, sides(x)), &[inputs[1], cotangent])
        }
        &Instruction::ConvolveWeight(convolution, _) => inputs[0].convolve(cotangent, convolution),
    })
}

/// The height and the width of images, or of kernels.
fn sides(x: Variable) -> [usize; 2] {
    [x.shape()[1], x.shape()[2]]
}

/// The derivative of a function of one value; `None` where it is 0.
fn slope<'p>(function: Unary, x: Variable<'p>, y: Variable<'p>) -> Option<Variable<'p>> {
    let of_y_squared = |factor: f64, term: f64| y.squared().affine(factor, term);
    let of_x_squared = |factor: f64, term: f64| x.squared().affine(factor, term);
    Some(match function {
        Unary::Ceil | Unary::Floor | Unary::Round | Unary::Sign => return None,
        Unary::Abs => x.unary(Unary::Sign),
        Unary::Acos => of_x_squared(-1.0, 1.0).unary(Unary::Sqrt).unary(Unary::Recip).affine(-1.0, 0.0),
        Unary::Asin => of_x_squared(-1.0, 1.0).unary(Unary::Sqrt).unary(Unary::Recip),
        Unary::Atan => of_x_squared(1.0, 1.0).unary(Unary::Recip),
        Unary::Cos => x.unary(Unary::Sin).affine(-1.0, 0.0),
        Unary::Cosh => x.unary(Unary::Sinh),
        Unary::Erf => of_x_squared(-1.0, 0.0).unary(Unary::Exp).affine(std::f64::consts::FRAC_2_SQRT_PI, 0.0),
        Unary::Exp => y,
        Unary::Ln => x.unary(Unary::Recip),
        Unary::Ln1p => x.affine(1.0, 1.0).unary(Unary::Recip),
        Unary::Recip => of_y_squared(-1.0, 0.0),
        Unary::Sin => x.unary(Unary::Cos),
        Unary::Sinh => x.unary(Unary::Cosh),
        Unary::Sqrt => y.unary(Unary::Recip).affine(0.5, 0.0),
        Unary::Tan => of_y_squared(1.0, 1.0),
        Unary::Tanh => of_y_squared(-1.0, 1.0),
    })
}

/// As [`cotangent`] of a function of two values, before the sum over repeated axes.
fn binary<'p>(
    function: Binary,
    inputs: &[Variable<'p>],
    y: Variable<'p>,
    cotangent: Variable<'p>,
    which: usize,
) -> Option<Variable<'p>> {
    let [a, b] = [inputs[0], inputs[1]];
    Some(match (function, which) {
        (Binary::Add, _) | (Binary::Subtract, 0) => cotangent,
        (Binary::Subtract, _) => cotangent.affine(-1.0, 0.0),
        (Binary::Multiply, 0) => cotangent * b,
        (Binary::Multiply, _) => cotangent * a,
        (Binary::Divide, 0) => cotangent / b,
        (Binary::Divide, _) => -(cotangent * y / b),
        // Of equal values the first one is it.
        (Binary::Maximum, 0) => cotangent * a.binary(Binary::GreaterEqual, b),
        (Binary::Maximum, _) => cotangent * b.binary(Binary::Greater, a),
        (Binary::Minimum, 0) => cotangent * b.binary(Binary::GreaterEqual, a),
        (Binary::Minimum, _) => cotangent * a.binary(Binary::Greater, b),
        (Binary::Power, 0) => cotangent * b * a.binary(Binary::Power, b + -1.0),
        (Binary::Power, _) => cotangent * y * a.ln(),
        (Binary::Greater | Binary::GreaterEqual | Binary::Equal, _) => return None,
    })
}
