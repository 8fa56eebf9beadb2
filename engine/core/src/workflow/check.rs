//! From a document to a plan, or to all of its flaws at once.
//!
//! Each room below looks at one matter and notes what is wrong with it; none stops
//! at the first flaw. A plan is put together only if nobody noted any.

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::graph::DiGraph;

use super::document::{Document, ParamDoc, Text};
use super::flaw::{Flaw, Flaws, did_you_mean};
use super::params::mismatch;
use super::plan::{Concurrency, Param, Plan, Step, WhenInterrupted};
use crate::id::{Digest, StepId};
use crate::limits::{CHILD_DEPTH_MAX, NAME_CHARS_MAX, STEPS_MAX, WORKFLOW_BYTES_MAX};

mod doors;
mod given;
mod grants;
mod needs;
mod sight;
mod steps;
#[cfg(test)]
mod tests;
mod triggers;

use needs::Needs;
use sight::{Sight, StepsInSight};

/// What a workflow may refer to.
#[derive(Clone, Debug)]
pub struct Library {
    /// Sources of workflows, by name.
    pub workflows: BTreeMap<String, Arc<str>>,
    /// Plugins, by name.
    pub plugins: BTreeMap<String, PluginFacts>,
    /// Whether a Redis command (`GET`, `CONFIG|GET`) changes nothing; the host's
    /// command table knows. `@read` is not asked for: it never does.
    pub is_read: fn(&str) -> bool,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFacts {
    /// Redis commands that it asks for: `GET`, `CONFIG|GET`, `@read`.
    pub redis_commands: Vec<String>,
    /// What it asks for besides.
    pub asks: Asks,
    /// What it wants for attempts that were cut off.
    pub when_interrupted: WhenInterrupted,
}

/// What a plugin asks for besides Redis; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// HTTP, with the methods as far as it names them, upper case; none: it has no use
    /// for HTTP.
    pub http: Option<Vec<String>>,
    /// Commands of the engine's machine.
    pub exec: bool,
    /// Probes.
    pub probe: bool,
}

impl Asks {
    /// As a person reads it: `HTTP GET`, `exec`, `probe`.
    pub fn words(&self) -> Vec<String> {
        let http = match self.http.as_deref() {
            None => Vec::new(),
            Some([]) => vec!["HTTP".to_owned()],
            Some(methods) => methods.iter().map(|method| format!("HTTP {method}")).collect(),
        };
        let doors = [("exec", self.exec), ("probe", self.probe)];
        let asked = doors.into_iter().filter(|(_, asked)| *asked).map(|(door, _)| door.to_owned());
        http.into_iter().chain(asked).collect()
    }
}

/// Checks a workflow and every workflow that it uses. `name` is the file's stem.
///
/// # Errors
/// All flaws of `source`. A child workflow with flaws is one flaw here.
pub fn check(name: &str, source: &str, library: &Library) -> Result<Arc<Plan>, Flaws> {
    Checker { library, open: Vec::new(), done: BTreeMap::new(), knot: None }.check(name, source)
}

/// It cannot be had, and a flaw says why.
struct Flawed;

/// One call of [`check`].
struct Checker<'l> {
    library: &'l Library,
    /// Workflows being checked, outermost first.
    open: Vec<String>,
    /// Children checked already; none: they have flaws.
    done: BTreeMap<String, Option<Arc<Plan>>>,
    /// A flaw of the way down to a child, as opposed to the child's own: checking
    /// the child alone would not show it.
    knot: Option<(&'static str, String)>,
}

