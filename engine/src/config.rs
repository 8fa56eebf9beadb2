//! `baton.toml`: what the operator decided, checked whole before anything starts.
//!
//! [`Config::load`] finds the file, reports every flaw of it at once with its
//! line, and lets `BATON_<SECTION>_<KEY>` override single settings. Secrets are
//! only named here: their text is fetched when it is needed ([`Secrets::get`],
//! [`Config::clusters`]), so that `baton check` needs none of them, and neither
//! `Debug` nor an error can show one.

mod cluster;
mod doors;
mod flaw;
mod reader;
mod retention;
mod secret;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use baton_host::capability::Outside;
use baton_host::capability::redis::Cluster;
use toml::Spanned;
use toml::de::DeTable;

use cluster::Declared;
pub use flaw::{ConfigError, Flaw};
use flaw::{Flaws, shown};
use reader::Section;
pub use secret::{SecretError, Secrets};

use crate::journal::Retention;

/// A larger baton.toml is a mistake, not a configuration.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// Fuel beyond this, days of work, bounds nothing.
const FUEL_MAX: u64 = 1_000_000_000_000_000;
/// Where a packaged Baton keeps its file.
const SYSTEM_FILE: &str = "/etc/baton/baton.toml";

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; none: nobody wrote one, and defaults hold.
    pub file: Option<PathBuf>,
    /// `[server]`.
    pub server: Server,
    /// `[paths]`, absolute or relative to the working folder.
    pub paths: Paths,
    /// `[secrets]`.
    pub secrets: Secrets,
    /// `[limits]`.
    pub limits: Limits,
    /// `[retention]`.
    pub retention: Retention,
    clusters: Vec<Declared>,
    doors: doors::Declared,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen; port 0 is any free one.
    pub bind: SocketAddr,
    /// Name of the secret that calls of the API must bear; none: whoever reaches
    /// the port may call, which is why a non-loopback `bind` needs one.
    pub token: Option<String>,
}

/// `[paths]`.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Journal, compiled plugins and plugins by digest.
    pub data: PathBuf,
    /// Folder of `<name>.wasm`.
    pub plugins: PathBuf,
    /// Folder of `<name>.toml`.
    pub workflows: PathBuf,
}

/// `[limits]`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Linear memory of one attempt, in bytes.
    pub memory_bytes_max: usize,
    /// Fuel of one attempt, in wasm instructions.
    pub fuel_max: u64,
    /// Attempts at the same time.
    pub attempts_max: u32,
    /// Runs not closed; above it triggers are answered 503.
    pub open_runs_max: u32,
}

impl Config {
    /// Reads `path`, else the file that `BATON_CONFIG` names, else `./baton.toml`,
    /// else `/etc/baton/baton.toml`, else takes the defaults.
    ///
    /// # Errors
    /// All flaws of the file, or why it could not be read.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let named = path.map(Path::to_owned).or_else(|| env("BATON_CONFIG").map(PathBuf::from));
        let found = named.or_else(|| {
            ["baton.toml", SYSTEM_FILE].iter().map(PathBuf::from).find(|file| file.exists())
        });
        let Some(file) = found else {
            return Self::parse("", None, &env);
        };
        let unreadable = |message: String| ConfigError::unreadable(&file, &message);
        let bytes = std::fs::read(&file).map_err(|error| {
            unreadable(format!("{error}; name another file with --config or BATON_CONFIG"))
        })?;
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(unreadable(format!("larger than {CONFIG_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| unreadable(format!("not UTF-8: {}", error.utf8_error())))?;
        Self::parse(&text, Some(&file), &env)
    }

    /// The pure part of [`Config::load`]: `env` gives the value of a variable.
    ///
    /// # Errors
    /// All flaws of `text` and of the overrides.
    pub fn parse(
        text: &str,
        file: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut flaws = Flaws::new(file, text);
        let (root, broken) = DeTable::parse_recoverable(text);
        for error in broken {
            // Only the message: toml's own display quotes the line, and the line may
            // hold what never belonged there.
            flaws.add(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        flaws.check()?;
        let folder = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
        let mut root = Section::root(root.get_ref());
        let secrets = Secrets::read(root.section("secrets", &mut flaws), folder, &mut flaws);
        let server = Server::read(root.section("server", &mut flaws), env, &secrets, &mut flaws);
        let paths = Paths::read(root.section("paths", &mut flaws), env, folder, &mut flaws);
        let limits = Limits::read(root.section("limits", &mut flaws), env, &mut flaws);
        let retention = retention::read(root.section("retention", &mut flaws), env, &mut flaws);
        let clusters =
            cluster::read_all(root.section("clusters", &mut flaws), folder, &secrets, &mut flaws);
        let doors = doors::Declared::read(&mut root, folder, &secrets, &mut flaws);
        root.finish(&mut flaws);
        flaws.check()?;
        Ok(Self {
            file: file.map(Path::to_owned),
            server,
            paths,
            secrets,
            limits,
            retention,
            clusters,
            doors,
        })
    }

    /// The journal's folder.
    pub fn journal(&self) -> PathBuf {
        self.paths.data.join("journal")
    }

    /// Names of the declared clusters.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().map(|cluster| cluster.name.as_str())
    }

    /// The clusters, with passwords fetched and certificates read.
    ///
    /// # Errors
    /// Every secret that is missing and every file that cannot be read.
    pub fn clusters(&self) -> Result<Vec<Cluster>, ConfigError> {
        let mut flaws = Flaws::new(self.file.as_deref(), "");
        let clusters =
            self.clusters.iter().map(|declared| declared.resolve(&self.secrets, &mut flaws));
        let clusters = clusters.collect();
        flaws.check()?;
        Ok(clusters)
    }

    /// What plugins may be let reach besides Redis, with secrets fetched and certificates
    /// read.
    ///
    /// # Errors
    /// Every secret that is missing and every file that cannot be read.
    pub fn outside(&self) -> Result<Outside, ConfigError> {
        let mut flaws = Flaws::new(self.file.as_deref(), "");
        let outside = self.doors.resolve(&self.secrets, &mut flaws);
        flaws.check()?;
        Ok(outside)
    }
}

impl Server {
    fn read(
        mut section: Section<'_>,
        env: &dyn Fn(&str) -> Option<String>,
        secrets: &Secrets,
        flaws: &mut Flaws,
    ) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 7077));
        let bind = match override_of(env, "BATON_SERVER_BIND", section.string("bind", flaws)) {
            None => loopback,
            Some((text, place)) => text.parse().unwrap_or_else(|_| {
                place.flaw(flaws, &format!(
                    "{} is not an address to listen on; write IP and port, as \"127.0.0.1:7077\" or \"[::1]:7077\"",
                    shown(&text)
                ));
                loopback
            }),
        };
        let token = override_of(env, "BATON_SERVER_TOKEN", section.string("token", flaws));
        if let Some((name, place)) = &token
            && secrets.declared(name).is_err()
        {
            // The value is not repeated: it may be the token itself.
            let message = "`token` must be the name of a secret in [secrets]; write `token = \"api-token\"` and there `api-token = { env = \"BATON_API_TOKEN\" }`";
            place.flaw(flaws, message);
        }
        if !bind.ip().is_loopback() && token.is_none() {
            flaws.add_unplaced(format!(
                "[server] bind = \"{bind}\" lets other machines start and cancel runs; add `token = \"api-token\"` to [server] and `api-token = {{ env = \"BATON_API_TOKEN\" }}` to [secrets], or bind to 127.0.0.1"
            ));
        }
        section.finish(flaws);
        Self { bind, token: token.map(|(name, _)| name) }
    }
}

