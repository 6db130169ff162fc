//! Tests of the world: validation of scenes, motion, exact snapshots and resets.

use std::f32::consts::TAU;
use std::sync::Arc;

use rand::{Rng as _, SeedableRng as _};
use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{
    BodyKind, BodySpec, CouplingSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec, PhysicsSpec,
    PoseSpec, SceneSpec, ShapeSpec,
};
use sayso_sim::seed::Rng;
use sayso_sim::{PreparedScene, SimError, SimWorld, TOUCH_GAP};

fn body(name: &str, kind: BodyKind, z: f32, shape: ShapeSpec) -> BodySpec {
    BodySpec {
        name: name.to_owned(),
        kind,
        pose: PoseSpec::at(0.0, 0.0, z),
        parts: vec![PartSpec::new(shape, "grey").with_mass(1.0)],
        linear_damping: 0.0,
        angular_damping: 0.0,
    }
}

fn scene(bodies: Vec<BodySpec>) -> SceneSpec {
    SceneSpec { materials: vec![MaterialSpec::plain("grey", [0.5; 3])], bodies, ..SceneSpec::default() }
}

fn world(scene: SceneSpec) -> SimWorld {
    SimWorld::new(Arc::new(scene)).expect("a valid scene")
}

/// A ball above a floor.
fn ball_scene() -> SceneSpec {
    scene(vec![
        body("floor", BodyKind::Fixed, 0.0, ShapeSpec::Plane),
        body("ball", BodyKind::Dynamic, 2.0, ShapeSpec::Sphere { radius: 0.1 }),
    ])
}

/// Two links on hinges and two coupled slides on the second.
fn arm_scene() -> SceneSpec {
    let link = ShapeSpec::Capsule { radius: 0.03, half_length: 0.15 };
    let finger = ShapeSpec::Box { half_extents: [0.01, 0.01, 0.03] };
    let mut scene = scene(vec![
        body("base", BodyKind::Fixed, 0.0, ShapeSpec::Sphere { radius: 0.05 }),
        body("upper", BodyKind::Dynamic, 0.0, link.clone()),
        body("lower", BodyKind::Dynamic, 0.0, link),
        body("left", BodyKind::Dynamic, 0.0, finger.clone()),
        body("right", BodyKind::Dynamic, 0.0, finger),
    ]);
    let motor = Some(MotorSpec { stiffness: 400.0, damping: 40.0, max_force: 200.0 });
    let joint = |name: &str, kind, parent: &str, child: &str, at: PoseSpec| JointSpec {
        name: name.to_owned(),
        kind,
        parent: parent.to_owned(),
        child: child.to_owned(),
        parent_from_joint: at,
        child_from_joint: PoseSpec::at(0.0, 0.0, -0.2),
        limits: None,
        motor,
        armature: 0.01,
        damping: 0.0,
    };
    let hinge = JointKind::Hinge { axis: [0.0, 1.0, 0.0] };
    scene.joints = vec![
        joint("shoulder", hinge, "base", "upper", PoseSpec::default()),
        joint("elbow", hinge, "upper", "lower", PoseSpec::at(0.0, 0.0, 0.2)),
        joint(
            "left",
            JointKind::Slide { axis: [0.0, 1.0, 0.0] },
            "lower",
            "left",
            PoseSpec::at(0.0, 0.0, 0.2),
        ),
        joint(
            "right",
            JointKind::Slide { axis: [0.0, -1.0, 0.0] },
            "lower",
            "right",
            PoseSpec::at(0.0, 0.0, 0.2),
        ),
    ];
    scene.couplings = vec![CouplingSpec {
        leader: "left".to_owned(),
        follower: "right".to_owned(),
        ratio: 1.0,
        offset: 0.0,
    }];
    scene.physics = PhysicsSpec { dt_secs: 0.005, n_substeps: 4, ..PhysicsSpec::default() };
    scene
}

