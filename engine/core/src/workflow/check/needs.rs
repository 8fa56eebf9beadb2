//! Which step waits for which: unknown names, cycles, and what lies above a step.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};

use crate::workflow::document::StepDoc;
use crate::workflow::flaw::{Flaw, did_you_mean};

/// Steps by their place in the file, and what they need.
pub(super) struct Needs<'d> {
    index: BTreeMap<&'d str, usize>,
    direct: Vec<BTreeSet<usize>>,
    /// Everything a step needs, directly or not.
    above: Vec<BTreeSet<usize>>,
    graph: DiGraph<usize, ()>,
}

impl<'d> Needs<'d> {
    pub(super) fn new(steps: &'d [StepDoc], flaws: &mut Vec<Flaw>) -> Self {
        let index: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(at, step)| (step.name.value.as_str(), at)).collect();
        let mut needs = Vec::new();
        for step in steps {
            let mut found = BTreeSet::new();
            for need in &step.needs {
                if let Some(at) = index.get(need.value.as_str()) {
                    found.insert(*at);
                } else {
                    let message = format!("there is no step `{}`", need.value);
                    let help = did_you_mean(&need.value, index.keys().copied());
                    let flaw = Flaw::at("unknown-step", need.span.clone(), message);
                    flaws.push(flaw.maybe_help(help));
                }
            }
            needs.push(found);
        }
        let mut graph = DiGraph::new();
        let nodes: Vec<NodeIndex> = (0..steps.len()).map(|at| graph.add_node(at)).collect();
        for (at, found) in needs.iter().enumerate() {
            for need in found {
                graph.add_edge(nodes[*need], nodes[at], ());
            }
        }
        let above = nodes.iter().map(|node| above(&graph, *node)).collect();
        let web = Self { index, direct: needs, above, graph };
        web.check_cycles(steps, flaws);
        web
    }

    /// The step with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Every step's name.
    pub(super) fn names(&self) -> impl Iterator<Item = &'d str> + Clone {
        self.index.keys().copied()
    }

    /// What a step needs directly.
    pub(super) fn of(&self, step: usize) -> &BTreeSet<usize> {
        &self.direct[step]
    }

    /// What a step needs, directly or not.
    pub(super) fn above(&self, step: usize) -> &BTreeSet<usize> {
        &self.above[step]
    }

    /// All steps, each after those it needs, otherwise as in the file; none if
    /// there is a cycle.
    pub(super) fn order(&self) -> Option<Vec<usize>> {
        toposort(&self.graph, None).ok()?;
        let mut left: BTreeSet<usize> = (0..self.direct.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let next = *left.iter().find(|at| self.direct[**at].is_disjoint(&left))?;
            left.remove(&next);
            order.push(next);
        }
        Some(order)
    }

    fn check_cycles(&self, steps: &[StepDoc], flaws: &mut Vec<Flaw>) {
        for knot in tarjan_scc(&self.graph) {
            let knot: BTreeSet<usize> = knot.into_iter().map(|node| self.graph[node]).collect();
            let Some(first) = knot.first().copied() else { continue };
            if knot.len() == 1 && !self.direct[first].contains(&first) {
                continue;
            }
            let circle = self.walk(first, &knot);
            let names: Vec<String> =
                circle.iter().map(|at| format!("`{}`", steps[*at].name.value)).collect();
            let message = format!("steps wait for each other: {}", names.join(" needs "));
            let next = circle.get(1).map(|at| steps[*at].name.value.as_str());
            let from = &steps[circle[0]];
            let need = from.needs.iter().find(|need| Some(need.value.as_str()) == next);
            let span = need.map_or(&from.name.span, |need| &need.span).clone();
            let help = "remove one of these from `needs`";
            flaws.push(Flaw::at("cycle", span, message).help(help));
        }
    }

    /// A way through `knot` from a step back to that step.
    fn walk(&self, first: usize, knot: &BTreeSet<usize>) -> Vec<usize> {
        let mut path = vec![first];
        loop {
            let here = path[path.len() - 1];
            let Some(next) = self.direct[here].intersection(knot).next().copied() else {
                return path;
            };
            if let Some(met) = path.iter().position(|at| *at == next) {
                path.drain(..met);
                path.push(next);
                return path;
            }
            path.push(next);
        }
    }
}

fn above(graph: &DiGraph<usize, ()>, node: NodeIndex) -> BTreeSet<usize> {
    let reversed = Reversed(graph);
    let mut found = BTreeSet::new();
    for need in graph.neighbors_directed(node, petgraph::Direction::Incoming) {
        let mut search = Dfs::new(&reversed, need);
        while let Some(node) = search.next(&reversed) {
            found.insert(graph[node]);
        }
    }
    found
}
