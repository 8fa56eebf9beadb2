//! Attempts that are cut off and go on from what is on disk, against real servers.

use baton_core::run::event::CallClass;
use baton_core::run::{Replay, Taping};

use super::super::{Auth, Cluster, Secret};
use super::servers::Server;
use super::{Attempt, Journal, cluster, grant};
use crate::guest::wit::redis::{Error, ErrorKind, Host as _, Node, Reply, Request};
use crate::tape::Divergence;
use crate::trap::Stop;

fn recording(servers: &[&Server]) -> Attempt {
    on(servers, Journal::default(), Taping::Record)
}

fn on(servers: &[&Server], journal: Journal, taping: Taping) -> Attempt {
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    let commands = ["@read", "SET", "INCR", "CLIENT|PAUSE", "CONFIG|SET"];
    let grants = vec![grant(&["data"], &commands, &["*"])];
    Attempt::with(cluster(&addresses, &[]), grants, journal, taping)
}

/// What is on disk of an attempt; outcomes only where `known`.
fn on_disk(attempt: &Attempt, known: Outcomes) -> Replay {
    let (entries, mut calls) = attempt.journal.kept.lock().unwrap().clone();
    if let Outcomes::Lost = known {
        for call in &mut calls {
            call.outcome = None;
        }
    }
    Replay { entries, calls }
}

#[derive(Clone, Copy)]
enum Outcomes {
    Known,
    Lost,
}

/// The attempt after a crash: what was not on disk is gone.
fn again(servers: &[&Server], cut: &Attempt, known: Outcomes) -> Attempt {
    let replay = on_disk(cut, known);
    let kept = (replay.entries.clone(), replay.calls.clone());
    let journal = Journal { kept: kept.into(), ..Journal::default() };
    on(servers, journal, Taping::Replay(replay))
}

async fn value(server: &Server, key: &str) -> Vec<Node> {
    recording(&[server]).ask(&server.address, &[&format!("GET {key}")]).await.unwrap().remove(0)
}

fn bulk(text: &str) -> Reply {
    vec![Node::Bulk(text.as_bytes().to_vec())]
}

fn doubt(result: &Result<Vec<Reply>, Error>) -> &str {
    let error = result.as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::InDoubt, "{}", error.message);
    &error.message
}

