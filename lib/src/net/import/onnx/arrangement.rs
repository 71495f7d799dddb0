//! Which axis of ONNX is where in memory.
//!
//! Memory is always (N, H, W, C). A file's values have any axes, and change their names and order all the time, mostly without moving a
//! number. So a value's axes are written as products of *factors*, each a stretch of memory: (N, D, h, w) and the tokens (N, h w, D) that
//! a reshape and a transposition make of it are the same numbers, the factors h, w and D in that order.

use std::ops::Range;

/// What an axis is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    /// The images.
    Batch,
    /// A stretch of an image's memory, by its place there.
    At(usize),
}

impl Factor {
    /// Its place in memory; `None` of the images.
    pub fn place(self) -> Option<usize> {
        match self {
            Self::Batch => None,
            Self::At(place) => Some(place),
        }
    }
}

/// Where the axes of a value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// The lengths of the factors in memory order, H, W, C from the outside in; none is 1.
    pub(super) memory: Vec<usize>,
    /// What each axis is made of, from the outside in; nothing where its length is 1.
    pub(super) axes: Vec<Vec<Factor>>,
}

impl Arrangement {
    /// Axes of these lengths that lie in memory in this order; before them that of the images, where there is one.
    pub fn new(lengths: &[usize], order: &[usize], has_batch: bool) -> Self {
        let mut axes = vec![Vec::new(); lengths.len()];
        for (place, &axis) in order.iter().enumerate() {
            axes[axis].push(Factor::At(place));
        }
        let memory = order.iter().map(|&axis| lengths[axis]).collect();
        if has_batch {
            axes.insert(0, vec![Factor::Batch]);
        }
        Self { memory, axes }.normalised()
    }

    /// (N, C, H, W), channels last in memory.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self::new(&[channels, height, width], &[1, 2, 0], true)
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The lengths of the factors in memory order.
    pub fn memory(&self) -> &[usize] {
        &self.memory
    }

    /// What an axis is made of.
    pub fn axis(&self, axis: usize) -> &[Factor] {
        &self.axes[axis]
    }

    /// The values of one image.
    pub fn elements(&self) -> usize {
        self.memory.iter().product()
    }

    /// The shape in ONNX, for so many images.
    pub fn shape(&self, batch: usize) -> Vec<usize> {
        let length = |factor: &Factor| self.length(*factor, batch);
        self.axes.iter().map(|axis| axis.iter().map(length).product()).collect()
    }

    pub(super) fn length(&self, factor: Factor, batch: usize) -> usize {
        match factor {
            Factor::Batch => batch,
            Factor::At(place) => self.memory[place],
        }
    }

    /// All factors in ONNX's order.
    pub fn sequence(&self) -> Vec<Factor> {
        self.axes.concat()
    }

    /// Whether the images are a part of the axis.
    pub fn is_batch(&self, axis: usize) -> bool {
        self.axes[axis].contains(&Factor::Batch)
    }

    /// The places in memory of some axes, one after the other; `None` where the images are among them.
    pub fn places(&self, axes: &[usize]) -> Option<Vec<usize>> {
        let factors = axes.iter().flat_map(|&axis| &self.axes[axis]);
        factors.map(|factor| if let Factor::At(place) = factor { Some(*place) } else { None }).collect()
    }

    /// The places of all other factors, in memory order.
    pub fn others(&self, places: &[usize]) -> Vec<usize> {
        (0..self.memory.len()).filter(|place| !places.contains(place)).collect()
    }

    /// The number of values of some places.
    pub fn product(&self, places: &[usize]) -> usize {
        places.iter().map(|&place| self.memory[place]).product()
    }

    /// Factors that lie side by side, in the same order in memory and in an axis, are one; those of length 1 are none.
    pub fn normalised(&self) -> Self {
        let mut result = self.clone();
        for axis in &mut result.axes {
            axis.retain(|factor| self.length(*factor, 2) != 1);
        }
        let kept: Vec<usize> = (0..self.memory.len()).filter(|&place| self.memory[place] != 1).collect();
        result = result.renumbered(&kept);
        let joins = |axis: &Vec<Factor>| {
            axis.windows(2).find_map(|pair| match *pair {
                [Factor::At(first), Factor::At(second)] if second == first + 1 => Some(first),
                _ => None,
            })
        };
        while let Some(first) = result.axes.iter().find_map(joins) {
            result.memory[first] *= result.memory[first + 1];
            for axis in &mut result.axes {
                axis.retain(|factor| *factor != Factor::At(first + 1));
            }
            let kept: Vec<usize> = (0..result.memory.len()).filter(|&place| place != first + 1).collect();
            result = result.renumbered(&kept);
        }
        result
    }

