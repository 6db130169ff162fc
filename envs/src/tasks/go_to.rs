//! `GoTo-v1`: a two-wheeled robot in a furnished room drives up to the object whose colour the instruction names. Which object
//! has which colour is sampled for each episode.

use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{PoseSpec, SceneSpec};
use sayso_sim::seed::Rng;
use sayso_sim::{BodyIdx, CameraIdx, JointIdx, MaterialIdx, SimWorld};
use serde::{Deserialize, Serialize};

mod scene;

use super::looks::{self, NAMED_COLOURS};
use super::relations::{ROBOT_GAP, is_touching};
use crate::Result;
use crate::goals::GoalSpace;
use crate::language::{Caption, Goal};
use crate::registry::TaskOptions;
use crate::space::Space;
use crate::task::{ActionRow, Measurement, STATE_BOUND, Task, TaskInstance, TaskSpec};

/// Half of the room's edge length, metres.
const ROOM: f32 = 1.7;
/// Radius of the robot, metres.
const ROBOT_RADIUS: f32 = 0.20;
const WHEEL_RADIUS: f32 = 0.07;
/// Maximum speed of a wheel, rad/s; the robot then moves at 0.9 m/s.
const MAX_WHEEL_SPEED: f32 = 13.0;
/// Radius of an object's footprint, metres.
const OBJECT_RADIUS: f32 = 0.18;
const N_OBJECTS: usize = 4;
/// Shape of each object.
const SHAPES: [&str; N_OBJECTS] = ["ball", "cylinder", "box", "capsule"];
const BASELINE: &str = "a robot in a room with coloured objects";

/// Options of the task; it has none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoToOptions {}

impl TaskOptions for GoToOptions {
    const ID: &str = "GoTo-v1";

    fn task(self) -> Box<dyn Task> {
        Box::new(GoTo::new(self))
    }
}

/// The task; see the module.
pub struct GoTo {
    spec: TaskSpec,
    scene: Arc<SceneSpec>,
}

impl GoTo {
    /// The task with its options.
    pub fn new(_options: GoToOptions) -> Self {
        let mut state_names: Vec<String> =
            ["x [m]", "y [m]", "cosine of heading", "sine of heading"].map(|n| format!("robot {n}")).to_vec();
        state_names.extend(["forward speed [m/s]", "turning speed [rad/s]"].map(str::to_owned));
        for shape in SHAPES {
            state_names.extend(["ahead", "to the left"].map(|d| format!("{shape} {d} [m]")));
            state_names.extend(["red", "green", "blue"].map(|c| format!("{shape} {c} [linear]")));
        }
        let spec = TaskSpec {
            id: GoToOptions::ID,
            summary: "A two-wheeled robot drives up to one of four coloured objects in a furnished room.",
            max_episode_steps: 100,
            state_space: Space::uniform_box(state_names.len(), -STATE_BOUND, STATE_BOUND),
            state_names,
            action_space: Space::uniform_box(2, -1.0, 1.0),
            goals: colours().map(goal).collect(),
            goal_space: Some(GoalSpace {
                names: ["x", "y"].map(|axis| format!("{axis} [m]")).to_vec(),
                threshold: ROBOT_RADIUS + OBJECT_RADIUS,
            }),
            captions: captions(),
            landmark_names: std::iter::once("robot").chain(colours()).map(str::to_owned).collect(),
            metric_names: colours().map(|colour| format!("gap_{colour}")).collect(),
            pixel_camera: "egocentric",
            reward_cameras: vec!["overhead".to_owned()],
            video_camera: "corner",
        };
        Self { spec, scene: Arc::new(scene::scene()) }
    }
}

/// The colours of the objects.
fn colours() -> impl Iterator<Item = &'static str> {
    NAMED_COLOURS[..N_OBJECTS].iter().map(|(colour, _)| *colour)
}

fn goal(colour: &str) -> Goal {
    let [instruction, paraphrases @ .., held_out] = instructions(colour);
    Goal {
        name: colour.to_owned(),
        instruction,
        paraphrases: paraphrases.to_vec(),
        held_out_paraphrases: vec![held_out],
        goal_prompt: format!("the robot touching the {colour} object"),
        baseline_prompt: format!("the robot far from the {colour} object"),
    }
}

/// The instruction for an object, and its paraphrases, of which the last one is held out.
fn instructions(colour: &str) -> [String; 4] {
    [
        format!("go to the {colour} object"),
        format!("drive to the {colour} object"),
        format!("move to the {colour} object"),
        format!("drive the robot up to the {colour} object"),
    ]
}

fn captions() -> Vec<Caption> {
    let mut captions = vec![Caption::new([BASELINE, "a robot in a furnished room"])];
    for (colour_idx, colour) in colours().enumerate() {
        for (word_idx, words) in ROBOT_GAP.words.iter().enumerate() {
            let phrasings = words.iter().flat_map(|word| {
                [format!("the robot {word} the {colour} object"), format!("a robot {word} a {colour} object")]
            });
            // An instruction describes the state in which it is done.
            let phrasings = phrasings.chain(instructions(colour).into_iter().filter(|_| word_idx == 0));
            captions.push(Caption::new(phrasings).on_axis(colour_idx));
        }
    }
    captions
}

