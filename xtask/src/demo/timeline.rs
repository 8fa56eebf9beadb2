//! What happened when, told in UTC and in milliseconds since the fault.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// For distances.
    pub(crate) at: Instant,
    /// Unix ms, for people and for the journal's times.
    pub(crate) unix_ms: i64,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), unix_ms: unix_ms(SystemTime::now()) }
    }

    /// Another moment of the same process, on both clocks.
    pub(crate) fn of(self, at: Instant) -> Self {
        let after = at.checked_duration_since(self.at).unwrap_or(Duration::ZERO);
        let before = self.at.checked_duration_since(at).unwrap_or(Duration::ZERO);
        Self { at, unix_ms: self.unix_ms + millis(after) - millis(before) }
    }
}

/// What happened, in the order in which it was noticed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(Vec<(i64, String)>);

impl Timeline {
    /// Notes `what` at `moment`.
    pub(crate) fn note(&mut self, moment: Moment, what: impl Into<String>) {
        self.at_ms(moment.unix_ms, what);
    }

    /// Notes `what` at a time of the journal, Unix ms.
    pub(crate) fn at_ms(&mut self, unix_ms: i64, what: impl Into<String>) {
        self.0.push((unix_ms, what.into()));
    }

    /// All notes by time.
    pub(crate) fn sorted(&self) -> Vec<(i64, &str)> {
        let mut notes: Vec<_> = self.0.iter().map(|(at, what)| (*at, what.as_str())).collect();
        notes.sort_by_key(|(at, _)| *at);
        notes
    }
}

/// `12:34:56.789` of that day in UTC.
pub(crate) fn clock(unix_ms: i64) -> String {
    let of_day = unix_ms.rem_euclid(86_400_000);
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-23` in UTC. Days to civil date by Howard Hinnant's `civil_from_days`.
pub(crate) fn date(unix_ms: i64) -> String {
    let days = unix_ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn unix_ms(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{clock, date};

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!((date(0), clock(0)), ("1970-01-01".to_owned(), "00:00:00.000".to_owned()));
        let at = 1_709_210_096_789; // 2024-02-29T12:34:56.789Z
        assert_eq!((date(at), clock(at)), ("2024-02-29".to_owned(), "12:34:56.789".to_owned()));
        assert_eq!(date(1_798_761_599_000), "2026-12-31");
    }
}
