//! What verifications found, as outputs say it: `verdict`, `checks`, `next`.
//!
//! Any plugin or workflow may give these; other words in `verdict` (`dead`, `no
//! failover`) are its own and no verification's.

use baton_core::Json;

/// Rows of one report: a person reads them.
const ROWS_MAX: usize = 200;
/// Verifications within verifications.
const DEPTH_MAX: usize = 5;

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Pass,
    /// All is well with what is left, and what was lost is said.
    PassWithLoss,
    /// It is not.
    Fail,
    /// Whatever else an output calls its verdict.
    Other,
}

impl Verdict {
    /// Of an output; none if it has none.
    pub(super) fn of(output: &Json) -> Option<Self> {
        Some(match output.get("verdict")?.as_str()? {
            "pass" => Self::Pass,
            "pass with declared loss" => Self::PassWithLoss,
            "fail" => Self::Fail,
            _ => Self::Other,
        })
    }

    /// As metrics and reports spell it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassWithLoss => "pass with declared loss",
            Self::Fail => "fail",
            Self::Other => "other",
        }
    }

    fn of_verification(output: &Json) -> Option<Self> {
        Self::of(output).filter(|verdict| *verdict != Self::Other)
    }
}

/// Every verification of a run, flat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What was checked, what came of it, what was seen.
    pub(super) rows: Vec<[String; 3]>,
    /// What to do about what failed.
    pub(super) next: Vec<String>,
    pub(super) failed: bool,
}

impl Found {
    /// Adds what `output` of `name` says, with what it holds.
    pub(super) fn add(&mut self, name: &str, output: &Json) {
        self.walk(name, output, 0);
        self.rows.truncate(ROWS_MAX);
    }

    fn walk(&mut self, name: &str, output: &Json, depth: usize) {
        let Some(verdict) = Verdict::of_verification(output) else { return };
        if depth == DEPTH_MAX {
            return;
        }
        let seen = text(output, &["reason", "declared"]);
        self.rows.push([name.to_owned(), verdict.word().to_owned(), seen]);
        if verdict == Verdict::Fail {
            self.failed = true;
            for line in list(output, "next").iter().filter_map(|line| line.as_str()) {
                if !self.next.iter().any(|known| known == line) {
                    self.next.push(line.to_owned());
                }
            }
        }
        for check in list(output, "checks") {
            let what = format!("{name} / {}", text(check, &["name", "check"]));
            let came = match check.get("ok").and_then(Json::as_bool) {
                Some(true) => "pass".to_owned(),
                Some(false) => "fail".to_owned(),
                None => text(check, &["verdict"]),
            };
            self.rows.push([what, came, text(check, &["message", "seen"])]);
        }
        for (key, part) in output.as_object().into_iter().flatten() {
            self.walk(&format!("{name} / {key}"), part, depth + 1);
        }
    }
}

/// The first of these fields that is text.
fn text(json: &Json, fields: &[&str]) -> String {
    let found = fields.iter().find_map(|field| json.get(field)?.as_str());
    found.unwrap_or_default().to_owned()
}

fn list<'a>(json: &'a Json, field: &str) -> &'a [Json] {
    json.get(field).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_is_one_of_four_words() {
        for (output, word) in [
            (json!({ "verdict": "pass" }), Some("pass")),
            (json!({ "verdict": "pass with declared loss" }), Some("pass with declared loss")),
            (json!({ "verdict": "fail" }), Some("fail")),
            (json!({ "verdict": "no failover" }), Some("other")),
            (json!({ "verdict": 7 }), None),
            (json!({}), None),
            (Json::Null, None),
        ] {
            assert_eq!(Verdict::of(&output).map(Verdict::word), word, "{output}");
        }
    }

    #[test]
    fn verifications_are_told_with_their_checks_and_what_to_do() {
        let replication = json!({ "verdict": "fail", "next": ["Do this."], "checks": [
            { "name": "lag", "ok": true, "message": "none" },
            { "name": "canary", "ok": false, "message": "not written" },
        ] });
        let app = json!({ "verdict": "pass", "reason": "all 1 checks passed",
            "checks": [{ "check": "api", "verdict": "not-run", "seen": "why" }] });
        let output = json!({ "verdict": "fail", "next": ["First of all.", "Do this."],
            "replication": replication, "app": app, "master": "a:1" });
        let mut found = Found::default();
        found
            .add("assess", &json!({ "verdict": "dead", "checks": [{ "name": "x", "ok": false }] }));
        found.add("verify", &output);
        let rows: Vec<String> = found.rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "verify | fail | ",
                "verify / replication | fail | ",
                "verify / replication / lag | pass | none",
                "verify / replication / canary | fail | not written",
                "verify / app | pass | all 1 checks passed",
                "verify / app / api | not-run | why",
            ]
        );
        assert_eq!(found.next, ["First of all.", "Do this."]);
        assert!(found.failed);
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_cut() {
        let mut deep = json!({ "verdict": "pass" });
        for _ in 0..50 {
            deep = json!({ "verdict": "pass", "inner": deep });
        }
        let mut found = Found::default();
        found.add("a", &deep);
        assert_eq!(found.rows.len(), DEPTH_MAX);
        let checks: Vec<Json> = (0..1_000).map(|at| json!({ "name": at.to_string() })).collect();
        found.add("b", &json!({ "verdict": "fail", "checks": checks }));
        assert_eq!(found.rows.len(), ROWS_MAX);
        assert!(found.failed);
    }
}
