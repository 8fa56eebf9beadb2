//! Configuration, plugins and workflows, as the verbs need them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_core::workflow::plan::Plan;
use baton_host::capability::Outside;
use baton_host::capability::redis::Cluster;
use baton_host::{Host, Options};
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::failure::Failure;
use super::out::Out;
use super::{Exit, Global};
use crate::config::Config;
use crate::library::{Library, Plugins};

/// Reads baton.toml.
///
/// # Errors
/// All its flaws.
pub(super) fn config(global: &Global) -> Result<Config, Failure> {
    Ok(Config::load(global.config.as_deref())?)
}

/// Makes the data folder, so that what is compiled for the first engine on it is
/// there for the next one: that may be a restart in the middle of a recovery.
///
/// # Errors
/// If it cannot be made.
pub(super) fn data_folder(config: &Config) -> Result<(), Failure> {
    let data = &config.paths.data;
    std::fs::create_dir_all(data).map_err(|error| {
        Failure::new(format!("cannot create the data folder {}: {error}", data.display()))
            .help("give the user that runs Baton the folder, or set [paths] data")
    })
}

/// Starts what runs plugins. `clusters` and `outside` may be empty where nothing will run.
///
/// # Errors
/// If the folder for compiled plugins cannot be used.
pub(super) fn host(
    config: &Config,
    clusters: Vec<Cluster>,
    outside: Outside,
) -> Result<Host, Failure> {
    let options = Options {
        cache_dir: cache(config)?,
        lineage_dir: config.paths.data.is_dir().then(|| config.paths.data.join("lineage")),
        clusters,
        outside,
        memory_bytes_max: config.limits.memory_bytes_max,
        fuel_max: config.limits.fuel_max,
        attempts_max: config.limits.attempts_max,
    };
    Host::new(options).map_err(|error| Failure::new(error.to_string()))
}

/// Compiled plugins are kept in the data folder. Where there is none yet, looking
/// at a workflow must not make one: then the person's own cache folder serves.
fn cache(config: &Config) -> Result<PathBuf, Failure> {
    if config.paths.data.is_dir() {
        return Ok(config.paths.data.join("cache"));
    }
    let own = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    own("XDG_CACHE_HOME")
        .or_else(|| own("HOME").map(|home| home.join(".cache")))
        .map(|folder| folder.join("baton"))
        .ok_or_else(|| {
            let data = config.paths.data.display();
            Failure::new(format!("no folder for compiled plugins: {data} does not exist"))
                .help(format!("create {data}, or set HOME or XDG_CACHE_HOME"))
        })
}

/// Loads the configured folder of plugins, with a sign of life where it takes long,
/// and warns of files that are none.
pub(super) fn plugins(config: &Config, host: &Host, out: &Out) -> Plugins {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let plugins = Plugins::load(host, &config.paths.plugins, |file| {
        spinner.set_message(format!("loading {}", file.display()));
        spinner.tick();
    });
    spinner.finish_and_clear();
    for error in &plugins.broken {
        out.warn(&error.to_string());
    }
    plugins
}

/// The file with everything that it may refer to: its siblings first, then the
/// configured folder. Returns the workflow's name in it.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn around(
    file: &Path,
    config: &Config,
    plugins: &Arc<Plugins>,
) -> Result<(Library, String), Failure> {
    let mut library = Library::new(Arc::clone(plugins));
    let name = library.add_file(file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    for folder in [folder.unwrap_or(Path::new(".")), &config.paths.workflows] {
        // What cannot be read is missed, with its name, by the step that refers to it.
        let _ = library.add_folder(folder);
    }
    Ok((library, name))
}

/// Checks one workflow of a library, printing its flaws.
///
/// # Errors
/// If it has any; they are printed.
pub(super) fn checked(library: &Library, name: &str, out: &Out) -> Result<Arc<Plan>, Failure> {
    library.check(name).map_err(|flaws| {
        out.complain(&library.render(name, &flaws));
        explain_plugins(library, flaws.flaws.iter().map(|flaw| flaw.code), out);
        Failure::said(Exit::Bad)
    })
}

/// Where plugins are missed, says where they were looked for.
pub(super) fn explain_plugins(
    library: &Library,
    mut codes: impl Iterator<Item = &'static str>,
    out: &Out,
) {
    if !codes.any(|code| code == "unknown-plugin") {
        return;
    }
    let plugins = &library.plugins;
    let folder = plugins.folder.display();
    let seen = match &plugins.unreadable {
        Some(error) => format!("cannot read the folder of plugins {folder}: {error}"),
        None if plugins.loaded.is_empty() => format!("the folder of plugins {folder} has none"),
        None => format!("plugins were looked for in {folder}"),
    };
    out.note(&format!(
        "{seen}\n`cargo xtask plugins` builds Baton's own into target/plugins; \
         `plugins` under [paths] in baton.toml, or BATON_PATHS_PLUGINS, names the folder"
    ));
}
