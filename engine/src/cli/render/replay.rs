//! `baton replay`: the calls of a tape beside those of a build.

use std::fmt::Write as _;

use baton_core::Json;

use super::look::{Look, Tone};
use super::table::table;
use super::words::{clean, count, fit, value};
use crate::cli::replay::Replayed;
use crate::runner::tape::{EndView, TapedView};

/// Columns of a question and of an answer.
const CELL_CHARS_MAX: usize = 60;

/// Every call, where the build left the tape, and both ends.
pub(in crate::cli) fn replay(replayed: &Replayed, look: Look) -> String {
    let tape = &replayed.tape;
    let same_build = tape.plugin.digest == replayed.build.digest;
    let mut text = format!(
        "{} of run {}, attempt {}: {} on {} {} ({}, {})\n\n",
        clean(&tape.context.step),
        clean(&tape.context.run_id),
        tape.context.attempt,
        count(tape.calls.len(), "call"),
        clean(&tape.plugin.name),
        clean(&replayed.build.version),
        replayed.build.digest.chars().take(12).collect::<String>(),
        if same_build { "the build that was recorded" } else { "another build" },
    );
    let same = tape.calls.iter().take(replayed.same);
    let rows: Vec<Vec<String>> = same.map(|call| row(call, look)).collect();
    if !rows.is_empty() {
        text.push_str(&table(&["CALL", "", "FUNCTION", "ASKED", "HEARD"], &rows, look));
    }
    if let Some(left) = &replayed.divergence {
        let line = |who: &str, what: Option<&String>, none: &str| {
            let what = what.map_or_else(|| none.to_owned(), |what| clean(what));
            format!("  {who}  {what}\n")
        };
        let word = if replayed.is_same { "ends" } else { "differs" };
        let tone = if replayed.is_same { Tone::Dim } else { Tone::Bad };
        let _ = writeln!(text, "{} {}", left.index, look.tint(tone, word));
        text.push_str(&line("tape ", left.taped.as_ref(), "ends before this call"));
        text.push_str(&line("build", left.asked.as_ref(), "had ended before this call"));
        let rest = tape.calls.len().saturating_sub(replayed.same);
        if rest > 0 {
            let _ = writeln!(text, "  {} of the tape not reached", count(rest, "call"));
        }
    }
    text.push('\n');
    match &replayed.end {
        Some(end) if replayed.is_same => {
            let _ = writeln!(text, "end   {} {}", look.tint(Tone::Good, "same"), ended(end));
        }
        Some(end) => {
            let _ = writeln!(text, "end   {}", look.tint(Tone::Bad, "differs"));
            let _ = writeln!(text, "  tape   {}", ended(&tape.end));
            let _ = writeln!(text, "  build  {}", ended(end));
        }
        None if replayed.is_same => {
            text.push_str("the same up to where the attempt was cut off\n");
        }
        None => text.push_str("it diverged\n"),
    }
    text
}

fn row(call: &TapedView, look: Look) -> Vec<String> {
    let asked = match call.request.as_slice() {
        [] => String::new(),
        [one] => clean(one),
        [first, rest @ ..] => format!("{} +{}", clean(first), rest.len()),
    };
    vec![
        call.index.to_string(),
        look.tint(Tone::Good, "same"),
        clean(&call.function),
        fit(&asked, CELL_CHARS_MAX),
        fit(&heard(&call.answer), CELL_CHARS_MAX),
    ]
}

/// An answer in short.
fn heard(answer: &Json) -> String {
    match answer {
        Json::Null => "-".to_owned(),
        Json::Object(object) => match (object.get("ok"), object.get("error")) {
            (Some(Json::Array(members)), None) => {
                members.iter().map(heard).collect::<Vec<_>>().join(" | ")
            }
            (Some(other), None) => value(other),
            (None, Some(error)) => {
                format!("error {}", error["kind"].as_str().map_or_else(|| value(error), clean))
            }
            _ => value(answer),
        },
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => value(answer),
    }
}

