//! `notify`: one JSON message to a webhook, at most once.

use baton_plugin::http::Request;
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Longest wait for the receiver, ms, within the endpoint's own time.
const TIMEOUT_MS: u32 = 10_000;
/// Of the answer, for people.
const EXCERPT_CHARS_MAX: usize = 500;

/// What to say, and to whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// An endpoint of baton.toml.
    pub endpoint: String,
    /// From `/` on, below the endpoint's address.
    #[serde(default = "root")]
    pub path: String,
    /// The message: any JSON.
    pub message: Json,
}

fn root() -> String {
    "/".to_owned()
}

/// What the receiver said.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// Its status, one of 200 to 299.
    pub status: u16,
    /// The beginning of its answer.
    pub answer: String,
}

/// The plugin.
pub struct Notify;

impl Plugin for Notify {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "notify",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Posts one JSON message to a webhook, at most once",
            redis_commands: &[],
            when_interrupted: "replay",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["POST"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let Input { endpoint, path, message } = input;
        let request = Request::post_json(path, &message);
        let response = host.http(&endpoint, &request, TIMEOUT_MS).map_err(|error| {
            let what = format!("cannot notify {endpoint}");
            if !error.kind.leaves_doubt() {
                return Fault::from_call(&what, &error);
            }
            // Whether it arrived is for a person to see, not to be tried again.
            let message = format!("{what}: {error}; look there whether the message arrived");
            Fault::permanent(error.kind.code(), message)
        })?;
        let (status, answer) = (response.status, response.excerpt(EXCERPT_CHARS_MAX));
        if response.is_success() {
            return Ok(Output { status, answer });
        }
        let message = format!("{endpoint} answers {status}: {answer}");
        // It has said that it is busy; everything else it would say again.
        Err(if status == 429 || status >= 500 {
            Fault::retryable("not-taken", message)
        } else {
            Fault::permanent("not-taken", message)
        })
    }
}

baton_plugin::export!(Notify);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::http::Response;
    use baton_plugin::testing::FakeCluster;
    use baton_plugin::{CallError, ErrorKind, FaultKind, json};

    fn notify(answer: Result<Response, CallError>) -> (Result<Output, Fault>, Vec<String>) {
        let mut fake = FakeCluster::doors_only().on_http("chat", "POST /hook", vec![answer]);
        let input = Input {
            endpoint: "chat".into(),
            path: "/hook".into(),
            message: json!({ "text": "failed over" }),
        };
        (Notify::run(input, &mut fake), fake.sent)
    }

    fn answers(status: u16) -> Response {
        Response { status, body: b" taken\n".to_vec(), ..Response::default() }
    }

    #[test]
    fn a_message_that_is_taken_is_posted_once() {
        let (output, sent) = notify(Ok(answers(202)));
        assert_eq!(output.unwrap(), Output { status: 202, answer: "taken".into() });
        assert_eq!(sent, ["chat POST /hook"]);
    }

    #[test]
    fn only_a_busy_receiver_is_tried_again() {
        for (status, kind) in [
            (429, FaultKind::Retryable),
            (503, FaultKind::Retryable),
            (404, FaultKind::Permanent),
            (302, FaultKind::Permanent),
        ] {
            assert_eq!(notify(Ok(answers(status))).0.unwrap_err().kind, kind, "{status}");
        }
    }

    #[test]
    fn g4_what_may_have_arrived_is_never_tried_again() {
        for (kind, expected) in [
            (ErrorKind::InDoubt, FaultKind::Permanent),
            (ErrorKind::TimedOut, FaultKind::Permanent),
            (ErrorKind::Closed, FaultKind::Permanent),
            (ErrorKind::Denied, FaultKind::Permanent),
            (ErrorKind::Refused, FaultKind::Retryable),
        ] {
            let fault = notify(Err(CallError::new(kind, "so"))).0.unwrap_err();
            assert_eq!((fault.kind, fault.code), (expected, kind.code()));
        }
    }
}