    /// The same with memory of these places alone, in this order.
    fn renumbered(&self, kept: &[usize]) -> Self {
        let at = |factor: &Factor| match factor {
            Factor::Batch => Some(Factor::Batch),
            Factor::At(place) => kept.iter().position(|kept| kept == place).map(Factor::At),
        };
        Self {
            memory: kept.iter().map(|&place| self.memory[place]).collect(),
            axes: self.axes.iter().map(|axis| axis.iter().filter_map(at).collect()).collect(),
        }
    }

    /// The same axes once the numbers have moved, factors in this order.
    pub fn moved(&self, order: &[usize]) -> Self {
        self.renumbered(order)
    }

    /// A factor as the product of some.
    pub(super) fn split(&self, place: usize, lengths: &[usize]) -> Self {
        let more = lengths.len();
        let at = |factor: &Factor| match *factor {
            Factor::At(at) if at == place => (place..place + more).map(Factor::At).collect(),
            Factor::At(at) if at > place => vec![Factor::At(at + more - 1)],
            factor => vec![factor],
        };
        let mut memory = self.memory.clone();
        memory.splice(place..=place, lengths.iter().copied());
        Self { memory, axes: self.axes.iter().map(|axis| axis.iter().flat_map(at).collect()).collect() }
    }

    /// The same numbers under axes of these lengths; `None` where an axis would be a part of factors that have no such part.
    pub fn reshaped(&self, target: &[usize], batch: usize) -> Option<Self> {
        // All as one axis, so that whatever lies side by side is one factor; each is split where an axis ends within it.
        let mut result = Self { memory: self.memory.clone(), axes: vec![self.sequence()] }.normalised();
        let mut axes: Vec<Vec<Factor>> = Vec::new();
        let mut taken = 0;
        for (number, &length) in target.iter().enumerate() {
            let (mut axis, mut left) = (Vec::new(), length);
            let is_next_one = target.get(number + 1) == Some(&1);
            while let Some(&factor) = result.axes[0].get(taken) {
                let own = result.length(factor, batch);
                // One image goes with the first axis that it can, best with one of its own.
                let is_one_image = factor == Factor::Batch && batch == 1;
                if left == 1 && !(is_one_image && (axis.is_empty() || !is_next_one)) {
                    break;
                }
                if left.is_multiple_of(own) {
                    (axis, left, taken) = ([axis, vec![factor]].concat(), left / own, taken + 1);
                } else if let Factor::At(place) = factor
                    && own.is_multiple_of(left)
                {
                    let more = |factor: &mut Factor| match factor {
                        Factor::At(at) if *at > place => *at += 1,
                        _ => {}
                    };
                    axes.iter_mut().flatten().chain(&mut axis).for_each(more);
                    result = result.split(place, &[left, own / left]);
                } else {
                    return None;
                }
            }
            if left != 1 {
                return None;
            }
            axes.push(axis);
        }
        if taken != result.axes[0].len() {
            return None;
        }
        Some(Self { axes, ..result }.normalised())
    }

    /// The axes in another order.
    pub fn transposed(&self, order: &[usize]) -> Self {
        Self { memory: self.memory.clone(), axes: order.iter().map(|&axis| self.axes[axis].clone()).collect() }
    }

    /// Without axes of length 1. One image's axis can go too: it is then the outside of the next.
    pub fn squeezed(&self, dropped: &[usize]) -> Self {
        let mut axes = Vec::new();
        let mut carried = Vec::new();
        for (axis, factors) in self.axes.iter().enumerate() {
            match dropped.contains(&axis) {
                true => carried.extend(factors.iter().copied()),
                false => axes.push([std::mem::take(&mut carried), factors.clone()].concat()),
            }
        }
        if let Some(last) = axes.last_mut() {
            last.extend(carried);
        }
        Self { memory: self.memory.clone(), axes }
    }

    /// With axes of length 1 at these places of the result.
    pub fn unsqueezed(&self, added: &[usize]) -> Self {
        let mut rest = self.axes.iter().cloned();
        let rank = self.axes.len() + added.len();
        let axis = |axis: usize| if added.contains(&axis) { Vec::new() } else { rest.next().unwrap_or_default() };
        Self { memory: self.memory.clone(), axes: (0..rank).map(axis).collect() }
    }

