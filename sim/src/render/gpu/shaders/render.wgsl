// Kernel 3, once per tile of 8 x 8 pixels of a view: cast, shade, encode, write. The twin of `cpu/render_view.rs`,
// `cpu/cast.rs` and `cpu/shade.rs`.

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> render_scenes: array<RenderScene>;
@group(0) @binding(2) var<storage, read> shapes: array<Shape>;
@group(0) @binding(3) var<storage, read> parts: array<Part>;
@group(0) @binding(4) var<storage, read> materials: array<Material>;
@group(0) @binding(5) var<storage, read> views: array<View>;
@group(0) @binding(6) var<storage, read> casters: array<Caster>;
@group(0) @binding(7) var<storage, read> grids: array<u32>;
@group(0) @binding(8) var<storage, read> view_parts: array<ViewPart>;
@group(0) @binding(9) var<storage, read> n_view_parts: array<u32>;
@group(0) @binding(10) var<storage, read> nodes: array<MeshNode>;
@group(0) @binding(11) var<storage, read> triangles: array<Triangle>;
@group(0) @binding(12) var<storage, read> texels: array<vec4f>;
// The sRGB codes of radiances, four per word; then a row for each texture: the number of its levels, and for each level
// its first texel, its width and its height.
@group(0) @binding(13) var<storage, read> tables: array<u32>;
// The value of a model input for each channel and code.
@group(0) @binding(14) var<storage, read> pixel_values: array<u32>;
@group(0) @binding(15) var<storage, read_write> images: array<u32>;
@group(0) @binding(16) var<storage, read_write> model_input: array<u32>;

const RGB = 1u;
const DEPTH = 2u;
const SEGMENTATION = 4u;
const NORMALS = 8u;
const MODEL_F32 = 16u;
const MODEL_F16 = 32u;
const GEOMETRY = DEPTH | SEGMENTATION | NORMALS;
const COLOUR = RGB | MODEL_F32 | MODEL_F16;

// Entries of the code table, and entries per unit of radiance: equal to those of `codes.rs`.
const N_CODES: f32 = 16384.0;
const CODES_PER_UNIT: f32 = 4096.0;

// Reflectance of a dielectric at normal incidence.
const F0 = 0.04;
// Share of the ambient light that reaches a surface that faces down.
const FROM_BELOW = 0.55;

const LANES = 64u;
// Ranks that are tested per pass (CHUNK), and the 32-bit words of a set of them.
const CHUNK_WORDS = 32u;
const CHUNK = 1024u;

// Set of the ranks of the chunk that may be visible in the tile.
var<workgroup> tile_set: array<atomic<u32>, CHUNK_WORDS>;
// The colours of the tile, for lanes that also write their neighbour's value.
var<workgroup> tile_codes: array<u32, LANES>;

struct Hit {
    // Depth along the optical axis, MISS for the sky.
    t: f32,
    // Index into `view_parts`.
    view_part: u32,
    triangle: u32,
}

struct Normal {
    local: vec3f,
    world: vec3f,
}

struct Ray {
    x: f32,
    y: f32,
    // In the world frame, length one along the optical axis.
    direction: vec3f,
}

fn ray_at(view: View, pixel: vec2u, offset: vec2f) -> Ray {
    let x = (f32(pixel.x) + 0.5 + offset.x - 0.5 * f32(params.width)) * view.pixel_size;
    let y = (0.5 * f32(params.height) - f32(pixel.y) - 0.5 - offset.y) * view.pixel_size;
    return Ray(x, y, fma(view.right, vec3f(x), view.forward + view.up * y));
}

// The direction of a ray in the frame of a part.
fn direction(view_part: u32, ray: Ray) -> vec3f {
    let middle = view_parts[view_part].forward + view_parts[view_part].up * ray.y;
    return fma(view_parts[view_part].right, vec3f(ray.x), middle);
}

