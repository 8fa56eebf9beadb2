//! Redis and Sentinel, as far as granted.
//!
//! A call is checked whole by `grant` (a pure rule over the command table, the
//! classes and the keys), then sent to its members at once, each on a connection
//! of its own that lives as long as the attempt. Before the first byte of a
//! changing command leaves, its intent is on disk ([`crate::Wall::intend`]).
//!
//! **Invariant:** nothing here sends a command twice.

mod class;
mod cluster;
mod compare;
mod connection;
mod divergence;
mod each;
mod glob;
mod grant;
mod head;
mod hint;
mod host;
mod kept;
mod keys;
mod lineage;
mod outcome;
mod packed;
mod resp;
mod secret;
mod send;
mod session;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use baton_core::workflow::plan::RedisGrant;
use tokio::sync::Mutex;
use tokio_rustls::rustls::ClientConfig;
use wasmtime::component::{HasData, Linker};

use crate::capability::tls;
use crate::guest::{Caller, wit};
use compare::Lane;
use connection::Connection;
pub(crate) use kept::Kept;
pub(crate) use lineage::Keeper;
use lineage::Lineage;
use session::Session;

pub use crate::capability::secret::Secret;
pub use crate::capability::tls::Tls;
pub use class::is_read;
pub use cluster::{Auth, Cluster, Mode};
pub use hint::Hints;

/// A cluster of baton.toml, its certificates read, and its past.
pub(crate) struct Known {
    cluster: Cluster,
    tls: Option<Arc<ClientConfig>>,
    lineage: Lineage,
}

/// All clusters of baton.toml.
pub(crate) struct Clusters(Vec<Arc<Known>>);

impl Clusters {
    /// # Errors
    /// The name of the cluster whose certificates are no good, and why.
    pub(crate) fn new(clusters: Vec<Cluster>, keeper: &Keeper) -> Result<Self, (String, String)> {
        clusters
            .into_iter()
            .map(|cluster| match cluster.tls.as_ref().map(tls::config).transpose() {
                Ok(tls) => {
                    let lineage = Lineage::open(&cluster.name, &cluster.nodes, keeper.clone());
                    Ok(Arc::new(Known { cluster, tls, lineage }))
                }
                Err(message) => Err((cluster.name, message)),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Ears at the Sentinels of a cluster.
    pub(crate) fn hints(&self, name: &str) -> Option<Hints> {
        Some(Hints::of(&self.find(name)?))
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<Arc<Known>> {
        self.0.iter().find(|known| known.cluster.name == name).cloned()
    }
}

/// A place for one connection, and what was said on it. Locked while it is in use, so
/// that two requests to one member in one call go one after the other.
#[derive(Default)]
struct Held {
    connection: Option<Connection>,
    session: Session,
    /// Something was said on it that a later attempt must not inherit.
    marked: bool,
}

type Slot = Arc<Mutex<Held>>;

/// What an attempt holds: its connections.
pub(crate) struct State {
    clusters: Arc<Clusters>,
    /// By cluster and address.
    slots: HashMap<(String, String), Slot>,
    /// Those of comparisons, by cluster, address and number.
    lanes: HashMap<(String, String, u8), Lane>,
    /// Where its connections come from and go to, if they outlive it.
    kept: Option<Arc<Kept>>,
}

impl State {
    pub(crate) fn new(clusters: Arc<Clusters>, kept: Option<Arc<Kept>>) -> Self {
        Self { clusters, slots: HashMap::new(), lanes: HashMap::new(), kept }
    }

    fn slot(&mut self, cluster: &str, address: &str) -> Slot {
        let place = (cluster.to_owned(), address.to_owned());
        if let Some(slot) = self.slots.get(&place) {
            return Arc::clone(slot);
        }
        let connection = self.kept.as_ref().and_then(|kept| kept.take(&place));
        let slot = Slot::new(Mutex::new(Held { connection, ..Held::default() }));
        self.slots.insert(place, Arc::clone(&slot));
        slot
    }

    /// The guest has returned: what is as good as new is kept.
    pub(crate) fn give_back(&mut self) {
        let Some(kept) = &self.kept else { return };
        for (place, slot) in self.slots.drain() {
            // Between calls nobody holds it.
            if let Ok(mut held) = slot.try_lock()
                && !held.marked
                && let Some(connection) = held.connection.take()
            {
                kept.put(place, connection);
            }
        }
    }
}

pub(crate) struct View<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) caller: &'a mut Caller,
}

struct Redis;

impl HasData for Redis {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::redis::add_to_linker::<T, Redis>(linker, view)
}