    /// One image's axis at the front, where a reshape has left it elsewhere.
    pub fn batch_first(&self, batch: usize) -> Self {
        let mut result = self.clone();
        if batch == 1 && self.axes.first().is_some_and(Vec::is_empty) && self.sequence().contains(&Factor::Batch) {
            result.axes.iter_mut().for_each(|axis| axis.retain(|factor| *factor != Factor::Batch));
            result.axes[0].push(Factor::Batch);
        }
        result
    }

    /// The stretch of memory that these places are, if they are one, in order.
    pub fn run(&self, places: &[usize]) -> Option<Range<usize>> {
        let first = *places.first()?;
        places.iter().copied().eq(first..first + places.len()).then_some(first..first + places.len())
    }

    /// Another length of an axis, which is one run of memory; where its length is 1, it comes to stand at `place`.
    pub fn with_length(&self, axis: usize, length: usize, place: usize) -> Self {
        let mut result = self.clone();
        let own = self.places(&[axis]).unwrap_or_default();
        let Some((&first, more)) = own.split_first() else {
            let at = |factor: &mut Factor| match factor {
                Factor::At(at) if *at >= place => *at += 1,
                _ => {}
            };
            result.axes.iter_mut().flatten().for_each(at);
            result.memory.insert(place, length);
            result.axes[axis].push(Factor::At(place));
            return result.normalised();
        };
        result.memory[first] = length;
        more.iter().for_each(|&place| result.memory[place] = 1);
        result.normalised()
    }

    /// Without the axis, or with nothing in it where it is kept as one of length 1; its factors are gone from memory.
    pub fn reduced(&self, axes: &[usize], keeps: bool) -> Self {
        let gone = self.places(axes).unwrap_or_default();
        let mut result = self.renumbered(&self.others(&gone));
        if !keeps {
            let kept = (0..result.axes.len()).filter(|axis| !axes.contains(axis));
            result.axes = kept.map(|axis| result.axes[axis].clone()).collect();
        }
        result.normalised()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_an_image_are_its_memory() {
        let image = Arrangement::image(8, 3, 5);
        let tokens = image.reshaped(&[1, 8, 15], 1).unwrap().transposed(&[0, 2, 1]);
        assert_eq!(tokens, Arrangement::new(&[15, 8], &[0, 1], true));
        assert_eq!(tokens.shape(4), [4, 15, 8]);
    }

    #[test]
    fn windows_join_the_images() {
        // Swin: (N, 4, 4, C) to windows of 2 x 2.
        let image = Arrangement::image(6, 4, 4).transposed(&[0, 2, 3, 1]);
        let split = image.reshaped(&[1, 2, 2, 2, 2, 6], 1).unwrap().transposed(&[0, 1, 3, 2, 4, 5]);
        let windows = split.reshaped(&[4, 4, 6], 1).unwrap();
        assert_eq!(windows.shape(1), [4, 4, 6]);
        assert!(windows.is_batch(0) && !windows.is_batch(1));
        let back = windows.reshaped(&[1, 2, 2, 2, 2, 6], 1).unwrap().transposed(&[0, 1, 3, 2, 4, 5]);
        assert_eq!(back.reshaped(&[1, 4, 4, 6], 1).unwrap(), image);
        assert_eq!(split.reshaped(&[8, 2, 6], 2), None, "sixteen places of two images are more");
    }

    #[test]
    fn axes_that_cut_through_factors_are_refused() {
        let transposed = Arrangement::image(6, 4, 5);
        assert_eq!(transposed.reshaped(&[1, 4, 30], 1), None, "6 channels of 20 places are no 4 of 30");
        let vector = Arrangement::new(&[24], &[0], true);
        assert_eq!(vector.reshaped(&[1, 4, 6], 1).unwrap().reshaped(&[1, 3, 8], 1).unwrap().shape(1), [1, 3, 8]);
    }

    #[test]
    fn one_image_has_an_axis_of_its_own_where_there_is_one() {
        // Tokens before images, (T, N, F): what PyTorch's recurrent layers give.
        let states = Arrangement::new(&[20, 8], &[0, 1], true).transposed(&[1, 0, 2]);
        let rows = states.reshaped(&[20, 8], 1).unwrap();
        assert!(rows.is_batch(0) && !rows.is_batch(1));
        let back = rows.reshaped(&[20, 1, 8], 1).unwrap();
        assert_eq!(back, states);
    }
}
