//! Reads of many keys, against real servers: what `read-each` and the comparisons tell,
//! and to whom.

use super::servers::Server;
use super::*;
use crate::guest::wit::redis::{Compared, Difference, Holdings, Page};

const ALL: &[&str] = &["*"];

/// Commands, word by word.
type Commands = Vec<Vec<Vec<u8>>>;

/// Two nodes that know nothing of each other, and a step that may read both.
fn pair(commands: &[&str], keys: &[&str]) -> (Server, Server, Attempt) {
    let (left, right) = (Server::start(&[]), Server::start(&[]));
    let nodes = [left.address.as_str(), &right.address];
    let attempt = Attempt::new(cluster(&nodes, &[]), vec![grant(&["data"], commands, keys)]);
    (left, right, attempt)
}

impl Attempt {
    async fn compare_now(
        &mut self,
        left: String,
        right: String,
        page: Page,
        timeout_ms: u32,
    ) -> Result<Compared, Error> {
        let mut view = self.view();
        view.compare("bondx".to_owned(), left, right, page, timeout_ms).await.unwrap()
    }

    async fn compare_keys_now(
        &mut self,
        left: String,
        right: String,
        database: u32,
        keys: Vec<Vec<u8>>,
        timeout_ms: u32,
    ) -> Result<Compared, Error> {
        let mut view = self.view();
        let found = view.compare_keys("bondx".to_owned(), left, right, database, keys, timeout_ms);
        found.await.unwrap()
    }

    async fn absent_now(
        &mut self,
        left: String,
        right: String,
        page: Page,
        timeout_ms: u32,
    ) -> Result<Compared, Error> {
        let mut view = self.view();
        view.absent("bondx".to_owned(), left, right, page, timeout_ms).await.unwrap()
    }

    async fn inventory_now(
        &mut self,
        address: String,
        page: Page,
        timeout_ms: u32,
    ) -> Result<Holdings, Error> {
        let mut view = self.view();
        view.inventory("bondx".to_owned(), address, page, timeout_ms).await.unwrap()
    }

    async fn read_each_now(
        &mut self,
        address: String,
        words: Vec<Vec<u8>>,
        keys: Vec<Vec<u8>>,
        timeout_ms: u32,
    ) -> Result<Vec<u8>, Error> {
        let mut view = self.view();
        view.read_each("bondx".to_owned(), address, words, keys, timeout_ms).await.unwrap()
    }
}

/// Says commands to a server, as somebody beside the step would.
fn say(server: &Server, commands: &[Vec<Vec<u8>>]) {
    let client = redis::Client::open(format!("redis://{}", server.address)).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut pipe = redis::pipe();
    for words in commands {
        let [name, rest @ ..] = words.as_slice() else { continue };
        pipe.cmd(std::str::from_utf8(name).unwrap()).arg(rest).ignore();
    }
    pipe.exec(&mut connection).unwrap();
}

fn line(text: &str) -> Commands {
    vec![command(text)]
}

fn page(count: u32) -> Page {
    Page { database: 0, cursor: 0, pattern: "*".to_owned(), count }
}

async fn compare(attempt: &mut Attempt, left: &Server, right: &Server) -> Compared {
    let (left, right) = (left.address.clone(), right.address.clone());
    let mut all =
        Compared { cursor: 0, keys: 0, slowest_us: 0, differences: Vec::new(), unread: Vec::new() };
    loop {
        let at = Page { cursor: all.cursor, ..page(1000) };
        let (left, right) = (left.clone(), right.clone());
        let some = attempt.compare_now(left, right, at, 10_000);
        let some = some.await.unwrap();
        all.keys += some.keys;
        all.differences.extend(some.differences);
        all.unread.extend(some.unread);
        all.cursor = some.cursor;
        if all.cursor == 0 {
            return all;
        }
    }
}

/// Data of every type: small, large (read in pieces), and of every encoding that differs.
fn data() -> Commands {
    let mut all = Vec::new();
    let mut add = |text: String| all.push(command(&text));
    for number in 0..300 {
        add(format!("SET string:{number} value-{number}"));
    }
    add("SET empty:string x".to_owned());
    add("SETRANGE empty:string 0 ".to_owned());
    add("SET expiring soon PXAT 33000000000000".to_owned());
    for number in 0..3_000 {
        add(format!("RPUSH list:big element-{number}"));
        add(format!("SADD set:big member-{number}"));
        add(format!("HSET hash:big field-{number} value-{number}"));
        add(format!("ZADD zset:big {number}.25 member-{number}"));
        add(format!("XADD stream:big {}-1 n {number}", number + 1));
    }
    for number in 0..20 {
        add(format!("RPUSH list:small {number}"));
        add(format!("SADD set:ints {number}"));
        add(format!("SADD set:small m{number}"));
        add(format!("HSET hash:small f{number} {number}"));
        add(format!("ZADD zset:small {number} m{number}"));
        add(format!("XADD stream:small {}-1 n {number}", number + 1));
    }
    add("ZADD zset:edge -inf a +inf b 0 c 1e-300 d".to_owned());
    add("XGROUP CREATE stream:small readers 5-1".to_owned());
    all.push(vec![b"SET".to_vec(), b"string:big".to_vec(), vec![b'x'; 5_000_000]]);
    all.push(vec![b"HSET".to_vec(), vec![0xff, 0, 0x0d, 0x0a], vec![0xfe], vec![0x0d, 0x0a]]);
    all
}

