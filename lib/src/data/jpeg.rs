//! JPEG as libjpeg-turbo decodes it, to the byte: what Pillow, torchvision and so all programs that publish distances between images
//! see. (The decoder of the image crate differs by up to 4 of 255 where colour is subsampled, which moves the inception network's 768
//! features by 1.5%.)
//!
//! Grey and colour of 8 bits; everything else, such as CMYK, is left to the image crate.

use image::{DynamicImage, GrayImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

/// The most scans of a progressive file: ten times what encoders write.
const SCANS: usize = 100;

/// The pixels of a JPEG of at most `side` rows and columns, in at most `memory` bytes; `None` of one that is left to others.
///
/// # Errors
/// A file that is damaged, cut short or larger.
pub(super) fn decode(bytes: &[u8], side: u32, memory: u64) -> Result<Option<DynamicImage>, JpegError> {
    let most = side as usize;
    let limits = DecodeLimits {
        max_width: most,
        max_height: most,
        max_pixels: memory,
        max_scans: SCANS,
        max_memory: Some(memory),
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits)?;
    let header = decoder.header();
    let format = match (header.components.len(), header.precision, header.is_lossless) {
        (1, 8, false) => PixelFormat::Grayscale,
        (3, 8, false) => PixelFormat::Rgb,
        _ => return Ok(None),
    };
    decoder.set_output_format(format);
    let decoded = decoder.decode_image()?;
    let (width, height) = (decoded.width as u32, decoded.height as u32);
    Ok(match format {
        PixelFormat::Grayscale => GrayImage::from_raw(width, height, decoded.data).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, decoded.data).map(DynamicImage::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&[u8]; 5] = [
        include_bytes!("testdata/420.jpg"),
        include_bytes!("testdata/422.jpg"),
        include_bytes!("testdata/444.jpg"),
        include_bytes!("testdata/grey.jpg"),
        include_bytes!("testdata/progressive.jpg"),
    ];

    #[test]
    fn every_kind_equals_pillow_to_the_byte() {
        // Pillow 13: numpy.asarray(Image.open(file)) of each, 13 rows of 21, one after the other.
        let truth: &[u8] = include_bytes!("testdata/pillow-jpeg.bin");
        let pixels = |file: &&[u8]| decode(file, 64, 1 << 20).unwrap().unwrap().into_bytes();
        assert_eq!(FILES.iter().flat_map(pixels).collect::<Vec<u8>>(), truth);
    }

    #[test]
    fn what_is_cut_short_or_too_large_is_refused() {
        for file in FILES {
            for length in [0, 20, file.len() / 2, file.len() - 30] {
                assert!(decode(&file[..length], 64, 1 << 20).is_err(), "{length} of {}", file.len());
            }
            assert!(decode(file, 20, 1 << 20).is_err() && decode(file, 64, 100).is_err());
        }
    }
}
