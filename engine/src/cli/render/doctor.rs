//! `baton doctor`: what was found, the worst first.

use baton_core::Json;

use super::look::{Look, Tone};
use super::page::Page;
use super::words::{clean, count};

/// What was found in a cluster.
pub(crate) fn found(cluster: &str, output: &Json, look: Look) -> String {
    let mut page = Page::new(look);
    let none = Vec::new();
    let findings = output["findings"].as_array().unwrap_or(&none);
    for finding in findings {
        let text = |name: &str| clean(finding[name].as_str().unwrap_or_default());
        let severity = text("severity");
        let word = look.tint(tone(&severity), &severity);
        page.line("", &format!("{word}: {} {}", text("subject"), text("code")));
        for (label, name) in [("what", "what"), ("why", "why"), ("mend", "mend")] {
            page.fact("  ", label, &text(name));
        }
    }
    let looked_at = output["looked_at"].as_u64().unwrap_or(0);
    let looked_at = format!("{looked_at} things looked at");
    let of = |severity: &str| findings.iter().filter(|it| it["severity"] == severity).count();
    let (errors, warnings, notices) = (of("error"), of("warning"), of("notice"));
    let counts = [(errors, "error"), (warnings, "warning"), (notices, "notice")];
    let counts: Vec<String> =
        counts.iter().filter(|it| it.0 > 0).map(|(many, word)| count(*many, word)).collect();
    let (tone, word) = match (errors, counts.is_empty()) {
        (0, true) => (Tone::Good, "✓ well".to_owned()),
        (0, false) => (Tone::Ask, counts.join(", ")),
        (_, _) => (Tone::Bad, format!("✗ {}", counts.join(", "))),
    };
    page.line("", &format!("{}: {}, {looked_at}", look.tint(tone, &word), clean(cluster)));
    page.text()
}

fn tone(severity: &str) -> Tone {
    match severity {
        "error" => Tone::Bad,
        "warning" => Tone::Ask,
        _ => Tone::Dim,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::look::Paint;
    use super::*;

    const PLAIN: Look = Look { paint: Paint::Plain, width: None };

    #[test]
    fn a_well_cluster_is_one_line() {
        let output = json!({ "verdict": "well", "findings": [], "looked_at": 74 });
        assert_eq!(found("bondx", &output, PLAIN), "✓ well: bondx, 74 things looked at\n");
    }

    #[test]
    fn each_finding_says_what_why_and_how_to_mend_it() {
        let finding = |severity: &str| {
            json!({ "severity": severity, "code": "no-fence", "subject": "10.0.0.1:6379",
                "what": "min-replicas-to-write is 0", "why": "lost\u{1b}[31m", "mend": "CONFIG SET" })
        };
        let findings = [finding("error"), finding("warning"), finding("warning")];
        let output = json!({ "verdict": "errors", "findings": findings, "looked_at": 74 });
        let text = found("bondx", &output, PLAIN);
        let first = "error: 10.0.0.1:6379 no-fence\n  what     min-replicas-to-write is 0\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("  mend     CONFIG SET\nwarning: "), "{text}");
        assert!(text.ends_with("✗ 1 error, 2 warnings: bondx, 74 things looked at\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
