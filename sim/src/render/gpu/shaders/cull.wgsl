// Kernel 2, once per view: the parts that may be visible, front to back, and their pixel ranges. The twin of `cpu/cull.rs`.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> render_scenes: array<RenderScene>;
@group(0) @binding(2) var<storage, read> parts: array<Part>;
@group(0) @binding(3) var<storage, read> views: array<View>;
@group(0) @binding(4) var<storage, read_write> sort_keys: array<f32>;
@group(0) @binding(5) var<storage, read_write> view_parts: array<ViewPart>;
@group(0) @binding(6) var<storage, read_write> n_view_parts: array<u32>;

const LANES = 64u;
const EVERYWHERE = vec2f(-MISS, MISS);
// Sort keys: parts without a centre come last, and parts that are not visible after them.
const LAST = 3e38;
const UNSEEN = 3.2e38;

var<workgroup> n_seen: atomic<u32>;

// Extent of a bound in the image, in camera-plane units at depth one, and its depth.
struct Extent {
    x: vec2f,
    y: vec2f,
    nearest: f32,
    sort_key: f32,
}

fn joined(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(min(a.x, b.x), max(a.y, b.y));
}

// The slopes of the two lines through the eye that touch a circle.
fn tangents(offset: f32, depth: f32, radius: f32) -> vec2f {
    let distance_squared = offset * offset + depth * depth;
    let reach = radius * sqrt(max(distance_squared - radius * radius, 0.0));
    let inv = 1.0 / (depth * depth - radius * radius);
    return vec2f((offset * depth - reach) * inv, (offset * depth + reach) * inv);
}

// Extent of a box. The part of it nearer than NEAR is cut off: walls beside a camera then cover half of the image, not all
// of it.
fn box_extent(nearest: f32, centre: vec3f, half_axes: array<vec3f, 3>) -> Extent {
    // Half of the near depth leaves room for rounding.
    const CUT = 0.5 * NEAR;
    var axes = half_axes;
    var extent = Extent(vec2f(MISS, -MISS), vec2f(MISS, -MISS), nearest, UNSEEN);
    for (var corner = 0u; corner < 8u; corner++) {
        var sides = axes;
        for (var axis = 0u; axis < 3u; axis++) {
            if ((corner >> axis & 1u) != 0u) {
                sides[axis] = -axes[axis];
            }
        }
        let p = centre + sides[0] + sides[1] + sides[2];
        if (CUT <= p.z) {
            extent.x = joined(extent.x, vec2f(p.x / p.z));
            extent.y = joined(extent.y, vec2f(p.y / p.z));
        }
        if (nearest < NEAR) {
            for (var axis = 0u; axis < 3u; axis++) {
                // The edge to the opposite corner, handled from the end that is in front.
                let q = p - 2.0 * sides[axis];
                if (q.z < CUT && CUT <= p.z) {
                    let cut = p + (q - p) * ((p.z - CUT) / (p.z - q.z));
                    extent.x = joined(extent.x, vec2f(cut.x / CUT));
                    extent.y = joined(extent.y, vec2f(cut.y / CUT));
                }
            }
        }
    }
    return extent;
}

fn camera_vector(view: View, v: vec3f) -> vec3f {
    return vec3f(dot(v, view.right), dot(v, view.up), dot(v, view.forward));
}

