//! Data that envs share: meshes, textures, and the table of sRGB codes.

use std::sync::Arc;

use super::column::Column;
use super::rows::{NodeRow, TriangleRow};
use crate::render::{Mesh, RenderScene, Texture, codes};

/// Meshes and textures on the device, each stored once.
#[derive(Debug)]
pub(super) struct Library {
    pub nodes: Column<NodeRow>,
    pub triangles: Column<TriangleRow>,
    pub texels: Column<[f32; 4]>,
    /// The code table, four codes per word; then for each texture the number of its levels, and for each level its first
    /// texel, its width and its height.
    pub tables: Column<u32>,
    /// The sources of the columns, and where each starts: the root node of a mesh, the table row of a texture.
    meshes: Vec<(Arc<Mesh>, u32)>,
    textures: Vec<(Arc<Texture>, u32)>,
}

/// Where the meshes and textures of one scene are stored in the library.
#[derive(Debug, Default)]
pub(super) struct SceneAssets {
    meshes: Vec<Arc<Mesh>>,
    textures: Vec<Arc<Texture>>,
    /// The root node of each mesh.
    pub roots: Vec<u32>,
    /// The table row of each texture.
    pub texture_rows: Vec<u32>,
}

impl SceneAssets {
    /// Whether the scene still refers to the same meshes and textures.
    pub fn is_of(&self, render_scene: &RenderScene) -> bool {
        let same_meshes = self.meshes.len() == render_scene.meshes.len()
            && self.meshes.iter().zip(&render_scene.meshes).all(|(a, b)| Arc::ptr_eq(a, b));
        let same_textures = self.textures.len() == render_scene.textures.len()
            && self.textures.iter().zip(&render_scene.textures).all(|(a, b)| Arc::ptr_eq(a, b));
        same_meshes && same_textures
    }
}

impl Library {
    pub fn new() -> Self {
        Self {
            nodes: Column::new("nodes of meshes"),
            triangles: Column::new("triangles of meshes"),
            texels: Column::new("texels"),
            tables: Column::new("tables"),
            meshes: Vec::new(),
            textures: Vec::new(),
        }
    }

    /// Replaces the contents with the meshes and textures of the scenes. Equal ones of different envs are stored once.
    pub fn fill(&mut self, render_scenes: &[&RenderScene]) -> Vec<SceneAssets> {
        let table = codes::table();
        let mut tables: Vec<u32> = table
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        let (mut nodes, mut triangles, mut texels) = (Vec::new(), Vec::new(), Vec::new());
        self.meshes.clear();
        self.textures.clear();
        let mut all_assets = Vec::with_capacity(render_scenes.len());
        for render_scene in render_scenes {
            let mesh_row = |mesh: &Arc<Mesh>| {
                find_or_add(&mut self.meshes, mesh, || {
                    let (root, first_triangle) = (nodes.len(), triangles.len());
                    nodes.extend(mesh.nodes().iter().map(|node| NodeRow::new(node, root, first_triangle)));
                    triangles.extend(mesh.triangles().iter().map(TriangleRow::new));
                    root as u32
                })
            };
            let roots = render_scene.meshes.iter().map(mesh_row).collect();
            let texture_row = |texture: &Arc<Texture>| {
                find_or_add(&mut self.textures, texture, || {
                    let row = tables.len() as u32;
                    tables.push(texture.levels().len() as u32);
                    for level in texture.levels() {
                        tables.extend([texels.len() as u32, level.width as u32, level.height as u32]);
                        texels.extend_from_slice(&level.texels);
                    }
                    row
                })
            };
            let texture_rows = render_scene.textures.iter().map(texture_row).collect();
            let (meshes, textures) = (render_scene.meshes.clone(), render_scene.textures.clone());
            all_assets.push(SceneAssets { meshes, textures, roots, texture_rows });
        }
        self.nodes.replace(nodes.into_iter());
        self.triangles.replace(triangles.into_iter());
        self.texels.replace(texels.into_iter());
        self.tables.replace(tables.into_iter());
        all_assets
    }

    /// Whether there are any meshes.
    pub fn has_meshes(&self) -> bool {
        !self.meshes.is_empty()
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        self.nodes.size() + self.triangles.size() + self.texels.size() + self.tables.size()
    }
}

/// The row of an item equal to `item`; `add` adds one if there is none.
fn find_or_add<T: PartialEq>(
    known: &mut Vec<(Arc<T>, u32)>,
    item: &Arc<T>,
    add: impl FnOnce() -> u32,
) -> u32 {
    let is_same = |other: &Arc<T>| Arc::ptr_eq(other, item) || **other == **item;
    if let Some((_, row)) = known.iter().find(|(other, _)| is_same(other)) {
        return *row;
    }
    let row = add();
    known.push((item.clone(), row));
    row
}