async fn diverged(attempt: &mut Attempt, requests: &[(&str, &[&str])]) -> Divergence {
    let requests = requests
        .iter()
        .map(|(address, commands)| Request {
            address: (*address).to_owned(),
            commands: commands.iter().map(|text| super::command(text)).collect(),
        })
        .collect();
    let error = attempt.view().call("bondx".to_owned(), requests, 5_000).await.unwrap_err();
    match error.downcast_ref() {
        Some(Stop::Diverged(how)) => (**how).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn g4_reads_go_to_disk_with_the_first_change_after_them() {
    let server = Server::start(&[]);
    let mut attempt = recording(&[&server]);
    let address = server.address.as_str();
    attempt.ask(address, &["GET a", "PING"]).await.unwrap();
    attempt.view().describe_cluster("bondx".to_owned()).await.unwrap().unwrap();
    assert_eq!(attempt.journal.told(), Vec::<String>::new());
    attempt.ask(address, &["SET a 1", "INCR a"]).await.unwrap();
    attempt.ask(address, &["INCR a"]).await.unwrap();
    assert_eq!(
        attempt.journal.told(),
        [
            "heard 0 redis.call",
            "heard 2 redis.describe-cluster",
            "intend 3 Idempotent SET a 1",
            "intend 4 Once INCR a",
            "outcome 3 OK",
            "outcome 4 2",
            "heard 3 redis.call",
            "intend 5 Once INCR a",
            "outcome 5 3",
        ]
    );
}

#[tokio::test]
async fn of_members_that_change_at_once_one_carries_what_was_heard() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let mut attempt = recording(&[&one, &two]);
    attempt.ask(&one.address, &["PING"]).await.unwrap();
    let change = &["INCR a"][..];
    attempt.call(&[(&one.address, change), (&two.address, change)], 5_000).await.unwrap();
    let told = attempt.journal.told();
    assert_eq!(told[0], "heard 0 redis.call", "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("heard")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("intend")).count(), 2, "{told:?}");
}

#[tokio::test]
async fn g4_a_replay_touches_nothing_that_its_tape_holds() {
    let mut server = Server::start(&[]);
    let mut first = recording(&[&server]);
    let address = server.address.clone();
    let read = first.ask(&address, &["GET a"]).await.unwrap();
    let changed = first.ask(&address, &["INCR a"]).await.unwrap();
    let denied = first.ask(&address, &["FLUSHALL"]).await.unwrap_err();
    first.ask(&address, &["SET b 1"]).await.unwrap();
    server.kill();
    let mut second = again(&[&server], &first, Outcomes::Known);
    assert_eq!(second.ask(&address, &["GET a"]).await, Ok(read));
    assert_eq!(second.ask(&address, &["INCR a"]).await, Ok(changed));
    assert_eq!(second.ask(&address, &["FLUSHALL"]).await, Err(denied));
    assert_eq!(second.journal.told(), Vec::<String>::new());
    assert!(second.caller.tape.rest().is_empty());
}

#[tokio::test]
async fn g4_a_once_change_that_was_on_its_way_is_in_doubt_and_not_sent_again() {
    let server = Server::start(&[]);
    let mut first = recording(&[&server]);
    let address = server.address.as_str();
    first.ask(address, &["GET a"]).await.unwrap();
    first.ask(address, &["INCR a"]).await.unwrap();
    // The crash comes before anything else is stored, the outcome included.
    let mut second = again(&[&server], &first, Outcomes::Lost);
    second.ask(address, &["GET a"]).await.unwrap();
    let result = second.ask(address, &["INCR a"]).await;
    assert_eq!(
        doubt(&result),
        format!(
            "the engine was cut off while it sent {address}> INCR a (no outcome is known): it may have been done, and is not sent again"
        )
    );
    assert_eq!(value(&server, "a").await, bulk("1"));
    // It looks, decides, and goes on live.
    assert_eq!(second.ask(address, &["GET a"]).await.unwrap(), [bulk("1")]);
    second.ask(address, &["INCR b"]).await.unwrap();
    assert_eq!(
        second.journal.told(),
        ["heard 1 redis.call", "heard 2 redis.call", "intend 3 Once INCR b", "outcome 3 1"]
    );
}

#[tokio::test]
async fn what_was_known_of_a_change_in_doubt_is_told() {
    let server = Server::start(&[]);
    let mut first = recording(&[&server]);
    let address = server.address.as_str();
    first.ask(address, &["SET a 6", "INCR a", "INCR b"]).await.unwrap();
    let mut second = again(&[&server], &first, Outcomes::Known);
    let result = second.ask(address, &["SET a 6", "INCR a", "INCR b"]).await;
    let said = doubt(&result);
    assert!(said.contains("INCR a (its outcome was: 7), and 1 more of this request"), "{said}");
    assert_eq!(value(&server, "a").await, bulk("7"));
}

#[tokio::test]
async fn a_guarded_change_that_was_on_its_way_is_in_doubt() {
    let server = Server::start(&[]);
    let mut first = recording(&[&server]);
    let address = server.address.as_str();
    first.ask(address, &["CLIENT PAUSE 1"]).await.unwrap();
    let mut second = again(&[&server], &first, Outcomes::Lost);
    let result = second.ask(address, &["CLIENT PAUSE 1"]).await;
    assert!(doubt(&result).contains("CLIENT PAUSE 1"));
}

#[tokio::test]
async fn an_idempotent_change_that_was_on_its_way_is_sent_again_on_its_old_intent() {
    let server = Server::start(&[]);
    let mut first = recording(&[&server]);
    let address = server.address.as_str();
    let commands = ["GET a", "SET a 1", "SET b 2"];
    first.ask(address, &commands).await.unwrap();
    recording(&[&server]).ask(address, &["SET a 9"]).await.unwrap();
    let mut second = again(&[&server], &first, Outcomes::Lost);
    let replies = second.ask(address, &commands).await.unwrap();
    assert_eq!(replies[0], bulk("9"), "all of it is sent again, the read too");
    assert_eq!(second.journal.told(), ["outcome 1 OK", "outcome 2 OK"]);
    assert_eq!(value(&server, "a").await, bulk("1"));
}

#[tokio::test]
async fn g4_each_member_of_a_call_that_was_cut_off_has_its_own_doubt() {
    let servers: Vec<Server> = (0..4).map(|_| Server::start(&[])).collect();
    let all: Vec<&Server> = servers.iter().collect();
    let requests = [
        (servers[0].address.as_str(), &["INCR n"][..]),
        (servers[1].address.as_str(), &["SET n 5"][..]),
        (servers[2].address.as_str(), &["INCR n"][..]),
        (servers[3].address.as_str(), &["PING"][..]),
    ];
    // The third member's intent did not get to the disk, so nothing was sent to it.
    let journal = Journal { full_from: Some(2), ..Journal::default() };
    let mut first = on(&all, journal, Taping::Record);
    let results = first.call(&requests, 5_000).await.unwrap();
    assert_eq!(results[2].as_ref().unwrap_err().kind, ErrorKind::Internal);
    let mut second = again(&all, &first, Outcomes::Lost);
    let results = second.call(&requests, 5_000).await.unwrap();
    doubt(&results[0]);
    assert!(results[1].is_ok() && results[3].is_ok(), "{results:?}");
    assert_eq!(results[2], Ok(vec![vec![Node::Integer(1)]]));
    assert_eq!(value(&servers[0], "n").await, bulk("1"));
    assert_eq!(value(&servers[2], "n").await, bulk("1"));
    let mut told = second.journal.told();
    told.sort();
    assert_eq!(told, ["intend 2 Once INCR n", "outcome 1 OK", "outcome 2 1"]);
}

#[tokio::test]
async fn g4_a_replay_that_is_cut_off_again_goes_on_where_it_was() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let mut first = recording(&[&server]);
    first.ask(address, &["INCR a"]).await.unwrap();
    let mut second = again(&[&server], &first, Outcomes::Lost);
    doubt(&second.ask(address, &["INCR a"]).await);
    // Cut off before that was stored: the same doubt.
    let mut third = again(&[&server], &second, Outcomes::Lost);
    doubt(&third.ask(address, &["INCR a"]).await);
    third.ask(address, &["INCR b"]).await.unwrap();
    // Cut off after it was stored: the doubt is on the tape, the next change in doubt.
    let mut fourth = again(&[&server], &third, Outcomes::Lost);
    doubt(&fourth.ask(address, &["INCR a"]).await);
    doubt(&fourth.ask(address, &["INCR b"]).await);
    assert_eq!(fourth.journal.told(), Vec::<String>::new());
    assert_eq!(value(&server, "a").await, bulk("1"));
    assert_eq!(value(&server, "b").await, bulk("1"));
}

#[tokio::test]
async fn g4_another_change_than_was_on_its_way_is_a_divergence() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let mut first = recording(&[&server]);
    first.ask(address, &["INCR a"]).await.unwrap();
    for other in [&["INCR b"][..], &["PING"], &["SET a 1"]] {
        let mut second = again(&[&server], &first, Outcomes::Lost);
        let how = diverged(&mut second, &[(address, other)]).await;
        assert!(how.to_string().contains("INCR a"), "{how}");
        assert_eq!(second.journal.told(), Vec::<String>::new());
    }
    assert_eq!(value(&server, "b").await, [Node::Null]);
}

