//! What repeating a command would mean (design §6.1): the server's own flag
//! first, then these lists. What nobody lists is `Once`.

use baton_core::run::event::CallClass;

use super::table;

/// For which arguments a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// None of these words stands after the `from`th argument (0 is the name).
    Without {
        from: usize,
        words: &'static [&'static str],
    },
    /// Argument `at` is this word.
    Is {
        at: usize,
        word: &'static str,
    },
    /// At most so many arguments, the name included.
    Short(usize),
}

use When::Always;

/// Changes nothing, though the server does not flag it `readonly`.
const READ: &[(&str, When)] = &[
    // What the server says of itself.
    ("ACL|CAT", Always),
    ("ACL|DRYRUN", Always),
    ("ACL|HELP", Always),
    ("ACL|LOG", When::Short(2)), // with an argument it may be RESET
    ("ACL|USERS", Always),
    ("ACL|WHOAMI", Always),
    ("COMMAND", Always),
    ("COMMAND|COUNT", Always),
    ("COMMAND|DOCS", Always),
    ("COMMAND|GETKEYS", Always),
    ("COMMAND|GETKEYSANDFLAGS", Always),
    ("COMMAND|HELP", Always),
    ("COMMAND|INFO", Always),
    ("COMMAND|LIST", Always),
    ("CONFIG|GET", Always),
    ("CONFIG|HELP", Always),
    ("ECHO", Always),
    ("INFO", Always),
    ("LASTSAVE", Always),
    ("MODULE|LIST", Always),
    ("PING", Always),
    ("ROLE", Always),
    ("TIME", Always),
    // Connections: lists of them, and facts about our own.
    ("CLIENT|GETNAME", Always),
    ("CLIENT|GETREDIR", Always),
    ("CLIENT|HELP", Always),
    ("CLIENT|ID", Always),
    ("CLIENT|INFO", Always),
    ("CLIENT|LIST", Always),
    ("CLIENT|TRACKINGINFO", Always),
    // Cluster topology.
    ("CLUSTER|COUNT-FAILURE-REPORTS", Always),
    ("CLUSTER|COUNTKEYSINSLOT", Always),
    ("CLUSTER|INFO", Always),
    ("CLUSTER|KEYSLOT", Always),
    ("CLUSTER|LINKS", Always),
    ("CLUSTER|MYID", Always),
    ("CLUSTER|NODES", Always),
    ("CLUSTER|REPLICAS", Always),
    ("CLUSTER|SHARDS", Always),
    ("CLUSTER|SLAVES", Always),
    ("CLUSTER|SLOTS", Always),
    // Diagnostics.
    ("LATENCY|DOCTOR", Always),
    ("LATENCY|GRAPH", Always),
    ("LATENCY|HISTOGRAM", Always),
    ("LATENCY|HISTORY", Always),
    ("LATENCY|LATEST", Always),
    ("MEMORY|DOCTOR", Always),
    ("MEMORY|MALLOC-STATS", Always),
    ("MEMORY|STATS", Always),
    ("PUBSUB|CHANNELS", Always),
    ("PUBSUB|NUMPAT", Always),
    ("PUBSUB|NUMSUB", Always),
    ("PUBSUB|SHARDCHANNELS", Always),
    ("PUBSUB|SHARDNUMSUB", Always),
    ("SLOWLOG|GET", Always),
    ("SLOWLOG|LEN", Always),
    // Sentinel's views; it flags nothing but `admin`.
    ("SENTINEL|CKQUORUM", Always),
    ("SENTINEL|CONFIG", When::Is { at: 2, word: "GET" }),
    ("SENTINEL|DEBUG", When::Short(2)), // with arguments it sets its timers
    ("SENTINEL|GET-MASTER-ADDR-BY-NAME", Always),
    ("SENTINEL|HELP", Always),
    ("SENTINEL|INFO-CACHE", Always),
    // With a run id instead of `*` it is a request for a vote, which moves epochs.
    ("SENTINEL|IS-MASTER-DOWN-BY-ADDR", When::Is { at: 5, word: "*" }),
    ("SENTINEL|MASTER", Always),
    ("SENTINEL|MASTERS", Always),
    ("SENTINEL|MYID", Always),
    ("SENTINEL|PENDING-SCRIPTS", Always),
    ("SENTINEL|REPLICAS", Always),
    ("SENTINEL|SENTINELS", Always),
    ("SENTINEL|SLAVES", Always),
    // Waits for replicas; changes nothing.
    ("WAIT", Always),
    ("WAITAOF", Always),
    // State of our own connection only: what stands between MULTI and EXEC is
    // classified by itself, and the grant wants both in one pipeline.
    ("DISCARD", Always),
    ("EXEC", Always),
    ("MULTI", Always),
    ("UNWATCH", Always),
    ("WATCH", Always),
];

/// Flagged `readonly` by the server, and yet no read.
const NOT_READ: &[(&str, CallClass)] = &[
    // Rewrites the cached cardinality inside the value, and replicates that.
    ("PFCOUNT", CallClass::Idempotent),
    // What a script does is not ours to know.
    ("EVALSHA_RO", CallClass::Once),
    ("EVAL_RO", CallClass::Once),
    ("FCALL_RO", CallClass::Once),
];

