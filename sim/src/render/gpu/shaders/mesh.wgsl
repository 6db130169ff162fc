// Intersections of rays with the bounding volume hierarchy of a mesh. The twin of `cpu/mesh_trace.rs`.

// Maximum depth of the hierarchy; each level adds at most one node to the stack of nodes to visit.
const MAX_DEPTH = 64u;

struct MeshHit {
    t: f32,
    triangle: u32,
}

// Where a ray enters the box of a node; MISS if it does not.
fn enters(node: MeshNode, o: vec3f, inv: vec3f) -> f32 {
    let a = (node.low - o) * inv;
    let b = (node.high - o) * inv;
    let near3 = min(a, b);
    let far3 = max(a, b);
    let near = max(max(max(near3.x, near3.y), near3.z), 0.0);
    let far = min(min(far3.x, far3.y), far3.z);
    return select(MISS, near, near <= far);
}

// Möller and Trumbore (1997), two-sided; triangles are widened slightly, so that no ray passes between neighbours.
fn meets(triangle_idx: u32, o: vec3f, d: vec3f) -> f32 {
    let a = triangles[triangle_idx].edge_a;
    let b = triangles[triangle_idx].edge_b;
    let p = cross(d, b);
    let inv = 1.0 / dot(a, p);
    let s = o - triangles[triangle_idx].corner;
    let u = dot(s, p) * inv;
    let q = cross(s, a);
    let v = dot(d, q) * inv;
    let is_inside = -1e-6 <= u && -1e-6 <= v && u + v <= 1.0 + 1e-6;
    return select(MISS, dot(b, q) * inv, is_inside);
}

// The nearest triangle that the ray hits before `best`; `t` is `best` if there is none.
fn hit_mesh(root: u32, o: vec3f, d: vec3f, best: f32) -> MeshHit {
    var hit = MeshHit(best, 0u);
    let inv = safe_recip3(d);
    var stack: array<u32, MAX_DEPTH + 1u>;
    var n_open = 1u;
    stack[0] = root;
    while (0u < n_open) {
        n_open--;
        let node = nodes[stack[n_open]];
        if (hit.t <= enters(node, o, inv)) {
            continue;
        }
        if (node.n_triangles == 0u) {
            let left = nodes[node.first];
            let right = nodes[node.first + 1u];
            let is_right_nearer = dot((right.low + right.high) - (left.low + left.high), d) < 0.0;
            stack[n_open] = node.first + select(1u, 0u, is_right_nearer);
            stack[n_open + 1u] = node.first + select(0u, 1u, is_right_nearer);
            n_open += 2u;
            continue;
        }
        for (var k = node.first; k < node.first + node.n_triangles; k++) {
            let t = meets(k, o, d);
            if (NEAR < t && t < hit.t) {
                hit = MeshHit(t, k);
            }
        }
    }
    return hit;
}

// Whether a ray hits the mesh anywhere ahead.
fn mesh_blocks(root: u32, o: vec3f, d: vec3f) -> bool {
    let inv = safe_recip3(d);
    var stack: array<u32, MAX_DEPTH + 1u>;
    var n_open = 1u;
    stack[0] = root;
    while (0u < n_open) {
        n_open--;
        let node = nodes[stack[n_open]];
        if (MISS <= enters(node, o, inv)) {
            continue;
        }
        if (node.n_triangles == 0u) {
            stack[n_open] = node.first + 1u;
            stack[n_open + 1u] = node.first;
            n_open += 2u;
            continue;
        }
        for (var k = node.first; k < node.first + node.n_triangles; k++) {
            let t = meets(k, o, d);
            if (0.0 < t && t < MISS) {
                return true;
            }
        }
    }
    return false;
}

// The unit normal at a point of a triangle, interpolated between its corners.
fn mesh_normal(triangle_idx: u32, point: vec3f) -> vec3f {
    let triangle = triangles[triangle_idx];
    let a = triangle.edge_a;
    let b = triangle.edge_b;
    let p = point - triangle.corner;
    let aa = dot(a, a);
    let ab = dot(a, b);
    let bb = dot(b, b);
    let pa = dot(p, a);
    let pb = dot(p, b);
    let inv = 1.0 / (aa * bb - ab * ab);
    let u = (bb * pa - ab * pb) * inv;
    let v = (aa * pb - ab * pa) * inv;
    let normal_0 = vec3f(triangle.normal_0x, triangle.normal_0y, triangle.normal_0z);
    let normal = normal_0 * (1.0 - u - v) + triangle.normal_1 * u + triangle.normal_2 * v;
    let length_squared = dot(normal, normal);
    return select(normal_0, normal * inverseSqrt(length_squared), 1e-30 < length_squared);
}
