//! Errors of invalid meshes, textures and scenes.

use sayso_sim::SimError;
use sayso_sim::math::{Pose, Vec3};
use sayso_sim::render::{Mesh, Pattern, Shape, Texture};

use crate::scenes::{RED, add, empty, single};

fn triangle() -> Vec<[f32; 3]> {
    vec![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
}

#[test]
fn a_mesh_names_the_bad_vertex_index_or_normal() {
    let message = |result: Result<Mesh, SimError>| result.unwrap_err().to_string();
    assert!(message(Mesh::new(triangle(), vec![])).contains("triangles"));
    assert!(message(Mesh::new(triangle(), vec![[0, 1, 2], [0, 1, 3]])).contains("triangles[1]"));
    let mut vertices = triangle();
    vertices[2][1] = f32::NAN;
    assert!(message(Mesh::new(vertices, vec![[0, 1, 2]])).contains("vertices[2]"));
    let short = Mesh::with_normals(triangle(), vec![[0.0, 0.0, 1.0]], vec![[0, 1, 2]]);
    assert!(matches!(short, Err(SimError::WrongLength { expected: 3, got: 1, .. })));
    let zero = Mesh::with_normals(triangle(), vec![[0.0; 3]; 3], vec![[0, 1, 2]]);
    assert!(message(zero).contains("normals[0]"));
}

#[test]
fn a_texture_rejects_a_wrong_length_and_a_file_that_is_not_an_image() {
    assert!(matches!(Texture::new(2, 2, &[0; 11]), Err(SimError::WrongLength { expected: 12, got: 11, .. })));
    assert!(matches!(Texture::new(0, 2, &[]), Err(SimError::OutOfRange { .. })));
    let missing = std::env::temp_dir().join("sayso-no-such-image.png");
    assert!(Texture::load(&missing).unwrap_err().to_string().contains("sayso-no-such-image.png"));
    let path = std::env::temp_dir().join(format!("sayso-not-an-image-{}.png", std::process::id()));
    std::fs::write(&path, b"not an image").unwrap();
    let error = Texture::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.contains("sayso-not-an-image"), "{error}");
}

#[test]
fn a_texture_file_that_is_too_large_is_refused_before_it_is_decoded() {
    let path = std::env::temp_dir().join(format!("sayso-too-wide-{}.png", std::process::id()));
    image::save_buffer(&path, &[0; 8193 * 3], 8193, 1, image::ColorType::Rgb8).unwrap();
    let error = Texture::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.contains("sayso-too-wide") && error.contains("exceeds limit"), "{error}");
}

#[test]
fn a_texture_file_is_read_as_it_was_written() {
    let path = std::env::temp_dir().join(format!("sayso-image-{}.png", std::process::id()));
    image::save_buffer(&path, &[200; 5 * 3 * 3], 5, 3, image::ColorType::Rgb8).unwrap();
    let texture = Texture::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((texture.width(), texture.height()), (5, 3));
}

#[test]
fn an_inconsistent_scene_is_rejected() {
    let good = single(Shape::Sphere { radius: 0.1 }, Pose::IDENTITY);
    assert!(good.check().is_ok());
    assert!(empty().check().is_ok());
    let mut render_scene = good.clone();
    render_scene.world_from_instance.clear();
    assert!(matches!(render_scene.check(), Err(SimError::WrongLength { expected: 1, got: 0, .. })));
    let mut render_scene = good.clone();
    render_scene.instances[0].material_idx = 1;
    assert!(render_scene.check().unwrap_err().to_string().contains("instances[0].material_idx"));
    let mut render_scene = good.clone();
    render_scene.instances[0].shape = Shape::Mesh { mesh_idx: 0, scale: Vec3::ONE };
    assert!(render_scene.check().unwrap_err().to_string().contains("mesh_idx"));
    let mut render_scene = good.clone();
    render_scene.materials[0].pattern = Pattern::Image { texture_idx: 2, size: 1.0 };
    assert!(render_scene.check().unwrap_err().to_string().contains("texture_idx"));
    for (pattern, field) in [
        (Pattern::Checker { other: RED, cell: 0.0 }, "cell"),
        (Pattern::Wood { other: RED, ring: -1.0 }, "ring"),
        (Pattern::Noise { other: RED, cell: f32::NAN }, "cell"),
    ] {
        let mut render_scene = good.clone();
        render_scene.materials[0].pattern = pattern;
        assert!(render_scene.check().unwrap_err().to_string().contains(field));
    }
    let mut render_scene = good;
    add(&mut render_scene, Shape::Sphere { radius: -0.5 }, Pose::IDENTITY, RED, Pattern::Plain);
    assert!(render_scene.check().unwrap_err().to_string().contains("instances[1].shape"));
}
