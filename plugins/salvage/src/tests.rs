//! What is kept, and what is said of it.

use super::*;
use baton_plugin::redis::{RedisError, Value};
use baton_plugin::testing::{CRASH, FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Two nodes with strings and sets, and a disk.
#[derive(Clone)]
struct Store {
    sim: Sim,
    data: Rc<RefCell<[BTreeMap<String, Value>; 2]>>,
    /// `dbfilename` of the first node.
    file: Rc<RefCell<String>>,
    /// What the first node has saved.
    saved: Rc<RefCell<Vec<String>>>,
    protected: bool,
    /// Looks at a save until it is over.
    slow: u32,
    broken: bool,
}

fn texts(words: &[&str]) -> Value {
    Value::List(words.iter().map(|it| Value::from(*it)).collect())
}

impl Store {
    fn new() -> Self {
        let sim = Sim::bondx();
        sim.host().call_as_test(DATA[1], "REPLICAOF NO ONE");
        let text = |key: &str, value: &str| (key.to_owned(), Value::from(value));
        let ours = [text("a", "1"), text("b", "2"), text("c", "3")];
        let theirs = [text("a", "1"), text("b", "9"), text("new", "x")];
        Self {
            sim,
            data: Rc::new(RefCell::new([ours.into(), theirs.into()])),
            file: Rc::new(RefCell::new("dump.rdb".into())),
            saved: Rc::default(),
            protected: true,
            slow: 2,
            broken: false,
        }
    }

    fn host(&self) -> FakeCluster<Self> {
        let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, self.clone());
        host.context.run_id = "r-1".into();
        host
    }
}

impl Responder for Store {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        let at = usize::from(address != DATA[0]);
        let data = self.data.borrow();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["SCAN", ..] => {
                let keys: Vec<&str> = data[at].keys().map(String::as_str).collect();
                Value::List(vec!["0".into(), texts(&keys)])
            }
            ["TYPE", key] => Value::from(match data[at].get(key) {
                None => "none",
                Some(Value::List(_)) => "set",
                Some(_) => "string",
            }),
            ["STRLEN", key] => {
                let length = data[at].get(key).and_then(Value::text).map_or(0, |it| it.len());
                Value::Int(i64::try_from(length).unwrap())
            }
            ["SCARD", key] => {
                let members = data[at].get(key).map_or(0, |it| it.items().len());
                Value::Int(i64::try_from(members).unwrap())
            }
            ["GET" | "SMEMBERS", key] => data[at].get(key).cloned().unwrap_or(Value::Null),
            ["CONFIG", "GET", "dir"] => texts(&["dir", "/data"]),
            ["CONFIG", "GET", "dbfilename"] => texts(&["dbfilename", &self.file.borrow()]),
            ["CONFIG", "GET", "repl-diskless-load"] => texts(&["repl-diskless-load", "disabled"]),
            ["CONFIG", "SET", "dbfilename", _] if self.protected => {
                Value::Error("ERR CONFIG SET failed - can't set protected config".into())
            }
            ["CONFIG", "SET", "dbfilename", name] => {
                name.clone_into(&mut self.file.borrow_mut());
                Value::Simple("OK".into())
            }
            ["BGSAVE"] => {
                self.saved.borrow_mut().push(self.file.borrow().clone());
                Value::Simple("Background saving started".into())
            }
            ["INFO", "persistence"] => {
                let busy = u8::from(self.slow > 0);
                self.slow = self.slow.saturating_sub(1);
                let status = if self.broken { "err" } else { "ok" };
                let text = format!(
                    "loading:0\r\nrdb_bgsave_in_progress:{busy}\r\nrdb_last_bgsave_status:{status}\r\n"
                );
                Value::from(text.as_str())
            }
            _ => return self.sim.respond(address, command, now_ms),
        })
    }
}

fn input() -> Input {
    Input {
        cluster: "bondx".into(),
        node: DATA[0].into(),
        run_id: Some(format!("run-{}", DATA[0])),
        master: DATA[1].into(),
        wait_ms: Some(10_000),
        keys_max: None,
    }
}

