//! The kernels: their sources, and how they are dispatched.

/// The sources of the kernels, by name: each is one module.
pub(super) const SOURCES: [(&str, &[&str]); 4] = [
    ("prepare", &[include_str!("shaders/rows.wgsl"), include_str!("shaders/prepare.wgsl")]),
    (
        "light",
        &[
            include_str!("shaders/rows.wgsl"),
            include_str!("shaders/light_grid.wgsl"),
            include_str!("shaders/light.wgsl"),
        ],
    ),
    ("cull", &[include_str!("shaders/rows.wgsl"), include_str!("shaders/cull.wgsl")]),
    (
        "draw",
        &[
            include_str!("shaders/rows.wgsl"),
            include_str!("shaders/light_grid.wgsl"),
            include_str!("shaders/draw.wgsl"),
            include_str!("shaders/cast.wgsl"),
            include_str!("shaders/mesh.wgsl"),
            include_str!("shaders/occlusion.wgsl"),
            include_str!("shaders/pattern.wgsl"),
        ],
    ),
];

/// A compiled kernel. Its bindings are those of its source, in their order: the parameters, then storage buffers.
#[derive(Debug)]
pub(super) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Kernel {
    fn new(device: &wgpu::Device, name: &str, source: &[&str]) -> Self {
        let source = wgpu::ShaderSource::Wgsl(source.concat().into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some(name),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let layout = pipeline.get_bind_group_layout(0);
        Self { pipeline, layout }
    }

    /// Adds `groups` workgroups to a pass.
    pub fn dispatch(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass,
        buffers: &[&wgpu::Buffer],
        groups: [u32; 2],
    ) {
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &device.create_bind_group(&descriptor), &[]);
        pass.dispatch_workgroups(groups[0], groups[1], 1);
    }
}

/// All kernels, in the order in which they run.
#[derive(Debug)]
pub(super) struct Kernels {
    pub prepare: Kernel,
    pub light: Kernel,
    pub cull: Kernel,
    pub draw: Kernel,
}

impl Kernels {
    pub fn new(device: &wgpu::Device) -> Self {
        let [prepare, light, cull, draw] = SOURCES.map(|(name, source)| Kernel::new(device, name, source));
        Self { prepare, light, cull, draw }
    }
}
