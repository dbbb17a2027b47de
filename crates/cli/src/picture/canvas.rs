//! A picture to draw on. Everything that lies outside is cut off.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A colour.
pub(crate) type Color = [u8; 3];

/// Black of text and lines.
pub(crate) const INK: Color = [28, 32, 38];
/// Grey of secondary text.
pub(crate) const FAINT: Color = [96, 104, 114];
/// The paper.
pub(crate) const PAPER: Color = [255, 255, 255];

/// Height of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// 16 pixels.
    Small,
    /// 20 pixels.
    Medium,
    /// 24 pixels.
    Large,
}

/// Weight of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Plain text.
    Regular,
    /// Titles.
    Bold,
}

/// A picture to draw on.
pub(crate) struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// Empty paper.
    pub(crate) fn new(width: u32, height: u32) -> Canvas {
        Canvas { image: RgbImage::from_pixel(width, height, Rgb(PAPER)) }
    }

    /// The picture.
    pub(crate) fn into_image(self) -> RgbImage {
        self.image
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, color: Color) {
        for row in y..(y + height).min(self.image.height()) {
            for column in x..(x + width).min(self.image.width()) {
                self.image.put_pixel(column, row, Rgb(color));
            }
        }
    }

    /// A frame of one pixel around a rectangle.
    pub(crate) fn frame(&mut self, x: u32, y: u32, width: u32, height: u32, color: Color) {
        let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
        self.fill(left, top, width + 2, 1, color);
        self.fill(left, y + height, width + 2, 1, color);
        self.fill(left, top, 1, height + 2, color);
        self.fill(x + width, top, 1, height + 2, color);
    }

    /// Another picture with its upper left corner at (x, y).
    pub(crate) fn paste(&mut self, picture: &RgbImage, x: u32, y: u32) {
        image::imageops::replace(&mut self.image, picture, i64::from(x), i64::from(y));
    }

    /// A line of text with its upper left corner at (x, y).
    pub(crate) fn text(&mut self, x: u32, y: u32, text: &str, size: Size, weight: Weight, color: Color) {
        let mut left = x;
        for letter in text.chars() {
            let glyph = get_raster(letter, weight.font(), size.raster())
                .or_else(|| get_raster('?', weight.font(), size.raster()));
            for (row, line) in glyph.iter().flat_map(|glyph| glyph.rows().enumerate()) {
                for (column, &ink) in line.iter().enumerate() {
                    self.blend(left + column as u32, y + row as u32, color, ink);
                }
            }
            left += size.letter_width(weight);
        }
    }

    fn blend(&mut self, x: u32, y: u32, color: Color, amount: u8) {
        if amount > 0 && x < self.image.width() && y < self.image.height() {
            let pixel = self.image.get_pixel_mut(x, y);
            for (below, above) in pixel.0.iter_mut().zip(color) {
                let (old, new, share) = (u32::from(*below), u32::from(above), u32::from(amount));
                *below = ((old * (255 - share) + new * share) / 255) as u8;
            }
        }
    }
}

impl Size {
    /// Height of a line in pixels.
    pub(crate) fn height(self) -> u32 {
        self.raster().val() as u32
    }

    /// Width of one letter in pixels; all are the same.
    pub(crate) fn letter_width(self, weight: Weight) -> u32 {
        get_raster_width(weight.font(), self.raster()) as u32
    }

    fn raster(self) -> RasterHeight {
        match self {
            Size::Small => RasterHeight::Size16,
            Size::Medium => RasterHeight::Size20,
            Size::Large => RasterHeight::Size24,
        }
    }
}

impl Weight {
    fn font(self) -> FontWeight {
        match self {
            Weight::Regular => FontWeight::Regular,
            Weight::Bold => FontWeight::Bold,
        }
    }
}
