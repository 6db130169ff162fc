//! `GoTo-v1`: a two-wheeled robot in a furnished room drives up to the object whose colour the instruction names. Which object
//! has which colour is sampled for each episode.

use std::f32::consts::{FRAC_PI_2, PI, TAU};
use std::sync::Arc;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{
    BodySpec, CameraSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec, PhysicsSpec, PoseSpec,
    SceneSpec, ShapeSpec, TextureSpec,
};
use sayso_sim::seed::Rng;
use sayso_sim::{BodyIdx, CameraIdx, JointIdx, MaterialIdx, SimWorld};
use serde::Deserialize;

use super::looks::{self, NAMED_COLOURS};
use super::relations::{ROBOT_GAP, is_touching};
use crate::Result;
use crate::language::{Caption, Goal};
use crate::space::Space;
use crate::task::{ActionRow, Measurement, STATE_BOUND, Task, TaskInstance, TaskSpec};

/// Half of the room's edge length, metres.
const ROOM: f32 = 1.7;
/// Radius of the robot, metres.
const ROBOT_RADIUS: f32 = 0.20;
const WHEEL_RADIUS: f32 = 0.07;
/// Clearance of the casters above the floor, metres, so that the wheels carry the robot; it tilts onto one caster.
const CASTER_CLEARANCE: f32 = 0.004;
/// Half of the distance between the wheels, metres; their collision spheres do not stand out from the body.
const HALF_TRACK: f32 = ROBOT_RADIUS - WHEEL_RADIUS;
/// Maximum speed of a wheel, rad/s; the robot then moves at 0.9 m/s.
const MAX_WHEEL_SPEED: f32 = 13.0;
/// Radius of an object's footprint, metres.
const OBJECT_RADIUS: f32 = 0.18;
const N_OBJECTS: usize = 4;
/// Shape of each object.
const SHAPES: [&str; N_OBJECTS] = ["ball", "cylinder", "box", "capsule"];
const BASELINE: &str = "a robot in a room with coloured objects";

/// Options of the task; it has none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoToOptions {}

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
            id: "GoTo-v1",
            summary: "A two-wheeled robot drives up to one of four coloured objects in a furnished room.",
            max_episode_steps: 100,
            state_space: Space::uniform_box(state_names.len(), -STATE_BOUND, STATE_BOUND),
            state_names,
            action_space: Space::uniform_box(2, -1.0, 1.0),
            goals: colours().map(goal).collect(),
            captions: captions(),
            landmark_names: std::iter::once("robot").chain(colours()).map(str::to_owned).collect(),
            metric_names: colours().map(|colour| format!("gap_{colour}")).collect(),
            pixel_camera: "egocentric",
            reward_cameras: vec!["overhead".to_owned()],
            video_camera: "corner",
        };
        Self { spec, scene: Arc::new(scene()) }
    }
}

/// The colours of the objects.
fn colours() -> impl Iterator<Item = &'static str> {
    NAMED_COLOURS[..N_OBJECTS].iter().map(|(colour, _)| *colour)
}

fn goal(colour: &str) -> Goal {
    let [instruction, paraphrases @ ..] = instructions(colour);
    Goal {
        name: colour.to_owned(),
        instruction,
        paraphrases: paraphrases.to_vec(),
        goal_prompt: format!("the robot touching the {colour} object"),
        baseline_prompt: format!("the robot far from the {colour} object"),
    }
}

/// The instruction for an object, and its paraphrases.
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

