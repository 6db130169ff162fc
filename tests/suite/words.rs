//! The project's vocabulary: words that have a better term here are not used.

use std::fs;
use std::path::{Path, PathBuf};

use crate::metadata::root;

/// Words and phrases that are not used, with the terms that are. Identifiers and file names are split into their words.
const TERMS: [(&[&str], &str); 20] = [
    (&["judge", "judges", "judged", "judging"], "reward model, reward worker, reward cameras, scored"),
    (&["picture", "pictures"], "frame (rendered view), image (file or array)"),
    (
        &["draw", "draws", "drew", "drawn", "drawing", "drawings"],
        "renders (of a renderer), samples (at random)",
    ),
    (&["redraw", "redraws", "redrawn"], "renders again"),
    (&["card", "cards", "graphics processor", "graphics processors"], "GPU"),
    (&["told"], "instruction, given, reported"),
    (&["what came out", "came out of", "came out as"], "results, saved configuration"),
    (&["mark", "marks"], "levels (of an axis), tokens (of a tokenizer)"),
    (&["exam", "exams", "examine", "examines", "examined", "examining"], "evaluation, evaluate"),
    (&["grade", "grades", "graded", "grading"], "evaluate"),
    (&["expert", "experts"], "scripted policy"),
    (&["moment", "moments"], "recorded step"),
    (&["crew"], "worker threads"),
    (&["scatter", "scatters", "scattered"], "sample_pretraining_state, sampled"),
    (&["whole file", "whole files", "files whole"], "atomic write"),
    (&["finite numbers"], "is NaN or infinite"),
    (&["hear", "hears"], "training callback, is called"),
    (&["held"], "hold_last, kept"),
    (&["score use"], "schedule"),
    (&["who judges", "who acts", "who looks"], "reward model, policy, cameras"),
];

/// Phrases of machine learning and names of other programs that contain such words.
const EXEMPT: [&str; 4] = ["model card", "model cards", "held out", "pytest mark"];

/// Uses that are right: part of a path, the word, and why.
const ALLOWED: [(&str, &str, &str); 32] = [
    ("docs/adr/", "", "decisions keep the words of their time"),
    ("CHANGELOG.md", "", "history"),
    ("tests/suite/words.rs", "", "the list itself"),
    ("src/config/renamed.rs", "judge", "the old key that the error names"),
    ("src/config/renamed.rs", "pictures", "the old key that the error names"),
    ("tests/suite/bad_input.rs", "judge", "the old key that the test gives"),
    ("src/config/renamed.rs", "held", "the old value that the error names"),
    ("src/config/renamed.rs", "score use", "the old key that the error names"),
    ("src/cli/failure.rs", "pictures", "the old flag that the error names"),
    ("agents/src/checkpoint/mod.rs", "score use", "the old key that the error names"),
    ("tests/suite/bad_input.rs", "held", "the old value that the test gives"),
    ("tests/suite/bad_input.rs", "pictures", "the old flag that the test gives"),
    ("pretrain/src/saved.rs", "pictures", "the old key that the error names"),
    ("pretrain/src/card.rs", "card", "model card is the standard term"),
    ("pretrain/src/lib.rs", "card", "the module of the model card"),
    ("src/cli/pretrain.rs", "card", "model card"),
    ("tests/suite/tools.rs", "card", "model card"),
    ("src/progress.rs", "draw", "a name of indicatif's"),
    ("src/report/charts.rs", "draw", "names of plotters'"),
    ("src/report/charts.rs", "drawing", "a name of plotters'"),
    ("rewards/src/checkpoint/pickle.rs", "mark", "the opcode MARK of pickle"),
    ("rewards/src/checkpoint/pickle.rs", "marks", "the opcode MARK of pickle"),
    ("rewards/src/nn/adam.rs", "moments", "Adam's moments of the gradient"),
    ("rewards/src/nn/init.rs", "moments", "moments of a distribution"),
    ("rewards/src/ops/norm.rs", "moments", "moments of a distribution"),
    ("rewards/src/towers/params.rs", "moments", "moments of a distribution"),
    ("agents/src/normalize.rs", "moments", "moments of a distribution"),
    ("agents/src/ppo/mod.rs", "moments", "moments of a distribution"),
    ("agents/src/checkpoint/state.rs", "moments", "Adam's moments of the gradient"),
    ("agents/src/checkpoint/mod.rs", "moments", "Adam's moments, moments of a distribution"),
    ("pretrain/src/trainer.rs", "moments", "Adam's moments of the gradient"),
    ("python/tests/examples/test_cleanrl_ppo.py", "moments", "moments of a distribution"),
];

