//! The files of the configured folders: plugins loaded, workflows read and checked.
//!
//! Read once; what changes on disk later is seen at the next start. Nothing here
//! runs anything.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_core::id::Digest;
use baton_core::limits::WORKFLOW_BYTES_MAX;
use baton_core::workflow::plan::Plan;
use baton_core::workflow::{self, Flaws, PluginFacts};
use baton_host::capability::redis::is_read;
use baton_host::{Host, LoadError, Plugin};

use crate::config::Config;
use crate::runner::Versions;

/// The plugins of one folder.
pub struct Plugins {
    /// The folder.
    pub folder: PathBuf,
    /// By file stem, which is the name that workflows use.
    pub loaded: BTreeMap<String, Plugin>,
    /// Files that are no plugins, and why.
    pub broken: Vec<LoadError>,
    /// The folder does not exist or cannot be read; then there are no plugins.
    pub unreadable: Option<io::Error>,
}

impl Plugins {
    /// Loads every `*.wasm` of `folder`; a file that cannot be loaded does not
    /// stop the others. `seen` is told of each file before it is compiled.
    pub fn load(host: &Host, folder: &Path, mut seen: impl FnMut(&Path)) -> Self {
        let mut plugins = Self {
            folder: folder.to_owned(),
            loaded: BTreeMap::new(),
            broken: Vec::new(),
            unreadable: None,
        };
        let files = match files(folder, "wasm") {
            Ok(files) => files,
            Err(error) => {
                plugins.unreadable = Some(error);
                return plugins;
            }
        };
        for (name, path) in files {
            seen(&path);
            match host.load(&path) {
                Ok(plugin) if plugin.info().name == name => {
                    plugins.loaded.insert(name, plugin);
                }
                Ok(plugin) => plugins.broken.push(LoadError {
                    path: path.display().to_string(),
                    message: format!(
                        "the plugin calls itself `{0}`; rename the file to {0}.wasm",
                        plugin.info().name
                    ),
                }),
                Err(error) => plugins.broken.push(error),
            }
        }
        plugins
    }

    fn facts(&self) -> BTreeMap<String, PluginFacts> {
        let facts = |plugin: &Plugin| PluginFacts {
            redis_commands: plugin.info().redis_commands.clone(),
            asks: plugin.info().asks.clone(),
            when_interrupted: plugin.info().when_interrupted,
        };
        self.loaded.iter().map(|(name, plugin)| (name.clone(), facts(plugin))).collect()
    }
}

/// A workflow file as read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says.
    pub text: Arc<str>,
}

/// A file could not be read as a workflow.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct ReadError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why, and what to do.
    pub message: String,
}

/// Workflow files by name, and the plugins that their steps may use.
pub struct Library {
    /// By file stem.
    pub sources: BTreeMap<String, Source>,
    /// What steps run.
    pub plugins: Arc<Plugins>,
    facts: workflow::Library,
}

impl Library {
    /// A library without workflows.
    pub fn new(plugins: Arc<Plugins>) -> Self {
        let facts =
            workflow::Library { workflows: BTreeMap::new(), plugins: plugins.facts(), is_read };
        Self { sources: BTreeMap::new(), plugins, facts }
    }

    /// Adds every `*.toml` of `folder`; a name that is already there stays.
    ///
    /// # Errors
    /// If the folder cannot be read; the files that cannot be read are returned.
    pub fn add_folder(&mut self, folder: &Path) -> Result<Vec<ReadError>, ReadError> {
        let unreadable = |error: io::Error| ReadError {
            path: folder.to_owned(),
            message: format!("cannot read the folder of workflows: {error}"),
        };
        let mut errors = Vec::new();
        for (name, path) in files(folder, "toml").map_err(unreadable)? {
            if self.sources.contains_key(&name) {
                continue;
            }
            if let Err(error) = self.add_file(&path) {
                errors.push(error);
            }
        }
        Ok(errors)
    }

    /// Adds one file under its stem, in place of what had this name, and returns
    /// the name.
    ///
    /// # Errors
    /// If it cannot be read, is no text, or is too large.
    pub fn add_file(&mut self, path: &Path) -> Result<String, ReadError> {
        let wrong = |message: String| ReadError { path: path.to_owned(), message };
        let unreadable = |error: io::Error| wrong(why(&error));
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > WORKFLOW_BYTES_MAX as u64 {
            return Err(wrong(format!(
                "{bytes} bytes; a workflow file has at most {WORKFLOW_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| wrong("a workflow file is named <name>.toml".to_owned()))?;
        let text: Arc<str> = text.into();
        self.facts.workflows.insert(name.clone(), Arc::clone(&text));
        self.sources.insert(name.clone(), Source { path: path.to_owned(), text });
        Ok(name)
    }

    /// Checks one workflow.
    ///
    /// # Errors
    /// All its flaws.
    pub fn check(&self, name: &str) -> Result<Arc<Plan>, Flaws> {
        let source = self.sources.get(name).map_or("", |source| &source.text);
        workflow::check(name, source, &self.facts)
    }

    /// The flaws as text for the author.
    pub fn render(&self, name: &str, flaws: &Flaws) -> String {
        self.sources.get(name).map_or_else(
            || flaws.to_string(),
            |source| flaws.render(&source.path.display().to_string(), &source.text),
        )
    }
}

/// Digests of the files of the configured folders as they are now, whether they are
/// sound or not; what cannot be read is left out.
pub fn versions(config: &Config) -> Versions {
    let digests = |folder: &Path, extension: &str| {
        let found = files(folder, extension).unwrap_or_default().into_iter();
        found
            .filter_map(|(name, path)| Some((name, Digest::of(&std::fs::read(path).ok()?))))
            .collect()
    };
    Versions {
        workflows: digests(&config.paths.workflows, "toml"),
        plugins: digests(&config.paths.plugins, "wasm"),
    }
}

/// Why a file cannot be read, without the system's numbers where they tell nothing.
fn why(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if error.kind() == io::ErrorKind::IsADirectory {
        "a folder; name the files in it".to_owned()
    } else if error.kind() == io::ErrorKind::InvalidData {
        "not a text file in UTF-8".to_owned()
    } else {
        format!("cannot be read: {error}")
    }
}

/// Files of `folder` that end in `.extension`, by stem; hidden ones left out.
fn files(folder: &Path, extension: &str) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
            continue;
        };
        let fits = path.extension().is_some_and(|found| found == extension);
        if fits && !stem.starts_with('.') && path.is_file() {
            files.insert(stem, path);
        }
    }
    Ok(files)
}
