//! Text for a terminal.

use std::borrow::Cow;

/// The text with control characters escaped, except line breaks and tabs: names and prompts of foreign files may contain escape
/// sequences, which a terminal would obey.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_harmful(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_not_sent_to_the_terminal() {
        let hostile = "\u{1b}]0;title\u{7}red \u{1b}[2J\u{9b}31mball\r\n\tgrün";
        let expected = "\\u{1b}]0;title\\u{7}red \\u{1b}[2J\\u{9b}31mball\\r\n\tgrün";
        assert_eq!(printable(hostile), expected);
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }
}
