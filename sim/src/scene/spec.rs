//! The data types of a scene.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::math::{Mat3, Pose, Quat, Vec3};
use crate::render::Light;

/// One env's scene. SI units, radians, z up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneSpec {
    /// Time step, gravity and solver settings.
    pub physics: PhysicsSpec,
    /// Materials.
    pub materials: Vec<MaterialSpec>,
    /// Bodies, fixed and dynamic.
    pub bodies: Vec<BodySpec>,
    /// Joints between bodies.
    pub joints: Vec<JointSpec>,
    /// Couplings between joints.
    pub couplings: Vec<CouplingSpec>,
    /// Cameras.
    pub cameras: Vec<CameraSpec>,
    /// Sun, ambient light and sky.
    pub light: Light,
}

/// Time step, gravity and solver settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhysicsSpec {
    /// Length of one physics substep, seconds.
    pub dt_secs: f32,
    /// Physics substeps per control step.
    pub n_substeps: u32,
    /// Acceleration of gravity, m/s².
    pub gravity: [f32; 3],
    /// Solver iterations per substep.
    pub n_solver_iterations: u32,
    /// Whether friction also acts while the solver corrects penetration. It keeps grasped objects from creeping
    /// out of a gripper, and can make tall stacks unstable.
    pub friction_in_bias_pass: bool,
}

impl Default for PhysicsSpec {
    fn default() -> Self {
        Self {
            dt_secs: 0.01,
            n_substeps: 4,
            gravity: [0.0, 0.0, -9.81],
            n_solver_iterations: 4,
            friction_in_bias_pass: false,
        }
    }
}

impl PhysicsSpec {
    /// Length of one control step, seconds.
    pub fn control_dt_secs(&self) -> f32 {
        self.dt_secs * self.n_substeps as f32
    }

    /// Control steps per second; a scene whose rate is not a whole number is refused.
    pub fn control_hz(&self) -> f64 {
        // The time step is a decimal fraction that f32 cannot hold exactly.
        let hz = 1.0 / (f64::from(self.dt_secs) * f64::from(self.n_substeps));
        if (hz - hz.round()).abs() < 1e-4 * hz { hz.round() } else { hz }
    }
}

/// A position and an orientation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoseSpec {
    /// Position, metres.
    pub position: [f32; 3],
    /// Orientation, unit quaternion, x y z w.
    pub rotation: [f32; 4],
}

impl Default for PoseSpec {
    fn default() -> Self {
        Self { position: [0.0; 3], rotation: [0.0, 0.0, 0.0, 1.0] }
    }
}

impl PoseSpec {
    /// A position without rotation.
    pub fn at(x: f32, y: f32, z: f32) -> Self {
        Self { position: [x, y, z], ..Self::default() }
    }

    /// A position and a rotation.
    pub fn new(position: Vec3, rotation: Quat) -> Self {
        Self { position: position.to_array(), rotation: rotation.to_array() }
    }

    /// Pose of a capsule or cylinder from `from` to `to`: the midpoint, with z along the segment.
    pub fn along(from: Vec3, to: Vec3) -> Self {
        let direction = (to - from).normalize_or(Vec3::Z);
        Self::new((from + to) * 0.5, Quat::from_rotation_arc(Vec3::Z, direction))
    }

    /// Pose of an upright camera at `eye` that looks at `target` along its own -z.
    pub fn looking_at(eye: Vec3, target: Vec3) -> Self {
        let back = (eye - target).normalize_or(Vec3::Z);
        let up = if back.z.abs() > 0.999 { Vec3::Y } else { Vec3::Z };
        let right = up.cross(back).normalize();
        let rotation = Quat::from_mat3(&Mat3::from_cols(right, back.cross(right), back));
        Self::new(eye, rotation)
    }

    /// The same as a [`Pose`], with the rotation normalised.
    pub fn to_pose(self) -> Pose {
        Pose::from_parts(Vec3::from_array(self.position), Quat::from_array(self.rotation).normalize())
    }
}

/// A body or a fixture, made of parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodySpec {
    /// Unique name.
    pub name: String,
    /// Fixed or dynamic.
    pub kind: BodyKind,
    /// Initial pose.
    #[serde(default)]
    pub pose: PoseSpec,
    /// Geometry, material and mass of each part.
    pub parts: Vec<PartSpec>,
    /// Damping of translation, 1/s. Not for the child of a joint, which has [`JointSpec::damping`].
    #[serde(default)]
    pub linear_damping: f32,
    /// Damping of rotation, 1/s; for the free root of an articulation by the mean of its principal inertias. Not for the child
    /// of a joint.
    #[serde(default)]
    pub angular_damping: f32,
}

