//! Each name of the evidence table, made to happen.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use baton_lab::{Options, query, wait_until};

use super::scene::{SOON, Scene, tell};

#[test]
fn a_killed_master_is_dead_at_once_and_its_supervisor_may_bring_it_back() {
    let scene = Scene::quiet();
    let well = scene.expect("Healthy", "healthy");
    assert_eq!(well.master(), scene.master().address());
    scene.master().kill().unwrap();
    let dead = scene.expect("DeadMaster", "dead");
    let votes = dead.of("vantage");
    assert_eq!((&votes["us"], &votes["replicas"]), (&"dead".into(), &"dead".into()), "{votes}");
    // It was seen alive by another process, before: samples outlive the engine.
    let known = &dead.of("last_known")[0];
    assert_eq!(known["address"], scene.master().address(), "{known}");
    assert_eq!(known["role"], "master");
    assert_eq!(known["replid"], dead.of("lineage")["replid"]);

    let scene = scene.with("restart_grace_ms = 600000\n");
    let grace = scene.expect("Unknown", "unknown");
    assert!(grace.reason().contains("its supervisor has 600000 ms"), "{}", grace.reason());
    scene.master().start().unwrap();
    scene.until("Healthy");
}

#[test]
fn a_hang_is_death_only_when_replicas_and_sentinels_have_missed_it_long_enough() {
    let scene = Scene::quiet();
    scene.master().stop().unwrap();
    let early = scene.look();
    assert_ne!(early.verdict(), "dead", "{}", early.reason());
    let dead = scene.until("DeadMaster");
    assert_eq!(dead.verdict(), "dead");
    let votes = dead.of("vantage");
    assert!(["us", "replicas", "sentinels"].iter().all(|it| votes[*it] == "dead"), "{votes}");
    scene.master().cont().unwrap();
    let back = scene.until("Healthy");
    assert_eq!(back.master(), scene.master().address());
}

#[test]
fn a_master_that_its_replicas_still_hear_is_not_dead_however_silent_it_is_to_us() {
    let scene = Scene::quiet();
    // Every client waits, Sentinels included; replication goes on.
    tell(scene.master(), "CLIENT PAUSE 60000 ALL");
    let silent = scene.until("UnreachableFromEngine");
    assert_eq!(silent.verdict(), "unknown");
    // Sentinels take it for down by and by: two of three see it dead, and yet.
    let votes = || scene.look().of("vantage").clone();
    wait_until("most Sentinels take it for down", SOON, || votes()["sentinels"] == "dead").unwrap();
    let still = scene.expect("UnreachableFromEngine", "unknown");
    assert!(still.reason().contains("still hears it"), "{}", still.reason());
}

#[test]
fn what_answers_and_cannot_write_is_stalled_and_not_dead() {
    let folders = vec!["enable-protected-configs yes".to_owned()];
    let options = Options { quorum: 4, data_lines: folders, ..Options::bondx() };
    let scene = Scene::of(options);
    let master = scene.master();
    let stalled = |word: &str| {
        let seen = scene.until("WriteStalled");
        assert_eq!(seen.verdict(), "degraded");
        assert!(seen.reason().contains(word), "{word}: {}", seen.reason());
    };

    tell(master, "CONFIG SET busy-reply-threshold 50");
    let mut busy = query::connect(&master.address(), None).unwrap();
    busy.set_read_timeout(None).unwrap();
    let script = thread::spawn(move || {
        redis::cmd("EVAL").arg("while true do end").arg(0).query::<()>(&mut busy).is_err()
    });
    stalled("BUSY");
    tell(master, "SCRIPT KILL");
    assert!(script.join().unwrap(), "the script was ended");
    scene.until("Healthy");

    // A folder that is gone cannot be written, whoever one is.
    let gone = scene.lab.folder().join("gone");
    fs::create_dir(&gone).unwrap();
    tell(master, &format!("CONFIG SET dir {}", gone.display()));
    fs::remove_dir(&gone).unwrap();
    let save: Result<String, _> = query::ask(master, &["CONFIG", "SET", "save", "3600 1"]);
    save.unwrap();
    let background: Result<String, _> = query::ask(master, &["BGSAVE"]);
    drop(background);
    stalled("MISCONF");
    let save: Result<String, _> = query::ask(master, &["CONFIG", "SET", "save", ""]);
    save.unwrap();
    tell(master, &format!("CONFIG SET dir {}", master.folder().display()));

    tell(master, "CONFIG SET maxmemory 1mb");
    stalled("OOM");
    tell(master, "CONFIG SET maxmemory 0");

    tell(master, "CONFIG SET min-replicas-to-write 3");
    stalled("NOREPLICAS");
    tell(master, "CONFIG SET min-replicas-to-write 0");
    scene.until("Healthy");

    // A slow load of its own data, as with gigabytes of it.
    let load = "for key = 1, 4000 do redis.call('SET', 'slow:' .. key, key) end";
    let filled: Result<(), _> = query::ask(master, &["EVAL", load, "0"]);
    filled.unwrap();
    tell(master, "BGREWRITEAOF");
    let rewritten = || {
        let fields = query::info(master, "persistence");
        let is = |name: &str| fields.get(name).is_some_and(|it| it == "0");
        is("aof_rewrite_in_progress") && is("aof_rewrite_scheduled")
    };
    wait_until("its file is rewritten", SOON, rewritten).unwrap();
    let file = master.folder().join("server.conf");
    let configuration = fs::read_to_string(&file).unwrap();
    let slow = "key-load-delay 1000\nloading-process-events-interval-bytes 1024\n";
    fs::write(&file, format!("{configuration}{slow}")).unwrap();
    master.restart().unwrap();
    stalled("LOADING");
}

