//! Triangle meshes and their bounding volume hierarchy.

use rapier3d::parry::bounding_volume::Aabb;
use rapier3d::parry::partitioning::{Bvh, BvhBuildStrategy, TraversalAction};

use crate::math::Vec3;
use crate::{Result, SimError};

/// Maximum depth of a hierarchy, which bounds the traversal stacks.
pub(crate) const MAX_DEPTH: usize = 64;

/// Subtrees of at most this many triangles are one leaf.
const LEAF_TRIANGLES: u32 = 4;

/// A triangle mesh with its bounding volume hierarchy. Both sides of a triangle are visible.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    nodes: Vec<MeshNode>,
    triangles: Vec<Triangle>,
    bounds: [Vec3; 2],
}

/// A node of the hierarchy: an inner node (`n_triangles = 0`), whose two children start at `first`, or a leaf, whose
/// triangles start there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MeshNode {
    pub min: Vec3,
    pub first: u32,
    pub max: Vec3,
    pub n_triangles: u32,
}

/// A triangle: a corner, the two edges from it, and a unit normal per corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Triangle {
    pub corner: Vec3,
    pub edges: [Vec3; 2],
    pub normals: [Vec3; 3],
}

impl Mesh {
    /// A mesh with flat faces: `triangles` index `vertices` (metres).
    ///
    /// # Errors
    /// If there is no triangle, an index is out of range, or a vertex is not finite.
    pub fn new(vertices: Vec<[f32; 3]>, triangles: Vec<[u32; 3]>) -> Result<Self> {
        check(&vertices, &triangles)?;
        let flat = |corners: [Vec3; 3], _| {
            [(corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or(Vec3::Z); 3]
        };
        Self::build(&vertices, &triangles, flat)
    }

    /// A mesh whose normals are interpolated from one normal per vertex, which need not have unit length.
    ///
    /// # Errors
    /// Those of [`Mesh::new`]; also if there is not one normal per vertex, or one is zero or not finite.
    pub fn with_normals(
        vertices: Vec<[f32; 3]>,
        normals: Vec<[f32; 3]>,
        triangles: Vec<[u32; 3]>,
    ) -> Result<Self> {
        check(&vertices, &triangles)?;
        if normals.len() != vertices.len() {
            let (expected, got) = (vertices.len(), normals.len());
            return Err(SimError::WrongLength { what: "normals of a mesh", expected, got });
        }
        for (k, normal) in normals.iter().enumerate() {
            if Vec3::from_array(*normal).try_normalize().is_none() {
                return Err(out_of_range(
                    format!("normals[{k}]"),
                    normal,
                    "a finite vector that is not zero",
                ));
            }
        }
        let smooth = |_, corners: [u32; 3]| {
            corners.map(|k| Vec3::from_array(normals[k as usize]).normalize_or(Vec3::Z))
        };
        Self::build(&vertices, &triangles, smooth)
    }

    /// Number of triangles.
    pub fn n_triangles(&self) -> usize {
        self.triangles.len()
    }

    /// Lower and upper corner of the box around all vertices.
    pub fn bounds(&self) -> [Vec3; 2] {
        self.bounds
    }

    pub(crate) fn nodes(&self) -> &[MeshNode] {
        &self.nodes
    }

    pub(crate) fn triangles(&self) -> &[Triangle] {
        &self.triangles
    }

    fn build(
        vertices: &[[f32; 3]],
        indices: &[[u32; 3]],
        normals: impl Fn([Vec3; 3], [u32; 3]) -> [Vec3; 3],
    ) -> Result<Self> {
        let corners = |triangle: [u32; 3]| triangle.map(|k| Vec3::from_array(vertices[k as usize]));
        let boxes = indices.iter().map(|&triangle| {
            let [a, b, c] = corners(triangle);
            Aabb::new(a.min(b).min(c), a.max(b).max(c))
        });
        let bvh = Bvh::from_iter(BvhBuildStrategy::Binned, boxes.enumerate());
        let (nodes, order) = flatten(&bvh)?;
        let triangles = order.iter().map(|&k| {
            let triangle = indices[k as usize];
            let [a, b, c] = corners(triangle);
            Triangle { corner: a, edges: [b - a, c - a], normals: normals([a, b, c], triangle) }
        });
        Ok(Self { bounds: [nodes[0].min, nodes[0].max], triangles: triangles.collect(), nodes })
    }
}

fn check(vertices: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<()> {
    if triangles.is_empty() {
        return Err(SimError::WrongLength { what: "triangles of a mesh", expected: 1, got: 0 });
    }
    if let Some(k) = vertices.iter().position(|v| v.iter().any(|x| !x.is_finite())) {
        return Err(out_of_range(format!("vertices[{k}]"), &vertices[k], "finite coordinates"));
    }
    if let Some(k) = triangles.iter().position(|t| t.iter().any(|&v| vertices.len() <= v as usize)) {
        let expected = format!("indices below {}, the number of vertices", vertices.len());
        return Err(out_of_range(format!("triangles[{k}]"), &triangles[k], &expected));
    }
    Ok(())
}

fn out_of_range(field: String, got: &impl std::fmt::Debug, expected: &str) -> SimError {
    SimError::OutOfRange { field, got: format!("{got:?}"), expected: expected.into() }
}

/// A node of parry's tree; the right child of a pair follows the left one.
struct SourceNode {
    bounds: Aabb,
    left_child: Option<usize>,
    leaf: Option<u32>,
    n_leaves: u32,
}

/// Copies parry's tree into our layout: the nodes, and the triangles in the order of the leaves.
fn flatten(bvh: &Bvh) -> Result<(Vec<MeshNode>, Vec<u32>)> {
    let source = source_nodes(bvh);
    let mut nodes = vec![MeshNode { min: Vec3::ZERO, first: 0, max: Vec3::ZERO, n_triangles: 0 }];
    let mut order = Vec::with_capacity(bvh.leaf_count() as usize);
    let mut pending = vec![(0, 0, 1)];
    while let Some((source_idx, node_idx, depth)) = pending.pop() {
        if MAX_DEPTH < depth {
            return Err(out_of_range("depth of a mesh's hierarchy".into(), &depth, "at most 64 levels"));
        }
        let node = &source[source_idx];
        let (first, n_triangles) = match node.left_child {
            Some(left) if LEAF_TRIANGLES < node.n_leaves => {
                let first = nodes.len();
                nodes.extend([nodes[0]; 2]);
                pending.extend([(left, first, depth + 1), (left + 1, first + 1, depth + 1)]);
                (first, 0)
            }
            _ => {
                let first = order.len();
                collect_leaves(&source, source_idx, &mut order);
                (first, node.n_leaves)
            }
        };
        let (min, max) = (node.bounds.mins, node.bounds.maxs);
        nodes[node_idx] = MeshNode { min, first: first as u32, max, n_triangles };
    }
    Ok((nodes, order))
}

/// Reads parry's tree through its traversal, which visits pairs of siblings, depth first, left before right.
fn source_nodes(bvh: &Bvh) -> Vec<SourceNode> {
    let root = SourceNode { bounds: bvh.root_aabb(), left_child: None, leaf: None, n_leaves: 0 };
    let mut nodes = vec![root];
    let mut parents = vec![0];
    let mut parent = 0;
    bvh.traverse_indexed(None, |node, index| {
        let is_right = index.decompose().1;
        if !is_right {
            parent = parents.pop().unwrap_or(0);
            nodes[parent].left_child = Some(nodes.len());
        }
        let n_leaves = u32::from(node.is_leaf());
        nodes.push(SourceNode { bounds: node.aabb(), left_child: None, leaf: node.leaf_data(), n_leaves });
        if is_right {
            let pair = [nodes.len() - 1, nodes.len() - 2];
            parents.extend(pair.into_iter().filter(|&k| nodes[k].leaf.is_none()));
        }
        TraversalAction::Continue
    });
    // A tree of one leaf has no right sibling.
    if nodes.len() == 2 {
        nodes.remove(0);
    }
    for k in (0..nodes.len()).rev() {
        if let Some(left) = nodes[k].left_child {
            nodes[k].n_leaves = nodes[left].n_leaves + nodes[left + 1].n_leaves;
        }
    }
    nodes
}

fn collect_leaves(source: &[SourceNode], root: usize, order: &mut Vec<u32>) {
    let mut pending = vec![root];
    while let Some(k) = pending.pop() {
        order.extend(source[k].leaf);
        pending.extend(source[k].left_child.into_iter().flat_map(|left| [left + 1, left]));
    }
}
