//! The kernels: their sources, and how they are dispatched.

const ROWS: &str = include_str!("shaders/rows.wgsl");
const LIGHT_GRID: &str = include_str!("shaders/light_grid.wgsl");

/// The source of a kernel: one module of several files, with an entry point, a uniform for the parameters at binding 0 and
/// storage buffers at the bindings after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub entry: &'static str,
    pub files: &'static [&'static str],
    /// Number of storage buffers; those from binding `first_written` on are written.
    pub n_buffers: u32,
    pub first_written: u32,
}

pub(super) const PREPARE: Source = Source {
    entry: "prepare",
    files: &[ROWS, include_str!("shaders/prepare.wgsl")],
    n_buffers: 4,
    first_written: 4,
};

pub(super) const LIGHT: Source = Source {
    entry: "light",
    files: &[ROWS, LIGHT_GRID, include_str!("shaders/light.wgsl")],
    n_buffers: 5,
    first_written: 4,
};

pub(super) const CULL: Source = Source {
    entry: "cull",
    files: &[ROWS, include_str!("shaders/cull.wgsl")],
    n_buffers: 6,
    first_written: 4,
};

pub(super) const RENDER: Source = Source {
    entry: "render",
    files: &[
        ROWS,
        LIGHT_GRID,
        include_str!("shaders/render.wgsl"),
        include_str!("shaders/cast.wgsl"),
        include_str!("shaders/mesh.wgsl"),
        include_str!("shaders/occlusion.wgsl"),
        include_str!("shaders/pattern.wgsl"),
    ],
    n_buffers: 16,
    first_written: 15,
};

/// The same for scenes without meshes: traversing meshes needs memory for a stack in every lane.
pub(super) const RENDER_SHAPES: Source = Source {
    files: &[
        ROWS,
        LIGHT_GRID,
        include_str!("shaders/render.wgsl"),
        include_str!("shaders/cast.wgsl"),
        include_str!("shaders/no_mesh.wgsl"),
        include_str!("shaders/occlusion.wgsl"),
        include_str!("shaders/pattern.wgsl"),
    ],
    ..RENDER
};

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Kernel {
    fn new(device: &wgpu::Device, source: &Source) -> Self {
        let label = Some(source.entry);
        let entries: Vec<_> = (0..=source.n_buffers)
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match binding {
                        0 => wgpu::BufferBindingType::Uniform,
                        _ => wgpu::BufferBindingType::Storage { read_only: binding < source.first_written },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let text = wgpu::ShaderSource::Wgsl(source.files.concat().into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source: text });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: label,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { pipeline, layout }
    }

    /// Adds a dispatch of `groups` workgroups to a pass.
    pub fn dispatch(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass,
        buffers: &[&wgpu::Buffer],
        groups: [u32; 3],
    ) {
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &device.create_bind_group(&descriptor), &[]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
    }
}

/// All kernels, in the order in which they run.
#[derive(Debug)]
pub(super) struct Kernels {
    pub prepare: Kernel,
    pub light: Kernel,
    pub cull: Kernel,
    pub render: Kernel,
    pub render_shapes: Kernel,
}

impl Kernels {
    pub fn new(device: &wgpu::Device) -> Self {
        let [prepare, light, cull, render, render_shapes] =
            [PREPARE, LIGHT, CULL, RENDER, RENDER_SHAPES].map(|source| Kernel::new(device, &source));
        Self { prepare, light, cull, render, render_shapes }
    }
}
