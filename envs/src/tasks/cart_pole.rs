//! `CartPole-v1`: a cart on a track balances a pole.
//!
//! Two variants. `classic` follows Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983): the episode ends when the
//! pole leans more than 12° or the cart leaves ±2.4 m, and every step earns 1. `vlm_rm` follows Rocamonde et al. 2024:
//! nothing ends the episode early, because termination would inform the agent about the goal, which only the reward should
//! do; the cart stops at the ends of the track, and an episode of 200 steps succeeds if it never leaves those bounds.

use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use rand::Rng as _;
use sayso_sim::math::Vec3;
use sayso_sim::scene::{
    BodySpec, CameraSpec, JointKind, JointSpec, MaterialSpec, PartSpec, PhysicsSpec, PoseSpec, SceneSpec,
    ShapeSpec, TextureSpec,
};
use sayso_sim::seed::Rng;
use sayso_sim::{BodyIdx, CameraIdx, JointIdx, MaterialIdx, SimWorld};
use serde::{Deserialize, Serialize};

use super::looks;
use super::relations::Scale;
use crate::Result;
use crate::language::{Caption, Goal};
use crate::registry::TaskOptions;
use crate::space::Space;
use crate::task::{ActionRow, Measurement, STATE_BOUND, Task, TaskInstance, TaskSpec};

/// Force of an action, newtons.
const FORCE: f32 = 10.0;
/// Bound of the cart's position, metres.
const MAX_POSITION: f32 = 2.4;
/// Bound of the pole's angle from upright, rad.
const MAX_ANGLE: f32 = 12.0 * TAU / 360.0;
/// Half of the pole's length, metres.
const HALF_POLE: f32 = 0.5;

const GOAL_PROMPT: &str = "pole vertically upright on top of the cart";
const BASELINE: &str = "pole and cart";

/// Words for the pole's angle from upright, in degrees.
const LEAN: Scale<7> = Scale {
    words: [
        &["vertically upright on top of the cart", "standing upright on the cart"],
        &["almost upright on the cart", "nearly vertical on the cart"],
        &["leaning a little on the cart", "slightly tilted on the cart"],
        &["leaning over on the cart", "tilted on the cart"],
        &["falling from the cart", "lying sideways from the cart"],
        &["hanging below the cart at an angle", "fallen below the cart"],
        &["hanging straight down from the cart", "pointing down from the cart"],
    ],
    levels: [0.0, 5.0, 14.0, 35.0, 80.0, 130.0, 180.0],
};

/// Options of the task.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CartPoleOptions {
    /// The rules of the task.
    pub variant: Variant,
    /// The form of an action.
    pub actions: ActionForm,
}

/// The form of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionForm {
    /// Full force to the left or to the right, as in Gymnasium's CartPole-v1.
    #[default]
    Discrete,
    /// A fraction of the force, in [-1, 1].
    Continuous,
}

/// The rules of the task; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The rules of Gymnasium's CartPole-v1.
    #[default]
    Classic,
    /// The rules of VLM-RM.
    VlmRm,
}

impl TaskOptions for CartPoleOptions {
    const ID: &str = "CartPole-v1";

    fn task(self) -> Box<dyn Task> {
        Box::new(CartPole::new(self))
    }
}

/// The task; see the module.
pub struct CartPole {
    spec: TaskSpec,
    scene: Arc<SceneSpec>,
    variant: Variant,
}

impl CartPole {
    /// The task with its options.
    pub fn new(options: CartPoleOptions) -> Self {
        let [instruction, paraphrases @ .., held_out] = INSTRUCTIONS.map(str::to_owned);
        let is_classic = options.variant == Variant::Classic;
        let angle_bound = if is_classic { 2.0 * MAX_ANGLE } else { PI };
        let high = vec![2.0 * MAX_POSITION, STATE_BOUND, angle_bound, STATE_BOUND];
        let spec = TaskSpec {
            id: CartPoleOptions::ID,
            summary: "A cart balances a pole, by the rules of Gymnasium or, with `variant = \"vlm_rm\"`, of VLM-RM.",
            max_episode_steps: if is_classic { 500 } else { 200 },
            state_space: Space::Box { low: high.iter().map(|h| -h).collect(), high },
            state_names: [
                "cart position [m]",
                "cart velocity [m/s]",
                "pole angle [rad]",
                "pole velocity [rad/s]",
            ]
            .map(str::to_owned)
            .to_vec(),
            action_space: match options.actions {
                ActionForm::Discrete => Space::Discrete { n: 2 },
                ActionForm::Continuous => Space::uniform_box(1, -1.0, 1.0),
            },
            goals: vec![Goal {
                name: "upright".to_owned(),
                instruction,
                paraphrases: paraphrases.to_vec(),
                held_out_paraphrases: vec![held_out],
                goal_prompt: GOAL_PROMPT.to_owned(),
                baseline_prompt: BASELINE.to_owned(),
            }],
            goal_space: None,
            captions: captions(),
            landmark_names: ["cart", "pole tip"].map(str::to_owned).to_vec(),
            metric_names: ["pole_angle", "cart_position"].map(str::to_owned).to_vec(),
            pixel_camera: "side",
            reward_cameras: vec!["close".to_owned()],
            video_camera: "side",
        };
        Self { spec, scene: Arc::new(scene()), variant: options.variant }
    }
}

