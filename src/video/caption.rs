//! Captions in a strip below images, never over them.

use image::imageops::{FilterType, overlay, resize};
use image::{Pixel as _, Rgb, RgbImage, Rgba};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Background of captions and beside views.
pub const PAPER: Rgb<u8> = Rgb([17, 19, 24]);
const INK: Rgb<u8> = Rgb([226, 230, 238]);
const DIM: Rgb<u8> = Rgb([146, 154, 170]);
const TRACK: Rgb<u8> = Rgb([44, 49, 60]);
const GOOD: Rgb<u8> = Rgb([92, 200, 140]);

const TITLE: RasterHeight = RasterHeight::Size20;
const BODY: RasterHeight = RasterHeight::Size16;
const PADDING: u32 = 10;
const LINE_GAP: u32 = 4;
const BAR_HEIGHT: u32 = 6;

/// Text below an image. Characters outside printable ASCII become `?`; long lines are cut with `...`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caption {
    /// First line, bold.
    pub title: String,
    /// Further lines.
    pub lines: Vec<String>,
    /// A bar below the text, filled to this fraction in [0, 1]: the reward.
    pub bar: Option<f32>,
    /// Whether the bar is in the colour for success.
    pub success: bool,
}

/// The image enlarged by the greatest whole factor that keeps it at or below `max_side` pixels (at least 1).
pub fn enlarge(image: &RgbImage, max_side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let factor = (max_side / width.max(height).max(1)).max(1);
    resize(image, width * factor, height * factor, FilterType::Nearest)
}

/// The image with its caption in a strip below. Width and height are even, as video needs them.
pub fn captioned_image(image: &RgbImage, caption: &Caption) -> RgbImage {
    let bar_height = if caption.bar.is_some() { BAR_HEIGHT + PADDING } else { 0 };
    let text_height = height_of(TITLE) + caption.lines.len() as u32 * (height_of(BODY) + LINE_GAP);
    let height = image.height() + PADDING + text_height + PADDING + bar_height;
    let width = image.width().next_multiple_of(2);
    let mut out = RgbImage::from_pixel(width, height.next_multiple_of(2), PAPER);
    overlay(&mut out, image, 0, 0);

    let mut y = image.height() + PADDING;
    render_text(&mut out, PADDING, y, &caption.title, TITLE, FontWeight::Bold, INK);
    y += height_of(TITLE);
    for line in &caption.lines {
        y += LINE_GAP;
        render_text(&mut out, PADDING, y, line, BODY, FontWeight::Regular, DIM);
        y += height_of(BODY);
    }
    if let Some(fraction) = caption.bar {
        let full = width.saturating_sub(2 * PADDING);
        let filled = (fraction.clamp(0.0, 1.0) * full as f32).round() as u32;
        let colour = if caption.success { GOOD } else { INK };
        for (width, colour) in [(full, TRACK), (filled, colour)] {
            let bar = RgbImage::from_pixel(width, BAR_HEIGHT, colour);
            overlay(&mut out, &bar, PADDING.into(), (y + PADDING).into());
        }
    }
    out
}

/// Images of one size in a grid of `n_columns`, with a thin gap.
pub fn contact_sheet(images: &[RgbImage], n_columns: usize) -> RgbImage {
    const GAP: u32 = 6;
    let Some(first) = images.first() else { return RgbImage::from_pixel(2, 2, PAPER) };
    let n_columns = n_columns.clamp(1, images.len());
    let n_rows = images.len().div_ceil(n_columns);
    let (cell_width, cell_height) = (first.width() + GAP, first.height() + GAP);
    let width = n_columns as u32 * cell_width - GAP;
    let height = n_rows as u32 * cell_height - GAP;
    let mut sheet = RgbImage::from_pixel(width.next_multiple_of(2), height.next_multiple_of(2), PAPER);
    for (idx, image) in images.iter().enumerate() {
        let (column, row) = ((idx % n_columns) as u32, (idx / n_columns) as u32);
        overlay(&mut sheet, image, (column * cell_width).into(), (row * cell_height).into());
    }
    sheet
}

fn height_of(size: RasterHeight) -> u32 {
    size.val() as u32
}

fn render_text(
    out: &mut RgbImage,
    x: u32,
    y: u32,
    text: &str,
    size: RasterHeight,
    weight: FontWeight,
    colour: Rgb<u8>,
) {
    let advance = get_raster_width(weight, size) as u32;
    let room = out.width().saturating_sub(x + PADDING) / advance.max(1);
    for (idx, character) in fitted(text, room as usize).enumerate() {
        let Some(glyph) = get_raster(character, weight, size).or_else(|| get_raster('?', weight, size))
        else {
            continue;
        };
        for (row, coverages) in glyph.rows().enumerate() {
            for (column, &coverage) in coverages.iter().enumerate() {
                let (x, y) = (x + idx as u32 * advance + column as u32, y + row as u32);
                if let Some(pixel) = out.get_pixel_mut_checked(x, y) {
                    blend(pixel, colour, coverage);
                }
            }
        }
    }
}

/// The first `room` characters of `text`; the last three are dots if it is cut.
fn fitted(text: &str, room: usize) -> impl Iterator<Item = char> {
    let is_cut = text.chars().count() > room;
    let kept = if is_cut { room.saturating_sub(3) } else { room };
    let dots = if is_cut { room.min(3) } else { 0 };
    text.chars().take(kept).chain(std::iter::repeat_n('.', dots)).collect::<Vec<_>>().into_iter()
}

fn blend(pixel: &mut Rgb<u8>, Rgb([r, g, b]): Rgb<u8>, coverage: u8) {
    let mut blended = pixel.to_rgba();
    blended.blend(&Rgba([r, g, b, coverage]));
    *pixel = blended.to_rgb();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_changes_no_pixel_of_the_image() {
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 250, 251, 252]).expect("two pixels");
        let image = enlarge(&image, 64);
        let caption = Caption { title: "reward 0.5".into(), bar: Some(0.5), ..Caption::default() };
        let out = captioned_image(&image, &caption);
        assert_eq!(image.dimensions(), (64, 32));
        let (above, below) = out.as_raw().split_at(image.as_raw().len());
        assert_eq!(above, image.as_raw().as_slice());
        assert!(below.contains(&INK.0[0]), "the title is below");
    }

    #[test]
    fn long_text_is_cut_with_dots() {
        assert_eq!(fitted("abcdefgh", 6).collect::<String>(), "abc...");
        assert_eq!(fitted("abcdef", 6).collect::<String>(), "abcdef");
        assert_eq!(fitted("abc", 2).collect::<String>(), "..");
    }

    #[test]
    fn odd_sizes_become_even() {
        let out = captioned_image(&RgbImage::new(63, 31), &Caption::default());
        assert_eq!((out.width() % 2, out.height() % 2), (0, 0));
    }
}
