//! A seven-joint arm with a two-finger gripper, and its Cartesian control.
//!
//! Joints alternate between turning about the link (1, 3, 5, 7) and bending it (2, 4, 6); at zero the arm
//! points straight up. Masses and gains are those of a light arm with a payload of about 1 kg.

use sayso_sim::math::{Quat, Vec3};
use sayso_sim::scene::{
    BodySpec, CouplingSpec, JointKind, JointSpec, MaterialSpec, MotorSpec, PartSpec, PoseSpec, SceneSpec,
    ShapeSpec,
};
use sayso_sim::{BodyIdx, JointIdx, SimWorld};

use crate::Result;

/// Number of joints of the arm, fingers aside.
pub const N_JOINTS: usize = 7;

/// Joint positions in which the gripper points straight down in front of the base, rad.
pub const HOME: [f32; N_JOINTS] = [0.0, 0.25, 0.0, 1.85, 0.0, 1.0416, 0.0];

/// Limits of the joints, rad.
pub const LIMITS: [[f32; 2]; N_JOINTS] =
    [[-2.8, 2.8], [-1.8, 1.8], [-2.8, 2.8], [-0.1, 2.9], [-2.8, 2.8], [-0.4, 3.6], [-2.8, 2.8]];

/// Largest distance of a finger from the middle, metres.
pub const FINGER_STROKE: f32 = 0.035;

/// Name of the body that the fingers are on.
pub const HAND: &str = "arm_link7";

/// Distance from the hand's origin to the point between the fingertips along the hand's z axis, metres.
const TIP_OFFSET: f32 = 0.145;

/// Length of each link, metres: pedestal, shoulder, upper arm, elbow, forearm, wrist, flange.
const LENGTHS: [f32; N_JOINTS] = [0.20, 0.10, 0.34, 0.0, 0.34, 0.0, 0.06];

/// Adds the arm to a scene, with its base at `base`, metres.
pub fn add_to(scene: &mut SceneSpec, base: Vec3) {
    scene.materials.extend([
        MaterialSpec::plain("arm_shell", [0.82, 0.83, 0.85]).with_roughness(0.45),
        MaterialSpec::plain("arm_joint", [0.10, 0.11, 0.13]).with_roughness(0.5),
        MaterialSpec::plain("finger", [0.05, 0.05, 0.06]).with_roughness(0.7),
    ]);
    let pedestal = ShapeSpec::Cylinder { radius: 0.075, half_length: 0.03 };
    let pedestal = PartSpec::new(pedestal, "arm_joint").at(PoseSpec::at(0.0, 0.0, 0.03));
    scene.bodies.push(BodySpec::fixed("arm_base", PoseSpec::new(base, Quat::IDENTITY), vec![pedestal]));
    let mut parent = "arm_base".to_owned();
    for joint_idx in 0..N_JOINTS {
        let is_bend = joint_idx % 2 == 1;
        let name = format!("arm_link{}", joint_idx + 1);
        scene.bodies.push(link(&name, joint_idx));
        scene.joints.push(JointSpec {
            name: format!("arm_joint{}", joint_idx + 1),
            kind: JointKind::Hinge { axis: if is_bend { [0.0, 1.0, 0.0] } else { [0.0, 0.0, 1.0] } },
            parent: std::mem::replace(&mut parent, name.clone()),
            child: name,
            parent_from_joint: PoseSpec::at(0.0, 0.0, LENGTHS[joint_idx]),
            child_from_joint: PoseSpec::default(),
            limits: Some(LIMITS[joint_idx]),
            motor: Some(MotorSpec { stiffness: 900.0, damping: 60.0, max_force: 120.0 }),
            armature: 0.1,
            damping: 0.5,
        });
    }
    add_fingers(scene, &parent);
}

