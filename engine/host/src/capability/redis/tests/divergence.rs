//! What an old master alone wrote, read from real backlogs, and from servers that lie.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::Mode;
use super::servers::Server;
use super::{Attempt, cluster, grant};
use crate::guest::wit::redis::{
    Error, ErrorKind, Host as _, Node, StreamPlace, StreamReading, Stretch, Unreadable,
};

fn at(offset: i64) -> StreamPlace {
    StreamPlace { offset, database: None, transaction: None }
}

fn attempt(nodes: &[&str]) -> Attempt {
    let all =
        ["@read", "PSYNC", "SET", "REPLICAOF", "CONFIG|SET", "DEL", "LPUSH", "INCR", "PUBLISH"];
    Attempt::new(cluster(nodes, &[]), vec![grant(&["data"], &all, &["*"])])
}

async fn read(
    attempt: &mut Attempt,
    address: &str,
    replid: &str,
    place: StreamPlace,
) -> Result<StreamReading, Error> {
    let (cluster, address, replid) = ("bondx".to_owned(), address.to_owned(), replid.to_owned());
    attempt.view().divergence(cluster, address, replid, place, 2_000).await.unwrap()
}

async fn stretch(
    attempt: &mut Attempt,
    address: &str,
    replid: &str,
    place: StreamPlace,
) -> Stretch {
    match read(attempt, address, replid, place).await.unwrap() {
        StreamReading::Read(stretch) => stretch,
        StreamReading::Unreadable((why, found)) => panic!("{why:?}: {found}"),
    }
}

