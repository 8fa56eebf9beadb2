//! `baton plugins`.

use baton_core::workflow::plan::WhenInterrupted;
use baton_host::capability::Outside;
use baton_host::{LoadError, Plugin};
use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::out::{Out, Output};
use super::render::plugins::{Row, plugins};
use super::{Exit, Format, Global, load};

/// List the plugins of the configured folder
///
/// What a plugin imports is all that it can ever touch; what it asks for, a
/// workflow's grants must allow.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton plugins --output json
  BATON_PATHS_PLUGINS=target/plugins baton plugins

Exit codes: 0 all files are plugins, 1 at least one is not, or the folder cannot be read.")]
pub(super) struct Plugins {
    #[command(flatten)]
    format: Format,
}

impl Plugins {
    /// Lists them.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn run(&self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let host = load::host(&config, Vec::new(), Outside::default())?;
        let found = load::plugins(&config, &host, out);
        if let Some(error) = &found.unreadable {
            let folder = found.folder.display();
            let what = format!("cannot read the folder of plugins {folder}: {error}");
            return Err(Failure::new(what).help(
                "`cargo xtask plugins` builds Baton's own into target/plugins; `plugins` under \
                 [paths] in baton.toml, or BATON_PATHS_PLUGINS, names the folder",
            ));
        }
        let rows: Vec<Row> = found.loaded.values().map(row).collect();
        match self.format.output {
            Output::Text => out.print(&plugins(&rows, out.look()))?,
            Output::Json => {
                let broken = |e: &LoadError| json!({ "path": e.path, "message": e.message });
                let broken: Vec<_> = found.broken.iter().map(broken).collect();
                out.json(&json!({ "folder": found.folder, "plugins": rows, "broken": broken }))?;
            }
        }
        Ok(if found.broken.is_empty() { Exit::Good } else { Exit::Failed })
    }
}

fn row(plugin: &Plugin) -> Row {
    let info = plugin.info();
    Row {
        name: info.name.clone(),
        version: info.version.clone(),
        bytes: info.bytes,
        digest: info.digest.to_string(),
        when_interrupted: match info.when_interrupted {
            WhenInterrupted::Replay => "replay",
            WhenInterrupted::Rerun => "rerun",
            WhenInterrupted::Ask => "ask",
        },
        imports: info.imports.clone(),
        redis_commands: info.redis_commands.clone(),
        asks: info.asks.words(),
        summary: info.summary.clone(),
    }
}
