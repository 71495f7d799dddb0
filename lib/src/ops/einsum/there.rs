//! Einstein summation for devices: one batched product.

use obverse_engine::Variable;

use super::Subscripts;
use super::operand::IMAGES;
use crate::tensor::device::repeated;

/// The sum for as many images.
pub(super) fn summed<'p>(
    subscripts: &Subscripts,
    left: Variable<'p>,
    right: Variable<'p>,
    images: usize,
) -> Variable<'p> {
    let Subscripts { left: of_left, right: of_right, output, .. } = subscripts;
    let length =
        |letter: &char| if *letter == IMAGES { images } else { subscripts.lengths.get(letter).copied().unwrap_or(1) };
    let word = |letters: &[char]| std::iter::once(IMAGES).chain(letters.iter().copied()).collect::<Vec<char>>();
    let lengths = |letters: &[char]| letters.iter().map(length).collect::<Vec<usize>>();
    // An operand of one image stands for all.
    let arrange = |x: Variable<'p>, letters: &[char], order: &[&[char]]| {
        let (own, wanted) = (word(letters), order.concat());
        let one: Vec<usize> = std::iter::once(x.shape()[0]).chain(lengths(letters)).collect();
        let x = repeated(x.reshape(&one), images);
        // What only this operand has is summed before.
        let lost: Vec<usize> = (0..own.len()).filter(|&axis| !wanted.contains(&own[axis])).collect();
        let order: Vec<usize> = wanted.iter().filter_map(|letter| own.iter().position(|own| own == letter)).collect();
        let order: Vec<usize> = order.into_iter().chain(lost.iter().copied()).collect();
        let last: Vec<usize> = (wanted.len()..own.len()).collect();
        x.permute(&order).sum(&last)
    };
    let kept = |letters: &[char], other: &[char], in_output: bool, in_other: bool| {
        let is_kept = |letter: &&char| output.contains(letter) == in_output && other.contains(letter) == in_other;
        letters.iter().filter(is_kept).copied().collect::<Vec<char>>()
    };
    let both = word(&kept(of_left, of_right, true, true));
    let summed = kept(of_left, of_right, false, true);
    let (rows, columns) = (kept(of_left, of_right, true, false), kept(of_right, of_left, true, false));
    let count = |letters: &[char]| letters.iter().map(length).product::<usize>();
    let (b, m, k, n) = (count(&both), count(&rows), count(&summed), count(&columns));
    let left = arrange(left, of_left, &[&both, &rows, &summed]).reshape(&[b, m, k]);
    let right = arrange(right, of_right, &[&both, &summed, &columns]).reshape(&[b, k, n]);
    let found = [both, rows, columns].concat();
    // What neither operand has is the same all along.
    let missing: Vec<char> = output.iter().filter(|letter| !found.contains(letter)).copied().collect();
    let one = [lengths(&found), vec![1; missing.len()]].concat();
    let found = [found, missing].concat();
    let y = left.matmul(right).reshape(&one).expand(&lengths(&found));
    let place = |letter: &char| found.iter().position(|found| found == letter);
    y.permute(&word(output).iter().filter_map(place).collect::<Vec<usize>>())
}
