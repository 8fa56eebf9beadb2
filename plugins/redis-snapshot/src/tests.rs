//! On a replica, once, whole, and never on a master by accident.

use super::*;
use baton_plugin::redis::RedisError;
use baton_plugin::testing::{FakeCluster, Responder};
use baton_topology::testing::{DATA, SENTINELS, Sim};

/// A cluster whose nodes save: what BGSAVE answers in turn, and how many looks it takes.
#[derive(Clone)]
struct Saving {
    sim: Sim,
    answers: Vec<&'static str>,
    looks: u32,
    status: &'static str,
}

impl Responder for Saving {
    fn respond(
        &mut self,
        address: &str,
        command: &[String],
        now_ms: u64,
    ) -> Result<Value, RedisError> {
        match command.join(" ").as_str() {
            "CONFIG GET dir" => Ok(Value::List(vec!["dir".into(), "/data".into()])),
            "CONFIG GET dbfilename" => {
                Ok(Value::List(vec!["dbfilename".into(), "dump.rdb".into()]))
            }
            "BGSAVE" => {
                let answer = self.answers.remove(0);
                Ok(match answer.strip_prefix('-') {
                    Some(error) => Value::Error(error.into()),
                    None => Value::Simple(answer.into()),
                })
            }
            "INFO persistence" if self.answers.is_empty() => {
                let under_way = u32::from(self.looks > 0);
                self.looks = self.looks.saturating_sub(1);
                let text = format!(
                    "loading:0\r\nrdb_bgsave_in_progress:{under_way}\r\nrdb_last_bgsave_status:{}\r\nrdb_last_save_time:17\r\n",
                    self.status
                );
                Ok(Value::from(text.as_str()))
            }
            _ => self.sim.respond(address, command, now_ms),
        }
    }
}

fn saving(answers: &[&'static str]) -> Saving {
    Saving { sim: Sim::bondx(), answers: answers.to_vec(), looks: 2, status: "ok" }
}

fn save(cluster: &Saving, node: &str, allow_master: bool) -> (Result<Output, Fault>, Vec<String>) {
    let mut host = FakeCluster::with_responder("bondx", &DATA, &SENTINELS, cluster.clone());
    let input = Input {
        cluster: "bondx".into(),
        node: Some(node.into()),
        allow_master,
        within_ms: Some(5000),
    };
    let result = RedisSnapshot::run(input, &mut host);
    (result, host.sent.into_iter().filter(|it| it.contains("BGSAVE")).collect())
}

#[test]
fn a_replica_saves_once_and_what_a_restore_must_show_is_told() {
    let (output, sent) = save(&saving(&["Background saving started"]), "", false);
    let output = output.unwrap();
    assert_eq!(sent, [format!("{} BGSAVE", output.node)]);
    assert_ne!(output.node, DATA[0]);
    assert_eq!((output.file.as_str(), output.saved_at_s), ("/data/dump.rdb", 17));
    assert_eq!((output.keys_before, output.keys_after, output.offset_after), (10, 10, 1000));
}

#[test]
fn the_replica_that_would_be_promoted_last_saves() {
    let cluster = saving(&["Background saving started"]);
    cluster.sim.node(1, |node| node.priority = 0);
    assert_eq!(save(&cluster, "", false).0.unwrap().node, DATA[1]);
    cluster.sim.node(1, |node| node.link = Some(false));
    assert_eq!(save(&cluster, "", false).0.unwrap().node, DATA[2]);
    cluster.sim.node(2, |node| node.syncing = true);
    assert_eq!(save(&cluster, "", false).0.unwrap_err().code, "no-replica");
}

#[test]
fn a_master_saves_only_where_it_is_told_to() {
    let cluster = saving(&["Background saving started"]);
    let (refused, sent) = save(&cluster, DATA[0], false);
    assert_eq!((refused.unwrap_err().code, sent.len()), ("is-master", 0));
    assert_eq!(save(&cluster, DATA[0], true).0.unwrap().node, DATA[0]);
    assert_eq!(save(&cluster, "10.9.9.9:1", true).0.unwrap_err().code, "no-such-node");
}

#[test]
fn an_earlier_save_is_waited_for_and_its_own_begun_after_it() {
    let busy = "-ERR Background save already in progress";
    let rewriting = "-ERR Can't BGSAVE while AOF rewriting";
    let (output, sent) = save(&saving(&[busy, rewriting, "Background saving started"]), "", false);
    assert!(output.is_ok());
    assert_eq!(sent.len(), 3);
}

#[test]
fn a_save_that_fails_is_refused_or_takes_too_long_is_a_fault() {
    let failed = Saving { status: "err", ..saving(&["Background saving started"]) };
    assert_eq!(save(&failed, "", false).0.unwrap_err().code, "not-saved");
    let refused = saving(&["-MISCONF no"]);
    assert_eq!(save(&refused, "", false).0.unwrap_err().code, "refused");
    let slow = Saving { looks: 1000, ..saving(&["Background saving started"]) };
    assert!(save(&slow, "", false).0.unwrap_err().message.contains("raise `within_ms`"));
}

#[test]
fn a_node_that_was_restarted_while_it_saved_has_saved_something_else() {
    let info = |run: &str| Info::parse(&format!("run_id:{run}\r\nmaster_replid:a\r\n"));
    let fault =
        told("n:1".into(), "f".into(), 1, [&info("x"), &info("x"), &info("y")]).unwrap_err();
    assert_eq!(fault.code, "changed-meanwhile");
}
