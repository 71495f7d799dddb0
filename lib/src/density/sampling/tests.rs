use super::*;
use crate::density::network::Mode;
use crate::density::network_tests::{configurations, example};
use crate::ops::InputGradient;
use crate::store::npy::Scalar;
use crate::tensor::{Tape, shape, view};

/// The parameters of each pixel's distribution, (N, H, W, P), when the pixels before are those given: what [`PixelCnn::forward`]
/// computes in one pass, computed as in sampling.
fn teacher_forced<E: Element>(model: &PixelCnn<E>, pixels: &[u8], condition: Option<&Batch<E>>) -> Vec<E> {
    let architecture = *model.architecture();
    let (channels, dimensions, count) = (architecture.channels, architecture.dimensions(), architecture.outputs());
    let images = pixels.len() / dimensions;
    let area = architecture.height * architecture.width;
    let mut result = vec![E::zero(); images * area * count];
    Sampler::new(model, images, condition).run(|pixel, outputs| {
        for (image, outputs) in outputs.chunks_exact(count).enumerate() {
            result[(image * area + pixel) * count..][..count].copy_from_slice(outputs);
        }
        let place = |image: usize| image * dimensions + pixel * channels;
        (0..images).flat_map(|image| pixels[place(image)..place(image) + channels].to_vec()).collect()
    });
    result
}

/// The largest difference between what sampling and a full pass compute, over pixels within the images.
fn difference<E: Element + Scalar>(architecture: Architecture) -> f64 {
    let (model, pixels, condition) = example::<E>(architecture, 3);
    let forced = teacher_forced(&model, &pixels, condition.as_ref());
    let given = condition.as_ref().map(|condition| (condition, InputGradient::Unwanted));
    let full = model.forward(&mut Tape::off(), &model.scaled(&pixels), given, Mode::Inference);
    let ((_, tall, wide, count), Architecture { height, width, .. }) = (shape(&full), architecture);
    let mut largest: f64 = 0.0;
    for (number, forced) in forced.chunks_exact(count).enumerate() {
        let (image, row, column) = (number / (height * width), number / width % height, number % width);
        let full = &view(&full)[((image * tall + row) * wide + column) * count..][..count];
        let differences = full.iter().zip(forced).map(|(&a, &b)| (a - b).wide().abs());
        largest = differences.fold(largest, |largest, d| if d > largest || d.is_nan() { d } else { largest });
    }
    largest
}

#[test]
fn what_is_kept_gives_what_a_full_pass_gives() {
    for architecture in configurations() {
        let (exact, single) = (difference::<f64>(architecture), difference::<f32>(architecture));
        assert!(exact < 1e-12 && single < 1e-4, "{architecture:?}: {exact:e} {single:e}");
    }
}

/// Samples as a full pass at each pixel draws them.
fn slowly<E: Element + Scalar>(
    model: &PixelCnn<E>,
    images: usize,
    condition: Option<&Batch<E>>,
    draws: Draws,
) -> Vec<u8> {
    let architecture = *model.architecture();
    let (channels, count) = (architecture.channels, architecture.outputs());
    let mut pixels = vec![0; images * architecture.dimensions()];
    for pixel in 0..architecture.height * architecture.width {
        let given = condition.map(|condition| (condition, InputGradient::Unwanted));
        let full = model.forward(&mut Tape::off(), &model.scaled(&pixels), given, Mode::Inference);
        let (_, tall, wide, _) = shape(&full);
        for image in 0..images {
            let (row, column) = (pixel / architecture.width, pixel % architecture.width);
            let parameters = &view(&full)[((image * tall + row) * wide + column) * count..][..count];
            let uniforms: Vec<f64> = random::Stream::new(draws.seed, "sample", (draws.first + image) as u64)
                .uniform(pixel * (1 + channels)..(pixel + 1) * (1 + channels));
            let values = draw(&architecture, parameters, &uniforms, draws.temperature);
            pixels[image * architecture.dimensions() + pixel * channels..][..channels].copy_from_slice(&values);
        }
    }
    pixels
}

#[test]
fn samples_are_those_of_full_passes_in_f64_and_nearly_all_in_f32() {
    for architecture in configurations() {
        let draws = Draws { seed: 4, first: 7, temperature: 0.9 };
        let (model, _, condition) = example::<f64>(architecture, 3);
        let exact = sample(&model, 3, condition.as_ref(), draws, None);
        assert_eq!(exact, slowly(&model, 3, condition.as_ref(), draws), "{architecture:?}");
        let (model, _, condition) = example::<f32>(architecture, 3);
        let (fast, slow) =
            (sample(&model, 3, condition.as_ref(), draws, None), slowly(&model, 3, condition.as_ref(), draws));
        let equal = fast.iter().zip(&slow).filter(|(a, b)| a == b).count();
        assert!(equal * 100 >= 99 * fast.len(), "{architecture:?}: {equal} of {}", fast.len());
    }
}

#[test]
fn an_image_has_draws_of_its_own_and_given_rows_stay() {
    let architecture = configurations()[1];
    let (model, pixels, condition) = example::<f32>(architecture, 3);
    let draws = |first| Draws { seed: 4, first, temperature: 1.0 };
    let all = sample(&model, 3, condition.as_ref(), draws(0), None);
    let last = crate::tensor::batch(view(&condition.clone().unwrap())[6..].to_vec(), (1, 1, 1, 3));
    let dimensions = architecture.dimensions();
    assert_eq!(sample(&model, 1, Some(&last), draws(2), None), all[2 * dimensions..]);
    let completed = sample(&model, 3, condition.as_ref(), draws(0), Some((&pixels, 4)));
    for (image, (completed, pixels)) in completed.chunks(dimensions).zip(pixels.chunks(dimensions)).enumerate() {
        let kept = 4 * architecture.width * architecture.channels;
        assert_eq!(completed[..kept], pixels[..kept], "image {image}");
        assert_ne!(completed[kept..], pixels[kept..], "image {image}");
    }
}
