//! The laboratory itself: what it says about Redis must be true, or every
//! other test is worth nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use baton_lab::books::{self, Side};
use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::{Lab, Options, market, query, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// Sentinels may split their votes, and try again only after twice the
/// failover timeout: short here, and time for several tries.
const FAILED_OVER: Duration = Duration::from_mins(1);

fn quick() -> Options {
    Options { down_after_ms: 500, failover_timeout_ms: 3_000, ..Options::bondx() }
}

fn alone() -> Options {
    Options { replicas: 0, sentinels: 0, ..Options::bondx() }
}

fn habits() -> Habits {
    Habits { name: "it".to_owned(), rate_per_s: 1_000, seed: 1 }
}

#[test]
fn a_killed_master_is_replaced_by_sentinel_and_every_acknowledged_write_is_accounted_for() {
    let lab = Lab::start(quick()).unwrap();
    let old = lab.data()[0].address();
    assert_eq!(lab.agreed_master(), Some(old.clone()));
    assert_eq!(lab.writable_masters(), std::slice::from_ref(&old));
    assert!(lab.data()[1..].iter().all(query::in_sync));

    let mut connection = query::connect(&old, None).unwrap();
    let market = market::fill(&mut connection, 20, 1).unwrap();
    let trader = Trader::start(Route::of(&lab), market.clone(), &habits());
    wait_until("300 writes are acknowledged", SOON, || trader.acked() > 300).unwrap();

    let fault = Instant::now();
    lab.data()[0].kill().unwrap();
    let new = lab.wait_for_new_master(&old, FAILED_OVER).unwrap();
    wait_until("300 more are acknowledged", SOON, || trader.acked_after(fault) > 300).unwrap();
    let history = trader.stop();

    let gap = history.gap_after(fault).unwrap().length();
    assert!(gap > Duration::from_millis(500), "Sentinel needs down-after at least, not {gap:?}");
    let mut connection = query::connect(&new, None).unwrap();
    let account = history.account(&mut connection).unwrap();
    assert_eq!((account.lost.len(), account.doubled.len()), (0, 0), "{account:?}");
    for isin in &market.isins {
        assert_whole(&mut connection, isin);
    }
}

#[test]
fn a_write_that_was_lost_or_doubled_by_hand_is_counted() {
    let lab = Lab::start(alone()).unwrap();
    let node = &lab.data()[0];
    let mut connection = query::connect(&node.address(), None).unwrap();
    let mut history = baton_lab::history::History::new("lab:history:hand");
    for number in 1..=5_u64 {
        query::ask::<u64>(node, &["RPUSH", history.key(), &number.to_string()]).unwrap();
        history.record(number);
    }
    assert!(history.account(&mut connection).unwrap().lost.is_empty());
    query::ask::<u64>(node, &["LREM", history.key(), "1", "3"]).unwrap();
    query::ask::<u64>(node, &["RPUSH", history.key(), "5"]).unwrap();
    let account = history.account(&mut connection).unwrap();
    assert_eq!((account.lost, account.doubled), (vec![3], vec![5]));
}

#[test]
fn a_stopped_node_hangs_and_goes_on_where_it_was() {
    let lab = Lab::start(alone()).unwrap();
    let node = &lab.data()[0];
    node.stop().unwrap();
    assert!(node.running());
    assert_eq!(query::role(node), None, "a hung node does not answer");
    node.cont().unwrap();
    wait_until("it answers again", SOON, || query::role(node).is_some()).unwrap();
}

#[test]
fn a_killed_node_keeps_its_port_and_its_data() {
    let lab = Lab::start(alone()).unwrap();
    let node = &lab.data()[0];
    query::ask::<String>(node, &["SET", "kept", "yes"]).unwrap();
    // A killed process loses nothing that write(2) took; only a killed machine does.
    node.restart().unwrap();
    wait_until("it has loaded its data", SOON, || {
        query::ask::<String>(node, &["GET", "kept"]).is_ok_and(|text| text == "yes")
    })
    .unwrap();
}

#[test]
fn a_password_is_asked_for_by_every_server() {
    let options = Options {
        password: Some("data-word".to_owned()),
        sentinel_password: Some("sentinel-word".to_owned()),
        ..Options::bondx()
    };
    let lab = Lab::start(options).unwrap();
    assert_eq!(lab.agreed_master(), Some(lab.data()[0].address()));
    for node in [&lab.data()[0], &lab.sentinels()[0]] {
        let mut stranger = query::connect(&node.address(), None).unwrap();
        let answer = redis::cmd("INFO").query::<String>(&mut stranger);
        assert_eq!(answer.unwrap_err().code(), Some("NOAUTH"), "{}", node.name());
    }
}

#[test]
fn nothing_of_a_laboratory_outlives_it() {
    let lab = Lab::start(alone()).unwrap();
    let (pid, folder) = (lab.data()[0].pid().unwrap(), lab.folder().to_owned());
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists() && folder.exists());
    lab.data()[0].stop().unwrap();
    drop(lab);
    assert!(!process.exists() && !folder.exists());
}

/// What the trader believes of a book is what Redis holds of it.
fn assert_whole(connection: &mut redis::Connection, isin: &str) {
    let book = market::load(connection, isin).unwrap();
    let meta: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(books::meta_key(isin)).query(connection).unwrap();
    assert_eq!(meta["checksum"], book.checksum(), "{isin}");
    if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
        assert!(bid < ask, "{isin} is crossed: {bid} against {ask}");
    }
}
