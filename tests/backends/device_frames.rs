//! Frames that stay on the device: their contents, the reuse of their buffers, and that a reward model scores them like
//! frames that are read back to the host.

use std::sync::Arc;

use sayso::models;
use sayso_envs::{
    AutoresetMode, EnvConfig, ResetOptions, RewardSource, ScoringConfig, StepBatch, VecEnv, VectorEnv as _,
};
use sayso_rewards::{
    CheckpointModel, Embeddings, ImageTextModel, ModelDevice, RewardFrames, RewardModel, VlmRmModel,
};
use sayso_sim::frame_batch::DeviceRequest;
use sayso_sim::render::{
    DeviceChoice, DeviceFrames, ModelInput, PixelLayout, PixelType, RenderDevice, Samples, View, adapters,
};
use sayso_sim::{FrameBatch, FramePart, FrameRequest, Frames, ImageSpec};

use crate::compare::gpu;
use crate::scenes::assorted;
use crate::tasks::actions;
use crate::worlds::around;

fn input(side: usize) -> ModelInput {
    let image = ImageSpec { height: side, width: side, mean: [0.4; 3], std: [0.3; 3] };
    ModelInput { image, layout: PixelLayout::Patches { size: 8 }, dtype: PixelType::F16 }
}

/// Buffers are kept while their frames are in use, and reused afterwards.
pub fn buffers() {
    let renderer = &mut gpu();
    let (render_scene, input) = (assorted(2), input(32));
    let views = around(6, 1.4);
    let mut render = |k: usize| {
        renderer.render_for_model(&[&render_scene], &views[k..=k], &input, Samples::One, true).unwrap()
    };
    let alone: Vec<Vec<u8>> = (0..6).map(|k| render(k).read().unwrap()).collect();
    assert!(alone.windows(2).all(|pair| pair[0] != pair[1]), "views differ");
    let together: Vec<DeviceFrames> = (0..6).map(&mut render).collect();
    for (k, frames) in together.iter().enumerate() {
        assert!(frames.read().unwrap() == alone[k], "view {k} was overwritten");
    }
    drop(together);
    let size = renderer.device_bytes();
    for _ in 0..20 {
        renderer.render_for_model(&[&render_scene], &views[..1], &input, Samples::One, true).unwrap();
    }
    assert_eq!(renderer.device_bytes(), size, "buffers are reused");
    let none = renderer.render_for_model(&[&render_scene], &[], &input, Samples::One, true).unwrap();
    assert_eq!((none.n_views(), none.read().unwrap().len()), (0, 0));
    let sky = renderer.render_sky(&input).unwrap().read().unwrap();
    assert!(sky.chunks(2).any(|value| value != &sky[..2]), "the sky is not of one colour");
}

/// An env costs less than a megabyte of the device's memory at 128², with three batches for the reward model in flight.
pub fn memory() {
    let side = 128;
    let bytes = |n_envs: usize| {
        let renderer = &mut gpu();
        let render_scenes: Vec<_> = (0..n_envs as u32).map(|k| assorted(k % 5)).collect();
        let render_scenes: Vec<_> = render_scenes.iter().collect();
        let views: Vec<View> = around(n_envs, 1.4)
            .into_iter()
            .enumerate()
            .map(|(scene_idx, view)| View { scene_idx, ..view })
            .collect();
        let render =
            |_| renderer.render_for_model(&render_scenes, &views, &input(side), Samples::One, true).unwrap();
        let _in_flight: Vec<DeviceFrames> = (0..3).map(render).collect();
        renderer.device_bytes()
    };
    let per_env = (bytes(40) - bytes(8)) / 32;
    assert!(per_env < 1_000_000, "{per_env} bytes per env");
}

/// Two batches of envs on one device, each on its own thread, as when a policy is evaluated during training.
pub fn side_by_side() {
    let model = models::load("bundled", &ModelDevice::cpu()).unwrap();
    let reward_models = [reward(model.clone()), reward(Arc::new(OnDevice(model)))];
    let alone = rewards(&reward_models[0], 1, false);
    std::thread::scope(|scope| {
        let running =
            reward_models.each_ref().map(|reward_model| scope.spawn(move || rewards(reward_model, 2, true)));
        for batch in running {
            assert_eq!(batch.join().unwrap(), alone);
        }
    });
}

/// The exported memory contains the rendered frames.
#[cfg(target_os = "linux")]
pub fn export() {
    use std::os::unix::fs::FileExt as _;

    let renderer = &mut gpu();
    let (render_scene, input) = (assorted(2), input(64));
    let frames =
        renderer.render_for_model(&[&render_scene], &around(3, 1.4), &input, Samples::One, true).unwrap();
    let Some((memory, size)) = frames.export().unwrap() else {
        assert!(!renderer.gpu().shares_memory());
        return;
    };
    assert!(renderer.gpu().shares_memory());
    let want = frames.read().unwrap();
    assert!(want.len() as u64 <= size);
    // Only a software device keeps its memory in a file; there it starts after a header of the driver.
    if renderer.gpu().adapter().kind != "software" {
        return;
    }
    let file = std::fs::File::from(memory);
    let mut stored = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut stored, 0).unwrap();
    let starts = 0..=stored.len().saturating_sub(want.len());
    let found = starts.step_by(16).any(|start| stored[start..].starts_with(&want));
    assert!(found, "{} bytes are not among the {} of the memory", want.len(), stored.len());
}

