//! Shapes, parts, places and indices.

use super::*;

/// 0, 1, … of this shape.
fn ramp(shape: &[usize]) -> Constant {
    integers(shape, &(0..shape.iter().product::<usize>() as i64).collect::<Vec<_>>())
}

#[test]
fn shapes_and_sizes_are_numbers() {
    let x = floats(&[2, 0, 3], &[]);
    assert_eq!(of("Shape", &[&x], &[]), row(&[2, 0, 3]));
    assert_eq!(of("Shape", &[&x], &[("start", Integer(-2)), ("end", Integer(9))]), row(&[0, 3]));
    assert_eq!(of("Shape", &[&x], &[("start", Integer(2)), ("end", Integer(1))]), row(&[]));
    assert_eq!(of("Size", &[&ramp(&[2, 3])], &[]), integers(&[], &[6]));
}

#[test]
fn reshaping_keeps_the_order_of_values() {
    let x = ramp(&[2, 3]);
    assert_eq!(of("Reshape", &[&x, &row(&[3, -1])], &[]), ramp(&[3, 2]));
    assert_eq!(of("Reshape", &[&x, &row(&[0, -1, 1])], &[]), ramp(&[2, 3, 1]));
    assert_eq!(of("Reshape", &[&x], &[("shape", Integers(vec![6]))]), ramp(&[6]));
    let empty = floats(&[0, 3], &[]);
    assert_eq!(of("Reshape", &[&empty, &row(&[3, 0])], &[("allowzero", Integer(1))]), floats(&[3, 0], &[]));
    assert_eq!(of("Flatten", &[&ramp(&[2, 3, 1])], &[("axis", Integer(-1))]), ramp(&[6, 1]));
    assert_eq!(of("Flatten", &[&ramp(&[2, 3])], &[("axis", Integer(2))]), ramp(&[6, 1]));
    assert_eq!(of("Flatten", &[&ramp(&[2, 3, 1])], &[]), ramp(&[2, 3]));
    assert_eq!(of("Squeeze", &[&ramp(&[1, 2, 1])], &[]), ramp(&[2]));
    assert_eq!(of("Squeeze", &[&ramp(&[1, 2, 1]), &row(&[-1])], &[]), ramp(&[1, 2]));
    assert_eq!(of("Unsqueeze", &[&ramp(&[2]), &row(&[0, 2])], &[]), ramp(&[1, 2, 1]));
    let turned = integers(&[3, 2], &[0, 3, 1, 4, 2, 5]);
    assert_eq!(of("Transpose", &[&x], &[]), turned);
    // Values that were turned keep their order afterwards.
    assert_eq!(of("Reshape", &[&turned, &row(&[6])], &[]), row(&[0, 3, 1, 4, 2, 5]));
    let order = [("perm", Integers(vec![1, 2, 0]))];
    assert_eq!(of("Transpose", &[&ramp(&[2, 1, 2])], &order), integers(&[1, 2, 2], &[0, 2, 1, 3]));
}

#[test]
fn constants_are_joined_and_split() {
    let (a, b) = (integers(&[2, 1], &[1, 2]), integers(&[2, 2], &[3, 4, 5, 6]));
    let axis = |axis| ("axis", Integer(axis));
    assert_eq!(of("Concat", &[&a, &b], &[axis(-1)]), integers(&[2, 3], &[1, 3, 4, 2, 5, 6]));
    assert!(refusal("Concat", &[&a, &b], &[axis(0)]).contains("side by side"));
    let x = ramp(&[5]);
    assert_eq!(all("Split", &[&x, &row(&[1, 4])], 2, &[]), [row(&[0]), row(&[1, 2, 3, 4])]);
    assert_eq!(all("Split", &[&x], 2, &[("split", Integers(vec![0, 5]))]), [row(&[]), x.clone()]);
    assert_eq!(all("Split", &[&x], 3, &[]), [row(&[0, 1]), row(&[2, 3]), row(&[4])]);
    assert_eq!(all("Split", &[&ramp(&[1, 2])], 2, &[axis(1)]), [integers(&[1, 1], &[0]), integers(&[1, 1], &[1])]);
}

#[test]
fn slices_count_from_either_end() {
    let x = ramp(&[2, 4]);
    let (one, last) = (row(&[1]), row(&[-1]));
    assert_eq!(of("Slice", &[&x, &one, &row(&[i64::MAX]), &one], &[]), integers(&[2, 3], &[1, 2, 3, 5, 6, 7]));
    let backwards = of("Slice", &[&x, &last, &row(&[i64::MIN]), &one, &row(&[-2])], &[]);
    assert_eq!(backwards, integers(&[2, 2], &[3, 1, 7, 5]));
    let older = [("starts", Integers(vec![0, 1])), ("ends", Integers(vec![1, -1]))];
    assert_eq!(of("Slice", &[&x], &older), integers(&[1, 2], &[1, 2]));
}

