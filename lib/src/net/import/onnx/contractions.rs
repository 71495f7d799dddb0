//! Sums of products of two values: matrix products, einsum, and attention made of them.

use std::collections::BTreeMap;

use super::aligned::Key;
use super::pairs::computed;
use super::translation::Translation;
use super::value::{Computed, Side, Site};
use crate::net::error::Result;
use crate::net::op::Einsum;
use crate::net::size::Size;

impl Translation<'_> {
    /// A B with ONNX's broadcasting of the axes before the last two.
    pub(super) fn matrix_product(&mut self, site: &Site, wish: &str, sides: [Side; 2]) -> Result<Computed> {
        let ranks = sides.each_ref().map(Side::rank);
        if ranks.contains(&0) {
            return Err(site.refused("matrices or vectors", "a number"));
        }
        // Labels: those of the axes before the last two count from the end; rows, columns and the sum have their own.
        const SUM: usize = 0;
        const ROWS: usize = 1;
        const COLUMNS: usize = 2;
        let before = |rank: usize| (0..rank.saturating_sub(2)).rev().map(|axis| 3 + axis);
        let left = if ranks[0] == 1 { vec![SUM] } else { before(ranks[0]).chain([ROWS, SUM]).collect() };
        let right = if ranks[1] == 1 { vec![SUM] } else { before(ranks[1]).chain([SUM, COLUMNS]).collect() };
        let mut output: Vec<usize> = before(ranks[0].max(ranks[1])).collect();
        output.extend(if ranks[0] > 1 { Some(ROWS) } else { None });
        output.extend(if ranks[1] > 1 { Some(COLUMNS) } else { None });
        self.contracted(site, wish, sides, [&left, &right], &output)
    }

    /// ONNX's Einsum of two values; of one, a sum over axes.
    pub(super) fn einsum(&mut self, site: &Site) -> Result<Computed> {
        let equation: String =
            site.node.text("equation").unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
        let refused = || site.refused("an equation of one or two values such as \"bhwc,hkc->bhwk\"", &equation);
        let (inputs, output) = match equation.split_once("->") {
            Some((inputs, output)) => (inputs.to_string(), Some(output.to_string())),
            None => (equation.clone(), None),
        };
        let mut terms: Vec<String> = inputs.split(',').map(String::from).collect();
        let mut sides = Vec::new();
        for which in 0..terms.len() {
            sides.push(self.side(site, which)?);
        }
        if terms.len() == 1 {
            terms.push(String::new());
            let one = ndarray::arr0(1.0).into_dyn();
            sides.push(Side::Constant(one, format!("{}.one", site.name)));
        }
        let ([a, b], Ok([left, right])) = (terms.as_slice(), <[Side; 2]>::try_from(sides)) else {
            return Err(refused());
        };
        // An ellipsis stands for the axes that have no letter, counted from the end: private letters for them.
        let spelled = |term: &str, rank: usize| -> Option<Vec<usize>> {
            let letters =
                |part: &str| part.chars().map(|c| c.is_alphabetic().then_some(c as usize)).collect::<Option<Vec<_>>>();
            match term.split_once("...") {
                Some((first, last)) => {
                    let (first, last) = (letters(first)?, letters(last)?);
                    let open = rank.checked_sub(first.len() + last.len())?;
                    Some([first, (0..open).rev().collect(), last].concat())
                }
                None => letters(term).filter(|all| all.len() == rank),
            }
        };
        let labels = [spelled(a, left.rank()).ok_or_else(refused)?, spelled(b, right.rank()).ok_or_else(refused)?];
        let open = labels.iter().flatten().filter(|&&label| label < 64).max().map_or(0, |label| label + 1);
        let output = match output {
            Some(output) => {
                let named = output.replace("...", "").chars().count();
                spelled(&output, if output.contains("...") { named + open } else { named }).ok_or_else(refused)?
            }
            None => {
                let mut letters: Vec<usize> = labels.concat().into_iter().filter(|&label| label >= 64).collect();
                letters.sort_unstable();
                let once = letters.chunk_by(|a, b| a == b).filter(|group| group.len() == 1).map(|group| group[0]);
                (0..open).rev().chain(once).collect()
            }
        };
        let repeats = |labels: &[usize]| (1..labels.len()).any(|at| labels[..at].contains(&labels[at]));
        if labels.iter().any(|labels| repeats(labels)) || repeats(&output) {
            return Err(site.refused("each letter once in a value", &equation));
        }
        self.contracted(site, &site.name, [left, right], [&labels[0], &labels[1]], &output)
    }

    /// The sum of products over all labels that the output has not.
    pub(super) fn contracted(
        &mut self,
        site: &Site,
        wish: &str,
        sides: [Side; 2],
        labels: [&[usize]; 2],
        output: &[usize],
    ) -> Result<Computed> {
        let [a, b] = sides;
        let batch_axis = [(&a, labels[0]), (&b, labels[1])].into_iter().find_map(|(side, labels)| match side {
            Side::Computed(value) => {
                let axis = (0..value.rank()).find(|&axis| value.arrangement.is_batch(axis))?;
                Some((labels[axis], value.shape(1)[axis]))
            }
            Side::Constant(..) => None,
        });
        let batch_label = batch_axis.map(|(label, _)| label);
        let once = |side: Side, labels: &[usize]| -> Result<Side> {
            Ok(match side {
                Side::Constant(array, name) => {
                    let at =
                        batch_axis.and_then(|(label, each)| Some((labels.iter().position(|own| *own == label)?, each)));
                    match at {
                        Some((axis, each)) => Side::Constant(self.once(site, array, axis, each)?, name),
                        None => Side::Constant(array, name),
                    }
                }
                side => side,
            })
        };
        let sides = [once(a, labels[0])?, once(b, labels[1])?];
        if batch_label.is_some_and(|label| !output.contains(&label)) {
            return Err(site.refused("an operation on each image by itself", "a sum over images"));
        }
        let aligned = self.aligned(site, &sides, &[labels[0], labels[1]])?;
        let of = |which: usize| &aligned.values[which].keys;
        // Memory as it is in the first, without what is summed, then what the second alone has.
        let stays = |key: &&Key| output.contains(&key.0);
        let order: Vec<Key> = of(0)
            .iter()
            .filter(stays)
            .chain(of(1).iter().filter(stays).filter(|key| !of(0).contains(key)))
            .copied()
            .collect();
        let mut names: Vec<Key> = of(0).iter().chain(of(1)).copied().collect();
        names.sort_unstable();
        names.dedup();
        let letter = |key: &Key| {
            let place = names.iter().position(|name| name == key).unwrap_or(0);
            char::from_u32(if place < 26 { b'a' as u32 + place as u32 } else { b'A' as u32 + place as u32 - 26 })
                .unwrap_or('?')
        };
        if names.len() > 52 {
            return Err(site.refused("at most 52 axes", names.len()));
        }
        let spelled = |keys: &[Key]| keys.iter().map(letter).collect::<String>();
        let sizes: BTreeMap<char, usize> = names.iter().map(|key| (letter(key), aligned.length(*key))).collect();
        let product = |keys: &[Key]| keys.iter().map(|&key| aligned.length(key)).product::<usize>();
        // What the second alone gives are the channels; of one side alone, its last axis.
        let own = order.iter().filter(|key| of(0).contains(key)).count();
        let split = if own == order.len() { own.saturating_sub(1) } else { own };
        let size = Size::new(product(&order[split..]), product(&order[..split]), 1);
        let op = Einsum { left: spelled(of(0)), right: spelled(of(1)), output: spelled(&order), sizes, size };
        let mut inputs = Vec::new();
        for (side, keyed) in sides.iter().zip(&aligned.values) {
            let own = match side {
                Side::Computed(value) => value.with(keyed.arrangement.clone()),
                Side::Constant(..) => {
                    let groups = match keyed.keys.split_last() {
                        Some((last, rest)) => [rest.to_vec(), Vec::new(), vec![*last]],
                        None => Default::default(),
                    };
                    self.placed_side(side, keyed, &groups, wish)?
                }
            };
            inputs.push(own);
        }
        debug_assert!(!computed(&sides).is_empty());
        let arrangement = aligned.arrangement(output, &order, aligned.batch());
        let (node, size) = self.push(wish, op, &inputs.iter().collect::<Vec<_>>())?;
        Ok(Computed { node, size, arrangement })
    }
}
