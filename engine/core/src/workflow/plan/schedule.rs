//! When a workflow begins by the clock.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use crate::Millis;
use crate::expression::Template;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub(crate) cron: Cron,
    pub(crate) zone: TimeZone,
    /// What becomes of a time that passed while no engine ran.
    pub catch_up: CatchUp,
    /// What becomes of a time at which the latest run of the schedule is still open.
    pub overlap: Overlap,
    /// Params of the run.
    pub params: Template,
}

/// Times that passed while no engine ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The latest of them is made up for, once, when an engine starts.
    Latest,
}

/// A time at which the latest run of the schedule is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// Another run begins, as far as the workflow's `concurrency` lets it.
    Allow,
}

impl Schedule {
    /// Five fields (minute, hour, day of month, month, day of week), or six that begin
    /// with the second; or a word such as `@daily`.
    ///
    /// # Errors
    /// In words, if it does not read as that, or never comes.
    pub(crate) fn cron(text: &str) -> Result<Cron, String> {
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        parser.parse(text).map_err(|error| error.to_string())
    }

    /// A zone of the IANA database, which is built in: what a plan means does not depend
    /// on the machine.
    pub(crate) fn zone(name: &str) -> Option<TimeZone> {
        TimeZoneDatabase::bundled().get(name).ok()
    }

    /// The first time after `after`, both Unix ms; none if there is none any more.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let next = self.cron.find_next_occurrence(&self.local(after)?, false).ok()?;
        millis(&next)
    }

    /// The last time up to and with `until`, both Unix ms; none if there was none.
    pub fn latest(&self, until: Millis) -> Option<Millis> {
        let latest = self.cron.find_previous_occurrence(&self.local(until)?, true).ok()?;
        millis(&latest)
    }

    fn local(&self, at: Millis) -> Option<Zoned> {
        let stamp = Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
        Some(stamp.to_zoned(self.zone.clone()))
    }
}

/// `0 3 * * * Europe/Berlin`.
impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.cron.as_str(), self.zone.iana_name().unwrap_or("UTC"))
    }
}

fn millis(moment: &Zoned) -> Option<Millis> {
    Millis::try_from(moment.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            cron: Schedule::cron(cron).expect("it reads"),
            zone: Schedule::zone(zone).expect("it reads"),
            catch_up: CatchUp::None,
            overlap: Overlap::Skip,
            params: Template::parse(json!({})).expect("it reads"),
        }
    }

    fn at(text: &str) -> Millis {
        u64::try_from(text.parse::<Timestamp>().expect("it reads").as_millisecond())
            .expect("it reads")
    }

    /// The next three times after `from`.
    #[track_caller]
    fn check(cron: &str, zone: &str, from: &str, expected: [&str; 3]) {
        let schedule = schedule(cron, zone);
        let mut now = at(from);
        let times = [(); 3].map(|()| {
            now = schedule.next(now).expect("it reads");
            assert_eq!(schedule.latest(now), Some(now));
            now
        });
        assert_eq!(times, expected.map(at));
    }

    #[test]
    fn a_night_in_berlin_is_one_night_when_the_clocks_change() {
        // 02:30 does not exist on 29 March 2026 and comes twice on 25 October 2026.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-27T12:00:00Z",
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-23T12:00:00Z",
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
    }

    #[test]
    fn seconds_words_and_weekdays_read_as_everywhere() {
        check(
            "*/20 * * * * *",
            "UTC",
            "2026-01-01T00:00:00Z",
            ["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z", "2026-01-01T00:01:00Z"],
        );
        check(
            "@daily",
            "UTC",
            "2026-01-01T00:00:00Z",
            ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"],
        );
        check(
            "0 9 * * MON-FRI",
            "America/New_York",
            "2026-07-03T13:00:00Z",
            ["2026-07-06T13:00:00Z", "2026-07-07T13:00:00Z", "2026-07-08T13:00:00Z"],
        );
    }

    #[test]
    fn what_never_comes_and_what_is_no_cron_are_told() {
        assert!(schedule("0 0 30 2 *", "UTC").next(at("2026-01-01T00:00:00Z")).is_none());
        assert!(Schedule::cron("every day").is_err() && Schedule::cron("61 * * * *").is_err());
        assert!(Schedule::zone("Mars/Olympus").is_none());
    }
}
