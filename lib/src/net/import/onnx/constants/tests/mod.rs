//! Tests of `constants`: values by hand and of ONNX's own reference, and what is refused.

mod numbers;
mod places;

use super::*;
use crate::store::onnx::Model;

pub(super) use crate::store::onnx::Attribute::{Float, Integer, Integers};

/// Floats of this shape.
fn floats(shape: &[usize], values: &[f32]) -> Constant {
    Constant::Floats(ArrayD::from_shape_vec(shape, values.to_vec()).unwrap())
}

/// Whole numbers of this shape.
fn integers(shape: &[usize], values: &[i64]) -> Constant {
    Constant::Integers(ArrayD::from_shape_vec(shape, values.to_vec()).unwrap())
}

/// A row of whole numbers.
fn row(values: &[i64]) -> Constant {
    integers(&[values.len()], values)
}

fn node(operation: &str, outputs: usize, attributes: &[(&str, Attribute)]) -> Node {
    Node {
        name: String::new(),
        operation: operation.into(),
        inputs: Vec::new(),
        outputs: (0..outputs).map(|place| place.to_string()).collect(),
        attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
    }
}

/// What an operation of so many outputs makes of constants.
fn all(operation: &str, inputs: &[&Constant], outputs: usize, attributes: &[(&str, Attribute)]) -> Vec<Constant> {
    let inputs: Vec<Option<&Constant>> = inputs.iter().copied().map(Some).collect();
    folded(&node(operation, outputs, attributes), &inputs, 17, 0).unwrap()
}

/// What an operation of one output makes of constants.
fn of(operation: &str, inputs: &[&Constant], attributes: &[(&str, Attribute)]) -> Constant {
    let [constant] = <[Constant; 1]>::try_from(all(operation, inputs, 1, attributes)).unwrap();
    constant
}

/// What was expected of an operation that is refused, and what was found.
fn refusal(operation: &str, inputs: &[&Constant], attributes: &[(&str, Attribute)]) -> String {
    let inputs: Vec<Option<&Constant>> = inputs.iter().copied().map(Some).collect();
    let (expected, found) = folded(&node(operation, 1, attributes), &inputs, 17, 0).unwrap_err();
    format!("expected {expected}, found {found}")
}

