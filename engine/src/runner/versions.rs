//! Which versions of workflows and plugins there are now, and which of them a run
//! began with. A run ends on what it began with, whatever happens to the files; this
//! only makes the difference visible.

use std::collections::BTreeMap;

use baton_core::id::Digest;
use baton_core::run::event::Begun;

use super::Loaded;
use super::view::{BuildsView, RunView};

/// Digests by name.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// Of workflows' sources.
    pub workflows: BTreeMap<String, Digest>,
    /// Of plugins' components.
    pub plugins: BTreeMap<String, Digest>,
}

impl Versions {
    /// Of what an engine has loaded.
    pub(super) fn loaded(loaded: &Loaded) -> Self {
        let mut workflows = BTreeMap::new();
        for (name, plan) in &loaded.plans {
            workflows.insert(name.clone(), plan.digest());
            let children = plan.children().into_iter();
            workflows.extend(children.map(|(name, child)| (name.to_owned(), child.digest())));
        }
        let plugins = loaded.plugins.iter().map(|(name, it)| (name.clone(), it.info().digest));
        Self { workflows, plugins: plugins.collect() }
    }

    /// What a run began with and is another version now, or gone.
    pub(super) fn changed(&self, begun: &Begun) -> Vec<String> {
        let own = std::iter::once((&begun.workflow, &begun.source));
        let workflows = own.chain(&begun.children).filter_map(|(name, source)| {
            let was = Digest::of(source.as_bytes());
            differs("workflow", name, was, self.workflows.get(name))
        });
        let plugins = begun
            .plugins
            .iter()
            .filter_map(|(name, pin)| differs("plugin", name, pin.digest, self.plugins.get(name)));
        workflows.chain(plugins).collect()
    }

    /// The view of a run with what has changed since it began.
    pub(super) fn of(&self, mut view: RunView, begun: &Begun) -> RunView {
        view.builds.changed = self.changed(begun);
        view
    }
}

fn differs(what: &str, name: &str, was: Digest, now: Option<&Digest>) -> Option<String> {
    match now {
        Some(now) if *now == was => None,
        Some(_) => Some(format!("{what} {name}")),
        None => Some(format!("{what} {name} (not loaded)")),
    }
}

/// What a run began with.
pub(super) fn builds(begun: &Begun) -> BuildsView {
    let digest = |source: &str| Digest::of(source.as_bytes()).to_string();
    BuildsView {
        workflows: begun
            .children
            .iter()
            .map(|(name, source)| (name.clone(), digest(source)))
            .collect(),
        plugins: begun
            .plugins
            .iter()
            .map(|(name, pin)| (name.clone(), pin.digest.to_string()))
            .collect(),
        changed: Vec::new(),
    }
}
