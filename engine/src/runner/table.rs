//! A table that a step's output offers people: `table = { columns, rows }`.
//!
//! Any plugin may give one (the SDK has a type for it); what is none, or more than a
//! person would read, stays data. Rows that are left out are counted.

use baton_core::Json;

/// Columns of a table: more do not fit on a page.
const COLUMNS_MAX: usize = 12;
/// Rows: the whole of it is in the output.
const ROWS_MAX: usize = 100;
/// One cell, in characters: a sentence or three.
const CELL_CHARS_MAX: usize = 400;

/// Headings and rows, each with a cell for each heading.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub columns: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// Rows that are left out.
    pub more: usize,
}

/// The table of an output, if it has one, and the output without it.
pub fn split(output: &Json) -> (Option<Table>, Json) {
    let Some(table) = output.get("table").and_then(read) else { return (None, output.clone()) };
    let mut rest = output.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.shift_remove("table");
    }
    (Some(table), rest)
}

fn read(json: &Json) -> Option<Table> {
    let columns = cells(json.get("columns")?)?;
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return None;
    }
    let all = json.get("rows")?.as_array()?;
    let rows: Vec<Vec<String>> = all.iter().take(ROWS_MAX).map(cells).collect::<Option<_>>()?;
    let is_whole = rows.iter().all(|row| row.len() == columns.len());
    is_whole.then(|| Table { columns, more: all.len() - rows.len(), rows })
}

fn cells(row: &Json) -> Option<Vec<String>> {
    row.as_array()?.iter().map(cell).collect()
}

fn cell(json: &Json) -> Option<String> {
    let text = match json {
        Json::Null => "-".to_owned(),
        Json::Bool(it) => it.to_string(),
        Json::Number(it) => it.to_string(),
        Json::String(it) => it.clone(),
        Json::Array(_) | Json::Object(_) => return None,
    };
    Some(match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_taken_out_of_its_output() {
        let output = json!({
            "chosen": "b", "table": { "columns": ["who", "n"], "rows": [["a", 1], ["b", null]] },
        });
        let (table, rest) = split(&output);
        let table = table.unwrap();
        assert_eq!(table.columns, ["who", "n"]);
        assert_eq!(table.rows, [["a", "1"], ["b", "-"]]);
        assert_eq!(rest, json!({ "chosen": "b" }));
    }

    #[test]
    fn what_is_none_stays_data() {
        for table in [
            json!(null),
            json!("a table"),
            json!({ "columns": [], "rows": [] }),
            json!({ "columns": ["a"], "rows": [["1", "2"]] }),
            json!({ "columns": ["a"], "rows": [[{ "deep": 1 }]] }),
            json!({ "columns": ["a"], "rows": "none" }),
            json!({ "columns": vec!["a"; COLUMNS_MAX + 1], "rows": [] }),
        ] {
            let output = json!({ "table": table });
            assert_eq!(split(&output), (None, output.clone()), "{output}");
        }
    }

    #[test]
    fn a_table_is_bounded() {
        let rows = vec![json!(["é".repeat(10_000)]); 1_000];
        let (table, _) = split(&json!({ "table": { "columns": ["a"], "rows": rows } }));
        let table = table.unwrap();
        assert_eq!((table.rows.len(), table.more), (ROWS_MAX, 900));
        assert_eq!(table.rows[0][0].chars().count(), CELL_CHARS_MAX + 1);
    }
}
