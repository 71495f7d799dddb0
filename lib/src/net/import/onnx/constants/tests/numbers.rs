//! Arithmetic, comparisons, functions, sums and products.

use super::*;

#[test]
fn arithmetic_on_whole_numbers_is_onnxs() {
    let (a, b) = (row(&[7, -7, 7, -7]), row(&[3, 3, -3, -3]));
    assert_eq!(of("Add", &[&a, &b], &[]), row(&[10, -4, 4, -10]));
    assert_eq!(of("Sub", &[&a, &b], &[]), row(&[4, -10, 10, -4]));
    assert_eq!(of("Mul", &[&a, &b], &[]), row(&[21, -21, -21, 21]));
    assert_eq!(of("Div", &[&a, &b], &[]), row(&[2, -2, -2, 2]));
    assert_eq!(of("Mod", &[&a, &b], &[]), row(&[1, 2, -2, -1]));
    assert_eq!(of("Mod", &[&a, &b], &[("fmod", Integer(1))]), row(&[1, -1, 1, -1]));
    assert_eq!(of("Pow", &[&row(&[2, -3, 2]), &row(&[10, 3, -1])], &[]), row(&[1024, -27, 0]));
    assert_eq!(of("Pow", &[&row(&[4]), &floats(&[], &[0.5])], &[]), row(&[2]));
    assert_eq!(of("Min", &[&a, &b, &row(&[0])], &[]), row(&[0, -7, -3, -7]));
    assert_eq!(of("Max", &[&a, &b, &row(&[0])], &[]), row(&[7, 3, 7, 0]));
    assert_eq!(of("Neg", &[&a], &[]), row(&[-7, 7, -7, 7]));
    assert_eq!(of("Abs", &[&a], &[]), row(&[7; 4]));
    assert_eq!(of("Sign", &[&row(&[-9, 0, 9])], &[]), row(&[-1, 0, 1]));
    // More than a 32-bit float would hold.
    assert_eq!(of("Add", &[&row(&[(1 << 53) + 1]), &row(&[1])], &[]), row(&[(1 << 53) + 2]));
}

#[test]
fn arithmetic_on_floats_is_onnxs() {
    let (a, b) = (floats(&[2], &[7.5, -7.5]), floats(&[], &[2.0]));
    assert_eq!(of("Div", &[&a, &b], &[]), floats(&[2], &[3.75, -3.75]));
    assert_eq!(of("Mod", &[&a, &b], &[("fmod", Integer(1))]), floats(&[2], &[1.5, -1.5]));
    assert_eq!(of("Mod", &[&a, &b], &[]), floats(&[2], &[1.5, 0.5]));
    assert_eq!(of("Pow", &[&a, &row(&[2])], &[]), floats(&[2], &[56.25; 2]));
    assert_eq!(of("Sum", &[&a, &b, &b], &[]), floats(&[2], &[11.5, -3.5]));
    assert_eq!(of("Mean", &[&a, &b], &[]), floats(&[2], &[4.75, -2.75]));
    assert_eq!(of("PRelu", &[&a, &floats(&[1], &[0.5])], &[]), floats(&[2], &[7.5, -3.75]));
    let Constant::Floats(least) = of("Min", &[&b, &floats(&[1], &[f32::NAN])], &[]) else { panic!("floats") };
    assert!(least[0].is_nan());
}

#[test]
fn shapes_broadcast_as_in_numpy() {
    let (column, line) = (row(&[10, 20]), integers(&[3, 1], &[1, 2, 3]));
    let expected = integers(&[3, 2], &[11, 21, 12, 22, 13, 23]);
    assert_eq!(of("Add", &[&column, &line], &[]), expected);
    assert_eq!(of("Add", &[&line, &column], &[]), expected);
    assert_eq!(of("Add", &[&integers(&[0, 1], &[]), &column], &[]), integers(&[0, 2], &[]));
    assert!(refusal("Add", &[&row(&[1, 2]), &row(&[1, 2, 3])], &[]).contains("[2], [3]"));
    let truths = integers(&[3, 1], &[1, 0, 1]);
    let chosen = of("Where", &[&truths, &column, &integers(&[], &[7])], &[]);
    assert_eq!(chosen, integers(&[3, 2], &[10, 20, 7, 7, 10, 20]));
    // Before version 7 the second's axes begin at `axis`.
    let older = node("Add", 1, &[("axis", Integer(0)), ("broadcast", Integer(1))]);
    let inputs = [Some(&integers(&[2, 2], &[0; 4])), Some(&column)].map(|input| input.cloned());
    let inputs = inputs.each_ref().map(Option::as_ref);
    assert_eq!(folded(&older, &inputs, 6, 0).unwrap(), [integers(&[2, 2], &[10, 10, 20, 20])]);
    assert_eq!(folded(&older, &inputs, 7, 0).unwrap(), [integers(&[2, 2], &[10, 20, 10, 20])]);
}