fn keys_of(found: &[Difference]) -> Vec<String> {
    let mut keys: Vec<String> =
        found.iter().map(|it| String::from_utf8_lossy(&it.key).into_owned()).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn what_is_the_same_is_found_the_same_in_whatever_order_it_was_written() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    let mut data = data();
    say(&left, &data);
    // Other insertion orders give other encodings of sets and hashes.
    let unordered =
        |words: &Vec<Vec<u8>>| ["SADD", "HSET"].iter().any(|name| words[0] == name.as_bytes());
    let (mut last, first): (Vec<_>, Vec<_>) = data.drain(..).partition(unordered);
    last.reverse();
    say(&right, &[first, last].concat());
    let found = compare(&mut attempt, &left, &right).await;
    assert_eq!(keys_of(&found.differences), [""; 0]);
    assert_eq!(found.unread, []);
    assert!(found.keys >= 315, "{}", found.keys);
}

#[tokio::test]
async fn each_way_in_which_a_key_can_differ_is_found_and_nothing_else() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    say(&left, &data());
    say(&right, &data());
    let one_byte =
        vec![b"SETRANGE".to_vec(), b"string:big".to_vec(), b"4999999".to_vec(), b"y".to_vec()];
    let changes: Vec<(&str, Commands, &str)> = vec![
        ("string:7", line("SET string:7 value-8"), "SET string:7 value-7"),
        ("string:8", line("DEL string:8"), "SET string:8 value-8"),
        ("string:9", line("PEXPIREAT string:9 33000000000000"), "PERSIST string:9"),
        ("expiring", line("PERSIST expiring"), "PEXPIREAT expiring 33000000000000"),
        (
            "expiring",
            line("PEXPIREAT expiring 33000000000001"),
            "PEXPIREAT expiring 33000000000000",
        ),
        ("string:big", vec![one_byte], "SETRANGE string:big 4999999 x"),
        (
            "string:big",
            line("APPEND string:big y"),
            "EVAL redis.call('SET',KEYS[1],string.rep('x',5000000)) 1 string:big",
        ),
        ("list:small", line("LSET list:small 19 x"), "LSET list:small 19 19"),
        ("list:big", line("LSET list:big 2999 x"), "LSET list:big 2999 element-2999"),
        ("list:big", line("RPUSH list:big x"), "RPOP list:big"),
        ("set:ints", line("SREM set:ints 19"), "SADD set:ints 19"),
        ("set:big", line("SADD set:big x"), "SREM set:big x"),
        ("set:big", line("SREM set:big member-1500"), "SADD set:big member-1500"),
        ("hash:small", line("HSET hash:small f7 8"), "HSET hash:small f7 7"),
        ("hash:small", line("HSET hash:small f7x 7"), "HDEL hash:small f7x"),
        ("hash:big", line("HSET hash:big field-1500 x"), "HSET hash:big field-1500 value-1500"),
        ("zset:small", line("ZADD zset:small 7.5 m7"), "ZADD zset:small 7 m7"),
        ("zset:big", line("ZADD zset:big 2999.5 member-2999"), "ZADD zset:big 2999.25 member-2999"),
        ("zset:edge", line("ZADD zset:edge 2e-300 d"), "ZADD zset:edge 1e-300 d"),
        (
            "stream:small",
            line("XADD stream:small 99-1 n 1"),
            "EVAL redis.call('DEL',KEYS[1]) 1 stream:small",
        ),
        ("stream:big", line("XDEL stream:big 1500-1"), "DEL stream:big"),
    ];
    let mut broken: Vec<&str> = vec![];
    for (key, change, back) in changes {
        say(&right, &change);
        let found = compare(&mut attempt, &left, &right).await;
        let mut expected = broken.clone();
        expected.push(key);
        expected.sort_unstable();
        assert_eq!(keys_of(&found.differences), expected, "{change:?}");
        assert_eq!(found.unread, []);
        if key.starts_with("stream:") {
            // What a stream remembers cannot be taken back.
            broken.push(key);
        } else {
            say(&right, &line(back));
        }
    }
}

