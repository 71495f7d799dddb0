//! Transformations as text, and the sizes of images after them.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use super::{Error, Result};

/// Lucid's standard list.
const LUCID: &str = "pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,jitter:4";
/// Generative-model regularisation, section 3.3.
const CLARKE: &str = "translate:0..20,rotate:0..360";
/// The largest margin, shift and blur allowed, in pixels.
const LARGEST: usize = 1024;

/// From the first number to the second, which is no smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval {
    /// The smallest.
    low: f64,
    /// The largest.
    high: f64,
}

impl Interval {
    /// The number at `share` of the way, 0 to 1.
    pub(super) fn at(self, share: f64) -> f64 {
        self.low + (self.high - self.low) * share
    }

    fn within(self, low: f64, high: f64) -> bool {
        low <= self.low && self.low <= self.high && self.high <= high
    }
}

impl Display for Interval {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self.low == self.high {
            true => write!(formatter, "{}", self.low),
            false => write!(formatter, "{}..{}", self.low, self.high),
        }
    }
}

/// One transformation; the table of the module says what each does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Transform {
    /// A grey margin, in pixels.
    Pad(usize),
    /// A mirrored margin, in pixels.
    Reflect(usize),
    /// A crop smaller by this many pixels.
    Jitter(usize),
    /// Whole pixels down and right, the least and the most.
    Translate(usize, usize),
    /// A factor.
    Scale(Interval),
    /// Degrees.
    Rotate(Interval),
    /// A deviation in pixels.
    Blur(Interval),
    /// A deviation of values.
    Noise(f64),
}

impl Transform {
    /// Height and width after it.
    ///
    /// # Errors
    /// An image too small for it.
    pub(super) fn size_after(&self, (height, width): (usize, usize)) -> Result<(usize, usize)> {
        let least = height.min(width);
        let refused = |reason| Err(Error::Size { transform: self.to_string(), height, width, reason });
        match *self {
            Self::Pad(margin) => Ok((height + 2 * margin, width + 2 * margin)),
            Self::Reflect(margin) if margin >= least => refused("have no mirror image that wide"),
            Self::Reflect(margin) => Ok((height + 2 * margin, width + 2 * margin)),
            Self::Jitter(reach) if reach >= least => refused("leave nothing to crop"),
            Self::Jitter(reach) => Ok((height - reach, width - reach)),
            _ => Ok((height, width)),
        }
    }
}

impl Display for Transform {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pad(margin) => write!(formatter, "pad:{margin}"),
            Self::Reflect(margin) => write!(formatter, "reflect:{margin}"),
            Self::Jitter(reach) => write!(formatter, "jitter:{reach}"),
            Self::Translate(low, high) => write!(formatter, "translate:{low}..{high}"),
            Self::Scale(interval) => write!(formatter, "scale:{interval}"),
            Self::Rotate(interval) => write!(formatter, "rotate:{interval}"),
            Self::Blur(interval) => write!(formatter, "blur:{interval}"),
            Self::Noise(deviation) => write!(formatter, "noise:{deviation}"),
        }
    }
}

impl FromStr for Transform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |expected| Error::Text { text: text.to_owned(), expected };
        let (name, value) = text.split_once(':').ok_or_else(|| refused("a name, or a transformation and its value"))?;
        let pixels =
            || value.parse().ok().filter(|&n| n <= LARGEST).ok_or_else(|| refused("a number of pixels, 0 to 1024"));
        let between = |low, high, expected| {
            interval(value).filter(|interval| interval.within(low, high)).ok_or_else(|| refused(expected))
        };
        match name {
            "pad" => Ok(Self::Pad(pixels()?)),
            "reflect" => Ok(Self::Reflect(pixels()?)),
            "jitter" => Ok(Self::Jitter(pixels()?)),
            "translate" => {
                let expected = "whole pixels A..B, 0 to 1024";
                let Interval { low, high } = between(0.0, LARGEST as f64, expected)?;
                let whole = low.fract() == 0.0 && high.fract() == 0.0;
                whole.then_some(Self::Translate(low as usize, high as usize)).ok_or_else(|| refused(expected))
            }
            "scale" => Ok(Self::Scale(between(0.1, 10.0, "factors A..B, 0.1 to 10")?)),
            "rotate" => Ok(Self::Rotate(between(-360.0, 360.0, "degrees A..B, -360 to 360")?)),
            "blur" => Ok(Self::Blur(between(0.0, 100.0, "deviations in pixels A..B, 0 to 100")?)),
            "noise" => {
                let deviation = value.parse().ok().filter(|deviation| (0.0..=100.0).contains(deviation));
                deviation.map(Self::Noise).ok_or_else(|| refused("a deviation, 0 to 100"))
            }
            _ => Err(refused("pad, reflect, jitter, translate, scale, rotate, blur or noise")),
        }
    }
}

/// `A..B`, or a number for both.
fn interval(text: &str) -> Option<Interval> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    Some(Interval { low: low.parse().ok()?, high: high.parse().ok()? })
}

/// Transformations one after another. Printed and parsed again, it is the same list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transforms(pub(super) Vec<Transform>);

impl Transforms {
    /// Whether images stay as they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Transforms {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut list = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part {
                "none" => {}
                "lucid" => list.extend(LUCID.parse::<Self>()?.0),
                "clarke" => list.extend(CLARKE.parse::<Self>()?.0),
                _ => list.push(part.parse()?),
            }
        }
        Ok(Self(list))
    }
}

impl Display for Transforms {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return formatter.write_str("none");
        }
        for (number, transform) in self.0.iter().enumerate() {
            write!(formatter, "{}{transform}", if number > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Size;

    #[test]
    fn names_are_spelled_out_and_read_again() {
        for (text, spelled) in [
            ("lucid", LUCID),
            ("clarke", CLARKE),
            ("none", "none"),
            ("lucid, noise:0.05", "pad:12,jitter:8,scale:0.9..1.1,rotate:-10..10,jitter:4,noise:0.05"),
            ("reflect:3,blur:0.5..1,scale:1.5,rotate:-3..-1", "reflect:3,blur:0.5..1,scale:1.5,rotate:-3..-1"),
        ] {
            let list: Transforms = text.parse().unwrap();
            assert_eq!(list.to_string(), spelled);
            assert_eq!(spelled.parse(), Ok(list));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_text() {
        for text in [
            "",
            "pad",
            "pad:-1",
            "pad:1.5",
            "pad:1e9",
            "shake:1",
            "scale:0..1",
            "scale:2..1",
            "scale:nan",
            "rotate:0..400",
            "blur:-1..0",
            "noise:-1",
            "noise:inf",
            "translate:0.5..2",
            "translate:3..1",
            "jitter:8,,pad:2",
        ] {
            let error = text.parse::<Transforms>().unwrap_err();
            assert!(
                matches!(&error, Error::Text { text: part, .. } if text.split(',').any(|whole| whole == part)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn images_too_small_are_refused() {
        let size = Size::new(1, 9, 8);
        let refused = |text: &str| text.parse::<Transforms>().unwrap().between(size, size).unwrap_err().to_string();
        assert_eq!(refused("jitter:8"), "transformation \"jitter:8\": images of 9 x 8 pixels leave nothing to crop");
        assert!(refused("pad:4,reflect:16").contains("17 x 16"));
        assert!("jitter:7".parse::<Transforms>().unwrap().between(size, size).is_ok());
        let other = Transforms::default().between(size, Size::new(3, 9, 8)).unwrap_err();
        assert_eq!(other, Error::Channels { images: 1, network: 3 });
    }
}
