//! The plan for other programs to draw.

use std::fmt::Write as _;

use baton_core::workflow::plan::{Plan, Step};

use super::super::words::clean;
use super::{notes, what};

/// Mermaid's `flowchart`, for Markdown.
pub(crate) fn mermaid(plan: &Plan) -> String {
    let mut text = String::from("flowchart TD\n");
    for (index, step) in plan.steps().iter().enumerate() {
        let label = label(step).map(|line| entity(&line)).collect::<Vec<_>>().join("<br/>");
        let (open, close) = match (step.pivot, step.always) {
            (true, _) => ("{{", "}}"),
            (false, true) => ("([", "])"),
            (false, false) => ("[", "]"),
        };
        let _ = writeln!(text, "    s{index}{open}\"{label}\"{close}");
    }
    for (from, to, dashed) in edges(plan) {
        let arrow = if dashed { "-.->" } else { "-->" };
        let _ = writeln!(text, "    s{from} {arrow} s{to}");
    }
    text
}

/// Graphviz's DOT.
pub(crate) fn dot(plan: &Plan) -> String {
    let mut text = format!("digraph \"{}\" {{\n", escape(plan.name()));
    text.push_str("    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    for (index, step) in plan.steps().iter().enumerate() {
        let label = label(step).map(|line| escape(&line)).collect::<Vec<_>>().join("\\n");
        let shape = match (step.pivot, step.always) {
            (true, _) => ", shape=hexagon, style=bold",
            (false, true) => ", style=\"rounded,dashed\"",
            (false, false) => "",
        };
        let _ = writeln!(text, "    s{index} [label=\"{label}\"{shape}];");
    }
    for (from, to, dashed) in edges(plan) {
        let style = if dashed { " [style=dashed]" } else { "" };
        let _ = writeln!(text, "    s{from} -> s{to}{style};");
    }
    text.push_str("}\n");
    text
}

fn label(step: &Step) -> impl Iterator<Item = String> {
    [clean(&step.name), what(step)].into_iter().chain(notes(step))
}

/// From a needed step to the one that needs it; dashed where a condition decides.
fn edges(plan: &Plan) -> impl Iterator<Item = (u16, usize, bool)> {
    plan.steps()
        .iter()
        .enumerate()
        .flat_map(|(to, step)| step.needs.iter().map(move |from| (from.0, to, step.when.is_some())))
}

fn entity(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
