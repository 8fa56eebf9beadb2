//! Writes `src/capability/redis/commands.tsv`: what a real Redis 7.0 and a real
//! Sentinel say of their commands. Run again only to follow a newer server:
//!
//! ```text
//! cargo run -p baton-host --example redis_commands > engine/host/src/capability/redis/commands.tsv
//! ```
//!
//! Needs `redis-server` on PATH. Classes are not in the table; see `class.rs`.
#![allow(clippy::print_stdout, reason = "the table goes to standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::Value;

/// A server that ends with us.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to be done if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("sentinel.conf");
    std::fs::write(&config, "")?;
    let config = config.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let mut rows = BTreeMap::new();
    // Sentinel first: where both know a command, the data node's word stands.
    collect(&commands_of(&[config, "--sentinel"])?, &mut rows)?;
    collect(&commands_of(&["--save", ""])?, &mut rows)?;
    println!("# name\tflags\tarity\tfirst\tlast\tstep");
    for (name, rest) in rows {
        println!("{name}\t{rest}");
    }
    Ok(())
}

fn commands_of(arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new("redis-server")
        .args(arguments)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .stdout(Stdio::null())
        .spawn()?;
    let _server = Server(child);
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match client.get_connection() {
            Ok(mut connection) => return Ok(redis::cmd("COMMAND").query(&mut connection)?),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn collect(commands: &Value, rows: &mut BTreeMap<String, String>) -> Result<(), Box<dyn Error>> {
    let Value::Array(commands) = commands else { return Err("COMMAND gave no list".into()) };
    for command in commands {
        let Value::Array(fields) = command else { return Err("a command is no list".into()) };
        let text = |index: usize| redis::from_redis_value_ref::<String>(&fields[index]);
        let flags = redis::from_redis_value_ref::<Vec<String>>(&fields[2])?.join(",");
        let (arity, first, last, step) = (text(1)?, text(3)?, text(4)?, text(5)?);
        let flags = if flags.is_empty() { "-" } else { &flags };
        let name = text(0)?.to_uppercase();
        rows.insert(name, format!("{flags}\t{arity}\t{first}\t{last}\t{step}"));
        collect(&fields[9], rows)?;
    }
    Ok(())
}
