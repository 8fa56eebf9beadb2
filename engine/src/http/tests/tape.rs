use baton_core::id::{Digest, Side};
use serde_json::json;

use super::Server;
use crate::runner::Input;
use crate::runner::tape::{EndView, TapeError, TapeView};

fn play(input: Input) {
    match input {
        Input::Tape { run, wanted, reply } => {
            let known = (run.as_str(), wanted.step.as_str(), wanted.item, wanted.side);
            let answer = match known {
                ("r1", "act", 0, Side::Do) => Ok(tape()),
                ("r1", "act", 2, Side::Undo) if wanted.attempt == Some(3) => Ok(tape()),
                ("r1", ..) => Err(TapeError::Missing("keeps no tape".to_owned())),
                _ => Err(TapeError::Unreadable("a bad checksum".to_owned())),
            };
            drop(reply.send(answer));
        }
        Input::Build { digest, reply } => {
            let known = digest == Digest::of(b"wasm");
            drop(reply.send(Ok(known.then(|| b"wasm".to_vec()))));
        }
        other => panic!("unasked for: {other:?}"),
    }
}

fn tape() -> TapeView {
    let context = json!({ "run_id": "r1", "workflow": "w", "step": "act", "item": 0, "attempt": 1, "done": [] });
    let tape = json!({
        "format": "baton-tape", "version": baton_host::TAPE_VERSION, "context": context,
        "plugin": { "name": "p", "digest": "d" }, "input": {}, "calls": [], "end": "open",
    });
    TapeView::read(&tape.to_string()).unwrap()
}

#[tokio::test]
async fn a_tape_is_given_or_why_there_is_none() {
    let server = Server::start(None, play).await;
    let given = server.get("/runs/r1/tape?step=act").await.json();
    assert_eq!(TapeView::read(&given.to_string()).unwrap(), tape());
    assert_eq!(tape().end, EndView::Open);
    let undo = server.get("/runs/r1/tape?step=act&item=2&side=undo&attempt=3").await;
    assert_eq!(undo.status, 200);
    server.get("/runs/r1/tape?step=other").await.is_problem(404, "keeps no tape");
    server.get("/runs/r2/tape?step=act").await.is_problem(500, "a bad checksum");
    for (query, part) in [
        ("", "step"),
        ("step=act&side=left", "`do` or `undo`"),
        ("step=act&attempt=x", "attempt"),
        ("step=act&colour=red", "colour"),
    ] {
        server.get(&format!("/runs/r1/tape?{query}")).await.is_problem(400, part);
    }
}

#[tokio::test]
async fn a_build_is_given_by_its_digest() {
    let server = Server::start(None, play).await;
    let build = server.get(&format!("/builds/{}", Digest::of(b"wasm"))).await;
    assert_eq!((build.status, build.header("content-type")), (200, "application/wasm"));
    let other = Digest::of(b"other");
    server.get(&format!("/builds/{other}")).await.is_problem(404, "no run began with");
    server.get("/builds/abc").await.is_problem(400, "abc");
}
