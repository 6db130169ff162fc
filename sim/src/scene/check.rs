//! Validation of scenes.

use std::collections::BTreeSet;

use super::{JointKind, PoseSpec, SceneSpec, ShapeSpec, TextureSpec};
use crate::{Result, SimError};

/// Maximum coordinate and size, metres. There, neighbouring values of f32 are 6 cm apart.
const MAX_LENGTH: f32 = 1e6;

impl SceneSpec {
    /// Checks ranges and names.
    ///
    /// # Errors
    /// The first field that is out of range, or the first name that is declared twice or does not exist.
    pub fn check(&self) -> Result<()> {
        self.check_physics()?;
        let bodies = unique("body", self.bodies.iter().map(|b| b.name.as_str()))?;
        let materials = unique("material", self.materials.iter().map(|m| m.name.as_str()))?;
        let joints = unique("joint", self.joints.iter().map(|j| j.name.as_str()))?;
        unique("camera", self.cameras.iter().map(|c| c.name.as_str()))?;
        self.check_materials()?;
        self.check_bodies(&materials)?;
        self.check_joints(&bodies, &joints)?;
        self.check_light()?;
        for camera in &self.cameras {
            let path = format!("cameras.{}", camera.name);
            check_pose(&path, &camera.pose)?;
            let fov_limits = f32::to_radians(1.0)..=f32::to_radians(170.0);
            expect(
                fov_limits.contains(&camera.fov_y),
                format!("{path}.fov_y"),
                camera.fov_y,
                "1° to 170°, in radians",
            )?;
            if let Some(mount) = &camera.mount {
                known("body", mount, &bodies)?;
            }
        }
        Ok(())
    }

    fn check_physics(&self) -> Result<()> {
        let p = &self.physics;
        expect((1e-5..=0.1).contains(&p.dt_secs), "physics.dt_secs", p.dt_secs, "0.00001 to 0.1 s")?;
        expect((1..=1000).contains(&p.n_substeps), "physics.n_substeps", p.n_substeps, "1 to 1000")?;
        let iterations = p.n_solver_iterations;
        let hz = p.control_hz();
        let field = "physics.dt_secs * physics.n_substeps";
        let expected = "the time of a control step, so that the rate, its inverse, is a whole number of Hz";
        expect(hz >= 1.0 && hz.fract() == 0.0, field, p.control_dt_secs(), expected)?;
        expect((1..=100).contains(&iterations), "physics.n_solver_iterations", iterations, "1 to 100")?;
        finite("physics.gravity", &p.gravity)
    }

    fn check_light(&self) -> Result<()> {
        let light = &self.light;
        let colours = [
            ("light.sun_colour", &light.sun_colour),
            ("light.ambient_colour", &light.ambient_colour),
            ("light.sky_zenith", &light.sky_zenith),
            ("light.sky_horizon", &light.sky_horizon),
        ];
        for (field, colour) in colours {
            let is_light = colour.iter().all(|&c| c >= 0.0 && c.is_finite());
            expect(is_light, field, format!("{colour:?}"), "three values of 0 or more")?;
        }
        let length = length(&light.sun_direction);
        expect((length - 1.0).abs() < 0.01, "light.sun_direction", length, "a vector of length 1")
    }

    fn check_materials(&self) -> Result<()> {
        for material in &self.materials {
            let path = format!("materials.{}", material.name);
            check_colour(&format!("{path}.colour"), &material.colour)?;
            let roughness = material.roughness;
            expect((0.0..=1.0).contains(&roughness), format!("{path}.roughness"), roughness, "0 to 1")?;
            let field = format!("{path}.texture");
            match &material.texture {
                TextureSpec::Plain => {}
                TextureSpec::Checker { other, cell } | TextureSpec::Noise { other, cell } => {
                    check_colour(&field, other)?;
                    positive(field, *cell)?;
                }
                TextureSpec::Grid { line, cell, width } => {
                    check_colour(&field, line)?;
                    positive(field.clone(), *cell)?;
                    positive(field, *width)?;
                }
                TextureSpec::Wood { other, ring } => {
                    check_colour(&field, other)?;
                    positive(field, *ring)?;
                }
                TextureSpec::Image { size, .. } => positive(field, *size)?,
            }
        }
        Ok(())
    }

    fn check_bodies(&self, materials: &BTreeSet<&str>) -> Result<()> {
        for body in &self.bodies {
            let path = format!("bodies.{}", body.name);
            check_pose(&path, &body.pose)?;
            for (name, damping) in [("linear", body.linear_damping), ("angular", body.angular_damping)] {
                not_negative(format!("{path}.{name}_damping"), damping)?;
            }
            for (part_idx, part) in body.parts.iter().enumerate() {
                let path = format!("{path}.parts[{part_idx}]");
                check_pose(&path, &part.pose)?;
                check_shape(&format!("{path}.shape"), &part.shape)?;
                not_negative(format!("{path}.mass"), part.mass)?;
                not_negative(format!("{path}.friction"), part.friction)?;
                let restitution = part.restitution;
                let is_valid = (0.0..=1.0).contains(&restitution);
                expect(is_valid, format!("{path}.restitution"), restitution, "0 to 1")?;
                if let Some(material) = &part.material {
                    known("material", material, materials)?;
                }
            }
        }
        Ok(())
    }

