#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! An incomplete or inconsistent checkpoint is rejected by an error that names the file and the tensor or key; a saved model
//! loads again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarMap;
use sayso_rewards::{
    CheckpointModel, Clip, ClipConfig, ImageTextModel, ModelDevice, ModelFiles, Preprocess, save_clip,
};
use sayso_sim::{Frames, ImageSpec};
use serde_json::{Value, json};
use tempfile::TempDir;

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

/// A copy of a golden checkpoint, to be damaged.
fn copy_of(case: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(golden(case)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn load(folder: &TempDir) -> Result<CheckpointModel, String> {
    CheckpointModel::load(&ModelFiles::folder(folder.path()), &ModelDevice::cpu())
        .map_err(|error| error.to_string())
}

/// The error of loading a checkpoint after its tensors were changed.
fn refused(case: &str, file: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> String {
    let folder = copy_of(case);
    let path = folder.path().join(file);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    load(&folder).unwrap_err()
}

/// The error of loading a checkpoint after a file was rewritten.
fn refused_text(case: &str, file: &str, change: impl FnOnce(String) -> String) -> String {
    let folder = copy_of(case);
    let path = folder.path().join(file);
    std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
    load(&folder).unwrap_err()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

const WEIGHTS: &str = "model.safetensors";
const OPEN_CLIP: &str = "open_clip";
const OPEN_CLIP_WEIGHTS: &str = "open_clip_model.safetensors";
const NORM: &str = "vision_model.encoder.layers.1.layer_norm2.bias";

#[test]
fn a_missing_tensor_is_named() {
    let error = refused("clip_quick_gelu", WEIGHTS, |tensors| _ = tensors.remove(NORM));
    assert!(error.contains(WEIGHTS) && error.contains(&format!("'{NORM}' is missing")), "{error}");
}

#[test]
fn an_open_clip_tensor_is_named_as_in_its_file() {
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let error = refused(OPEN_CLIP, OPEN_CLIP_WEIGHTS, change);
        error.split_once(&format!("{OPEN_CLIP_WEIGHTS}: ")).unwrap().1.to_owned()
    };
    for name in [
        "visual.ln_pre.bias",
        "visual.class_embedding",
        "visual.proj",
        "text_projection",
        "positional_embedding",
        "logit_scale",
        "visual.transformer.resblocks.1.attn.in_proj_weight",
        "transformer.resblocks.0.attn.in_proj_bias",
        "transformer.resblocks.0.mlp.c_proj.weight",
    ] {
        let missing = refused(&|tensors| _ = tensors.remove(name));
        assert_eq!(missing, format!("tensor '{name}' is missing"));
    }
    let shaped =
        |name: &str, shape: &[usize]| refused(&|tensors| _ = tensors.insert(name.into(), zeros(shape)));
    for (name, shape, expected) in [
        ("visual.transformer.resblocks.1.attn.in_proj_weight", &[143, 48][..], "[144, 48]"),
        ("transformer.resblocks.0.attn.in_proj_bias", &[], "[108]"),
        ("visual.proj", &[28, 48], "[48, 28]"),
        ("visual.ln_pre.bias", &[47], "[48]"),
    ] {
        let want = format!("tensor '{name}' has shape {shape:?}, the config asks for {expected}");
        assert_eq!(shaped(name, shape), want);
    }
    for name in ["visual.transformer.resblocks.2.attn.in_proj_bias", "text_projection.weight"] {
        let want = format!("tensor '{name}' is not part of the model that the config describes");
        assert_eq!(shaped(name, &[3]), want);
    }
}

#[test]
fn errors_about_tensors_carry_no_backtrace() {
    const NAME: &str = "errors_about_tensors_carry_no_backtrace";
    const IS_CHILD: &str = "SAYSO_TEST_IS_CHILD";
    // The standard library reads the variable once, so the process has to start with it.
    if std::env::var_os(IS_CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env(IS_CHILD, "1").env("RUST_BACKTRACE", "1");
        let output = child.env_remove("RUST_LIB_BACKTRACE").output().unwrap();
        return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert!(candle_core::Error::msg("failed").to_string().contains('\n'));
    let error = refused("clip_quick_gelu", WEIGHTS, |tensors| _ = tensors.remove(NORM));
    assert!(error.ends_with(&format!("{WEIGHTS}: tensor '{NORM}' is missing")), "{error}");
    let error = refused(OPEN_CLIP, OPEN_CLIP_WEIGHTS, |tensors| _ = tensors.remove("visual.proj"));
    assert!(error.ends_with("tensor 'visual.proj' is missing"), "{error}");
    let folder = copy_of("clip_words");
    for damaged in [&b"PK not a pickle"[..], b""] {
        std::fs::write(folder.path().join("pytorch_model.bin"), damaged).unwrap();
        let error = load(&folder).unwrap_err();
        assert!(error.contains("damaged") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_field_of_an_open_clip_config_is_out_of_range() {
    let error =
        refused_text(OPEN_CLIP, "open_clip_config.json", |s| s.replace("\"heads\": 3", "\"heads\": 5"));
    assert!(error.contains("open_clip_config.json: text_config.num_attention_heads = 5"), "{error}");
}

#[test]
fn an_extra_tensor_is_named() {
    let error =
        refused("clip_quick_gelu", WEIGHTS, |tensors| _ = tensors.insert("adapter.gate".into(), zeros(&[1])));
    assert!(error.contains(WEIGHTS) && error.contains("'adapter.gate' is not part of the model"), "{error}");
    let key = "vision_model.encoder.layers.2.layer_norm1.bias";
    let error = refused("siglip", WEIGHTS, |tensors| _ = tensors.insert(key.into(), zeros(&[32])));
    assert!(error.contains(key), "{error}");
}

#[test]
fn buffers_of_old_versions_are_ignored() {
    let folder = copy_of("clip_quick_gelu");
    let path = folder.path().join(WEIGHTS);
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.insert("text_model.embeddings.position_ids".into(), zeros(&[1, 77]));
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert!(load(&folder).is_ok());
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    let error = refused("clip_quick_gelu", WEIGHTS, |tensors| _ = tensors.insert(NORM.into(), zeros(&[31])));
    assert!(error.contains(&format!("'{NORM}' has shape [31], the config asks for [32]")), "{error}");
}

#[test]
fn a_truncated_file_is_named() {
    let folder = copy_of("clip_quick_gelu");
    let path = folder.path().join(WEIGHTS);
    let bytes = std::fs::read(&path).unwrap();
    for len in [0, 5, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = load(&folder).unwrap_err();
        assert!(error.contains(WEIGHTS) && error.contains("damaged or cut short"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(load(&folder).unwrap_err().contains("model.safetensors: no such file"));
}

#[test]
fn a_damaged_pickle_is_named() {
    let folder = copy_of("clip_words");
    std::fs::write(folder.path().join("pytorch_model.bin"), b"PK not a pickle").unwrap();
    let error = load(&folder).unwrap_err();
    assert!(error.contains("pytorch_model.bin") && error.contains("damaged"), "{error}");
}

#[test]
fn a_tokenizer_that_is_cut_short_is_an_error_and_not_a_panic() {
    let folder = copy_of("siglip");
    let path = folder.path().join("tokenizer.json");
    let text = std::fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&text).contains("\"decoder\""));
    for len in (0..text.len() - 2).rev().step_by(97) {
        std::fs::write(&path, &text[..len]).unwrap();
        assert!(load(&folder).unwrap_err().contains("tokenizer.json: "), "{len} bytes");
    }
}

#[test]
fn templates_of_a_tokenizer_that_refer_to_what_is_absent_are_errors_and_not_panics() {
    let error =
        refused_text("clip_words", "tokenizer.json", |s| s.replacen("\"[SOT]\": {", "\"[OTHER]\": {", 1));
    assert!(error.contains("lacks the special token '[SOT]'"), "{error}");
    let error =
        refused_text("clip_words", "tokenizer.json", |s| s.replacen("\"id\": \"A\"", "\"id\": \"B\"", 1));
    assert!(error.contains("the template 'single' of its post-processor has the sequence 'B'"), "{error}");
    // An escape that is not a character, where the library reads twice.
    let error = refused_text("clip_words", "tokenizer.json", |s| {
        s.replacen("\"decoder\": null", "\"decoder\": {\"type\": \"\\ud800\"}", 1)
    });
    assert!(error.contains("tokenizer.json"), "{error}");
    // A merge whose token is longer than every token of the vocabulary.
    let error = refused_text("clip_gelu", "tokenizer.json", |s| {
        let mut json: serde_json::Value = serde_json::from_str(&s).unwrap();
        let model = &mut json["model"];
        let longest = model["vocab"].as_object().unwrap().keys().max_by_key(|key| key.len()).unwrap().clone();
        model["merges"].as_array_mut().unwrap().push(serde_json::json!([longest, longest]));
        json.to_string()
    });
    assert!(error.contains("has the merge") && error.contains("not in its vocabulary"), "{error}");
    // The library goes by the form of a post-processor, not by its type.
    let error = refused_text("clip_words", "tokenizer.json", |s| {
        s.replace("TemplateProcessing", "Other").replacen("\"id\": \"A\"", "\"id\": \"B\"", 1)
    });
    assert!(error.contains("the template 'single' of its post-processor has the sequence 'B'"), "{error}");
}

#[test]
fn a_missing_shard_is_named() {
    let folder = copy_of("clip_gelu");
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(load(&folder).unwrap_err().contains("model-00002-of-00002.safetensors: no such file"));
}

#[test]
fn configs_that_do_not_fit_name_their_key() {
    let error = refused_text("clip_quick_gelu", "config.json", |s| s.replace("\"clip\"", "\"blip\""));
    assert!(error.contains("config.json") && error.contains("model_type = 'blip'"), "{error}");
    let error = refused_text("clip_quick_gelu", "config.json", |s| s.replace("quick_gelu", "relu"));
    assert!(error.contains("config.json") && error.contains("relu"), "{error}");
    let error = refused_text("clip_quick_gelu", "preprocessor_config.json", |s| {
        s.replace("\"height\": 64", "\"height\": 60")
    });
    assert!(
        error.contains("preprocessor_config.json") && error.contains("the tower reads 64 by 64"),
        "{error}"
    );
    let error = refused_text("open_clip", "open_clip_config.json", |s| {
        s.replace("\"layers\": 2,", "\"layers\": 2, \"pool_type\": \"avg\",")
    });
    assert!(error.contains("open_clip_config.json") && error.contains("pool_type"), "{error}");
    let error = refused_text("clip_quick_gelu", "config.json", |s| s[..s.len() / 2].to_owned());
    assert!(error.contains("config.json") && error.contains("EOF"), "{error}");
}

#[test]
fn a_tokenizer_that_does_not_fit_the_tower_is_refused() {
    let error = refused_text("clip_words", "tokenizer.json", |s| {
        s.replace("\"post_processor\": {", "\"post_processor\": null, \"unused\": {")
    });
    assert!(error.contains("tokenizer.json"), "{error}");
    let folder = copy_of("clip_quick_gelu");
    std::fs::remove_file(folder.path().join("merges.txt")).unwrap();
    assert!(load(&folder).unwrap_err().contains("merges.txt: no such file"));
}

/// Edits a JSON file of a copied checkpoint, which is created if it is missing.
fn edit_json(folder: &TempDir, file: &str, edit: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut json = std::fs::read(&path).map_or_else(|_| json!({}), |b| serde_json::from_slice(&b).unwrap());
    edit(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
}

/// A JSON file, and how to edit it.
type Edit<'a> = (&'static str, &'a dyn Fn(&mut Value));

/// The last token of a short prompt, with the files of the SigLIP 2 checkpoint edited.
fn siglip_2_pads_with(edits: &[Edit]) -> Result<u32, String> {
    let folder = copy_of("siglip2");
    for (file, edit) in edits {
        edit_json(&folder, file, edit);
    }
    load(&folder).map(|model| *model.tokenizer().encode("a").unwrap().last().unwrap())
}

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

fn without_pad_token(config: &mut Value) {
    config.as_object_mut().unwrap().remove("pad_token");
}

fn padding(json: &mut Value, id: u32, token: &str) {
    json["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
                              "pad_id": id, "pad_type_id": 0, "pad_token": token });
}

#[test]
fn the_pad_token_is_that_of_the_tokenizers_files() {
    let no_token: Edit = (TOKENIZER_CONFIG, &without_pad_token);
    assert_eq!(siglip_2_pads_with(&[]), Ok(0));
    let object: &dyn Fn(&mut Value) =
        &|config| config["pad_token"] = json!({ "__type": "AddedToken", "content": "<pad>" });
    assert_eq!(siglip_2_pads_with(&[(TOKENIZER_CONFIG, object)]), Ok(0));
    let map: &dyn Fn(&mut Value) = &|map| map["pad_token"] = json!({ "content": "<mask>" });
    assert_eq!(siglip_2_pads_with(&[no_token, ("special_tokens_map.json", map)]), Ok(4));
    let of_tokenizer: &dyn Fn(&mut Value) = &|json| padding(json, 4, "<mask>");
    assert_eq!(siglip_2_pads_with(&[no_token, ("tokenizer.json", of_tokenizer)]), Ok(4));
    let same: &dyn Fn(&mut Value) = &|config| config["text_config"]["pad_token_id"] = json!(0);
    assert_eq!(siglip_2_pads_with(&[("config.json", same)]), Ok(0));
    // `transformers` writes SigLIP 1's token when it saves a checkpoint again, and does not read it.
    let default: &dyn Fn(&mut Value) = &|config| config["text_config"]["pad_token_id"] = json!(1);
    assert_eq!(siglip_2_pads_with(&[("config.json", default)]), Ok(0));
}

#[test]
fn a_pad_token_is_not_guessed() {
    let no_token: Edit = (TOKENIZER_CONFIG, &without_pad_token);
    // The value that `transformers` writes by default says nothing about the tokenizer.
    let default: &dyn Fn(&mut Value) = &|config| config["text_config"]["pad_token_id"] = json!(1);
    for edits in [vec![no_token], vec![no_token, ("config.json", default)]] {
        let error = siglip_2_pads_with(&edits).unwrap_err();
        assert!(error.contains("tokenizer_config.json: the pad token is unknown"), "{error}");
    }
    let absent: &dyn Fn(&mut Value) = &|config| config["pad_token"] = json!("[PAD]");
    let error = siglip_2_pads_with(&[(TOKENIZER_CONFIG, absent)]).unwrap_err();
    assert!(error.contains("pad_token = '[PAD]', which is not a token of the tokenizer"), "{error}");
    let malformed: &dyn Fn(&mut Value) = &|config| config["pad_token"] = json!(0);
    let error = siglip_2_pads_with(&[(TOKENIZER_CONFIG, malformed)]).unwrap_err();
    assert!(error.contains("pad_token = 0; expected a string"), "{error}");
    let left: &dyn Fn(&mut Value) = &|config| config["padding_side"] = json!("left");
    let error = siglip_2_pads_with(&[(TOKENIZER_CONFIG, left)]).unwrap_err();
    assert!(error.contains("tokenizer_config.json: padding_side = \"left\"; expected \"right\""), "{error}");
    let negative: &dyn Fn(&mut Value) = &|config| config["text_config"]["pad_token_id"] = json!(-1);
    let error = siglip_2_pads_with(&[("config.json", negative)]).unwrap_err();
    assert!(error.contains("config.json: text_config.pad_token_id = -1; expected a token number"), "{error}");
}

#[test]
fn pad_tokens_that_contradict_each_other_are_refused() {
    let other: &dyn Fn(&mut Value) = &|config| config["text_config"]["pad_token_id"] = json!(2);
    let error = siglip_2_pads_with(&[("config.json", other)]).unwrap_err();
    assert!(
        error.contains(
            "config.json: text_config.pad_token_id = 2 says that texts are padded with token 2, but pad_token = '<pad>' \
             in tokenizer_config.json says with token 0"
        ),
        "{error}"
    );
    let other: &dyn Fn(&mut Value) = &|json| padding(json, 4, "<mask>");
    let error = siglip_2_pads_with(&[("tokenizer.json", other)]).unwrap_err();
    assert!(error.contains("tokenizer_config.json: pad_token = '<pad>'"), "{error}");
    let other: &dyn Fn(&mut Value) = &|json| padding(json, 1, "<pad>");
    let error = siglip_2_pads_with(&[("tokenizer.json", other)]).unwrap_err();
    assert!(error.contains("tokenizer.json: padding.pad_token = '<pad>'"), "{error}");
}

#[test]
fn null_crop_keys_mean_a_plain_resize() {
    let file = "preprocessor_config.json";
    let folder = copy_of("siglip2");
    let with_nulls = load(&folder).unwrap();
    edit_json(&folder, file, |json| {
        let keys = json.as_object_mut().unwrap();
        for key in ["crop_size", "do_center_crop"] {
            assert_eq!(keys.remove(key), Some(Value::Null));
        }
    });
    assert_eq!(load(&folder).unwrap().preprocess(), with_nulls.preprocess());
}

#[test]
fn a_saved_model_loads_as_the_same_model() {
    let config: ClipConfig =
        serde_json::from_slice(&std::fs::read(golden("clip_words").join("config.json")).unwrap()).unwrap();
    let tokenizer = std::fs::read_to_string(golden("clip_words").join("tokenizer.json")).unwrap();
    let vars = VarMap::new();
    let clip = Clip::trainable(&config, &vars, 5, &Device::Cpu).unwrap();
    let spec = ImageSpec { height: 32, width: 32, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] };
    let preprocess = Preprocess::squashing(spec.clone());
    let folder = tempfile::tempdir().unwrap();
    save_clip(folder.path(), &config, &preprocess, &tokenizer, &vars).unwrap();
    let model = load(&folder).unwrap();
    assert_eq!(model.preprocess(), &preprocess);
    let pixels = (0..2 * 32 * 32 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let frames = Frames::from_pixels(2, 32, 32, pixels).unwrap();
    let patches = sayso_rewards::ops::patchify(&frames, 0..2, &spec, 8, DType::F32, &Device::Cpu).unwrap();
    let want = sayso_rewards::towers::unit_rows(&clip.embed_images(&patches).unwrap()).unwrap();
    let want = want.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let got = model.embed_frames(&frames).unwrap();
    assert!(got.values().iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5));
}
