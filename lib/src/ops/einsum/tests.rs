use super::*;
use crate::ops::checks::{assert_close, check_gradients, normal, repeated};
use crate::tensor::{Tape, backward, gradient};

fn subscripts(word: &str, lengths: &[(char, usize)]) -> Subscripts {
    let (operands, output) = word.split_once("->").expect("an output");
    let (left, right) = operands.split_once(',').expect("two operands");
    let used = lengths.iter().copied().filter(|&(letter, _)| operands.contains(letter));
    let subscripts = Subscripts::new(left, right, output, &used.collect());
    subscripts.check().expect("subscripts");
    subscripts
}

/// By the definition: over all places of all letters.
fn by_hand(of: &Subscripts, left: &[f64], right: &[f64]) -> Vec<f64> {
    let elements = of.elements().map(|elements| elements as usize);
    let mut output = vec![0.0; elements[2]];
    let letters: Vec<(char, usize)> = of.lengths.iter().map(|(&letter, &length)| (letter, length)).collect();
    for number in 0..letters.iter().map(|&(_, length)| length).product() {
        let mut rest = number;
        let places: BTreeMap<char, usize> = letters
            .iter()
            .map(|&(letter, length)| {
                let place = rest % length;
                rest /= length;
                (letter, place)
            })
            .collect();
        let at = |word: &[char]| word.iter().fold(0, |at, letter| at * of.lengths[letter] + places[letter]);
        output[at(&of.output)] += left[at(&of.left)] * right[at(&of.right)];
    }
    output
}

/// Two operands of these numbers of images, as vectors.
fn operands(of: &Subscripts, images: [usize; 2]) -> [Batch<f64>; 2] {
    let [left, right, _] = of.elements().map(|elements| elements as usize);
    [normal("left", (images[0], 1, 1, left)), normal("right", (images[1], 1, 1, right))]
}

fn run(tape: &mut Tape<f64>, of: &Subscripts, left: &Batch<f64>, right: &Batch<f64>) -> Batch<f64> {
    einsum(tape, of, left, right, (1, 1, of.elements()[2] as usize))
}

/// Of attention, with transposed operands and outputs, of one operand alone, of single values, and with an operand's own letters.
const WORDS: [&str; 22] = [
    "thd,shd->hts",
    "hts,shd->thd",
    "hts,thd->shd",
    "td,de->te",
    "td,ed->te",
    "td,ed->et",
    "dt,de->te",
    "tshd,hdse->het",
    "thd,shd->tsh",
    "htd,hsd->hst",
    "hdt,hde->edth",
    "td,td->td",
    "td,td->t",
    "td,td->d",
    "td,td->",
    "t,s->ts",
    "td,sh->ts",
    "thd,s->h",
    "td,->d",
    ",->",
    "ht,hts->s",
    "thds,->st",
];

#[test]
fn every_kind_of_sum_is_that_of_the_definition() {
    // Long axes, for products of matrices, and short ones, for direct sums.
    for lengths in
        [[('t', 9), ('s', 20), ('h', 3), ('d', 5), ('e', 11)], [('t', 2), ('s', 3), ('h', 1), ('d', 40), ('e', 4)]]
    {
        for word in WORDS {
            let of = subscripts(word, &lengths);
            for images in [[1, 1], [3, 3], [1, 3], [3, 1]] {
                let [left, right] = operands(&of, images);
                let found = run(&mut Tape::off(), &of, &left, &right);
                let image =
                    |x: &Batch<f64>, number: usize| view(x).chunks(image_len(x)).cycle().nth(number).unwrap().to_vec();
                let count = images[0].max(images[1]);
                let expected =
                    (0..count).flat_map(|number| by_hand(&of, &image(&left, number), &image(&right, number)));
                assert_close(view(&found), &expected.collect::<Vec<f64>>(), 1e-13);
            }
        }
    }
}