/// Again is the same: the state after two is the state after one.
const IDEMPOTENT: &[(&str, When)] = &[
    // Say what is to be, not what is to be added.
    ("BITOP", Always),
    ("GEOADD", When::Without { from: 2, words: &["NX", "XX", "CH"] }),
    ("HMSET", Always),
    ("HSET", Always),
    ("MSET", Always),
    ("PFADD", Always),
    ("PFMERGE", Always),
    ("PSETEX", Always),
    ("SADD", Always),
    // NX answers differently the second time, GET gives the first's own value back.
    ("SET", When::Without { from: 3, words: &["NX", "GET"] }),
    ("SETBIT", Always),
    ("SETEX", Always),
    ("SETRANGE", Always),
    // The options make it relative to what stands there.
    ("ZADD", When::Without { from: 2, words: &["NX", "XX", "GT", "LT", "CH", "INCR"] }),
    // Take away what may be away already.
    ("LATENCY|RESET", Always),
    ("MEMORY|PURGE", Always),
    ("DEL", Always),
    ("HDEL", Always),
    ("SREM", Always),
    ("UNLINK", Always),
    ("XACK", Always),
    ("XDEL", Always),
    ("ZREM", Always),
    // An absolute time; EXPIRE counts from now.
    ("EXPIREAT", When::Without { from: 3, words: &["NX", "XX", "GT", "LT"] }),
    ("PERSIST", Always),
    ("PEXPIREAT", When::Without { from: 3, words: &["NX", "XX", "GT", "LT"] }),
    // Settings: the same value again, the same file again.
    ("CONFIG|REWRITE", Always),
    ("CONFIG|SET", Always),
    ("SENTINEL|FLUSHCONFIG", Always),
    // State of our own connection.
    ("CLIENT|NO-EVICT", Always),
    ("CLIENT|SETNAME", Always),
    ("SELECT", Always),
    // Its name is the digest of its text.
    ("SCRIPT|LOAD", Always),
];

/// Again is harmless only if the world is still as it was.
const GUARDED: &[(&str, When)] = &[
    // On another node than meant, or after another failover: a second master.
    ("FAILOVER", Always),
    ("REPLICAOF", Always),
    ("SLAVEOF", Always),
    // Writes the file once more, of what the data has become by then.
    ("BGSAVE", Always),
    // After a restart by a supervisor: stops the server once more.
    ("SHUTDOWN", Always),
    // Whoever has come back under that name or address meanwhile.
    ("CLIENT|KILL", Always),
    // Extends a pause that may already have served its end, or ends another's.
    ("CLIENT|PAUSE", Always),
    ("CLIENT|UNPAUSE", Always),
    // A hello with an epoch that is no longer the highest, or already is.
    ("PUBLISH", When::Is { at: 1, word: "__SENTINEL__:HELLO" }),
    // Sentinel's own topology: fails over again, forgets, or wipes settings.
    ("SENTINEL|CONFIG", When::Is { at: 2, word: "SET" }),
    ("SENTINEL|FAILOVER", Always),
    ("SENTINEL|MONITOR", Always),
    ("SENTINEL|REMOVE", Always),
    ("SENTINEL|RESET", Always),
    ("SENTINEL|SET", Always),
];

/// The class of one command with its arguments.
pub(super) fn class(command: &[Vec<u8>]) -> CallClass {
    let name = table::name_of(command);
    decide(&name, |when| holds(when, command))
}

/// Whether a command changes nothing, whatever its arguments: `GET`,
/// `CONFIG|GET`, `@read`, in any case. A command that reads only with some
/// arguments, or that nobody knows, is none.
pub fn is_read(name: &str) -> bool {
    let name = name.to_uppercase();
    name == "@READ" || decide(&name, |when| when == Always) == CallClass::Read
}

/// Whether `@read` in a grant covers it. KEYS reads, but walks the whole
/// key space in one go and holds up the server meanwhile.
pub(super) fn covered_by_read(name: &str, command: &[Vec<u8>]) -> bool {
    name != "KEYS" && class(command) == CallClass::Read
}

/// Each list's number and each name in it.
#[cfg(test)]
pub(super) fn listed() -> impl Iterator<Item = (usize, &'static str)> {
    let lists = [READ, IDEMPOTENT, GUARDED].into_iter().enumerate();
    let not_read = NOT_READ.iter().map(|(name, _)| (3, *name));
    lists.flat_map(|(at, list)| list.iter().map(move |(name, _)| (at, *name))).chain(not_read)
}

fn decide(name: &str, holds: impl Fn(When) -> bool) -> CallClass {
    if let Some((_, class)) = NOT_READ.iter().find(|(listed, _)| *listed == name) {
        return *class;
    }
    if table::find(name).is_some_and(|spec| spec.has("readonly")) {
        return CallClass::Read;
    }
    let lists = [
        (READ, CallClass::Read),
        (IDEMPOTENT, CallClass::Idempotent),
        (GUARDED, CallClass::Guarded),
    ];
    lists
        .into_iter()
        .find(|(list, _)| list.iter().any(|(listed, when)| *listed == name && holds(*when)))
        .map_or(CallClass::Once, |(_, class)| class)
}

fn holds(when: When, command: &[Vec<u8>]) -> bool {
    match when {
        Always => true,
        When::Without { from, words } => !command.iter().skip(from).any(|argument| {
            words.iter().any(|word| argument.eq_ignore_ascii_case(word.as_bytes()))
        }),
        When::Is { at, word } => {
            command.get(at).is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
        }
        When::Short(most) => command.len() <= most,
    }
}
