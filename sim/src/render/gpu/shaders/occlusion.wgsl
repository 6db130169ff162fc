// Whether a part blocks the sun at a point. The twin of `cpu/occlusion.rs` and of the look-up in `cpu/light_grid.rs`.

fn box_blocks(half: vec3f, o: vec3f, inv: vec3f) -> bool {
    let middle = -o * inv;
    let reach = half * abs(inv);
    let near = middle - reach;
    let far = middle + reach;
    let entry = max(max(near.x, near.y), near.z);
    let exit = min(min(far.x, far.y), far.z);
    return entry <= exit && 0.0 < exit;
}

fn ball_blocks(radius: f32, o: vec3f, d: vec3f) -> bool {
    let c = cross(o, d);
    let reach = radius * radius;
    return dot(c, c) <= reach && (dot(o, d) < 0.0 || dot(o, o) <= reach);
}

fn inv_across(d: vec3f) -> f32 {
    return 1.0 / max(dot(d.xy, d.xy), 1e-12);
}

// The distance between the ray and the axis, by alternating projections, which are exact after one round.
fn capsule_blocks(radius: f32, half_length: f32, o: vec3f, d: vec3f) -> bool {
    let across = -dot(o.xy, d.xy);
    let z = clamp(fma(across * inv_across(d), d.z, o.z), -half_length, half_length);
    let t = max(fma(z - o.z, d.z, across), 0.0);
    let nearest = fma(d, vec3f(t), o);
    let gap = vec3f(nearest.xy, nearest.z - clamp(fma(t, d.z, o.z), -half_length, half_length));
    return dot(gap, gap) <= radius * radius;
}

fn cylinder_blocks(radius: f32, half_length: f32, o: vec3f, d: vec3f, inv_z: f32) -> bool {
    let inv = inv_across(d);
    let c = fma(o.x, d.y, -(o.y * d.x));
    let discriminant = fma(-(c * c), inv, radius * radius) * inv;
    let root = sqrt(max(discriminant, 0.0));
    let axial = -dot(o.xy, d.xy) * inv;
    let middle = -o.z * inv_z;
    let reach = half_length * abs(inv_z);
    let entry = max(axial - root, middle - reach);
    let exit = min(axial + root, middle + reach);
    return 0.0 <= discriminant && entry <= exit && 0.0 < exit;
}

fn cone_blocks(radius: f32, half_length: f32, o: vec3f, d: vec3f, inv_z: f32) -> bool {
    let side = cone_side(radius, half_length, o, d);
    if (side.is_met && 0.0 < side.entry) {
        return true;
    }
    let t_base = (-half_length - o.z) * inv_z;
    return 0.0 < t_base && 0.0 < d.z && radius_squared_at(o, d, t_base) <= radius * radius;
}

fn blocks(part_idx: u32, point: vec3f) -> bool {
    let shape = shapes[part_idx];
    let o = local_point(parts[part_idx], point);
    let d = casters[part_idx].direction;
    let inv = safe_recip3(d);
    switch (shape.kind) {
        case BOX: { return box_blocks(shape.size, o, inv); }
        case SPHERE: { return ball_blocks(shape.size.x, o, d); }
        case CAPSULE: { return capsule_blocks(shape.size.x, shape.size.z, o, d); }
        case CYLINDER: { return cylinder_blocks(shape.size.x, shape.size.z, o, d, inv.z); }
        case CONE: { return cone_blocks(shape.size.x, shape.size.z, o, d, inv.z); }
        case DISC: {
            let t = -o.z * inv.z;
            return 0.0 < t && radius_squared_at(o, d, t) <= shape.size.x * shape.size.x;
        }
        case MESH: { return mesh_blocks(shape.mesh, o, d); }
        default: { return false; }
    }
}

// Whether `point` is in shadow. The part `own` does not shadow itself, unless it is a mesh.
fn is_occluded(scene_idx: u32, point: vec3f, own: u32) -> bool {
    let render_scene = render_scenes[scene_idx];
    let u = dot(point, render_scene.across_u);
    let v = dot(point, render_scene.across_v);
    let height = dot(point, render_scene.sun);
    let grid = scene_idx * grid_stride(params.set_words);
    let origin = vec2f(bitcast<f32>(grids[grid]), bitcast<f32>(grids[grid + 1u]));
    let scale = vec2f(bitcast<f32>(grids[grid + 2u]), bitcast<f32>(grids[grid + 3u]));
    let cell = (vec2f(u, v) - origin) * scale;
    let is_inside = all(vec2f(0.0) <= cell) && all(cell <= vec2f(f32(N_CELLS)));
    let at = min(vec2u(max(cell, vec2f(0.0))), vec2u(N_CELLS - 1u));
    let cell_at = grid + GRID_HEAD + (1u + at.y * N_CELLS + at.x) * params.set_words;
    for (var word = 0u; word < params.set_words; word++) {
        var open = grids[grid + GRID_HEAD + word] | select(0u, grids[cell_at + word], is_inside);
        while (open != 0u) {
            let part_idx = render_scene.first_part + word * 32u + countTrailingZeros(open);
            open &= open - 1u;
            if (part_idx == own && shapes[part_idx].kind != MESH) {
                continue;
            }
            let caster = casters[part_idx];
            let is_under = caster.u.x <= u && u <= caster.u.y && caster.v.x <= v && v <= caster.v.y
                && height <= caster.top;
            if (is_under && blocks(part_idx, point)) {
                return true;
            }
        }
    }
    return false;
}
