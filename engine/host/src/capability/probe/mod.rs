//! Looks at what the operator named: does a port accept, does a page answer as it should,
//! does a WebSocket shake hands and answer a ping, or deliver what was subscribed to. Every look is a read, and ends with its
//! time, whatever the other side does.

mod host;
mod look;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use wasmtime::component::{HasData, Linker};

use crate::capability::tls;
use crate::guest::Caller;
use crate::guest::wit::probe as wit;

pub use target::{Address, Expected, Look, Target, Tls, Url};

/// A target of baton.toml, its certificates read.
pub(crate) struct Known {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
}

/// All targets of baton.toml.
pub(crate) struct Targets(Vec<Arc<Known>>);

impl Targets {
    /// # Errors
    /// The name of the target whose certificates are no good, and why.
    pub(crate) fn new(targets: Vec<Target>) -> Result<Self, (String, String)> {
        let known = |target: Target| {
            let tls = match &target.look {
                Look::Http { url, tls, .. } | Look::WebSocket { url, tls, .. } if url.secure => {
                    tls::config(tls).map(Some)
                }
                Look::Tcp(_) | Look::Http { .. } | Look::WebSocket { .. } => Ok(None),
            };
            match tls {
                Ok(tls) => Ok(Arc::new(Known { target, tls })),
                Err(message) => Err((target.name, message)),
            }
        };
        targets.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    fn find(&self, name: &str) -> Option<Arc<Known>> {
        self.0.iter().find(|known| known.target.name == name).cloned()
    }
}

pub(crate) struct View<'a> {
    pub(crate) targets: &'a Targets,
    pub(crate) caller: &'a mut Caller,
}

struct Probe;

impl HasData for Probe {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, Probe>(linker, view)
}
