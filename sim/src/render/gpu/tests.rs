//! Checks that need no device: the kernels are valid, and their rows and constants match those of the host.

use super::kernel::{CULL, LIGHT, PREPARE, RENDER, RENDER_SHAPES};

#[test]
fn every_kernel_is_valid() {
    for source in [PREPARE, LIGHT, CULL, RENDER, RENDER_SHAPES] {
        let (name, source) = (source.entry, source.files.concat());
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&source)));
        let flags = naga::valid::ValidationFlags::all();
        naga::valid::Validator::new(flags, naga::valid::Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&source)));
    }
}

/// Size of a struct in the kernels, bytes.
fn size_in_wgsl(name: &str) -> u32 {
    let module = naga::front::wgsl::parse_str(include_str!("shaders/rows.wgsl")).unwrap();
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let (handle, _) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
    layouter[handle].to_stride()
}

#[test]
fn row_sizes_match_those_of_the_kernels() {
    use super::rows::*;
    let sizes = [
        ("Params", size_of::<ParamsRow>() as u64),
        ("Shape", size_of::<ShapeRow>() as u64),
        ("Moved", size_of::<MovedRow>() as u64),
        ("Part", PART_SIZE),
        ("RenderScene", size_of::<SceneRow>() as u64),
        ("Material", size_of::<MaterialRow>() as u64),
        ("View", size_of::<ViewRow>() as u64),
        ("ViewPart", VIEW_PART_SIZE),
        ("Caster", CASTER_SIZE),
        ("MeshNode", size_of::<NodeRow>() as u64),
        ("Triangle", size_of::<TriangleRow>() as u64),
    ];
    for (name, size) in sizes {
        assert_eq!(u64::from(size_in_wgsl(name)), size, "{name}");
    }
}

/// Value of a constant in a kernel.
fn constant_in_wgsl(source: &str, name: &str) -> f64 {
    let module = naga::front::wgsl::parse_str(source).unwrap();
    let (_, constant) = module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name)).unwrap();
    match module.global_expressions[constant.init] {
        naga::Expression::Literal(naga::Literal::U32(value)) => value.into(),
        naga::Expression::Literal(naga::Literal::F32(value)) => value.into(),
        ref other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn constants_match_those_of_the_kernels() {
    use super::scene_buffers::{GRID_HEAD, N_CELLS};
    use crate::render::codes;
    let grid = include_str!("shaders/light_grid.wgsl");
    assert_eq!(constant_in_wgsl(grid, "N_CELLS"), N_CELLS as f64);
    assert_eq!(constant_in_wgsl(grid, "GRID_HEAD"), GRID_HEAD as f64);
    let render = RENDER.files.concat();
    assert_eq!(constant_in_wgsl(&render, "N_CODES"), codes::LEN as f64);
    assert_eq!(constant_in_wgsl(&render, "CODES_PER_UNIT"), codes::PER_UNIT as f64);
}