fn link(name: &str, joint_idx: usize) -> BodySpec {
    let up = |length: f32| PoseSpec::along(Vec3::ZERO, Vec3::new(0.0, 0.0, length));
    let capsule = |length: f32, radius: f32, material: &str| {
        PartSpec::new(ShapeSpec::Capsule { radius, half_length: length * 0.5 }, material).at(up(length))
    };
    let hub = |radius: f32, half_length: f32| {
        let across = PoseSpec::new(Vec3::ZERO, Quat::from_rotation_x(std::f32::consts::FRAC_PI_2));
        PartSpec::visual(ShapeSpec::Cylinder { radius, half_length }, "arm_joint").at(across)
    };
    let parts = match joint_idx {
        0 => vec![capsule(0.08, 0.065, "arm_shell").with_mass(2.0)],
        1 => vec![hub(0.062, 0.075), capsule(0.17, 0.055, "arm_shell").with_mass(2.0)],
        2 => vec![capsule(0.0001, 0.052, "arm_shell").with_mass(0.6).at(PoseSpec::at(0.0, 0.0, -0.08))],
        3 => vec![hub(0.055, 0.066), capsule(0.17, 0.046, "arm_shell").with_mass(1.4)],
        4 => vec![capsule(0.0001, 0.044, "arm_shell").with_mass(0.4).at(PoseSpec::at(0.0, 0.0, -0.08))],
        5 => vec![hub(0.044, 0.055).with_mass(0.5)],
        _ => {
            let palm = ShapeSpec::Box { half_extents: [0.022, 0.065, 0.022] };
            vec![
                capsule(0.04, 0.036, "arm_shell").with_mass(0.3),
                PartSpec::new(palm, "arm_shell").at(PoseSpec::at(0.0, 0.0, 0.065)).with_mass(0.3),
            ]
        }
    };
    BodySpec::dynamic(name, PoseSpec::default(), parts)
}

fn add_fingers(scene: &mut SceneSpec, hand: &str) {
    for (name, side) in [("finger_left", 1.0), ("finger_right", -1.0)] {
        let pad = ShapeSpec::Box { half_extents: [0.011, 0.007, 0.032] };
        let pad = PartSpec::new(pad, "finger").with_mass(0.05);
        scene.bodies.push(BodySpec::dynamic(name, PoseSpec::default(), vec![pad]));
        scene.joints.push(JointSpec {
            name: format!("{name}_joint"),
            kind: JointKind::Slide { axis: [0.0, side, 0.0] },
            parent: hand.to_owned(),
            child: name.to_owned(),
            parent_from_joint: PoseSpec::at(0.0, side * 0.007, 0.115),
            child_from_joint: PoseSpec::default(),
            limits: Some([0.0, FINGER_STROKE]),
            motor: Some(MotorSpec { stiffness: 2000.0, damping: 40.0, max_force: 20.0 }),
            armature: 0.05,
            damping: 0.0,
        });
    }
    scene.couplings.push(CouplingSpec {
        leader: "finger_left_joint".to_owned(),
        follower: "finger_right_joint".to_owned(),
        ratio: 1.0,
        offset: 0.0,
    });
}

/// The arm of one env: indices of its joints and its hand, and the target positions of its joint motors.
#[derive(Clone, Debug)]
pub struct Arm {
    joints: [JointIdx; N_JOINTS],
    fingers: [JointIdx; 2],
    hand: BodyIdx,
    /// The bodies of the fingers.
    pads: [BodyIdx; 2],
    targets: [f32; N_JOINTS],
}

impl Arm {
    /// Finds the arm in a world.
    ///
    /// # Errors
    /// If the world's scene has no arm.
    pub fn find(world: &SimWorld) -> Result<Self> {
        let mut joints = [JointIdx(0); N_JOINTS];
        for (joint_idx, joint) in joints.iter_mut().enumerate() {
            *joint = world.joint(&format!("arm_joint{}", joint_idx + 1))?;
        }
        let fingers = [world.joint("finger_left_joint")?, world.joint("finger_right_joint")?];
        let pads = [world.body("finger_left")?, world.body("finger_right")?];
        Ok(Self { joints, fingers, hand: world.body(HAND)?, pads, targets: HOME })
    }

    /// The bodies of the gripper: both fingers and the hand.
    pub fn gripper(&self) -> [BodyIdx; 3] {
        let [left, right] = self.pads;
        [left, right, self.hand]
    }

    /// Sets the joint positions (rad) of the arm at rest, with each finger `opening` metres from the middle.
    pub fn place(&mut self, world: &mut SimWorld, posture: [f32; N_JOINTS], opening: f32) {
        let mut positions = [(JointIdx(0), 0.0); N_JOINTS + 2];
        for (position, (&joint, &q)) in positions.iter_mut().zip(self.joints.iter().zip(&posture)) {
            *position = (joint, q);
        }
        positions[N_JOINTS] = (self.fingers[0], opening);
        positions[N_JOINTS + 1] = (self.fingers[1], opening);
        world.set_joint_positions(&positions);
        self.targets = posture;
    }

    /// The point between the fingertips, world frame.
    pub fn tip(&self, world: &SimWorld) -> Vec3 {
        world.body_pose(self.hand).transform_point(Vec3::new(0.0, 0.0, TIP_OFFSET))
    }

