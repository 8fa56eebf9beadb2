//! HAProxy's statistics page: its CSV (management guide, 9.1) and its form. Pure.

use baton_plugin::{JsonSchema, http};
use serde::Serialize;

/// One server of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Server {
    /// Its name in HAProxy's configuration.
    pub name: String,
    /// `host:port`; empty without `stats show-legends`.
    pub address: String,
    /// `UP`, `DOWN`, `MAINT`, `no check`, …
    pub status: String,
    /// Sessions that it has now.
    pub sessions: u64,
}

impl Server {
    /// It takes nobody: in maintenance.
    pub(crate) fn is_closed(&self) -> bool {
        self.status.starts_with("MAINT")
    }

    /// No operator keeps it out.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_closed() && !self.status.starts_with("DRAIN") && !self.status.starts_with("NOLB")
    }

    /// It takes clients.
    pub(crate) fn is_up(&self) -> bool {
        self.status.starts_with("UP") || self.status == "no check"
    }
}

/// The servers of `backend`; columns are found by their headings.
pub(crate) fn servers(csv: &str, backend: &str) -> Vec<Server> {
    let mut lines = csv.lines();
    let headings = cells(lines.next().unwrap_or_default().trim_start_matches("# "));
    let column = |name: &str| headings.iter().position(|it| it == name);
    let (Some(proxy), Some(server), Some(status)) =
        (column("pxname"), column("svname"), column("status"))
    else {
        return Vec::new();
    };
    let (sessions, address) = (column("scur"), column("addr"));
    let read = |line: &str| {
        let cells = cells(line);
        let cell = |at: usize| cells.get(at).cloned().unwrap_or_default();
        let name = cell(server);
        let is_server = cell(proxy) == backend && !["FRONTEND", "BACKEND"].contains(&name.as_str());
        is_server.then(|| Server {
            name,
            address: address.map(cell).unwrap_or_default(),
            status: cell(status),
            sessions: sessions.and_then(|at| cell(at).parse().ok()).unwrap_or(0),
        })
    };
    lines.filter_map(read).collect()
}

/// The cells of a line; quotes are doubled within quotes.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut is_quoted) = (vec![String::new()], false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.last_mut().expect("there is always one");
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    cells
}

/// `action=maint&b=redis&s=n2`.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    http::with_query("", pairs).trim_start_matches('?').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_by_headings_and_others_passed_over() {
        let csv = "# pxname,svname,scur,status,addr,last_chk\n\
            redis,n1,3,UP,10.0.0.1:6379,\"a \"\"b\"\", c\"\n\
            redis,n2,0,MAINT (via x/y),10.0.0.2:6379,\n\
            redis,BACKEND,3,UP,,\nother,n1,0,DOWN,10.0.0.9:1,\nhttp,FRONTEND,0,OPEN,,\n";
        let all = servers(csv, "redis");
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[0].address.as_str(), all[0].sessions), ("10.0.0.1:6379", 3));
        assert!(all[0].is_up() && all[1].is_closed() && !all[1].is_open());
        assert!(servers("<html>", "redis").is_empty());
    }

    #[test]
    fn a_cell_may_hold_commas_and_quotes() {
        assert_eq!(cells("a,\"b,\"\"c\"\"\",,d"), ["a", "b,\"c\"", "", "d"]);
    }

    #[test]
    fn a_form_carries_any_name() {
        assert_eq!(form(&[("action", "maint"), ("s", "a&b")]), "action=maint&s=a%26b");
    }
}
