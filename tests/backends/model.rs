//! The model input that the kernel writes equals, byte for byte, the CPU's preprocessing of the same frames.

use candle_core::{DType, Device, Tensor};
use sayso_rewards::ops::patchify;
use sayso_sim::render::{ModelInput, Outputs, PixelLayout, PixelType, RenderSpec, Samples, View};
use sayso_sim::{Frames, ImageSpec};

use crate::compare::{gpu, on_gpu};
use crate::scenes::assorted;
use crate::worlds::around;

const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

pub fn inputs() {
    let render_scenes: Vec<_> = (0..3).map(assorted).collect();
    let views: Vec<View> =
        around(9, 1.4).into_iter().enumerate().map(|(k, view)| View { scene_idx: k % 3, ..view }).collect();
    let renderer = &mut gpu();
    for (height, width, patch) in [(64, 64, 8), (56, 84, 14), (50, 46, 8), (20, 34, 2)] {
        for samples in [Samples::One, Samples::Four] {
            let spec = RenderSpec { height, width, samples, shadows: true, outputs: Outputs::RGB };
            let frames = on_gpu(renderer, &render_scenes, &views, &spec).rgb;
            for layout in [PixelLayout::Planes, PixelLayout::Patches { size: patch }] {
                for dtype in [PixelType::F32, PixelType::F16] {
                    let image = ImageSpec { height, width, mean: MEAN, std: STD };
                    let input = ModelInput { image, layout, dtype };
                    let render_scenes: Vec<_> = render_scenes.iter().collect();
                    let rendered =
                        renderer.render_for_model(&render_scenes, &views, &input, samples, true).unwrap();
                    let got = rendered.read().unwrap();
                    assert!(got == on_cpu(&frames, &input), "{height} x {width}: {layout:?} {dtype:?}");
                }
            }
        }
    }
    let image = ImageSpec { height: 21, width: 21, mean: MEAN, std: STD };
    for layout in [PixelLayout::Planes, PixelLayout::Patches { size: 7 }, PixelLayout::Patches { size: 0 }] {
        let input = ModelInput { image: image.clone(), layout, dtype: PixelType::F16 };
        let render_scenes: Vec<_> = render_scenes.iter().collect();
        assert!(
            renderer.render_for_model(&render_scenes, &views, &input, Samples::One, true).is_err(),
            "{layout:?}"
        );
    }
}

/// The same values from the preprocessing of the reward models.
fn on_cpu(frames: &Frames, input: &ModelInput) -> Vec<u8> {
    let dtype = match input.dtype {
        PixelType::F32 => DType::F32,
        PixelType::F16 => DType::F16,
    };
    let tensor = match input.layout {
        PixelLayout::Patches { size } => {
            patchify(frames, 0..frames.n_views(), &input.image, size, dtype, &Device::Cpu).unwrap()
        }
        PixelLayout::Planes => planes(frames, &input.image).to_dtype(dtype).unwrap(),
    };
    let flat = tensor.flatten_all().unwrap();
    match input.dtype {
        PixelType::F32 => flat.to_vec1::<f32>().unwrap().iter().flat_map(|v| v.to_ne_bytes()).collect(),
        PixelType::F16 => flat.to_vec1::<half::f16>().unwrap().iter().flat_map(|v| v.to_ne_bytes()).collect(),
    }
}

fn planes(frames: &Frames, image: &ImageSpec) -> Tensor {
    let (scale, shift) = image.scale_and_shift();
    let n_pixels = image.height * image.width;
    let value =
        |view: usize, c: usize, k: usize| f32::from(frames.view(view)[3 * k + c]).mul_add(scale[c], shift[c]);
    let values: Vec<f32> = (0..frames.n_views())
        .flat_map(|view| (0..3).flat_map(move |c| (0..n_pixels).map(move |k| (view, c, k))))
        .map(|(view, c, k)| value(view, c, k))
        .collect();
    Tensor::from_vec(values, (frames.n_views(), 3, image.height, image.width), &Device::Cpu).unwrap()
}
