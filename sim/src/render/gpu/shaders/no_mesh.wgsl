// Replaces `mesh.wgsl` where no part is a mesh.

struct MeshHit {
    t: f32,
    triangle: u32,
}

fn hit_mesh(root: u32, o: vec3f, d: vec3f, best: f32) -> MeshHit {
    return MeshHit(best, 0u);
}

fn mesh_blocks(root: u32, o: vec3f, d: vec3f) -> bool {
    return false;
}

fn mesh_normal(triangle_idx: u32, point: vec3f) -> vec3f {
    return vec3f(0.0, 0.0, 1.0);
}