/// The bundled model on the CPU, which requests frames on the device and reads them there.
struct OnDevice(Arc<CheckpointModel>);

impl ImageTextModel for OnDevice {
    fn image_spec(&self) -> &ImageSpec {
        self.0.image_spec()
    }

    fn embed_dim(&self) -> usize {
        self.0.embed_dim()
    }

    fn embed_frames(&self, _: &Frames) -> sayso_rewards::Result<Embeddings> {
        panic!("frames came through the host")
    }

    fn frame_request(&self) -> FrameRequest {
        let uuid = adapters()[0].uuid.expect("a Vulkan device has a UUID");
        let layout = PixelLayout::Patches { size: 8 };
        let on_device = Some(DeviceRequest { uuid, layout, dtype: PixelType::F32 });
        FrameRequest { image: self.0.image_spec().clone(), on_device }
    }

    fn embed_device_frames(&self, frames: &DeviceFrames) -> sayso_rewards::Result<Embeddings> {
        self.0.embed_device_frames(frames)
    }

    fn embed_prompts(&self, prompts: &[String]) -> sayso_rewards::Result<Embeddings> {
        self.0.embed_prompts(prompts)
    }
}

fn reward(model: Arc<dyn ImageTextModel>) -> Arc<dyn RewardModel> {
    Arc::new(VlmRmModel::new(model, 0.5))
}

/// Rewards of a few steps, scored in the step, or afterwards from the frames of the steps.
fn rewards(reward_model: &Arc<dyn RewardModel>, n_groups: usize, is_deferred: bool) -> Vec<f32> {
    let config = EnvConfig {
        n_envs: 6,
        autoreset: AutoresetMode::SameStep,
        max_episode_steps: Some(3),
        device: RenderDevice::Gpu(DeviceChoice::First),
        n_groups,
        ..EnvConfig::default()
    };
    let scoring = ScoringConfig {
        goal_prompts: vec!["the gripper touching the red ball".to_owned()],
        baseline_prompts: vec!["the gripper far from the red ball".to_owned()],
        ..ScoringConfig::default()
    };
    let source = match is_deferred {
        true => RewardSource::Deferred(reward_model.clone(), scoring.clone()),
        false => RewardSource::Model(reward_model.clone(), scoring.clone()),
    };
    let mut env = VecEnv::new(&config, source).unwrap();
    let (mut batch, mut all) = (StepBatch::default(), Vec::new());
    env.reset(&ResetOptions { seed: Some(4.into()), mask: None }, &mut batch).unwrap();
    let n_views_per_env = env.task_spec().reward_cameras.len();
    let mut waiting: Vec<RewardFrames> = Vec::new();
    for step in 0..5 {
        env.step(&actions(&env, step), &mut batch).unwrap();
        if is_deferred {
            let mut frames = RewardFrames::default();
            env.swap_reward_frames(&mut frames);
            let n_parts = frames.frames.parts.len();
            assert_eq!((n_parts, frames.frames.n_views()), (n_groups, 6 * n_views_per_env));
            waiting.push(frames);
        } else {
            all.extend_from_slice(&batch.rewards);
        }
    }
    let mut scorer = scoring.scorer(reward_model.clone(), &env).unwrap();
    for frames in &waiting {
        let mut scores = Vec::new();
        scorer.score(frames, &mut scores).unwrap();
        assert!(scores.iter().map(|score| score.row.env_idx).eq(0..6));
        all.extend(scores.iter().map(|score| score.score));
    }
    all
}

/// Rewards are bit-identical for frames on the host or the device, any number of groups, and immediate or deferred scoring.
pub fn reward_routes() {
    let model = models::load("bundled", &ModelDevice::cpu()).unwrap();
    let (by_host, by_device) = (reward(model.clone()), reward(Arc::new(OnDevice(model))));
    let want = rewards(&by_host, 1, false);
    assert!(want.windows(2).any(|pair| pair[0] != pair[1]), "rewards vary");
    for (reward_model, n_groups, is_deferred) in [
        (&by_host, 2, false),
        (&by_host, 3, true),
        (&by_device, 1, false),
        (&by_device, 2, false),
        (&by_device, 1, true),
        (&by_device, 3, true),
    ] {
        assert_eq!(
            rewards(reward_model, n_groups, is_deferred),
            want,
            "{n_groups} groups, deferred: {is_deferred}"
        );
    }
}

/// A model refuses frames of another format, and `release` drops frames on the device.
pub fn mismatches() {
    let renderer = &mut gpu();
    let render_scene = assorted(0);
    let view: Vec<View> = around(1, 1.4);
    let frames = renderer.render_for_model(&[&render_scene], &view, &input(64), Samples::One, true).unwrap();
    let model = models::load("bundled", &ModelDevice::cpu()).unwrap();
    let error = model.embed_device_frames(&frames).unwrap_err().to_string();
    assert!(error.contains("frames on the device"), "{error}");
    let small = renderer.render_for_model(&[&render_scene], &view, &input(32), Samples::One, true).unwrap();
    let error = model.embed_device_frames(&small).unwrap_err().to_string();
    assert!(error.contains("(32, 32)"), "{error}");
    let mut batch =
        FrameBatch { parts: vec![FramePart::Device(frames), FramePart::Host(Frames::new(2, 4, 4))] };
    assert_eq!(batch.n_views(), 3);
    batch.release();
    assert_eq!(batch.n_views(), 2, "host frames stay");
}
