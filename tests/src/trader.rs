//! A trading client: follows Sentinel, changes order books in transactions,
//! and keeps what was acknowledged to it.
//!
//! One thread, one connection, one transaction in flight. After any error it
//! forgets every book, asks the Sentinels for the master and reads the books
//! again from there: it never builds on what it only believes to be written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use redis::{Connection, Value};

use crate::books::{self, Book, Command, Dice, Resting};
use crate::history::History;
use crate::market::{self, Market};
use crate::{Lab, query};

/// Between two tries to find the master.
const RETRY_EVERY: Duration = Duration::from_millis(10);
/// Below this many resting orders a book is filled up.
const RESTING_MIN: usize = 6;
/// Above this many, nothing more is placed to rest.
const RESTING_MAX: usize = 24;
/// The largest order, in pieces.
const QTY_MAX: u64 = 50;

/// How to find the master, and how to log in there.
#[derive(Clone, Debug)]
pub struct Route {
    sentinels: Vec<String>,
    master_name: String,
    password: Option<String>,
    sentinel_password: Option<String>,
}

impl Route {
    /// The way through the Sentinels of `lab`.
    pub fn of(lab: &Lab) -> Self {
        let options = lab.options();
        Self {
            sentinels: lab.sentinels().iter().map(crate::Node::address).collect(),
            master_name: options.master_name.clone(),
            password: options.password.clone(),
            sentinel_password: options.sentinel_password.clone(),
        }
    }

    /// Connects to the master that the first answering Sentinel names, once it
    /// says itself that it is one.
    ///
    /// # Errors
    /// When no Sentinel answers, or the node they name is no master.
    pub fn connect(&self) -> Result<Connection> {
        let address = self
            .sentinels
            .iter()
            .find_map(|sentinel| self.ask(sentinel).ok())
            .context("no Sentinel answers")?;
        let mut connection = query::connect(&address, self.password.as_deref())?;
        let role: Vec<Value> = redis::cmd("ROLE").query(&mut connection)?;
        match role.first() {
            Some(Value::BulkString(word)) if word == b"master" => Ok(connection),
            _ => Err(anyhow!("{address} is not a master")),
        }
    }

    fn ask(&self, sentinel: &str) -> Result<String> {
        let mut connection = query::connect(sentinel, self.sentinel_password.as_deref())?;
        let (host, port): (String, String) = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.master_name)
            .query(&mut connection)?;
        Ok(format!("{host}:{port}"))
    }
}

/// How a trader trades.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Its name: part of the key of its list.
    pub name: String,
    /// Transactions a second that it aims at.
    pub rate_per_s: u32,
    /// What its dice start from.
    pub seed: u64,
}

/// A trader at work; it stops on drop.
#[derive(Debug)]
pub struct Trader {
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    thread: Option<JoinHandle<()>>,
}

impl Trader {
    /// Starts trading on `market`, which [`market::fill`] has set up.
    pub fn start(route: Route, market: Market, habits: &Habits) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let list = format!("lab:history:{}", habits.name);
        let history = Arc::new(Mutex::new(History::new(&list)));
        let worker = Worker {
            route,
            market,
            dice: Dice::new(habits.seed),
            between: Duration::from_secs(1) / habits.rate_per_s.max(1),
            stop: Arc::clone(&stop),
            history: Arc::clone(&history),
            list,
            number: 0,
        };
        let thread = thread::spawn(move || worker.work());
        Self { stop, history, thread: Some(thread) }
    }

    /// The history so far.
    pub fn history(&self) -> History {
        lock(&self.history).clone()
    }

    /// How many transactions were acknowledged so far.
    pub fn acked(&self) -> usize {
        lock(&self.history).acked().len()
    }

    /// How many transactions were acknowledged after `since`.
    pub fn acked_after(&self, since: Instant) -> usize {
        lock(&self.history).acked().iter().rev().take_while(|acked| acked.at > since).count()
    }

    /// Stops after the transaction in flight, and gives the whole history.
    pub fn stop(mut self) -> History {
        self.end();
        self.history()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there is a bug of the laboratory: let it be seen.
            thread.join().expect("the trader's thread does not panic");
        }
    }
}

impl Drop for Trader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was printed already; a second one here would abort.
            let _panicked = thread.join();
        }
    }
}

struct Worker {
    route: Route,
    market: Market,
    dice: Dice,
    between: Duration,
    stop: Arc<AtomicBool>,
    history: Arc<Mutex<History>>,
    list: String,
    number: u64,
}

impl Worker {
    fn work(mut self) {
        while !self.stopping() {
            // Any error means: this connection is not to be trusted further.
            let _why = self.route.connect().and_then(|connection| self.trade(connection));
            thread::sleep(RETRY_EVERY);
        }
    }

    /// Trades over one connection until it breaks or all is to stop.
    fn trade(&mut self, mut connection: Connection) -> Result<()> {
        let mut books: HashMap<usize, Book> = HashMap::new();
        let mut next = Instant::now();
        while !self.stopping() {
            let index = self.pick();
            let mut book = match books.remove(&index) {
                Some(book) => book,
                None => market::load(&mut connection, &self.market.isins[index])?,
            };
            let commands = self.decide(&mut book);
            self.commit(&mut connection, &commands)?;
            books.insert(index, book);
            // Behind after a stall of the machine: go on from now, no burst.
            let now = Instant::now();
            next = (next + self.between).max(now.checked_sub(self.between * 50).unwrap_or(now));
            thread::sleep(next.saturating_duration_since(now));
        }
        Ok(())
    }

    /// One transaction; never empty, since a book that has orders can lose one
    /// and a book without gets one.
    fn decide(&mut self, book: &mut Book) -> Vec<Command> {
        let resting = book.resting().len();
        let roll = self.dice.below(100);
        let side = self.dice.side();
        let remaining = 1 + self.dice.below(QTY_MAX);
        let account = self.dice.account();
        let order = |price| Resting { side, price, remaining, account };
        if resting < RESTING_MIN || (roll < 50 && resting < RESTING_MAX) {
            let price = self.dice.passive_price(side, books::middle(book.isin()));
            return book.place(self.order_id(), order(price));
        }
        match book.best(side.other()) {
            Some(price) if roll < 75 => book.place(self.order_id(), order(price)),
            _ => {
                let nth = usize::try_from(self.dice.below(resting as u64)).unwrap_or(0);
                let id = book.resting().keys().nth(nth).copied().unwrap_or(0);
                book.cancel(id)
            }
        }
    }

    /// Sends the transaction and keeps what came of it.
    fn commit(&mut self, connection: &mut Connection, commands: &[Command]) -> Result<()> {
        self.number += 1;
        let mut pipeline = market::transaction(commands);
        pipeline.cmd("RPUSH").arg(&self.list).arg(self.number);
        let outcome = pipeline.query::<Value>(connection);
        let mut history = lock(&self.history);
        match outcome {
            Ok(_) => history.record(self.number),
            Err(_) => history.doubt(self.number),
        }
        drop(history);
        outcome?;
        Ok(())
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.dice.below(self.market.isins.len() as u64)).unwrap_or(0)
    }

    fn order_id(&mut self) -> u64 {
        let id = self.market.next_order;
        self.market.next_order += 1;
        id
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
