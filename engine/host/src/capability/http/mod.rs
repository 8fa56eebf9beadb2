//! Requests to services that the operator named, as far as granted.
//!
//! A guest names an endpoint and a path, never a host. `grant` is the rule, `path` sees to
//! it that a path means the same to us and to the server, `class` says what repeating
//! would mean; the log-in is put in at egress, and taken out of whatever comes back.
//! `wire` sends on a connection of its own.
//!
//! **Invariant:** nothing here sends a request twice, or anywhere but to its endpoint.

mod class;
mod endpoint;
mod grant;
mod host;
mod path;
#[cfg(test)]
mod tests;
pub(super) mod wire;

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use wasmtime::component::{HasData, Linker};

use crate::capability::tls;
use crate::guest::{Caller, wit};

pub use endpoint::{Endpoint, Secret, Tls, Url};

/// An endpoint of baton.toml, its certificates read.
pub(crate) struct Known {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
}

/// All endpoints of baton.toml.
pub(crate) struct Endpoints(Vec<Arc<Known>>);

impl Endpoints {
    /// # Errors
    /// The name of the endpoint whose certificates are no good, and why.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Result<Self, (String, String)> {
        let known = |endpoint: Endpoint| {
            let tls = endpoint.url.secure.then(|| tls::config(&endpoint.tls)).transpose();
            match tls {
                Ok(tls) => Ok(Arc::new(Known { endpoint, tls })),
                Err(message) => Err((endpoint.name, message)),
            }
        };
        endpoints.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    fn find(&self, name: &str) -> Option<Arc<Known>> {
        self.0.iter().find(|known| known.endpoint.name == name).cloned()
    }
}

pub(crate) struct View<'a> {
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) caller: &'a mut Caller,
}

struct Http;

impl HasData for Http {
    type Data<'a> = View<'a>;
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::http::add_to_linker::<T, Http>(linker, view)
}
