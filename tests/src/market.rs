//! Whole markets in Redis: filled at the start, read back book by book.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};
use redis::{Connection, Pipeline};

use crate::books::{self, Book, Command, History, Resting, Side};

/// Orders that each book begins with, on each side.
const RESTING_AT_FIRST: usize = 5;
/// Instruments in one pipeline of a large market: some 20,000 commands.
const PIPELINED: usize = 40;

/// The instruments of a market and the first order id that nobody has used.
#[derive(Clone, Debug)]
pub struct Market {
    /// Its instruments.
    pub isins: Vec<String>,
    /// The id of the next order; ids are never used twice.
    pub next_order: u64,
}

/// Writes the order books of `instruments` instruments by ordinary placements,
/// one transaction a book.
///
/// # Errors
/// When the server does not take them.
pub fn fill(connection: &mut Connection, instruments: usize, seed: u64) -> Result<Market> {
    let mut history = History::new(seed);
    transaction(&books::opened()).exec(connection).context("open the accounts")?;
    let mut isins = Vec::with_capacity(instruments);
    for number in 1..=instruments {
        let isin = books::isin(number);
        let sides = [Side::Bid, Side::Ask].repeat(RESTING_AT_FIRST);
        transaction(&history.rest(&mut Book::empty(&isin), &sides))
            .exec(connection)
            .with_context(|| format!("fill the order book of {isin}"))?;
        isins.push(isin);
    }
    Ok(Market { isins, next_order: history.next_order })
}

/// Writes `instruments` instruments in each of which `orders` orders were placed: most
/// rest, some traded, some were cancelled; trades, accounts and their risk included. The
/// same for the same seed. In pipelines, for a server that nobody else writes to.
///
/// # Errors
/// When the server does not take them.
pub fn fill_large(
    connection: &mut Connection,
    instruments: usize,
    orders: usize,
    seed: u64,
) -> Result<Market> {
    let mut history = History::new(seed);
    transaction(&books::opened()).exec(connection).context("open the accounts")?;
    let isins: Vec<String> = (1..=instruments).map(books::isin).collect();
    for piece in isins.chunks(PIPELINED) {
        let mut pipeline = redis::pipe();
        for isin in piece {
            add(&mut pipeline, &history.live(&mut Book::empty(isin), orders));
        }
        let first = piece.first().map_or("", String::as_str);
        pipeline.exec(connection).with_context(|| format!("fill the order books from {first}"))?;
    }
    Ok(Market { isins, next_order: history.next_order })
}

/// `commands` as one MULTI/EXEC.
pub fn transaction(commands: &[Command]) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    add(&mut pipeline, commands);
    pipeline
}

fn add(pipeline: &mut Pipeline, commands: &[Command]) {
    for command in commands {
        if let [name, arguments @ ..] = command.as_slice() {
            pipeline.cmd(name).arg(arguments);
        }
    }
}

/// Reads one book as it stands.
///
/// # Errors
/// When the server does not answer or holds something that no trader wrote.
pub fn load(connection: &mut Connection, isin: &str) -> Result<Book> {
    type Found = ((u64, u64), Vec<u64>, Vec<u64>);
    let ((seq, trades), bids, asks): Found = redis::pipe()
        .cmd("HMGET")
        .arg(books::meta_key(isin))
        .arg(&["seq", "trades"])
        .cmd("ZRANGE")
        .arg(books::side_key(isin, Side::Bid))
        .arg(0)
        .arg(-1)
        .cmd("ZRANGE")
        .arg(books::side_key(isin, Side::Ask))
        .arg(0)
        .arg(-1)
        .query(connection)
        .with_context(|| format!("read the order book of {isin}"))?;
    let ids: Vec<u64> = bids.into_iter().chain(asks).collect();
    let mut pipeline = redis::pipe();
    for id in &ids {
        pipeline.cmd("HGETALL").arg(books::order_key(*id));
    }
    let orders: Vec<HashMap<String, String>> = pipeline.query(connection)?;
    let mut resting = BTreeMap::new();
    for (id, order) in ids.into_iter().zip(orders) {
        resting.insert(id, parse(&order).with_context(|| format!("order:{id} of {isin}"))?);
    }
    let mut pipeline = redis::pipe();
    for number in 0..books::ACCOUNTS {
        let key = books::risk_key(&books::account(number));
        pipeline.cmd("HGET").arg(key).arg(format!("position:{isin}"));
    }
    let positions: Vec<Option<i64>> = pipeline.query(connection)?;
    let positions: Vec<i64> = positions.into_iter().map(Option::unwrap_or_default).collect();
    Ok(Book::found(isin, (seq, trades), resting, &positions))
}

fn parse(order: &HashMap<String, String>) -> Result<Resting> {
    let field = |name: &str| order.get(name).map(String::as_str);
    let side = match field("side") {
        Some("bid") => Side::Bid,
        Some("ask") => Side::Ask,
        other => bail!("side is {other:?}"),
    };
    let price = field("price").and_then(books::price_cents).context("no price in cents")?;
    let remaining = field("remaining").and_then(|text| text.parse().ok());
    let account = field("account").and_then(books::account_number).context("no account")?;
    Ok(Resting { side, price, remaining: remaining.context("no remaining")?, account })
}
