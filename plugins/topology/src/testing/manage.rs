//! What an operator's commands do to a simulated node.

use super::{SimSentinel, World, ok, texts};
use baton_plugin::redis::Value;

impl World {
    /// Commands beside those of the data path and of replication.
    pub(super) fn manage(&mut self, index: usize, words: &[&str]) -> Value {
        let node = &mut self.nodes[index];
        match words {
            ["CONFIG", "GET", "min-replicas-to-write"] => {
                texts(&["min-replicas-to-write", &node.min_replicas.to_string()])
            }
            ["CONFIG", "GET", "requirepas*"] => texts(&["requirepass", ""]),
            ["CONFIG", "GET", name] => texts(&[name, "0"]),
            ["CONFIG", "SET", "min-replicas-to-write", replicas] => match replicas.parse() {
                Ok(replicas) => {
                    node.min_replicas = replicas;
                    ok()
                }
                Err(_) => Value::Error("ERR CONFIG SET failed: argument must be a number".into()),
            },
            ["CONFIG", "SET", ..] | ["BGSAVE"] => ok(),
            ["CLIENT", "KILL", "TYPE", "normal"] => Value::Int(1),
            other => Value::Error(format!("ERR unknown command {}", other.join(" "))),
        }
    }
}

impl SimSentinel {
    /// Commands that set it up anew.
    pub(super) fn manage(&mut self, words: &[&str]) -> Value {
        match words {
            ["SENTINEL", "REMOVE", _] => {
                (self.master, self.config_epoch) = (String::new(), 0);
                ok()
            }
            ["SENTINEL", "MONITOR", ..] if !self.master.is_empty() => {
                Value::Error("ERR Duplicate master name.".into())
            }
            ["SENTINEL", "MONITOR", _, ip, port, _] => {
                self.master = format!("{ip}:{port}");
                ok()
            }
            ["SENTINEL", "SET" | "FLUSHCONFIG", ..] => ok(),
            other => Value::Error(format!("ERR unknown command {}", other.join(" "))),
        }
    }
}
