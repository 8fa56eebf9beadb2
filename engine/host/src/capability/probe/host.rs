//! `probe.look`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::look::look;
use super::{Known, View};
use crate::guest::wit::probe::{Finding, Host};
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::tape::{Asked, Turn};
use crate::text::tame;
use baton_crash::{self as crash, Point};

type Outcome<T> = Result<T, Error>;

impl Host for View<'_> {
    async fn look(
        &mut self,
        targets: Vec<String>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Vec<Finding>>> {
        let live = match self.caller.ask(|| asked(&targets, timeout_ms))? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let answer = match self.granted(&targets) {
            Ok(known) => {
                crash::point(Point::ReadBefore);
                let time = |known: &Known| {
                    Duration::from_millis(timeout_ms.clamp(1, known.target.timeout_ms).into())
                };
                let found = join_all(known.iter().map(|known| look(known, time(known)))).await;
                crash::point(Point::ReadAfter);
                Ok(found)
            }
            Err(refusal) => Err(refusal),
        };
        Ok(self.caller.tell(live, answer))
    }
}

impl View<'_> {
    /// All targets, or why none is looked at: what was not granted is refused whether it
    /// exists or not.
    fn granted(&self, targets: &[String]) -> Outcome<Vec<Arc<Known>>> {
        let step = &self.caller.context.step;
        if targets.len() > limits::PROBES_MAX {
            return Err(Error {
                kind: ErrorKind::Limit,
                message: format!(
                    "{} targets in one call, more than {}",
                    targets.len(),
                    limits::PROBES_MAX
                ),
            });
        }
        let grants = &self.caller.grants.probe;
        let find = |name: &String| {
            let shown = tame(name, limits::REQUEST_TEXT_BYTES_MAX);
            if !grants.iter().any(|grant| grant.targets.contains(name)) {
                return Err(Error {
                    kind: ErrorKind::Denied,
                    message: format!(
                        "step \"{step}\" may not look at {shown}: add \"{shown}\" to grants.probe.targets of the step"
                    ),
                });
            }
            self.targets.find(name).ok_or_else(|| Error {
                kind: ErrorKind::NotFound,
                message: format!("baton.toml has no target {shown}: add [probe.{shown}]"),
            })
        };
        targets.iter().map(find).collect()
    }
}

/// All of a call, for the tape.
fn asked(targets: &[String], timeout_ms: u32) -> Asked {
    let asking = Asked::of("probe.look").number(targets.len() as u64);
    let asking = targets.iter().fold(asking, |asking, target| asking.text(target));
    let line =
        |target: &String| format!("look at {}", tame(target, limits::REQUEST_TEXT_BYTES_MAX));
    asking.number(timeout_ms.into()).shown(targets.iter().map(line))
}
