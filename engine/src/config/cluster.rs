//! `[clusters.<name>]`: Redis deployments.

use std::collections::BTreeMap;
use std::path::Path;

use baton_core::limits::NAME_CHARS_MAX;
use baton_host::capability::redis::{Auth, Cluster, Mode};
use toml::Spanned;

use super::flaw::{Flaws, did_you_mean, shown};
use super::reader::Section;
use super::secret::Secrets;
use super::tls::{TlsFiles, Trust};

/// Addresses of one list: a deployment with more is several clusters.
const ADDRESSES_MAX: usize = 64;
/// Longest `down_after_ms` and `restart_grace_ms`: one hour.
const PATIENCE_MS_MAX: u64 = 3_600_000;
const MODES: [(&str, Mode); 3] =
    [("observe", Mode::Observe), ("assist", Mode::Assist), ("lead", Mode::Lead)];

/// A cluster as written: secrets by name, certificates by path.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    /// Everything that needs no secret and no file.
    plain: Cluster,
    password: Option<String>,
    sentinel_password: Option<String>,
    tls: Option<TlsFiles>,
}

pub(super) fn read_all(
    mut section: Section<'_>,
    folder: &Path,
    secrets: &Secrets,
    flaws: &mut Flaws,
) -> Vec<Declared> {
    let mut clusters: Vec<Declared> = Vec::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    let names: Vec<_> = section.keys().collect();
    for (name, span) in names {
        if !is_name(name) {
            flaws.add(span, format!(
                "{} is not a cluster's name: use 1 to {NAME_CHARS_MAX} of a-z, A-Z, 0-9, `-` and `_`",
                shown(name)
            ));
        }
        let entry = section.section(name, flaws);
        if !entry.is_present() {
            continue;
        }
        let place = entry.span.clone();
        let cluster = Declared::read(name, entry, folder, secrets, flaws);
        for node in &cluster.plain.nodes {
            if let Some(owner) = owners.insert(node.clone(), name.to_owned()) {
                flaws.add(
                    place.clone(),
                    format!("node `{node}` is in cluster `{owner}` already; a node has one master"),
                );
            }
        }
        clusters.push(cluster);
    }
    clusters
}

impl Declared {
    fn read(
        name: &str,
        mut section: Section<'_>,
        folder: &Path,
        secrets: &Secrets,
        flaws: &mut Flaws,
    ) -> Self {
        let master_name =
            section.required("master_name", "the name after `sentinel monitor`", flaws);
        if let Some(empty) = master_name.as_ref().filter(|text| text.get_ref().is_empty()) {
            flaws.add(
                empty.span(),
                "`master_name` is empty; write the name after `sentinel monitor`".to_owned(),
            );
        }
        let nodes = addresses(&mut section, "nodes", 6379, flaws);
        let sentinels = addresses(&mut section, "sentinels", 26379, flaws);
        for (both, span) in sentinels.iter().filter(|(s, _)| nodes.iter().any(|(n, _)| n == s)) {
            flaws.add(
                span.clone(),
                format!("`{both}` is in `nodes` and in `sentinels`; a server is one or the other"),
            );
        }
        let (username, password) = login(&mut section, "username", "password", secrets, flaws);
        let (sentinel_username, sentinel_password) =
            login(&mut section, "sentinel_username", "sentinel_password", secrets, flaws);
        let mut ms =
            |key, default| section.integer(key, 0..=PATIENCE_MS_MAX, flaws).map_or(default, small);
        let (down_after_ms, restart_grace_ms) =
            (ms("down_after_ms", 5_000), ms("restart_grace_ms", 0));
        let max_lost_bytes = section.integer("max_lost_bytes", 0..=u64::MAX, flaws);
        let resp = section.integer("resp", 2..=3, flaws);
        let zones = zones(section.section("zones", flaws), &nodes, flaws);
        let plain = Cluster {
            name: name.to_owned(),
            master_name: master_name.map(Spanned::into_inner).unwrap_or_default(),
            mode: mode(&mut section, flaws),
            nodes: nodes.into_iter().map(|(address, _)| address).collect(),
            sentinels: sentinels.into_iter().map(|(address, _)| address).collect(),
            zones,
            auth: Auth { username, password: None },
            sentinel_auth: Auth { username: sentinel_username, password: None },
            tls: None,
            resp: if resp.is_some_and(|resp| *resp.get_ref() == 2) { 2 } else { 3 },
            down_after_ms,
            restart_grace_ms,
            max_lost_bytes: max_lost_bytes.map_or(0, Spanned::into_inner),
        };
        let tls = TlsFiles::read(section.section("tls", flaws), folder, Trust::OrNot, flaws);
        section.finish(flaws);
        Self { name: name.to_owned(), plain, password, sentinel_password, tls }
    }