impl Task for GoTo {
    fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    fn scene(&self) -> Arc<SceneSpec> {
        Arc::clone(&self.scene)
    }

    fn instance(&self, world: &SimWorld) -> Result<Box<dyn TaskInstance>> {
        let mut objects = [BodyIdx(0); N_OBJECTS];
        let mut object_materials = [MaterialIdx(0); N_OBJECTS];
        for object_idx in 0..N_OBJECTS {
            objects[object_idx] = world.body(SHAPES[object_idx])?;
            object_materials[object_idx] = world.material_idx(SHAPES[object_idx])?;
        }
        let surfaces = ["floor", "wall", "sofa", "wood", "rug"].map(|name| world.material_idx(name));
        Ok(Box::new(GoToInstance {
            robot: [world.body("robot")?, world.body("wheel_left")?, world.body("wheel_right")?],
            wheels: [world.joint("wheel_left_joint")?, world.joint("wheel_right_joint")?],
            objects,
            object_materials,
            object_colours: std::array::from_fn(|object_idx| object_idx),
            surfaces: surfaces.into_iter().collect::<Result<_, _>>()?,
            cameras: (0..world.spec().cameras.len()).map(CameraIdx).collect(),
        }))
    }
}

struct GoToInstance {
    /// The robot's body and its wheels.
    robot: [BodyIdx; 3],
    wheels: [JointIdx; 2],
    objects: [BodyIdx; N_OBJECTS],
    object_materials: [MaterialIdx; N_OBJECTS],
    /// Index of each object's colour in [`NAMED_COLOURS`].
    object_colours: [usize; N_OBJECTS],
    surfaces: Vec<MaterialIdx>,
    cameras: Vec<CameraIdx>,
}

impl GoToInstance {
    /// Places objects and robot on the floor, without overlap.
    fn arrange(&self, world: &mut SimWorld, rng: &mut Rng) {
        let mut taken: Vec<(Vec3, f32)> = Vec::with_capacity(N_OBJECTS);
        for &object in &self.objects {
            let place = free_place(&taken, OBJECT_RADIUS, 0.55, rng);
            taken.push((place, OBJECT_RADIUS));
            let turn = Quat::from_rotation_z(rng.random_range(0.0..TAU));
            world.set_body_pose(object, PoseSpec::new(place, turn).to_pose());
        }
        let place = free_place(&taken, ROBOT_RADIUS, 0.25, rng);
        self.place_robot(world, place, rng.random_range(-PI..PI));
    }

    fn place_robot(&self, world: &mut SimWorld, place: Vec3, heading: f32) {
        let position = Vec3::new(place.x, place.y, WHEEL_RADIUS);
        world.set_body_pose(self.robot[0], PoseSpec::new(position, Quat::from_rotation_z(heading)).to_pose());
    }

    /// Gap between the robot, its wheels included, and an object, metres; negative where they overlap.
    fn gap(&self, world: &SimWorld, object_idx: usize) -> f32 {
        world.gap(&self.robot, self.objects[object_idx])
    }

    /// Places the robot at an object, of the cases 0.35 in contact with it, with a random heading.
    fn place_near_object(&self, world: &mut SimWorld, rng: &mut Rng) {
        let object_idx = rng.random_range(0..N_OBJECTS);
        let wanted = if rng.random_bool(0.35) {
            rng.random_range(-0.004..0.001)
        } else {
            1.2 * rng.random::<f32>().powi(2)
        };
        let heading = rng.random_range(-PI..PI);
        let bound = Vec3::splat(ROOM - ROBOT_RADIUS);
        let object = world.body_pose(self.objects[object_idx]).translation;
        for _ in 0..N_BEARINGS {
            let bearing = rng.random_range(0.0..TAU);
            let direction = Vec3::new(bearing.cos(), bearing.sin(), 0.0);
            let mut distance = ROBOT_RADIUS + OBJECT_RADIUS + wanted;
            for _ in 0..N_APPROACHES {
                self.place_robot(world, (object + direction * distance).clamp(-bound, bound), heading);
                distance += wanted - self.gap(world, object_idx);
            }
            // A wall may leave no room on this side of the object.
            if (self.gap(world, object_idx) - wanted).abs() < 0.002 {
                return;
            }
        }
    }
}

/// Number of sides of an object that are tried.
const N_BEARINGS: usize = 8;
/// Number of corrections of the robot's distance from an object, after which its gap is mostly within 1 mm of the wanted one.
const N_APPROACHES: usize = 4;

