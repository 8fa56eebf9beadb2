//! A small exchange: a health page, orders that are placed, read and cancelled over HTTP,
//! and a feed over WebSocket that must be subscribed to. It works as its mood says.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::receiver;

/// Between two looks at whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It accepts connections and never answers.
    Silent,
    /// Its health page says so.
    Degraded,
    /// An order that is read back has another quantity.
    WrongQuantity,
    /// An order that is read back is answered 500.
    Broken,
    /// What is asked for is answered with a page of HTML.
    NoJson,
    /// Orders cannot be cancelled.
    Stuck,
    /// The feed shakes hands and closes.
    FeedCloses,
    /// The feed takes the subscription and says nothing of it.
    FeedIsDeaf,
    /// The feed answers the subscription with other channels.
    FeedIsWrong,
}

/// A running exchange; ends with its value.
#[derive(Debug)]
pub struct Exchange {
    api: SocketAddr,
    feed: SocketAddr,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    orders: Mutex<BTreeMap<u64, Value>>,
    asked: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Exchange {
    /// Starts one that works well.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start() -> Result<Self> {
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Well),
            orders: Mutex::default(),
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let (api, first) = listen(&state, api)?;
        let (feed, second) = listen(&state, feed)?;
        Ok(Self { api, feed, state, threads: vec![first, second] })
    }

    /// From now on it is like this.
    pub fn set(&self, mood: Mood) {
        *locked(&self.state.mood) = mood;
    }

    /// Where its health page and orders are.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where its feed is.
    pub fn feed(&self) -> SocketAddr {
        self.feed
    }

    /// Orders that are there.
    pub fn orders(&self) -> Vec<Value> {
        locked(&self.state.orders).values().cloned().collect()
    }

    /// What was asked of it over HTTP: method and path, in order.
    pub fn asked(&self) -> Vec<String> {
        locked(&self.state.asked).clone()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        for address in [self.api, self.feed] {
            // So that it looks up once more.
            drop(TcpStream::connect(address));
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each connection has a thread of its own, so that one that is kept holds up no other.
fn listen(
    state: &Arc<State>,
    serve: fn(&State, TcpStream),
) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let state = Arc::clone(state);
    let thread = thread::spawn(move || {
        thread::scope(|scope| {
            for stream in listener.incoming() {
                if state.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let state = &state;
                    scope.spawn(move || serve(state, stream));
                }
            }
        });
    });
    Ok((address, thread))
}

fn hold(state: &State) {
    while !state.is_over.load(Ordering::SeqCst) {
        thread::sleep(LOOK_EVERY);
    }
}

fn api(state: &State, mut stream: TcpStream) {
    let mood = *locked(&state.mood);
    if mood == Mood::Silent {
        return hold(state);
    }
    let Some(request) = receiver::read(&mut stream) else { return };
    let mut words = request.line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    locked(&state.asked).push(format!("{method} {path}"));
    let (status, body) = answer(state, mood, (method, path), &request.body);
    let body =
        if mood == Mood::NoJson { "<html>sorry</html>".to_owned() } else { body.to_string() };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // Whoever has gone meanwhile hears nothing.
    drop(stream.write_all(answer.as_bytes()));
}

fn answer(state: &State, mood: Mood, asked: (&str, &str), body: &str) -> (&'static str, Value) {
    let mut orders = locked(&state.orders);
    let id = asked.1.strip_prefix("/orders/").and_then(|id| id.parse::<u64>().ok());
    match (asked, id) {
        (("GET", "/healthz"), _) if mood == Mood::Degraded => {
            ("200 OK", json!({ "status": "degraded" }))
        }
        (("GET", "/healthz"), _) => ("200 OK", json!({ "status": "ok" })),
        (("POST", "/orders"), _) => {
            let Ok(mut order) = serde_json::from_str::<Value>(body) else {
                return ("400 Bad Request", json!({ "error": "no JSON" }));
            };
            let id = 1 + orders.last_key_value().map_or(0, |(id, _)| *id);
            order["id"] = id.into();
            order["status"] = "open".into();
            orders.insert(id, order.clone());
            ("201 Created", order)
        }
        (("GET", _), Some(_)) if mood == Mood::Broken => {
            ("500 Internal Server Error", json!({ "error": "boom" }))
        }
        (("GET", _), Some(id)) => match orders.get(&id).cloned() {
            Some(mut order) => {
                if mood == Mood::WrongQuantity {
                    order["quantity"] = 1000.into();
                }
                ("200 OK", order)
            }
            None => ("404 Not Found", json!({ "error": "no such order" })),
        },
        (("DELETE", _), _) if mood == Mood::Stuck => {
            ("409 Conflict", json!({ "error": "it is being filled" }))
        }
        (("DELETE", path), _) if path.starts_with("/orders/client/") => {
            orders.retain(|_, order| order["client_id"] != path["/orders/client/".len()..]);
            ("200 OK", json!({ "left": orders.len() }))
        }
        _ => ("404 Not Found", json!({ "error": "no such page" })),
    }
}

fn feed(state: &State, stream: TcpStream) {
    let mood = *locked(&state.mood);
    if mood == Mood::Silent {
        return hold(state);
    }
    if let Ok(mut socket) = tungstenite::accept(stream) {
        // It ends where the other side does.
        drop(speak(state, mood, &mut socket));
    }
}

fn speak(
    state: &State,
    mood: Mood,
    socket: &mut WebSocket<TcpStream>,
) -> Result<(), tungstenite::Error> {
    if mood == Mood::FeedCloses {
        return socket.close(None);
    }
    let asked: Value = serde_json::from_str(socket.read()?.to_text()?).unwrap_or_default();
    if mood == Mood::FeedIsDeaf {
        hold(state);
        return Ok(());
    }
    socket.send(Message::text(json!({ "op": "welcome" }).to_string()))?;
    let is_wrong = mood == Mood::FeedIsWrong;
    let channel = if is_wrong { json!("quotes") } else { asked["channel"].clone() };
    while !state.is_over.load(Ordering::SeqCst) {
        let trade = json!({ "channel": channel, "price": 101.5 });
        socket.send(Message::text(trade.to_string()))?;
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
