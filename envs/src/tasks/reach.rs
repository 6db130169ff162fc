//! `Reach-v1`: an arm at a table touches one of three coloured balls, the one that the instruction names. Which ball has which
//! colour is sampled for each episode.

use std::sync::Arc;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{
    BodySpec, CameraSpec, MaterialSpec, PartSpec, PhysicsSpec, PoseSpec, SceneSpec, ShapeSpec, TextureSpec,
};
use sayso_sim::seed::Rng;
use sayso_sim::{BodyIdx, CameraIdx, MaterialIdx, SimWorld};
use serde::{Deserialize, Serialize};

use super::arm::{self, Arm, N_JOINTS};
use super::looks::{self, NAMED_COLOURS};
use super::relations::{GRIPPER_GAP, is_touching};
use crate::Result;
use crate::goals::GoalSpace;
use crate::language::{Caption, Goal};
use crate::registry::TaskOptions;
use crate::space::Space;
use crate::task::{ActionRow, Measurement, STATE_BOUND, Task, TaskInstance, TaskSpec};

/// Number of balls.
const N_BALLS: usize = 3;
/// Radius of a ball, metres.
const BALL_RADIUS: f32 = 0.04;
/// Maximum commanded speed of the tip along an axis, m/s.
const MAX_TIP_SPEED: f32 = 0.75;
/// Maximum commanded displacement of a joint in a step, rad.
const MAX_JOINT_STEP: f32 = 0.08;
/// Workspace of the tip: bounds along x, y and z, metres.
const WORKSPACE: [[f32; 2]; 3] = [[-0.22, 0.30], [-0.38, 0.38], [0.02, 0.45]];
/// Distance of each finger from the middle throughout an episode, metres.
const OPENING: f32 = 0.018;
/// Name of the camera on the hand. From the front the gap is a few pixels wide and ambiguous in depth; from the hand the
/// same ball is large, and its size shows its distance.
const WRIST: &str = "wrist";
const BASELINE: &str = "a robot arm and three coloured balls on a table";

/// Options of the task.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReachOptions {
    /// The control mode.
    pub control: Control,
}

/// Control mode: the meaning of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Three values: velocity of the gripper along x, y, z, in units of 0.75 m/s; the hand keeps pointing down.
    #[default]
    EeDeltaPos,
    /// Seven values: displacement of each joint's target, in units of 0.08 rad.
    JointDeltaPos,
}

impl TaskOptions for ReachOptions {
    const ID: &str = "Reach-v1";

    fn task(self) -> Box<dyn Task> {
        Box::new(Reach::new(self))
    }
}

/// The task; see the module.
pub struct Reach {
    spec: TaskSpec,
    scene: Arc<SceneSpec>,
    control: Control,
}

impl Reach {
    /// The task with its options.
    pub fn new(options: ReachOptions) -> Self {
        let n_actions = match options.control {
            Control::EeDeltaPos => 3,
            Control::JointDeltaPos => N_JOINTS,
        };
        let mut state_names = Vec::new();
        state_names.extend((1..=N_JOINTS).map(|j| format!("joint {j} [rad]")));
        state_names.extend((1..=N_JOINTS).map(|j| format!("joint {j} velocity [rad/s]")));
        state_names.extend(["x", "y", "z"].map(|a| format!("gripper {a} [m]")));
        state_names.push("finger opening [m]".to_owned());
        for ball in 1..=N_BALLS {
            state_names.extend(["x", "y", "z"].map(|a| format!("ball {ball} {a} from the gripper [m]")));
            state_names.extend(["red", "green", "blue"].map(|c| format!("ball {ball} {c} [linear]")));
        }
        let spec = TaskSpec {
            id: ReachOptions::ID,
            summary: "A 7-joint arm with a gripper touches one of three coloured balls.",
            max_episode_steps: 50,
            state_space: Space::uniform_box(state_names.len(), -STATE_BOUND, STATE_BOUND),
            state_names,
            action_space: Space::uniform_box(n_actions, -1.0, 1.0),
            goals: NAMED_COLOURS[..N_BALLS].iter().map(|(colour, _)| goal(colour)).collect(),
            goal_space: Some(GoalSpace {
                names: ["x", "y", "z"].map(|axis| format!("{axis} [m]")).to_vec(),
                threshold: BALL_RADIUS + 0.02,
            }),
            captions: captions(),
            landmark_names: std::iter::once("gripper")
                .chain(NAMED_COLOURS.map(|(colour, _)| colour))
                .map(str::to_owned)
                .collect(),
            metric_names: NAMED_COLOURS[..N_BALLS].iter().map(|(c, _)| format!("gap_{c}")).collect(),
            pixel_camera: "front",
            reward_cameras: vec!["front".to_owned(), WRIST.to_owned()],
            video_camera: "front",
        };
        Self { spec, scene: Arc::new(scene()), control: options.control }
    }
}

