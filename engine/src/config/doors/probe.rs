//! `[probe.<name>]`: what plugins may be let look at.

use std::path::Path;

use baton_host::capability::probe::{Address, Expected, Look, Target, Tls};

use super::super::flaw::{Flaws, shown};
use super::super::reader::Section;
use super::super::tls::TlsFiles;
use super::http::{tls, url};
use super::timeout;

/// Whoever has not answered within it is not up for a trader.
const TIMEOUT_MS_DEFAULT: u32 = 2_000;
/// A longer text is a test of its own.
const CONTAINS_BYTES_MAX: usize = 1_000;
/// One request for one feed.
const SUBSCRIBE_BYTES_MAX: usize = 4_000;

/// A target as written; certificates by path.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    name: String,
    /// None: there is a flaw.
    look: Option<Look>,
    tls: Option<TlsFiles>,
    timeout_ms: u32,
}

impl Declared {
    pub(super) fn read(
        name: &str,
        section: &mut Section<'_>,
        folder: &Path,
        flaws: &mut Flaws,
    ) -> Self {
        let kinds = ["tcp", "http", "websocket"];
        let present: Vec<&str> =
            kinds.into_iter().filter(|kind| section.keys().any(|(key, _)| key == *kind)).collect();
        let (look, tls) = match present.as_slice() {
            ["tcp"] => (tcp(section, flaws).map(Look::Tcp), None),
            ["http"] => http(section, folder, flaws),
            ["websocket"] => web_socket(section, folder, flaws),
            _ => {
                flaws.add(section.span.clone(), format!(
                    "[probe.{name}] needs exactly one of `tcp`, `http`, `websocket`; write `tcp = \"10.0.0.1:6379\"`"
                ));
                for kind in kinds {
                    // One flaw is enough.
                    let _ = section.string(kind, flaws);
                }
                (None, None)
            }
        };
        let timeout_ms = timeout(section, TIMEOUT_MS_DEFAULT, flaws);
        Self { name: name.to_owned(), look, tls, timeout_ms }
    }

    /// # Panics
    /// If it was read with flaws; then there is no configuration.
    pub(super) fn resolve(&self, flaws: &mut Flaws) -> Target {
        let mut look = self.look.clone().expect("a target without flaws has a look");
        if let Some(files) = &self.tls {
            let read = files.resolve(&format!("probe.{}.tls", self.name), flaws);
            match &mut look {
                Look::Http { tls, .. } | Look::WebSocket { tls, .. } => *tls = read,
                Look::Tcp(_) => {}
            }
        }
        Target { name: self.name.clone(), look, timeout_ms: self.timeout_ms }
    }
}

fn tcp(section: &mut Section<'_>, flaws: &mut Flaws) -> Option<Address> {
    let written = section.string("tcp", flaws)?;
    match Address::parse(written.get_ref()) {
        Ok(address) => Some(address),
        Err(why) => {
            flaws.add(written.span(), format!("`tcp`: {} {why}", shown(written.get_ref())));
            None
        }
    }
}

fn http(
    section: &mut Section<'_>,
    folder: &Path,
    flaws: &mut Flaws,
) -> (Option<Look>, Option<TlsFiles>) {
    let url = url(section, "http", ["http", "https"], flaws);
    let statuses = section.integers("status", 100..=599, flaws);
    let expected = expected(section, flaws);
    let files = tls(section, url.as_ref(), folder, flaws);
    let look = url.map(|url| Look::Http {
        url,
        tls: Tls::default(),
        statuses: statuses.into_iter().filter_map(|it| u16::try_from(it).ok()).collect(),
        expected,
    });
    (look, files)
}

fn web_socket(
    section: &mut Section<'_>,
    folder: &Path,
    flaws: &mut Flaws,
) -> (Option<Look>, Option<TlsFiles>) {
    let url = url(section, "websocket", ["ws", "wss"], flaws);
    let subscribe = section.string("subscribe", flaws);
    let expected = expected(section, flaws);
    if let Some(text) = &subscribe {
        if !(1..=SUBSCRIBE_BYTES_MAX).contains(&text.get_ref().len()) {
            let message = format!("`subscribe` must be 1 to {SUBSCRIBE_BYTES_MAX} bytes");
            flaws.add(text.span(), message);
        }
        if expected.is_nothing() {
            flaws.add(text.span(), format!(
                "[{}] has `subscribe`, but nothing says what must come of it; write `contains = \"…\"` or `fields = {{ \"/channel\" = \"trades\" }}`",
                section.name
            ));
        }
    }
    let files = tls(section, url.as_ref(), folder, flaws);
    let subscribe = subscribe.map(toml::Spanned::into_inner);
    let look = url.map(|url| Look::WebSocket { url, tls: Tls::default(), subscribe, expected });
    (look, files)
}

/// `contains` and `fields`.
fn expected(section: &mut Section<'_>, flaws: &mut Flaws) -> Expected {
    let contains = section.string("contains", flaws);
    if let Some(text) = &contains
        && !(1..=CONTAINS_BYTES_MAX).contains(&text.get_ref().len())
    {
        flaws.add(text.span(), format!("`contains` must be 1 to {CONTAINS_BYTES_MAX} bytes"));
    }
    let mut fields = Vec::new();
    for (pointer, value) in section.plain_values("fields", flaws) {
        if !pointer.get_ref().starts_with('/') {
            flaws.add(
                pointer.span(),
                format!(
                    "{} in `fields` is no JSON pointer; write \"/{}\"",
                    shown(pointer.get_ref()),
                    pointer.get_ref()
                ),
            );
        }
        fields.push((pointer.into_inner(), value));
    }
    Expected { contains: contains.map(toml::Spanned::into_inner), fields }
}