#[test]
fn values_are_repeated_along_axes() {
    let x = integers(&[2, 1], &[1, 2]);
    assert_eq!(of("Expand", &[&x, &row(&[2, 1, 2])], &[]), integers(&[2, 2, 2], &[1, 1, 2, 2, 1, 1, 2, 2]));
    assert_eq!(of("Expand", &[&x, &row(&[2])], &[]), integers(&[2, 2], &[1, 1, 2, 2]));
    assert!(refusal("Expand", &[&x, &row(&[3, 1])], &[]).contains("broadcast"));
    assert_eq!(of("Tile", &[&ramp(&[1, 2]), &row(&[2, 2])], &[]), integers(&[2, 4], &[0, 1, 0, 1, 0, 1, 0, 1]));
    assert_eq!(of("Tile", &[&ramp(&[1, 2]), &row(&[0, 1])], &[]), integers(&[0, 2], &[]));
}

#[test]
fn padding_is_of_a_value_or_of_the_values() {
    let x = ramp(&[3]);
    let pad = |pads: &[i64], mode: &str| of("Pad", &[&x, &row(pads)], &[("mode", text(mode))]);
    assert_eq!(pad(&[1, 2], "constant"), row(&[0, 0, 1, 2, 0, 0]));
    assert_eq!(pad(&[2, 2], "edge"), row(&[0, 0, 0, 1, 2, 2, 2]));
    assert_eq!(pad(&[2, 3], "reflect"), row(&[2, 1, 0, 1, 2, 1, 0, 1]));
    assert_eq!(pad(&[2, 4], "wrap"), row(&[1, 2, 0, 1, 2, 0, 1, 2, 0]));
    assert_eq!(pad(&[-1, -1], "constant"), row(&[1]));
    assert_eq!(of("Pad", &[&x, &row(&[1, 0]), &row(&[9])], &[]), row(&[9, 0, 1, 2]));
    let square = floats(&[1, 1], &[1.0]);
    let along = of("Pad", &[&square, &row(&[0, 1]), &floats(&[], &[5.0]), &row(&[-1])], &[]);
    assert_eq!(along, floats(&[1, 2], &[1.0, 5.0]));
    let older = [("pads", Integers(vec![1, 0, 0, 0])), ("value", Float(2.0))];
    assert_eq!(of("Pad", &[&square], &older), floats(&[2, 1], &[2.0, 1.0]));
    assert!(refusal("Pad", &[&x, &row(&[1, 0])], &[("mode", text("other"))]).contains("other"));
}