fn goal(colour: &str) -> Goal {
    let [instruction, paraphrases @ .., held_out] = instructions(colour);
    Goal {
        name: colour.to_owned(),
        instruction,
        paraphrases: paraphrases.to_vec(),
        held_out_paraphrases: vec![held_out],
        goal_prompt: format!("the gripper touching the {colour} ball"),
        baseline_prompt: format!("the gripper far from the {colour} ball"),
    }
}

/// The instruction for a ball, and its paraphrases, of which the last one is held out.
fn instructions(colour: &str) -> [String; 5] {
    [
        format!("touch the {colour} ball"),
        format!("reach the {colour} ball"),
        format!("move the gripper to the {colour} ball"),
        format!("bring the gripper into contact with the {colour} ball"),
        format!("put the gripper on the {colour} ball"),
    ]
}

fn captions() -> Vec<Caption> {
    let mut captions = vec![Caption::new([BASELINE, "a robot arm and three coloured balls"])];
    for (colour_idx, (colour, _)) in NAMED_COLOURS.iter().enumerate() {
        for (word_idx, words) in GRIPPER_GAP.words.iter().enumerate() {
            let phrasings = words.iter().flat_map(|word| {
                [
                    format!("the gripper {word} the {colour} ball"),
                    format!("the robot gripper {word} the {colour} ball"),
                    format!("a gripper {word} a {colour} ball"),
                ]
            });
            // An instruction describes the state in which it is done.
            let is_touch = word_idx == 0;
            let phrasings = phrasings.chain(instructions(colour).into_iter().filter(|_| is_touch));
            let is_held_out = *colour == "purple" && is_touch;
            captions.push(Caption { is_held_out, ..Caption::new(phrasings).on_axis(colour_idx) });
        }
    }
    captions
}

