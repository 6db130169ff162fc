//! The files of a tokenizer. The first byte selects the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sayso_fuzz::ModelFolder;

const FILES: [(&str, &str); 6] = [
    ("clip_gelu", "tokenizer.json"),
    ("clip_words", "tokenizer.json"),
    ("siglip", "tokenizer.json"),
    ("open_clip", "tokenizer.json"),
    ("clip_quick_gelu", "vocab.json"),
    ("clip_quick_gelu", "merges.txt"),
];

thread_local! {
    static FOLDERS: Vec<ModelFolder> = FILES.iter().map(|(name, _)| ModelFolder::copy(name)).collect();
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let choice = usize::from(*choice) % FILES.len();
    FOLDERS.with(|folders| folders[choice].load_with(FILES[choice].1, bytes));
});
