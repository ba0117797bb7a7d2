//! Sentences broken to a width. Pure.

/// Breaks a text at its spaces into lines of at most `width` characters; a longer word stays whole, since people copy it.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Writes a text with its first line behind `head` and the others below it.
pub(super) fn hanging(head: &str, text: &str, width: usize, out: &mut String) {
    let indent = head.chars().count();
    for (index, line) in wrapped(text, width.saturating_sub(indent).max(20)).iter().enumerate() {
        let before = if index == 0 { head.to_owned() } else { " ".repeat(indent) };
        out.push_str(&format!("{before}{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::{hanging, wrapped};

    #[test]
    fn a_line_is_as_long_as_it_may_be() {
        assert_eq!(wrapped("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("a-word-that-is-too-long b", 5), ["a-word-that-is-too-long", "b"]);
        assert!(wrapped("  ", 5).is_empty());
    }

    #[test]
    fn what_follows_hangs_below_the_first_word() {
        let mut out = String::new();
        hanging("  - ", "alpha beta gamma delta epsilon", 24, &mut out);
        assert_eq!(out, "  - alpha beta gamma\n    delta epsilon\n");
    }
}