/// The instruction and its paraphrases, of which the last one is held out.
const INSTRUCTIONS: [&str; 3] = [
    "balance the pole upright on the cart",
    "keep the pole upright",
    "hold the pole vertically on top of the cart",
];

fn captions() -> Vec<Caption> {
    let leans = LEAN.words.iter().enumerate().map(|(word_idx, words)| {
        let phrasings = words.iter().flat_map(|word| [format!("pole {word}"), format!("the pole {word}")]);
        // An instruction describes the state in which it is done.
        let instructions = INSTRUCTIONS.into_iter().filter(|_| word_idx == 0).map(str::to_owned);
        Caption::new(phrasings.chain(instructions)).on_axis(0)
    });
    std::iter::once(Caption::new([BASELINE, "a pole and a cart"])).chain(leans).collect()
}

fn scene() -> SceneSpec {
    let visual = |shape: ShapeSpec, material: &str| PartSpec::visual(shape, material);
    let slab = |x: f32, y: f32, z: f32| ShapeSpec::Box { half_extents: [x, y, z] };
    let rail = PoseSpec::along(Vec3::NEG_X, Vec3::X);
    let pole = visual(ShapeSpec::Box { half_extents: [0.035, 0.035, HALF_POLE] }, "pole")
        .at(PoseSpec::at(0.0, 0.0, HALF_POLE));
    let joint = |name: &str, kind: JointKind, parent: &str, child: &str, z: f32, limits| JointSpec {
        name: name.to_owned(),
        kind,
        parent: parent.to_owned(),
        child: child.to_owned(),
        parent_from_joint: PoseSpec::at(0.0, 0.0, z),
        child_from_joint: PoseSpec::default(),
        limits,
        motor: None,
        armature: 0.0,
        damping: 0.0,
    };
    SceneSpec {
        physics: PhysicsSpec {
            dt_secs: 0.02,
            n_substeps: 1,
            n_solver_iterations: 1,
            ..PhysicsSpec::default()
        },
        materials: vec![
            MaterialSpec::textured(
                "floor",
                [0.50, 0.52, 0.50],
                TextureSpec::Grid { line: [0.38, 0.40, 0.38], cell: 0.5, width: 0.03 },
            ),
            MaterialSpec::plain("rail", [0.25, 0.26, 0.28]).with_roughness(0.4),
            MaterialSpec::plain("cart", [0.05, 0.06, 0.08]),
            MaterialSpec::plain("pole", [0.72, 0.42, 0.16]),
            MaterialSpec::plain("axle", [0.55, 0.55, 0.75]).with_roughness(0.4),
        ],
        bodies: vec![
            BodySpec::fixed("floor", PoseSpec::at(0.0, 0.0, -1.3), vec![visual(ShapeSpec::Plane, "floor")]),
            BodySpec::fixed(
                "track",
                PoseSpec::default(),
                vec![
                    visual(ShapeSpec::Capsule { radius: 0.025, half_length: MAX_POSITION + 0.3 }, "rail")
                        .at(rail),
                    visual(slab(0.04, 0.12, 0.16), "rail").at(PoseSpec::at(-MAX_POSITION - 0.35, 0.0, 0.0)),
                    visual(slab(0.04, 0.12, 0.16), "rail").at(PoseSpec::at(MAX_POSITION + 0.35, 0.0, 0.0)),
                ],
            ),
            BodySpec::dynamic(
                "cart",
                PoseSpec::default(),
                vec![visual(slab(0.25, 0.14, 0.11), "cart").with_mass(1.0)],
            ),
            BodySpec::dynamic(
                "pole",
                PoseSpec::default(),
                vec![
                    pole.with_mass(0.1),
                    visual(ShapeSpec::Sphere { radius: 0.055 }, "axle").at(PoseSpec::at(0.0, -0.05, 0.0)),
                ],
            ),
        ],
        joints: vec![
            joint("slide", JointKind::Slide { axis: [1.0, 0.0, 0.0] }, "track", "cart", 0.0, None),
            // The pole is in front of the cart, so that it stays visible when it hangs down.
            JointSpec {
                parent_from_joint: PoseSpec::at(0.0, -0.18, 0.0),
                ..joint("hinge", JointKind::Hinge { axis: [0.0, 1.0, 0.0] }, "cart", "pole", 0.0, None)
            },
        ],
        cameras: vec![
            CameraSpec::looking_at("side", Vec3::new(0.0, -6.2, 0.7), Vec3::new(0.0, 0.0, 0.15), 52.0),
            CameraSpec::looking_at("close", Vec3::new(0.0, -3.0, 0.35), Vec3::new(0.0, 0.0, 0.05), 46.0)
                .on_body("cart"),
        ],
        ..SceneSpec::default()
    }
}

