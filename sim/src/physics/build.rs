//! Builds rapier's bodies, colliders and joints from a scene.

use rapier3d::dynamics::{
    CoefficientCombineRule, GenericJoint, JointAxesMask, JointAxis, MotorModel, MultibodyDofCoupling,
    MultibodyJointHandle, RigidBodyBuilder, RigidBodyHandle,
};
use rapier3d::geometry::ColliderBuilder;
use rapier3d::pipeline::PhysicsWorld;

use super::prepared::{PreparedBody, PreparedScene};
use crate::math::{Pose, Quat, Vec3};
use crate::scene::{BodyKind, BodySpec, JointKind, JointSpec, SceneSpec};
use crate::{Result, SimError};

/// A joint of the scene in rapier.
#[derive(Clone, Copy, Debug)]
pub(super) struct JointLink {
    /// The joint's link in its articulation.
    pub handle: MultibodyJointHandle,
    /// Free axis of a hinge or a slide.
    pub axis: Option<JointAxis>,
}

/// Builds rapier's world; handles are in the order of the scene's lists.
pub(super) fn physics(scene: &PreparedScene) -> Result<(PhysicsWorld, Vec<RigidBodyHandle>, Vec<JointLink>)> {
    let spec = scene.spec();
    let mut world = PhysicsWorld::new();
    world.gravity = Vec3::from_array(spec.physics.gravity);
    let parameters = &mut world.integration_parameters;
    parameters.dt = spec.physics.dt_secs;
    parameters.num_solver_iterations = spec.physics.n_solver_iterations as usize;
    parameters.friction_in_bias_pass = spec.physics.friction_in_bias_pass;
    // rapier's default looks for no new contacts of a pair that moved by less than 5 cm, which is more than a small object.
    parameters.contact_recycling = false;

    let prepared = spec.bodies.iter().zip(scene.bodies());
    let bodies: Vec<_> = prepared.map(|(body, prepared)| insert_body(&mut world, body, prepared)).collect();
    let joints = spec
        .joints
        .iter()
        .map(|joint| insert_joint(&mut world, spec, &bodies, joint))
        .collect::<Result<Vec<_>>>()?;
    for (joint, link) in spec.joints.iter().zip(&joints) {
        finish_joint(&mut world, joint, *link);
    }
    damp_free_roots(&mut world, scene, &bodies);
    for coupling in &spec.couplings {
        let at = |name: &str| spec.joints.iter().position(|j| j.name == name).map(|i| joints[i]);
        if let (Some(leader), Some(follower)) = (at(&coupling.leader), at(&coupling.follower)) {
            couple(&mut world, leader, follower, coupling.ratio, coupling.offset)?;
        }
    }
    place_articulations(&mut world);
    Ok((world, bodies, joints))
}

fn insert_body(world: &mut PhysicsWorld, body: &BodySpec, prepared: &PreparedBody) -> RigidBodyHandle {
    let builder = match body.kind {
        BodyKind::Fixed => RigidBodyBuilder::fixed(),
        BodyKind::Dynamic => RigidBodyBuilder::dynamic().additional_mass_properties(prepared.mass),
    };
    let builder = builder
        .pose(body.pose.to_pose())
        .linear_damping(body.linear_damping)
        .angular_damping(body.angular_damping)
        .can_sleep(false);
    let handle = world.insert_body(builder);
    for collider in &prepared.colliders {
        let part = &body.parts[collider.part_idx];
        let collider = ColliderBuilder::new(collider.shape.clone())
            .position(collider.body_from_shape)
            .density(0.0)
            .friction(part.friction)
            .friction_combine_rule(match part.friction {
                0.0 => CoefficientCombineRule::Min,
                _ => CoefficientCombineRule::Average,
            })
            .restitution(part.restitution);
        world.insert_collider(collider, Some(handle));
    }
    handle
}

fn insert_joint(
    world: &mut PhysicsWorld,
    spec: &SceneSpec,
    bodies: &[RigidBodyHandle],
    joint: &JointSpec,
) -> Result<JointLink> {
    let body = |name: &str| spec.bodies.iter().position(|b| b.name == name).map(|i| bodies[i]);
    let impossible = |expected: &str| SimError::OutOfRange {
        field: format!("joints.{}", joint.name),
        got: format!("parent '{}', child '{}'", joint.parent, joint.child),
        expected: expected.to_owned(),
    };
    let (Some(parent), Some(child)) = (body(&joint.parent), body(&joint.child)) else {
        return Err(impossible("two bodies of the scene"));
    };
    if !world.bodies[child].is_dynamic() {
        return Err(impossible("a dynamic child"));
    }
    let (data, axis) = joint_data(joint);
    let handle = world
        .insert_multibody_joint(parent, child, data)
        .ok_or_else(|| impossible("joints that form a tree, parents listed before children"))?;
    Ok(JointLink { handle, axis })
}

