//! Attempts that are cut off and go on from what is on disk.

use baton_core::run::Taping;

use super::{Attempt, Class, command};
use crate::capability::exec::Command;
use crate::capability::lab::{Journal, divergence};
use crate::guest::wit::types::ErrorKind;

/// Counts how often it ran, in a file of its own.
struct Counter(tempfile::TempDir);

impl Counter {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, class: Class) -> Command {
        let text = format!("echo \"$0\" | tee -a {}", self.0.path().join("ran").display());
        command(&["sh", "-c", &text], &["[a-z]+"], class)
    }

    fn count(&self) -> usize {
        let text = std::fs::read_to_string(self.0.path().join("ran")).unwrap_or_default();
        text.lines().count()
    }
}

#[tokio::test]
async fn g4_the_intent_is_on_disk_before_a_change_and_a_read_has_none() {
    let counter = Counter::new();
    let mut attempt = Attempt::new(counter.command(Class::Once));
    attempt.run(&["a"]).await.unwrap();
    assert_eq!(attempt.journal.told(), ["intend 0 Once exec> tool a", "outcome 0 exit 0"]);
    let mut reading = Attempt::new(counter.command(Class::Read));
    reading.run(&["a"]).await.unwrap();
    assert_eq!(reading.journal.told(), Vec::<String>::new());
    let mut full = Attempt::with(counter.command(Class::Once), Journal::full(), Taping::Record);
    let error = full.run(&["a"]).await.unwrap_err();
    assert!(error.message.contains("nothing was sent"), "{}", error.message);
    assert_eq!(counter.count(), 2);
}

#[tokio::test]
async fn g4_only_an_idempotent_command_that_was_on_its_way_runs_again() {
    let counter = Counter::new();
    let mut first = Attempt::new(counter.command(Class::Once));
    first.run(&["a"]).await.unwrap();
    let mut second = first.again(counter.command(Class::Once));
    let error = second.run(&["a"]).await.unwrap_err();
    assert_eq!((error.kind, counter.count()), (ErrorKind::InDoubt, 1));

    let mut first = Attempt::new(counter.command(Class::Idempotent));
    first.run(&["b"]).await.unwrap();
    let mut second = first.again(counter.command(Class::Idempotent));
    assert_eq!(second.run(&["b"]).await.unwrap().stdout, b"b\n");
    assert_eq!(counter.count(), 3);
    let mut other = first.again(counter.command(Class::Idempotent));
    assert_eq!(divergence(other.call(&["c"], 20_000).await).index, 0);
    // The operator has called it something else meanwhile.
    let mut other = first.again(counter.command(Class::Once));
    assert_eq!(divergence(other.call(&["b"], 20_000).await).index, 0);
    assert_eq!(counter.count(), 3);
}

#[tokio::test]
async fn g4_a_replay_runs_nothing_that_its_tape_holds() {
    let counter = Counter::new();
    let mut first = Attempt::new(counter.command(Class::Once));
    let heard = first.run(&["a"]).await;
    let refused = first.run(&["--help"]).await;
    first.run(&["b"]).await.unwrap();
    let mut second = first.again(counter.command(Class::Once));
    assert_eq!(second.run(&["a"]).await, heard);
    assert_eq!(second.run(&["--help"]).await, refused);
    assert_eq!(counter.count(), 2);
}