fn scene() -> SceneSpec {
    let mut scene = SceneSpec {
        physics: PhysicsSpec {
            dt_secs: 0.02,
            n_substeps: 2,
            n_solver_iterations: 2,
            ..PhysicsSpec::default()
        },
        materials: vec![
            MaterialSpec::textured(
                "floor",
                [0.42, 0.40, 0.38],
                TextureSpec::Checker { other: [0.34, 0.33, 0.32], cell: 0.35 },
            ),
            MaterialSpec::textured(
                "table",
                [0.50, 0.32, 0.17],
                TextureSpec::Wood { other: [0.36, 0.21, 0.10], ring: 0.05 },
            )
            .with_roughness(0.6),
            MaterialSpec::plain("table_leg", [0.12, 0.10, 0.09]),
            MaterialSpec::textured(
                "wall",
                [0.62, 0.64, 0.66],
                TextureSpec::Noise { other: [0.56, 0.58, 0.60], cell: 0.6 },
            ),
        ],
        ..SceneSpec::default()
    };
    let at = PoseSpec::at;
    let slab = |x: f32, y: f32, z: f32| ShapeSpec::Box { half_extents: [x, y, z] };
    scene.bodies.push(BodySpec::fixed(
        "floor",
        at(0.0, 0.0, -0.75),
        vec![PartSpec::visual(ShapeSpec::Plane, "floor")],
    ));
    let leg =
        |x: f32, y: f32| PartSpec::visual(slab(0.03, 0.03, 0.35), "table_leg").at(PoseSpec::at(x, y, -0.39));
    scene.bodies.push(BodySpec::fixed(
        "table",
        at(-0.05, 0.0, -0.02),
        vec![
            PartSpec::new(slab(0.58, 0.62, 0.02), "table"),
            leg(-0.5, -0.55),
            leg(-0.5, 0.55),
            leg(0.5, -0.55),
            leg(0.5, 0.55),
        ],
    ));
    scene.bodies.push(BodySpec::fixed(
        "wall",
        at(-1.6, 0.0, 0.6),
        vec![PartSpec::visual(slab(0.05, 4.0, 1.6), "wall")],
    ));
    for (ball, (_, rgb)) in NAMED_COLOURS[..N_BALLS].iter().enumerate() {
        let name = ball_name(ball);
        scene.materials.push(MaterialSpec::plain(&name, *rgb).with_roughness(0.35));
        let sphere = PartSpec::new(ShapeSpec::Sphere { radius: BALL_RADIUS }, &name);
        let pose = at(0.1, 0.2 * (ball as f32 - 1.0), BALL_RADIUS);
        scene.bodies.push(BodySpec::fixed(&name, pose, vec![sphere]));
    }
    arm::add_to(&mut scene, Vec3::new(-0.42, 0.0, 0.0));
    let camera = |name: &str, eye: [f32; 3], target: [f32; 3], fov_degrees: f32| {
        CameraSpec::looking_at(name, Vec3::from_array(eye), Vec3::from_array(target), fov_degrees)
    };
    scene.cameras = vec![
        camera("front", [0.92, 0.0, 0.62], [0.04, 0.0, 0.13], 43.0),
        camera("side", [0.08, -0.98, 0.50], [0.04, 0.0, 0.15], 43.0),
        camera("top", [0.06, 0.0, 1.25], [0.05, 0.0, 0.0], 42.0),
        camera(WRIST, [0.15, 0.0, 0.01], [0.03, 0.0, 0.16], 76.0).on_body(arm::HAND),
    ];
    scene
}

/// Name of a ball's body and of its material.
fn ball_name(ball: usize) -> String {
    format!("ball{}", ball + 1)
}

impl Task for Reach {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn scene(&self) -> Arc<SceneSpec> {
        Arc::clone(&self.scene)
    }

    fn instance(&self, world: &SimWorld) -> Result<Box<dyn TaskInstance>> {
        let mut balls = [BodyIdx(0); N_BALLS];
        let mut ball_materials = [MaterialIdx(0); N_BALLS];
        for ball in 0..N_BALLS {
            balls[ball] = world.body(&ball_name(ball))?;
            ball_materials[ball] = world.material_idx(&ball_name(ball))?;
        }
        let surfaces = ["floor", "table", "wall", "arm_shell"].map(|name| world.material_idx(name));
        Ok(Box::new(ReachInstance {
            arm: Arm::find(world)?,
            balls,
            ball_materials,
            ball_colours: std::array::from_fn(|ball| ball),
            surfaces: surfaces.into_iter().collect::<Result<_, _>>()?,
            cameras: (0..world.spec().cameras.len()).map(CameraIdx).collect(),
            wrist: world.camera(WRIST)?,
            control: self.control,
        }))
    }
}

struct ReachInstance {
    arm: Arm,
    balls: [BodyIdx; N_BALLS],
    ball_materials: [MaterialIdx; N_BALLS],
    /// Index of each ball's colour in [`NAMED_COLOURS`].
    ball_colours: [usize; N_BALLS],
    surfaces: Vec<MaterialIdx>,
    cameras: Vec<CameraIdx>,
    wrist: CameraIdx,
    control: Control,
}

