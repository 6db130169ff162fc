//! Converts prompts to token sequences with the checkpoint's tokenizer.

use std::collections::HashMap;

use sayso_sim::names;
use serde_json::{Value, json};
use tokenizers::{ModelWrapper, Tokenizer};

use crate::files::ModelFiles;
use crate::padding::pad_token;
use crate::{Result, RewardError};

/// A checkpoint's tokenizer, with the context length of its text tower.
#[derive(Clone, Debug)]
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    context_length: usize,
    /// Token that pads every sequence to the context length; `None` if sequences have different lengths.
    pad: Option<u32>,
    /// Token of words outside a closed vocabulary; `None` if the vocabulary is open.
    unknown: Option<u32>,
}

/// How token sequences end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// With an end token, which every sequence must have (CLIP).
    Token(u32),
    /// Padded to the context length with the tokenizer's pad token (SigLIP).
    Padding {
        /// `text_config.pad_token_id` of the checkpoint's `config.json`; another one of the tokenizer is an error.
        configured: Option<u32>,
    },
    /// As the tokenizer ends them; the tower takes its output at the token with the highest number (CLIP, early
    /// configurations).
    Highest,
}

/// Checks what templates of a post-processor refer to: tokenizers 0.23 panics where one refers to a special token that it lacks, or
/// that of one sequence to a second one.
fn check_templates(json: &Value) -> Result<(), String> {
    if json["type"] == "TemplateProcessing" {
        for (key, sequences) in [("single", &["A"][..]), ("pair", &["A", "B"])] {
            for piece in json[key].as_array().into_iter().flatten() {
                let id = |kind: &str| piece[kind]["id"].as_str();
                if let Some(id) = id("SpecialToken")
                    && json["special_tokens"].get(id).is_none()
                {
                    return Err(format!("a template of its post-processor lacks the special token '{id}'"));
                }
                if let Some(id) = id("Sequence").filter(|id| !sequences.contains(id)) {
                    return Err(format!(
                        "the template '{key}' of its post-processor has the sequence '{id}'"
                    ));
                }
            }
        }
    }
    match json {
        Value::Array(values) => values.iter().try_for_each(check_templates),
        Value::Object(values) => values.values().try_for_each(check_templates),
        _ => Ok(()),
    }
}

/// Checks the merges of a byte-pair encoding: tokenizers 0.23 panics where a merged token is longer than every known one, or its
/// second part is shorter than the prefix that is cut off.
fn check_merges(model: &Value) -> Result<(), String> {
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    for merge in model["merges"].as_array().into_iter().flatten() {
        let parts = match (merge.as_str(), merge.as_array().map(Vec::as_slice)) {
            (Some(text), _) => text.split_once(' '),
            (None, Some([first, second])) => first.as_str().zip(second.as_str()),
            (None, _) => None,
        };
        let Some((first, second)) = parts else { return Err(format!("has the merge {merge}")) };
        let merged = second.strip_prefix(prefix).map(|rest| format!("{first}{rest}"));
        if merged.is_none_or(|merged| model["vocab"].get(merged).is_none()) {
            return Err(format!("has the merge '{first} {second}', whose token is not in its vocabulary"));
        }
    }
    Ok(())
}

/// The tokenizer of a description in the library's own format, if the library does not panic on it.
fn tokenizer_of(mut json: Value) -> Result<Tokenizer, tokenizers::Error> {
    check_merges(&json["model"])?;
    // Of no use here, and tokenizers 0.23 panics on a damaged one.
    if let Some(json) = json.as_object_mut() {
        json.remove("decoder");
    }
    let tokenizer = Tokenizer::from_bytes(serde_json::to_vec(&json)?)?;
    // As it was read, which the library does whatever the name of its type.
    check_templates(&serde_json::to_value(tokenizer.get_post_processor())?)?;
    Ok(tokenizer)
}