#[test]
fn the_dump_is_kept_from_the_copy_and_what_differs_is_listed() {
    let store = Store::new();
    let mut host = store.host();
    let output = Salvage::run(input(), &mut host).unwrap();
    assert_eq!((output.file.as_deref(), output.named), (Some("/data/dump.rdb"), false));
    assert_eq!(output.diskless_load.as_deref(), Some("disabled"));
    let told: Vec<(&str, &str)> =
        output.differences.iter().map(|it| (it.key.as_str(), it.what.as_str())).collect();
    assert_eq!(told, [("c", "only here"), ("b", "differs")]);
    assert_eq!((output.compared, output.complete), (3, true));
    let at = |part: &str| host.sent.iter().position(|it| it.contains(part)).unwrap();
    assert!(at("repl-diskless-load swapdb") < at("BGSAVE"));
}

#[test]
fn a_name_of_its_own_is_given_where_the_node_lets_us_and_taken_back() {
    let store = Store { protected: false, ..Store::new() };
    let output = Salvage::run(input(), &mut store.host()).unwrap();
    assert_eq!((output.file.as_deref(), output.named), (Some("/data/baton-salvage-r-1.rdb"), true));
    assert_eq!(output.diskless_load, None);
    assert_eq!(*store.saved.borrow(), ["baton-salvage-r-1.rdb"]);
    assert_eq!(*store.file.borrow(), "dump.rdb");
}

#[test]
fn the_order_of_a_set_is_no_difference_and_a_large_value_is_passed_over() {
    let store = Store::new();
    {
        let mut data = store.data.borrow_mut();
        data[0] = BTreeMap::from([("s".into(), texts(&["x", "y"]))]);
        data[1] = BTreeMap::from([("s".into(), texts(&["y", "x"]))]);
        let large = Value::from("z".repeat(10_001).as_str());
        data[0].insert("large".into(), large.clone());
        data[1].insert("large".into(), large);
    }
    let output = Salvage::run(input(), &mut store.host()).unwrap();
    assert_eq!((output.differences.len(), output.compared, output.passed_over), (0, 1, 1));
}

#[test]
fn a_save_that_fails_or_takes_too_long_is_a_fault_and_the_name_is_taken_back() {
    for (slow, broken) in [(1, true), (1_000, false)] {
        let store = Store { slow, broken, protected: false, ..Store::new() };
        let fault = Salvage::run(input(), &mut store.host()).unwrap_err();
        assert_eq!(fault.code, "not-saved", "{}", fault.message);
        assert_eq!(*store.file.borrow(), "dump.rdb");
    }
}

#[test]
fn one_that_follows_already_has_nothing_left_and_another_process_is_not_asked() {
    let store = Store::new();
    store.sim.node(0, |it| it.run_id = "another".into());
    let mut host = store.host();
    assert_eq!(Salvage::run(input(), &mut host).unwrap_err().code, "restarted");
    store.sim.host().call_as_test(DATA[0], "REPLICAOF 127.0.0.1 7002");
    let output = Salvage::run(input(), &mut host).unwrap();
    assert_eq!((output.file, host.count_sent("BGSAVE")), (None, 0));
}

#[test]
fn cut_off_after_every_command_it_saves_again_and_the_dump_has_its_name() {
    for protected in [true, false] {
        let clean = Store { protected, ..Store::new() };
        let mut whole = clean.host();
        Salvage::run(input(), &mut whole).unwrap();
        for commands in 0..whole.sent.len() {
            let store = Store { protected, ..Store::new() };
            let mut host = store.host();
            host.crash_after = Some(commands);
            let crash = catch_unwind(AssertUnwindSafe(|| Salvage::run(input(), &mut host)));
            assert!(crash.unwrap_err().downcast::<String>().unwrap().contains(CRASH));
            let output = Salvage::run(input(), &mut store.host()).unwrap();
            assert_eq!((output.named, output.differences.len()), (!protected, 2));
            assert_eq!(*store.file.borrow(), "dump.rdb", "cut off after {commands}");
        }
    }
}

#[test]
fn an_observed_cluster_is_never_touched() {
    let mut host = Store::new().host();
    host.cluster.mode = Mode::Observe;
    assert_eq!(Salvage::run(input(), &mut host).unwrap_err().code, "observe-mode");
}
