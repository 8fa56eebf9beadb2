//! `baton runs`: a table of runs.

use baton_core::Millis;

use super::look::{Look, Tone, mark, spoken};
use super::table::table;
use super::words::{age, clean, count, duration};
use crate::runner::view::Summary;

/// The table, newest first as given, and a line that counts.
pub(crate) fn runs(list: &[Summary], now: Millis, look: Look) -> String {
    if list.is_empty() {
        return "no runs\n".to_owned();
    }
    let rows: Vec<Vec<String>> = list.iter().map(|run| row(run, now, look)).collect();
    let mut text = table(&["RUN", "WORKFLOW", "STATE", "BEGUN", "TOOK", "BY", "KEY"], &rows, look);
    let open = list.iter().filter(|run| run.closed_at.is_none()).count();
    let tally = format!("{}, {open} open", count(list.len(), "run"));
    text.push_str(&look.tint(Tone::Dim, &tally));
    text.push('\n');
    text
}

fn row(run: &Summary, now: Millis, look: Look) -> Vec<String> {
    let (mark, tone) = mark(&run.state);
    let end = run.closed_at.unwrap_or(now);
    vec![
        clean(&run.id),
        clean(&run.workflow),
        look.tint(tone, &format!("{mark} {}", clean(spoken(&run.state)))),
        age(now, run.begun_at),
        duration(end.saturating_sub(run.begun_at)),
        clean(&run.trigger),
        run.key.as_deref().map_or_else(|| "-".to_owned(), clean),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::samples;
    use super::*;

    #[test]
    fn a_list_is_a_table_with_ages_and_marks() {
        let list = [samples::summary("asking", None), samples::summary("failed", Some(61_000))];
        expect![[r"
            RUN                                   WORKFLOW        STATE            BEGUN   TOOK    BY       KEY
            01932b5e-7c1a-7000-8000-00000000002a  redis-failover  ? asks a person  3m ago  3m 20s  webhook  redis:bondx
            01932b5e-7c1a-7000-8000-00000000002a  redis-failover  ✗ failed         3m ago  1m 01s  webhook  redis:bondx
            2 runs, 1 open
        "]]
        .assert_eq(&runs(&list, samples::BEGUN + 200_000, Look::PLAIN));
        assert_eq!(runs(&[], 0, Look::PLAIN), "no runs\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_instead_of_wrapping() {
        let look = Look { width: Some(30), ..Look::PLAIN };
        let text = runs(&[samples::summary("running", None)], samples::BEGUN, look);
        assert!(text.lines().all(|line| console::measure_text_width(line) <= 30), "{text}");
    }
}
