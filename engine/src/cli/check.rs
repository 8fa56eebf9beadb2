//! `baton check`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_core::workflow::plan::Plan;
use baton_core::workflow::{Flaw, Flaws};
use baton_host::capability::Outside;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::out::{Out, Output};
use super::render::look::Tone;
use super::render::words::count;
use super::{Exit, Format, Global, load};
use crate::library::Library;

type Checked = Result<Arc<Plan>, Flaws>;

/// Find every mistake in workflow files, without running anything
///
/// Each mistake is shown with its line and with what to write instead. A file may
/// refer to workflows beside it and in the configured folder, and to the plugins of
/// the configured folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  baton check workflows/*.toml
  baton check --output json workflows/redis-failover.toml

Exit codes: 0 all files are sound, 2 at least one is not.")]
pub(super) struct Check {
    /// Workflow files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// One file as JSON.
#[derive(Debug, Serialize)]
struct File {
    path: PathBuf,
    workflow: Option<String>,
    ok: bool,
    digest: Option<String>,
    steps: Option<usize>,
    flaws: Vec<Mistake>,
}

/// One flaw as JSON.
#[derive(Debug, Serialize)]
struct Mistake {
    code: &'static str,
    message: String,
    line: Option<usize>,
    help: Option<String>,
}

impl Check {
    /// Checks all files, and prints what is wrong with any.
    ///
    /// # Errors
    /// If the configuration or the plugins' cache cannot be used.
    pub(super) fn run(&self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let config = load::config(global)?;
        let host = load::host(&config, Vec::new(), Outside::default())?;
        let plugins = Arc::new(load::plugins(&config, &host, out));
        let mut files = Vec::new();
        let mut missed = None;
        for path in &self.files {
            let (library, name) = match load::around(path, &config, &plugins) {
                Ok(around) => around,
                Err(failure) => {
                    files.push(File::unreadable(path.clone(), failure.what));
                    continue;
                }
            };
            let checked = library.check(&name);
            if self.format.output == Output::Text {
                show(path, &library, &name, &checked, out)?;
            }
            let file = File::of(path.clone(), &library, name, &checked);
            if file.flaws.iter().any(|flaw| flaw.code == "unknown-plugin") {
                missed = Some(library);
            }
            files.push(file);
        }
        if let Some(library) = missed {
            load::explain_plugins(&library, std::iter::once("unknown-plugin"), out);
        }
        let exit = if files.iter().all(|file| file.ok) { Exit::Good } else { Exit::Bad };
        match self.format.output {
            Output::Json => out.json(&serde_json::json!({ "files": files }))?,
            Output::Text => self.sum_up(&files, out),
        }
        Ok(exit)
    }

    fn sum_up(&self, files: &[File], out: &Out) {
        for file in files.iter().filter(|file| file.workflow.is_none()) {
            for flaw in &file.flaws {
                out.fail(&Failure::bad(flaw.message.clone()));
            }
        }
        let bad = files.iter().filter(|file| !file.ok).count();
        if bad > 0 && self.files.len() > 1 {
            let all = count(files.len(), "file");
            out.fail(&Failure::bad(format!("{bad} of {all} cannot be used")));
        }
    }
}

impl File {
    fn unreadable(path: PathBuf, message: String) -> Self {
        let flaw = Mistake { code: "unreadable", message, line: None, help: None };
        Self { path, workflow: None, ok: false, digest: None, steps: None, flaws: vec![flaw] }
    }

    fn of(path: PathBuf, library: &Library, name: String, checked: &Checked) -> Self {
        let source = library.sources.get(&name).map_or("", |source| &source.text);
        let line = |start: usize| source.get(..start).map(|text| text.matches('\n').count() + 1);
        let mistake = |flaw: &Flaw| Mistake {
            code: flaw.code,
            message: flaw.message.clone(),
            line: flaw.span.as_ref().and_then(|span| line(span.start)),
            help: flaw.help.clone(),
        };
        let flaws = checked.as_ref().err().map_or(&[][..], |flaws| &flaws.flaws);
        let plan = checked.as_ref().ok();
        Self {
            path,
            workflow: Some(name),
            ok: plan.is_some(),
            digest: plan.map(|plan| plan.digest().to_string()),
            steps: plan.map(|plan| plan.steps().len()),
            flaws: flaws.iter().map(mistake).collect(),
        }
    }
}

fn show(
    path: &Path,
    library: &Library,
    name: &str,
    checked: &Checked,
    out: &Out,
) -> Result<(), Failure> {
    match checked {
        Err(flaws) => {
            out.complain(&format!("{}\n", library.render(name, flaws)));
            Ok(())
        }
        Ok(plan) => {
            let good = out.look().tint(Tone::Good, "✓");
            let steps = count(plan.steps().len(), "step");
            out.print(&format!("{good} {}: {steps}, sound\n", path.display()))
        }
    }
}
