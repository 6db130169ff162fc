//! Resizes and crops images to the size that a model reads.

use image::RgbImage;
use image::imageops::crop_imm;
use sayso_sim::{Frames, ImageSpec};
use serde_json::Value;

use crate::resize::{Resample, resize};

/// How an image of another size is brought to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// As configured in the checkpoint.
    #[default]
    Checkpoint,
    /// Resize to the model's size without keeping the aspect ratio, as in VLM-RM.
    Squash,
    /// Resize the shorter side to the model's size, then crop the centre.
    ShortestEdgeCrop,
}

/// Image preprocessing of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Size, mean and standard deviation of the tower's input.
    pub spec: ImageSpec,
    size: Option<Size>,
    crops: bool,
    filter: Resample,
    origin: CropOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    ShortestEdge(u32),
    Exact { height: u32, width: u32 },
}

/// Rounding of the centre crop when an odd number of pixels is cut: the two reference libraries differ by one pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CropOrigin {
    /// `transformers`.
    Floor,
    /// `torchvision`, which `open_clip` uses: Python's `round`.
    HalfToEven,
}

impl CropOrigin {
    fn of(self, rest: u32) -> u32 {
        match self {
            Self::HalfToEven if rest % 4 == 3 => rest / 2 + 1,
            _ => rest / 2,
        }
    }
}

impl Preprocess {
    /// Reads `preprocessor_config.json` of a Hugging Face checkpoint whose tower reads `image_size` pixels squared.
    ///
    /// # Errors
    /// Names the key that is missing, malformed, or inconsistent with the tower.
    pub fn from_hugging_face(json: &Value, image_size: usize) -> Result<Self, String> {
        // A key that is null is absent: `transformers` writes its unset keys as null.
        let is_set = |key: &str| json.get(key).is_some_and(|value| !value.is_null());
        let flag = |key: &str, default: bool| json.get(key).and_then(Value::as_bool).unwrap_or(default);
        if !flag("do_rescale", true) || !flag("do_normalize", true) {
            return Err("do_rescale and do_normalize must be true".into());
        }
        let factor = json.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0);
        if (factor * 255.0 - 1.0).abs() > 1e-6 {
            return Err(format!("rescale_factor = {factor}; expected 1/255"));
        }
        let crops = flag("do_center_crop", is_set("crop_size"));
        let size =
            if flag("do_resize", true) { Some(hugging_face_size(json, "size", !crops)?) } else { None };
        let read = match (crops, size) {
            (true, _) => Some(hugging_face_size(json, "crop_size", true)?),
            (false, size) => size,
        };
        let side = image_size as u32;
        if !matches!(read, Some(Size::Exact { height, width }) if (height, width) == (side, side)) {
            return Err(format!("images are preprocessed to {read:?}, but the tower reads {side} by {side}"));
        }
        let number = json.get("resample").and_then(Value::as_u64).unwrap_or(3);
        let filter = u8::try_from(number).ok().and_then(Resample::from_pil).ok_or_else(|| {
            format!("resample = {number}; expected 1 (Lanczos), 2 (bilinear) or 3 (bicubic)")
        })?;
        let spec = image_spec(image_size, json, "image_mean", "image_std")?;
        Ok(Self { spec, size, crops, filter, origin: CropOrigin::Floor })
    }

    /// Reads `preprocess_cfg` of an `open_clip_config.json`.
    ///
    /// # Errors
    /// Names the key that is missing, malformed, or inconsistent with the tower.
    pub fn from_open_clip(json: &Value, image_size: usize) -> Result<Self, String> {
        let text = |key: &str, default: &'static str| {
            json.get(key).and_then(Value::as_str).unwrap_or(default).to_owned()
        };
        let filter = match text("interpolation", "bicubic").as_str() {
            "bicubic" => Resample::Bicubic,
            "bilinear" => Resample::Bilinear,
            other => return Err(format!("interpolation = '{other}'; expected 'bicubic' or 'bilinear'")),
        };
        let side = image_size as u32;
        let (size, crops) = match text("resize_mode", "shortest").as_str() {
            "shortest" => (Size::ShortestEdge(side), true),
            "squash" => (Size::Exact { height: side, width: side }, false),
            other => return Err(format!("resize_mode = '{other}'; expected 'shortest' or 'squash'")),
        };
        let spec = image_spec(image_size, json, "mean", "std")?;
        Ok(Self { spec, size: Some(size), crops, filter, origin: CropOrigin::HalfToEven })
    }

    /// Preprocessing for frames rendered at the model's size; images of another size are squashed.
    pub fn squashing(spec: ImageSpec) -> Self {
        let size = Size::Exact { height: spec.height as u32, width: spec.width as u32 };
        Self { spec, size: Some(size), crops: false, filter: Resample::Bicubic, origin: CropOrigin::Floor }
    }

    /// The equivalent content of a `preprocessor_config.json` for `transformers`.
    pub fn to_hugging_face(&self) -> Value {
        let (height, width) = (self.spec.height, self.spec.width);
        let size = match self.size {
            Some(Size::ShortestEdge(side)) => serde_json::json!({ "shortest_edge": side }),
            _ => serde_json::json!({ "height": height, "width": width }),
        };
        serde_json::json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": true,
            "do_resize": self.size.is_some(),
            "size": size,
            "resample": match self.filter { Resample::Lanczos => 1, Resample::Bilinear => 2, Resample::Bicubic => 3 },
            "do_center_crop": self.crops,
            "crop_size": { "height": height, "width": width },
            "do_rescale": true,
            "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": self.spec.mean,
            "image_std": self.spec.std,
        })
    }

    /// Resizes and crops an image to `[spec.height, spec.width]`.
    pub fn fit(&self, image: &RgbImage, fit: Fit) -> RgbImage {
        let (height, width) = (self.spec.height as u32, self.spec.width as u32);
        if image.dimensions() == (width, height) {
            return image.clone();
        }
        let (size, crops) = match fit {
            Fit::Checkpoint => (self.size, self.crops),
            Fit::Squash => (Some(Size::Exact { height, width }), false),
            Fit::ShortestEdgeCrop => (Some(Size::ShortestEdge(height.max(width))), true),
        };
        let resized = match size {
            None => image.clone(),
            Some(Size::Exact { height, width }) => resize(image, width, height, self.filter),
            Some(Size::ShortestEdge(side)) => {
                let (w, h) = image.dimensions();
                let long = |long: u32, short: u32| {
                    (u64::from(side) * u64::from(long) / u64::from(short.max(1))) as u32
                };
                let (w, h) = if w < h { (side, long(h, w)) } else { (long(w, h), side) };
                resize(image, w, h, self.filter)
            }
        };
        if crops || resized.dimensions() != (width, height) {
            self.crop(&resized, width, height)
        } else {
            resized
        }
    }

    /// Crops the centre of an image, padded with black where the image is smaller.
    fn crop(&self, image: &RgbImage, width: u32, height: u32) -> RgbImage {
        let (w, h) = image.dimensions();
        let (left, top) = (self.origin.of(w.saturating_sub(width)), self.origin.of(h.saturating_sub(height)));
        let middle = crop_imm(image, left, top, width.min(w), height.min(h)).to_image();
        if middle.dimensions() == (width, height) {
            return middle;
        }
        let mut padded = RgbImage::new(width, height);
        let (x, y) = (width.saturating_sub(w).div_ceil(2), height.saturating_sub(h).div_ceil(2));
        image::imageops::replace(&mut padded, &middle, x.into(), y.into());
        padded
    }
}