#[test]
fn a_ball_falls_freely_and_comes_to_rest_on_the_floor() {
    let mut world = world(ball_scene());
    let ball = world.body("ball").expect("ball");
    let dt_secs = world.spec().physics.control_dt_secs();
    for step in 1..=10 {
        world.step();
        let t = dt_secs * step as f32;
        let expected = 2.0 - 0.5 * 9.81 * t * t;
        let z = world.body_pose(ball).translation.z;
        // Integration is first order in the substep: the error is at most g dt t / 2.
        assert!((z - expected).abs() <= 9.81 * 0.01 * t * 0.51 + 1e-4, "{z} for {expected} after {t} s");
    }
    for _ in 0..100 {
        world.step();
    }
    assert!(
        (world.body_pose(ball).translation.z - 0.1).abs() < 0.01,
        "its centre is one radius above the floor"
    );
    assert!(world.body_velocity(ball).0.length() < 0.01);
    assert!(world.are_touching(ball, world.body("floor").expect("floor")));
}

#[test]
fn motors_hold_their_targets_and_coupled_joints_move_together() {
    let mut world = world(arm_scene());
    let joints = ["shoulder", "elbow", "left", "right"].map(|name| world.joint(name).expect("joint"));
    world.set_motor_target(joints[0], 0.6);
    world.set_motor_target(joints[1], -0.9);
    world.set_motor_target(joints[2], 0.03);
    world.set_motor_target(joints[3], 0.03);
    for _ in 0..100 {
        world.step();
    }
    let q = joints.map(|joint| world.joint_position(joint));
    assert!((q[0] - 0.6).abs() < 0.05 && (q[1] + 0.9).abs() < 0.05, "{q:?}");
    assert!((q[2] - q[3]).abs() < 1e-3 && (q[2] - 0.03).abs() < 3e-3, "{q:?}");
    assert!(joints.iter().all(|&joint| world.joint_velocity(joint).abs() < 1e-2));
}

#[test]
fn joint_positions_determine_body_poses() {
    let mut world = world(arm_scene());
    let (shoulder, elbow) = (world.joint("shoulder").expect("joint"), world.joint("elbow").expect("joint"));
    world.set_joint_positions(&[(shoulder, TAU / 4.0), (elbow, -TAU / 4.0)]);
    let lower = world.body("lower").expect("body");
    // The upper arm is along x, the lower one points up from its end.
    let place = world.body_pose(lower).translation;
    assert!((place - Vec3::new(0.4, 0.0, 0.2)).length() < 1e-4, "{place}");
    assert!((world.joint_position(shoulder) - TAU / 4.0).abs() < 1e-6);
}

#[test]
fn inverse_kinematics_moves_the_point_in_the_given_direction() {
    let mut world = world(arm_scene());
    let joints = ["shoulder", "elbow"].map(|name| world.joint(name).expect("joint"));
    world.set_joint_positions(&[(joints[0], 0.5), (joints[1], 0.8)]);
    let lower = world.body("lower").expect("body");
    let tip = |world: &SimWorld| world.body_pose(lower).transform_point(Vec3::new(0.0, 0.0, 0.2));
    let before = tip(&world);
    let wanted = Vec3::new(0.1, 0.0, -0.05);
    // A planar arm of two joints cannot reach the linear and the angular velocity at once: the solution is a compromise.
    let spin = {
        let mut rates = [0.0; 2];
        world.solve_twist(lower, before, (wanted, Vec3::ZERO), &joints, 1e-3, &mut rates);
        rates
    };
    assert!(spin.iter().all(|rate| rate.is_finite() && rate.abs() > 1e-4), "{spin:?}");
    let dt = 1e-2;
    let moved: Vec<_> =
        joints.iter().zip(spin).map(|(&j, rate)| (j, world.joint_position(j) + rate * dt)).collect();
    world.set_joint_positions(&moved);
    let along = (tip(&world) - before).normalize().dot(wanted.normalize());
    assert!(along > 0.5, "the point moves with the wanted direction, cosine {along}");
}

#[test]
fn a_restored_world_continues_bit_exactly() {
    for scene in [ball_scene(), arm_scene()] {
        let mut world = world(scene);
        for _ in 0..20 {
            world.step();
        }
        let snapshot = world.snapshot().expect("snapshot");
        let mut twin = SimWorld::new(Arc::new(world.spec().clone())).expect("the same scene");
        twin.restore(&snapshot).expect("restore");
        assert_eq!(twin.state_hash(), world.state_hash());
        for _ in 0..30 {
            world.step();
            twin.step();
            assert_eq!(twin.state_hash(), world.state_hash());
        }
    }
}