#[tokio::test]
async fn a_stream_whose_groups_or_last_id_differ_is_not_the_same() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    for server in [&left, &right] {
        say(server, &[command("XADD s 1-1 a b"), command("XADD s 2-1 a b")]);
        say(server, &line("XGROUP CREATE s readers 1-1"));
    }
    assert_eq!(compare(&mut attempt, &left, &right).await.differences.len(), 0);
    say(&right, &line("XGROUP SETID s readers 2-1"));
    assert_eq!(keys_of(&compare(&mut attempt, &left, &right).await.differences), ["s"]);
    say(&left, &line("XGROUP SETID s readers 2-1"));
    assert_eq!(compare(&mut attempt, &left, &right).await.differences.len(), 0);
    say(&right, &line("XSETID s 9-9"));
    assert_eq!(keys_of(&compare(&mut attempt, &left, &right).await.differences), ["s"]);
}

#[tokio::test]
async fn what_only_one_node_has_and_of_what_type_is_told() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    say(&left, &[command("SET both 1"), command("RPUSH typed a")]);
    say(&right, &[command("SET both 1"), command("SET typed a"), command("SADD extra a b")]);
    let found = compare(&mut attempt, &left, &right).await;
    assert_eq!(keys_of(&found.differences), ["typed"]);
    let kinds = |it: &Difference| {
        [&it.left, &it.right].map(|it| it.as_ref().map(|it| (it.kind.clone(), it.size)))
    };
    let list = Some(("list".to_owned(), 1));
    assert_eq!(kinds(&found.differences[0]), [list, Some(("string".to_owned(), 1))]);
    // The other way round nothing is read but whether it is there.
    let (ours, theirs) = (left.address.clone(), right.address.clone());
    let absent = attempt.absent_now(theirs, ours, page(100), 5_000);
    let absent = absent.await.unwrap();
    assert_eq!(keys_of(&absent.differences), ["extra"]);
    assert_eq!(kinds(&absent.differences[0]), [Some(("set".to_owned(), 2)), None]);
    assert_eq!(absent.keys, 3);
}

#[tokio::test]
async fn other_databases_patterns_and_named_keys_are_compared() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    let fill = [command("SELECT 3"), command("SET a:1 x"), command("SET b:1 x")];
    say(&left, &fill);
    say(&right, &fill);
    say(&right, &[command("SELECT 3"), command("SET a:1 y"), command("SET b:1 y")]);
    let (ours, theirs) = (left.address.clone(), right.address.clone());
    let at = Page { database: 3, pattern: "a:*".to_owned(), ..page(100) };
    let found = attempt.compare_now(ours.clone(), theirs.clone(), at, 5_000);
    assert_eq!(keys_of(&found.await.unwrap().differences), ["a:1"]);
    let keys = vec![b"b:1".to_vec(), b"none".to_vec()];
    let found = attempt.compare_keys_now(ours.clone(), theirs, 3, keys, 5_000);
    assert_eq!(keys_of(&found.await.unwrap().differences), ["b:1"]);
    // On the same connections, database 0 has nothing.
    assert_eq!(compare(&mut attempt, &left, &right).await.keys, 0);
    let held = attempt.inventory_now(ours, page(100), 5_000);
    assert_eq!(held.await.unwrap().keys.len(), 0);
}

