//! `baton journal`: what was found, moved, made smaller.

use std::fmt::Write as _;

use super::look::{Look, Tone};
use super::words::{clean, count, size};
use crate::journal::{Compacted, Exported, Findings};

/// What was found in a journal.
pub(crate) fn findings(found: &Findings, look: Look) -> String {
    let mut text = String::new();
    let runs = format!("{}, {} open", count(number(found.open + found.closed), "run"), found.open);
    let rest = format!(
        "{}, {}, {} of log",
        count(number(found.records), "record"),
        count(number(found.files), "file"),
        size(found.log_bytes)
    );
    let lists = [
        ("mended", Tone::Ask, &found.mended),
        ("damaged", Tone::Bad, &found.damage),
        ("unused", Tone::Busy, &found.orphans),
    ];
    for (run, why) in &found.unreadable {
        let word = look.tint(Tone::Bad, "unreadable");
        let _ = writeln!(text, "{word}: run {}: {}", clean(run), clean(why));
    }
    for (word, tone, lines) in lists {
        for line in lines {
            let _ = writeln!(text, "{}: {}", look.tint(tone, word), clean(line));
        }
    }
    let verdict = if found.is_sound() {
        look.tint(Tone::Good, "✓ sound")
    } else {
        look.tint(Tone::Bad, "✗ damaged")
    };
    let _ = writeln!(text, "{verdict}: {runs}; {rest}");
    text
}

/// What went out of a journal, or into one.
pub(crate) fn moved(word: &str, done: &Exported) -> String {
    format!(
        "{word} {}, {}, {}",
        count(number(done.runs), "run"),
        count(number(done.records), "record"),
        count(number(done.plugins), "plugin")
    )
}

/// How much smaller it is.
pub(crate) fn compacted(done: &Compacted) -> String {
    let mut text = String::new();
    for line in &done.mended {
        let _ = writeln!(text, "mended: {}", clean(line));
    }
    let _ = writeln!(
        text,
        "{} before, {} now; removed {} and {}",
        size(done.bytes_before),
        size(done.bytes_after),
        count(number(done.runs_removed), "closed run"),
        count(number(done.files_removed), "file")
    );
    text
}

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::look::Paint;
    use super::*;

    const PLAIN: Look = Look { paint: Paint::Plain, width: None };

    #[test]
    fn a_sound_journal_is_one_line() {
        let found = Findings {
            open: 1,
            closed: 2,
            records: 9,
            files: 1,
            log_bytes: 2_048,
            ..<_>::default()
        };
        let expected = "✓ sound: 3 runs, 1 open; 9 records, 1 file, 2 kB of log\n";
        assert_eq!(findings(&found, PLAIN), expected);
    }

    #[test]
    fn all_that_is_wrong_is_said_and_nothing_of_it_is_a_control_character() {
        let mut found = Findings { closed: 1, ..<_>::default() };
        found.unreadable.insert("a".to_owned(), "record 1\u{1b}[31m is missing".to_owned());
        found.damage.push("file ff is missing".to_owned());
        found.orphans.push("file 00".to_owned());
        let text = findings(&found, PLAIN);
        assert!(text.starts_with("unreadable: run a: record 1"), "{text}");
        assert!(text.contains("\ndamaged: file ff is missing\nunused: file 00\n✗ damaged: 1 run"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn what_was_removed_is_counted() {
        let done = Compacted {
            bytes_before: 4_096,
            bytes_after: 1_024,
            runs_removed: 1,
            files_removed: 2,
            mended: Vec::new(),
        };
        let expected = "4 kB before, 1 kB now; removed 1 closed run and 2 files\n";
        assert_eq!(compacted(&done), expected);
    }
}