#[test]
fn gradients_are_differences_also_of_one_image_for_all() {
    for word in WORDS {
        let of = subscripts(word, &[('t', 2), ('s', 3), ('h', 2), ('d', 2), ('e', 3)]);
        for images in [[2, 2], [1, 2], [2, 1], [1, 1]] {
            println!("{word} of {images:?} images");
            check_gradients(&operands(&of, images), |tape, x| run(tape, &of, &x[0], &x[1]));
        }
    }
    let square = subscripts("ij,kj->ik", &[('i', 3), ('j', 2), ('k', 3)]);
    check_gradients(&[normal("x", (2, 1, 1, 6))], |tape, x| run(tape, &square, &x[0], &x[0]));
}

#[test]
fn the_gradient_of_an_operand_is_an_einsum_of_the_cotangent_and_the_other() {
    for word in WORDS {
        let of = subscripts(word, &[('t', 9), ('s', 12), ('h', 2), ('d', 10), ('e', 3)]);
        let [left, right] = operands(&of, [2, 2]);
        let mut tape = Tape::recording();
        let y = run(&mut tape, &of, &left, &right);
        let cotangent = normal("cotangent", shape(&y));
        let mut gradients = backward(tape, &y, view(&cotangent).to_vec());
        let of_left = run(&mut Tape::off(), &of.of_left(), &cotangent, &right);
        let of_right = run(&mut Tape::off(), &of.of_right(), &left, &cotangent);
        assert_eq!(gradient(&mut gradients, &left), view(&of_left), "{word}");
        assert_eq!(gradient(&mut gradients, &right), view(&of_right), "{word}");
    }
}

#[test]
fn bits_of_an_image_do_not_depend_on_the_others_or_on_threads() {
    let lengths = [('t', 197), ('s', 50), ('h', 3), ('d', 16), ('e', 2)];
    for word in ["thd,shd->hts", "hts,shd->thd", "td,de->te", "td,ed->et", "td,td->t", "td,sd->ts", "te,ed->td"] {
        let of = subscripts(word, &lengths);
        let [left, right] =
            operands(&of, [9, 9]).map(|x| batch(view(&x).iter().map(|&x| x as f32).collect(), shape(&x)));
        let size = (1, 1, of.elements()[2] as usize);
        let whole = einsum(&mut Tape::off(), &of, &left, &right, size);
        let first = |x: &Batch<f32>| batch(view(x)[..image_len(x)].to_vec(), (1, 1, 1, image_len(x)));
        let alone = einsum(&mut Tape::off(), &of, &first(&left), &first(&right), size);
        assert_eq!(view(&alone), &view(&whole)[..size.2], "{word}");
        let shared = einsum(&mut Tape::off(), &of, &left, &first(&right), size);
        assert_eq!(view(&shared)[..size.2], *view(&alone), "{word}");
        let repeated = einsum(&mut Tape::off(), &of, &left, &repeated(&first(&right), 9), size);
        assert_eq!(view(&shared), view(&repeated), "{word}");
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let single = single.install(|| view(&einsum(&mut Tape::off(), &of, &left, &right, size)).to_vec());
        assert_eq!(single, view(&whole), "{word}");
    }
}

#[test]
fn letters_that_say_nothing_are_refused() {
    let refused = |words: [&str; 3], lengths: &[(char, usize)]| {
        let lengths = lengths.iter().copied().collect();
        Subscripts::new(words[0], words[1], words[2], &lengths).check().expect_err("refused")
    };
    let lengths = [('i', 2), ('j', 3)];
    assert_eq!(refused(["i*", "j", "i"], &lengths), "letters from a to z or A to Z, not '*'");
    assert_eq!(refused(["ii", "j", "i"], &lengths), "each letter at most once in an input and in the output");
    assert_eq!(refused(["i", "j", "k"], &lengths), "an input with the output's letter k");
    assert_eq!(refused(["i", "k", "i"], &lengths), "a length of at least 1 for the letter k");
    assert_eq!(refused(["i", "j", "i"], &[('i', 2), ('j', 0)]), "a length of at least 1 for the letter j");
    assert_eq!(refused(["i", "i", "i"], &lengths), "an input with the letter j, which has a length");
}
