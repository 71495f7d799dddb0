use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Vec<(f64, Atom)> {
    let Expression(terms) = text.parse().unwrap();
    terms.into_iter().map(|(weight, atom)| (weight.first, atom)).collect()
}

#[test]
fn sums_products_and_parentheses() {
    let channel = |node: &str, channel| Atom::Channel { node: node.into(), channel };
    assert_eq!(parsed("channel:a:1"), [(1.0, channel("a", 1))]);
    assert_eq!(
        parsed("-2*(channel:a:1 - 3 * channel:b-c:2) + tv"),
        [(-2.0, channel("a", 1)), (6.0, channel("b-c", 2)), (1.0, Atom::TotalVariation)]
    );
    assert_eq!(parsed("1e-2*class:7"), [(0.01, Atom::Class(7))]);
}

#[test]
fn brackets_have_a_depth() {
    let nested = |depth: usize| format!("{}tv{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parsed(&nested(64)), [(1.0, Atom::TotalVariation)]);
    for depth in [65, 100_000] {
        assert!(nested(depth).parse::<Expression>().unwrap_err().to_string().contains("at most 64 brackets"));
    }
}

#[test]
fn names_may_hold_signs_and_colons() {
    assert_eq!(
        parsed("neuron:/a/Conv_3:0:5:6:7"),
        [(1.0, Atom::Neuron { node: "/a/Conv_3:0".into(), channel: 5, at: Some(Location::Pixel(6, 7)) })]
    );
    assert_eq!(
        parsed("direction:a:\"my file (1).npy\""),
        [(1.0, Atom::Direction { node: "a".into(), file: "my file (1).npy".into(), row: None, at: None })]
    );
}

#[test]
fn two_objectives_interpolate() {
    let Expression(terms) = "class:1 to 2*class:2".parse().unwrap();
    assert_eq!(terms[0].0, Weight { first: 1.0, last: 0.0 });
    assert_eq!(terms[1].0.at(1, 3), 1.0);
    assert_eq!(terms[1].0.at(0, 1), 0.0);
}

#[test]
fn what_is_wrong_is_said() {
    for (text, said) in [
        ("", "the end"),
        ("chanel:a:1", "chanel:a:1"),
        ("channel:a:x", "\"x\""),
        ("channel::1", "channel:NODE:C"),
        ("2", "* after a number"),
        ("class:1 class:2", "class:2"),
        ("(class:1", "expected )"),
        ("nan*class:1", "found NaN"),
        ("layer:\"a", "closing"),
    ] {
        let error = text.parse::<Expression>().unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("objective"), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _ = text.parse::<Expression>();
    }
}

#[test]
fn tokens_heads_and_rows_are_named() {
    assert_eq!(
        parsed("neuron:blocks.3.mlp.fc1:77@0 + token:norm:0 + head:blocks.3.attn:2/6 + direction:norm:sae.npy[5]@12"),
        [
            (1.0, Atom::Neuron { node: "blocks.3.mlp.fc1".into(), channel: 77, at: Some(Location::Token(0)) }),
            (1.0, Atom::Token { node: "norm".into(), token: 0 }),
            (1.0, Atom::Head { node: "blocks.3.attn".into(), head: 2, of: 6 }),
            (
                1.0,
                Atom::Direction {
                    node: "norm".into(),
                    file: "sae.npy".into(),
                    row: Some(5),
                    at: Some(Location::Token(12))
                }
            ),
        ]
    );
    let files = [("a@b.npy", "a@b.npy"), ("x[1].npy", "x[1].npy"), ("x.npy[y]", "x.npy[y]")];
    for (written, file) in files {
        let expected = Atom::Direction { node: "a".into(), file: file.into(), row: None, at: None };
        assert_eq!(parsed(&format!("direction:a:{written}")), [(1.0, expected)]);
    }
}
