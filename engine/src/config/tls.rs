//! Certificates, as files that baton.toml names.

use std::path::{Path, PathBuf};

use baton_host::capability::redis::{Secret, Tls};

use super::flaw::Flaws;
use super::reader::Section;

/// Whether a server may go unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Never.
    Verified,
    /// In a laboratory, where the file says so.
    OrNot,
}

#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    ca: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    insecure: bool,
}

impl TlsFiles {
    pub(super) fn read(
        mut section: Section<'_>,
        folder: &Path,
        trust: Trust,
        flaws: &mut Flaws,
    ) -> Option<Self> {
        if !section.is_present() {
            return None;
        }
        let mut path = |key| section.string(key, flaws).map(|text| folder.join(text.into_inner()));
        let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
        let insecure = match trust {
            Trust::Verified => false,
            Trust::OrNot => section.boolean("insecure", flaws).unwrap_or(false),
        };
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                flaws.add(
                    section.span.clone(),
                    format!("[{}] needs `cert` and `key` together, or neither", section.name),
                );
                None
            }
        };
        section.finish(flaws);
        Some(Self { ca, client, insecure })
    }

    /// Reads the files; `place` is the section, for what is wrong with them.
    pub(super) fn resolve(&self, place: &str, flaws: &mut Flaws) -> Tls {
        let mut pem = |path: &PathBuf| {
            let problem = match std::fs::read(path) {
                Ok(bytes) if bytes.windows(11).any(|window| window == b"-----BEGIN ") => {
                    return Some(bytes);
                }
                Ok(_) => "is not PEM: it has no `-----BEGIN …` line".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            flaws.add_unplaced(format!("[{place}] {} {problem}", path.display()));
            None
        };
        let ca_pem = self.ca.as_ref().and_then(&mut pem);
        let client = self.client.as_ref().and_then(|(cert, key)| pem(cert).zip(pem(key)));
        let client_pem = client.and_then(|(cert, key)| {
            let key = String::from_utf8(key).ok();
            if key.is_none() {
                let message = format!("[{place}] the key is not PEM: it is not text");
                flaws.add_unplaced(message);
            }
            Some((cert, Secret::new(key?)))
        });
        Tls { ca_pem, client_pem, insecure: self.insecure }
    }
}
