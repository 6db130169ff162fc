//! What the fuzz targets share: files in memory, and small model checkpoints of which one file is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use sayso::rewards::{CheckpointModel, Fit, ImageTextModel as _, ModelDevice, ModelFiles};
use sayso::sim::read_image;
use tempfile::TempDir;

/// Largest image that a target reads, pixels a side.
pub const MAX_SIDE: usize = 1024;

/// A folder for the files of one process, in memory where the system has such a file system.
pub fn scratch_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder for temporary files")
}

/// `bytes` with some of them replaced: each edit is an offset of three bytes and a value.
pub fn edited(bytes: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in edits.chunks_exact(4) {
        let offset = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize % bytes.len();
        bytes[offset] = edit[3];
    }
    bytes
}

/// A copy of one of the small checkpoints of `rewards/tests/golden`.
pub struct ModelFolder {
    folder: TempDir,
    image: PathBuf,
}

impl ModelFolder {
    /// Copies the checkpoint `name`.
    pub fn copy(name: &str) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rewards/tests/golden");
        let folder = scratch_folder();
        for entry in fs::read_dir(golden.join(name)).expect("a golden checkpoint") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
        }
        Self { folder, image: golden.join("image0.png") }
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.folder.path().join(file)).expect("a file of the checkpoint");
    }

    /// Replaces one file by `bytes` and loads the model; if that succeeds, an image and a prompt are embedded. The original
    /// file is there again afterwards.
    pub fn load_with(&self, file: &str, bytes: &[u8]) {
        let path = self.folder.path().join(file);
        let original = fs::read(&path).ok();
        fs::write(&path, bytes).expect("a write to memory");
        if let Ok(model) = CheckpointModel::load(&ModelFiles::folder(self.folder.path()), &ModelDevice::cpu())
        {
            self.embed(&model);
        }
        match original {
            Some(original) => fs::write(&path, original).expect("a write to memory"),
            None => fs::remove_file(&path).expect("the file was written"),
        }
    }

    /// Neither may panic: images of any size are resized, and prompts are refused with an error.
    fn embed(&self, model: &CheckpointModel) {
        // A configuration may ask for images of any size.
        let spec = &model.preprocess().spec;
        if spec.height.max(spec.width) <= MAX_SIDE {
            let image = read_image(&self.image, MAX_SIDE).expect("the golden image");
            let frames = model.prepare(&[image], Fit::Checkpoint);
            let _ = model.embed_frames(&frames);
        }
        let _ = model.embed_prompts(&["a red ball".to_owned()]);
    }
}