#[test]
fn a_snapshot_of_another_scene_or_a_damaged_one_is_rejected_and_changes_nothing() {
    let mut arm = world(arm_scene());
    let before = arm.state_hash();
    let mut ball = world(ball_scene());
    ball.step();
    let foreign = ball.snapshot().expect("snapshot");
    assert!(matches!(arm.restore(&foreign), Err(SimError::Snapshot(_))));
    let own = arm.snapshot().expect("snapshot");
    assert!(matches!(arm.restore(&own[..own.len() / 2]), Err(SimError::Snapshot(_))));
    let mut flipped = own.clone();
    flipped[own.len() / 2] ^= 1;
    let error = arm.restore(&flipped).expect_err("a flipped bit").to_string();
    assert!(error.contains("checksum"), "{error}");
    assert_eq!(arm.state_hash(), before);
}

#[test]
fn a_reset_restores_the_initial_state() {
    let mut used = world(arm_scene());
    let fresh = used.state_hash();
    let elbow = used.joint("elbow").expect("joint");
    used.set_motor_target(elbow, 1.0);
    used.light_mut().sun_colour = [0.0; 3];
    let grey = used.material_idx("grey").expect("material");
    used.material_mut(grey).colour = [1.0, 0.0, 0.0];
    for _ in 0..10 {
        used.step();
    }
    used.reset();
    assert_eq!(used.state_hash(), fresh);
    assert_eq!(used.render_scene().light, world(arm_scene()).render_scene().light);
    assert_eq!(used.render_scene().materials, world(arm_scene()).render_scene().materials);
    let mut unused = world(arm_scene());
    for _ in 0..10 {
        used.step();
        unused.step();
    }
    assert_eq!(used.state_hash(), unused.state_hash(), "the solver is reset too");
}

#[test]
fn a_state_that_is_not_finite_is_quarantined_until_the_reset() {
    let mut world = world(ball_scene());
    let ball = world.body("ball").expect("ball");
    world.set_force(ball, Vec3::splat(f32::INFINITY));
    world.step();
    assert!(world.is_faulty());
    let frozen = world.body_pose(ball).translation;
    world.step();
    assert!(world.is_faulty() && format!("{frozen:?}") == format!("{:?}", world.body_pose(ball).translation));
    world.reset();
    assert!(!world.is_faulty());
    world.step();
    assert!(!world.is_faulty() && world.body_pose(ball).translation.is_finite());
}

#[test]
fn errors_of_invalid_scenes_name_the_field() {
    let message_of = |change: fn(&mut SceneSpec)| {
        let mut scene = arm_scene();
        change(&mut scene);
        SimWorld::new(Arc::new(scene)).err().expect("an invalid scene").to_string()
    };
    type Change = fn(&mut SceneSpec);
    let cases: [(Change, &str); 7] = [
        (|s| s.physics.dt_secs = 0.0, "physics.dt_secs = 0 is out of range"),
        (
            |s| s.bodies[1].parts[0].material = Some("gray".to_owned()),
            "material 'gray' does not exist; there are: grey",
        ),
        (|s| s.bodies[1].name = "base".to_owned(), "body 'base' is declared twice"),
        (|s| s.bodies[1].parts[0].mass = 0.0, "bodies.upper.parts[..].mass"),
        (|s| s.joints[1].child = "upper".to_owned(), "joints.elbow.child"),
        (|s| s.joints[0].limits = Some([1.0, -1.0]), "joints.shoulder.limits"),
        (|s| s.bodies[0].parts[0].shape = ShapeSpec::Sphere { radius: -1.0 }, "bodies.base.parts[0].shape"),
    ];
    for (change, expected) in cases {
        let message = message_of(change);
        assert!(message.contains(expected), "'{message}' should name '{expected}'");
    }
}

#[test]
fn a_scene_file_is_read_as_it_was_written() {
    let scene = arm_scene();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arm.toml");
    std::fs::write(&path, toml::to_string(&scene).expect("TOML")).expect("written");
    assert_eq!(SceneSpec::load(&path).expect("read"), scene);
    std::fs::write(&path, "bodis = []").expect("written");
    let message = SceneSpec::load(&path).expect_err("an unknown key").to_string();
    assert!(message.contains("arm.toml") && message.contains("bodis"), "{message}");
    assert!(SceneSpec::load(&folder.path().join("absent.toml")).is_err());
}

