//! Connections to servers of baton.toml: the address as the operator wrote it, TCP, and
//! TLS where it says so, verified. No proxy, whatever the environment says.

use std::io;
use std::sync::Arc;

use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::guest::wit::types::{Error, ErrorKind};

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address, an IPv6 one without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The address of a service: `https://10.0.0.7:9090/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Where.
    pub address: Address,
    /// Host and port as a request names them.
    pub authority: String,
    /// What its paths begin with, without a slash at the end.
    pub prefix: String,
}

impl Address {
    /// `host:port`.
    ///
    /// # Errors
    /// In words that continue "it …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("has no port; write `host:port`")?;
        let number = port.parse().ok().filter(|number| *number > 0);
        let port = number.ok_or("has no port from 1 to 65535 after the last `:`")?;
        let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let fits = match v6 {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        if !fits {
            return Err("is not `host:port`".to_owned());
        }
        Ok(Self { host: v6.unwrap_or(host).to_owned(), port })
    }
}

impl Url {
    /// An address of one of two schemes: without and with TLS.
    ///
    /// # Errors
    /// In words that continue "it …".
    pub fn parse(text: &str, [plain, secure]: [&str; 2]) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "is no URL".to_owned())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if scheme != plain && scheme != secure {
            return Err(format!("must begin with `{plain}://` or `{secure}://`"));
        }
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("holds a user or password; name a secret beside it".to_owned());
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("has a query or fragment; leave it out".to_owned());
        }
        let prefix = uri.path().trim_end_matches('/');
        if prefix.contains("//") || prefix.split('/').any(|part| part == "." || part == "..") {
            return Err("has a path with `.`, `..` or an empty segment".to_owned());
        }
        let is_secure = scheme == secure;
        // `Uri` passes over a port that is none.
        let address = match &authority.as_str()[authority.host().len()..] {
            "" if is_secure => Address::parse(&format!("{}:443", authority.host()))?,
            "" => Address::parse(&format!("{}:80", authority.host()))?,
            _ => Address::parse(authority.as_str())?,
        };
        Ok(Self {
            secure: is_secure,
            address,
            authority: authority.as_str().to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Connects, and speaks TLS where `tls` says how.
pub(super) async fn dial(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
    deadline: Instant,
) -> Result<Box<dyn Stream>, Error> {
    let unreachable = |why: &str| Error {
        kind: ErrorKind::Unreachable,
        message: format!("{address} cannot be reached: {why}"),
    };
    let stream = timeout_at(deadline, TcpStream::connect((address.host.as_str(), address.port)))
        .await
        .map_err(|_| unreachable("no answer to the connection attempt in time"))?
        .map_err(|error| unconnected(address, &error))?;
    // Without the option a request only leaves later.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| unreachable("its host is no name that TLS can check"))?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    match timeout_at(deadline, connecting).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(untrusted(address, &error)),
        Err(_elapsed) => Err(Error {
            kind: ErrorKind::TimedOut,
            message: format!("{address} is connected, but did not end the TLS handshake in time"),
        }),
    }
}

fn unconnected(address: &Address, error: &io::Error) -> Error {
    let why = error.kind();
    let broken = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
    let (kind, message) = if why == io::ErrorKind::ConnectionRefused {
        let message = format!("{address} refused the connection: no process listens there");
        (ErrorKind::Refused, message)
    } else if broken.contains(&why) {
        (ErrorKind::Closed, format!("{address} broke the connection off at once ({error})"))
    } else {
        (ErrorKind::Unreachable, format!("{address} cannot be reached: {error}"))
    };
    Error { kind, message }
}

fn untrusted(address: &Address, error: &io::Error) -> Error {
    let ended = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    let kind = if ended.contains(&error.kind()) { ErrorKind::Closed } else { ErrorKind::Protocol };
    Error {
        kind,
        message: format!(
            "{address} answers, but TLS with it failed ({error}): check the address, or `ca` in baton.toml"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: [&str; 2] = ["http", "https"];

    #[test]
    fn addresses_are_taken_apart() {
        let url = Url::parse("https://prom.example:9443/base/", HTTP).expect("a URL");
        assert!(url.secure);
        assert_eq!(url.address.to_string(), "prom.example:9443");
        assert_eq!((url.authority.as_str(), url.prefix.as_str()), ("prom.example:9443", "/base"));
        let url = Url::parse("http://[::1]", HTTP).expect("a URL");
        assert_eq!((url.address.to_string().as_str(), url.prefix.as_str()), ("[::1]:80", ""));
        assert_eq!(Url::parse("wss://h/feed", ["ws", "wss"]).expect("a URL").address.port, 443);
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for bad in [
            "",
            "prom:9090",
            "ftp://h",
            "http://",
            "http://u:p@h",
            "http://h?x=1",
            "http://h/#x",
            "http://h/../x",
            "http://h//x",
            "http://h:0",
            "http://h:99999",
            "http://h\r\n/x",
        ] {
            assert!(Url::parse(bad, HTTP).is_err(), "{bad}");
        }
        for bad in ["", "h", "h:", "h:0", ":1", "a b:1", "[::g]:1", "h/x:1", "u@h:1"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let careless = Url::parse("http://u:hunter2@h", HTTP).expect_err("a password");
        assert!(!careless.contains("hunter2"));
    }
}