fn sweep(view_part: u32, ray: Ray, hit: ptr<function, Hit>) {
    if ((*hit).t < view_parts[view_part].nearest) {
        return;
    }
    let shape = shapes[view_parts[view_part].part];
    let o = view_parts[view_part].origin;
    let d = direction(view_part, ray);
    var t = MISS;
    switch (shape.kind) {
        case PLANE: { t = hit_plane(o, d); }
        case BOX: { t = hit_box(shape.size, o, d); }
        case SPHERE: { t = hit_ball(shape.size.x, o, d); }
        case CAPSULE: { t = hit_capsule(shape.size.x, shape.size.z, o, d); }
        case CYLINDER: { t = hit_cylinder(shape.size.x, shape.size.z, o, d); }
        case CONE: { t = hit_cone(shape.size.x, shape.size.z, o, d); }
        case DISC: { t = hit_disc(shape.size.x, o, d); }
        default: {
            let met = hit_mesh(shape.mesh, o, d, (*hit).t);
            if (met.t < (*hit).t) {
                *hit = Hit(met.t, view_part, met.triangle);
            }
            return;
        }
    }
    if (t < (*hit).t) {
        *hit = Hit(t, view_part, 0u);
    }
}

// The nearest hit of a ray. All lanes of a tile call this together, because of its barriers.
fn first_hit(first: u32, n_ranks: u32, tile: vec2u, lane: u32, ray: Ray) -> Hit {
    var hit = Hit(MISS, 0u, 0u);
    for (var chunk = 0u; chunk < n_ranks; chunk += CHUNK) {
        workgroupBarrier();
        if (lane < CHUNK_WORDS) {
            atomicStore(&tile_set[lane], 0u);
        }
        workgroupBarrier();
        for (var rank = lane; rank < min(CHUNK, n_ranks - chunk); rank += LANES) {
            let cols = view_parts[first + chunk + rank].cols;
            let rows = view_parts[first + chunk + rank].rows;
            let is_in = (cols & 0xffffu) < tile.x + 8u && tile.x < (cols >> 16u)
                && (rows & 0xffffu) < tile.y + 8u && tile.y < (rows >> 16u);
            if (is_in) {
                atomicOr(&tile_set[rank / 32u], 1u << (rank % 32u));
            }
        }
        workgroupBarrier();
        for (var word = 0u; word < (min(CHUNK, n_ranks - chunk) + 31u) / 32u; word++) {
            var open = atomicLoad(&tile_set[word]);
            while (open != 0u) {
                sweep(first + chunk + word * 32u + countTrailingZeros(open), ray, &hit);
                open &= open - 1u;
            }
        }
    }
    return hit;
}

// The outward normal; for discs and meshes, the one towards the eye.
fn normal_at(hit: Hit, local: vec3f, view_direction: vec3f) -> Normal {
    let part_idx = view_parts[hit.view_part].part;
    let shape = shapes[part_idx];
    var n: vec3f;
    switch (shape.kind) {
        case PLANE: { n = vec3f(0.0, 0.0, 1.0); }
        case DISC: { n = up_or_down(view_parts[hit.view_part].origin.z); }
        case BOX: { n = normal_box(shape.size, local); }
        case SPHERE: { n = local / shape.size.x; }
        case CAPSULE: {
            n = vec3f(local.xy, local.z - clamp(local.z, -shape.size.z, shape.size.z)) / shape.size.x;
        }
        case CYLINDER: { n = normal_cylinder(shape.size.x, shape.size.z, local); }
        case CONE: { n = normal_cone(shape.size.x, shape.size.z, local); }
        default: { n = mesh_normal(hit.triangle, local); }
    }
    let part = parts[part_idx];
    let world = part.x.xyz * n.x + part.y.xyz * n.y + part.z.xyz * n.z;
    if (shape.kind != MESH) {
        return Normal(n, world);
    }
    let sign = select(1.0, -1.0, 0.0 < dot(world, view_direction));
    return Normal(normalize(n / shape.size * sign), normalize(world * sign));
}

fn sky(render_scene: RenderScene, z: f32) -> vec3f {
    let down = 1.0 - clamp(z, 0.0, 1.0);
    return fma(render_scene.horizon - render_scene.zenith, vec3f(down * down * down), render_scene.zenith);
}