async fn info(attempt: &mut Attempt, address: &str, section: &str, name: &str) -> String {
    let reply = attempt.ask(address, &[&format!("INFO {section}")]).await.unwrap().remove(0);
    let [Node::Bulk(text)] = reply.as_slice() else { panic!("{reply:?}") };
    let text = String::from_utf8(text.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// A master and its replica, parted after 20 shared writes.
struct Parted {
    old: Server,
    new: Server,
    attempt: Attempt,
    replid: String,
    from: i64,
}

async fn parted(settings: &[&str]) -> Parted {
    let old = Server::start(settings);
    let new = Server::start(&[]);
    let mut attempt = attempt(&[&old.address, &new.address]);
    let (host, port) = old.address.split_once(':').unwrap();
    attempt.ask(&new.address, &[&format!("REPLICAOF {host} {port}")]).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while info(&mut attempt, &new.address, "replication", "master_link_status").await != "up" {
        assert!(tokio::time::Instant::now() < deadline, "the replica never attached");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let shared: Vec<String> = (0..20).map(|number| format!("SET shared:{number} x")).collect();
    let mut shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    shared.push("WAIT 1 5000");
    attempt.ask(&old.address, &shared).await.unwrap();
    attempt.ask(&new.address, &["REPLICAOF NO ONE"]).await.unwrap();
    let replid = info(&mut attempt, &new.address, "replication", "master_replid2").await;
    let from = info(&mut attempt, &new.address, "replication", "second_repl_offset").await;
    Parted { old, new, attempt, replid, from: from.parse().unwrap() }
}

const FENCE: &str = "CONFIG SET min-replicas-to-write 100";

#[tokio::test]
async fn exactly_what_was_lost_is_read_and_nothing_is_left_on_the_server() {
    let Parted { old, new: _new, mut attempt, replid, from } =
        parted(&["--repl-backlog-size", "64mb"]).await;
    let large = format!("SET large {}", "x".repeat(5_000_000));
    let writes = [
        "SET lost:1 a",
        "PUBLISH channel hello",
        "SELECT 3",
        "LPUSH list b",
        "MULTI",
        "SET t 1",
        "INCR t",
        "EXEC",
        "SELECT 0",
        &large,
        "DEL lost:1 shared:1 nobody",
        FENCE,
    ];
    let all = [
        "@read",
        "SELECT",
        "MULTI",
        "EXEC",
        "SET",
        "LPUSH",
        "INCR",
        "DEL",
        "PUBLISH",
        "CONFIG|SET",
    ];
    let mut client =
        Attempt::new(cluster(&[&old.address], &[]), vec![grant(&["data"], &all, &["*"])]);
    client.ask(&old.address, &writes).await.unwrap();
    let end: i64 = info(&mut attempt, &old.address, "replication", "master_repl_offset")
        .await
        .parse()
        .unwrap();

    let before = attempt.journal.told();
    let stretch = stretch(&mut attempt, &old.address, &replid, at(from)).await;
    let told: Vec<_> = stretch
        .writes
        .iter()
        .map(|it| {
            let keys = it.keys.clone().unwrap().into_iter();
            let keys: Vec<String> = keys.map(|key| String::from_utf8(key).unwrap()).collect();
            (it.name.as_str(), keys.join(" "), it.database, it.transaction.is_some(), it.whole)
        })
        .collect();
    let expected = [
        ("SET", "lost:1", None, false),
        ("LPUSH", "list", Some(3), false),
        ("SET", "t", Some(3), true),
        ("INCR", "t", Some(3), true),
        ("SET", "large", Some(0), false),
        ("DEL", "lost:1 shared:1 nobody", Some(0), false),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, keys, database, inside)| (name, keys.to_owned(), database, inside, true))
        .collect();
    assert_eq!(told, expected);
    assert_eq!((stretch.end, stretch.next), (end, None));
    let written: u64 = stretch.writes.iter().map(|it| it.size).sum();
    assert_eq!(written + stretch.idle_bytes, u64::try_from(end - from + 1).unwrap());
    assert_eq!(stretch.writes[0].size, 32, "*3 $3 SET $6 lost:1 $1 a");
    assert_eq!(stretch.writes[0].text, "SET lost:1 a");
    assert!(stretch.writes[4].text.len() < 300);

    // The connection is gone, and no copy was made for it.
    let mut count = async |section, name| info(&mut attempt, &old.address, section, name).await;
    assert_eq!(count("replication", "connected_slaves").await, "0");
    assert_eq!(count("stats", "sync_full").await, "1");
    assert_eq!(count("stats", "sync_partial_ok").await, "1");
    assert_eq!(count("persistence", "rdb_bgsave_in_progress").await, "0");
    assert_eq!(attempt.journal.told(), before, "a reading changes nothing");
}

#[tokio::test]
async fn a_fenced_node_takes_no_write_while_it_is_read() {
    let Parted { old, new: _new, mut attempt, replid, from } = parted(&[]).await;
    attempt.ask(&old.address, &["SET lost 1", FENCE]).await.unwrap();
    let over = AtomicBool::new(false);
    let write = async {
        let mut tries = 0;
        let mut writer =
            Attempt::new(cluster(&[&old.address], &[]), vec![grant(&["data"], &["SET"], &["*"])]);
        while !over.load(Ordering::Relaxed) {
            let reply = writer.ask(&old.address, &["SET late 1"]).await.unwrap().remove(0);
            assert!(
                matches!(&reply[..], [Node::Error(text)] if text.starts_with("NOREPLICAS")),
                "{reply:?}"
            );
            tries += 1;
        }
        tries
    };
    let reading = async {
        for _ in 0..100 {
            let stretch = stretch(&mut attempt, &old.address, &replid, at(from)).await;
            assert_eq!(stretch.writes.len(), 1);
        }
        over.store(true, Ordering::Relaxed);
    };
    let (tries, ()) = tokio::join!(write, reading);
    assert!(tries > 10, "{tries} writes were tried");
}

#[tokio::test]
async fn a_long_stream_comes_in_parts_that_join_without_a_gap() {
    let Parted { old, new: _new, mut attempt, replid, from } = parted(&[]).await;
    let all = ["SELECT", "MULTI", "EXEC", "SET", "CONFIG|SET"];
    let mut writer =
        Attempt::new(cluster(&[&old.address], &[]), vec![grant(&["data"], &all, &["*"])]);
    let sets: Vec<String> = (0..9_990).map(|number| format!("SET k:{number} v")).collect();
    let mut commands = vec!["SELECT 5", "MULTI"];
    commands.extend(sets.iter().map(String::as_str));
    commands.extend(["EXEC", FENCE]);
    writer.ask(&old.address, &commands).await.unwrap();

    let (mut place, mut seen, mut parts) = (Some(at(from)), Vec::new(), 0);
    let mut next_offset = None;
    while let Some(here) = place {
        let stretch = stretch(&mut attempt, &old.address, &replid, here).await;
        if let (Some(expected), Some(first)) = (next_offset, stretch.writes.first()) {
            assert_eq!(first.offset, expected);
        }
        next_offset = stretch.next.map(|it: StreamPlace| it.offset);
        seen.extend(stretch.writes);
        place = stretch.next;
        parts += 1;
    }
    assert_eq!((seen.len(), parts), (9_990, 2));
    assert!(seen.iter().all(|it| it.database == Some(5) && it.transaction.is_some()));
    assert!(seen.iter().all(|it| it.transaction == seen[0].transaction));
    assert_eq!(seen[9_989].text, "SET k:9989 v");
}

#[tokio::test]
async fn a_place_that_is_not_in_the_backlog_is_never_asked_for() {
    let Parted { old, new, mut attempt, replid, from } =
        parted(&["--repl-backlog-size", "16kb"]).await;
    let sets: Vec<String> =
        (0..100).map(|number| format!("SET k:{number} {}", "v".repeat(1_000))).collect();
    let mut sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    sets.push(FENCE);
    attempt.ask(&old.address, &sets).await.unwrap();
    let other = "f".repeat(40);
    let (port, far) = (new.address.clone(), from + 1_000_000_000);
    for (replid, offset, why, told) in [
        (&replid, from, Unreadable::Overwritten, "is not in it"),
        (&replid, 1, Unreadable::Overwritten, "is not in it"),
        (&other, from, Unreadable::AnotherHistory, "not on ffff"),
        (&replid, far, Unreadable::AnotherHistory, "was asked for"),
        (&replid, i64::MAX, Unreadable::AnotherHistory, "was asked for"),
        (&replid, i64::MIN, Unreadable::AnotherHistory, "was asked for"),
        (&"?".to_owned(), -1, Unreadable::AnotherHistory, "not on ?"),
    ] {
        let reading = read(&mut attempt, &old.address, replid, at(offset)).await.unwrap();
        let StreamReading::Unreadable((found, message)) = reading else {
            panic!("{offset} was read");
        };
        assert_eq!(found, why, "{message}");
        assert!(message.contains(told), "{message}");
    }
    let (host, port) = port.split_once(':').unwrap();
    attempt.ask(&old.address, &[&format!("REPLICAOF {host} {port}")]).await.unwrap();
    let reading = read(&mut attempt, &old.address, &replid, at(from)).await.unwrap();
    assert!(matches!(reading, StreamReading::Unreadable((Unreadable::AnotherHistory, _))));
    assert_eq!(
        info(&mut attempt, &old.address, "stats", "sync_full").await,
        "1",
        "the replica's own"
    );
    assert_eq!(info(&mut attempt, &old.address, "stats", "sync_partial_ok").await, "0");
}

#[tokio::test]
async fn where_nothing_was_lost_nothing_is_asked_for() {
    let Parted { old, new: _new, mut attempt, replid, .. } = parted(&[]).await;
    let end: i64 = info(&mut attempt, &old.address, "replication", "master_repl_offset")
        .await
        .parse()
        .unwrap();
    let stretch = stretch(&mut attempt, &old.address, &replid, at(end + 1)).await;
    assert_eq!((stretch.writes.len(), stretch.next), (0, None));
    assert_eq!(info(&mut attempt, &old.address, "stats", "sync_partial_ok").await, "0");
}

/// Says it is a master at offset 1000 with all of its stream, then answers PSYNC so.
async fn lying(answer: &'static [u8], stays: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let info = "role:master\r\nmaster_replid:abc\r\nmaster_repl_offset:1000\r\n\
                    repl_backlog_active:1\r\nrepl_backlog_first_byte_offset:1\r\n\
                    repl_backlog_histlen:1000\r\n";
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked).await;
        let reply = format!("${}\r\n{info}\r\n", info.len());
        let _ = stream.write_all(reply.as_bytes()).await;
        let _ = stream.read(&mut asked).await;
        let _ = stream.write_all(answer).await;
        if stays {
            std::future::pending::<()>().await;
        }
    });
    address
}

