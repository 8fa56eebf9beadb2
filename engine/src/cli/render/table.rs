//! Columns.

use console::measure_text_width;

use super::look::{Look, Tone};
use super::words::pad;

/// Lines of aligned columns under a dim heading, two blanks between columns, each
/// cut to the width. Cells may be coloured.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>], look: Look) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|name| name.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    let heading = heading.iter().map(|name| look.tint(Tone::Dim, name)).collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
        text.push_str(&look.cut(cells.join("  ").trim_end()));
        text.push('\n');
    }
    text
}
