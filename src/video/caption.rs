//! Captions below pictures, never in them.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::Picture;

const PAPER: [u8; 3] = [17, 19, 24];
const INK: [u8; 3] = [226, 230, 238];
const DIM: [u8; 3] = [146, 154, 170];
const TRACK: [u8; 3] = [44, 49, 60];
const GOOD: [u8; 3] = [92, 200, 140];

const TITLE: RasterHeight = RasterHeight::Size20;
const BODY: RasterHeight = RasterHeight::Size16;
const PADDING: usize = 10;
const LINE_GAP: usize = 4;
const BAR_HEIGHT: usize = 6;

/// Text below a picture. Characters outside printable ASCII are drawn as `?`; what is too long is cut with `...`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caption {
    /// First line, bold.
    pub title: String,
    /// Further lines.
    pub lines: Vec<String>,
    /// A bar below the text, filled to this share in [0, 1]: the reward.
    pub bar: Option<f32>,
    /// Whether the bar is drawn in the colour of success.
    pub success: bool,
}

/// The picture enlarged by the greatest whole factor that keeps it at or below `max_side` pixels (at least 1).
pub fn enlarge(picture: &Picture, max_side: usize) -> Picture {
    let factor = (max_side / picture.width.max(picture.height).max(1)).max(1);
    let (width, height) = (picture.width * factor, picture.height * factor);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in picture.pixels.chunks_exact(picture.width.max(1) * 3) {
        let wide: Vec<u8> = row.chunks_exact(3).flat_map(|pixel| pixel.repeat(factor)).collect();
        for _ in 0..factor {
            pixels.extend_from_slice(&wide);
        }
    }
    Picture { width, height, pixels }
}

/// The picture with its caption in a strip below; width and height come out even, as video needs them.
pub fn captioned_picture(picture: &Picture, caption: &Caption) -> Picture {
    let bar_height = if caption.bar.is_some() { BAR_HEIGHT + PADDING } else { 0 };
    let strip = PADDING + TITLE.val() + caption.lines.len() * (BODY.val() + LINE_GAP) + PADDING + bar_height;
    let width = picture.width.next_multiple_of(2);
    let mut out = Picture::filled(width, (picture.height + strip).next_multiple_of(2), PAPER);
    out.paste(picture, 0, 0);

    let mut y = picture.height + PADDING;
    draw_text(&mut out, PADDING, y, &caption.title, TITLE, FontWeight::Bold, INK);
    y += TITLE.val();
    for line in &caption.lines {
        y += LINE_GAP;
        draw_text(&mut out, PADDING, y, line, BODY, FontWeight::Regular, DIM);
        y += BODY.val();
    }
    if let Some(share) = caption.bar {
        let full = width.saturating_sub(2 * PADDING);
        let filled = (share.clamp(0.0, 1.0) * full as f32).round() as usize;
        let colour = if caption.success { GOOD } else { INK };
        out.paste(&Picture::filled(full, BAR_HEIGHT, TRACK), PADDING, y + PADDING);
        out.paste(&Picture::filled(filled, BAR_HEIGHT, colour), PADDING, y + PADDING);
    }
    out
}

/// Several pictures of one size in a grid of `n_columns`, with a thin gap.
pub fn contact_sheet(pictures: &[Picture], n_columns: usize) -> Picture {
    const GAP: usize = 6;
    let Some(first) = pictures.first() else { return Picture::filled(2, 2, PAPER) };
    let n_columns = n_columns.clamp(1, pictures.len());
    let n_rows = pictures.len().div_ceil(n_columns);
    let width = n_columns * first.width + (n_columns - 1) * GAP;
    let height = n_rows * first.height + (n_rows - 1) * GAP;
    let mut sheet = Picture::filled(width.next_multiple_of(2), height.next_multiple_of(2), PAPER);
    for (idx, picture) in pictures.iter().enumerate() {
        let (column, row) = (idx % n_columns, idx / n_columns);
        sheet.paste(picture, column * (first.width + GAP), row * (first.height + GAP));
    }
    sheet
}

fn draw_text(
    out: &mut Picture,
    x: usize,
    y: usize,
    text: &str,
    size: RasterHeight,
    weight: FontWeight,
    colour: [u8; 3],
) {
    let advance = get_raster_width(weight, size);
    let room = out.width.saturating_sub(x + PADDING) / advance.max(1);
    for (idx, character) in fitted(text, room).enumerate() {
        let Some(glyph) = get_raster(character, weight, size).or_else(|| get_raster('?', weight, size))
        else {
            continue;
        };
        for (row, coverages) in glyph.rows().enumerate() {
            for (column, &coverage) in coverages.iter().enumerate() {
                let at = ((y + row) * out.width + x + idx * advance + column) * 3;
                if let Some(pixel) = out.pixels.get_mut(at..at + 3) {
                    blend(pixel, colour, coverage);
                }
            }
        }
    }
}

/// The characters of `text` that fit in `room`, the last three of them dots if something is cut.
fn fitted(text: &str, room: usize) -> impl Iterator<Item = char> {
    let is_cut = text.chars().count() > room;
    let kept = if is_cut { room.saturating_sub(3) } else { room };
    let dots = if is_cut { room.min(3) } else { 0 };
    text.chars().take(kept).chain(std::iter::repeat_n('.', dots)).collect::<Vec<_>>().into_iter()
}

fn blend(pixel: &mut [u8], colour: [u8; 3], coverage: u8) {
    for (value, ink) in pixel.iter_mut().zip(colour) {
        let mixed = u32::from(*value) * (255 - u32::from(coverage)) + u32::from(ink) * u32::from(coverage);
        *value = (mixed / 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caption_leaves_every_pixel_of_the_picture_as_it_was() {
        let picture = enlarge(&Picture { width: 2, height: 1, pixels: vec![1, 2, 3, 250, 251, 252] }, 64);
        let caption = Caption { title: "reward 0.5".into(), bar: Some(0.5), ..Caption::default() };
        let out = captioned_picture(&picture, &caption);
        assert_eq!((picture.width, picture.height), (64, 32));
        assert_eq!(out.pixels[..picture.pixels.len()], picture.pixels[..]);
        assert!(out.pixels[picture.pixels.len()..].contains(&INK[0]), "the title is drawn below");
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        assert_eq!(fitted("abcdefgh", 6).collect::<String>(), "abc...");
        assert_eq!(fitted("abcdef", 6).collect::<String>(), "abcdef");
        assert_eq!(fitted("abc", 2).collect::<String>(), "..");
    }

    #[test]
    fn odd_sizes_come_out_even() {
        let out = captioned_picture(&Picture::filled(63, 31, [0; 3]), &Caption::default());
        assert_eq!((out.width % 2, out.height % 2), (0, 0));
    }
}