/// Stacks images; `None` if their sizes differ from `spec`.
pub(crate) fn stack(images: &[RgbImage], spec: &ImageSpec) -> Option<Frames> {
    let pixels = images.iter().flat_map(|image| image.as_raw()).copied().collect();
    Frames::from_pixels(images.len(), spec.height, spec.width, pixels)
}

/// Reads a size given as a number, `{"shortest_edge": n}` or `{"height": h, "width": w}`.
fn hugging_face_size(json: &Value, key: &str, number_is_square: bool) -> Result<Size, String> {
    let value = json.get(key).ok_or_else(|| format!("{key} is missing"))?;
    let side = |value: Option<&Value>| {
        value.and_then(Value::as_u64).and_then(|v| u32::try_from(v).ok()).filter(|v| (1..=16_384).contains(v))
    };
    let exact =
        |height: Option<u32>, width: Option<u32>| Some(Size::Exact { height: height?, width: width? });
    let number = side(Some(value));
    let size = match number {
        Some(_) if number_is_square => exact(number, number),
        Some(number) => Some(Size::ShortestEdge(number)),
        None => side(value.get("shortest_edge"))
            .map(Size::ShortestEdge)
            .or_else(|| exact(side(value.get("height")), side(value.get("width")))),
    };
    size.ok_or_else(|| {
        format!("{key} = {value}; expected a number, {{shortest_edge}} or {{height, width}}, 1 to 16384")
    })
}

fn image_spec(image_size: usize, json: &Value, mean: &str, std: &str) -> Result<ImageSpec, String> {
    let triple = |key: &str| -> Result<[f32; 3], String> {
        let value = json.get(key).ok_or_else(|| format!("{key} is missing"))?;
        serde_json::from_value(value.clone()).map_err(|_| format!("{key} = {value}; expected three numbers"))
    };
    let (mean, std_values) = (triple(mean)?, triple(std)?);
    if std_values.iter().any(|v| v.is_nan() || *v <= 0.0) {
        return Err(format!("{std} = {std_values:?}; expected numbers above 0"));
    }
    Ok(ImageSpec { height: image_size, width: image_size, mean, std: std_values })
}