impl ReachInstance {
    /// Places the balls on the table, with their centres more than 0.17 m apart.
    fn place_balls(&self, world: &mut SimWorld, rng: &mut Rng) {
        let mut placed = [Vec3::ZERO; N_BALLS];
        let mut n_placed = 0;
        while n_placed < N_BALLS {
            let place = Vec3::new(rng.random_range(-0.10..0.22), rng.random_range(-0.30..0.30), BALL_RADIUS);
            if placed[..n_placed].iter().all(|other| other.distance(place) > 0.17) {
                placed[n_placed] = place;
                n_placed += 1;
            }
        }
        for (&ball, place) in self.balls.iter().zip(placed) {
            world.set_body_pose(ball, PoseSpec::new(place, Quat::IDENTITY).to_pose());
        }
    }

    fn ball_position(&self, world: &SimWorld, ball: usize) -> Vec3 {
        world.body_pose(self.balls[ball]).translation
    }

    /// Gap between the gripper and a ball, metres; negative where they overlap.
    fn gap(&self, world: &SimWorld, ball: usize) -> f32 {
        world.gap(&self.arm.gripper(), self.balls[ball])
    }

    /// Gives each ball a colour: a random order of the first `n_colours` of [`NAMED_COLOURS`].
    fn sample_colours(&mut self, n_colours: usize, rng: &mut Rng) {
        let mut colours: [usize; NAMED_COLOURS.len()] = std::array::from_fn(|i| i);
        colours[..n_colours].shuffle(rng);
        self.ball_colours.copy_from_slice(&colours[..N_BALLS]);
    }

    /// Places the gripper: at a ball with probability 0.8, of which 0.3 in contact with it; else anywhere in the workspace.
    fn sample_gripper(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        let opening = rng.random_range(0.0..arm::FINGER_STROKE);
        let anywhere = Vec3::from_array(WORKSPACE.map(|[low, high]| rng.random_range(low..high)));
        if rng.random_bool(0.2) {
            self.arm.place_tip(world, anywhere, opening);
            return;
        }
        let ball = rng.random_range(0..N_BALLS);
        let wanted = if rng.random_bool(0.3) {
            rng.random_range(-0.002..0.001)
        } else {
            0.25 * rng.random::<f32>().powi(2)
        };
        let azimuth = rng.random_range(0.0..std::f32::consts::TAU);
        let height: f32 = rng.random_range(0.0..1.0);
        let across = (1.0 - height * height).sqrt();
        let direction = Vec3::new(across * azimuth.cos(), across * azimuth.sin(), height);
        let lowest = Vec3::new(WORKSPACE[0][0], WORKSPACE[1][0], WORKSPACE[2][0]);
        let mut distance = BALL_RADIUS + 0.02 + wanted;
        for _ in 0..N_APPROACHES {
            let tip = (self.ball_position(world, ball) + direction * distance).max(lowest);
            self.arm.place_tip(world, tip, opening);
            distance += wanted - self.gap(world, ball);
        }
    }
}

/// Number of corrections of the gripper's distance from a ball, after which its gap is mostly within 1 mm of the wanted one.
const N_APPROACHES: usize = 4;

impl TaskInstance for ReachInstance {
    fn reset(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        self.sample_colours(N_BALLS, rng);
        for (&material, &colour) in self.ball_materials.iter().zip(&self.ball_colours) {
            world.material_mut(material).colour = NAMED_COLOURS[colour].1;
        }
        self.place_balls(world, rng);
        let mut posture = arm::HOME;
        posture.iter_mut().for_each(|q| *q += rng.random_range(-0.06..0.06));
        self.arm.place(world, posture, OPENING);
    }

    fn act(&mut self, world: &mut SimWorld, action: ActionRow<'_>) {
        match self.control {
            Control::EeDeltaPos => {
                let tip = self.arm.tip(world).to_array();
                let dt_secs = world.spec().physics.control_dt_secs();
                let velocity = std::array::from_fn(|axis| {
                    let [low, high] = WORKSPACE[axis];
                    let wanted = action.unit(axis) * MAX_TIP_SPEED;
                    let room = |bound: f32| (bound - tip[axis]) / dt_secs;
                    wanted.clamp(room(low).min(0.0), room(high).max(0.0))
                });
                self.arm.move_tip(world, Vec3::from_array(velocity));
            }
            Control::JointDeltaPos => {
                let steps = std::array::from_fn(|joint| action.unit(joint) * MAX_JOINT_STEP);
                self.arm.move_joints(world, steps);
            }
        }
    }