fn assert_close(found: &Constant, expected: &Constant) {
    let (Constant::Floats(a), Constant::Floats(b)) = (found, expected) else { panic!("{found:?}") };
    assert_eq!(a.shape(), b.shape());
    let close = |(a, b): (&f32, &f32)| a == b || (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    assert!(a.iter().zip(b).all(close), "{a} for {b}");
}

fn text(value: &str) -> Attribute {
    Attribute::Text(value.into())
}

#[test]
fn what_is_too_much_is_refused_before_it_is_made() {
    let one = floats(&[1], &[1.0]);
    let huge = row(&[1 << 40, 1 << 40]);
    let ramp = [row(&[0]), row(&[i64::MAX]), row(&[1])];
    let cases: [(&str, Vec<&Constant>); 6] = [
        ("ConstantOfShape", vec![&huge]),
        ("Expand", vec![&one, &huge]),
        ("Tile", vec![&one, &ramp[1]]),
        ("Range", ramp.iter().collect()),
        ("OneHot", vec![&ramp[0], &ramp[1], &ramp[0]]),
        ("Pad", vec![&one, &huge]),
    ];
    for (operation, inputs) in cases {
        let error = refusal(operation, &inputs, &[]);
        assert!(error.contains("at most") && error.contains("values out of"), "{operation}: {error}");
    }
    // So is little where all memory is held already.
    let node = node("ConstantOfShape", 1, &[]);
    let (expected, _) = folded(&node, &[Some(&row(&[4]))], 17, u128::from(budget::limit())).unwrap_err();
    assert!(expected.contains("constants of at most") && expected.contains("bytes"), "{expected}");
    let many = Constant::Integers(ArrayD::zeros(vec![1 << 17, 1]));
    assert!(refusal("MatMul", &[&many, &Constant::Integers(ArrayD::zeros(vec![1, 1 << 17]))], &[]).contains("at most"));
    let long = |count: usize| Constant::Integers(ArrayD::zeros(vec![count]));
    assert!(refusal("Unsqueeze", &[&one, &long(100)], &[]).contains("axes"));
    assert!(refusal("Reshape", &[&one, &long(1 << 20)], &[]).contains("at most 4096 numbers"));
}

#[test]
fn an_operation_that_is_not_known_is_refused_by_name() {
    let one = floats(&[1], &[1.0]);
    for operation in ["Conv", "ReduceNothing", "BitwiseNot", "RandomNormal"] {
        assert!(refusal(operation, &[&one], &[]).contains(operation));
    }
    assert!(refusal("Not", &[&one], &[]).contains("Not"));
    assert!(refusal("Sqrt", &[&row(&[1])], &[]).contains("Sqrt"));
    assert!(refusal("Add", &[&one, &row(&[1])], &[]).contains("one type"));
    assert!(refusal("Add", &[&one], &[]).contains("an input 2"));
}

/// A branch that doubles its own tensor, and one that reads a value from around it.
#[test]
fn a_branch_is_folded_where_it_reads_its_own_constants() {
    let double = Node { inputs: vec!["own".into(), "own".into()], outputs: vec!["y".into()], ..node("Add", 1, &[]) };
    let copy = Node { inputs: vec!["around".into()], outputs: vec!["y".into()], ..node("Identity", 1, &[]) };
    let own = [("own".to_string(), row(&[3]))];
    let doubled = Subgraph { nodes: vec![double], tensors: own.into(), outputs: vec!["y".into(), "own".into()] };
    let around = Subgraph { nodes: vec![copy], tensors: Default::default(), outputs: vec!["y".into()] };
    let branches = [("then_branch", Attribute::Graph(doubled)), ("else_branch", Attribute::Graph(around))];
    assert_eq!(all("If", &[&row(&[1])], 2, &branches), [row(&[6]), row(&[3])]);
    assert!(refusal("If", &[&row(&[0])], &branches).contains("\"around\""));
    let choice = node("If", 1, &branches);
    assert_eq!(branch(&choice, &row(&[0])).unwrap().nodes[0].operation, "Identity");
    assert!(refusal("If", &[&row(&[1, 0])], &branches).contains("truth value"));
    assert!(refusal("If", &[&row(&[1])], &[]).contains("then_branch"));
}

#[test]
fn constants_of_every_kind_of_attribute_are_read() {
    let tensor = Attribute::Tensor(floats(&[1, 2], &[1.0, 2.0]));
    assert_eq!(of("Constant", &[], &[("value", tensor)]), floats(&[1, 2], &[1.0, 2.0]));
    assert_eq!(of("Constant", &[], &[("value_float", Float(0.5))]), floats(&[], &[0.5]));
    assert_eq!(of("Constant", &[], &[("value_int", Integer(-3))]), integers(&[], &[-3]));
    assert_eq!(of("Constant", &[], &[("value_floats", Attribute::Floats(vec![0.5, 1.0]))]), floats(&[2], &[0.5, 1.0]));
    assert_eq!(of("Constant", &[], &[("value_ints", Integers(vec![1, 2]))]), row(&[1, 2]));
    assert!(refusal("Constant", &[], &[("value_string", text("word"))]).contains("numbers"));
}

/// Hostile settings are refused and never panic.
#[test]
fn settings_that_lie_are_refused() {
    let x = floats(&[2, 3], &[1.0; 6]);
    let (far, low) = (row(&[7]), row(&[i64::MIN]));
    let at = |operation: &str, inputs: &[&Constant], attributes: &[(&str, Attribute)]| {
        let error = refusal(operation, inputs, attributes);
        assert!(error.contains("expected"), "{operation}: {error}");
    };
    let axis = |value| ("axis", Integer(value));
    for operation in ["Gather", "GatherElements", "GatherND", "Concat", "Flatten", "Split", "TopK", "ArgMax"] {
        at(operation, &[&x, &low], &[axis(i64::MIN)]);
    }
    for operation in ["Reshape", "Expand", "Tile", "Unsqueeze", "Squeeze", "ReduceSum", "CumSum", "Pad", "TopK"] {
        at(operation, &[&x, &low], &[]);
    }
    at("Gather", &[&x, &far], &[]);
    at("GatherND", &[&x, &integers(&[1, 3], &[0; 3])], &[]);
    at("GatherND", &[&x, &integers(&[1, 1], &[0])], &[("batch_dims", Integer(-1))]);
    at("ScatterND", &[&x, &integers(&[1, 1], &[5]), &floats(&[1, 3], &[0.0; 3])], &[]);
    at("ScatterND", &[&x, &integers(&[1, 1], &[0]), &floats(&[3], &[0.0; 3])], &[]);
    at("ScatterElements", &[&x, &integers(&[1, 1], &[5]), &floats(&[1, 1], &[0.0])], &[]);
    at("Split", &[&x, &row(&[1, 2])], &[]);
    at("Split", &[&x], &[("num_outputs", Integer(0))]);
    at("Slice", &[&x, &row(&[0]), &row(&[1]), &row(&[2])], &[]);
    at("Pad", &[&x, &row(&[0, 0, 0, i64::MAX])], &[]);
    at("Pad", &[&x, &row(&[-2, 0, -1, 0])], &[]);
    at("Range", &[&row(&[0]), &row(&[1]), &row(&[0])], &[]);
    at("Div", &[&row(&[1]), &row(&[0])], &[]);
    at("Div", &[&low, &row(&[-1])], &[]);
    at("Mul", &[&low, &low], &[]);
    at("Einsum", &[&x, &x], &[("equation", text("ij,jk->ik"))]);
    at("Einsum", &[&x], &[("equation", text("ij->ii"))]);
    at("MatMul", &[&x, &x], &[]);
    at("MatMul", &[&floats(&[], &[1.0]), &x], &[]);
    at("DequantizeLinear", &[&row(&[1, 2]), &floats(&[3], &[1.0; 3])], &[axis(0)]);
    at("Cast", &[&x], &[("to", Integer(8))]);
    at("ArgMax", &[&floats(&[0], &[])], &[]);
}

/// The model's reader says the type of a zero point, without which 200 would be clipped to 127, or -5 to 0.
#[test]
fn quantised_constants_keep_within_their_type() {
    let x = floats(&[4], &[-5.0, 0.5, 1.5, 200.0]);
    let quantised = |zero: i64, attributes: &[(&str, Attribute)]| {
        of("QuantizeLinear", &[&x, &floats(&[], &[1.0]), &integers(&[], &[zero])], attributes)
    };
    let element = |code| [("output_dtype", Integer(code))];
    assert_eq!(quantised(0, &element(3)), row(&[-5, 0, 2, 127]));
    assert_eq!(quantised(0, &element(2)), row(&[0, 0, 2, 200]));
    assert_eq!(quantised(10, &[]), row(&[5, 10, 12, 210]));
    assert_eq!(quantised(-1, &[]), row(&[-6, -1, 1, 127]));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/net/import/onnx/testdata/small.onnx");
    assert_eq!(Model::open(&path).unwrap().opset, 17);
}
