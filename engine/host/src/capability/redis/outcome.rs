//! What came of each command of a pipeline, for the journal.

use super::grant::Command;
use crate::guest::wit::redis::Node;
use crate::limits;
use crate::text::{tame, tame_bytes};

/// One text for each command, as far as known. `replies` may be fewer than the
/// commands: what has no reply is in doubt. A command inside MULTI is known by
/// EXEC's reply, not by its own `QUEUED`.
pub(super) fn outcomes(commands: &[Command], replies: &[Vec<Node>]) -> Vec<Option<String>> {
    let mut outcomes: Vec<Option<String>> = Vec::with_capacity(commands.len());
    let mut queued: Option<Vec<usize>> = None;
    for (at, command) in commands.iter().enumerate() {
        let reply = replies.get(at).map(Vec::as_slice);
        outcomes.push(reply.map(text));
        match (command.name.as_str(), &mut queued) {
            ("MULTI", _) => queued = Some(Vec::new()),
            ("EXEC", Some(inside)) => {
                let inside = std::mem::take(inside);
                settle(&mut outcomes, &inside, reply);
                queued = None;
            }
            ("DISCARD", Some(inside)) => {
                for at in std::mem::take(inside) {
                    outcomes[at] = reply.map(|_| "not done: DISCARD".to_owned());
                }
                queued = None;
            }
            (_, Some(inside)) => inside.push(at),
            (_, None) => {}
        }
    }
    outcomes
}

/// Spreads EXEC's reply over the commands that it ran.
fn settle(outcomes: &mut [Option<String>], inside: &[usize], reply: Option<&[Node]>) {
    // A command that was refused while it was queued keeps that answer.
    let ran: Vec<usize> = inside
        .iter()
        .copied()
        .filter(|at| outcomes[*at].as_deref().is_none_or(|text| text == "QUEUED"))
        .collect();
    let parts = reply.map(parts);
    for (index, at) in ran.iter().enumerate() {
        outcomes[*at] = match (&parts, reply) {
            (Some(Some(parts)), _) => parts.get(index).map(|part| text(part)),
            (_, Some(reply)) => Some(format!("not done: EXEC gave {}", text(reply))),
            _ => None,
        };
    }
}

/// The elements of an array; none if it is no array.
fn parts(nodes: &[Node]) -> Option<Vec<&[Node]>> {
    let [Node::Array(count), rest @ ..] = nodes else { return None };
    let mut rest = rest;
    let mut parts = Vec::new();
    for _ in 0..*count {
        let (part, tail) = rest.split_at_checked(extent(rest))?;
        parts.push(part);
        rest = tail;
    }
    Some(parts)
}

/// How many nodes the first value spans.
fn extent(nodes: &[Node]) -> usize {
    let mut missing = 1;
    let mut at = 0;
    while missing > 0 {
        missing += match nodes.get(at) {
            Some(Node::Array(count) | Node::Set(count) | Node::Push(count)) => *count as usize,
            Some(Node::Map(pairs)) => 2 * *pairs as usize,
            Some(_) => 0,
            None => break,
        };
        missing -= 1;
        at += 1;
    }
    at
}

fn text(reply: &[Node]) -> String {
    let most = limits::OUTCOME_TEXT_BYTES_MAX;
    match reply.first() {
        None | Some(Node::Null) => "null".to_owned(),
        Some(Node::Boolean(value)) => value.to_string(),
        Some(Node::Integer(value)) => value.to_string(),
        Some(Node::Double(value)) => value.to_string(),
        Some(Node::Bulk(bytes)) => tame_bytes(bytes, most),
        Some(Node::Simple(text) | Node::Error(text) | Node::BigNumber(text)) => tame(text, most),
        Some(Node::Array(count)) => format!("array of {count}"),
        Some(Node::Map(count)) => format!("map of {count}"),
        Some(Node::Set(count)) => format!("set of {count}"),
        Some(Node::Push(count)) => format!("push of {count}"),
    }
}

#[cfg(test)]
mod tests {
    use baton_core::run::event::CallClass;

    use super::*;

    fn of(names: &[&str], replies: &[&[Node]]) -> Vec<String> {
        let commands: Vec<Command> = names
            .iter()
            .map(|name| Command {
                name: (*name).to_owned(),
                arguments: Vec::new(),
                class: CallClass::Once,
            })
            .collect();
        let replies: Vec<Vec<Node>> = replies.iter().map(|nodes| nodes.to_vec()).collect();
        outcomes(&commands, &replies)
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| "?".to_owned()))
            .collect()
    }

    fn simple(text: &str) -> Node {
        Node::Simple(text.to_owned())
    }

    #[test]
    fn a_queued_command_is_known_by_what_exec_says() {
        let (ok, queued) = (&[simple("OK")][..], &[simple("QUEUED")][..]);
        let exec = &[Node::Array(2), Node::Array(1), Node::Integer(7), Node::Integer(3)][..];
        let names = ["MULTI", "A", "B", "EXEC"];
        assert_eq!(of(&names, &[ok, queued, queued, exec]), ["OK", "array of 1", "3", "array of 2"]);
        assert_eq!(of(&names, &[ok, queued, queued]), ["OK", "?", "?", "?"]);
        let null = &[Node::Null][..];
        assert_eq!(of(&names, &[ok, queued, queued, null])[1], "not done: EXEC gave null");
        let refused = &[Node::Error("ERR no".to_owned())][..];
        let abort = &[Node::Error("EXECABORT".to_owned())][..];
        assert_eq!(
            of(&names, &[ok, queued, refused, abort])[1..3],
            ["not done: EXEC gave EXECABORT".to_owned(), "ERR no".to_owned()]
        );
        assert_eq!(of(&["MULTI", "A", "DISCARD"], &[ok, queued, ok])[1], "not done: DISCARD");
    }

    #[test]
    fn what_has_no_reply_is_in_doubt() {
        assert_eq!(of(&["A", "B"], &[&[simple("OK")]]), ["OK", "?"]);
    }
}