// Karis's form of the specular highlight, from the cosines between normal and sun, normal and eye, and sun and eye.
fn highlight(roughness: f32, n_s: f32, n_e: f32, s_e: f32) -> f32 {
    let alpha = max(roughness * roughness, 0.03);
    let alpha_squared = alpha * alpha;
    let opening = 2.0 + s_e + s_e;
    let sum = n_s + n_e;
    let d = fma(sum * sum, alpha_squared - 1.0, opening);
    let s_h_squared = max(opening * 0.25, 0.1);
    let divisor = d * d * s_h_squared * (4.0 * roughness + 2.0);
    return F0 * alpha_squared * opening * opening / max(divisor, 1e-9);
}

// The radiance along a camera ray.
fn radiance(view: View, ray: Ray, hit: Hit) -> vec3f {
    let render_scene = render_scenes[view.render_scene];
    let distance = length(ray.direction);
    let view_direction = ray.direction / distance;
    if (MISS <= hit.t) {
        return sky(render_scene, view_direction.z);
    }
    let part_idx = view_parts[hit.view_part].part;
    let shape = shapes[part_idx];
    let material = materials[shape.material];
    let point = fma(ray.direction, vec3f(hit.t), view.eye);
    let local = fma(direction(hit.view_part, ray), vec3f(hit.t), view_parts[hit.view_part].origin);
    let normals = normal_at(hit, local, view_direction);
    let n = normals.world;
    var colour = material.colour;
    if (material.pattern != PLAIN) {
        let scale = select(vec3f(1.0), shape.size, shape.kind == MESH);
        let facing = max(abs(dot(n, view_direction)), 0.05);
        let spread = distance * hit.t * view.pixel_size;
        colour = albedo(material, Site(local * scale, normals.local, spread / facing));
    }
    var facing = max(dot(n, render_scene.sun), 0.0);
    if (0.0 < facing && params.has_shadows != 0u) {
        // Offset from the surface by a little more than the rounding of its depth.
        let lift = fma(hit.t, 1e-4, 1e-4);
        if (is_occluded(view.render_scene, fma(n, vec3f(lift), point), part_idx)) {
            facing = 0.0;
        }
    }
    let from_above = fma(n.z, 0.5 - 0.5 * FROM_BELOW, 0.5 + 0.5 * FROM_BELOW);
    colour *= render_scene.ambient * from_above + render_scene.sun_colour * facing;
    let roughness = clamp(material.roughness, 0.0, 1.0);
    if (roughness < 1.0) {
        let cosine = max(-dot(n, view_direction), 0.0);
        if (0.0 < facing) {
            let across = -dot(render_scene.sun, view_direction);
            colour += render_scene.sun_colour * (facing * highlight(roughness, facing, cosine, across));
        }
        let mirror_z = fma(n.z, cosine + cosine, view_direction.z);
        let gloss = (1.0 - roughness) * (1.0 - roughness);
        let grazing = 1.0 - cosine;
        let grazing_squared = grazing * grazing;
        let fresnel = fma(grazing_squared * grazing_squared * grazing, 1.0 - F0, F0);
        colour += sky(render_scene, mirror_z) * render_scene.ambient * (gloss * fresnel);
    }
    return colour;
}

fn code(radiance: f32) -> u32 {
    let idx = u32(round(clamp(radiance * CODES_PER_UNIT, 0.0, N_CODES - 1.0)));
    return (tables[idx / 4u] >> (8u * (idx % 4u))) & 0xffu;
}

fn write_geometry(view: View, ray: Ray, hit: Hit, pixel: u32) {
    let is_sky = MISS <= hit.t;
    if ((params.outputs & DEPTH) != 0u) {
        // Infinity, for which WGSL has no literal.
        images[params.depth_at + pixel] = select(bitcast<u32>(hit.t), 0x7f800000u, is_sky);
    }
    if ((params.outputs & SEGMENTATION) != 0u) {
        let label = shapes[view_parts[hit.view_part].part].object_id;
        images[params.segmentation_at + pixel] = select(label, 0u, is_sky);
    }
    if ((params.outputs & NORMALS) != 0u) {
        var n = vec3f(0.0);
        if (!is_sky) {
            let d = direction(hit.view_part, ray);
            n = normal_at(hit, fma(d, vec3f(hit.t), view_parts[hit.view_part].origin), ray.direction).world;
        }
        images[params.normals_at + 3u * pixel] = bitcast<u32>(n.x);
        images[params.normals_at + 3u * pixel + 1u] = bitcast<u32>(n.y);
        images[params.normals_at + 3u * pixel + 2u] = bitcast<u32>(n.z);
    }
}