#[test]
fn a_camera_looks_at_its_target() {
    let pose = PoseSpec::looking_at(Vec3::new(1.0, 2.0, 3.0), Vec3::new(1.0, 5.0, 3.0)).to_pose();
    assert!((pose.rotation * Vec3::NEG_Z - Vec3::Y).length() < 1e-6, "forward");
    assert!((pose.rotation * Vec3::Y - Vec3::Z).length() < 1e-6, "upright");
    let down = PoseSpec::looking_at(Vec3::new(0.0, 0.0, 4.0), Vec3::ZERO).to_pose();
    assert!((down.rotation * Vec3::NEG_Z - Vec3::NEG_Z).length() < 1e-6, "straight down");
    assert!(Quat::is_normalized(down.rotation));
}

#[test]
fn a_force_acts_during_one_control_step_only() {
    let mut floating = ball_scene();
    floating.physics.gravity = [0.0; 3];
    let mut world = world(floating);
    let ball = world.body("ball").expect("ball");
    let dt_secs = world.spec().physics.control_dt_secs();
    world.set_force(ball, Vec3::new(3.0, 0.0, 0.0));
    world.step();
    let speed = world.body_velocity(ball).0.x;
    assert!((speed - 3.0 * dt_secs).abs() < 1e-4, "{speed} m/s after a force of 3 N on 1 kg for {dt_secs} s");
    world.step();
    assert_eq!(world.body_velocity(ball).0.x, speed, "no force is left in the next step");
}

#[test]
fn at_a_gap_of_a_centimetre_nothing_touches() {
    let mut world = world(ball_scene());
    let (ball, floor) = (world.body("ball").expect("ball"), world.body("floor").expect("floor"));
    for (gap, touches) in
        [(0.5, false), (0.01, false), (0.0011, false), (0.0009, true), (0.0, true), (-0.02, true)]
    {
        world.set_body_pose(ball, PoseSpec::at(0.0, 0.0, 0.1 + gap).to_pose());
        assert!((world.gap(&[ball], floor) - gap).abs() < 1e-5, "{} for {gap}", world.gap(&[ball], floor));
        assert_eq!(world.are_touching(ball, floor), touches, "{gap} m apart");
    }
    assert_eq!(TOUCH_GAP, 0.001);
}

#[test]
fn the_gap_of_a_group_is_the_least_of_its_bodies_wherever_they_are() {
    let capsule = ShapeSpec::Capsule { radius: 0.03, half_length: 0.15 };
    let mut world = world(scene(vec![
        body("floor", BodyKind::Fixed, 0.0, ShapeSpec::Plane),
        body("box", BodyKind::Dynamic, 0.0, ShapeSpec::Box { half_extents: [0.3, 0.05, 0.1] }),
        body("capsule", BodyKind::Dynamic, 0.0, capsule),
        body("cylinder", BodyKind::Dynamic, 0.0, ShapeSpec::Cylinder { radius: 0.2, half_length: 0.04 }),
        body("ball", BodyKind::Dynamic, 0.0, ShapeSpec::Sphere { radius: 0.1 }),
    ]));
    let movable = ["box", "capsule", "cylinder", "ball"].map(|name| world.body(name).expect(name));
    let all = [movable.as_slice(), &[world.body("floor").expect("floor")]].concat();
    let mut rng = Rng::seed_from_u64(1);
    for _ in 0..300 {
        for body in movable {
            let position = Vec3::from_array(std::array::from_fn(|_| rng.random_range(-0.6..0.6)));
            let axis = Vec3::from_array(std::array::from_fn(|_| rng.random_range(-1.0..1.0))).normalize();
            let rotation = Quat::from_axis_angle(axis, rng.random_range(0.0..TAU));
            world.set_body_pose(body, PoseSpec::new(position, rotation).to_pose());
        }
        for &object in &all {
            let others: Vec<_> = all.iter().copied().filter(|&body| body != object).collect();
            let alone = others.iter().map(|&body| world.gap(&[body], object)).fold(f32::INFINITY, f32::min);
            assert_eq!(world.gap(&others, object), alone);
            assert!(alone.is_finite());
        }
    }
}

