//! Views per second of the ray caster: the Reach scene with shadows, over sizes and batches.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sayso_envs::registry;
use sayso_sim::render::{CpuRenderer, Outputs, RenderScene, RenderSpec, RenderTarget, Samples, View};
use sayso_sim::{SimWorld, seed};

fn rendering(criterion: &mut Criterion) {
    let task = registry::task("Reach-v1", &toml::Table::new()).expect("a registered environment");
    let mut group = criterion.benchmark_group("rendering");
    group.sample_size(20);
    for (size, n_views) in [(64, 1), (64, 64), (64, 256), (128, 64), (224, 32)] {
        let worlds: Vec<SimWorld> = (0..n_views)
            .map(|env_idx| {
                let mut world = SimWorld::new(task.scene()).expect("the task's scene");
                let mut instance = task.instance(&world).expect("the task's world");
                instance.reset(&mut world, &mut seed::stream(&[1, env_idx]));
                world.sync_render_scene();
                world
            })
            .collect();
        let render_scenes: Vec<&RenderScene> = worlds.iter().map(SimWorld::render_scene).collect();
        let camera = worlds[0].camera("front").expect("the front camera");
        let views: Vec<View> =
            worlds.iter().enumerate().map(|(idx, world)| world.view(camera, idx)).collect();
        let spec = RenderSpec {
            height: size,
            width: size,
            samples: Samples::One,
            shadows: true,
            outputs: Outputs::RGB,
        };
        let mut renderer = CpuRenderer::default();
        let mut target = RenderTarget::default();
        group.throughput(Throughput::Elements(n_views));
        group.bench_function(BenchmarkId::new(format!("{size}px"), n_views), |bencher| {
            bencher.iter(|| {
                renderer.render(&render_scenes, &views, &spec, &mut target);
                black_box(target.rgb.pixels()[0])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rendering);
criterion_main!(benches);
