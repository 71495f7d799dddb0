//! Captions in a bitmap font of 8 x 8 pixels per character, enlarged by whole factors.
//!
//! Source: the public-domain fonts of the crate font8x8; a byte is a row, its lowest bit the leftmost pixel.

use font8x8::{BASIC_FONTS, GREEK_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{Rgb, RgbImage};

/// Pixels of a character, in width and height, before enlarging.
pub(crate) const CHARACTER: usize = 8;

const INK: Rgb<u8> = Rgb([0; 3]);

/// Draws `text` with its top left corner at (x, y), cut at the edge of the picture.
pub fn draw(picture: &mut RgbImage, text: &str, (x, y): (usize, usize), scale: usize) {
    for (index, character) in text.chars().enumerate() {
        let left = x + index * CHARACTER * scale;
        for (row, bits) in glyph(character).into_iter().enumerate() {
            for column in (0..CHARACTER).filter(|column| bits >> column & 1 == 1) {
                dot(picture, (left + column * scale, y + row * scale), scale);
            }
        }
    }
}

fn glyph(character: char) -> [u8; CHARACTER] {
    let known =
        BASIC_FONTS.get(character).or_else(|| LATIN_FONTS.get(character)).or_else(|| GREEK_FONTS.get(character));
    known.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

fn dot(picture: &mut RgbImage, (x, y): (usize, usize), scale: usize) {
    for (x, y) in (x..x + scale).flat_map(|x| (y..y + scale).map(move |y| (x, y))) {
        if let Some(pixel) = picture.get_pixel_mut_checked(x as u32, y as u32) {
            *pixel = INK;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(text: &str, scale: usize) -> usize {
        let mut picture = RgbImage::from_pixel(64, 16, Rgb([255; 3]));
        draw(&mut picture, text, (0, 0), scale);
        picture.pixels().filter(|&&pixel| pixel == INK).count()
    }

    #[test]
    fn a_caption_leaves_ink_that_grows_with_the_square_of_its_scale() {
        assert!(ink("7", 1) > 8);
        assert_eq!(ink("7", 2), 4 * ink("7", 1));
        assert_eq!(ink("77", 1), 2 * ink("7", 1));
        assert_eq!(ink(" ", 1), 0);
        // A character without a glyph shows as a question mark; what does not fit is cut.
        assert_eq!(ink("\u{4e2d}", 1), ink("?", 1));
        assert!(ink(&"7".repeat(100), 2) < 64 * 16);
    }
}