impl PromptTokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` with `merges.txt`. The pad token is read from `padding` of `tokenizer.json`,
    /// `pad_token` of `tokenizer_config.json`, or else of `special_tokens_map.json`.
    ///
    /// # Errors
    /// If the files are missing or damaged, have tokens outside the text tower's vocabulary, or do not agree on a pad token.
    pub fn load(
        files: &ModelFiles,
        vocab_size: usize,
        context_length: usize,
        ending: Ending,
    ) -> Result<Self> {
        let (file, mut tokenizer) = if let Some(bytes) = files.get("tokenizer.json")? {
            let json = serde_json::from_slice::<Value>(&bytes)
                .map_err(|error| files.error("tokenizer.json", error))?;
            let tokenizer = tokenizer_of(json).map_err(|error| files.error("tokenizer.json", error))?;
            ("tokenizer.json", tokenizer)
        } else if let Some(vocab) = files.json::<HashMap<String, u32>>("vocab.json")? {
            let merges = files.require("merges.txt")?;
            let tokenizer =
                std::str::from_utf8(&merges).map_err(|error| files.error("merges.txt", error)).and_then(
                    |merges| clip_bpe(&vocab, merges).map_err(|error| files.error("vocab.json", error)),
                )?;
            ("vocab.json", tokenizer)
        } else {
            return Err(files.error("tokenizer.json", "no such file, nor vocab.json with merges.txt"));
        };
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or_default() as usize;
        if highest >= vocab_size {
            let reason =
                format!("has a token numbered {highest}, but the text tower knows {vocab_size} tokens");
            return Err(files.error(file, reason));
        }
        let pad = match ending {
            Ending::Padding { configured } => Some(pad_token(files, &tokenizer, configured)?),
            Ending::Token(_) | Ending::Highest => None,
        };
        if let Some(pad) = pad
            && pad as usize >= vocab_size
        {
            let reason = format!("pads with token {pad}, but the text tower knows {vocab_size} tokens");
            return Err(files.error(file, reason));
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| files.error(file, error))?;
        let unknown = match tokenizer.get_model() {
            ModelWrapper::WordLevel(words) => tokenizer.token_to_id(&words.unk_token),
            _ => None,
        };
        let tokenizer = Self { tokenizer, context_length, pad, unknown };
        let sample = tokenizer.raw_ids("a").map_err(|error| files.error(file, error))?;
        if let Ending::Token(token) = ending
            && !sample.contains(&token)
        {
            let reason = format!(
                "adds no end token {token}, which the text tower needs (the tokens of 'a' are {sample:?})"
            );
            return Err(files.error(file, reason));
        }
        Ok(tokenizer)
    }

    /// Tokens of a prompt, including start and end tokens and padding.
    ///
    /// # Errors
    /// If it is longer than the context, or has words outside a closed vocabulary.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let tokenizer_error = |error: tokenizers::Error| RewardError::OutOfRange {
            field: "prompt".into(),
            got: format!("'{prompt}'"),
            expected: format!("a text that the tokenizer can encode ({error})"),
        };
        let unknown = self.unknown_words(prompt).map_err(tokenizer_error)?;
        if !unknown.is_empty() {
            return Err(self.unknown_error(prompt, unknown));
        }
        let mut ids = self.raw_ids(prompt).map_err(tokenizer_error)?;
        if ids.len() > self.context_length {
            return Err(RewardError::PromptTooLong {
                prompt: prompt.into(),
                n_tokens: ids.len(),
                context_length: self.context_length,
                n_cut: ids.len() - self.context_length,
            });
        }
        if let Some(pad) = self.pad {
            ids.resize(self.context_length, pad);
        }
        Ok(ids)
    }

    /// The words of a closed vocabulary, sorted; `None` if the vocabulary is open.
    pub fn closed_vocabulary(&self) -> Option<Vec<String>> {
        self.unknown?;
        let mut words: Vec<String> = self.tokenizer.get_vocab(false).into_keys().collect();
        words.sort_unstable();
        Some(words)
    }

    fn raw_ids(&self, prompt: &str) -> Result<Vec<u32>, tokenizers::Error> {
        Ok(self.tokenizer.encode(prompt, true)?.get_ids().to_vec())
    }

    fn unknown_words(&self, prompt: &str) -> Result<Vec<String>, tokenizers::Error> {
        let Some(unknown) = self.unknown else { return Ok(Vec::new()) };
        let encoding = self.tokenizer.encode(prompt, false)?;
        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
        let mut words: Vec<String> = places
            .filter(|&(&id, _)| id == unknown)
            .map(|(_, &(start, end))| prompt.get(start..end).unwrap_or(prompt).to_owned())
            .collect();
        words.dedup();
        Ok(words)
    }

    fn unknown_error(&self, prompt: &str, words: Vec<String>) -> RewardError {
        let known = self.closed_vocabulary().unwrap_or_default();
        let nearest = |word: &String| names::nearest(word, known.iter().map(String::as_str));
        let mut suggestions: Vec<String> = words.iter().filter_map(nearest).map(str::to_owned).collect();
        suggestions.dedup();
        RewardError::UnknownWords { prompt: prompt.into(), words, suggestions, n_known: known.len() }
    }
}

/// CLIP's byte-pair encoding for checkpoints without `tokenizer.json`: lower case, byte level, words ending in `</w>`,
/// between a start and an end token.
fn clip_bpe(vocab: &HashMap<String, u32>, merges: &str) -> Result<Tokenizer, tokenizers::Error> {
    const START: &str = "<|startoftext|>";
    const END: &str = "<|endoftext|>";
    const WORDS: &str =
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let id = |token: &str| vocab.get(token).copied().ok_or_else(|| format!("has no token '{token}'"));
    let (start_id, end_id) = (id(START)?, id(END)?);
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()).collect();
    let special_token = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let description = json!({
        "version": "1.0",
        "added_tokens": [special_token(start_id, START), special_token(end_id, END)],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ] },
        "post_processor": { "type": "RobertaProcessing", "sep": [END, end_id], "cls": [START, start_id],
                            "trim_offsets": false, "add_prefix_space": false },
        "model": { "type": "BPE", "unk_token": END, "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                   "fuse_unk": false, "vocab": vocab, "merges": merges },
    });
    tokenizer_of(description)
}
