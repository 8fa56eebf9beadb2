//! Endpoints, commands and targets made of answers.

use crate::exec::Output;
use crate::http::{Request, Response};
use crate::probe::Finding;
use crate::{CallError, ErrorKind};
use std::collections::{BTreeMap, VecDeque};

/// Answers in turn; the last one stays.
type Answers<T> = BTreeMap<(String, String), VecDeque<Result<T, CallError>>>;

/// What stands behind `http`, `exec` and `probe` of a fake.
#[derive(Debug, Default)]
pub struct FakeDoors {
    http: Answers<Response>,
    exec: Answers<Output>,
    probe: BTreeMap<String, Finding>,
}

impl FakeDoors {
    /// What `endpoint` answers to `request` (`GET /path`, the query left out).
    pub fn on_http(
        &mut self,
        endpoint: &str,
        request: &str,
        answers: Vec<Result<Response, CallError>>,
    ) {
        assert!(!answers.is_empty(), "a script needs at least one answer");
        self.http.insert((endpoint.into(), request.into()), answers.into());
    }

    /// What `command` leaves when it is run with `arguments`, joined by spaces.
    pub fn on_exec(
        &mut self,
        command: &str,
        arguments: &str,
        answers: Vec<Result<Output, CallError>>,
    ) {
        assert!(!answers.is_empty(), "a script needs at least one answer");
        self.exec.insert((command.into(), arguments.into()), answers.into());
    }

    /// What a look at `target` finds.
    pub fn on_probe(&mut self, target: &str, finding: Finding) {
        self.probe.insert(target.into(), finding);
    }

    pub(super) fn http(
        &mut self,
        endpoint: &str,
        request: &Request,
    ) -> Result<Response, CallError> {
        let path = request.path.split('?').next().unwrap_or_default();
        let key = (endpoint.to_owned(), format!("{} {path}", request.method.word()));
        next(&mut self.http, &key)
    }

    pub(super) fn exec(&mut self, command: &str, arguments: &[&str]) -> Result<Output, CallError> {
        next(&mut self.exec, &(command.to_owned(), arguments.join(" ")))
    }

    pub(super) fn probe(&self, targets: &[&str]) -> Result<Vec<Finding>, CallError> {
        let find = |target: &&str| {
            let known = self.probe.get(*target).cloned();
            known.ok_or_else(|| CallError::new(ErrorKind::NotFound, format!("no target {target}")))
        };
        targets.iter().map(find).collect()
    }
}

fn next<T: Clone>(answers: &mut Answers<T>, key: &(String, String)) -> Result<T, CallError> {
    let Some(queue) = answers.get_mut(key) else {
        let why = format!("there is no script for {} {}", key.0, key.1);
        return Err(CallError::new(ErrorKind::NotFound, why));
    };
    let answer = queue.front().cloned().expect("a scripted queue is never empty");
    if queue.len() > 1 {
        queue.pop_front();
    }
    answer
}