    fn check_joints(&self, bodies: &BTreeSet<&str>, joints: &BTreeSet<&str>) -> Result<()> {
        let mut children = BTreeSet::new();
        for joint in &self.joints {
            let path = format!("joints.{}", joint.name);
            known("body", &joint.parent, bodies)?;
            known("body", &joint.child, bodies)?;
            check_pose(&path, &joint.parent_from_joint)?;
            check_pose(&path, &joint.child_from_joint)?;
            let is_new = children.insert(joint.child.as_str()) && joint.parent != joint.child;
            expect(
                is_new,
                format!("{path}.child"),
                &joint.child,
                "a body other than the parent, and the child of no other joint",
            )?;
            let child = self.bodies.iter().find(|body| body.name == joint.child);
            let damping = child.map_or(0.0, |body| body.linear_damping.abs() + body.angular_damping.abs());
            expect(
                damping == 0.0,
                format!("bodies.{}", joint.child),
                damping,
                "no damping of its own, as it is the child of a joint; set the joint's damping",
            )?;
            let has_coordinate = matches!(joint.kind, JointKind::Hinge { .. } | JointKind::Slide { .. });
            if let JointKind::Hinge { axis } | JointKind::Slide { axis } = joint.kind {
                let length = length(&axis);
                expect((length - 1.0).abs() < 1e-3, format!("{path}.axis"), length, "a vector of length 1")?;
            }
            not_negative(format!("{path}.armature"), joint.armature)?;
            not_negative(format!("{path}.damping"), joint.damping)?;
            if let Some([low, high]) = joint.limits {
                let is_valid = has_coordinate && low <= high;
                expect(
                    is_valid,
                    format!("{path}.limits"),
                    format!("[{low}, {high}]"),
                    "low <= high, on a hinge or slide",
                )?;
            }
            if let Some(motor) = joint.motor {
                let are_gains =
                    [motor.stiffness, motor.damping].iter().all(|g| (0.0..f32::INFINITY).contains(g));
                let is_valid = has_coordinate && are_gains && motor.max_force > 0.0;
                expect(
                    is_valid,
                    format!("{path}.motor"),
                    format!("{motor:?}"),
                    "gains >= 0, max_force > 0, on a hinge or slide",
                )?;
            }
        }
        for coupling in &self.couplings {
            known("joint", &coupling.leader, joints)?;
            known("joint", &coupling.follower, joints)?;
            let path = format!("couplings.{}", coupling.follower);
            finite(&format!("{path}.ratio"), &[coupling.ratio])?;
            check_coordinates(&format!("{path}.offset"), &[coupling.offset])?;
        }
        Ok(())
    }
}

fn check_shape(path: &str, shape: &ShapeSpec) -> Result<()> {
    match shape {
        ShapeSpec::Plane => Ok(()),
        ShapeSpec::Box { half_extents } => half_extents.iter().try_for_each(|&h| positive(path, h)),
        ShapeSpec::Sphere { radius } | ShapeSpec::Disc { radius } => positive(path, *radius),
        ShapeSpec::Capsule { radius, half_length }
        | ShapeSpec::Cylinder { radius, half_length }
        | ShapeSpec::Cone { radius, half_length } => {
            positive(path, *radius)?;
            positive(path, *half_length)
        }
        ShapeSpec::Mesh { vertices, triangles } => {
            vertices.iter().try_for_each(|v| check_coordinates(path, v))?;
            let is_indexed = triangles.iter().flatten().all(|&i| (i as usize) < vertices.len());
            let what = format!("{} vertices, {} triangles", vertices.len(), triangles.len());
            expect(
                is_indexed && !triangles.is_empty(),
                path,
                what,
                "at least one triangle, every index below the number of vertices",
            )
        }
    }
}

fn check_pose(path: &str, pose: &PoseSpec) -> Result<()> {
    check_coordinates(&format!("{path}.position"), &pose.position)?;
    let length = length(&pose.rotation);
    expect((length - 1.0).abs() < 1e-3, format!("{path}.rotation"), length, "a quaternion of length 1")
}

fn check_colour(path: &str, colour: &[f32; 3]) -> Result<()> {
    let is_colour = colour.iter().all(|c| (0.0..=1.0).contains(c));
    expect(is_colour, path, format!("{colour:?}"), "three values from 0 to 1")
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|a| a * a).sum::<f32>().sqrt()
}

fn positive(path: impl Into<String>, value: f32) -> Result<()> {
    expect(value > 0.0 && value <= MAX_LENGTH, path, value, &format!("more than 0, at most {MAX_LENGTH} m"))
}

fn not_negative(path: impl Into<String>, value: f32) -> Result<()> {
    expect((0.0..f32::INFINITY).contains(&value), path, value, "0 or more, finite")
}

fn check_coordinates(path: &str, values: &[f32]) -> Result<()> {
    let expected = format!("values of at most {MAX_LENGTH} m");
    expect(values.iter().all(|v| v.abs() <= MAX_LENGTH), path, format!("{values:?}"), &expected)
}

fn finite(path: &str, values: &[f32]) -> Result<()> {
    expect(values.iter().all(|v| v.is_finite()), path, format!("{values:?}"), "finite values")
}

fn expect(
    is_valid: bool,
    field: impl Into<String>,
    got: impl std::fmt::Display,
    expected: &str,
) -> Result<()> {
    if is_valid {
        return Ok(());
    }
    Err(SimError::OutOfRange { field: field.into(), got: got.to_string(), expected: expected.to_owned() })
}

fn known(what: &'static str, name: &str, names: &BTreeSet<&str>) -> Result<()> {
    if names.contains(name) {
        return Ok(());
    }
    let known = names.iter().map(|n| (*n).to_owned()).collect();
    Err(SimError::UnknownName { what, name: name.to_owned(), known })
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'a str>> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SimError::DuplicateName { what, name: name.to_owned() });
        }
    }
    Ok(seen)
}
