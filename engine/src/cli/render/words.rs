//! Spans of time, moments and foreign text, as people read them.

use baton_core::{Json, Millis};
use console::measure_text_width;

/// A span of time: `85 ms`, `1.24 s`, `12.4 s`, `3m 05s`, `2h 07m`, `3d 04h`.
pub(crate) fn duration(ms: Millis) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{seconds}.{:02} s", ms % 1000 / 10),
        10_000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A span of time as the author of a workflow writes it: `250ms`, `2s`, `20m`.
pub(crate) fn span(ms: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// How long ago: `just now`, `12s ago`, `3m ago`, `5h ago`, `4d ago`.
pub(crate) fn age(now: Millis, at: Millis) -> String {
    let seconds = now.saturating_sub(at) / 1000;
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..172_800 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// A moment: `2026-11-03 14:05:09.123 UTC`.
pub(crate) fn time(at: Millis) -> String {
    stamp(at, "%Y-%m-%d %H:%M:%S%.3f UTC")
}

/// A moment of a day that is known: `14:05:09.123`.
pub(crate) fn clock(at: Millis) -> String {
    stamp(at, "%H:%M:%S%.3f")
}

fn stamp(at: Millis, format: &str) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{at} ms"), |moment| moment.strftime(format).to_string())
}

/// How much: `57 kB`, `1.6 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..10_000_000 => {
            format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
        }
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Foreign text made harmless for a terminal, on one line: line ends become `⏎`,
/// what could move the cursor or turn the reading direction is spelled out.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' => clean.push_str(" ⏎ "),
            '\r' => {}
            '\t' => clean.push(' '),
            other if is_harmful(other) => clean.extend(other.escape_unicode()),
            other => clean.push(other),
        }
    }
    clean
}

/// The same for text that may have many lines.
pub(crate) fn clean_lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(clean).collect()
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A value on one line: text without quotes, the rest as JSON.
pub(crate) fn value(json: &Json) -> String {
    json.as_str().map_or_else(|| clean(&json.to_string()), clean)
}

/// An object as `a=1 b=two`; anything else as JSON.
pub(crate) fn pairs(json: &Json) -> String {
    let Some(fields) = json.as_object() else { return value(json) };
    let pair = |(name, json): (&String, &Json)| format!("{}={}", clean(name), value(json));
    fields.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// `1 step`, `2 steps`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// `text` in at most `width` columns, ending in `…` if something was cut off.
pub(crate) fn fit(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

/// `text` filled with blanks to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(measure_text_width(text));
    format!("{text}{:blanks$}", "")
}

/// Breaks `text` between words into lines of at most `width` columns; a longer
/// word keeps a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let joined = measure_text_width(&line) + 1 + measure_text_width(word);
        if !line.is_empty() && joined > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_read_well() {
        let spoken: Vec<String> =
            [0, 999, 1_239, 9_999, 59_999, 60_000, 3_725_000, 90_000_000].map(duration).to_vec();
        let expected =
            ["0 ms", "999 ms", "1.23 s", "9.99 s", "59.9 s", "1m 00s", "1h 02m", "1d 01h"];
        assert_eq!(spoken, expected);
    }

    #[test]
    fn a_written_span_comes_back_as_it_was_written() {
        let spans = [0, 250, 1_500, 2_000, 1_200_000, 7_200_000, 604_800_000].map(span);
        assert_eq!(spans, ["0ms", "250ms", "1500ms", "2s", "20m", "2h", "7d"]);
    }

    #[test]
    fn ages_never_lie_in_the_future() {
        assert_eq!(age(5_000, 9_000), "just now");
        assert_eq!(age(200_000, 5_000), "3m ago");
        assert_eq!(age(90_000_000, 0), "25h ago");
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_still_shown() {
        assert_eq!(time(1_793_714_709_123), "2026-11-03 14:05:09.123 UTC");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms");
    }

    #[test]
    fn foreign_text_cannot_touch_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c\nd\te\r\n"), "a\\u{1b}[2Jb\\u{202e}c ⏎ d e");
        assert_eq!(clean_lines("one\ntwo\x07\n"), ["one", "two\\u{7}"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(pad("漢字", 6), "漢字  ");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("", 9), [""]);
    }
}