// Index of a value in the model input; 0xffffffff if the pixel is in no patch.
fn place(view_idx: u32, pixel: vec2u, channel: u32) -> u32 {
    if (params.patch_size == 0u) {
        return ((view_idx * 3u + channel) * params.height + pixel.y) * params.width + pixel.x;
    }
    let n_patches = vec2u(params.width, params.height) / params.patch_size;
    let patch_at = pixel / params.patch_size;
    let within = pixel % params.patch_size;
    let patch_idx = (view_idx * n_patches.y + patch_at.y) * n_patches.x + patch_at.x;
    let idx = ((patch_idx * 3u + channel) * params.patch_size + within.y) * params.patch_size + within.x;
    return select(0xffffffffu, idx, all(patch_at < n_patches));
}

fn value_bits(code_rgb: u32, channel: u32) -> u32 {
    return pixel_values[channel * 256u + ((code_rgb >> (8u * channel)) & 0xffu)];
}

// All lanes of a tile call this together, because of its barrier.
fn write_model_input(view_idx: u32, pixel: vec2u, lane: u32, code_rgb: u32, is_inside: bool) {
    tile_codes[lane] = code_rgb;
    workgroupBarrier();
    let is_pair = (params.outputs & MODEL_F16) != 0u;
    if (!is_inside || (is_pair && pixel.x % 2u == 1u)) {
        return;
    }
    for (var channel = 0u; channel < 3u; channel++) {
        let at = place(view_idx, pixel, channel);
        if (at == 0xffffffffu) {
            return;
        }
        let bits = value_bits(code_rgb, channel);
        if (is_pair) {
            model_input[at / 2u] = bits | (value_bits(tile_codes[lane + 1u], channel) << 16u);
        } else {
            model_input[at] = bits;
        }
    }
}

@compute @workgroup_size(8, 8)
fn render(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let view_idx = group.z;
    let view = views[params.first_view + view_idx];
    let tile = group.xy * 8u;
    let pixel = tile + local.xy;
    let is_inside = pixel.x < params.width && pixel.y < params.height;
    let pixel_idx = (view_idx * params.height + pixel.y) * params.width + pixel.x;
    let first = view_idx * params.max_parts;
    let n_ranks = n_view_parts[view_idx];
    var colour = vec3f(0.0);
    let has_centre = (params.outputs & GEOMETRY) != 0u || params.n_samples == 1u;
    if (has_centre) {
        let ray = ray_at(view, pixel, vec2f(0.0));
        let hit = first_hit(first, n_ranks, tile, lane, ray);
        if (is_inside) {
            write_geometry(view, ray, hit, pixel_idx);
            if (params.n_samples == 1u && (params.outputs & COLOUR) != 0u) {
                colour = radiance(view, ray, hit);
            }
        }
    }
    if (params.n_samples == 4u && (params.outputs & COLOUR) != 0u) {
        for (var sample = 0u; sample < 4u; sample++) {
            let offset = vec2f(f32(sample & 1u), f32(sample >> 1u)) * 0.5 - 0.25;
            let ray = ray_at(view, pixel, offset);
            let hit = first_hit(first, n_ranks, tile, lane, ray);
            if (is_inside) {
                colour += 0.25 * radiance(view, ray, hit);
            }
        }
    }
    let code_rgb = code(colour.x) | (code(colour.y) << 8u) | (code(colour.z) << 16u) | 0xff000000u;
    if (is_inside && (params.outputs & RGB) != 0u) {
        images[pixel_idx] = code_rgb;
    }
    if ((params.outputs & (MODEL_F32 | MODEL_F16)) != 0u) {
        write_model_input(view_idx, pixel, lane, code_rgb, is_inside);
    }
}
