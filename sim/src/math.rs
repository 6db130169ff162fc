//! Vector and pose types, re-exported from rapier (glam): f32, metres and radians, z up.

use rapier3d::glamx;

pub use glamx::{Mat3, Pose3 as Pose, Quat, Vec2, Vec3};
