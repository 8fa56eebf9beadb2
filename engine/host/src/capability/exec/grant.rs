//! The rule: what a step asked for against what it was granted. Pure; deny by default; a
//! refusal names the line that would allow it.

use baton_core::run::event::CallClass;
use baton_core::workflow::plan::ExecGrant;

use super::command::Command;
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::text::tame;

/// Whether the step was granted the command: whether there is one that it was not granted
/// is not the guest's business.
pub(super) fn knows(step: &str, grants: &[ExecGrant], command: &str) -> Result<(), Error> {
    if grants.iter().any(|grant| grant.commands.iter().any(|known| known == command)) {
        return Ok(());
    }
    let command = tame(command, limits::REQUEST_TEXT_BYTES_MAX);
    Err(denied(format!(
        "step \"{step}\" may not run {command}: add \"{command}\" to grants.exec.commands of the step"
    )))
}

/// Whether the command may be run with these arguments.
pub(super) fn check(
    step: &str,
    grants: &[ExecGrant],
    command: &Command,
    arguments: &[String],
) -> Result<(), Error> {
    let name = &command.name;
    knows(step, grants, name)?;
    let mut granting = grants.iter().filter(|grant| grant.commands.contains(name));
    if command.class != CallClass::Read && granting.all(|grant| grant.only_reads) {
        return Err(denied(format!(
            "step \"{step}\" may only read, and {name} may change something: if it does not, set class = \"read\" under [exec.{name}] in baton.toml; else take `only_reads` out of grants.exec of the step"
        )));
    }
    if arguments.len() != command.args.len() {
        return Err(denied(format!(
            "{name} takes {} further arguments, not {}: `args` under [exec.{name}] in baton.toml has a pattern for each",
            command.args.len(),
            arguments.len()
        )));
    }
    for (argument, pattern) in arguments.iter().zip(&command.args) {
        let shown = tame(argument, limits::REQUEST_TEXT_BYTES_MAX);
        if argument.len() > limits::ARGUMENT_BYTES_MAX || argument.contains('\0') {
            return Err(denied(format!(
                "{name} may not be given {shown}: it is longer than {} bytes, or holds a zero byte",
                limits::ARGUMENT_BYTES_MAX
            )));
        }
        if !pattern.fits(argument) {
            return Err(denied(format!(
                "{name} may not be given {shown}: it does not fit `{}` of `args` under [exec.{name}] in baton.toml (what begins with `-` fits only a pattern that does)",
                pattern.text()
            )));
        }
    }
    Ok(())
}

fn denied(message: String) -> Error {
    Error { kind: ErrorKind::Denied, message }
}
