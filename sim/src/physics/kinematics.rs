//! Differential inverse kinematics.

use rapier3d::dynamics::RigidBodyHandle;
use rapier3d::na::{Matrix6, Vector6};

use super::SimWorld;
use crate::index::{BodyIdx, JointIdx};
use crate::math::Vec3;

/// Maximum number of joints in one call of [`SimWorld::solve_twist`].
const MAX_JOINTS: usize = 16;

impl SimWorld {
    /// Joint velocities that move a point of a body with a given velocity while the body turns with another:
    /// damped least squares, `q̇ = Jᵀ (J Jᵀ + λ² I)⁻¹ v` (Wampler 1986; Nakamura and Hanafusa 1986).
    ///
    /// `linear` in m/s at `point_in_world`, `angular` in rad/s; `out` has one entry per joint (rad/s or m/s): zero for
    /// joints that do not move the body and for joints after the first 16; zero for all joints if the body belongs to no
    /// articulation or the equations are singular.
    pub fn solve_twist(
        &self,
        body: BodyIdx,
        point_in_world: Vec3,
        (linear, angular): (Vec3, Vec3),
        joints: &[JointIdx],
        damping: f32,
        out: &mut [f32],
    ) {
        out.fill(0.0);
        let handle: RigidBodyHandle = self.bodies[body.0];
        let Some(link) = self.physics.multibody_joints.rigid_body_link(handle).copied() else { return };
        let Some(multibody) = self.physics.multibody_joints.get_multibody(link.multibody) else { return };
        let jacobian = multibody.body_jacobian(link.id);
        let lever = point_in_world - self.physics.bodies[handle].center_of_mass();

        let mut columns = [Vector6::<f32>::zeros(); MAX_JOINTS];
        let n_joints = joints.len().min(MAX_JOINTS);
        for (column, &joint) in columns.iter_mut().zip(&joints[..n_joints]) {
            let Some(dof) = self.joint_dof(joint) else { continue };
            let j = jacobian.column(dof);
            let spin = Vec3::new(j[3], j[4], j[5]);
            let speed = Vec3::new(j[0], j[1], j[2]) + spin.cross(lever);
            *column = Vector6::new(speed.x, speed.y, speed.z, spin.x, spin.y, spin.z);
        }
        let mut gram = Matrix6::<f32>::identity() * (damping * damping);
        for column in &columns[..n_joints] {
            gram += column * column.transpose();
        }
        let wanted = Vector6::new(linear.x, linear.y, linear.z, angular.x, angular.y, angular.z);
        let Some(cholesky) = gram.cholesky() else { return };
        let solution = cholesky.solve(&wanted);
        for (velocity, column) in out.iter_mut().zip(&columns[..n_joints]) {
            *velocity = column.dot(&solution);
        }
    }
}
