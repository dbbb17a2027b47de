//! The photograph: loading, bringing to the working size, and adding noise.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::failure::{Failure, Outcome};

/// Width of the picture that is denoised.
pub(crate) const WIDTH: usize = 240;
/// Height of the picture that is denoised.
pub(crate) const HEIGHT: usize = 160;
/// Source and licence of the photograph that is shipped, for whoever sees its pictures.
pub(crate) const CREDIT: &str =
    "photograph: Rachel Michetti / Pikolo Espresso Bar, CC0, from scikit-image's package data (skimage.data.coffee)";

const SHIPPED: &[u8] = include_bytes!("../../assets/photo.jpg");
/// Below this, a picture holds too few patches to speak of.
const SMALLEST_SIDE: u32 = 16;

/// Colours in 0..1, `[HEIGHT, WIDTH, 3]` row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture(pub(crate) Vec<f32>);

/// The photograph that is shipped, or the one in `file`, at the working size.
pub(crate) fn load(file: Option<&Path>) -> Outcome<Picture> {
    let decoded = match file {
        None => image::load_from_memory(SHIPPED).map_err(|error| Failure::data(format!("shipped photo: {error}")))?,
        Some(path) => decode(path)?,
    };
    let (width, height) = (decoded.width(), decoded.height());
    if width.min(height) < SMALLEST_SIDE {
        return Err(Failure::data(format!(
            "photo is {width}×{height} pixels; give one of at least {SMALLEST_SIDE}×{SMALLEST_SIDE}"
        )));
    }
    let fitted = decoded.resize_to_fill(WIDTH as u32, HEIGHT as u32, FilterType::Lanczos3).to_rgb8();
    Ok(Picture(fitted.into_raw().into_iter().map(|value| f32::from(value) / 255.0).collect()))
}

fn decode(path: &Path) -> Outcome<DynamicImage> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::data(format!("photo {name} cannot be read: {error}")))?;
    image::load_from_memory(&bytes)
        .map_err(|error| Failure::data(format!("photo {name} is not a PNG or JPEG picture that can be read: {error}")))
}

impl Picture {
    /// The picture with Gaussian noise of standard deviation `sigma` on every channel, not cut to 0..1; the same noise
    /// every time.
    pub(crate) fn with_noise(&self, sigma: f32) -> Picture {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let noise = Normal::new(0.0, sigma).expect("sigma is finite and positive");
        Picture(self.0.iter().map(|value| value + noise.sample(&mut random)).collect())
    }

    /// `share` of this picture and the rest of the other.
    pub(crate) fn mix(&self, share: f32, other: &Picture) -> Picture {
        Picture(self.0.iter().zip(&other.0).map(|(a, b)| share * a + (1.0 - share) * b).collect())
    }

    /// The picture in 8 bits a channel.
    pub(crate) fn to_image(&self) -> RgbImage {
        let bytes = self.0.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        RgbImage::from_raw(WIDTH as u32, HEIGHT as u32, bytes).expect("a picture fills its extent")
    }
}

/// The picture enlarged for people, by a whole factor so that every pixel stays a square.
pub(crate) fn enlarge(picture: &RgbImage, factor: u32) -> RgbImage {
    imageops::resize(picture, picture.width() * factor, picture.height() * factor, FilterType::Nearest)
}
