//! H.264 in MP4, playable in browsers and common video players.

use image::RgbImage;
use muxide::api::{MuxerBuilder, VideoCodec};
use openh264::OpenH264API;
use openh264::encoder::{
    Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};

use crate::error::{Error, Result};

/// Quantisation of H.264 (0 best, 51 worst); at 20 text and edges stay crisp.
const QP: u8 = 20;

/// Encodes images of one even size as an MP4 file, at `fps` frames per second.
///
/// # Errors
/// If there is no image, if sizes differ or are odd, or if the encoder fails.
pub fn encode_mp4(images: &[RgbImage], fps: u32) -> Result<Vec<u8>> {
    let Some(first) = images.first() else { return Err(Error::Video("it has no frames".into())) };
    let (width, height) = first.dimensions();
    if width % 2 != 0 || height % 2 != 0 {
        return Err(Error::Video(format!("{width} x {height} pixels; both must be even")));
    }
    if let Some(other) = images.iter().find(|other| other.dimensions() != (width, height)) {
        let (w, h) = other.dimensions();
        return Err(Error::Video(format!("frames of {width} x {height} and of {w} x {h} pixels")));
    }

    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Off)
        .qp(QpRange::new(QP, QP))
        .max_frame_rate(FrameRate::from_hz(fps as f32))
        .intra_frame_period(IntraFramePeriod::from_num_frames(fps * 2))
        .vui(VuiConfig::bt601())
        .skip_frames(false)
        .num_threads(1);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(encoding)?;
    let mut bytes = Vec::new();
    let mut muxer = MuxerBuilder::new(&mut bytes)
        .video(VideoCodec::H264, width, height, f64::from(fps))
        .build()
        .map_err(encoding)?;
    let (columns, rows) = (width as usize, height as usize);
    let mut yuv = YUVBuffer::new(columns, rows);
    for (idx, image) in images.iter().enumerate() {
        yuv.read_rgb8(RgbSliceU8::new(image.as_raw(), (columns, rows)));
        let frame = encoder.encode(&yuv).map_err(encoding)?;
        let is_keyframe = matches!(frame.frame_type(), FrameType::IDR | FrameType::I);
        muxer.write_video(idx as f64 / f64::from(fps), &frame.to_vec(), is_keyframe).map_err(encoding)?;
    }
    muxer.finish().map_err(encoding)?;
    Ok(bytes)
}

fn encoding(err: impl std::fmt::Display) -> Error {
    Error::Video(err.to_string())
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_video_is_an_mp4_with_one_h264_track() {
        let images: Vec<_> = (0..12).map(|i| RgbImage::from_pixel(64, 48, Rgb([i * 20, 90, 200]))).collect();
        let mp4 = encode_mp4(&images, 10).expect("encodes");
        assert_eq!(&mp4[4..8], b"ftyp");
        for atom in [b"moov", b"mdat", b"avc1", b"avcC", b"stts"] {
            assert!(mp4.windows(4).any(|w| w == atom), "{} is missing", String::from_utf8_lossy(atom));
        }
    }

    #[test]
    fn bad_sizes_are_errors_and_not_panics() {
        assert!(encode_mp4(&[], 10).is_err());
        assert!(encode_mp4(&[RgbImage::new(3, 2)], 10).is_err());
        assert!(encode_mp4(&[RgbImage::new(4, 2), RgbImage::new(2, 2)], 10).is_err());
    }
}