/// Text files, by their extensions or their names.
const EXTENSIONS: [&str; 8] = ["rs", "wgsl", "py", "pyi", "md", "toml", "sh", "css"];
const NAMES: [&str; 2] = ["run", "nvcc-shim"];

/// Folders of generated files.
const SKIPPED: [&str; 10] = [
    ".git",
    ".pytest_cache",
    ".venv",
    "__pycache__",
    "node_modules",
    "pretrained",
    "rollout",
    "runs",
    "target",
    "venv",
];

#[test]
fn words_with_a_better_term_are_not_used() {
    let mut found = Vec::new();
    for path in text_files(&root()) {
        let place = place_of(&path);
        let is_allowed = |word: &str| {
            ALLOWED.iter().any(|(path, it, _)| place.starts_with(path) && ["", word].contains(it))
        };
        for Use { line, word, term } in uses(&place, &read(&path)) {
            if !is_allowed(word) {
                found.push(format!("{place}:{line}: '{word}', better: {term}"));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} uses of words that have a better term; use it, or allow the place in {}:\n{}",
        found.len(),
        file!(),
        found.join("\n")
    );
}

#[test]
fn every_allowed_place_is_needed() {
    for (place, word, _) in ALLOWED {
        let path = root().join(place);
        assert!(path.exists(), "{place} is gone");
        if !word.is_empty() {
            let is_used = uses(place, &read(&path)).iter().any(|it| it.word == word);
            assert!(is_used, "{place} no longer uses '{word}'");
        }
    }
}

#[test]
fn words_are_found_in_identifiers_and_across_lines_and_exempt_phrases_are_not() {
    let found = |text: &str| uses("", text).iter().map(|it| (it.line, it.word)).collect::<Vec<_>>();
    assert_eq!(found("fn judge_frames(a: JudgeConfig)"), [(1, "judge"), (1, "judge")]);
    assert_eq!(found("GPUCard\nWHOLE_FILE"), [(1, "card"), (2, "whole file")]);
    assert_eq!(found("a graphics\n/// processor"), [(1, "graphics processor")]);
    assert_eq!(found("a model card, held-out data, @pytest.mark.slow, landmarks, redrawing"), []);
}

/// A use of a word that has a better term.
struct Use {
    line: usize,
    word: &'static str,
    term: &'static str,
}

/// The uses in a text and in its path, which counts as line 0.
fn uses(place: &str, text: &str) -> Vec<Use> {
    let lines = std::iter::once(place).chain(text.lines()).enumerate();
    let words: Vec<(usize, String)> =
        lines.flat_map(|(line, text)| words(text).into_iter().map(move |word| (line, word))).collect();
    let begins = |start: usize, phrase: &str| {
        let mut parts = phrase.split(' ').enumerate();
        parts.all(|(offset, part)| words.get(start + offset).is_some_and(|(_, word)| word == part))
    };
    let is_exempt = |at: usize| {
        EXEMPT.iter().any(|phrase| {
            let starts = at.saturating_sub(phrase.split(' ').count() - 1)..=at;
            starts.into_iter().any(|start| begins(start, phrase))
        })
    };
    let mut found = Vec::new();
    for (at, &(line, _)) in words.iter().enumerate() {
        for (forms, term) in TERMS {
            if let Some(word) = forms.iter().find(|form| begins(at, form))
                && !is_exempt(at)
            {
                found.push(Use { line, word, term });
            }
        }
    }
    found
}

/// The words of a text in lower case; `a_b`, `aB` and `ABc` are two words each.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (idx, &c) in chars.iter().enumerate() {
        let last = idx.checked_sub(1).map_or(' ', |last| chars[last]);
        let next_is_lower = chars.get(idx + 1).is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && (last.is_lowercase() || (last.is_uppercase() && next_is_lower));
        if begins || !c.is_alphabetic() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphabetic(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn text_files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("readable folder").flatten().collect();
    entries.sort_by_key(fs::DirEntry::path);
    let mut files = Vec::new();
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                files.extend(text_files(&path));
            }
        } else if NAMES.contains(&name.as_str())
            || EXTENSIONS.iter().any(|extension| path.extension().is_some_and(|it| it == *extension))
        {
            files.push(path);
        }
    }
    files
}

fn place_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a text file")
}