fn scene() -> SceneSpec {
    let slab = |x: f32, y: f32, z: f32| ShapeSpec::Box { half_extents: [x, y, z] };
    let mut scene = SceneSpec {
        physics: PhysicsSpec {
            dt_secs: 0.02,
            n_substeps: 5,
            n_solver_iterations: 2,
            ..PhysicsSpec::default()
        },
        materials: vec![
            MaterialSpec::textured(
                "floor",
                [0.46, 0.34, 0.22],
                TextureSpec::Wood { other: [0.36, 0.25, 0.15], ring: 0.09 },
            ),
            MaterialSpec::textured(
                "wall",
                [0.70, 0.70, 0.66],
                TextureSpec::Noise { other: [0.64, 0.64, 0.61], cell: 0.5 },
            ),
            MaterialSpec::plain("sofa", [0.20, 0.22, 0.27]),
            MaterialSpec::textured(
                "wood",
                [0.34, 0.20, 0.10],
                TextureSpec::Wood { other: [0.24, 0.13, 0.06], ring: 0.05 },
            ),
            MaterialSpec::textured(
                "rug",
                [0.45, 0.42, 0.36],
                TextureSpec::Checker { other: [0.38, 0.35, 0.30], cell: 0.15 },
            ),
            MaterialSpec::plain("robot", [0.06, 0.06, 0.07]).with_roughness(0.4),
            MaterialSpec::plain("robot_top", [0.82, 0.84, 0.86]),
        ],
        ..SceneSpec::default()
    };
    let wall = |x: f32, y: f32, half: [f32; 3]| {
        PartSpec::new(slab(half[0], half[1], half[2]), "wall").at(PoseSpec::at(x, y, half[2]))
    };
    let edge = ROOM + 0.05;
    scene.bodies.push(BodySpec::fixed(
        "room",
        PoseSpec::default(),
        vec![
            PartSpec { friction: 1.0, ..PartSpec::new(ShapeSpec::Plane, "floor") },
            wall(edge, 0.0, [0.05, edge, 0.28]),
            wall(-edge, 0.0, [0.05, edge, 0.28]),
            wall(0.0, edge, [edge, 0.05, 0.28]),
            wall(0.0, -edge, [edge, 0.05, 0.28]),
            PartSpec::visual(slab(0.7, 0.5, 0.004), "rug").at(PoseSpec::at(0.1, -0.1, 0.004)),
        ],
    ));
    scene.bodies.push(BodySpec::fixed(
        "sofa",
        PoseSpec::at(-1.40, 0.0, 0.0),
        vec![
            PartSpec::new(slab(0.28, 0.60, 0.16), "sofa").at(PoseSpec::at(0.0, 0.0, 0.16)),
            PartSpec::new(slab(0.08, 0.60, 0.32), "sofa").at(PoseSpec::at(-0.20, 0.0, 0.32)),
        ],
    ));
    scene.bodies.push(BodySpec::fixed(
        "shelf",
        PoseSpec::at(0.7, 1.52, 0.0),
        vec![PartSpec::new(slab(0.6, 0.16, 0.45), "wood").at(PoseSpec::at(0.0, 0.0, 0.45))],
    ));
    let leg = |x: f32, y: f32| {
        PartSpec::new(ShapeSpec::Cylinder { radius: 0.03, half_length: 0.17 }, "wood")
            .at(PoseSpec::at(x, y, 0.17))
    };
    scene.bodies.push(BodySpec::fixed(
        "low_table",
        PoseSpec::at(1.20, -1.25, 0.0),
        vec![
            PartSpec::new(slab(0.35, 0.28, 0.02), "wood").at(PoseSpec::at(0.0, 0.0, 0.36)),
            leg(0.29, 0.22),
            leg(-0.29, 0.22),
            leg(0.29, -0.22),
            leg(-0.29, -0.22),
        ],
    ));
    let object_shapes = [
        (ShapeSpec::Sphere { radius: OBJECT_RADIUS }, OBJECT_RADIUS),
        (ShapeSpec::Cylinder { radius: 0.16, half_length: 0.19 }, 0.19),
        (slab(0.15, 0.15, 0.15), 0.15),
        (ShapeSpec::Capsule { radius: 0.14, half_length: 0.12 }, 0.26),
    ];
    for (object_idx, (shape, height)) in object_shapes.into_iter().enumerate() {
        let name = SHAPES[object_idx];
        scene.materials.push(MaterialSpec::plain(name, NAMED_COLOURS[object_idx].1).with_roughness(0.5));
        let part = PartSpec::new(shape, name).at(PoseSpec::at(0.0, 0.0, height));
        let x = object_idx as f32 - 1.5;
        scene.bodies.push(BodySpec::fixed(name, PoseSpec::at(x, 0.9, 0.0), vec![part]));
    }
    add_robot(&mut scene);
    let high = Vec3::new(0.0, 0.0, 4.6);
    scene.cameras = vec![
        CameraSpec::looking_at("overhead", high, Vec3::ZERO, 42.0),
        CameraSpec::looking_at("egocentric", Vec3::new(0.12, 0.0, 0.24), Vec3::new(1.12, 0.0, 0.14), 75.0)
            .on_body("robot"),
        CameraSpec::looking_at("corner", Vec3::new(2.3, -2.6, 2.5), Vec3::new(-0.1, 0.1, 0.0), 52.0),
    ];
    scene
}