fn ended(end: &EndView) -> String {
    match end {
        EndView::Open => "it was cut off".to_owned(),
        EndView::Output(output) => format!("output {}", value(output)),
        EndView::Fault(fault) => {
            format!("fault {} ({}): {}", clean(&fault.code), fault.kind, clean(&fault.message))
        }
        EndView::Diverged(why) => format!("diverged: {}", clean(why)),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::replay::{Left, Played};
    use crate::runner::tape::{BuildView, ContextView, TapeView};

    fn call(index: u32, function: &str, request: &[&str], answer: Json) -> TapedView {
        TapedView {
            index,
            function: function.to_owned(),
            request: request.iter().map(|line| (*line).to_owned()).collect(),
            digest: "0".repeat(64),
            answer,
        }
    }

    fn replayed() -> Replayed {
        let calls = vec![
            call(
                0,
                "redis.call",
                &["h:1> PING", "h:1> ROLE"],
                json!({ "ok": [{ "ok": [[{ "simple": "PONG" }]] }] }),
            ),
            call(2, "clock.now", &[""], json!(17)),
            call(
                3,
                "redis.call",
                &["h:1> INCR n"],
                json!({ "ok": [{ "error": { "kind": "in-doubt", "message": "m" } }] }),
            ),
        ];
        let tape = TapeView {
            format: "baton-tape".to_owned(),
            version: 1,
            plugin: BuildView { name: "promote".to_owned(), digest: "0123456789abcdef".to_owned() },
            context: ContextView {
                run_id: "r-1".to_owned(),
                workflow: "w".to_owned(),
                step: "act".to_owned(),
                item: 0,
                attempt: 1,
                done: Vec::new(),
            },
            input: json!({}),
            calls,
            end: EndView::Output(json!({ "n": 1 })),
        };
        let build = Played { version: "1.0.0".to_owned(), digest: "0123456789abcdef".to_owned() };
        let end = Some(EndView::Output(json!({ "n": 1 })));
        Replayed { same: 3, tape, build, divergence: None, end, is_same: true }
    }

    #[test]
    fn the_same_is_shown_call_by_call() {
        expect![[r#"
            act of run r-1, attempt 1: 3 calls on promote 1.0.0 (0123456789ab, the build that was recorded)

            CALL        FUNCTION    ASKED         HEARD
            0     same  redis.call  h:1> PING +1  [{"simple":"PONG"}]
            2     same  clock.now                 17
            3     same  redis.call  h:1> INCR n   error in-doubt

            end   same output {"n":1}
        "#]].assert_eq(&replay(&replayed(), Look::PLAIN));
    }

    #[test]
    fn a_divergence_shows_both_sides() {
        let left = Left {
            index: 3,
            taped: Some("redis.call (h:1> INCR n)".to_owned()),
            asked: Some("redis.call (h:1> INCR m)".to_owned()),
            why: String::new(),
        };
        let build = Played { version: "1.1.0".to_owned(), digest: "ffff".to_owned() };
        let one = replayed();
        let differs =
            Replayed { same: 2, divergence: Some(left), end: None, is_same: false, build, ..one };
        expect![[r#"
            act of run r-1, attempt 1: 3 calls on promote 1.1.0 (ffff, another build)

            CALL        FUNCTION    ASKED         HEARD
            0     same  redis.call  h:1> PING +1  [{"simple":"PONG"}]
            2     same  clock.now                 17
            3 differs
              tape   redis.call (h:1> INCR n)
              build  redis.call (h:1> INCR m)
              1 call of the tape not reached

            it diverged
        "#]]
        .assert_eq(&replay(&differs, Look::PLAIN));
    }

    #[test]
    fn another_end_shows_both_ends() {
        let end = Some(EndView::Output(json!({ "n": 2 })));
        let differs = Replayed { is_same: false, end, ..replayed() };
        let text = replay(&differs, Look::PLAIN);
        assert!(
            text.ends_with("end   differs\n  tape   output {\"n\":1}\n  build  output {\"n\":2}\n"),
            "{text}"
        );
    }
}
