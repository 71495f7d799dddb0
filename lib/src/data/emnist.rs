//! EMNIST: idx files `emnist-<split>-<train|test>-images-idx3-ubyte` whose images are transposed, in six splits. Labels of the split
//! `letters` begin at 1. Source: Cohen et al. 2017.
//!
//! ```
//! use obverse::data::emnist::Split;
//! let letters = Split::of("gzip/emnist-letters-train-images-idx3-ubyte.gz").unwrap();
//! assert_eq!((letters.first_label(), letters.classes()[25].as_str()), (1, "Z/z"));
//! assert_eq!(Split::of("train-images-idx3-ubyte.gz"), None);
//! ```

use super::Shape;
use super::source::base_name;

/// How the names of all files begin.
const PREFIX: &str = "emnist-";

/// A split: the same digits and letters in other classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 62 classes: digits, capital letters, small letters.
    ByClass,
    /// 47 classes: small letters that look like capital ones are of their class.
    ByMerge,
    /// The same 47, as many images of each.
    Balanced,
    /// 26 letters, capital or small.
    Letters,
    /// 10 digits.
    Digits,
    /// 10 digits, as many as MNIST has.
    Mnist,
}

/// The splits by their names.
const SPLITS: [(&str, Split); 6] = [
    ("byclass", Split::ByClass),
    ("bymerge", Split::ByMerge),
    ("balanced", Split::Balanced),
    ("letters", Split::Letters),
    ("digits", Split::Digits),
    ("mnist", Split::Mnist),
];

impl Split {
    /// The split of a file of this name; `None` for a file that is not EMNIST's.
    pub fn of(name: &str) -> Option<Self> {
        let rest = base_name(name).strip_prefix(PREFIX)?;
        SPLITS
            .iter()
            .find(|(split, _)| rest.strip_prefix(split).is_some_and(|rest| rest.starts_with('-')))
            .map(|&(_, split)| split)
    }

    /// The smallest label in the split's files.
    pub fn first_label(self) -> i64 {
        i64::from(self == Self::Letters)
    }

    /// The names of the classes, in the order of their labels.
    pub fn classes(self) -> Vec<String> {
        let (digits, capital, small) = ('0'..='9', 'A'..='Z', 'a'..='z');
        let names = |characters: &mut dyn Iterator<Item = char>| characters.map(String::from).collect();
        match self {
            Self::ByClass => names(&mut digits.chain(capital).chain(small)),
            Self::ByMerge | Self::Balanced => names(&mut digits.chain(capital).chain("abdefghnqrt".chars())),
            Self::Letters => capital.zip(small).map(|(capital, small)| format!("{capital}/{small}")).collect(),
            Self::Digits | Self::Mnist => names(&mut digits.into_iter()),
        }
    }
}

/// An image of `shape` with its rows and columns exchanged.
pub(crate) fn transposed(shape: Shape, pixels: &[u8]) -> Vec<u8> {
    let plane = |plane: &[u8]| -> Vec<u8> {
        (0..shape.width).flat_map(|column| plane.iter().skip(column).step_by(shape.width).copied()).collect()
    };
    pixels.chunks_exact(shape.height * shape.width).flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::import::Format;

    #[test]
    fn every_split_has_its_classes() {
        let counts = SPLITS.map(|(name, split)| {
            let file = format!("emnist-{name}-test-labels-idx1-ubyte");
            assert_eq!(Split::of(&file), Some(split));
            split.classes().len()
        });
        assert_eq!(counts, [62, 47, 47, 26, 10, 10]);
        // As emnist-balanced-mapping.txt has them: label 36 is the character 97, label 46 is 116.
        assert_eq!([36, 46].map(|label| Split::Balanced.classes()[label].clone()), ["a", "t"]);
    }

    #[test]
    fn letters_count_from_0_and_stand_upright() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        // One image of 2 rows and 3 columns, which is 3 rows and 2 columns upright.
        let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6]].concat();
        for split in ["letters", "digits"] {
            write(&format!("emnist-{split}-train-images-idx3-ubyte"), &images);
            write(&format!("emnist-{split}-train-labels-idx1-ubyte"), &[0, 0, 8, 1, 0, 0, 0, 1, 5]);
        }
        let open = |split| {
            let source = Format::Idx.source_of_split(folder.path(), split)?;
            Format::Idx.open(source, crate::data::folder::Options::default())
        };
        let error = open(None).err().unwrap().to_string();
        assert!(error.contains("emnist-digits-train") && error.contains("`split`"), "{error}");
        for (split, label, class) in [("letters", 4, "E/e"), ("digits", 5, "5")] {
            let mut import = open(Some(split)).unwrap();
            let mut part = import.parts.remove(0);
            assert_eq!(part.images.shape, Shape { channels: 1, height: 3, width: 2 });
            let example = part.images.examples.next().unwrap().unwrap();
            assert_eq!((example.pixels, example.label), (vec![1, 4, 2, 5, 3, 6], Some(label)));
            assert_eq!(import.classes.unwrap()[label as usize], class);
        }
        assert!(open(Some("balanced")).is_err());
        write("emnist-letters-train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1, 0]);
        let part = open(Some("letters")).unwrap().parts.remove(0);
        let error = part.images.examples.last().unwrap().unwrap_err().to_string();
        assert!(error.contains("labels from 1") && error.contains("found 0"), "{error}");
    }
}