fn add_robot(scene: &mut SceneSpec) {
    let caster = ShapeSpec::Sphere { radius: 0.04 };
    let slippery = |x: f32| PartSpec {
        friction: 0.0,
        ..PartSpec::new(caster.clone(), "robot").at(PoseSpec::at(
            x,
            0.0,
            0.04 - WHEEL_RADIUS + CASTER_CLEARANCE,
        ))
    };
    scene.bodies.push(BodySpec::dynamic(
        "robot",
        PoseSpec::at(0.0, 0.0, WHEEL_RADIUS),
        vec![
            PartSpec {
                friction: 0.1,
                ..PartSpec::new(ShapeSpec::Cylinder { radius: ROBOT_RADIUS, half_length: 0.05 }, "robot")
            }
            .at(PoseSpec::at(0.0, 0.0, 0.06))
            .with_mass(4.0),
            PartSpec::visual(ShapeSpec::Cylinder { radius: 0.16, half_length: 0.02 }, "robot_top")
                .at(PoseSpec::at(0.0, 0.0, 0.13)),
            PartSpec::visual(ShapeSpec::Box { half_extents: [0.06, 0.025, 0.025] }, "robot")
                .at(PoseSpec::at(0.10, 0.0, 0.165)),
            slippery(0.14),
            slippery(-0.14),
        ],
    ));
    for (name, side) in [("wheel_left", 1.0), ("wheel_right", -1.0)] {
        let upright = PoseSpec::new(Vec3::ZERO, Quat::from_rotation_x(FRAC_PI_2));
        scene.bodies.push(BodySpec::dynamic(
            name,
            PoseSpec::at(0.0, side * HALF_TRACK, WHEEL_RADIUS),
            vec![
                // The collision shape is a sphere, which touches the floor in one point; the visible shape is a disc.
                PartSpec {
                    material: None,
                    friction: 1.2,
                    ..PartSpec::new(ShapeSpec::Sphere { radius: WHEEL_RADIUS }, "robot")
                }
                .with_mass(0.3),
                PartSpec::visual(ShapeSpec::Cylinder { radius: WHEEL_RADIUS, half_length: 0.02 }, "robot")
                    .at(upright),
            ],
        ));
        scene.joints.push(JointSpec {
            name: format!("{name}_joint"),
            kind: JointKind::Hinge { axis: [0.0, 1.0, 0.0] },
            parent: "robot".to_owned(),
            child: name.to_owned(),
            parent_from_joint: PoseSpec::at(0.0, side * HALF_TRACK, 0.0),
            child_from_joint: PoseSpec::default(),
            limits: None,
            motor: Some(MotorSpec { stiffness: 0.0, damping: 2.0, max_force: 4.0 }),
            armature: 0.002,
            damping: 0.0,
        });
    }
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
