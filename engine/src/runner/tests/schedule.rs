//! Runs that begin by the clock: one a time, over crashes too.

use super::lab::{Lab, asking};
use crate::runner::Filter;
use crate::runner::view::Summary;

fn scheduled(name: &str, more: &str) -> String {
    asking(name, &format!("[[triggers]]\nkind = \"schedule\"\n{more}"))
}

impl Lab {
    /// Runs, newest first, once there are so many.
    async fn begun(&self, count: usize) -> Vec<Summary> {
        let mut changes = self.handle.changes();
        let until = async {
            loop {
                let runs = self.handle.runs(Filter::default()).await;
                if runs.len() >= count {
                    return runs;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(super::lab::PATIENCE, until).await.unwrap()
    }
}

#[tokio::test]
async fn a_run_begins_each_second_where_it_may_overlap() {
    let lab = Lab::new(&[scheduled("w", "cron = \"* * * * * *\"\noverlap = \"allow\"")]).await;
    let _clockworks = lab.wind_up();
    let runs = lab.begun(3).await;
    let view = lab.view(&runs[0].id.parse().unwrap()).await;
    assert_eq!(
        (view.trigger.kind.as_str(), view.trigger.source.as_str()),
        ("schedule", "* * * * * * UTC")
    );
    let due = async |run: &Summary| {
        lab.view(&run.id.parse().unwrap()).await.trigger.evidence["due"].as_u64().unwrap()
    };
    assert_eq!(due(&runs[0]).await - due(&runs[1]).await, 1_000);
}

#[tokio::test]
async fn a_time_is_left_out_while_the_latest_run_is_open() {
    let lab = Lab::new(&[scheduled("w", "cron = \"* * * * * *\"")]).await;
    let clockworks = lab.wind_up();
    let first = lab.begun(1).await.remove(0);
    // The next one comes only because this one is over: two seconds lie between them.
    let third = baton_core::Millis::from(3_u32) * 1_000 + first.begun_at;
    while unix_ms() < third {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(lab.handle.runs(Filter::default()).await.len(), 1);
    lab.answer(&first.id.parse().unwrap(), "ok", true).await.unwrap();
    lab.begun(2).await;
    drop(clockworks);
}

#[tokio::test]
async fn a_time_that_passed_is_made_up_for_once() {
    let yearly = "cron = \"0 0 1 1 *\"\ntimezone = \"Europe/Berlin\"\noverlap = \"allow\"";
    let made_up = format!("{yearly}\ncatch_up = \"latest\"");
    let lab = Lab::new(&[scheduled("w", &made_up), scheduled("never", yearly)]).await;
    let clockworks = lab.wind_up();
    let run = lab.begun(1).await.remove(0);
    lab.answer(&run.id.parse().unwrap(), "ok", true).await.unwrap();
    lab.state(&run.id.parse().unwrap(), "succeeded").await;
    drop(clockworks);
    let lab = lab.crash().await;
    let _clockworks = lab.wind_up();
    let duplicates = || async {
        let stats = lab.handle.stats().await;
        stats.admissions.get("duplicate").copied().unwrap_or(0)
    };
    while duplicates().await == 0 {
        tokio::task::yield_now().await;
    }
    let runs = lab.handle.runs(Filter::default()).await;
    assert_eq!(runs.iter().map(|run| run.workflow.as_str()).collect::<Vec<_>>(), ["w"]);
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
