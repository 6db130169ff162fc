//! The project's vocabulary: words that have a better term here do not come back.

use std::fs;
use std::path::Path;

use crate::metadata::root;

/// Words that are not used, with the terms that are. Identifiers are split into their words first.
const WORDS: [(&[&str], &str); 13] = [
    (&["judge", "judges", "judged", "judging"], "reward model, reward worker, reward cameras, scored"),
    (&["picture", "pictures"], "frame (rendered view), image (file or array)"),
    (
        &["draw", "draws", "drew", "drawn", "drawing", "drawings"],
        "renders (of a renderer), samples (at random)",
    ),
    (&["card", "cards"], "GPU"),
    (&["told"], "instruction, given, reported"),
    (&["mark", "marks"], "levels (of an axis), tokens (of a tokenizer)"),
    (&["exam", "exams", "examine", "examines", "examined", "examining"], "evaluation, evaluate"),
    (&["grade", "grades", "graded", "grading"], "evaluate"),
    (&["expert", "experts"], "scripted policy"),
    (&["moment", "moments"], "recorded step"),
    (&["crew"], "worker threads"),
    (&["scatter", "scatters", "scattered"], "sample_pretraining_state, sampled"),
    (&["hears"], "training callback, is called"),
];

/// Phrases that are not used, with the terms that are.
const PHRASES: [(&str, &str); 7] = [
    ("graphics processor", "GPU"),
    ("came out", "results, saved configuration"),
    ("whole file", "atomic write"),
    ("files whole", "atomic write"),
    ("finite numbers", "is NaN or infinite"),
    ("score use", "schedule"),
    (" held ", "hold_last, kept"),
];

/// Uses that are right: part of a path, the word, and why.
const ALLOWED: [(&str, &str, &str); 23] = [
    ("docs/adr/", "", "decisions keep the words of their time"),
    ("CHANGELOG.md", "", "history"),
    ("tests/suite/words.rs", "", "the list itself"),
    ("src/config/renamed.rs", "judge", "the old key that the error names"),
    ("src/config/renamed.rs", "pictures", "the old key that the error names"),
    ("tests/suite/bad_input.rs", "judge", "the old key that the test gives"),
    ("pretrain/src/saved.rs", "pictures", "the old key that the error names"),
    ("pretrain/src/card.rs", "card", "model card is the standard term"),
    ("pretrain/src/lib.rs", "card", "the module of the model card"),
    ("src/cli/pretrain.rs", "card", "model card"),
    ("tests/suite/tools.rs", "card", "model card"),
    ("src/progress.rs", "draw", "a name of indicatif's"),
    ("src/report/charts.rs", "draw", "names of plotters'"),
    ("src/report/charts.rs", "drawing", "a name of plotters'"),
    ("rewards/src/nn/adam.rs", "moments", "Adam's moments of the gradient"),
    ("rewards/src/nn/init.rs", "moments", "moments of a distribution"),
    ("rewards/src/ops/norm.rs", "moments", "moments of a distribution"),
    ("rewards/src/towers/params.rs", "moments", "moments of a distribution"),
    ("agents/src/normalize.rs", "moments", "moments of a distribution"),
    ("agents/src/learner.rs", "moments", "Adam's moments, moments of a distribution"),
    ("agents/src/checkpoint/mod.rs", "moments", "Adam's moments, moments of a distribution"),
    ("pretrain/src/trainer.rs", "moments", "Adam's moments of the gradient"),
    ("python/tests/examples/test_cleanrl_ppo.py", "moments", "moments of a distribution"),
];

const EXTENSIONS: [&str; 9] = ["rs", "wgsl", "py", "pyi", "md", "toml", "sh", "css", "run"];

/// Folders that no one wrote.
const SKIPPED: [&str; 7] = ["target", "runs", "rollout", "__pycache__", "node_modules", ".git", ".venv"];

#[test]
fn words_with_a_better_term_are_not_used() {
    let mut found = Vec::new();
    check_folder(&root(), &mut found);
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
        assert!(root().join(place).exists(), "{place} is gone");
        if !word.is_empty() {
            let text = fs::read_to_string(root().join(place)).expect("a text file");
            assert!(words(&text).any(|found| found == word), "{place} no longer uses '{word}'");
        }
    }
}

fn check_folder(folder: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("readable folder").flatten().collect();
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                check_folder(&path, found);
            }
        } else if EXTENSIONS.iter().any(|extension| path.extension().is_some_and(|it| it == *extension)) {
            let place = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
            check_text(&place, &fs::read_to_string(&path).expect("a text file"), found);
        }
    }
}

fn check_text(place: &str, text: &str, found: &mut Vec<String>) {
    let is_allowed = |word: &str| {
        ALLOWED.iter().any(|(path, allowed, _)| place.starts_with(path) && ["", word].contains(allowed))
    };
    for (line_idx, line) in text.lines().enumerate() {
        // Standard terms of machine learning, and names of other programs.
        let line = line
            .replace("odel card", "odel")
            .replace("model_card", "model")
            .replace("held out", "left out")
            .replace("pytest.mark", "pytest");
        let mut report = |word: &str, term: &str| {
            if !is_allowed(word) {
                found.push(format!("{place}:{}: '{}', better: {term}", line_idx + 1, word.trim()));
            }
        };
        let lower_case = line.to_lowercase();
        for (phrase, term) in PHRASES {
            if lower_case.contains(phrase) {
                report(phrase, term);
            }
        }
        for word in words(&line) {
            if let Some((_, term)) = WORDS.iter().find(|(forms, _)| forms.contains(&word.as_str())) {
                report(&word, term);
            }
        }
    }
}

/// The words of a text in lower case; those of identifiers one by one.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut last = ' ';
    for c in text.chars() {
        let begins = c.is_uppercase() && last.is_lowercase();
        if begins || !c.is_alphabetic() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphabetic(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        last = c;
    }
    words.into_iter().filter(|word| !word.is_empty())
}