impl Checker<'_> {
    fn check(&mut self, name: &str, source: &str) -> Result<Arc<Plan>, Flaws> {
        if source.len() > WORKFLOW_BYTES_MAX {
            let message = format!("the file is larger than {WORKFLOW_BYTES_MAX} bytes");
            return Err(Flaws::new(name, vec![Flaw::whole("too-large", message)]));
        }
        let (document, reader) = Document::read(source);
        let mut flaws = reader.flaws;
        if flaws.iter().any(|flaw| flaw.code == "toml") {
            return Err(Flaws::new(name, flaws));
        }
        self.open.push(name.to_owned());
        let plan = self.plan(name, source, &document, &mut flaws);
        self.open.pop();
        match plan {
            Some(plan) if flaws.is_empty() => Ok(Arc::new(plan)),
            _ => Err(Flaws::new(name, flaws)),
        }
    }

    /// None only if a flaw says why.
    fn plan(
        &mut self,
        name: &str,
        source: &str,
        document: &Document,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Plan> {
        check_head(name, document, flaws);
        let params = params(&document.params, flaws);
        let needs = Needs::new(&document.steps, flaws);
        let steps = self.steps(document, &params, &needs, flaws);
        let sight = Sight::new(&params, &needs, steps.outputs);
        let concurrency = concurrency(document, &sight, flaws);
        let everything = sight.at_run(StepsInSight::All);
        let output = document.output.as_ref().map(|it| everything.template("output", it, flaws));
        let triggers = self.triggers(document, &sight, flaws);
        let steps = steps.steps.into_iter().collect::<Option<Vec<Step>>>()?;
        let (steps, graph) = in_order(steps, &needs)?;
        let plan = Plan {
            name: name.to_owned(),
            summary: document.summary.as_ref().map_or_else(String::new, |it| it.value.clone()),
            source: source.into(),
            digest: Digest::of(source.as_bytes()),
            params,
            triggers: triggers.into_iter().collect::<Option<_>>()?,
            steps,
            graph,
            concurrency: if document.concurrency.is_some() { Some(concurrency?) } else { None },
            cooldown_ms: document.cooldown.as_ref().map(|it| it.value),
            timeout_ms: document.timeout.as_ref().map(|it| it.value),
            output: if let Some(output) = output { Some(output?) } else { None },
        };
        Some(plan.with_replays_bounded())
    }

    /// The plan of another workflow, named by `text`.
    fn child(&mut self, text: &Text, flaws: &mut Vec<Flaw>) -> Option<Arc<Plan>> {
        let name = &text.value;
        if let Some(from) = self.open.iter().position(|open| open == name) {
            let path = self.open[from..].join("` uses `");
            let message = format!("workflow `{path}` uses `{name}`: that would never end");
            return self.tie("child-recursion", message, text, flaws);
        }
        let Some(source) = self.library.workflows.get(name).cloned() else {
            let message = format!("there is no workflow `{name}`");
            let help = did_you_mean(name, self.library.workflows.keys().map(String::as_str));
            flaws.push(Flaw::at("unknown-workflow", text.span.clone(), message).maybe_help(help));
            return None;
        };
        if self.open.len() > CHILD_DEPTH_MAX {
            let path = self.open.join("` uses `");
            let message = format!(
                "child workflows are nested more than {CHILD_DEPTH_MAX} deep: `{path}` uses `{name}`"
            );
            return self.tie("child-too-deep", message, text, flaws);
        }
        if !self.done.contains_key(name) {
            let checked = self.check(name, &source).ok();
            self.done.insert(name.clone(), checked);
        }
        let plan = self.done.get(name).cloned().flatten();
        match &self.knot {
            _ if plan.is_some() => {}
            Some((code, message)) => flaws.push(Flaw::at(code, text.span.clone(), message)),
            None => {
                let message = format!("workflow `{name}` has flaws of its own");
                let help = format!("run `baton check` on {name}.toml");
                flaws.push(Flaw::at("child-flaws", text.span.clone(), message).help(help));
            }
        }
        plan
    }

    /// Notes a flaw of the way down, here and at every workflow on it.
    fn tie(
        &mut self,
        code: &'static str,
        message: String,
        text: &Text,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Arc<Plan>> {
        flaws.push(Flaw::at(code, text.span.clone(), message.clone()));
        self.knot = Some((code, message));
        None
    }
}

fn check_head(name: &str, document: &Document, flaws: &mut Vec<Flaw>) {
    match &document.name {
        None => flaws.push(
            Flaw::at("missing-key", 0..0, "a workflow needs `name`")
                .help(format!("add name = \"{name}\" as the first line")),
        ),
        Some(text) => {
            if let Some(flaw) = bad_dashed_name("a workflow's name", text) {
                flaws.push(flaw);
            } else if text.value != name {
                let message =
                    format!("the workflow is named `{}`, but its file `{name}.toml`", text.value);
                let help = format!("write name = \"{name}\", or rename the file");
                flaws.push(Flaw::at("name-mismatch", text.span.clone(), message).help(help));
            }
        }
    }
    if document.steps.is_empty() && flaws.iter().all(|flaw| flaw.code != "wrong-type") {
        let help = "add a step:\n[steps.ping]\nplugin = \"redis-ping\"";
        flaws.push(Flaw::whole("no-steps", "a workflow needs at least one step").help(help));
    }
    if let Some(step) = document.steps.get(STEPS_MAX) {
        let message = format!("more than {STEPS_MAX} steps");
        let help = "move some into a child workflow";
        flaws.push(Flaw::at("too-many-steps", step.name.span.clone(), message).help(help));
    }
    if let (Some(cooldown), None) = (&document.cooldown, &document.concurrency) {
        let message =
            "`cooldown` holds back runs of the same key, but there is no `concurrency` key";
        let help = "add concurrency = { key = \"…\", policy = \"join\" }";
        flaws.push(Flaw::at("cooldown-without-key", cooldown.span.clone(), message).help(help));
    }
}

fn params(documents: &[ParamDoc], flaws: &mut Vec<Flaw>) -> BTreeMap<String, Param> {
    let mut params = BTreeMap::new();
    for document in documents {
        flaws.extend(bad_dotted_name("a param's name", &document.name));
        let kind = document.kind.as_ref().map(|kind| kind.value);
        if let (Some(kind), Some(default)) = (kind, &document.default) {
            let wrong = mismatch(kind, &default.json);
            flaws.extend(wrong.map(|why| {
                let message = format!("the default of `{}` {why}", document.name.value);
                Flaw::at("wrong-type", default.span.clone(), message)
            }));
        }
        params.insert(
            document.name.value.clone(),
            Param {
                // Of no consequence: without a type there is a flaw and no plan.
                kind: kind.unwrap_or(super::plan::ParamKind::String),
                default: document.default.as_ref().map(|default| default.json.clone()),
                summary: document.summary.as_ref().map_or_else(String::new, |it| it.value.clone()),
            },
        );
    }
    params
}

fn concurrency(
    document: &Document,
    sight: &Sight<'_>,
    flaws: &mut Vec<Flaw>,
) -> Option<Concurrency> {
    let document = document.concurrency.as_ref()?;
    let only_params = sight.of(&["params"]);
    let key = document.key.as_ref()?;
    Some(Concurrency {
        key: only_params.template("concurrency.key", &key.clone().into(), flaws)?,
        policy: document.policy.as_ref()?.value,
    })
}

/// Steps in topological order, as near to the file's order as that allows.
fn in_order(steps: Vec<Step>, needs: &Needs<'_>) -> Option<(Vec<Step>, DiGraph<StepId, ()>)> {
    let order = needs.order()?;
    let mut place = BTreeMap::new();
    for (id, index) in (0_u16..).zip(&order) {
        place.insert(*index, StepId(id));
    }
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut graph = DiGraph::new();
    let mut ordered = Vec::new();
    let mut nodes = BTreeMap::new();
    for index in order {
        let mut step = steps.get_mut(index)?.take()?;
        let id = *place.get(&index)?;
        step.needs = needs.of(index).iter().filter_map(|need| place.get(need)).copied().collect();
        step.needs.sort_unstable();
        nodes.insert(id, graph.add_node(id));
        for need in &step.needs {
            graph.add_edge(*nodes.get(need)?, *nodes.get(&id)?, ());
        }
        ordered.push(step);
    }
    Some((ordered, graph))
}

/// Names that expressions use after a dot: a `-` would be read as minus there.
fn bad_dotted_name(what: &str, text: &Text) -> Option<Flaw> {
    bad_name(what, text, '_')
}

/// Names that only stand in file names, URLs and metrics.
fn bad_dashed_name(what: &str, text: &Text) -> Option<Flaw> {
    bad_name(what, text, '-')
}

fn bad_name(what: &str, text: &Text, joint: char) -> Option<Flaw> {
    let name = &text.value;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint;
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.chars().all(fits) && name.len() <= NAME_CHARS_MAX {
        return None;
    }
    let message = format!(
        "{what} must be a lower-case letter, then lower-case letters, digits and `{joint}`, at most \
         {NAME_CHARS_MAX} in all: `{name}` is not"
    );
    let other = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { joint };
    let better: String = name.chars().take(NAME_CHARS_MAX).map(other).collect();
    let better = better.trim_matches(joint);
    let help =
        better.starts_with(|c: char| c.is_ascii_lowercase()).then(|| format!("write `{better}`"));
    Some(Flaw::at("bad-name", text.span.clone(), message).maybe_help(help))
}