#[tokio::test]
async fn a_change_that_was_on_its_way_and_is_refused_now_is_a_divergence() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let mut first = recording(&[&server]);
    first.ask(address, &["INCR a"]).await.unwrap();
    // baton.toml has lost the node meanwhile.
    let mut second = again(&[], &first, Outcomes::Lost);
    let how = diverged(&mut second, &[(address, &["INCR a"])]).await;
    assert!(how.to_string().contains("it is refused"), "{how}");
}

#[tokio::test]
async fn what_was_said_to_a_connection_is_not_forgotten_with_it() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let journal = Journal::default();
    let commands = ["@read", "SELECT", "SET", "INCR"];
    let free = |journal, taping| {
        let grants = vec![grant(&["data"], &commands, &["*"])];
        Attempt::with(cluster(&[address], &[]), grants, journal, taping)
    };
    let mut first = free(journal, Taping::Record);
    first.ask(address, &["SELECT 1"]).await.unwrap();
    first.ask(address, &["INCR a"]).await.unwrap();
    let replay = on_disk(&first, Outcomes::Lost);
    let mut second = free(Journal::default(), Taping::Replay(replay));
    second.ask(address, &["SELECT 1"]).await.unwrap();
    doubt(&second.ask(address, &["INCR a"]).await);
    // Its connection would be to database 0.
    let error = second.ask(address, &["SET b 1"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed);
    assert!(error.message.ends_with("begin again with SELECT"), "{}", error.message);
    second.ask(address, &["SELECT 1", "SET b 1"]).await.unwrap();
    assert_eq!(value(&server, "b").await, [Node::Null]);
}