    /// Positions of the joints, rad.
    pub fn positions(&self, world: &SimWorld) -> [f32; N_JOINTS] {
        self.joints.map(|joint| world.joint_position(joint))
    }

    /// Velocities of the joints, rad/s.
    pub fn velocities(&self, world: &SimWorld) -> [f32; N_JOINTS] {
        self.joints.map(|joint| world.joint_velocity(joint))
    }

    /// Distance of the fingers from the middle, metres, mean of both.
    pub fn opening(&self, world: &SimWorld) -> f32 {
        0.5 * (world.joint_position(self.fingers[0]) + world.joint_position(self.fingers[1]))
    }

    /// Moves the joint targets for one control step so that the tip moves with a velocity (m/s, world frame) while the
    /// hand turns back to pointing straight down.
    pub fn move_tip(&mut self, world: &mut SimWorld, velocity: Vec3) {
        let hand_down = world.body_pose(self.hand).rotation * Vec3::Z;
        let righting = hand_down.cross(Vec3::NEG_Z) * RIGHTING_RATE;
        let mut rates = [0.0; N_JOINTS];
        world.solve_twist(
            self.hand,
            self.tip(world),
            (velocity, righting),
            &self.joints,
            IK_DAMPING,
            &mut rates,
        );
        let dt_secs = world.spec().physics.control_dt_secs();
        self.move_joints(world, rates.map(|rate| rate.clamp(-MAX_RATE, MAX_RATE) * dt_secs));
    }

    /// Moves the joint targets by displacements, rad. A target never runs more than [`MAX_LEAD`] ahead of its joint,
    /// so that a blocked arm does not jump forward when it is released.
    pub fn move_joints(&mut self, world: &mut SimWorld, displacements: [f32; N_JOINTS]) {
        let positions = self.positions(world);
        for joint_idx in 0..N_JOINTS {
            let [low, high] = LIMITS[joint_idx];
            let q = positions[joint_idx];
            let target =
                (self.targets[joint_idx] + displacements[joint_idx]).clamp(q - MAX_LEAD, q + MAX_LEAD);
            self.targets[joint_idx] = target.clamp(low, high);
            world.set_motor_target(self.joints[joint_idx], self.targets[joint_idx]);
        }
    }

    /// Places the arm with the tip at a point (world frame) and the hand pointing down, by inverse kinematics from the
    /// current joint positions. Returns the remaining distance of the tip from the point, metres.
    pub fn place_tip(&mut self, world: &mut SimWorld, point: Vec3, opening: f32) -> f32 {
        for _ in 0..IK_ITERATIONS {
            let error = point - self.tip(world);
            if error.length() < IK_TOLERANCE {
                break;
            }
            let hand_down = world.body_pose(self.hand).rotation * Vec3::Z;
            let righting = hand_down.cross(Vec3::NEG_Z);
            let mut steps = [0.0; N_JOINTS];
            world.solve_twist(
                self.hand,
                self.tip(world),
                (error, righting),
                &self.joints,
                IK_DAMPING,
                &mut steps,
            );
            let mut posture = self.positions(world);
            for joint_idx in 0..N_JOINTS {
                let [low, high] = LIMITS[joint_idx];
                posture[joint_idx] =
                    (posture[joint_idx] + steps[joint_idx].clamp(-0.5, 0.5)).clamp(low, high);
            }
            self.place(world, posture, opening);
        }
        (point - self.tip(world)).length()
    }

    /// The joint targets, for a snapshot.
    pub fn targets(&self) -> [f32; N_JOINTS] {
        self.targets
    }

    /// Restores what [`Self::targets`] returned.
    pub fn set_targets(&mut self, targets: [f32; N_JOINTS]) {
        self.targets = targets;
    }
}

/// Gain of the hand's rotation back to pointing down, 1/s.
const RIGHTING_RATE: f32 = 6.0;
/// Damping of the inverse kinematics; keeps rates finite near singular postures.
const IK_DAMPING: f32 = 0.06;
/// Maximum speed of a joint target, rad/s.
const MAX_RATE: f32 = 4.0;
/// Maximum lead of a target over the position of its joint, rad.
const MAX_LEAD: f32 = 0.25;
/// Distance from its goal at which [`Arm::place_tip`] stops, metres.
const IK_TOLERANCE: f32 = 3e-4;
/// Maximum number of iterations of [`Arm::place_tip`].
const IK_ITERATIONS: usize = 30;
