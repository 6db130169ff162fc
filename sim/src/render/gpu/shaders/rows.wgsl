// The rows of the columns that the host writes and the kernels share; `rows.rs` has their twins.

const PLANE = 0u;
const BOX = 1u;
const SPHERE = 2u;
const CAPSULE = 3u;
const CYLINDER = 4u;
const CONE = 5u;
const DISC = 6u;
const MESH = 7u;

// The depth of a ray that meets nothing: WGSL has no infinity.
const MISS = 1e30;
// Nearest depth that is drawn, metres.
const NEAR = 1e-3;

struct Params {
    height: u32,
    width: u32,
    // Of this dispatch; pictures and view parts are counted from its first view.
    n_views: u32,
    first_view: u32,
    n_moved: u32,
    n_dirty: u32,
    // The most parts of a drawing, and the words of a set of that many.
    max_parts: u32,
    set_words: u32,
    n_samples: u32,
    has_shadows: u32,
    // Bits: 1 rgb, 2 depth, 4 segmentation, 8 normals, 16 and 32 a model's input of four and of two bytes a value.
    outputs: u32,
    // Where the pictures start, in words.
    depth_at: u32,
    segmentation_at: u32,
    normals_at: u32,
    // Rows and columns of a patch of a model's input; 0 for whole planes.
    patch_size: u32,
    unused: u32,
}

// An instance: what does not move.
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
    // Index of the part; with NOWHERE set, the pose is not finite and the part is left out.
    slot: u32,
    rotation: vec4f,
}

const NOWHERE = 0x80000000u;

const BOUND_NOWHERE = 0u;
const BOUND_EVERYWHERE = 1u;
const BOUND_CAPSULE = 2u;
const BOUND_BOX = 3u;

// An instance, prepared: where it is.
struct Part {
    // Into the frame of the shape, by rows; a mesh's own scale is undone too.
    x: vec4f,
    y: vec4f,
    z: vec4f,
    // A volume of the world around it: the ends of a segment and a distance from it, or a centre and half axes.
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
    // Across the sun's rays.
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
    // The length that the pattern is named by, and the width of a line.
    cell: f32,
    width: f32,
    // Where the picture's row starts in the tables.
    texture: u32,
    unused: u32,
}

struct View {
    eye: vec3f,
    render_scene: u32,
    right: vec3f,
    // Edge of a pixel at depth one.
    pixel_size: f32,
    up: vec3f,
    unused_0: u32,
    forward: vec3f,
    unused_1: u32,
}

// A part and the rays of one view, in the part's frame: `direction = forward + x right + y up`.
struct ViewPart {
    origin: vec3f,
    // No point of it is nearer than this depth.
    nearest: f32,
    forward: vec3f,
    part: u32,
    right: vec3f,
    // The pixels that it may cover: the first, and one past the last in the upper half.
    cols: u32,
    up: vec3f,
    rows: u32,
}

// A part as the sun sees it: its extent across the rays and towards the sun, and the sun in its frame.
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
