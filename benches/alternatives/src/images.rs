//! Resizing of images: ours, which equals Pillow to the bit, and fast_image_resize.

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use rand::{RngCore as _, SeedableRng};
use rand_pcg::Pcg64;
use sayso_rewards::resize::{Resample, resize};

use crate::pair;

pub fn compare() -> anyhow::Result<()> {
    let filters = [(Resample::Bicubic, FilterType::CatmullRom), (Resample::Bilinear, FilterType::Bilinear)];
    let mut differences = Vec::new();
    for (from, to) in [((640, 480), (224, 224)), ((384, 384), (336, 336)), ((100, 80), (64, 64))] {
        let mut source = RgbImage::new(from.0, from.1);
        Pcg64::seed_from_u64(1).fill_bytes(&mut source);
        for (ours, theirs) in filters {
            let by_us = resize(&source, to.0, to.1, ours).into_raw();
            let by_them = with_crate(&source, to, theirs)?;
            let largest = by_us.iter().zip(&by_them).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            let n_other = by_us.iter().zip(&by_them).filter(|(a, b)| a != b).count();
            let percent = 100.0 * n_other as f64 / by_us.len() as f64;
            differences
                .push(format!("{ours:?} {from:?} to {to:?}: {percent:.0}% of values, at most {largest}"));
        }
        let what = format!("bicubic resize {}x{} to {}x{}", from.0, from.1, to.0, to.1);
        let ours = || {
            std::hint::black_box(resize(&source, to.0, to.1, Resample::Bicubic));
            Ok(())
        };
        let theirs = || {
            std::hint::black_box(with_crate(&source, to, FilterType::CatmullRom)?);
            Ok(())
        };
        pair(&what, "fast_image_resize", Box::new(ours), Box::new(theirs))?;
    }
    println!(
        "\nfast_image_resize differs from Pillow's result on random images in\n  {}",
        differences.join("\n  ")
    );
    Ok(())
}

fn with_crate(source: &RgbImage, (width, height): (u32, u32), filter: FilterType) -> anyhow::Result<Vec<u8>> {
    let from = Image::from_vec_u8(source.width(), source.height(), source.as_raw().clone(), PixelType::U8x3)?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new().resize(&from, &mut to, &options)?;
    Ok(to.into_vec())
}