impl Paths {
    fn read(
        mut section: Section<'_>,
        env: &dyn Fn(&str) -> Option<String>,
        folder: &Path,
        flaws: &mut Flaws,
    ) -> Self {
        let mut path = |key: &str, variable: &str| {
            match override_of(env, variable, section.string(key, flaws)) {
                // A path in the environment is relative to where its author stood.
                Some((text, Place::Variable(_))) => PathBuf::from(text),
                Some((text, place @ Place::File(_))) => {
                    if text.is_empty() {
                        place.flaw(flaws, &format!("`{key}` is empty; write a folder"));
                    }
                    folder.join(text)
                }
                None => folder.join(key),
            }
        };
        let paths = Self {
            data: path("data", "BATON_PATHS_DATA"),
            plugins: path("plugins", "BATON_PATHS_PLUGINS"),
            workflows: path("workflows", "BATON_PATHS_WORKFLOWS"),
        };
        section.finish(flaws);
        paths
    }
}

impl Limits {
    fn read(
        mut section: Section<'_>,
        env: &dyn Fn(&str) -> Option<String>,
        flaws: &mut Flaws,
    ) -> Self {
        let mut number = |key: &str, default: u64, range: std::ops::RangeInclusive<u64>| {
            let written = section.integer(key, range.clone(), flaws);
            let variable = format!("BATON_LIMITS_{}", key.to_uppercase());
            let Some(text) = env(&variable) else {
                return written.map_or(default, Spanned::into_inner);
            };
            text.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
                flaws.add_unplaced(format!(
                    "{variable}: {} is not a whole number from {} to {}",
                    shown(&text),
                    range.start(),
                    range.end()
                ));
                default
            })
        };
        let memory_mib = number("memory_mib", 64, 1..=4096);
        let fuel_max = number("fuel", 20_000_000_000, 1..=FUEL_MAX);
        let attempts = number("attempts", 64, 1..=10_000);
        let open_runs = number("open_runs", 1_000, 1..=1_000_000);
        section.finish(flaws);
        Self {
            memory_bytes_max: usize::try_from(memory_mib * 1024 * 1024).unwrap_or(usize::MAX),
            fuel_max,
            attempts_max: u32::try_from(attempts).unwrap_or(u32::MAX),
            open_runs_max: u32::try_from(open_runs).unwrap_or(u32::MAX),
        }
    }
}

/// Where a setting was written.
enum Place<'v> {
    File(std::ops::Range<usize>),
    Variable(&'v str),
}

impl Place<'_> {
    fn flaw(&self, flaws: &mut Flaws, message: &str) {
        match self {
            Place::File(span) => flaws.add(span.clone(), message.to_owned()),
            Place::Variable(name) => flaws.add_unplaced(format!("{name}: {message}")),
        }
    }
}

fn override_of<'v>(
    env: &dyn Fn(&str) -> Option<String>,
    variable: &'v str,
    written: Option<Spanned<String>>,
) -> Option<(String, Place<'v>)> {
    env(variable).map(|text| (text, Place::Variable(variable))).or_else(|| {
        written.map(|spanned| {
            let span = spanned.span();
            (spanned.into_inner(), Place::File(span))
        })
    })
}

#[cfg(test)]
mod tests;
