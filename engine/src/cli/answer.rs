//! `baton approve` and `baton reject`.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::out::Out;
use super::runs::Runbook;
use super::{Exit, Global, Person, Server, load};

/// Answer a run's question with yes
///
/// To an approval: go on. To a failed or interrupted step: try again.
/// Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton approve last go --reason \"checked 127.0.0.1:7002 by hand\"")]
pub(super) struct Approve {
    #[command(flatten)]
    question: Question,
}

/// Answer a run's question with no
///
/// To an approval: the step fails. To a failed or interrupted step: give it up.
/// Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  baton reject last go --reason \"7003 is ahead; wait for it\"")]
pub(super) struct Reject {
    #[command(flatten)]
    question: Question,
}

/// Which question, and who answers.
#[derive(Debug, Args)]
struct Question {
    /// The run's id, its beginning or end, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    /// The step that asks; of a `for_each` with its item, as `drain[2]`
    #[arg(value_name = "STEP")]
    step: String,
    #[command(flatten)]
    by: Person,
    #[command(flatten)]
    server: Server,
}

/// What a person says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
}

impl Approve {
    /// Says yes.
    ///
    /// # Errors
    /// If no server runs, or nothing of the kind is asked.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        self.question.answer(Verdict::Yes, global, out).await
    }
}

impl Reject {
    /// Says no.
    ///
    /// # Errors
    /// If no server runs, or nothing of the kind is asked.
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<Exit, Failure> {
        self.question.answer(Verdict::No, global, out).await
    }
}

impl Question {
    async fn answer(self, verdict: Verdict, global: &Global, out: &Out) -> Result<Exit, Failure> {
        let (step, item) = place(&self.step)?;
        let config = load::config(global)?;
        let client = Runbook::served(&self.server, &config).await?;
        let id = Runbook::Server(client.clone()).resolve(&self.run).await?;
        let answer = json!({
            "step": step,
            "item": item,
            "approved": verdict == Verdict::Yes,
            "who": self.by.who,
            "reason": self.by.reason,
        });
        client.answer(id.as_str(), &answer).await?;
        let word = if verdict == Verdict::Yes { "approved" } else { "rejected" };
        out.print(&format!("{} of run {id} is {word}\n", self.step))?;
        Ok(Exit::Good)
    }
}

/// `drain[2]` is item 2 of `drain`; a name alone is a step without items.
fn place(text: &str) -> Result<(&str, Option<u32>), Failure> {
    let Some((step, rest)) = text.split_once('[') else { return Ok((text, None)) };
    let item = rest.strip_suffix(']').and_then(|digits| digits.parse().ok());
    let item = item.ok_or_else(|| {
        Failure::bad(format!("`{text}` is no step")).help("write its name, or `name[item]`")
    })?;
    Ok((step, Some(item)))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn an_item_is_named_in_brackets() {
        assert_eq!(place("go").ok(), Some(("go", None)));
        assert_eq!(place("drain[12]").ok(), Some(("drain", Some(12))));
        assert!(place("drain[x]").is_err() && place("drain[1").is_err());
    }
}
