//! The JSON files beside the weights of a model checkpoint. The first byte selects the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sayso_fuzz::ModelFolder;

const FILES: [(&str, &str); 10] = [
    ("clip_quick_gelu", "config.json"),
    ("clip_quick_gelu", "preprocessor_config.json"),
    ("clip_gelu", "model.safetensors.index.json"),
    ("open_clip", "open_clip_config.json"),
    ("siglip", "config.json"),
    ("siglip", "preprocessor_config.json"),
    ("siglip2", "config.json"),
    ("siglip2", "tokenizer_config.json"),
    ("siglip2", "special_tokens_map.json"),
    ("siglip2", "processor_config.json"),
];

thread_local! {
    static FOLDERS: Vec<ModelFolder> = FILES.iter().map(|(name, file)| folder(name, file)).collect();
}

fn folder(name: &str, file: &str) -> ModelFolder {
    let folder = ModelFolder::copy(name);
    match file {
        // Read only if the tokenizer's configuration has no pad token.
        "special_tokens_map.json" => folder.remove("tokenizer_config.json"),
        "processor_config.json" => folder.remove("preprocessor_config.json"),
        _ => {}
    }
    folder
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let choice = usize::from(*choice) % FILES.len();
    FOLDERS.with(|folders| folders[choice].load_with(FILES[choice].1, bytes));
});
