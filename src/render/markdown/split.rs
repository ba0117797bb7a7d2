//! A text in Markdown cut where a place takes no more, whatever it says: for step summaries, which GitHub drops whole
//! when they are too long. Pure.

/// Returns a text of at most `limit` bytes that ends in whole lines, and says how many are missing and where they are.
#[must_use]
pub fn clipped(text: &str, limit: usize, elsewhere: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    // A fence or a fold that is open at the cut would swallow the sentence that says what is missing.
    let note = |missing: usize| {
        let lines = if missing == 1 { "1 line is".to_owned() } else { format!("{missing} lines are") };
        format!("\n\n**{lines} missing here**: {elsewhere}.\n")
    };
    let room = limit.saturating_sub(note(usize::MAX).len() + "\n</details>\n\n".len() + 64);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut out, mut taken) = (String::new(), 0);
    for line in &lines {
        if out.len() + line.len() > room {
            break;
        }
        out.push_str(line);
        taken += 1;
    }
    let mut open: Option<&str> = None;
    for line in out.lines() {
        let line = line.trim_start();
        let run = &line[..line.len() - line.trim_start_matches('`').len()];
        match open {
            None if run.len() >= 3 => open = Some(run),
            Some(fence) if line == fence => open = None,
            _ => {}
        }
    }
    let fence = open.map(|fence| format!("{fence}\n")).unwrap_or_default();
    let folds = out.matches("<details>").count().saturating_sub(out.matches("</details>").count());
    let folds = "\n</details>\n".repeat(folds);
    let note = note(lines.len() - taken);
    format!("{out}{fence}{folds}{note}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::clipped;

    #[test]
    fn a_text_that_fits_is_left_alone() {
        assert_eq!(clipped("a\nb\n", 4, "elsewhere"), "a\nb\n");
    }

    #[test]
    fn what_is_open_at_the_cut_is_closed_before_the_words() {
        let text =
            format!("head\n<details><summary>x</summary>\n\n````diff\n{}````\n</details>\n", "+ line\n".repeat(100));
        let cut = clipped(&text, 400, "`bkup show` has them");
        assert!(cut.len() <= 400, "{}", cut.len());
        let tail = cut.rsplit_once("+ line\n").unwrap().1;
        assert!(tail.starts_with("````\n\n</details>\n\n\n**"), "{tail}");
        assert!(tail.ends_with(" lines are missing here**: `bkup show` has them.\n"), "{tail}");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_place(lines in proptest::collection::vec("[a-z`ä ]{0,60}", 0..80), limit in 300..2000_usize) {
            prop_assert!(clipped(&lines.join("\n"), limit, "elsewhere").len() <= limit);
        }
    }
}