impl Task for CartPole {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn scene(&self) -> Arc<SceneSpec> {
        Arc::clone(&self.scene)
    }

    fn instance(&self, world: &SimWorld) -> Result<Box<dyn TaskInstance>> {
        let surfaces = ["floor", "rail", "cart", "pole"].map(|name| world.material_idx(name));
        Ok(Box::new(CartPoleInstance {
            cart: world.body("cart")?,
            pole: world.body("pole")?,
            slide: world.joint("slide")?,
            hinge: world.joint("hinge")?,
            surfaces: surfaces.into_iter().collect::<Result<_, _>>()?,
            cameras: (0..world.spec().cameras.len()).map(CameraIdx).collect(),
            variant: self.variant,
            has_failed: false,
        }))
    }
}

struct CartPoleInstance {
    cart: BodyIdx,
    pole: BodyIdx,
    slide: JointIdx,
    hinge: JointIdx,
    surfaces: Vec<MaterialIdx>,
    cameras: Vec<CameraIdx>,
    variant: Variant,
    /// The pole or the cart was out of bounds in some step of this episode.
    has_failed: bool,
}

impl CartPoleInstance {
    /// The pole's angle from upright, wrapped to [-π, π]; positive towards +x.
    fn angle(&self, world: &SimWorld) -> f32 {
        (world.joint_position(self.hinge) + PI).rem_euclid(TAU) - PI
    }

    fn is_out_of_bounds(&self, world: &SimWorld) -> bool {
        world.joint_position(self.slide).abs() > MAX_POSITION || self.angle(world).abs() > MAX_ANGLE
    }
}

impl TaskInstance for CartPoleInstance {
    fn reset(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        let mut small = || rng.random_range(-0.05..0.05);
        let (x, speed, angle, spin) = (small(), small(), small(), small());
        world.set_joint_state(self.slide, x, 0.0);
        world.set_joint_state(self.hinge, angle, spin);
        world.set_joint_velocity(self.slide, speed);
        self.has_failed = false;
    }

    fn act(&mut self, world: &mut SimWorld, action: ActionRow<'_>) {
        let force = match action {
            ActionRow::Discrete(1) => FORCE,
            ActionRow::Discrete(_) => -FORCE,
            ActionRow::Continuous(_) => FORCE * action.unit(0),
        };
        world.set_force(self.cart, Vec3::new(force, 0.0, 0.0));
    }

    fn after_step(&mut self, world: &mut SimWorld) {
        self.has_failed |= self.is_out_of_bounds(world);
        let x = world.joint_position(self.slide);
        if self.variant == Variant::VlmRm && x.abs() > MAX_POSITION {
            world.stop_joint_at(self.slide, MAX_POSITION.copysign(x));
        }
    }

    fn observe(&self, world: &SimWorld, out: &mut [f32]) {
        out.copy_from_slice(&[
            world.joint_position(self.slide),
            world.joint_velocity(self.slide),
            self.angle(world),
            world.joint_velocity(self.hinge),
        ]);
    }

    fn measure(&self, world: &SimWorld, out: &mut Measurement) {
        let is_out = self.is_out_of_bounds(world);
        out.success[0] = !self.has_failed && !is_out;
        out.reward[0] = match self.variant {
            Variant::Classic => 1.0,
            Variant::VlmRm => f32::from(!is_out),
        };
        out.metrics.copy_from_slice(&[self.angle(world), world.joint_position(self.slide)]);
        out.is_terminal = self.variant == Variant::Classic && is_out;
    }

    fn sample_pretraining_state(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        world.reset();
        self.has_failed = false;
        // Small angles matter most: a balanced pole stays within a few degrees of upright.
        let widest = if rng.random_bool(0.6) { 0.5 } else { PI };
        let angle = widest * rng.random_range(-1.0..1.0_f32);
        world.set_joint_state(self.slide, rng.random_range(-MAX_POSITION..MAX_POSITION), 0.0);
        world.set_joint_state(self.hinge, angle, 0.0);
        let cameras = self.cameras.iter().map(|&camera| (camera, 0.06, 0.015));
        looks::vary_appearance(world, &self.surfaces, 0.3, cameras, rng);
    }

    fn caption_truth(&self, world: &SimWorld, out: &mut [f32]) {
        out[0] = 1.0;
        out[1..].copy_from_slice(&LEAN.degrees(self.angle(world).abs().to_degrees()));
    }

    fn landmarks(&self, world: &SimWorld, out: &mut [Option<Vec3>]) {
        let tip = world.body_pose(self.pole).transform_point(Vec3::new(0.0, 0.0, 2.0 * HALF_POLE));
        out.copy_from_slice(&[Some(world.body_pose(self.cart).translation), Some(tip)]);
    }

    fn save(&self) -> Vec<f32> {
        vec![f32::from(self.has_failed)]
    }

    fn load(&mut self, values: &[f32]) {
        self.has_failed = values.first().is_some_and(|&v| v != 0.0);
    }
}
