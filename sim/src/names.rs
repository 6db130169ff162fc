//! Suggestions for misspelt names.

/// How similar two names must be for one to be suggested for the other: Jaro-Winkler similarity, in [0, 1].
const MIN_SIMILARITY: f64 = 0.7;

/// The known name that is most similar to `name`, upper and lower case ignored; `None` if none is similar enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(similarity, _)| MIN_SIMILARITY <= *similarity)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested_and_no_other() {
        let known = ["learning_rate", "n_steps", "n_epochs"];
        assert_eq!(nearest("lerning_rate", known), Some("learning_rate"));
        assert_eq!(nearest("N_Steps", known), Some("n_steps"));
        assert_eq!(nearest("zzz", known), None);
    }
}
