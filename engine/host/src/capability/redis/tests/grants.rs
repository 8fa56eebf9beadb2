//! What is refused, and in which words.

use expect_test::{Expect, expect};

use super::super::grant::Asker;
use super::super::{Cluster, Mode};
use super::{cluster, command, grant};
use crate::guest::wit::redis::{ErrorKind, Request};
use baton_core::workflow::plan::RedisGrant;

const NODE: &str = "127.0.0.1:7001";
const SENTINEL: &str = "127.0.0.1:7101";

fn bondx() -> Cluster {
    cluster(&[NODE, "127.0.0.1:7002"], &[SENTINEL])
}

fn ask(
    cluster: &Cluster,
    grants: &[RedisGrant],
    address: &str,
    commands: &[&str],
) -> Result<(), (ErrorKind, String)> {
    let request = Request {
        address: address.to_owned(),
        commands: commands.iter().map(|text| command(text)).collect(),
    };
    Asker { step: "promote", cluster, grants }
        .check(vec![request])
        .map(|_| ())
        .map_err(|error| (error.kind, error.message))
}

fn refusal(grants: &[RedisGrant], address: &str, text: &str, expected: &Expect) {
    let (kind, message) = ask(&bondx(), grants, address, &[text]).unwrap_err();
    assert_eq!(kind, ErrorKind::Denied);
    expected.assert_eq(&message);
}

fn allowed(grants: &[RedisGrant], address: &str, text: &str) {
    assert_eq!(ask(&bondx(), grants, address, &[text]), Ok(()), "{text}");
}

#[test]
fn g7_a_refusal_names_the_line_to_add() {
    let read = [grant(&["data"], &["@read", "SET"], &["book:*"])];
    refusal(
        &read,
        NODE,
        "CONFIG REWRITE",
        &expect![[
            r#"step "promote" may not send CONFIG REWRITE to 127.0.0.1:7001: add "CONFIG|REWRITE" to grants.redis.commands of the step"#
        ]],
    );
    refusal(
        &read,
        SENTINEL,
        "PING",
        &expect![[
            r#"step "promote" may not reach 127.0.0.1:7101: add "sentinels" or "127.0.0.1:7101" to grants.redis.nodes of the step"#
        ]],
    );
    refusal(
        &read,
        NODE,
        "GET order:1",
        &expect![[
            r#"step "promote" may not send GET to 127.0.0.1:7001: key order:1 is not granted: add "order:1" to grants.redis.keys of the step"#
        ]],
    );
    refusal(
        &read,
        NODE,
        "SCAN 0",
        &expect![[
            r#"step "promote" may not send SCAN to 127.0.0.1:7001: SCAN without MATCH walks the whole key space: add "*" to grants.redis.keys of the step"#
        ]],
    );
    refusal(
        &read,
        NODE,
        "SCAN 0 MATCH *",
        &expect![[
            r#"step "promote" may not send SCAN to 127.0.0.1:7001: keys * are not granted: add "*" to grants.redis.keys of the step"#
        ]],
    );
    refusal(
        &[],
        NODE,
        "PING",
        &expect![[
            r#"step "promote" was granted nothing on cluster bondx: add [[steps.promote.grants.redis]] with cluster = "bondx", nodes and commands"#
        ]],
    );
}

#[test]
fn g7_what_is_granted_may_be_sent() {
    let grants = [grant(&["data", SENTINEL], &["@read", "SET", "CONFIG|SET"], &["book:*"])];
    for text in [
        "get book:1",
        "PING",
        "INFO replication",
        "CONFIG GET maxmemory",
        "CONFIG SET appendonly yes",
        "SET book:1 x",
        "SCAN 0 MATCH book:*:meta COUNT 100",
        "XREAD STREAMS book:1 0",
        "WAIT 1 100",
    ] {
        allowed(&grants, NODE, text);
    }
    allowed(&grants, SENTINEL, "SENTINEL MASTERS");
}

#[test]
fn g7_read_covers_nothing_that_changes_or_runs_scripts() {
    let read = [grant(&["data", "sentinels"], &["@read"], &["*"])];
    for text in [
        "SET a b",
        "EVAL s 0",
        "EVALSHA_RO s 0",
        "EVAL_RO s 0",
        "FCALL_RO f 0",
        "SCRIPT EXISTS a",
        "FUNCTION LIST",
        "KEYS *",
        "PFCOUNT a",
        "SORT a",
        "GEORADIUS a 1 2 3 m",
        "GETEX a",
        "SENTINEL IS-MASTER-DOWN-BY-ADDR h 1 0 abc",
        "SENTINEL FAILOVER m",
        "ACL LOG RESET",
        "DEBUG SLEEP 1",
        "SELECT 1",
        "CONFIG FROBNICATE",
        "VSIM a",
    ] {
        assert!(ask(&bondx(), &read, NODE, &[text]).is_err(), "{text}");
    }
}

#[test]
fn g7_a_container_does_not_cover_its_subcommands() {
    let grants = [grant(&["data"], &["CONFIG"], &[])];
    refusal(
        &grants,
        NODE,
        "CONFIG SET a b",
        &expect![[
            r#"step "promote" may not send CONFIG SET to 127.0.0.1:7001: add "CONFIG|SET" to grants.redis.commands of the step"#
        ]],
    );
}

