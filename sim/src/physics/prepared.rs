//! A scene, prepared once for all worlds that are built from it.

use std::f32::consts::FRAC_PI_2;
use std::sync::Arc;

use rapier3d::dynamics::MassProperties;
use rapier3d::geometry::SharedShape;

use super::SimWorld;
use super::render_scene::{self, MountedCamera, RenderedPart};
use crate::math::{Pose, Quat, Vec3};
use crate::render::RenderScene;
use crate::scene::{BodyKind, BodySpec, PartSpec, SceneSpec, ShapeSpec};
use crate::{Result, SimError};

/// A checked scene with what its worlds share: collision shapes with their convex hulls, masses, meshes with their
/// hierarchies, and textures. Cloning it is cheap.
#[derive(Clone)]
pub struct PreparedScene(Arc<Parts>);

struct Parts {
    spec: Arc<SceneSpec>,
    bodies: Vec<PreparedBody>,
    render_scene: RenderScene,
    rendered_parts: Vec<RenderedPart>,
    cameras: Vec<MountedCamera>,
    fingerprint: u64,
}

/// Collision shapes and mass of a body.
pub(super) struct PreparedBody {
    pub colliders: Vec<PreparedCollider>,
    /// Mass, centre of mass and inertia of all parts, including those that do not collide; zero for a fixed body.
    pub mass: MassProperties,
}

/// The collision shape of a part.
pub(super) struct PreparedCollider {
    pub part_idx: usize,
    pub shape: SharedShape,
    pub body_from_shape: Pose,
}

impl PreparedScene {
    /// Checks a scene, builds its shapes and reads its files.
    ///
    /// # Errors
    /// If the scene is invalid ([`SceneSpec::check`]), one of its images cannot be read, a mesh that collides has no convex
    /// hull, or a dynamic body has no mass.
    pub fn new(spec: Arc<SceneSpec>) -> Result<Self> {
        spec.check()?;
        let bodies = spec.bodies.iter().map(prepare).collect::<Result<_>>()?;
        let (render_scene, rendered_parts, cameras) = render_scene::build(&spec)?;
        let fingerprint = fingerprint(&spec)?;
        Ok(Self(Arc::new(Parts { spec, bodies, render_scene, rendered_parts, cameras, fingerprint })))
    }

    /// Builds a world.
    ///
    /// # Errors
    /// If the joints or couplings of the scene cannot be built.
    pub fn world(&self) -> Result<SimWorld> {
        SimWorld::from_prepared(self.clone())
    }

    /// The scene.
    pub fn spec(&self) -> &SceneSpec {
        &self.0.spec
    }

    /// Hash of everything in the scene's specification, FNV-1a, 64 bits.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    pub(super) fn bodies(&self) -> &[PreparedBody] {
        &self.0.bodies
    }

    /// The render scene of a new world, whose poses are not set yet, with its parts and cameras.
    pub(super) fn rendering(&self) -> (RenderScene, Vec<RenderedPart>, Vec<MountedCamera>) {
        let Parts { render_scene, rendered_parts, cameras, .. } = &*self.0;
        (render_scene.clone(), rendered_parts.clone(), cameras.clone())
    }
}

fn fingerprint(spec: &SceneSpec) -> Result<u64> {
    let bytes = postcard::to_stdvec(spec).map_err(|e| SimError::Snapshot(e.to_string()))?;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Ok(bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn prepare(body: &BodySpec) -> Result<PreparedBody> {
    let mut prepared = PreparedBody { colliders: Vec::new(), mass: MassProperties::default() };
    for (part_idx, part) in body.parts.iter().enumerate() {
        let has_mass = body.kind == BodyKind::Dynamic && part.mass > 0.0;
        if !part.collides && !has_mass {
            continue;
        }
        let field = || format!("bodies.{}.parts[{part_idx}].shape", body.name);
        let Some((shape, part_from_shape)) = collision_shape(part, field)? else { continue };
        let body_from_shape = part.pose.to_pose() * part_from_shape;
        if has_mass {
            let mut mass = shape.mass_properties(1.0);
            mass.set_mass(part.mass, true);
            prepared.mass += mass.transform_by(&body_from_shape);
        }
        if part.collides {
            prepared.colliders.push(PreparedCollider { part_idx, shape, body_from_shape });
        }
    }
    if body.kind == BodyKind::Dynamic && prepared.mass.mass() <= 0.0 {
        return Err(SimError::OutOfRange {
            field: format!("bodies.{}.parts[..].mass", body.name),
            got: "0 in total".to_owned(),
            expected: "a dynamic body to have a part with mass".to_owned(),
        });
    }
    Ok(prepared)
}

/// rapier's shape of a part and its pose in the frame of the part: the axis of rapier's cylinders and cones is y. `None` for a
/// disc, which nothing collides with.
fn collision_shape(part: &PartSpec, field: impl Fn() -> String) -> Result<Option<(SharedShape, Pose)>> {
    let z_from_y = Pose::from_rotation(Quat::from_rotation_x(FRAC_PI_2));
    let upright = |shape| Some((shape, Pose::identity()));
    Ok(match part.shape {
        ShapeSpec::Plane => upright(SharedShape::halfspace(Vec3::Z)),
        ShapeSpec::Box { half_extents: [x, y, z] } => upright(SharedShape::cuboid(x, y, z)),
        ShapeSpec::Sphere { radius } => upright(SharedShape::ball(radius)),
        ShapeSpec::Capsule { radius, half_length } => upright(SharedShape::capsule_z(half_length, radius)),
        ShapeSpec::Cylinder { radius, half_length } => {
            Some((SharedShape::cylinder(half_length, radius), z_from_y))
        }
        ShapeSpec::Cone { radius, half_length } => Some((SharedShape::cone(half_length, radius), z_from_y)),
        ShapeSpec::Disc { .. } => None,
        ShapeSpec::Mesh { ref vertices, .. } => {
            let points: Vec<_> = vertices.iter().map(|&v| Vec3::from_array(v)).collect();
            let hull = SharedShape::convex_hull(&points).ok_or_else(|| SimError::OutOfRange {
                field: field(),
                got: format!("{} vertices without a convex hull", points.len()),
                expected: "vertices that span a volume, or a part that neither collides nor has mass"
                    .to_owned(),
            })?;
            upright(hull)
        }
    })
}
