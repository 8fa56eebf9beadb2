//! Pauses, windows and acknowledgements over HTTP.

use serde_json::json;

use super::{Server, run};
use crate::runner::switches::{By, Order, Switches, Which};
use crate::runner::{CommandError, Input};

/// A loop that takes these orders, all of them from Ann, and knows no other run than `r1`.
fn play(input: Input) {
    match input {
        Input::Order { order, by, reply } => {
            assert_eq!(by, By { who: "ann".to_owned(), reason: "racks".to_owned() });
            let answer = match order {
                Order::Pause { for_ms: None | Some(5) }
                | Order::Finish { which: Which::Id(3) }
                | Order::Maintain { from: None, until: 9, .. } => Ok(()),
                Order::Resume => Err(CommandError::Illegal("nothing is paused".to_owned())),
                Order::Acknowledge { run: id } if id == run("r1") => Ok(()),
                Order::Acknowledge { run: id } => Err(CommandError::UnknownRun(id)),
                Order::Finish { which: Which::Cluster(_) } => {
                    Err(CommandError::Unavailable("no room".to_owned()))
                }
                other => panic!("unasked for: {other:?}"),
            };
            drop(reply.send(answer));
        }
        Input::Switches { reply } => drop(reply.send(Switches::default())),
        other => panic!("unasked for: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_said_is_in_force_when_it_is_answered() {
    let server = Server::start(None, play).await;
    let said = |more: serde_json::Value| {
        let mut body = json!({ "who": "ann", "reason": "racks" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (path, more) in [
        ("/pause", json!({})),
        ("/pause", json!({ "for_ms": 5 })),
        ("/maintenance", json!({ "cluster": "bondx", "until": 9 })),
        ("/maintenance/end", json!({ "id": 3 })),
        ("/runs/r1/acknowledge", json!({})),
    ] {
        let answer = server.post(path, &said(more)).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "outcome": "in force" })));
    }
    server.post("/resume", &said(json!({}))).await.is_problem(409, "nothing is paused");
    server.post("/runs/r2/acknowledge", &said(json!({}))).await.is_problem(404, "no run r2");
    let end = said(json!({ "cluster": "bondx" }));
    server.post("/maintenance/end", &end).await.is_problem(503, "no room");
    server.post("/maintenance/end", &said(json!({}))).await.is_problem(422, "`id`");
    let both = said(json!({ "id": 1, "cluster": "bondx" }));
    server.post("/maintenance/end", &both).await.is_problem(422, "`id`");
    assert_eq!(server.get("/switches").await.json()["brakes"], json!([]));
}

#[tokio::test]
async fn nobody_pauses_without_a_reason() {
    let server = Server::start(None, play).await;
    let mute = json!({ "who": "ann", "reason": " " });
    server.post("/pause", &mute).await.is_problem(422, "write why");
    server.post("/pause", &json!({ "who": "ann" })).await.is_problem(422, "reason");
    let long = json!({ "who": "ann", "reason": "x".repeat(2_001) });
    server.post("/pause", &long).await.is_problem(422, "longer");
    let late = json!({ "who": "ann", "reason": "racks", "for_ms": "soon" });
    server.post("/pause", &late).await.is_problem(422, "u64");
}