    fn observe(&self, world: &SimWorld, out: &mut [f32]) {
        let tip = self.arm.tip(world);
        let (joints, rest) = out.split_at_mut(2 * N_JOINTS);
        joints[..N_JOINTS].copy_from_slice(&self.arm.positions(world));
        joints[N_JOINTS..].copy_from_slice(&self.arm.velocities(world));
        rest[..3].copy_from_slice(&tip.to_array());
        rest[3] = self.arm.opening(world);
        for (ball, values) in rest[4..].chunks_exact_mut(6).enumerate() {
            values[..3].copy_from_slice(&(self.ball_position(world, ball) - tip).to_array());
            values[3..].copy_from_slice(&NAMED_COLOURS[self.ball_colours[ball]].1);
        }
    }

    fn measure(&self, world: &SimWorld, out: &mut Measurement) {
        for goal_idx in 0..N_BALLS {
            let ball = self.ball_colours.iter().position(|&colour| colour == goal_idx);
            let gap = ball.map_or(f32::NAN, |ball| self.gap(world, ball));
            out.success[goal_idx] = is_touching(gap);
            out.reward[goal_idx] = if gap.is_nan() { gap } else { 1.0 - (5.0 * gap.max(0.0)).tanh() };
            out.metrics[goal_idx] = gap;
        }
        out.is_terminal = false;
    }

    /// The position of the tip, and that of the centre of the ball.
    fn goal(&self, world: &SimWorld, goal_idx: usize, achieved: &mut [f32], desired: &mut [f32]) {
        achieved.copy_from_slice(&self.arm.tip(world).to_array());
        if let Some(ball) = self.ball_colours.iter().position(|&colour| colour == goal_idx) {
            desired.copy_from_slice(&self.ball_position(world, ball).to_array());
        }
    }

    fn sample_pretraining_state(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        world.reset();
        self.reset(world, rng);
        if rng.random_bool(0.25) {
            self.sample_colours(NAMED_COLOURS.len(), rng);
        }
        for ball in 0..N_BALLS {
            let (_, colour) = NAMED_COLOURS[self.ball_colours[ball]];
            looks::vary_named_colour(world, self.ball_materials[ball], colour, rng);
        }
        self.sample_gripper(world, rng);
        let shift = |camera| if camera == self.wrist { 0.004 } else { 0.03 };
        let cameras = self.cameras.iter().map(|&camera| (camera, shift(camera), 0.02));
        looks::vary_appearance(world, &self.surfaces, 0.4, cameras, rng);
    }

    fn caption_truth(&self, world: &SimWorld, out: &mut [f32]) {
        out.fill(0.0);
        out[0] = 1.0;
        for ball in 0..N_BALLS {
            let degrees = GRIPPER_GAP.degrees(self.gap(world, ball));
            let first = 1 + self.ball_colours[ball] * degrees.len();
            out[first..first + degrees.len()].copy_from_slice(&degrees);
        }
    }

    fn landmarks(&self, world: &SimWorld, out: &mut [Option<Vec3>]) {
        out.fill(None);
        out[0] = Some(self.arm.tip(world));
        for ball in 0..N_BALLS {
            out[1 + self.ball_colours[ball]] = Some(self.ball_position(world, ball));
        }
    }

    fn save(&self) -> Vec<f32> {
        let colours = self.ball_colours.iter().map(|&c| c as f32);
        self.arm.targets().into_iter().chain(colours).collect()
    }

    fn load(&mut self, values: &[f32]) {
        let Some((targets, colours)) = values.split_first_chunk::<N_JOINTS>() else { return };
        self.arm.set_targets(*targets);
        for (colour, &value) in self.ball_colours.iter_mut().zip(colours) {
            *colour = (value as usize).min(NAMED_COLOURS.len() - 1);
        }
    }
}
