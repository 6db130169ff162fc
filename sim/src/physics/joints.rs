//! Positions, velocities and motor targets of joints.

use rapier3d::dynamics::{JointAxis, RigidBodyHandle};
use rapier3d::pipeline::PhysicsWorld;

use super::SimWorld;
use crate::index::JointIdx;

impl SimWorld {
    /// Coordinate of a hinge (rad) or a slide (m); 0 for other joints.
    pub fn joint_position(&self, joint: JointIdx) -> f32 {
        let link = self.joints[joint.0];
        let read = || {
            let (multibody, link_id) = self.physics.multibody_joints.get(link.handle)?;
            Some(multibody.link(link_id)?.joint().coords()[link.axis? as usize])
        };
        read().unwrap_or(0.0)
    }

    /// Velocity of a hinge (rad/s) or a slide (m/s); 0 for other joints.
    pub fn joint_velocity(&self, joint: JointIdx) -> f32 {
        let read = || {
            let (multibody, _) = self.physics.multibody_joints.get(self.joints[joint.0].handle)?;
            Some(multibody.generalized_velocity()[self.joint_dof(joint)?])
        };
        read().unwrap_or(0.0)
    }

    /// Sets the coordinates of hinges and slides and moves the bodies of their articulations, at zero velocity; the
    /// targets of their motors are set to the new coordinates. Joints without a coordinate are unchanged.
    pub fn set_joint_positions(&mut self, positions: &[(JointIdx, f32)]) {
        let moves: Vec<_> = positions.iter().map(|&(j, q)| (j, q, q - self.joint_position(j))).collect();
        for &(joint, position, displacement) in &moves {
            self.shift_joint(joint, displacement);
            self.set_motor_target(joint, position);
        }
        let mut updated = None;
        for &(joint, ..) in &moves {
            let body = RigidBodyHandle(self.joints[joint.0].handle.0);
            let articulation = self.physics.multibody_joints.rigid_body_link(body).map(|l| l.multibody);
            if articulation != updated {
                updated = articulation;
                self.update_articulation(body);
            }
        }
    }

    /// Sets the coordinate and the velocity of one hinge or slide; all other velocities of its articulation become zero.
    /// Motor targets are unchanged.
    pub fn set_joint_state(&mut self, joint: JointIdx, position: f32, velocity: f32) {
        self.shift_joint(joint, position - self.joint_position(joint));
        self.update_articulation(RigidBodyHandle(self.joints[joint.0].handle.0));
        self.set_joint_velocity(joint, velocity);
    }

    /// Sets the velocity of one hinge (rad/s) or slide (m/s).
    pub fn set_joint_velocity(&mut self, joint: JointIdx, velocity: f32) {
        let Some(dof) = self.joint_dof(joint) else { return };
        let handle = self.joints[joint.0].handle;
        if let Some((multibody, _)) = self.physics.multibody_joints.get_mut(handle) {
            multibody.generalized_velocity_mut()[dof] = velocity;
        }
    }

    /// Sets the coordinate of one hinge or slide, at zero velocity; every other joint keeps its velocity.
    pub fn stop_joint_at(&mut self, joint: JointIdx, position: f32) {
        self.shift_joint(joint, position - self.joint_position(joint));
        let body = RigidBodyHandle(self.joints[joint.0].handle.0);
        let PhysicsWorld { multibody_joints, bodies, .. } = &mut self.physics;
        let Some(link) = multibody_joints.rigid_body_link(body).copied() else { return };
        if let Some(multibody) = multibody_joints.get_multibody_mut(link.multibody) {
            multibody.forward_kinematics(bodies, true);
            multibody.update_rigid_bodies(bodies, true);
        }
        self.set_joint_velocity(joint, 0.0);
    }

    /// Sets the target of a position motor, rad or m.
    pub fn set_motor_target(&mut self, joint: JointIdx, position: f32) {
        self.with_motor(joint, |data, axis, stiffness, damping| {
            data.set_motor_position(axis, position, stiffness, damping);
        });
    }

    /// Sets the target of a velocity motor, rad/s or m/s.
    pub fn set_motor_velocity(&mut self, joint: JointIdx, velocity: f32) {
        self.with_motor(joint, |data, axis, _, damping| {
            data.set_motor_velocity(axis, velocity, damping);
        });
    }

    fn with_motor(
        &mut self,
        joint: JointIdx,
        set: impl FnOnce(&mut rapier3d::dynamics::GenericJoint, JointAxis, f32, f32),
    ) {
        let link = self.joints[joint.0];
        let Some(motor) = self.spec().joints[joint.0].motor else { return };
        let Some((multibody, link_id)) = self.physics.multibody_joints.get_mut(link.handle) else { return };
        if let (Some(link_mut), Some(axis)) = (multibody.link_mut(link_id), link.axis) {
            set(&mut link_mut.joint.data, axis, motor.stiffness, motor.damping);
        }
    }

    /// Index of a hinge's or slide's coordinate in the generalised vectors of its articulation.
    pub(super) fn joint_dof(&self, joint: JointIdx) -> Option<usize> {
        let link = self.joints[joint.0];
        link.axis?;
        let (multibody, link_id) = self.physics.multibody_joints.get(link.handle)?;
        multibody.link(link_id).map(|l| l.assembly_id())
    }

    fn shift_joint(&mut self, joint: JointIdx, displacement: f32) {
        let link = self.joints[joint.0];
        let Some((multibody, link_id)) = self.physics.multibody_joints.get_mut(link.handle) else { return };
        if let Some(link_mut) = multibody.link_mut(link_id).filter(|_| link.axis.is_some()) {
            link_mut.joint.apply_displacement(&[displacement]);
        }
    }

    /// Moves the bodies of an articulation after its coordinates or its root were set, at zero velocity.
    pub(super) fn update_articulation(&mut self, body: RigidBodyHandle) {
        let PhysicsWorld { multibody_joints, bodies, .. } = &mut self.physics;
        let Some(link) = multibody_joints.rigid_body_link(body).copied() else { return };
        let Some(multibody) = multibody_joints.get_multibody_mut(link.multibody) else { return };
        multibody.generalized_velocity_mut().fill(0.0);
        multibody.forward_kinematics(bodies, true);
        multibody.update_rigid_bodies(bodies, true);
        for link in multibody.links() {
            if let Some(body) = bodies.get_mut(link.rigid_body_handle()) {
                body.set_linvel(crate::math::Vec3::ZERO, true);
                body.set_angvel(crate::math::Vec3::ZERO, true);
            }
        }
    }
}
