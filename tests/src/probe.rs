//! Clients that stay: they write to one node for ever, whatever it is by now, and keep
//! when each write was acknowledged. What they are acknowledged by a node that was
//! replaced is what a cluster loses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redis::{Client, Connection, ConnectionAddr, IntoConnectionInfo};

use crate::Lab;

/// Between two tries to connect.
const RETRY_EVERY: Duration = Duration::from_millis(5);
/// For a connection to be made: one that hangs accepts in its kernel.
const CONNECTED_WITHIN: Duration = Duration::from_millis(500);
/// A client that stays waits so long for its answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// One acknowledged write.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Which data node, as the laboratory numbers them.
    pub node: usize,
    /// When the acknowledgement was read.
    pub at: Instant,
}

/// Clients of all nodes; they stop on drop.
#[derive(Debug)]
pub struct Probes {
    stop: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<Written>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Probes {
    /// One client of each data node that writes every `every`.
    pub fn of_all(lab: &Lab, every: Duration) -> Self {
        let nodes = lab.data().iter().map(crate::Node::address).enumerate();
        Self::start(nodes.collect(), every)
    }

    /// `count` clients of one data node that write as fast as they are answered.
    pub fn sticky(lab: &Lab, node: usize, count: usize) -> Self {
        Self::start(vec![(node, lab.data()[node].address()); count], Duration::ZERO)
    }

    fn start(clients: Vec<(usize, String)>, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(Mutex::new(Vec::new()));
        let spawn = |(number, (node, address)): (usize, (usize, String))| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let key = format!("lab:probe:{node}:{number}");
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Any error means: connect anew, to the same node.
                    let _why = connect(&address).map(|mut connection| {
                        while !stop.load(Ordering::Relaxed)
                            && redis::cmd("INCR").arg(&key).query::<u64>(&mut connection).is_ok()
                        {
                            let at = Instant::now();
                            lock(&written).push(Written { node, at });
                            thread::sleep(every);
                        }
                    });
                    thread::sleep(RETRY_EVERY.max(every));
                }
            })
        };
        let threads = clients.into_iter().enumerate().map(spawn).collect();
        Self { stop, written, threads }
    }

    /// What `node` acknowledged after `since`, oldest first.
    pub fn by(&self, node: usize, since: Instant) -> Vec<Instant> {
        let written = lock(&self.written);
        let of = written.iter().filter(|it| it.node == node && it.at > since);
        of.map(|it| it.at).collect()
    }

    /// For how long after `since` `node` acknowledged writes beside `other`: from the first
    /// to the last that came after one of `other`.
    pub fn beside(&self, node: usize, other: usize, since: Instant) -> Duration {
        let Some(first) = self.by(other, since).first().copied() else { return Duration::ZERO };
        let both = self.by(node, first.max(since));
        match (both.first(), both.last()) {
            (Some(from), Some(to)) => to.duration_since(*from),
            _ => Duration::ZERO,
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was printed already; a second one here would abort.
            let _panicked = thread.join();
        }
    }
}

fn connect(address: &str) -> redis::RedisResult<Connection> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    let place = ConnectionAddr::Tcp(host.to_owned(), port.parse().unwrap_or(0));
    let client = Client::open(place.into_connection_info()?)?;
    let connection = client.get_connection_with_timeout(CONNECTED_WITHIN)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

fn lock(written: &Mutex<Vec<Written>>) -> std::sync::MutexGuard<'_, Vec<Written>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}