/// Samples a place on the floor, clear of the furniture and of the places that are taken (centre and radius).
fn free_place(taken: &[(Vec3, f32)], radius: f32, clearance: f32, rng: &mut Rng) -> Vec3 {
    /// Furniture on the floor: centre x, y and half extents x, y, metres.
    const FURNITURE: [[f32; 4]; 3] =
        [[-1.42, 0.0, 0.30, 0.62], [0.7, 1.52, 0.62, 0.20], [1.20, -1.25, 0.38, 0.30]];
    let bound = ROOM - radius - 0.12;
    let is_free = |place: Vec3, clearance: f32| {
        let off_furniture = FURNITURE.iter().all(|[x, y, half_x, half_y]| {
            (place.x - x).abs() > half_x + radius + 0.1 || (place.y - y).abs() > half_y + radius + 0.1
        });
        off_furniture && taken.iter().all(|(other, r)| other.distance(place) > r + radius + clearance)
    };
    let mut clearance = clearance;
    loop {
        for _ in 0..64 {
            let place = Vec3::new(rng.random_range(-bound..bound), rng.random_range(-bound..bound), 0.0);
            if is_free(place, clearance) {
                return place;
            }
        }
        // Retry with less clearance: the room is large enough for some, so that the loop ends.
        clearance *= 0.7;
    }
}

impl TaskInstance for GoToInstance {
    fn reset(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        self.object_colours = std::array::from_fn(|object_idx| object_idx);
        self.object_colours.shuffle(rng);
        for (&material, &colour) in self.object_materials.iter().zip(&self.object_colours) {
            world.material_mut(material).colour = NAMED_COLOURS[colour].1;
        }
        self.arrange(world, rng);
    }

    fn act(&mut self, world: &mut SimWorld, action: ActionRow<'_>) {
        let (forward, turn) = (action.unit(0), action.unit(1));
        for (wheel, side) in self.wheels.into_iter().zip([-1.0, 1.0]) {
            let speed = (forward + 0.5 * side * turn).clamp(-1.0, 1.0) * MAX_WHEEL_SPEED;
            world.set_motor_velocity(wheel, speed);
        }
    }

    fn observe(&self, world: &SimWorld, out: &mut [f32]) {
        let pose = world.body_pose(self.robot[0]);
        let (velocity, spin) = world.body_velocity(self.robot[0]);
        let ahead = pose.rotation * Vec3::X;
        let left = pose.rotation * Vec3::Y;
        let (own, rest) = out.split_at_mut(6);
        own.copy_from_slice(&[
            pose.translation.x,
            pose.translation.y,
            ahead.x,
            ahead.y,
            velocity.dot(ahead),
            spin.z,
        ]);
        for (object_idx, values) in rest.chunks_exact_mut(5).enumerate() {
            let apart = world.body_pose(self.objects[object_idx]).translation - pose.translation;
            (values[0], values[1]) = (apart.dot(ahead), apart.dot(left));
            values[2..].copy_from_slice(&NAMED_COLOURS[self.object_colours[object_idx]].1);
        }
    }

    fn measure(&self, world: &SimWorld, out: &mut Measurement) {
        for (object_idx, &goal_idx) in self.object_colours.iter().enumerate() {
            let gap = self.gap(world, object_idx);
            out.success[goal_idx] = is_touching(gap);
            out.reward[goal_idx] = 1.0 - gap.max(0.0).tanh();
            out.metrics[goal_idx] = gap;
        }
        out.is_terminal = false;
    }

    /// The position of the robot, and that of the object.
    fn goal(&self, world: &SimWorld, goal_idx: usize, achieved: &mut [f32], desired: &mut [f32]) {
        let position = |body| world.body_pose(body).translation;
        let robot = position(self.robot[0]);
        achieved.copy_from_slice(&[robot.x, robot.y]);
        if let Some(object_idx) = self.object_colours.iter().position(|&colour| colour == goal_idx) {
            let object = position(self.objects[object_idx]);
            desired.copy_from_slice(&[object.x, object.y]);
        }
    }

    fn sample_pretraining_state(&mut self, world: &mut SimWorld, rng: &mut Rng) {
        world.reset();
        self.reset(world, rng);
        if rng.random_bool(0.65) {
            self.place_near_object(world, rng);
        }
        for (&material, &colour) in self.object_materials.iter().zip(&self.object_colours) {
            looks::vary_named_colour(world, material, NAMED_COLOURS[colour].1, rng);
        }
        let cameras = self.cameras.iter().map(|&camera| (camera, 0.06, 0.015));
        looks::vary_appearance(world, &self.surfaces, 0.3, cameras, rng);
    }

    fn landmarks(&self, world: &SimWorld, out: &mut [Option<Vec3>]) {
        out[0] = Some(world.body_pose(self.robot[0]).translation);
        for (&object, &colour) in self.objects.iter().zip(&self.object_colours) {
            out[1 + colour] = Some(world.body_pose(object).translation);
        }
    }

    fn caption_truth(&self, world: &SimWorld, out: &mut [f32]) {
        out[0] = 1.0;
        for (object_idx, &colour) in self.object_colours.iter().enumerate() {
            let degrees = ROBOT_GAP.degrees(self.gap(world, object_idx));
            out[1 + colour * degrees.len()..][..degrees.len()].copy_from_slice(&degrees);
        }
    }

    fn save(&self) -> Vec<f32> {
        self.object_colours.iter().map(|&colour| colour as f32).collect()
    }

    fn load(&mut self, values: &[f32]) {
        for (colour, &value) in self.object_colours.iter_mut().zip(values) {
            *colour = (value as usize).min(N_OBJECTS - 1);
        }
    }
}
