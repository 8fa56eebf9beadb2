//! `baton plugins`: a table of plugins.

use super::look::Look;
use super::table::table;
use super::words::{clean, count, size};

/// A plugin as the table shows it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Of the component.
    pub(crate) bytes: u64,
    /// Of the component, whole.
    pub(crate) digest: String,
    /// `rerun` or `ask`.
    pub(crate) when_interrupted: &'static str,
    /// Interfaces, as `baton:plugin/redis`.
    pub(crate) imports: Vec<String>,
    /// Redis commands it asks for.
    pub(crate) redis_commands: Vec<String>,
    /// What it asks for besides: `HTTP GET`, `exec`, `probe`.
    pub(crate) asks: Vec<String>,
    /// One line.
    pub(crate) summary: String,
}

/// The table, or where to get plugins from.
pub(crate) fn plugins(rows: &[Row], look: Look) -> String {
    if rows.is_empty() {
        return "no plugins\n".to_owned();
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let heading = ["PLUGIN", "VERSION", "SIZE", "DIGEST", "IMPORTS", "SUMMARY", "ASKS FOR"];
    format!("{}{}\n", table(&heading, &cells, look), count(rows.len(), "plugin"))
}

fn cells(row: &Row) -> Vec<String> {
    let list = |names: &[String]| {
        let short = names.iter().map(|name| clean(name.rsplit('/').next().unwrap_or(name)));
        let joined = short.collect::<Vec<_>>().join(" ");
        if joined.is_empty() { "-".to_owned() } else { joined }
    };
    vec![
        clean(&row.name),
        clean(&row.version),
        size(row.bytes),
        row.digest.chars().take(12).collect(),
        list(&row.imports),
        clean(&row.summary),
        // Last, since it is long: a narrow terminal cuts it first.
        list(&[row.redis_commands.as_slice(), &row.asks].concat()),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn plugins_are_a_table() {
        let row = |name: &str, commands: &[&str]| Row {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            bytes: 57_123,
            digest: "0123456789abcdef".to_owned(),
            when_interrupted: "rerun",
            imports: vec!["baton:plugin/log".to_owned(), "baton:plugin/redis".to_owned()],
            redis_commands: commands.iter().map(|name| (*name).to_owned()).collect(),
            asks: commands.iter().map(|_| "HTTP GET".to_owned()).collect(),
            summary: "Asks\x07 who is there.".to_owned(),
        };
        let rows = [row("redis-ping", &["PING"]), row("none", &[])];
        expect![[r"
            PLUGIN      VERSION  SIZE   DIGEST        IMPORTS    SUMMARY                  ASKS FOR
            redis-ping  1.0.0    57 kB  0123456789ab  log redis  Asks\u{7} who is there.  PING HTTP GET
            none        1.0.0    57 kB  0123456789ab  log redis  Asks\u{7} who is there.  -
            2 plugins
        "]]
        .assert_eq(&plugins(&rows, Look::PLAIN));
        assert_eq!(plugins(&[], Look::PLAIN), "no plugins\n");
    }
}
