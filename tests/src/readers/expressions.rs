//! What users write: objectives and transformations.

use obverse::objective::expression::Expression;
use obverse::objective::transform::Transforms;

use super::Outcome;

/// A sum is the same in parentheses.
pub fn expression(bytes: &[u8]) -> Outcome {
    let text = std::str::from_utf8(bytes)?;
    let expression: Expression = text.parse()?;
    let _ = expression.files().count();
    if expression.0.iter().all(|(weight, _)| weight.first == weight.last) {
        let again = format!("1 * ({text})").parse::<Expression>();
        assert!(again.is_err() || again.as_ref() == Ok(&expression), "{again:?}");
    }
    Ok(())
}

pub fn expression_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "channel:conv3:7 - 0.5*neuron:conv5:2 + 1e-2*diversity:conv3",
        "-2*(neuron:a:1:2:3 - 3 * layer:b-c) + tv + l1 + l2 to class:7",
        "direction:a:\"my file (1).npy\" - targets:/b/Conv_0:c.npy",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

/// A list is the same after it is spelled out.
pub fn transforms(bytes: &[u8]) -> Outcome {
    let list: Transforms = std::str::from_utf8(bytes)?.parse()?;
    assert_eq!(list.to_string().parse(), Ok(list));
    Ok(())
}

pub fn transforms_seeds() -> Vec<Vec<u8>> {
    let texts = ["lucid, noise:0.05", "reflect:3,blur:0.5..1,scale:1.5,rotate:-3..-1", "none", "clarke,pad:12"];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
