// Kernel 1, once per scene that changed: which parts may shadow which points. The grid spans the casters that are not much
// larger than the median, in the plane perpendicular to the sun's rays; each cell stores the set of the casters above it.
// The twin of `cpu/light_grid.rs`; the cells differ, the shadows do not.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> render_scenes: array<RenderScene>;
@group(0) @binding(2) var<storage, read> parts: array<Part>;
@group(0) @binding(3) var<storage, read> dirty: array<u32>;
@group(0) @binding(4) var<storage, read_write> casters: array<Caster>;
@group(0) @binding(5) var<storage, read_write> grids: array<u32>;

const LANES = 64u;

var<workgroup> n_casters: atomic<u32>;
var<workgroup> median_reach: f32;
var<workgroup> low: array<vec2f, LANES>;
var<workgroup> high: array<vec2f, LANES>;

// The range of `p · direction` over all points of the bound.
fn range(part: Part, direction: vec3f) -> vec2f {
    let a = dot(part.bound_a, direction);
    let b = dot(part.bound_b, direction);
    if (part.bound == BOUND_CAPSULE) {
        return vec2f(min(a, b) - part.bound_radius, max(a, b) + part.bound_radius);
    }
    let reach = abs(b) + abs(dot(part.bound_c, direction)) + abs(dot(part.bound_d, direction));
    return vec2f(a - reach, a + reach);
}

fn casts(bound: u32) -> bool {
    return BOUND_CAPSULE <= bound;
}

// Half of the longer side of a caster's rectangle.
fn reach(caster_idx: u32) -> f32 {
    let u = casters[caster_idx].u;
    let v = casters[caster_idx].v;
    return 0.5 * max(u.y - u.x, v.y - v.x);
}

fn overlaps(extent: vec2f, origin: f32, scale: f32, cell: u32) -> bool {
    // A hundredth of a cell covers rounding.
    let first = (extent.x - origin) * scale - 0.01;
    let last = (extent.y - origin) * scale + 0.01;
    return first <= f32(cell + 1u) && f32(cell) <= last;
}

@compute @workgroup_size(LANES)
fn light(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if (params.n_dirty <= row) {
        return;
    }
    let scene_idx = dirty[row];
    let render_scene = render_scenes[scene_idx];
    let first = render_scene.first_part;
    let n_parts = render_scene.n_parts;
    for (var k = lane; k < n_parts; k += LANES) {
        let part = parts[first + k];
        var caster: Caster;
        caster.u = range(part, render_scene.across_u);
        caster.v = range(part, render_scene.across_v);
        caster.direction = local_vector(part, render_scene.sun);
        caster.top = range(part, render_scene.sun).y;
        casters[first + k] = caster;
        if (casts(part.bound)) {
            atomicAdd(&n_casters, 1u);
        }
    }
    storageBarrier();
    workgroupBarrier();

    // The median of the casters by reach: the one with half of the others below it.
    let middle = atomicLoad(&n_casters) / 2u;
    for (var k = lane; k < n_parts; k += LANES) {
        if (!casts(parts[first + k].bound)) {
            continue;
        }
        let own = reach(first + k);
        var n_below = 0u;
        for (var other = 0u; other < n_parts; other++) {
            let its = reach(first + other);
            let is_below = its < own || (its == own && other < k);
            n_below += select(0u, 1u, is_below && casts(parts[first + other].bound));
        }
        if (n_below == middle) {
            median_reach = own;
        }
    }
    workgroupBarrier();

    let big_reach = BIG * median_reach;
    var lane_low = vec2f(MISS);
    var lane_high = vec2f(-MISS);
    for (var k = lane; k < n_parts; k += LANES) {
        if (casts(parts[first + k].bound) && reach(first + k) <= big_reach) {
            lane_low = min(lane_low, vec2f(casters[first + k].u.x, casters[first + k].v.x));
            lane_high = max(lane_high, vec2f(casters[first + k].u.y, casters[first + k].v.y));
        }
    }
    low[lane] = lane_low;
    high[lane] = lane_high;
    workgroupBarrier();
    for (var k = 0u; k < LANES; k++) {
        lane_low = min(lane_low, low[k]);
        lane_high = max(lane_high, high[k]);
    }
    let scale = f32(N_CELLS) / max(lane_high - lane_low, vec2f(1e-6));

    let grid = scene_idx * grid_stride(params.set_words);
    if (lane == 0u) {
        grids[grid] = bitcast<u32>(lane_low.x);
        grids[grid + 1u] = bitcast<u32>(lane_low.y);
        grids[grid + 2u] = bitcast<u32>(scale.x);
        grids[grid + 3u] = bitcast<u32>(scale.y);
    }
    // The set of the big casters, then the sets of all cells.
    for (var k = lane; k < (N_CELLS * N_CELLS + 1u) * params.set_words; k += LANES) {
        let word = k % params.set_words;
        let cell = k / params.set_words;
        var members = 0u;
        for (var bit = 0u; bit < min(32u, n_parts - min(n_parts, word * 32u)); bit++) {
            let caster_idx = first + word * 32u + bit;
            if (!casts(parts[caster_idx].bound)) {
                continue;
            }
            let is_big = big_reach < reach(caster_idx);
            let caster = casters[caster_idx];
            let is_in_cell = cell != 0u && !is_big
                && overlaps(caster.u, lane_low.x, scale.x, (cell - 1u) % N_CELLS)
                && overlaps(caster.v, lane_low.y, scale.y, (cell - 1u) / N_CELLS);
            members |= select(0u, 1u << bit, is_in_cell || (cell == 0u && is_big));
        }
        grids[grid + GRID_HEAD + k] = members;
    }
}
