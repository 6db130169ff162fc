//! The scene of `GoTo-v1`.

use std::f32::consts::FRAC_PI_2;

use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{
    BodySpec, CameraSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec, PhysicsSpec, PoseSpec,
    SceneSpec, ShapeSpec, TextureSpec,
};

use super::{OBJECT_RADIUS, ROBOT_RADIUS, ROOM, SHAPES, WHEEL_RADIUS};
use crate::tasks::looks::NAMED_COLOURS;

/// Clearance of the casters above the floor, metres, so that the wheels carry the robot; it tilts onto one caster.
const CASTER_CLEARANCE: f32 = 0.004;
/// Half of the distance between the wheels, metres; their collision spheres do not stand out from the body.
const HALF_TRACK: f32 = ROBOT_RADIUS - WHEEL_RADIUS;

/// The room, its furniture, the objects and the robot.
pub(super) fn scene() -> SceneSpec {
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
