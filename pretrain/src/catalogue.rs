//! The captions of all tasks in one list, and their closed vocabulary.

use std::collections::BTreeSet;
use std::ops::Range;

use sayso_envs::TaskSpec;
use sayso_envs::language::Caption;
use serde_json::{Value, json};

/// Special tokens of the tokenizer, in the order of their ids.
const SPECIAL_TOKENS: [&str; 4] = ["[UNK]", "<|startoftext|>", "<|pad|>", "<|endoftext|>"];

/// Context of the text tower, tokens: that of CLIP.
pub const CONTEXT: usize = 77;

/// The captions of all tasks, their axes, and their words.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// All captions; those of one task are contiguous.
    pub captions: Vec<Caption>,
    /// Range of each task's captions.
    pub tasks: Vec<Range<usize>>,
    /// Range of each task's landmarks among those of all tasks.
    pub landmarks: Vec<Range<usize>>,
    /// Range of each axis's captions, in the order of its levels.
    pub axes: Vec<Range<usize>>,
    words: Vec<String>,
}

impl Catalogue {
    /// Id of the start token of a sentence.
    pub const START: u32 = 1;
    /// Id of the end token of a sentence.
    pub const END: u32 = 3;

    /// Collects the captions, axes, landmarks and words of the tasks.
    pub fn new(tasks: &[&TaskSpec]) -> Self {
        let mut catalogue = Self::default();
        let mut words = BTreeSet::new();
        for task in tasks {
            let first = catalogue.captions.len();
            for (caption_idx, caption) in task.captions.iter().enumerate() {
                let idx = first + caption_idx;
                let continues = caption_idx > 0 && task.captions[caption_idx - 1].axis == caption.axis;
                match catalogue.axes.last_mut() {
                    Some(axis) if continues && caption.axis.is_some() => axis.end = idx + 1,
                    _ if caption.axis.is_some() => catalogue.axes.push(idx..idx + 1),
                    _ => {}
                }
                let sentences = caption.phrasings.iter();
                words.extend(sentences.flat_map(|s| s.split_whitespace()).map(str::to_lowercase));
                catalogue.captions.push(caption.clone());
            }
            catalogue.tasks.push(first..catalogue.captions.len());
            let first_landmark = catalogue.n_landmarks();
            catalogue.landmarks.push(first_landmark..first_landmark + task.landmark_names.len());
        }
        catalogue.words = words.into_iter().collect();
        catalogue
    }

    /// The words that the tokenizer knows, in alphabetical order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Number of tokens, special tokens included.
    pub fn vocab_size(&self) -> usize {
        SPECIAL_TOKENS.len() + self.words.len()
    }

    /// Number of landmarks of all tasks.
    pub fn n_landmarks(&self) -> usize {
        self.landmarks.last().map_or(0, |range| range.end)
    }

    /// Tokens of a sentence, start and end tokens included; words outside the vocabulary become `[UNK]`.
    pub fn encode(&self, sentence: &str) -> Vec<u32> {
        let id = |word: &str| {
            let found = self.words.binary_search(&word.to_lowercase());
            found.map_or(0, |word_idx| (SPECIAL_TOKENS.len() + word_idx) as u32)
        };
        std::iter::once(Self::START).chain(sentence.split_whitespace().map(id)).chain([Self::END]).collect()
    }

    /// Contents of `tokenizer.json`: lower case, punctuation removed, one token per word.
    pub fn tokenizer_json(&self) -> Value {
        let tokens = SPECIAL_TOKENS.iter().copied().chain(self.words.iter().map(String::as_str));
        let vocab: serde_json::Map<String, Value> =
            tokens.enumerate().map(|(id, token)| (token.to_owned(), json!(id))).collect();
        let added_token = |id: usize| {
            json!({"id": id, "content": SPECIAL_TOKENS[id], "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        let special =
            |id: usize| json!({"id": SPECIAL_TOKENS[id], "ids": [id], "tokens": [SPECIAL_TOKENS[id]]});
        let at = |id: usize| json!({"SpecialToken": {"id": SPECIAL_TOKENS[id], "type_id": 0}});
        let sentence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": (0..SPECIAL_TOKENS.len()).map(added_token).collect::<Vec<_>>(),
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Lowercase"},
                {"type": "Replace", "pattern": {"Regex": "[.,;:!?\"]"}, "content": " "},
            ]},
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [at(1), sentence("A"), at(3)],
                "pair": [at(1), sentence("A"), at(3), sentence("B"), at(3)],
                "special_tokens": {SPECIAL_TOKENS[1]: special(1), SPECIAL_TOKENS[3]: special(3)},
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": SPECIAL_TOKENS[0]},
        })
    }
}
