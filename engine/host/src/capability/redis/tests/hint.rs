//! Sentinels' events, a Sentinel that is silent, and what calls itself one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::{Clusters, Hints, Keeper};
use super::cluster;
use super::servers::{Server, answering};

const SOON: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_millis(700);

fn hints(sentinels: &[&str]) -> Hints {
    let clusters = Clusters::new(vec![cluster(&[], sentinels)], &Keeper::new(None)).unwrap();
    assert!(clusters.hints("other").is_none());
    clusters.hints("bondx").unwrap()
}

#[tokio::test]
async fn the_death_of_a_master_is_heard() {
    let mut master = Server::start(&[]);
    let port = master.address.rsplit_once(':').unwrap().1;
    let sentinel = Server::sentinel(&format!(
        "sentinel monitor bondx-master 127.0.0.1 {port} 1\nsentinel down-after-milliseconds bondx-master 300"
    ));
    let hints = hints(&[&sentinel.address]);
    timeout(SOON, hints.heard()).await.expect("a new ear is a reason to look");
    assert!(timeout(NEVER, hints.heard()).await.is_err(), "nothing happens");
    master.kill();
    timeout(SOON, hints.heard()).await.expect("+sdown is heard");
}

#[tokio::test]
async fn what_happens_to_another_master_of_the_same_sentinel_is_no_hint() {
    let mut other = Server::start(&[]);
    let port = other.address.rsplit_once(':').unwrap().1;
    let sentinel = Server::sentinel(&format!(
        "sentinel monitor bondx-master-2 127.0.0.1 {port} 1\nsentinel down-after-milliseconds bondx-master-2 100"
    ));
    let hints = hints(&[&sentinel.address]);
    timeout(SOON, hints.heard()).await.unwrap();
    other.kill();
    assert!(timeout(Duration::from_secs(2), hints.heard()).await.is_err());
}

/// Counts who connects, and never says a word.
async fn silent() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_connection_whose_other_end_is_gone_is_noticed_and_made_anew() {
    let (address, count) = silent().await;
    let hints = hints(&[&address]);
    let again = async {
        while count.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = again => {}
        () = hints.heard() => panic!("silence is no hint"),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("nobody noticed"),
    }
}

#[tokio::test]
async fn nonsense_is_no_hint_and_no_reason_to_hurry() {
    let rubbish: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-NOPERM this user has no permissions\r\n",
        b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$6\r\n+sdown\r\n$5\r\nother\r\n",
        b"$999999999\r\n",
        b"*2000000000\r\n",
    ];
    let mut addresses = Vec::new();
    for answer in rubbish {
        addresses.push(answering(Some(answer)).await);
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let hints = hints(&addresses);
    assert!(timeout(NEVER, hints.heard()).await.is_err());
}