#[tokio::test]
async fn an_inventory_tells_the_same_of_equal_values() {
    let (left, right, mut attempt) = pair(&["@read"], ALL);
    let mut data = data();
    say(&left, &data);
    data.reverse();
    let order = |words: &Vec<Vec<u8>>| words[0] != b"SADD" && words[0] != b"HSET";
    data.sort_by_key(order);
    let mut told = Vec::new();
    for (server, data) in [(&left, self::data()), (&right, data)] {
        say(server, &data.iter().filter(|it| !order(it)).cloned().collect::<Vec<_>>());
        let mut held = Vec::new();
        let mut cursor = 0;
        loop {
            let at = Page { cursor, ..page(50) };
            let address = server.address.clone();
            let some = attempt.inventory_now(address, at, 10_000);
            let some = some.await.unwrap();
            assert_eq!(some.unread, []);
            let of_these = |key: &[u8]| key.starts_with(b"set:") || key.starts_with(b"hash:");
            held.extend(some.keys.into_iter().filter(|it| of_these(&it.key)).map(|it| {
                (String::from_utf8_lossy(&it.key).into_owned(), it.holding.digest, it.holding.size)
            }));
            cursor = some.cursor;
            if cursor == 0 {
                break;
            }
        }
        held.sort();
        held.dedup();
        told.push(held);
    }
    assert_eq!(told[0].len(), 5);
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn g5_nothing_is_compared_that_was_not_granted() {
    let (left, right, mut attempt) = pair(&["@read"], &["book:*"]);
    let (ours, theirs) = (left.address.clone(), right.address.clone());
    let refusal = |found: Result<Compared, Error>| found.expect_err("it is refused").message;
    let found = attempt.compare_now(ours.clone(), theirs.clone(), page(9), 5_000);
    let message = refusal(found.await);
    assert!(message.contains("grants.redis.keys of the step"), "{message}");
    let keys = vec![b"book:1".to_vec(), b"order:1".to_vec()];
    let found = attempt.compare_keys_now(ours.clone(), theirs.clone(), 0, keys, 5_000);
    let message = refusal(found.await);
    assert!(message.contains("order:1"), "{message}");
    let at = Page { pattern: "book:*".to_owned(), ..page(9) };
    let found = attempt.compare_now(ours.clone(), "h:1".to_owned(), at.clone(), 5_000);
    assert!(refusal(found.await).contains("neither node nor Sentinel"));
    let found = attempt.compare_now(ours.clone(), theirs.clone(), at.clone(), 5_000);
    found.await.unwrap();

    let few = grant(&["data"], &["SCAN", "TYPE"], ALL);
    let nodes = [ours.as_str(), &theirs];
    let mut attempt = Attempt::new(cluster(&nodes, &[]), vec![few]);
    let found = attempt.compare_now(ours.clone(), theirs.clone(), at, 5_000);
    let message = refusal(found.await);
    assert!(message.contains("PEXPIRETIME"), "{message}");
}

#[tokio::test]
async fn one_read_is_sent_for_each_key_and_only_a_read() {
    let server = Server::start(&[]);
    say(&server, &[command("HSET h:1 a 1 b 2"), command("SET h:2 x"), command("HSET h:3 b 3")]);
    let grants = || vec![grant(&["data"], &["@read", "SET"], &["h:*"])];
    let mut attempt = Attempt::new(cluster(&[&server.address], &[]), grants());
    let mut read = async |words: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        let address = server.address.clone();
        let sent = attempt.read_each_now(address, command(words), keys, 5_000);
        sent.await
    };
    let packed = read("HMGET a b", &["h:1", "h:2", "h:3", "h:4"]).await.unwrap();
    let mut expected = vec![9, 2, 0, 0, 0, 5, 1, 0, 0, 0, b'1', 5, 1, 0, 0, 0, b'2'];
    let wrong = b"WRONGTYPE Operation against a key holding the wrong kind of value";
    expected.extend([7, 65, 0, 0, 0]);
    expected.extend(wrong);
    expected.extend([9, 2, 0, 0, 0, 0, 5, 1, 0, 0, 0, b'3', 9, 2, 0, 0, 0, 0, 0]);
    assert_eq!(packed, expected);
    assert!(read("HMGET a", &[]).await.unwrap().is_empty());
    for (words, keys, why) in [
        ("HMGET a", vec!["h:1", "i:1"], "key i:1 is not granted"),
        ("SET 1", vec!["h:1"], "it is no plain read"),
        ("PING", vec!["h:1"], "its only key must be its second word"),
        ("MGET h:2", vec!["h:1"], "its only key must be its second word"),
        ("EVAL 0", vec!["return 1"], "may not send EVAL"),
        ("", vec!["GET"], "a command needs a name"),
    ] {
        let message = read(words, &keys).await.expect_err(words).message;
        assert!(message.contains(why), "{words}: {message}");
    }
    let many = vec!["h:1"; 10_001];
    assert!(read("HGET a", &many).await.expect_err("too many").message.contains("in parts"));
}

#[tokio::test]
async fn a_server_that_answers_nonsense_or_nothing_ends_a_comparison() {
    let (left, right, _) = pair(&["@read"], ALL);
    say(&left, &line("SET a 1"));
    for (server, why) in [
        (servers::answering(Some(b"+OK\r\n")).await, "in no form that is known"),
        (servers::answering(Some(b"?what\r\n")).await, "begins with"),
        (servers::answering(None).await, "closed"),
        (servers::answering(Some(b"-LOADING Redis is loading\r\n")).await, "refused SCAN: LOADING"),
    ] {
        let nodes = [server.as_str(), &left.address];
        let mut attempt =
            Attempt::new(cluster(&nodes, &[]), vec![grant(&["data"], &["@read"], ALL)]);
        let ours = left.address.clone();
        let found = attempt.compare_now(server.clone(), ours, page(9), 2_000);
        let message = found.await.expect_err("no comparison").message;
        assert!(message.contains(why), "{message}");
    }
    right.freeze();
    let nodes = [left.address.as_str(), &right.address];
    let mut attempt = Attempt::new(cluster(&nodes, &[]), vec![grant(&["data"], &["@read"], ALL)]);
    let (ours, theirs) = (left.address.clone(), right.address.clone());
    let found = attempt.compare_now(ours, theirs, page(9), 300);
    let message = found.await.expect_err("no comparison").message;
    assert!(message.contains("in time"), "{message}");
    right.wake();
}
