//! Everything that the tasks can say, in one list, and the closed vocabulary that it needs.

use std::collections::BTreeSet;
use std::ops::Range;

use sayso_envs::TaskSpec;
use sayso_envs::language::Statement;
use serde_json::{Value, json};

/// Marks of the tokenizer, in the order of their ids.
const MARKS: [&str; 4] = ["[UNK]", "<|startoftext|>", "<|pad|>", "<|endoftext|>"];

/// The statements of all tasks, their axes, and their words.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// All statements; those of one task side by side.
    pub statements: Vec<Statement>,
    /// Where each task's statements stand.
    pub tasks: Vec<Range<usize>>,
    /// Where each task's landmarks stand among those of all tasks.
    pub landmarks: Vec<Range<usize>>,
    /// Where each axis's statements stand, in the order of the scale.
    pub axes: Vec<Range<usize>>,
    words: Vec<String>,
}

impl Catalogue {
    /// Id of the mark that every sentence starts with.
    pub const START: u32 = 1;
    /// Id of the mark that every sentence ends with.
    pub const END: u32 = 3;

    /// Gathers what the tasks say.
    pub fn new(tasks: &[&TaskSpec]) -> Self {
        let mut catalogue = Self::default();
        let mut words = BTreeSet::new();
        for task in tasks {
            let first = catalogue.statements.len();
            for (statement_idx, statement) in task.statements.iter().enumerate() {
                let idx = first + statement_idx;
                let continues =
                    statement_idx > 0 && task.statements[statement_idx - 1].axis == statement.axis;
                match catalogue.axes.last_mut() {
                    Some(axis) if continues && statement.axis.is_some() => axis.end = idx + 1,
                    _ if statement.axis.is_some() => catalogue.axes.push(idx..idx + 1),
                    _ => {}
                }
                let sentences = statement.phrasings.iter();
                words.extend(sentences.flat_map(|s| s.split_whitespace()).map(str::to_lowercase));
                catalogue.statements.push(statement.clone());
            }
            catalogue.tasks.push(first..catalogue.statements.len());
            let first_landmark = catalogue.n_landmarks();
            catalogue.landmarks.push(first_landmark..first_landmark + task.landmark_names.len());
        }
        catalogue.words = words.into_iter().collect();
        catalogue
    }

    /// Number of tokens, marks included.
    pub fn vocab_size(&self) -> usize {
        MARKS.len() + self.words.len()
    }

    /// Number of landmarks of all tasks.
    pub fn n_landmarks(&self) -> usize {
        self.landmarks.last().map_or(0, |range| range.end)
    }

    /// Longest sentence in tokens, marks included.
    pub fn max_tokens(&self) -> usize {
        let sentences = self.statements.iter().flat_map(|s| &s.phrasings);
        sentences.map(|s| s.split_whitespace().count() + 2).max().unwrap_or(2)
    }

    /// Tokens of a sentence of the catalogue, marks included; other words become `[UNK]`.
    pub fn encode(&self, sentence: &str) -> Vec<u32> {
        let id = |word: &str| {
            let found = self.words.binary_search(&word.to_lowercase());
            found.map_or(0, |word_idx| (MARKS.len() + word_idx) as u32)
        };
        std::iter::once(Self::START).chain(sentence.split_whitespace().map(id)).chain([Self::END]).collect()
    }

    /// `tokenizer.json`: lower case, punctuation dropped, one token a word.
    pub fn tokenizer_json(&self) -> Value {
        let tokens = MARKS.iter().copied().chain(self.words.iter().map(String::as_str));
        let vocab: serde_json::Map<String, Value> =
            tokens.enumerate().map(|(id, token)| (token.to_owned(), json!(id))).collect();
        let mark = |id: usize| {
            json!({"id": id, "content": MARKS[id], "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        let special = |id: usize| json!({"id": MARKS[id], "ids": [id], "tokens": [MARKS[id]]});
        let at = |id: usize| json!({"SpecialToken": {"id": MARKS[id], "type_id": 0}});
        let sentence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": (0..MARKS.len()).map(mark).collect::<Vec<_>>(),
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Lowercase"},
                {"type": "Replace", "pattern": {"Regex": "[.,;:!?\"]"}, "content": " "},
            ]},
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [at(1), sentence("A"), at(3)],
                "pair": [at(1), sentence("A"), at(3), sentence("B"), at(3)],
                "special_tokens": {MARKS[1]: special(1), MARKS[3]: special(3)},
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": MARKS[0]},
        })
    }
}