#[test]
fn a_master_that_came_back_empty_is_known_before_and_after_its_replicas_copied_that() {
    let scene = Scene::quiet();
    scene.expect("Healthy", "healthy");
    let master = scene.master();
    master.kill().unwrap();
    fs::remove_dir_all(master.folder().join("appendonlydir")).unwrap();
    let file = master.folder().join("server.conf");
    let configuration = fs::read_to_string(&file).unwrap();
    // No replica can copy from it, so that the moment before can be looked at.
    let mute = format!("{configuration}rename-command PSYNC \"\"\nrename-command SYNC \"\"\n");
    fs::write(&file, mute).unwrap();
    master.start().unwrap();
    let before = scene.until("MasterRebootedEmpty");
    assert_eq!(before.verdict(), "degraded");
    assert!(before.reason().contains("still holds"), "{}", before.reason());

    fs::write(&file, configuration).unwrap();
    master.restart().unwrap();
    let empty =
        || scene.lab.data().iter().all(|it| query::ask(it, &["DBSIZE"]).ok() == Some(0_u64));
    wait_until("all replicas have copied the emptiness", SOON, empty).unwrap();
    let after = scene.until("MasterRebootedEmpty");
    assert!(after.reason().contains("before its restart it held"), "{}", after.reason());
}

#[test]
fn two_masters_are_a_split_brain_until_one_is_fenced() {
    let scene = Scene::quiet();
    let (old, new) = (scene.master(), scene.replica(1));
    tell(new, "REPLICAOF NO ONE");
    let split = scene.expect("SplitBrain", "degraded");
    assert!(split.reason().contains(&old.address()) && split.reason().contains(&new.address()));
    tell(old, "CONFIG SET min-replicas-to-write 100");
    let fenced = scene.expect("FencedByBaton", "degraded");
    assert_eq!(fenced.master(), new.address());
    // What was begun is to be finished: the other master goes first, whatever else.
    old.kill().unwrap();
    let half = scene.expect("DeadMaster", "dead");
    assert_eq!(half.of("masters")[0], new.address());
    assert_eq!(half.choice()["chosen"], new.address());
}

#[test]
fn a_failover_of_sentinel_goes_before_everything() {
    let options = Options { replicas: 1, down_after_ms: 5_000, ..Options::bondx() };
    let scene = Scene::of(options);
    // It is told to take over and cannot: the failover stays in progress.
    scene.replica(1).stop().unwrap();
    tell(&scene.lab.sentinels()[0], "SENTINEL FAILOVER bondx-master");
    let busy = scene.expect("FailoverInProgress", "degraded");
    assert!(busy.reason().contains(&scene.lab.sentinels()[0].address()), "{}", busy.reason());
}

#[test]
fn sentinels_that_are_gone_disagree_or_doubt_themselves_are_named() {
    let scene = Scene::quiet();
    let [first, second, third] = scene.lab.sentinels() else { unreachable!("three Sentinels") };
    // Longer than its timer may stall (2 s), and it trusts its clock no more (TILT).
    third.stop().unwrap();
    let stopped = Instant::now();
    let missing = scene.expect("Healthy", "degraded");
    assert!(missing.reason().contains("does not answer"), "{}", missing.reason());

    tell(first, "SENTINEL REMOVE bondx-master");
    let other = scene.replica(1).port();
    tell(first, &format!("SENTINEL MONITOR bondx-master 127.0.0.1 {other} 4"));
    let disagrees = scene.expect("Healthy", "degraded");
    assert!(disagrees.reason().contains("does not name it"), "{}", disagrees.reason());

    let long = Duration::from_millis(2_500);
    wait_until("the third Sentinel has been away long", SOON, || stopped.elapsed() > long).unwrap();
    third.cont().unwrap();
    let tilted = || scene.look().reason().contains("is in TILT");
    wait_until("the third Sentinel is in TILT", SOON, tilted).unwrap();

    // With most of them gone it is a person's words for the same death.
    second.kill().unwrap();
    first.kill().unwrap();
    scene.master().kill().unwrap();
    let lost = scene.expect("SentinelQuorumLost", "dead");
    assert_eq!(lost.choice()["blocked"], serde_json::Value::Null);
    third.kill().unwrap();
    scene.expect("SentinelQuorumLost", "dead");
}

#[test]
fn a_master_that_only_we_reach_is_isolated() {
    let scene = Scene::quiet();
    // Nobody but us gets through to it: no replica may copy, no Sentinel may ping.
    tell(scene.master(), "ACL SETUSER default -psync -sync -ping");
    tell(scene.master(), "CLIENT KILL TYPE replica");
    let cut = scene.until("MasterIsolatedFromReplicas");
    assert_eq!(cut.verdict(), "degraded");
}

#[test]
fn a_refused_password_says_nothing_about_health() {
    let mut scene =
        Scene::of(Options { password: Some("right".to_owned()), quorum: 4, ..Options::bondx() });
    scene.expect("Healthy", "healthy");
    scene.believe("wrong");
    let barred = scene.expect("Unknown", "unknown");
    assert!(barred.reason().contains("did not let us look"), "{}", barred.reason());
    // Nor does it hide a death: nobody can be asked, so nothing is concluded.
    scene.master().kill().unwrap();
    scene.expect("Unknown", "unknown");
    scene.believe("right");
    scene.expect("DeadMaster", "dead");
}

#[test]
fn a_replica_that_is_cut_off_is_named_and_nobody_is_dead() {
    let scene = Scene::quiet();
    scene.replica(2).stop().unwrap();
    let seen = scene.expect("Healthy", "degraded");
    let address = scene.replica(2).address();
    assert!(seen.reason().contains(&format!("{address} does not answer")), "{}", seen.reason());
}
