//! `[retention]`: how long the journal keeps closed runs.

use baton_core::workflow::parse_duration;

use super::flaw::{Flaws, shown};
use super::override_of;
use super::reader::Section;
use crate::journal::Retention;

/// As [`CLOSED_FOR_MS`] is written.
const CLOSED_FOR: &str = "90d";
/// A quarter: long enough for the review of any incident.
const CLOSED_FOR_MS: u64 = 90 * DAY_MS;
/// Shorter, and a run is gone before anybody has looked at it.
const CLOSED_FOR_MS_MIN: u64 = 60_000;
/// A hundred years is for ever.
const CLOSED_FOR_MS_MAX: u64 = 36_500 * DAY_MS;
/// As many as lists reach back; more would only make a start after a power loss slower.
const CLOSED_RUNS: u64 = 10_000;
/// Beyond this a disk is the bound.
const CLOSED_RUNS_MAX: u64 = 100_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Reads the section.
pub(super) fn read(
    mut section: Section<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    flaws: &mut Flaws,
) -> Retention {
    let written = section.string("closed_for", flaws);
    let closed_ms_max = match override_of(env, "BATON_RETENTION_CLOSED_FOR", written) {
        None => CLOSED_FOR_MS,
        Some((text, place)) => {
            let bounds = CLOSED_FOR_MS_MIN..=CLOSED_FOR_MS_MAX;
            parse_duration(&text).filter(|ms| bounds.contains(ms)).unwrap_or_else(|| {
                let found = shown(&text);
                place.flaw(flaws, &format!(
                    "`closed_for` must be a duration from 1m to 36500d, as \"{CLOSED_FOR}\", not {found}"
                ));
                CLOSED_FOR_MS
            })
        }
    };
    let written = section.integer("closed_runs", 1..=CLOSED_RUNS_MAX, flaws);
    let closed_runs_max = match env("BATON_RETENTION_CLOSED_RUNS") {
        None => written.map_or(CLOSED_RUNS, toml::Spanned::into_inner),
        Some(text) => {
            let number = text.parse().ok().filter(|number| (1..=CLOSED_RUNS_MAX).contains(number));
            number.unwrap_or_else(|| {
                flaws.add_unplaced(format!(
                    "BATON_RETENTION_CLOSED_RUNS: {} is not a whole number from 1 to \
                     {CLOSED_RUNS_MAX}",
                    shown(&text)
                ));
                CLOSED_RUNS
            })
        }
    };
    section.finish(flaws);
    Retention { closed_ms_max, closed_runs_max }
}