#[test]
fn a_small_ball_that_creeps_does_not_sink_into_the_floor() {
    let small = ShapeSpec::Sphere { radius: 0.005 };
    let mut world = world(scene(vec![
        body("floor", BodyKind::Fixed, 0.0, ShapeSpec::Box { half_extents: [0.5, 0.5, 0.05] }),
        body("ball", BodyKind::Dynamic, 0.075, small),
    ]));
    let (ball, floor) = (world.body("ball").expect("ball"), world.body("floor").expect("floor"));
    let mut deepest = 0.0_f32;
    for _ in 0..50 {
        world.step();
        deepest = deepest.min(world.gap(&[ball], floor));
    }
    assert!(deepest > -0.003, "it sank by {} m", -deepest);
}

#[test]
fn a_joint_that_becomes_nan_is_a_fault_and_not_a_panic() {
    let mut scene = arm_scene();
    scene.joints[0].limits = Some([-1.0, 1.0]);
    let mut world = world(scene);
    let joint = world.joint(&world.spec().joints[0].name).expect("a joint");
    world.set_joint_velocity(joint, f32::NAN);
    world.step();
    assert!(world.is_faulty());
    world.sync_render_scene();
    world.reset();
    world.step();
    assert!(!world.is_faulty(), "a reset mends it");
}

#[test]
fn a_free_robot_without_damping_keeps_turning() {
    let mut scene = arm_scene();
    scene.bodies[0].kind = BodyKind::Dynamic;
    scene.physics.gravity = [0.0; 3];
    for joint in &mut scene.joints {
        joint.kind = JointKind::Fixed;
        joint.motor = None;
    }
    scene.couplings.clear();
    let spin_after = |scene: SceneSpec| {
        let mut world = world(scene);
        let base = world.body("base").expect("body");
        world.set_force(world.body("lower").expect("body"), Vec3::new(0.0, 5.0, 0.0));
        world.step();
        let start = world.body_velocity(base).1.length();
        for _ in 0..50 {
            world.step();
        }
        world.body_velocity(base).1.length() / start
    };
    let ratio = spin_after(scene.clone());
    // The integrator of articulations gains a few percent.
    assert!((0.98..1.1).contains(&ratio), "without damping the spin changed by a factor of {ratio}");
    scene.bodies[0].angular_damping = 1000.0;
    assert!(spin_after(scene) < 0.9, "its own damping slows it down");
}

#[test]
fn worlds_of_one_scene_share_meshes_and_hulls() {
    let tetrahedron = ShapeSpec::Mesh {
        vertices: vec![[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]],
        triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
    };
    let scene = scene(vec![body("rock", BodyKind::Dynamic, 1.0, tetrahedron)]);
    let prepared = PreparedScene::new(Arc::new(scene)).expect("a valid scene");
    let mut worlds = [prepared.world().expect("a world"), prepared.world().expect("a world")];
    worlds[0].step();
    worlds[0].reset();
    let mesh = |world: &SimWorld| Arc::as_ptr(&world.render_scene().meshes[0]);
    assert_eq!(mesh(&worlds[0]), mesh(&worlds[1]));
    assert_eq!(worlds[0].state_hash(), worlds[1].state_hash());
}

#[test]
fn a_mesh_that_collides_and_has_no_hull_is_an_error() {
    let line = ShapeSpec::Mesh {
        vertices: vec![[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.2, 0.0, 0.0]],
        triangles: vec![[0, 1, 2]],
    };
    let mut scene = scene(vec![body("sheet", BodyKind::Fixed, 1.0, line)]);
    let message = SimWorld::new(Arc::new(scene.clone())).err().expect("no hull").to_string();
    assert!(message.contains("bodies.sheet.parts[0].shape"), "{message}");
    scene.bodies[0].parts[0].collides = false;
    assert!(SimWorld::new(Arc::new(scene)).is_ok(), "a part that does not collide needs no hull");
}

#[test]
fn a_snapshot_of_a_scene_that_differs_in_one_number_is_refused() {
    let mut heavier = ball_scene();
    heavier.bodies[1].parts[0].mass = 1.5;
    let snapshot = world(ball_scene()).snapshot().expect("snapshot");
    assert!(world(ball_scene()).restore(&snapshot).is_ok());
    assert!(matches!(world(heavier).restore(&snapshot), Err(SimError::Snapshot(_))));
}
