// Kernel 0, once per part that moved: computes the part from its pose. The twin of `cpu/parts.rs`.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> shapes: array<Shape>;
@group(0) @binding(2) var<storage, read> moved: array<Moved>;
@group(0) @binding(3) var<storage, read> nodes: array<MeshNode>;
@group(0) @binding(4) var<storage, read_write> parts: array<Part>;

fn turned_box(part: ptr<function, Part>, turn: mat3x3f, position: vec3f, centre: vec3f, half: vec3f) {
    (*part).bound = BOUND_BOX;
    (*part).bound_a = turn * centre + position;
    (*part).bound_b = turn[0] * half.x;
    (*part).bound_c = turn[1] * half.y;
    (*part).bound_d = turn[2] * half.z;
}

@compute @workgroup_size(64)
fn prepare(@builtin(global_invocation_id) global: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let idx = global.x + global.y * groups.x * 64u;
    if (params.n_moved <= idx) {
        return;
    }
    let pose = moved[idx];
    let slot = pose.slot & ~NOWHERE;
    let shape = shapes[slot];
    var part: Part;
    if ((pose.slot & NOWHERE) != 0u) {
        part.bound = BOUND_NOWHERE;
        parts[slot] = part;
        return;
    }
    let q = pose.rotation;
    let d = q.xyz + q.xyz;
    let xx = q.x * d.x; let xy = q.x * d.y; let xz = q.x * d.z;
    let yy = q.y * d.y; let yz = q.y * d.z; let zz = q.z * d.z;
    let wx = q.w * d.x; let wy = q.w * d.y; let wz = q.w * d.z;
    let turn = mat3x3f(
        vec3f(1.0 - (yy + zz), xy + wz, xz - wy),
        vec3f(xy - wz, 1.0 - (xx + zz), yz + wx),
        vec3f(xz + wy, yz - wx, 1.0 - (xx + yy)),
    );
    let scale = select(vec3f(1.0), shape.size, shape.kind == MESH);
    part.x = vec4f(turn[0] / scale.x, -dot(turn[0] / scale.x, pose.position));
    part.y = vec4f(turn[1] / scale.y, -dot(turn[1] / scale.y, pose.position));
    part.z = vec4f(turn[2] / scale.z, -dot(turn[2] / scale.z, pose.position));
    switch (shape.kind) {
        case PLANE: {
            part.bound = BOUND_EVERYWHERE;
        }
        case SPHERE, CAPSULE: {
            let end = turn[2] * shape.size.z;
            part.bound = BOUND_CAPSULE;
            part.bound_a = pose.position + end;
            part.bound_b = pose.position - end;
            part.bound_radius = shape.size.x;
        }
        case MESH: {
            let low = nodes[shape.mesh].low;
            let high = nodes[shape.mesh].high;
            let centre = (low + high) * 0.5 * shape.size;
            turned_box(&part, turn, pose.position, centre, (high - low) * 0.5 * abs(shape.size));
        }
        default: {
            turned_box(&part, turn, pose.position, vec3f(0.0), shape.size);
        }
    }
    parts[slot] = part;
}
