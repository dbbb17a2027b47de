//! How much two pictures differ.

use image::RgbImage;

/// Peak signal-to-noise ratio in dB over all channels of two 8-bit pictures of one size; infinite when they are equal.
pub(crate) fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    let squares: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.as_raw().len() as f64 / squares).log10()
}

/// Structural similarity of luma (Wang et al. 2004), the mean over windows; 1 when equal.
pub(crate) fn ssim(a: &RgbImage, b: &RgbImage) -> f64 {
    let [a, b] = [a, b].map(image::imageops::grayscale);
    image_compare::gray_similarity_structure(&image_compare::Algorithm::MSSIMSimple, &a, &b)
        .expect("both pictures have the working size")
        .score
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn equal_pictures_are_infinitely_alike_and_a_known_error_gives_a_known_ratio() {
        let a = RgbImage::from_pixel(16, 16, Rgb([100, 100, 100]));
        let b = RgbImage::from_pixel(16, 16, Rgb([110, 110, 110]));
        assert_eq!(psnr(&a, &a), f64::INFINITY);
        assert!((ssim(&a, &a) - 1.0).abs() < 1e-6);
        assert!((psnr(&a, &b) - 10.0 * (650.25f64).log10()).abs() < 1e-9);
    }
}