#[test]
fn g7_scripts_need_all_keys() {
    let some = [grant(&["data"], &["EVAL"], &["book:*"])];
    refusal(
        &some,
        NODE,
        "EVAL s 1 book:1",
        &expect![[
            r#"step "promote" may not send EVAL to 127.0.0.1:7001: a script or function may touch keys that it does not name: add "*" to grants.redis.keys of the step"#
        ]],
    );
    allowed(&[grant(&["data"], &["EVAL"], &["*"])], NODE, "EVAL s 1 book:1");
}

#[test]
fn g7_one_grant_must_allow_all_of_it() {
    // Writing on the node, reading on the Sentinel; not writing on the Sentinel.
    let grants = [grant(&["data"], &["PUBLISH"], &[]), grant(&["sentinels"], &["@read"], &[])];
    refusal(
        &grants,
        SENTINEL,
        "PUBLISH a b",
        &expect![[
            r#"step "promote" may not send PUBLISH to 127.0.0.1:7101: add "PUBLISH" to grants.redis.commands of the step"#
        ]],
    );
}

#[test]
fn g9_secrets_and_log_ins_are_nobodys() {
    let all = [grant(
        &["data"],
        &["@read", "AUTH", "HELLO", "CONFIG|GET", "ACL|LIST", "MONITOR", "CLIENT|REPLY"],
        &["*"],
    )];
    refusal(
        &all,
        NODE,
        "AUTH x",
        &expect![[
            r#"step "promote" may not send AUTH: the host logs in, with the secrets of baton.toml"#
        ]],
    );
    refusal(
        &all,
        NODE,
        "CONFIG GET requirepass",
        &expect![[r#"step "promote" may not send CONFIG GET: requirepass is a secret"#]],
    );
    refusal(
        &all,
        NODE,
        "ACL LIST",
        &expect![[r#"step "promote" may not send ACL LIST: it shows password hashes"#]],
    );
    refusal(
        &all,
        NODE,
        "MONITOR",
        &expect![[r#"step "promote" may not send MONITOR: it turns the connection into a stream"#]],
    );
    refusal(
        &all,
        NODE,
        "CLIENT REPLY OFF",
        &expect![[
            r#"step "promote" may not send CLIENT REPLY: without replies no call could be told from another"#
        ]],
    );
    refusal(&all, NODE, "", &expect![[r#"step "promote" may not send : a command needs a name"#]]);
}

#[test]
fn g7_observe_refuses_every_change_even_when_granted() {
    let cluster = Cluster { mode: Mode::Observe, ..bondx() };
    let grants = [grant(&["data"], &["@read", "REPLICAOF"], &[])];
    let (kind, message) = ask(&cluster, &grants, NODE, &["REPLICAOF NO ONE"]).unwrap_err();
    assert_eq!(kind, ErrorKind::Denied);
    expect![[r#"step "promote" may not send REPLICAOF: cluster bondx is in mode observe: set mode = "lead" (or "assist") under [clusters.bondx] in baton.toml to let Baton act"#]].assert_eq(&message);
    assert_eq!(ask(&cluster, &grants, NODE, &["INFO"]), Ok(()));
}

#[test]
fn an_address_that_baton_toml_does_not_know_is_not_found() {
    let grants = [grant(&["data"], &["@read"], &[])];
    let (kind, message) = ask(&bondx(), &grants, "10.0.0.1:6379", &["PING"]).unwrap_err();
    assert_eq!(kind, ErrorKind::NotFound);
    expect![[r"10.0.0.1:6379 is neither node nor Sentinel of cluster bondx: add it to `nodes` or `sentinels` under [clusters.bondx] in baton.toml"]].assert_eq(&message);
}

#[test]
fn g4_a_transaction_is_whole_in_its_pipeline() {
    let grants = [grant(&["data"], &["@read", "SET"], &["*"])];
    let ask = |commands: &[&str]| ask(&bondx(), &grants, NODE, commands);
    assert_eq!(ask(&["WATCH a", "MULTI", "SET a 1", "EXEC"]), Ok(()));
    assert!(ask(&["MULTI", "SET a 1"]).unwrap_err().1.contains("MULTI without EXEC"));
    assert!(ask(&["SET a 1", "EXEC"]).unwrap_err().1.contains("without MULTI"));
    assert!(ask(&["MULTI", "MULTI", "EXEC"]).unwrap_err().1.contains("MULTI inside"));
    assert!(ask(&["MULTI", "INCR a", "EXEC"]).unwrap_err().1.contains("\"INCR\""));
}

#[test]
fn names_from_a_guest_cannot_forge_a_message() {
    let grants = [grant(&["data"], &["@read"], &[])];
    let (_, message) = ask(&bondx(), &grants, NODE, &["X\r\nERROR"]).unwrap_err();
    assert!(!message.contains('\n'), "{message}");
    let long = "X".repeat(1 << 20);
    assert!(ask(&bondx(), &grants, NODE, &[&long]).unwrap_err().1.len() < 2_000);
}