impl BodySpec {
    /// A fixed body; it moves only when a task sets its pose.
    pub fn fixed(name: &str, pose: PoseSpec, parts: Vec<PartSpec>) -> Self {
        Self {
            name: name.to_owned(),
            kind: BodyKind::Fixed,
            pose,
            parts,
            linear_damping: 0.0,
            angular_damping: 0.0,
        }
    }

    /// A dynamic body without damping.
    pub fn dynamic(name: &str, pose: PoseSpec, parts: Vec<PartSpec>) -> Self {
        Self { kind: BodyKind::Dynamic, ..Self::fixed(name, pose, parts) }
    }
}

/// Whether physics moves a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    /// Not moved by physics; a task may set its pose.
    Fixed,
    /// Moved by forces, contacts and joints.
    Dynamic,
}

/// One part of a body: a shape that collides, is visible, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSpec {
    /// Geometry.
    pub shape: ShapeSpec,
    /// Pose in the frame of the body.
    #[serde(default)]
    pub pose: PoseSpec,
    /// Name of its material; the part is invisible if absent.
    #[serde(default)]
    pub material: Option<String>,
    /// Whether it collides with other bodies.
    #[serde(default = "yes")]
    pub collides: bool,
    /// Mass, kg; only dynamic bodies use it.
    #[serde(default)]
    pub mass: f32,
    /// Coefficient of friction. A contact has the mean of its two parts' coefficients, or 0 if one of them is 0.
    #[serde(default = "default_friction")]
    pub friction: f32,
    /// Coefficient of restitution.
    #[serde(default)]
    pub restitution: f32,
}

impl PartSpec {
    /// A part that collides and is visible.
    pub fn new(shape: ShapeSpec, material: &str) -> Self {
        Self {
            shape,
            pose: PoseSpec::default(),
            material: Some(material.to_owned()),
            collides: true,
            mass: 0.0,
            friction: default_friction(),
            restitution: 0.0,
        }
    }

    /// A part that is visible and does not collide.
    pub fn visual(shape: ShapeSpec, material: &str) -> Self {
        Self { collides: false, ..Self::new(shape, material) }
    }

    /// The same part with another pose in its body.
    pub fn at(self, pose: PoseSpec) -> Self {
        Self { pose, ..self }
    }

    /// The same part with a mass, kg.
    pub fn with_mass(self, mass: f32) -> Self {
        Self { mass, ..self }
    }
}

fn yes() -> bool {
    true
}

fn default_friction() -> f32 {
    0.8
}

/// Geometry of a part, centred on its own origin, metres. Axes of revolution are z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ShapeSpec {
    /// The plane z = 0, infinite.
    Plane,
    /// An axis-aligned box.
    Box {
        /// Half of the edge lengths.
        half_extents: [f32; 3],
    },
    /// A sphere.
    Sphere {
        /// Radius.
        radius: f32,
    },
    /// A cylinder with hemispherical caps.
    Capsule {
        /// Radius of the cylinder and of the caps.
        radius: f32,
        /// Half of the distance between the centres of the caps.
        half_length: f32,
    },
    /// A closed cylinder.
    Cylinder {
        /// Radius.
        radius: f32,
        /// Half of the height.
        half_length: f32,
    },
    /// A closed cone, apex at +z.
    Cone {
        /// Radius of the base.
        radius: f32,
        /// Half of the height.
        half_length: f32,
    },
    /// A flat disc in the plane z = 0; it is visible and never collides.
    Disc {
        /// Radius.
        radius: f32,
    },
    /// A triangle mesh; it collides as its convex hull.
    Mesh {
        /// Vertex positions.
        vertices: Vec<[f32; 3]>,
        /// Three vertex indices per triangle, counter-clockwise from outside.
        triangles: Vec<[u32; 3]>,
    },
}

/// A joint between two bodies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointSpec {
    /// Unique name.
    pub name: String,
    /// Type of the joint.
    pub kind: JointKind,
    /// Name of the parent body.
    pub parent: String,
    /// Name of the child body.
    pub child: String,
    /// The joint's frame in the parent.
    #[serde(default)]
    pub parent_from_joint: PoseSpec,
    /// The joint's frame in the child; at coordinate 0 the two frames coincide.
    #[serde(default)]
    pub child_from_joint: PoseSpec,
    /// Lowest and highest coordinate, radians or metres; hinges and slides only.
    #[serde(default)]
    pub limits: Option<[f32; 2]>,
    /// Motor; hinges and slides only.
    #[serde(default)]
    pub motor: Option<MotorSpec>,
    /// Inertia of the drive as seen by the joint, kg m² or kg.
    #[serde(default)]
    pub armature: f32,
    /// Damping of the joint, N m s or N s/m.
    #[serde(default)]
    pub damping: f32,
}

