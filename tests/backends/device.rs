//! Errors of a device that is absent, is out of memory, or is lost.

use sayso_sim::SimError;
use sayso_sim::render::{
    Backend, DeviceChoice, Gpu, GpuRenderer, ModelInput, PixelLayout, PixelType, RenderDevice, RenderTarget,
    Samples, adapters,
};

use crate::scenes::{assorted, spec};
use crate::worlds::around;

pub fn failures() {
    let absent = Gpu::open(&DeviceChoice::Index(99)).unwrap_err();
    assert!(matches!(absent, SimError::NoGpu { .. }));
    assert!(absent.to_string().contains(&adapters()[0].name), "{absent}");
    assert!(Backend::open(&RenderDevice::Gpu("ffff:ff:1f.7".parse().unwrap())).is_err());
    let unknown = "GPU-00000000-0000-0000-0000-000000000000".parse().unwrap();
    assert!(matches!(Gpu::open(&unknown), Err(SimError::NoGpu { .. })));
    if let Some(uuid) = adapters()[0].uuid {
        let by_uuid = Gpu::open(&DeviceChoice::Uuid(uuid)).unwrap();
        assert_eq!(by_uuid.adapter(), &adapters()[0]);
        let by_name = format!("gpu:{uuid}").parse::<RenderDevice>().unwrap();
        assert_eq!(by_name.to_string(), format!("gpu:{uuid}"));
    }

    let renderer = &mut GpuRenderer::new(Gpu::open(&DeviceChoice::First).unwrap()).unwrap();
    let (render_scene, mut target) = (assorted(1), RenderTarget::default());
    let too_wide = renderer.render(&[&render_scene], &around(1, 1.4), &spec(1, 70_000), &mut target);
    assert!(matches!(too_wide, Err(SimError::OutOfRange { .. })), "{too_wide:?}");
    let too_large = renderer.render(&[&render_scene], &around(1, 1.4), &spec(60_000, 60_000), &mut target);
    assert!(matches!(too_large, Err(SimError::GpuLimit { .. })), "{too_large:?}");

    // One view may be as large as the buffers allow.
    renderer.render(&[&render_scene], &around(1, 1.4), &spec(2100, 2100), &mut target).unwrap();
    // Out of memory: an error that says how many views would fit, or smaller groups where that is allowed.
    let views = around(16, 1.4);
    renderer.render(&[&render_scene], &views, &spec(64, 64), &mut target).unwrap();
    let whole = target.rgb.clone();
    let small = &mut GpuRenderer::new(renderer.gpu().clone()).unwrap();
    renderer.gpu().refuse_above(16 * 64 * 64 * 24 / 3);
    let full = small.render(&[&render_scene], &views, &spec(64, 64), &mut target);
    assert!(matches!(full, Err(SimError::GpuMemory { fits: Some(4), .. })), "{full:?}");
    assert!(full.unwrap_err().to_string().contains("4 views at a time would fit"));
    small.set_shrink_on_oom(true);
    small.render(&[&render_scene], &views, &spec(64, 64), &mut target).unwrap();
    assert!(target.rgb == whole, "smaller groups render the same");
    let image = sayso_sim::ImageSpec { height: 256, width: 256, mean: [0.5; 3], std: [0.5; 3] };
    let input = ModelInput { image, layout: PixelLayout::Planes, dtype: PixelType::F16 };
    let full = small.render_for_model(&[&render_scene], &views, &input, Samples::One, true);
    assert!(matches!(full, Err(SimError::GpuMemory { fits: Some(1), .. })), "{full:?}");
    renderer.gpu().refuse_above(u64::MAX);

    // The renderer still works.
    renderer.render(&[&render_scene], &around(2, 1.4), &spec(32, 32), &mut target).unwrap();
    renderer.gpu().lose();
    let lost = renderer.render(&[&render_scene], &around(2, 1.4), &spec(32, 32), &mut target);
    assert!(matches!(lost, Err(SimError::GpuLost { .. })), "{lost:?}");
}
