//! Intersection of ray packets with a mesh's hierarchy.

use wide::f32x8;

use super::packet::Vec3x8;
use super::primitives::NEAR;
use crate::math::Vec3;
use crate::render::mesh::{MAX_DEPTH, Mesh, MeshNode, Triangle};

/// Finds the nearest triangles that the rays from `o` along `d` hit nearer than `best`; writes the depths to `best` and the
/// triangles' indices to `triangle`, and returns the mask of the lanes with a hit.
pub(super) fn closest(mesh: &Mesh, o: Vec3, d: Vec3x8, best: &mut f32x8, triangle: &mut f32x8) -> f32x8 {
    let mut found = f32x8::ZERO;
    let inv = d.safe_recip();
    let origin = Vec3x8::splat(o);
    let heading = Vec3::new(d.x.to_array()[0], d.y.to_array()[0], d.z.to_array()[0]);
    let mut stack = Stack::default();
    while let Some(node_idx) = stack.pop() {
        let node = &mesh.nodes()[node_idx];
        if !enters(node, origin, inv).simd_lt(*best).any() {
            continue;
        }
        if node.n_triangles == 0 {
            let children = &mesh.nodes()[node.first as usize..][..2];
            let apart = (children[1].min + children[1].max) - (children[0].min + children[0].max);
            stack.push_pair(node.first, apart.dot(heading) < 0.0);
            continue;
        }
        for triangle_idx in node.first..node.first + node.n_triangles {
            let t = meets(&mesh.triangles()[triangle_idx as usize], origin, d);
            let closer = t.simd_gt(NEAR) & t.simd_lt(*best);
            *best = closer.select(t, *best);
            *triangle = closer.select(f32x8::splat(f32::from_bits(triangle_idx)), *triangle);
            found |= closer;
        }
    }
    found
}

/// Mask of the rays from `o` along `d` that hit the mesh; unspecified for lanes that are not `open`.
pub(super) fn blocks(mesh: &Mesh, o: Vec3x8, d: Vec3, inv_d: Vec3, open: f32x8) -> f32x8 {
    let mut blocked = f32x8::ZERO;
    let (inv, d) = (Vec3x8::splat(inv_d), Vec3x8::splat(d));
    let mut stack = Stack::default();
    while let Some(node_idx) = stack.pop() {
        let node = &mesh.nodes()[node_idx];
        if !(open & !blocked & enters(node, o, inv).simd_lt(f32::INFINITY)).any() {
            continue;
        }
        if node.n_triangles == 0 {
            stack.push_pair(node.first, false);
            continue;
        }
        for triangle in &mesh.triangles()[node.first as usize..][..node.n_triangles as usize] {
            let t = meets(triangle, o, d);
            blocked |= t.simd_gt(0.0) & t.simd_lt(f32::INFINITY);
        }
    }
    blocked
}

/// The unit normals at the points `p` (the mesh's frame) of the given triangles, interpolated between the corners.
pub(super) fn normals(mesh: &Mesh, triangle: f32x8, p: Vec3x8, wanted: u32) -> Vec3x8 {
    let mut out = [[0.0; 8]; 3];
    let (x, y, z, triangle) = (p.x.to_array(), p.y.to_array(), p.z.to_array(), triangle.to_array());
    for lane in (0..8).filter(|lane| wanted >> lane & 1 == 1) {
        let Triangle { corner, edges: [a, b], normals } = mesh.triangles()[triangle[lane].to_bits() as usize];
        let p = Vec3::new(x[lane], y[lane], z[lane]) - corner;
        let (aa, ab, bb, pa, pb) = (a.dot(a), a.dot(b), b.dot(b), p.dot(a), p.dot(b));
        let inv = 1.0 / (aa * bb - ab * ab);
        let (u, v) = ((bb * pa - ab * pb) * inv, (aa * pb - ab * pa) * inv);
        let normal = normals[0] * (1.0 - u - v) + normals[1] * u + normals[2] * v;
        let normal = normal.normalize_or(normals[0]);
        (out[0][lane], out[1][lane], out[2][lane]) = (normal.x, normal.y, normal.z);
    }
    Vec3x8::new(f32x8::new(out[0]), f32x8::new(out[1]), f32x8::new(out[2]))
}

/// Ray parameter at which the rays enter the box of a node; infinite where they miss it.
#[inline(always)]
fn enters(node: &MeshNode, o: Vec3x8, inv: Vec3x8) -> f32x8 {
    let (a, b) = ((Vec3x8::splat(node.min) - o).scale(inv), (Vec3x8::splat(node.max) - o).scale(inv));
    let near = a.x.fast_min(b.x).fast_max(a.y.fast_min(b.y)).fast_max(a.z.fast_min(b.z));
    let far = a.x.fast_max(b.x).fast_min(a.y.fast_max(b.y)).fast_min(a.z.fast_max(b.z));
    let near = near.fast_max(f32x8::ZERO);
    near.simd_le(far).select(near, f32x8::splat(f32::INFINITY))
}

/// Möller and Trumbore, "Fast, Minimum Storage Ray/Triangle Intersection" (1997), two-sided; infinite at a miss. Triangles
/// are enlarged by a relative tolerance, so that no ray passes between neighbours.
#[inline(always)]
fn meets(triangle: &Triangle, o: Vec3x8, d: Vec3x8) -> f32x8 {
    const TOLERANCE: f32 = 1e-6;
    let [a, b] = triangle.edges.map(Vec3x8::splat);
    let p = d.cross(b);
    let inv = f32x8::ONE / a.dot(p);
    let s = o - Vec3x8::splat(triangle.corner);
    let u = s.dot(p) * inv;
    let q = s.cross(a);
    let v = d.dot(q) * inv;
    let inside = u.simd_ge(-TOLERANCE) & v.simd_ge(-TOLERANCE) & (u + v).simd_le(1.0 + TOLERANCE);
    inside.select(b.dot(q) * inv, f32x8::splat(f32::INFINITY))
}

/// Nodes still to visit. At most one per level is pending, so the depth of the tree bounds their number.
struct Stack {
    nodes: [u32; MAX_DEPTH + 1],
    len: usize,
}

impl Default for Stack {
    /// A stack with the root.
    fn default() -> Self {
        Self { nodes: [0; MAX_DEPTH + 1], len: 1 }
    }
}

impl Stack {
    #[inline(always)]
    fn pop(&mut self) -> Option<usize> {
        self.len = self.len.checked_sub(1)?;
        Some(self.nodes[self.len] as usize)
    }

    /// Adds two siblings, the one to visit first on top.
    #[inline(always)]
    fn push_pair(&mut self, first: u32, right_first: bool) {
        let near = first + u32::from(right_first);
        self.nodes[self.len] = first + u32::from(!right_first);
        self.nodes[self.len + 1] = near;
        self.len += 2;
    }
}
