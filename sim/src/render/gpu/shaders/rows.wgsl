// Rows of the columns that the host writes and that kernels exchange; `rows.rs` has their twins.

const PLANE = 0u;
const BOX = 1u;
const SPHERE = 2u;
const CAPSULE = 3u;
const CYLINDER = 4u;
const CONE = 5u;
const DISC = 6u;
const MESH = 7u;

// The depth of a ray that hits nothing: WGSL has no infinity.
const MISS = 1e30;
// Nearest depth that is rendered, metres.
const NEAR = 1e-3;

struct Params {
    height: u32,
    width: u32,
    // Of this dispatch; frames and view parts are indexed from its first view.
    n_views: u32,
    first_view: u32,
    n_moved: u32,
    n_dirty: u32,
    // The most parts of a scene, and the 32-bit words of a set of that many.
    max_parts: u32,
    set_words: u32,
    n_samples: u32,
    has_shadows: u32,
    // Flags: 1 rgb, 2 depth, 4 segmentation, 8 normals, 16 and 32 a model input of f32 and of f16 values.
    outputs: u32,
    // Offsets of the outputs in `images`, in words.
    depth_at: u32,
    segmentation_at: u32,
    normals_at: u32,
    // Side of a patch of a model input, pixels; 0 for planes.
    patch_size: u32,
    unused: u32,
}

// The properties of an instance that do not change with its pose.
struct Shape {
    // Half extents; or radius, radius, half length; or a mesh's scale.
    size: vec3f,
    kind: u32,
    material: u32,
    object_id: u32,
    // The root node of a mesh.
    mesh: u32,
    unused: u32,
}

// A new pose.
struct Moved {
    position: vec3f,
    // Index of the part; with the flag NOWHERE, the pose is NaN or infinite and the part is left out.
    slot: u32,
    rotation: vec4f,
}

const NOWHERE = 0x80000000u;

const BOUND_NOWHERE = 0u;
const BOUND_EVERYWHERE = 1u;
const BOUND_CAPSULE = 2u;
const BOUND_BOX = 3u;

// The pose of an instance, prepared for rendering.
struct Part {
    // The rows of the transform from the world into the frame of the shape; for a mesh it includes the inverse scale.
    x: vec4f,
    y: vec4f,
    z: vec4f,
    // Bounding volume in the world: the end points and radius of a capsule, or the centre and half axes of a box.
    bound_a: vec3f,
    bound: u32,
    bound_b: vec3f,
    bound_radius: f32,
    bound_c: vec3f,
    unused_0: u32,
    bound_d: vec3f,
    unused_1: u32,
}

struct RenderScene {
    // Towards the sun, unit length; zero when there is none.
    sun: vec3f,
    first_part: u32,
    // Perpendicular to the sun's rays, as is `across_v`.
    across_u: vec3f,
    n_parts: u32,
    across_v: vec3f,
    unused_0: u32,
    sun_colour: vec3f,
    unused_1: u32,
    ambient: vec3f,
    unused_2: u32,
    zenith: vec3f,
    unused_3: u32,
    horizon: vec3f,
    unused_4: u32,
}

const PLAIN = 0u;
const CHECKER = 1u;
const GRID = 2u;
const WOOD = 3u;
const NOISE = 4u;
const IMAGE = 5u;

struct Material {
    colour: vec3f,
    roughness: f32,
    other: vec3f,
    pattern: u32,
    // The size of the pattern (cell, ring or image) and the width of a grid line, metres.
    cell: f32,
    width: f32,
    // Where the row of the texture starts in the tables.
    texture: u32,
    unused: u32,
}

struct View {
    eye: vec3f,
    render_scene: u32,
    right: vec3f,
    // Side of a pixel at depth one.
    pixel_size: f32,
    up: vec3f,
    unused_0: u32,
    forward: vec3f,
    unused_1: u32,
}

// A part and the rays of one view, in the part's frame: `direction = forward + x right + y up`.
struct ViewPart {
    origin: vec3f,
    // Lower bound of its depth.
    nearest: f32,
    forward: vec3f,
    part: u32,
    right: vec3f,
    // The pixels that it may cover: the first in the lower 16 bits, one past the last in the upper.
    cols: u32,
    up: vec3f,
    rows: u32,
}

// A part as a shadow caster: its extent perpendicular to the sun's rays, the sun's direction in the frame of the part, and
// its greatest extent towards the sun.
struct Caster {
    u: vec2f,
    v: vec2f,
    direction: vec3f,
    top: f32,
}

struct MeshNode {
    low: vec3f,
    // The first child, or the first triangle of a leaf.
    first: u32,
    high: vec3f,
    // Zero for an inner node.
    n_triangles: u32,
}

struct Triangle {
    corner: vec3f,
    normal_0x: f32,
    edge_a: vec3f,
    normal_0y: f32,
    edge_b: vec3f,
    normal_0z: f32,
    normal_1: vec3f,
    unused_0: u32,
    normal_2: vec3f,
    unused_1: u32,
}

fn safe_recip(v: f32) -> f32 {
    return 1.0 / select(v, select(1e-18, -1e-18, v < 0.0), abs(v) < 1e-18);
}

fn safe_recip3(v: vec3f) -> vec3f {
    return vec3f(safe_recip(v.x), safe_recip(v.y), safe_recip(v.z));
}

fn local_vector(part: Part, v: vec3f) -> vec3f {
    return vec3f(dot(part.x.xyz, v), dot(part.y.xyz, v), dot(part.z.xyz, v));
}

fn local_point(part: Part, p: vec3f) -> vec3f {
    return local_vector(part, p) + vec3f(part.x.w, part.y.w, part.z.w);
}
