//! Every line of the operators' runbook has its row in `docs/runbook.md`, and what a row
//! names as proof is a test that exists.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What the operators wrote.
const RUNBOOK: &str = "docs/runbook/redis-failover.md";
/// What becomes of each line of it.
const ROWS: &str = "docs/runbook.md";
/// Line, who, how, where, proof.
const CELLS: usize = 5;
/// Who does it; nothing else is an answer.
const WHO: [&str; 4] = ["does", "checks", "prints", "for people"];

/// Holds the two pages against each other and against the tests.
///
/// # Errors
/// If a page cannot be read.
pub(super) fn check(root: &Path, files: &[PathBuf], findings: &mut Vec<String>) -> Result<()> {
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("read {name}"));
    let (runbook, rows) = (read(RUNBOOK)?, read(ROWS)?);
    let tests: String = files
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .filter(|path| path.starts_with(root.join("tests")))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    compare(&runbook, &rows, &tests, findings);
    Ok(())
}

fn compare(runbook: &str, rows: &str, tests: &str, findings: &mut Vec<String>) {
    let rows: Vec<Vec<&str>> = rows
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(str::trim).collect())
        .collect();
    for row in &rows {
        if row.len() != CELLS || row.iter().any(|cell| cell.is_empty()) {
            findings.push(format!("{ROWS}: `{}` lacks a cell: write `–`", row.join(" | ")));
        }
        let is_heading = row[0] == "runbook";
        if let Some(who) = row.get(1).filter(|who| !is_heading && !WHO.contains(who)) {
            findings.push(format!("{ROWS}: `{who}` is none of {}", WHO.join(", ")));
        }
        for name in row.last().into_iter().flat_map(|proof| proof.split('`')) {
            if let Some((_, test)) = name.rsplit_once("::")
                && !tests.contains(&format!("fn {test}("))
                && !tests.contains(&format!("mod {test};"))
            {
                findings.push(format!("{ROWS}: there is no test `{name}`"));
            }
        }
    }
    let mut rows = rows.iter().map(|row| row[0]).peekable();
    // In the runbook's order: some of its lines stand in it more than once.
    for line in items(runbook) {
        if !rows.by_ref().any(|row| row == line) {
            findings.push(format!("{ROWS}: no row for `{line}`, or not in the runbook's order"));
            return;
        }
    }
}

/// The runbook's list items as rows spell them; headings of further items are left out.
fn items(runbook: &str) -> Vec<String> {
    let lines: Vec<&str> = runbook.lines().collect();
    let mut items = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(item) = item(line) else { continue };
        let next = lines.get(at + 1).copied().unwrap_or_default();
        let heads = next.starts_with(' ') && self::item(next).is_some();
        if !heads {
            items.push(plain(item));
        }
    }
    items
}

fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let number = line.trim_start_matches(|it: char| it.is_ascii_digit());
    let numbered = number.strip_prefix(". ").filter(|_| number.len() < line.len());
    line.strip_prefix("- ").or(numbered).map(str::trim)
}

/// Without emphasis, and of a link its words.
fn plain(item: &str) -> String {
    let mut text = item.replace("**", "");
    while let Some((before, rest)) = text.split_once("](") {
        let (Some((lead, words)), Some((_, after))) =
            (before.rsplit_once('['), rest.split_once(')'))
        else {
            break;
        };
        text = format!("{lead}{words}{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNBOOK: &str =
        "# Page\n1. **Do**\n   - first\n   - second\n2. **Alone**\n\n- [Guide](../x/)\n";
    const ROWS: &str = "| runbook | who | how | where | proof |\n|---|---|---|---|---|\n\
        | first | does | x | – | `lab::it_does` |\n| second | does | x | – | – |\n\
        | Alone | prints | x | – | – |\n| Guide | for people | x | – | – |\n";
    const TESTS: &str = "fn it_does() {}";

    fn findings(runbook: &str, rows: &str, tests: &str) -> Vec<String> {
        let mut findings = Vec::new();
        compare(runbook, rows, tests, &mut findings);
        findings
    }

    #[test]
    fn a_page_with_a_row_for_each_line_is_tidy() {
        assert_eq!(findings(RUNBOOK, ROWS, TESTS), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_its_row_is_found() {
        let rows = ROWS.replace("| second | does | x | – | – |\n", "");
        assert_eq!(findings(RUNBOOK, &rows, TESTS).len(), 1);
        assert_eq!(findings(&format!("{RUNBOOK}- one more\n"), ROWS, TESTS).len(), 1);
    }

    #[test]
    fn an_empty_cell_and_a_test_that_is_not_there_are_found() {
        let rows = ROWS.replace("| second | does | x |", "| second | does |  |");
        assert_eq!(findings(RUNBOOK, &rows, TESTS).len(), 1);
        assert_eq!(findings(RUNBOOK, ROWS, "fn it_does_not() {}").len(), 1);
    }

    #[test]
    fn a_row_that_leaves_open_who_does_it_is_found() {
        let rows = ROWS.replace("| Alone | prints |", "| Alone | by hand |");
        assert_eq!(findings(RUNBOOK, &rows, TESTS).len(), 1);
    }
}