#[test]
fn comparisons_and_logic_make_0_and_1() {
    let (a, b) = (floats(&[3], &[1.0, 2.0, f32::NAN]), floats(&[], &[2.0]));
    let found = ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"].map(|name| of(name, &[&a, &b], &[]));
    assert_eq!(found, [&[0, 1, 0], &[1, 0, 0], &[0, 0, 0], &[1, 1, 0], &[0, 1, 0]].map(|values| row(values)));
    let (a, b) = (row(&[0, 0, 1, 1]), row(&[0, 1, 0, 1]));
    let found = ["And", "Or", "Xor", "Equal", "BitwiseXor"].map(|name| of(name, &[&a, &b], &[]));
    let expected = [[0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]];
    assert_eq!(found, expected.map(|values| row(&values)));
    assert_eq!(of("Not", &[&a], &[]), row(&[1, 1, 0, 0]));
    let infinite = floats(&[3], &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    assert_eq!(of("IsNaN", &[&infinite], &[]), row(&[0, 0, 1]));
    assert_eq!(of("IsInf", &[&infinite], &[("detect_negative", Integer(0))]), row(&[1, 0, 0]));
}

/// Of PyTorch 2.15 in 64 bits.
#[test]
fn functions_are_those_of_their_names() {
    let x = floats(&[3], &[-1.5, 0.0, 0.5]);
    for (name, expected) in [
        ("Exp", [0.223_130_16, 1.0, 1.648_721_3]),
        ("Erf", [-0.966_105_16, 0.0, 0.520_499_9]),
        ("Tanh", [-0.905_148_24, 0.0, 0.462_117_16]),
        ("Sigmoid", [0.182_425_52, 0.5, 0.622_459_35]),
        ("Relu", [0.0, 0.0, 0.5]),
        ("Floor", [-2.0, 0.0, 0.0]),
        ("Ceil", [-1.0, 0.0, 1.0]),
        ("Round", [-2.0, 0.0, 0.0]),
        ("Sign", [-1.0, 0.0, 1.0]),
        ("Neg", [1.5, 0.0, -0.5]),
        ("Abs", [1.5, 0.0, 0.5]),
        ("Sin", [-0.997_495, 0.0, 0.479_425_55]),
        ("Cos", [0.070_737_2, 1.0, 0.877_582_55]),
        ("Sinh", [-2.129_279_4, 0.0, 0.521_095_3]),
        ("Asinh", [-1.194_763_2, 0.0, 0.481_211_8]),
        ("Atan", [-0.982_793_75, 0.0, 0.463_647_6]),
        ("Softplus", [0.201_413_28, std::f32::consts::LN_2, 0.974_077]),
        ("Softsign", [-0.6, 0.0, 0.333_333_34]),
        ("Gelu", [-0.100_210_8, 0.0, 0.345_731_23]),
        ("HardSwish", [-0.375, 0.0, 0.291_666_66]),
        ("Mish", [-0.298_099_74, 0.0, 0.375_245_2]),
        ("LeakyRelu", [-0.015, 0.0, 0.5]),
        ("Elu", [-0.776_869_83, 0.0, 0.5]),
        ("Selu", [-1.365_814_7, 0.0, 0.525_350_5]),
        ("HardSigmoid", [0.2, 0.5, 0.6]),
    ] {
        assert_close(&of(name, &[&x], &[]), &floats(&[3], &expected));
    }
    assert_close(&of("Gelu", &[&x], &[("approximate", text("tanh"))]), &floats(&[3], &[-0.100_428_1, 0.0, 0.345_714]));
    let positive = floats(&[2], &[4.0, 0.25]);
    assert_close(&of("Sqrt", &[&positive], &[]), &floats(&[2], &[2.0, 0.5]));
    assert_close(&of("Log", &[&positive], &[]), &floats(&[2], &[1.386_294_4, -1.386_294_4]));
    assert_close(&of("Reciprocal", &[&positive], &[]), &floats(&[2], &[0.25, 4.0]));
    let clipped = of("Clip", &[&x, &floats(&[], &[-1.0]), &floats(&[], &[0.25])], &[]);
    assert_eq!(clipped, floats(&[3], &[-1.0, 0.0, 0.25]));
    assert_eq!(of("Clip", &[&x], &[("max", Float(0.0))]), floats(&[3], &[-1.5, 0.0, 0.0]));
    assert_eq!(of("Clip", &[&row(&[-4, 9]), &row(&[0])], &[]), row(&[0, 9]));
}

#[test]
fn casts_wrap_whole_numbers_and_cut_floats() {
    let to = |code| [("to", Integer(code))];
    let x = floats(&[4], &[-1.9, 0.0, 0.5, 300.7]);
    assert_eq!(of("Cast", &[&x], &to(7)), row(&[-1, 0, 0, 300]));
    assert_eq!(of("Cast", &[&x], &to(9)), row(&[1, 0, 1, 1]));
    assert_eq!(of("Cast", &[&x], &to(10)), x);
    assert_eq!(of("Cast", &[&row(&[-1, 300, 128])], &to(2)), row(&[255, 44, 128]));
    assert_eq!(of("Cast", &[&row(&[-1, 300, 128])], &to(3)), row(&[-1, 44, -128]));
    assert_eq!(of("Cast", &[&row(&[1 << 40, -5])], &to(6)), row(&[0, -5]));
    assert_eq!(of("Cast", &[&row(&[i64::MIN, i64::MAX])], &to(7)), row(&[i64::MIN, i64::MAX]));
    assert_eq!(of("Cast", &[&row(&[3, 0])], &to(9)), row(&[1, 0]));
    assert_eq!(of("Cast", &[&row(&[3])], &to(1)), floats(&[1], &[3.0]));
    assert_eq!(of("CastLike", &[&x, &row(&[0])], &[]), row(&[-1, 0, 0, 300]));
    assert_eq!(of("CastLike", &[&x, &row(&[0])], &to(9)), row(&[1, 0, 1, 1]));
    assert_eq!(of("CastLike", &[&row(&[3]), &x], &[]), floats(&[1], &[3.0]));
}

#[test]
fn many_values_become_one() {
    let x = floats(&[2, 3], &[1.0, 2.0, 3.0, -4.0, 5.0, -6.0]);
    let along = |name: &str, axis: i64| of(name, &[&x, &row(&[axis])], &[("keepdims", Integer(0))]);
    assert_eq!(along("ReduceSum", 1), floats(&[2], &[6.0, -5.0]));
    assert_eq!(along("ReduceSum", 0), floats(&[3], &[-3.0, 7.0, -3.0]));
    assert_eq!(along("ReduceMean", -1), floats(&[2], &[2.0, -5.0 / 3.0]));
    assert_eq!(along("ReduceMax", 0), floats(&[3], &[1.0, 5.0, 3.0]));
    assert_eq!(along("ReduceMin", 0), floats(&[3], &[-4.0, 2.0, -6.0]));
    assert_eq!(along("ReduceProd", 1), floats(&[2], &[6.0, 120.0]));
    assert_eq!(along("ReduceL1", 1), floats(&[2], &[6.0, 15.0]));
    assert_close(&along("ReduceL2", 1), &floats(&[2], &[3.741_657_5, 8.774_964]));
    assert_eq!(along("ReduceSumSquare", 1), floats(&[2], &[14.0, 77.0]));
    assert_close(&of("ReduceLogSum", &[&floats(&[2], &[2.0, 4.0])], &[]), &floats(&[1], &[1.791_759_5]));
    assert_close(&along("ReduceLogSumExp", 1), &floats(&[2], &[3.407_606, 5.000_14]));
    assert_eq!(of("ReduceSum", &[&x], &[]), floats(&[1, 1], &[1.0]));
    assert_eq!(of("ReduceSum", &[&x], &[("noop_with_empty_axes", Integer(1))]), x);
    assert_eq!(of("ReduceMax", &[&x], &[("axes", Integers(vec![1]))]), floats(&[2, 1], &[3.0, 5.0]));
    let whole = integers(&[2, 2], &[3, -5, 7, 8]);
    let found = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare"]
        .map(|name| of(name, &[&whole, &row(&[1])], &[("keepdims", Integer(0))]));
    let expected = [[-2, 15], [-1, 7], [3, 8], [-5, 7], [-15, 56], [8, 15], [34, 113]];
    assert_eq!(found, expected.map(|values| row(&values)));
    assert!(refusal("ReduceProd", &[&row(&[i64::MAX, 2])], &[]).contains("64 bits"));
}

#[test]
fn sums_so_far_go_either_way() {
    let x = integers(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let flag = |name| (name, Integer(1));
    let one = row(&[1]);
    assert_eq!(of("CumSum", &[&x, &one], &[]), integers(&[2, 3], &[1, 3, 6, 4, 9, 15]));
    assert_eq!(of("CumSum", &[&x, &one], &[flag("exclusive")]), integers(&[2, 3], &[0, 1, 3, 0, 4, 9]));
    assert_eq!(of("CumSum", &[&x, &one], &[flag("reverse")]), integers(&[2, 3], &[6, 5, 3, 15, 11, 6]));
    let both = [flag("reverse"), flag("exclusive")];
    assert_eq!(of("CumSum", &[&x, &one], &both), integers(&[2, 3], &[5, 3, 0, 11, 6, 0]));
    let floats = floats(&[2, 1], &[0.5, 0.25]);
    assert_eq!(of("CumSum", &[&floats, &row(&[0])], &[]), super::floats(&[2, 1], &[0.5, 0.75]));
}

#[test]
fn products_of_matrices_broadcast() {
    let a = floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let v = floats(&[2], &[10.0, 1.0]);
    assert_eq!(of("MatMul", &[&a, &a], &[]), floats(&[2, 2], &[7.0, 10.0, 15.0, 22.0]));
    assert_eq!(of("MatMul", &[&a, &v], &[]), floats(&[2], &[12.0, 34.0]));
    assert_eq!(of("MatMul", &[&v, &a], &[]), floats(&[2], &[13.0, 24.0]));
    assert_eq!(of("MatMul", &[&v, &v], &[]), floats(&[], &[101.0]));
    let pair = integers(&[2, 1, 1, 2], &[1, 2, 3, 4]);
    let three = integers(&[3, 2, 1], &[1, 0, 0, 1, 1, 1]);
    assert_eq!(of("MatMul", &[&pair, &three], &[]), integers(&[2, 3, 1, 1], &[1, 2, 3, 3, 4, 7]));
    let settings = [("alpha", Float(2.0)), ("beta", Float(0.5)), ("transA", Integer(1)), ("transB", Integer(1))];
    let (wide, bias) = (floats(&[2, 1], &[1.0, 2.0]), floats(&[3], &[2.0, 4.0, 6.0]));
    let tall = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(of("Gemm", &[&wide, &tall, &bias], &settings), floats(&[1, 3], &[11.0, 24.0, 37.0]));
    assert_eq!(of("Gemm", &[&a, &a], &[]), floats(&[2, 2], &[7.0, 10.0, 15.0, 22.0]));
}

#[test]
fn einstein_sums_are_of_letters() {
    let (a, b) = (integers(&[2, 3], &[1, 2, 3, 4, 5, 6]), integers(&[3, 2], &[1, 0, 0, 1, 1, 1]));
    let sum = |equation: &str, inputs: &[&Constant]| of("Einsum", inputs, &[("equation", text(equation))]);
    assert_eq!(sum("ij,jk->ik", &[&a, &b]), integers(&[2, 2], &[4, 5, 10, 11]));
    assert_eq!(sum("ij, jk", &[&a, &b]), integers(&[2, 2], &[4, 5, 10, 11]));
    assert_eq!(sum("ij->ji", &[&a]), integers(&[3, 2], &[1, 4, 2, 5, 3, 6]));
    assert_eq!(sum("ij->", &[&a]), integers(&[], &[21]));
    assert_eq!(sum("ii->i", &[&integers(&[2, 2], &[1, 2, 3, 4])]), row(&[1, 4]));
    assert_eq!(sum("ii", &[&integers(&[2, 2], &[1, 2, 3, 4])]), integers(&[], &[5]));
    assert_eq!(sum("i,j,i->ij", &[&row(&[1, 2]), &row(&[3, 4]), &row(&[5, 6])]), integers(&[2, 2], &[15, 20, 36, 48]));
    let floats = floats(&[2], &[0.5, 2.0]);
    assert_eq!(sum("i,i->", &[&floats, &floats]), super::floats(&[], &[4.25]));
}

#[test]
fn quantised_weights_become_floats_by_tensor_axis_and_block() {
    let x = integers(&[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let of = |scale: &Constant, zero: &Constant, attributes: &[(&str, Attribute)]| {
        of("DequantizeLinear", &[&x, scale, zero], attributes)
    };
    let one = of(&floats(&[], &[0.5]), &integers(&[], &[2]), &[]);
    assert_eq!(one, floats(&[2, 4], &[-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]));
    let along = of(&floats(&[2], &[1.0, 10.0]), &row(&[0, 5]), &[("axis", Integer(0))]);
    assert_eq!(along, floats(&[2, 4], &[1.0, 2.0, 3.0, 4.0, 0.0, 10.0, 20.0, 30.0]));
    let scales = floats(&[2, 2], &[1.0, 10.0, 100.0, 1000.0]);
    let blocks = [("axis", Integer(1)), ("block_size", Integer(3))];
    let blocked = of(&scales, &integers(&[2, 2], &[0, 0, 0, 8]), &blocks);
    assert_eq!(blocked, floats(&[2, 4], &[1.0, 2.0, 3.0, 40.0, 500.0, 600.0, 700.0, 0.0]));
}