/// Type of a joint. Axes are unit vectors in the joint's frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JointKind {
    /// No motion.
    Fixed,
    /// Rotation about an axis.
    Hinge {
        /// Unit vector.
        axis: [f32; 3],
    },
    /// Translation along an axis.
    Slide {
        /// Unit vector.
        axis: [f32; 3],
    },
    /// Rotation about a point.
    Ball,
}

/// A motor that drives a joint towards a target: force = stiffness (target − position) + damping (target − velocity).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotorSpec {
    /// Stiffness, N m/rad or N/m; 0 makes it a velocity motor.
    pub stiffness: f32,
    /// Damping, N m s/rad or N s/m.
    pub damping: f32,
    /// Maximum force, N m or N.
    pub max_force: f32,
}

/// `follower = ratio × leader + offset`, for joints of one articulation, such as the fingers of a gripper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouplingSpec {
    /// Name of the leading joint.
    pub leader: String,
    /// Name of the joint that follows.
    pub follower: String,
    /// Factor of the leader's coordinate.
    pub ratio: f32,
    /// Offset, radians or metres.
    #[serde(default)]
    pub offset: f32,
}

/// A named material.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaterialSpec {
    /// Unique name.
    pub name: String,
    /// Base colour, linear RGB, each in [0, 1].
    pub colour: [f32; 3],
    /// Roughness in [0, 1]: 0 has a mirror-like highlight, 1 is matt.
    #[serde(default = "default_roughness")]
    pub roughness: f32,
    /// Texture that modulates the base colour.
    #[serde(default)]
    pub texture: TextureSpec,
}

fn default_roughness() -> f32 {
    0.8
}

impl MaterialSpec {
    /// A material without texture, roughness 0.8.
    pub fn plain(name: &str, colour: [f32; 3]) -> Self {
        Self::textured(name, colour, TextureSpec::Plain)
    }

    /// A material with a texture, roughness 0.8.
    pub fn textured(name: &str, colour: [f32; 3], texture: TextureSpec) -> Self {
        Self { name: name.to_owned(), colour, roughness: default_roughness(), texture }
    }

    /// The same material with another roughness.
    pub fn with_roughness(self, roughness: f32) -> Self {
        Self { roughness, ..self }
    }
}

/// A texture. Lengths in metres, in the frame of the part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TextureSpec {
    /// The base colour everywhere.
    #[default]
    Plain,
    /// A checkerboard of the base colour and `other`.
    Checker {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Edge length of a square.
        cell: f32,
    },
    /// Grid lines on the base colour.
    Grid {
        /// Colour of the lines, linear RGB.
        line: [f32; 3],
        /// Distance between lines.
        cell: f32,
        /// Width of a line.
        width: f32,
    },
    /// Growth rings and grain of wood.
    Wood {
        /// The dark colour of the grain, linear RGB.
        other: [f32; 3],
        /// Distance between rings.
        ring: f32,
    },
    /// Smooth value noise.
    Noise {
        /// The second colour, linear RGB.
        other: [f32; 3],
        /// Size of a feature.
        cell: f32,
    },
    /// An image file (PNG or JPEG), repeated; multiplies the base colour.
    Image {
        /// Path, relative to the scene file.
        path: PathBuf,
        /// Width of one repetition.
        size: f32,
    },
}

/// A pinhole camera that looks along -z of its own frame, +y up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraSpec {
    /// Unique name.
    pub name: String,
    /// Name of the body that it is mounted on; the world if absent.
    #[serde(default)]
    pub mount: Option<String>,
    /// Pose in the frame of the mount.
    pub pose: PoseSpec,
    /// Vertical field of view, radians.
    pub fov_y: f32,
}

impl CameraSpec {
    /// An upright camera at `eye` that looks at `target`, both in metres, in the world. `fov_y_degrees` is its vertical
    /// field of view in degrees.
    pub fn looking_at(name: &str, eye: Vec3, target: Vec3, fov_y_degrees: f32) -> Self {
        Self {
            name: name.to_owned(),
            mount: None,
            pose: PoseSpec::looking_at(eye, target),
            fov_y: fov_y_degrees.to_radians(),
        }
    }

    /// The same camera on a body; its pose is then relative to that body.
    pub fn on_body(self, body: &str) -> Self {
        Self { mount: Some(body.to_owned()), ..self }
    }
}