#[tokio::test]
async fn g9_a_tape_holds_what_the_guest_saw_secrets_blotted_out() {
    let server = Server::start(&["--requirepass", "hunter2"]);
    let auth = Auth { username: None, password: Some(Secret::new("hunter2")) };
    let cluster = Cluster { auth, ..cluster(&[&server.address], &[]) };
    let grants = vec![grant(&["data"], &["@read", "CONFIG|SET"], &[])];
    let address = server.address.as_str();
    let with = |journal, taping| Attempt::with(cluster.clone(), grants.clone(), journal, taping);
    let mut first = with(Journal::default(), Taping::Record);
    let commands = ["CONFIG GET *"];
    let live = first.ask(address, &commands).await.unwrap();
    let set = ["CONFIG SET requirepass hunter2", "CONFIG SET masterauth hunter3"];
    let done = first.ask(address, &set).await.unwrap();
    first.ask(address, &["CONFIG SET maxclients 100"]).await.unwrap();
    let replay = on_disk(&first, Outcomes::Known);
    let all = format!("{replay:?}");
    assert!(all.contains("(redacted)"), "{all}");
    assert!(!all.contains("hunter"), "{all}");
    let mut second = with(Journal::default(), Taping::Replay(replay));
    assert_eq!(second.ask(address, &commands).await, Ok(live));
    assert_eq!(second.ask(address, &set).await, Ok(done));
}

#[tokio::test]
async fn g4_a_change_on_a_tape_that_is_full_ends_the_attempt_before_it_is_sent() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let mut attempt = recording(&[&server]);
    attempt.ask(address, &[&format!("SET big {}", "x".repeat(3 << 20))]).await.unwrap();
    for _ in 0..4 {
        attempt.ask(address, &["GET big"]).await.unwrap();
    }
    let request = Request { address: address.to_owned(), commands: vec![super::command("INCR a")] };
    let error = attempt.view().call("bondx".to_owned(), vec![request], 5_000).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Stop::TapeLimit)), "{error}");
    assert_eq!(value(&server, "a").await, [Node::Null]);
    let classes: Vec<CallClass> =
        on_disk(&attempt, Outcomes::Known).calls.iter().map(|call| call.class).collect();
    assert_eq!(classes, [CallClass::Idempotent], "its intent was not told either");
}
