//! `baton maintenance list`: what holds changes back.

use baton_core::Millis;

use super::look::{Look, Tone};
use super::table::table;
use super::words::{clean, duration, time};
use crate::runner::switches::{Brake, By, Past, Switches};

/// Ended ones that are shown; all are in `--output json`.
const PAST_SHOWN: usize = 10;

/// What is on and to come, then the latest that ended.
pub(crate) fn switches(switches: &Switches, now: Millis, look: Look) -> String {
    let mut text = String::new();
    if switches.brakes.is_empty() {
        text.push_str("nothing is held back\n");
    } else {
        let rows: Vec<Vec<String>> = switches.brakes.iter().map(|it| row(it, now, look)).collect();
        text.push_str(&table(&["", "WHAT", "STATE", "FROM", "UNTIL", "BY", "WHY"], &rows, look));
    }
    if !switches.past.is_empty() {
        let rows: Vec<Vec<String>> =
            switches.past.iter().rev().take(PAST_SHOWN).map(past_row).collect();
        text.push('\n');
        text.push_str(&table(&["", "ENDED", "AT", "BY", "WHY"], &rows, look));
    }
    text
}

/// One line for each that is in force, for whoever looks at something else.
pub(crate) fn notes(switches: &Switches, now: Millis) -> Vec<String> {
    let on = switches.brakes.iter().filter(|brake| brake.is_on(now));
    let note = |brake: &Brake| {
        let By { who, reason } = &brake.by;
        let until = brake.until.map_or_else(String::new, |until| {
            format!(" for {} more", duration(until.saturating_sub(now)))
        });
        let what = match &brake.cluster {
            None => "everything is paused".to_owned(),
            Some(cluster) => format!("{} is in maintenance", clean(cluster)),
        };
        format!("{what}{until}, by {}: {}", clean(who), clean(reason))
    };
    on.map(note).collect()
}

/// What a window that was just begun means.
pub(crate) fn window(cluster: &str, from: Millis, until: Millis) -> String {
    format!(
        "{} is in maintenance from {} until {} ({}); what begins by itself is held back\n",
        clean(cluster),
        time(from),
        time(until),
        duration(until.saturating_sub(from))
    )
}

fn what(brake: &Brake) -> String {
    brake.cluster.as_ref().map_or_else(|| "everything".to_owned(), |cluster| clean(cluster))
}

fn row(brake: &Brake, now: Millis, look: Look) -> Vec<String> {
    let (state, tone) = match (&brake.cluster, brake.is_on(now)) {
        (None, true) => ("paused", Tone::Ask),
        (Some(_), true) => ("in maintenance", Tone::Ask),
        (_, false) => ("announced", Tone::Dim),
    };
    vec![
        brake.id.to_string(),
        what(brake),
        look.tint(tone, state),
        time(brake.from),
        brake.until.map_or_else(|| "somebody ends it".to_owned(), time),
        clean(&brake.by.who),
        clean(&brake.by.reason),
    ]
}

fn past_row(past: &Past) -> Vec<String> {
    let (who, why) = match &past.ended_by {
        Some(by) => (clean(&by.who), clean(&by.reason)),
        None => ("-".to_owned(), "its time had come".to_owned()),
    };
    vec![past.brake.id.to_string(), what(&past.brake), time(past.ended_at), who, why]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const NOW: Millis = 1_793_714_709_123;

    fn brake(id: u64, cluster: Option<&str>, from: Millis, until: Option<Millis>) -> Brake {
        let by = By { who: "ann".to_owned(), reason: "new\nracks".to_owned() };
        Brake { id, cluster: cluster.map(str::to_owned), by, from, until }
    }

    #[test]
    fn what_holds_back_is_a_table_and_what_ended_another() {
        let ended_by = Some(By { who: "bob".to_owned(), reason: "done".to_owned() });
        let all = Switches {
            brakes: vec![
                brake(4, None, NOW - 5_000, None),
                brake(5, Some("bondx"), NOW - 1_000, Some(NOW + 90_000)),
                brake(6, Some("bondx"), NOW + 86_400_000, Some(NOW + 90_000_000)),
            ],
            past: vec![
                Past { brake: brake(1, None, 0, None), ended_at: NOW - 9_000, ended_by },
                Past { brake: brake(2, Some("x"), 0, Some(5)), ended_at: 5, ended_by: None },
            ],
            ..Switches::default()
        };
        expect![[r"
               WHAT        STATE           FROM                         UNTIL                        BY   WHY
            4  everything  paused          2026-11-03 14:05:04.123 UTC  somebody ends it             ann  new ⏎ racks
            5  bondx       in maintenance  2026-11-03 14:05:08.123 UTC  2026-11-03 14:06:39.123 UTC  ann  new ⏎ racks
            6  bondx       announced       2026-11-04 14:05:09.123 UTC  2026-11-04 15:05:09.123 UTC  ann  new ⏎ racks

               ENDED       AT                           BY   WHY
            2  x           1970-01-01 00:00:00.005 UTC  -    its time had come
            1  everything  2026-11-03 14:05:00.123 UTC  bob  done
        "]]
        .assert_eq(&switches(&all, NOW, Look::PLAIN));
        expect![[r"
            everything is paused, by ann: new ⏎ racks
            bondx is in maintenance for 1m 30s more, by ann: new ⏎ racks"]]
        .assert_eq(&notes(&all, NOW).join("\n"));
        assert_eq!(switches(&Switches::default(), NOW, Look::PLAIN), "nothing is held back\n");
    }
}