#[tokio::test]
async fn g7_a_server_that_lies_stalls_or_babbles_ends_in_time_and_in_words() {
    let set = b"+CONTINUE\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n";
    for (answer, stays, kind, told) in [
        (&b"+FULLRESYNC abc 1\r\n"[..], true, None, "dropped at once"),
        (b"-NOMASTERLINK Can't SYNC\r\n", true, None, "NOMASTERLINK"),
        (b"-NOPERM no psync\r\n", true, Some(ErrorKind::Unauthorized), "`+psync`"),
        (b"", true, Some(ErrorKind::TimedOut), "in time"),
        (b"", false, Some(ErrorKind::Closed), "closed"),
        (set, true, Some(ErrorKind::TimedOut), "in time"),
        (set, false, Some(ErrorKind::Closed), "closed"),
        (b"+CONTINUE\r\nnonsense\r\n", true, Some(ErrorKind::Protocol), "should go on"),
        (b"+CONTINUE\r\n*0\r\n", true, Some(ErrorKind::Protocol), "without a name"),
        (b"+CONTINUE\r\n*-1\r\n", true, Some(ErrorKind::Protocol), "should go on"),
        (b"+CONTINUE\r\n*1\r\n$1\r\nabc", true, Some(ErrorKind::Protocol), "does not end"),
        (
            b"+CONTINUE\r\n*1\r\n$18446744073709551615\r\nab",
            false,
            Some(ErrorKind::Closed),
            "closed",
        ),
        (b"+CONTINUE\r\n*99999999999\r\n$4\r\nPING\r\n", false, Some(ErrorKind::Closed), "closed"),
    ] {
        let address = lying(answer, stays).await;
        let mut attempt = attempt(&[&address]);
        let found = read(&mut attempt, &address, "abc", at(900)).await;
        let message = match (found, kind) {
            (Ok(StreamReading::Unreadable((Unreadable::Refused, message))), None) => message,
            (Err(error), Some(kind)) if error.kind == kind => error.message,
            (other, _) => panic!("{other:?} to {}", String::from_utf8_lossy(answer)),
        };
        assert!(message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn g7_it_needs_its_own_word_and_every_key_and_a_cluster_that_may_be_touched() {
    let server = Server::start(&[]);
    let address = server.address.as_str();
    let mut observed = cluster(&[address], &[]);
    observed.mode = Mode::Observe;
    let lead = || cluster(&[address], &["127.0.0.1:9"]);
    for (cluster, nodes, commands, keys, address, told) in [
        (lead(), "data", "@read", "*", address, "add \"PSYNC\" to grants.redis.commands"),
        (lead(), "data", "PSYNC", "book:*", address, "add \"*\" to grants.redis.keys"),
        (lead(), "sentinels", "PSYNC", "*", address, "grants.redis.nodes"),
        (lead(), "sentinels", "PSYNC", "*", "127.0.0.1:9", "is a Sentinel"),
        (observed, "data", "PSYNC", "*", address, "mode observe"),
        (lead(), "data", "PSYNC", "*", "10.0.0.1:1", "neither node nor Sentinel"),
    ] {
        let mut attempt = Attempt::new(cluster, vec![grant(&[nodes], &[commands], &[keys])]);
        let error = read(&mut attempt, address, "abc", at(1)).await.unwrap_err();
        assert!(error.message.contains(told), "{}", error.message);
    }
    // Asked for by `call` it stays refused, whatever is granted.
    let error = attempt(&[address]).ask(address, &["PSYNC abc 1"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn a_user_without_the_right_is_told_which() {
    let Parted { old, new: _new, mut attempt, replid, from } = parted(&[]).await;
    attempt.ask(&old.address, &["SET lost 1"]).await.unwrap();
    let mut admin = Attempt::new(
        cluster(&[&old.address], &[]),
        vec![grant(&["data"], &["ACL|SETUSER"], &["*"])],
    );
    admin.ask(&old.address, &["ACL SETUSER default -psync"]).await.unwrap();
    let error = read(&mut attempt, &old.address, &replid, at(from)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(error.message.contains("`+psync`"), "{}", error.message);
}