fn extent_of(part: Part, view: View) -> Extent {
    var extent = Extent(EVERYWHERE, EVERYWHERE, 0.0, UNSEEN);
    if (part.bound == BOUND_NOWHERE) {
        return extent;
    }
    if (part.bound == BOUND_EVERYWHERE) {
        extent.sort_key = LAST;
        return extent;
    }
    let a = camera_vector(view, part.bound_a - view.eye);
    var farthest: f32;
    if (part.bound == BOUND_CAPSULE) {
        let b = camera_vector(view, part.bound_b - view.eye);
        let radius = part.bound_radius;
        extent.nearest = min(a.z, b.z) - radius;
        farthest = max(a.z, b.z) + radius;
        if (NEAR < extent.nearest) {
            extent.x = joined(tangents(a.x, a.z, radius), tangents(b.x, b.z, radius));
            extent.y = joined(tangents(a.y, a.z, radius), tangents(b.y, b.z, radius));
        } else {
            let half = 0.5 * abs(a - b) + vec3f(radius);
            let axes = array(vec3f(half.x, 0.0, 0.0), vec3f(0.0, half.y, 0.0), vec3f(0.0, 0.0, half.z));
            extent = box_extent(extent.nearest, 0.5 * (a + b), axes);
        }
    } else {
        let axes = array(
            camera_vector(view, part.bound_b),
            camera_vector(view, part.bound_c),
            camera_vector(view, part.bound_d),
        );
        let reach = abs(axes[0].z) + abs(axes[1].z) + abs(axes[2].z);
        farthest = a.z + reach;
        extent = box_extent(a.z - reach, a, axes);
    }
    if (NEAR < farthest) {
        extent.sort_key = 0.5 * (extent.nearest + farthest);
    }
    return extent;
}

// The pixels whose centres may lie between two coordinates; one pixel of margin covers rounding and several samples.
// Empty if the first is not below the last.
fn pixels(a: f32, b: f32, n_pixels: u32) -> vec2f {
    let first = max(floor(min(a, b) - 1.0), 0.0);
    let last = min(ceil(max(a, b) + 1.0), f32(n_pixels));
    return vec2f(first, last);
}

fn cols_of(extent: Extent, view: View) -> vec2f {
    let middle = 0.5 * f32(params.width);
    return pixels(middle + extent.x.x / view.pixel_size, middle + extent.x.y / view.pixel_size, params.width);
}

fn rows_of(extent: Extent, view: View) -> vec2f {
    let middle = 0.5 * f32(params.height);
    return pixels(middle - extent.y.x / view.pixel_size, middle - extent.y.y / view.pixel_size, params.height);
}

@compute @workgroup_size(LANES)
fn cull(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let view = views[params.first_view + group.x];
    let render_scene = render_scenes[view.render_scene];
    let base = group.x * params.max_parts;
    for (var k = lane; k < render_scene.n_parts; k += LANES) {
        let extent = extent_of(parts[render_scene.first_part + k], view);
        let cols = cols_of(extent, view);
        let rows = rows_of(extent, view);
        let is_seen = extent.sort_key < UNSEEN && cols.x < cols.y && rows.x < rows.y;
        sort_keys[base + k] = select(UNSEEN, extent.sort_key, is_seen);
        if (is_seen) {
            atomicAdd(&n_seen, 1u);
        }
    }
    storageBarrier();
    workgroupBarrier();
    for (var k = lane; k < render_scene.n_parts; k += LANES) {
        let key = sort_keys[base + k];
        if (UNSEEN <= key) {
            continue;
        }
        var rank = 0u;
        for (var other = 0u; other < render_scene.n_parts; other++) {
            let its = sort_keys[base + other];
            rank += select(0u, 1u, its < key || (its == key && other < k));
        }
        let part_idx = render_scene.first_part + k;
        let part = parts[part_idx];
        let extent = extent_of(part, view);
        let cols = vec2u(cols_of(extent, view));
        let rows = vec2u(rows_of(extent, view));
        var out: ViewPart;
        out.origin = local_point(part, view.eye);
        out.nearest = extent.nearest;
        out.forward = local_vector(part, view.forward);
        out.part = part_idx;
        out.right = local_vector(part, view.right);
        out.cols = cols.x | (cols.y << 16u);
        out.up = local_vector(part, view.up);
        out.rows = rows.x | (rows.y << 16u);
        view_parts[base + rank] = out;
    }
    if (lane == 0u) {
        n_view_parts[group.x] = atomicLoad(&n_seen);
    }
}