fn joint_data(joint: &JointSpec) -> (GenericJoint, Option<JointAxis>) {
    let all = JointAxesMask::all();
    let (locked, axis, direction) = match joint.kind {
        JointKind::Fixed => (all, None, Vec3::X),
        JointKind::Hinge { axis } => {
            (all & !JointAxesMask::ANG_X, Some(JointAxis::AngX), Vec3::from_array(axis))
        }
        JointKind::Slide { axis } => {
            (all & !JointAxesMask::LIN_X, Some(JointAxis::LinX), Vec3::from_array(axis))
        }
        JointKind::Ball => (JointAxesMask::LOCKED_SPHERICAL_AXES, None, Vec3::X),
    };
    let joint_from_axis =
        Pose::from_rotation(Quat::from_rotation_arc(Vec3::X, direction.normalize_or(Vec3::X)));
    let mut data = GenericJoint::new(locked);
    data.set_local_frame1(joint.parent_from_joint.to_pose() * joint_from_axis);
    data.set_local_frame2(joint.child_from_joint.to_pose() * joint_from_axis);
    data.set_contacts_enabled(false);
    if let Some(axis) = axis {
        if let Some(limits) = joint.limits {
            data.set_limits(axis, limits);
        }
        if let Some(motor) = joint.motor {
            data.set_motor_model(axis, MotorModel::ForceBased);
            data.set_motor_position(axis, 0.0, motor.stiffness, motor.damping);
            data.set_motor_max_force(axis, motor.max_force);
        }
    }
    (data, axis)
}

/// Sets armature and damping per coordinate, after all joints are inserted, because inserting reorders coordinates.
fn finish_joint(world: &mut PhysicsWorld, joint: &JointSpec, link: JointLink) {
    let Some((multibody, link_id)) = world.multibody_joints.get_mut(link.handle) else { return };
    // Links of one articulation are close by design and must not collide with each other.
    multibody.set_self_contacts_enabled(false);
    let Some(dofs) = multibody.link(link_id).map(|l| l.assembly_id()..l.assembly_id() + l.joint().ndofs())
    else {
        return;
    };
    for dof in dofs {
        multibody.armature_mut()[dof] = joint.armature;
        multibody.damping_mut()[dof] = joint.damping;
    }
}

/// Gives the free root of every articulation the damping of its body; rapier's default is 0.1 N·m·s/rad for each rotation.
fn damp_free_roots(world: &mut PhysicsWorld, scene: &PreparedScene, bodies: &[RigidBodyHandle]) {
    for ((body, prepared), &handle) in scene.spec().bodies.iter().zip(scene.bodies()).zip(bodies) {
        let Some(link) = world.multibody_joints.rigid_body_link(handle).copied() else { continue };
        let Some(multibody) = world.multibody_joints.get_multibody_mut(link.multibody) else { continue };
        if multibody.root().rigid_body_handle() != handle || multibody.root().joint().ndofs() != 6 {
            continue;
        }
        let linear = body.linear_damping * prepared.mass.mass();
        let angular = body.angular_damping * prepared.mass.principal_inertia().element_sum() / 3.0;
        for (dof, damping) in [linear, linear, linear, angular, angular, angular].into_iter().enumerate() {
            multibody.damping_mut()[dof] = damping;
        }
    }
}

fn couple(
    world: &mut PhysicsWorld,
    leader: JointLink,
    follower: JointLink,
    ratio: f32,
    offset: f32,
) -> Result<()> {
    let refused = || SimError::OutOfRange {
        field: "couplings".to_owned(),
        got: "joints of different articulations, or without a coordinate".to_owned(),
        expected: "two hinges or slides of one articulation".to_owned(),
    };
    let link_of =
        |world: &PhysicsWorld, link: JointLink| world.multibody_joints.get(link.handle).map(|(_, id)| id);
    let (Some(link1), Some(link2)) = (link_of(world, leader), link_of(world, follower)) else {
        return Err(refused());
    };
    let (Some(axis1), Some(axis2)) = (leader.axis, follower.axis) else { return Err(refused()) };
    let same = world.multibody_joints.rigid_body_link(RigidBodyHandle(leader.handle.0)).map(|l| l.multibody)
        == world.multibody_joints.rigid_body_link(RigidBodyHandle(follower.handle.0)).map(|l| l.multibody);
    let Some((multibody, _)) = world.multibody_joints.get_mut(leader.handle).filter(|_| same) else {
        return Err(refused());
    };
    multibody.add_dof_coupling(MultibodyDofCoupling {
        link1,
        dof1: 0,
        axis1: axis1 as usize,
        link2,
        dof2: 0,
        axis2: axis2 as usize,
        coeff: ratio,
        offset,
    });
    Ok(())
}

/// Moves the bodies of every articulation to their poses at zero joint coordinates.
fn place_articulations(world: &mut PhysicsWorld) {
    let PhysicsWorld { multibody_joints, bodies, .. } = world;
    let roots: Vec<_> = multibody_joints.multibodies().map(|m| m.root().rigid_body_handle()).collect();
    for root in roots {
        let Some(link) = multibody_joints.rigid_body_link(root).copied() else { continue };
        if let Some(multibody) = multibody_joints.get_multibody_mut(link.multibody) {
            multibody.forward_kinematics(bodies, true);
            multibody.update_rigid_bodies(bodies, true);
        }
    }
}
