//! The order in which NumPy's `RandomState(seed).permutation(count)` puts 0..count: the Mersenne Twister (Matsumoto & Nishimura
//! 1998), and a shuffle from the end whose places are drawn by masks and rejection. torch-fidelity shuffles images with it before it
//! splits them, so its numbers can only be had in this order. Everything else of the suite draws from [`crate::tensor::random`].
//!
//! ```
//! use obverse::fidelity::shuffle::permutation;
//! assert_eq!(permutation(2020, 10), [2, 4, 9, 1, 5, 7, 6, 3, 8, 0]);
//! ```

/// Words of the generator's state.
const WORDS: usize = 624;

/// The permutation of 0..`count`, which must stay below 2^32.
pub fn permutation(seed: u32, count: usize) -> Vec<usize> {
    let mut generator = Twister::new(seed);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, generator.up_to(last as u32) as usize);
    }
    order
}

/// The Mersenne Twister of 32 bits, MT19937.
struct Twister {
    state: [u32; WORDS],
    next: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for word in 1..WORDS {
            let before = state[word - 1];
            state[word] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(word as u32);
        }
        Self { state, next: WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        for word in 0..WORDS {
            let mixed = (self.state[word] & 0x8000_0000) | (self.state[(word + 1) % WORDS] & 0x7fff_ffff);
            let odd = if mixed % 2 == 1 { 0x9908_b0df } else { 0 };
            self.state[word] = self.state[(word + 397) % WORDS] ^ (mixed >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// A number in 0..=`most`: of as many bits as `most` has, drawn until one fits.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let drawn = self.word() & mask;
            if drawn <= most {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_those_of_numpy() {
        // numpy.random.RandomState(seed).permutation(count) of NumPy 2.4.
        assert_eq!(permutation(7, 5), [0, 3, 2, 1, 4]);
        assert_eq!(permutation(2020, 1000)[..8], [725, 986, 815, 656, 469, 76, 668, 286]);
        // More draws than the state has words, several times over.
        let long = permutation(2020, 70_000);
        assert_eq!((&long[..3], &long[69_997..]), (&[29755, 22946, 54743][..], &[40259, 61832, 41824][..]));
        assert!(permutation(1, 0).is_empty() && permutation(1, 1) == [0]);
    }
}