#[test]
fn constants_are_made_of_shapes_and_numbers() {
    assert_eq!(of("ConstantOfShape", &[&row(&[2, 1])], &[]), floats(&[2, 1], &[0.0; 2]));
    let seven = [("value", Attribute::Tensor(row(&[7])))];
    assert_eq!(of("ConstantOfShape", &[&row(&[])], &seven), integers(&[], &[7]));
    let range = |numbers: [i64; 3]| {
        let numbers = numbers.map(|number| integers(&[], &[number]));
        of("Range", &numbers.each_ref(), &[])
    };
    assert_eq!(range([0, 5, 2]), row(&[0, 2, 4]));
    assert_eq!(range([5, 0, -2]), row(&[5, 3, 1]));
    assert_eq!(range([0, 4, 2]), row(&[0, 2]));
    assert_eq!(range([3, 3, 1]), row(&[]));
    assert_eq!(range([0, -1, 1]), row(&[]));
    assert_eq!(range([i64::MIN, i64::MAX, 1 << 62]), row(&[i64::MIN, -(1 << 62), 0, 1 << 62]));
    let numbers = [0.0, 1.0, 0.25].map(|number| floats(&[], &[number]));
    assert_eq!(of("Range", &numbers.each_ref(), &[]), floats(&[4], &[0.0, 0.25, 0.5, 0.75]));
    let like = floats(&[2, 3], &[5.0; 6]);
    assert_eq!(of("EyeLike", &[&like], &[("k", Integer(1))]), floats(&[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    assert_eq!(of("EyeLike", &[&like], &[("dtype", Integer(7))]), integers(&[2, 3], &[1, 0, 0, 0, 1, 0]));
    let x = ramp(&[2, 3]);
    assert_eq!(of("Trilu", &[&x], &[]), integers(&[2, 3], &[0, 1, 2, 0, 4, 5]));
    assert_eq!(
        of("Trilu", &[&x, &integers(&[], &[-1])], &[("upper", Integer(0))]),
        integers(&[2, 3], &[0, 0, 0, 3, 0, 0])
    );
    let hot = of("OneHot", &[&row(&[1, -1, 7]), &integers(&[], &[3]), &floats(&[2], &[0.5, 2.0])], &[]);
    assert_eq!(hot, floats(&[3, 3], &[0.5, 2.0, 0.5, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5]));
    let hot = of("OneHot", &[&row(&[1, 0]), &integers(&[], &[2]), &row(&[0, 1])], &[("axis", Integer(0))]);
    assert_eq!(hot, integers(&[2, 2], &[0, 1, 1, 0]));
    assert_eq!(all("Dropout", &[&x], 2, &[]), [x.clone(), integers(&[2, 3], &[1; 6])]);
    assert!(refusal("Dropout", &[&x, &floats(&[], &[0.5]), &integers(&[], &[1])], &[]).contains("training_mode 0"));
    assert_eq!(of("Identity", &[&x], &[]), x);
}

#[test]
fn values_are_taken_by_their_indices() {
    let x = ramp(&[2, 3]);
    let axis = |axis| ("axis", Integer(axis));
    assert_eq!(of("Gather", &[&x, &integers(&[], &[-1])], &[]), row(&[3, 4, 5]));
    assert_eq!(of("Gather", &[&x, &row(&[2, 0])], &[axis(1)]), integers(&[2, 2], &[2, 0, 5, 3]));
    assert_eq!(of("Gather", &[&ramp(&[3]), &integers(&[2, 2], &[0, 1, 2, 0])], &[]), integers(&[2, 2], &[0, 1, 2, 0]));
    assert_eq!(of("GatherElements", &[&x, &integers(&[2, 1], &[2, -3])], &[axis(1)]), integers(&[2, 1], &[2, 3]));
    assert_eq!(of("GatherElements", &[&x, &integers(&[1, 3], &[1, 0, 1])], &[]), integers(&[1, 3], &[3, 1, 5]));
    assert_eq!(of("GatherND", &[&x, &integers(&[2, 2], &[0, 1, 1, -1])], &[]), row(&[1, 5]));
    assert_eq!(of("GatherND", &[&x, &integers(&[1, 1], &[1])], &[]), integers(&[1, 3], &[3, 4, 5]));
    let batch = [("batch_dims", Integer(1))];
    assert_eq!(
        of("GatherND", &[&ramp(&[2, 2, 2]), &integers(&[2, 1], &[1, 0])], &batch),
        integers(&[2, 2], &[2, 3, 4, 5])
    );
}

#[test]
fn values_are_put_at_their_indices() {
    let x = ramp(&[2, 3]);
    let (indices, updates) = (integers(&[1, 3], &[1, 0, 1]), integers(&[1, 3], &[10, 20, 30]));
    let add = ("reduction", text("add"));
    assert_eq!(of("ScatterElements", &[&x, &indices, &updates], &[]), integers(&[2, 3], &[0, 20, 2, 10, 4, 30]));
    let along = of(
        "ScatterElements",
        &[&x, &integers(&[1, 2], &[1, 1]), &integers(&[1, 2], &[5, 6])],
        &[("axis", Integer(1)), add.clone()],
    );
    assert_eq!(along, integers(&[2, 3], &[0, 12, 2, 3, 4, 5]));
    let rows = integers(&[2, 1], &[1, 1]);
    let updates = floats(&[2, 2], &[1.0, 2.0, 3.0, -4.0]);
    let zeros = floats(&[2, 2], &[1.0; 4]);
    let of = |reduction: &str| of("ScatterND", &[&zeros, &rows, &updates], &[("reduction", text(reduction))]);
    assert_eq!(of("none"), floats(&[2, 2], &[1.0, 1.0, 3.0, -4.0]));
    assert_eq!(of("add"), floats(&[2, 2], &[1.0, 1.0, 5.0, -1.0]));
    assert_eq!(of("mul"), floats(&[2, 2], &[1.0, 1.0, 3.0, -8.0]));
    assert_eq!(of("max"), floats(&[2, 2], &[1.0, 1.0, 3.0, 2.0]));
    assert_eq!(of("min"), floats(&[2, 2], &[1.0, 1.0, 1.0, -4.0]));
}

#[test]
fn extremes_are_found_with_their_places() {
    let x = floats(&[2, 3], &[1.0, 3.0, 3.0, 5.0, 4.0, 6.0]);
    let two = row(&[2]);
    let found = all("TopK", &[&x, &two], 2, &[]);
    assert_eq!(found, [floats(&[2, 2], &[3.0, 3.0, 6.0, 5.0]), integers(&[2, 2], &[1, 2, 2, 0])]);
    let found = all("TopK", &[&ramp(&[3, 1]), &two], 2, &[("axis", Integer(0)), ("largest", Integer(0))]);
    assert_eq!(found, [integers(&[2, 1], &[0, 1]), integers(&[2, 1], &[0, 1])]);
    assert_eq!(of("ArgMax", &[&x], &[("axis", Integer(1))]), integers(&[2, 1], &[1, 2]));
    let last = [("axis", Integer(-1)), ("select_last_index", Integer(1)), ("keepdims", Integer(0))];
    assert_eq!(of("ArgMax", &[&x], &last), row(&[2, 2]));
    assert_eq!(of("ArgMin", &[&x], &[]), integers(&[1, 3], &[0, 0, 0]));
    assert_eq!(of("NonZero", &[&integers(&[2, 2], &[1, 0, 3, 4])], &[]), integers(&[2, 3], &[0, 1, 1, 0, 0, 1]));
    assert_eq!(of("NonZero", &[&floats(&[2], &[0.0, 0.5])], &[]), integers(&[1, 1], &[1]));
}
