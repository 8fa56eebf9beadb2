//! `baton graph`.

use std::path::PathBuf;
use std::sync::Arc;

use baton_host::capability::Outside;
use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::out::Out;
use super::render::graph;
use super::{Exit, Global, load};

/// Draw a workflow: its steps, what needs what, and where conditions decide
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton graph workflows/redis-failover.toml
  baton graph workflows/redis-failover.toml --format mermaid >> README.md
  baton graph workflows/redis-failover.toml --format dot | dot -Tsvg > failover.svg")]
pub(super) struct Graph {
    /// A workflow file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to draw with
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What to draw with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines and marks, for a terminal
    Text,
    /// A flowchart for Markdown
    Mermaid,
    /// For Graphviz
    Dot,
}

impl Graph {
    /// Draws the file.
    ///
    /// # Errors
    /// If it is not sound.
    pub(super) fn run(&self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let host = load::host(&config, Vec::new(), Outside::default())?;
        let plugins = Arc::new(load::plugins(&config, &host, out));
        let (library, name) = load::around(&self.file, &config, &plugins)?;
        let plan = load::checked(&library, &name, out)?;
        out.print(&match self.format {
            Format::Text => graph::text(&plan, out.look()),
            Format::Mermaid => graph::mermaid(&plan),
            Format::Dot => graph::dot(&plan),
        })?;
        Ok(Exit::Good)
    }
}
