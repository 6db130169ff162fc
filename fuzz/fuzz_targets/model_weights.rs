//! The weights of a model checkpoint: safetensors, and files of `torch.save`. The first byte selects the file, and what of it is
//! replaced: everything, some bytes, the header of the safetensors, or the pickled stream inside the archive.

#![no_main]

use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use sayso_fuzz::{ModelFolder, edited};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const SAFETENSORS: &str = "model.safetensors";
const TORCH: &str = "pytorch_model.bin";

struct Fixture {
    safetensors: ModelFolder,
    torch: ModelFolder,
    safetensors_file: Vec<u8>,
    torch_file: Vec<u8>,
}

thread_local! {
    static FIXTURE: Fixture = Fixture {
        safetensors: ModelFolder::copy("clip_quick_gelu"),
        torch: ModelFolder::copy("clip_words"),
        safetensors_file: fs::read(golden("clip_quick_gelu").join(SAFETENSORS)).expect("golden weights"),
        torch_file: fs::read(golden("clip_words").join(TORCH)).expect("golden weights"),
    };
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rewards/tests/golden").join(name)
}

/// The file with another header; the values stay.
fn with_header(file: &[u8], header: &[u8]) -> Vec<u8> {
    let (len, rest) = file.split_first_chunk::<8>().expect("a length");
    let values = &rest[u64::from_le_bytes(*len) as usize..];
    [&(header.len() as u64).to_le_bytes(), header, values].concat()
}

/// The archive with another stream; the values stay.
fn with_stream(file: &[u8], stream: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(file)).expect("a golden archive");
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for entry_idx in 0..archive.len() {
        let mut entry = archive.by_index(entry_idx).expect("an entry");
        let name = entry.name().expect("a name").into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("an intact entry");
        writer.start_file(&name, SimpleFileOptions::default()).expect("a new entry");
        let content = if name.ends_with("/data.pkl") { stream } else { &bytes };
        writer.write_all(content).expect("a write to memory");
    }
    writer.finish().expect("an archive").into_inner()
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    FIXTURE.with(|fixture| match mode % 6 {
        0 => fixture.safetensors.load_with(SAFETENSORS, data),
        1 => fixture.torch.load_with(TORCH, data),
        2 => fixture.safetensors.load_with(SAFETENSORS, &edited(&fixture.safetensors_file, data)),
        3 => fixture.torch.load_with(TORCH, &edited(&fixture.torch_file, data)),
        4 => fixture.safetensors.load_with(SAFETENSORS, &with_header(&fixture.safetensors_file, data)),
        _ => fixture.torch.load_with(TORCH, &with_stream(&fixture.torch_file, data)),
    });
});