    /// Fetches secrets and reads certificates; what is missing goes to `flaws`.
    pub(super) fn resolve(&self, secrets: &Secrets, flaws: &mut Flaws) -> Cluster {
        let mut fetch = |name: &Option<String>| {
            let fetched = secrets.get(name.as_deref()?);
            fetched
                .map_err(|error| flaws.add_unplaced(format!("[clusters.{}] {error}", self.name)))
                .ok()
        };
        let (password, sentinel_password) = (fetch(&self.password), fetch(&self.sentinel_password));
        let mut cluster = self.plain.clone();
        cluster.auth.password = password;
        cluster.sentinel_auth.password = sentinel_password;
        cluster.tls = self
            .tls
            .as_ref()
            .map(|files| files.resolve(&format!("clusters.{}.tls", self.name), flaws));
        cluster
    }
}

/// Failure domains by address: of two equal replicas the one elsewhere is promoted.
fn zones(
    mut section: Section<'_>,
    nodes: &[Placed],
    flaws: &mut Flaws,
) -> BTreeMap<String, String> {
    let mut zones = BTreeMap::new();
    let keys: Vec<_> = section.keys().collect();
    for (address, span) in keys {
        if !nodes.iter().any(|(node, _)| node == address) {
            let hint = did_you_mean(address, nodes.iter().map(|(node, _)| node.as_str()));
            flaws.add(span, format!("{} in `zones` is none of the `nodes`{hint}", shown(address)));
        }
        let Some(zone) = section.string(address, flaws) else { continue };
        if is_name(zone.get_ref()) {
            zones.insert(address.to_owned(), zone.into_inner());
        } else {
            flaws.add(zone.span(), format!(
                "{} is no name of a zone: use 1 to {NAME_CHARS_MAX} of a-z, A-Z, 0-9, `-` and `_`",
                shown(zone.get_ref())
            ));
        }
    }
    section.finish(flaws);
    zones
}

fn mode(section: &mut Section<'_>, flaws: &mut Flaws) -> Mode {
    let Some(written) = section.string("mode", flaws) else {
        return Mode::Observe;
    };
    let known = MODES.iter().find(|(name, _)| name == written.get_ref());
    known.map_or_else(
        || {
            let text = written.get_ref();
            let hint = did_you_mean(text, MODES.map(|(name, _)| name));
            let message =
                format!("{} is no mode; write observe, assist or lead{hint}", shown(text));
            flaws.add(written.span(), message);
            Mode::Observe
        },
        |(_, mode)| *mode,
    )
}

fn login(
    section: &mut Section<'_>,
    username: &str,
    password: &str,
    secrets: &Secrets,
    flaws: &mut Flaws,
) -> (Option<String>, Option<String>) {
    let user = section.string(username, flaws);
    let secret = section.string(password, flaws);
    if let Some(name) = &secret
        && secrets.declared(name.get_ref()).is_err()
    {
        // The value is not repeated: it may be the password itself.
        flaws.add(name.span(), format!(
            "`{password}` must be the name of a secret in [secrets]; write `{password} = \"redis-password\"` here and `redis-password = {{ env = \"REDIS_PASSWORD\" }}` there"
        ));
    }
    if let (Some(user), None) = (&user, &secret) {
        flaws.add(user.span(), format!("`{username}` needs a `{password}` beside it"));
    }
    (user.map(Spanned::into_inner), secret.map(Spanned::into_inner))
}

type Placed = (String, std::ops::Range<usize>);

fn addresses(section: &mut Section<'_>, key: &str, port: u16, flaws: &mut Flaws) -> Vec<Placed> {
    let example = format!("`{key} = [\"10.0.0.1:{port}\"]`");
    let Some(list) = section.required_list(key, &example, flaws) else {
        return Vec::new();
    };
    let count = list.get_ref().len();
    if count == 0 || count > ADDRESSES_MAX {
        flaws.add(
            list.span(),
            format!("`{key}` holds {count} addresses; write 1 to {ADDRESSES_MAX}"),
        );
    }
    let mut seen: Vec<Placed> = Vec::new();
    for item in list.into_inner() {
        let span = item.span();
        let text = item.into_inner();
        if let Err(problem) = address(&text, port) {
            flaws.add(span, format!("{} in `{key}` {problem}", shown(&text)));
        } else if seen.iter().any(|(other, _)| *other == text) {
            flaws.add(span, format!("`{text}` stands twice in `{key}`"));
        } else {
            seen.push((text, span));
        }
    }
    seen
}

/// Checks `host:port`; the error continues a sentence.
fn address(text: &str, port: u16) -> Result<(), String> {
    if text.contains("://") || text.contains('@') {
        return Err(format!("is a URL; write host and port only, as `10.0.0.1:{port}`"));
    }
    let Some((host, number)) = text.rsplit_once(':') else {
        return Err(format!("has no port; write `{}:{port}`", shown(text).trim_matches('`')));
    };
    if !number.bytes().all(|b| b.is_ascii_digit())
        || number.parse::<u16>().is_ok_and(|n| n == 0)
        || number.parse::<u16>().is_err()
    {
        return Err("has no port from 1 to 65535 after the last `:`".to_owned());
    }
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let fits = match v6 {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "is not `host:port`; write `10.0.0.1:{port}`, `redis-1:{port}` or `[fd00::1]:{port}`"
        ))
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn small(number: Spanned<u64>) -> u32 {
    u32::try_from(number.into_inner()).unwrap_or(u32::MAX)
}
