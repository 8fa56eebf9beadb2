//! `commands.tsv` is what a real Redis and a real Sentinel say of their commands, and
//! the lists of `class` name real commands.
//!
//! To follow a newer server, let this test write the table, then look at every class
//! that changed in `classes.txt`:
//!
//! ```text
//! UPDATE_EXPECT=1 cargo nextest run --workspace -E 'test(command_table) | test(has_its_class)'
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::Value;

use super::super::{class, table};
use super::servers::Server;

#[test]
fn the_command_table_is_what_the_servers_say() {
    let mut rows = BTreeMap::new();
    // Sentinel first: where both know a command, the data node's word stands.
    for server in [Server::sentinel(""), Server::start(&[])] {
        let client = redis::Client::open(format!("redis://{}/", server.address)).unwrap();
        let mut connection = client.get_connection().unwrap();
        collect(&redis::cmd("COMMAND").query(&mut connection).unwrap(), &mut rows);
    }
    let mut text = "# name\tflags\tarity\tfirst\tlast\tstep\n".to_owned();
    for (name, rest) in rows {
        writeln!(text, "{name}\t{rest}").unwrap();
    }
    expect_test::expect_file!["../commands.tsv"].assert_eq(&text);
}

fn collect(commands: &Value, rows: &mut BTreeMap<String, String>) {
    let Value::Array(commands) = commands else { panic!("COMMAND gave no list") };
    for command in commands {
        let Value::Array(fields) = command else { panic!("a command is no list") };
        let text = |index: usize| redis::from_redis_value_ref::<String>(&fields[index]).unwrap();
        let flags: Vec<String> = redis::from_redis_value_ref(&fields[2]).unwrap();
        let flags = if flags.is_empty() { "-".to_owned() } else { flags.join(",") };
        let (arity, first, last, step) = (text(1), text(3), text(4), text(5));
        rows.insert(text(0).to_uppercase(), format!("{flags}\t{arity}\t{first}\t{last}\t{step}"));
        collect(&fields[9], rows);
    }
}

#[test]
fn the_lists_of_classes_name_each_command_once_and_none_that_is_not_there() {
    // Newer than the table, and without doubt.
    let newer = ["WAITAOF"];
    let mut seen = BTreeMap::new();
    for (list, name) in class::listed() {
        assert!(table::find(name).is_some() || newer.contains(&name), "{name} is no command");
        let before = seen.insert(name, list);
        // SENTINEL CONFIG GET reads, SENTINEL CONFIG SET does not.
        assert!(before != Some(list) || name == "SENTINEL|CONFIG", "{name} stands twice");
        if before.is_some() {
            assert_eq!(name, "SENTINEL|CONFIG", "in two lists");
        }
    }
}

#[test]
fn what_the_server_flags_as_reading_is_reading_but_for_the_exceptions() {
    let exceptions = ["PFCOUNT", "EVAL_RO", "EVALSHA_RO", "FCALL_RO"];
    for name in table::names() {
        let flagged = table::find(name).is_some_and(|spec| spec.has("readonly"));
        if flagged {
            assert_eq!(class::is_read(name), !exceptions.contains(&name), "{name}");
        }
        let writes = table::find(name).is_some_and(|spec| spec.has("write"));
        assert!(!(writes && class::is_read(name)), "{name} writes");
    }
    let keys = super::command("KEYS *");
    assert!(class::is_read("KEYS") && !class::covered_by_read("KEYS", &keys));
}
