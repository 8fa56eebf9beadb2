//! Every answer survives being text, and no text is more than refused.

use proptest::prelude::*;

use super::super::answer::{Answer, read, write};
use crate::guest::wit::exec::Output;
use crate::guest::wit::http::{Header, Response};
use crate::guest::wit::probe::Finding;
use crate::guest::wit::redis::{
    Cluster, Error, ErrorKind, Member, MemberKind, Mode, Node, Sample, StreamPlace, StreamReading,
    Streamed, Stretch, Unreadable,
};
use crate::guest::wit::types;

type Sent = Result<Response, types::Error>;
type Ran = Result<Output, types::Error>;
type Looked = Result<Vec<Finding>, types::Error>;
type Called = Result<Vec<Result<Vec<Vec<Node>>, Error>>, Error>;

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Boolean),
        any::<i64>().prop_map(Node::Integer),
        any::<f64>().prop_filter("equal to itself", |it| !it.is_nan()).prop_map(Node::Double),
        any::<Vec<u8>>().prop_map(Node::Bulk),
        ".*".prop_map(|text| Node::Bulk(text.into_bytes())),
        ".*".prop_map(Node::Simple),
        ".*".prop_map(Node::Error),
        "-?[0-9]{1,40}".prop_map(Node::BigNumber),
        any::<u32>().prop_map(Node::Array),
        any::<u32>().prop_map(Node::Map),
        any::<u32>().prop_map(Node::Set),
        any::<u32>().prop_map(Node::Push),
    ]
}

fn error() -> impl Strategy<Value = Error> {
    let kinds = [
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Refused,
        ErrorKind::Unreachable,
        ErrorKind::TimedOut,
        ErrorKind::Closed,
        ErrorKind::Unauthorized,
        ErrorKind::Protocol,
        ErrorKind::Limit,
        ErrorKind::Internal,
        ErrorKind::InDoubt,
    ];
    (proptest::sample::select(kinds.to_vec()), ".*")
        .prop_map(|(kind, message)| Error { kind, message })
}

fn called() -> impl Strategy<Value = Called> {
    let replies = prop::collection::vec(prop::collection::vec(node(), 0..6), 0..4);
    let member = prop_oneof![replies.prop_map(Ok), error().prop_map(Err)];
    prop_oneof![prop::collection::vec(member, 0..4).prop_map(Ok), error().prop_map(Err)]
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let kind = proptest::sample::select(vec![MemberKind::Data, MemberKind::Sentinel]);
    let zone = prop::option::of(".*");
    let member =
        (".*", kind, zone).prop_map(|(address, kind, zone)| Member { address, kind, zone });
    let mode = proptest::sample::select(vec![Mode::Observe, Mode::Assist, Mode::Lead]);
    let numbers = (any::<u32>(), any::<u32>(), any::<u64>());
    (".*", ".*", mode, prop::collection::vec(member, 0..5), numbers).prop_map(
        |(name, master_name, mode, members, (down_after_ms, restart_grace_ms, max_lost_bytes))| {
            Cluster {
                name,
                master_name,
                mode,
                members,
                down_after_ms,
                restart_grace_ms,
                max_lost_bytes,
            }
        },
    )
}

fn door_error() -> impl Strategy<Value = types::Error> {
    use types::ErrorKind;
    let kinds = [
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Refused,
        ErrorKind::Unreachable,
        ErrorKind::TimedOut,
        ErrorKind::Closed,
        ErrorKind::Protocol,
        ErrorKind::Limit,
        ErrorKind::Internal,
        ErrorKind::InDoubt,
    ];
    (proptest::sample::select(kinds.to_vec()), ".*")
        .prop_map(|(kind, message)| types::Error { kind, message })
}

fn sent() -> impl Strategy<Value = Sent> {
    let header = (".*", ".*").prop_map(|(name, value)| Header { name, value });
    let headers = prop::collection::vec(header, 0..4);
    let response = (any::<u16>(), headers, any::<Vec<u8>>());
    let response = response.prop_map(|(status, headers, body)| Response { status, headers, body });
    prop_oneof![response.prop_map(Ok), door_error().prop_map(Err)]
}

fn ran() -> impl Strategy<Value = Ran> {
    let parts = (any::<Option<i32>>(), any::<Option<i32>>(), any::<Vec<u8>>(), ".*", any::<u64>());
    let output = parts.prop_map(|(exit, signal, stdout, stderr, left_out)| Output {
        exit,
        signal,
        stdout,
        stderr: stderr.into_bytes(),
        left_out,
    });
    prop_oneof![output.prop_map(Ok), door_error().prop_map(Err)]
}

fn looked() -> impl Strategy<Value = Looked> {
    let finding = (any::<bool>(), any::<u32>(), ".*");
    let finding = finding.prop_map(|(up, latency_ms, reason)| Finding { up, latency_ms, reason });
    prop_oneof![prop::collection::vec(finding, 0..4).prop_map(Ok), door_error().prop_map(Err)]
}

fn sample() -> impl Strategy<Value = Sample> {
    let texts = (".*", ".*", ".*", ".*");
    let numbers = (any::<u64>(), any::<bool>(), any::<i64>(), any::<i64>(), any::<Option<u64>>());
    (texts, numbers).prop_map(|(texts, (at_ms, master, second_offset, offset, keys))| {
        let (address, run_id, replid, replid2) = texts;
        Sample { address, at_ms, run_id, master, replid, replid2, second_offset, offset, keys }
    })
}

fn place() -> impl Strategy<Value = StreamPlace> {
    (any::<i64>(), any::<Option<u32>>(), any::<Option<i64>>())
        .prop_map(|(offset, database, transaction)| StreamPlace { offset, database, transaction })
}

fn reading() -> impl Strategy<Value = StreamReading> {
    let keys = prop::option::of(prop::collection::vec(any::<Vec<u8>>(), 0..3));
    let write = (place(), any::<u64>(), ".*", keys, any::<bool>(), ".*");
    let write = write.prop_map(|(place, size, name, keys, whole, text)| {
        let StreamPlace { offset, database, transaction } = place;
        Streamed { offset, size, database, transaction, name, keys, whole, text }
    });
    let writes = prop::collection::vec(write, 0..4);
    let read = (any::<i64>(), writes, any::<u64>(), prop::option::of(place()));
    let read = read.prop_map(|(end, writes, idle_bytes, next)| {
        StreamReading::Read(Stretch { end, writes, idle_bytes, next })
    });
    let reasons = [Unreadable::AnotherHistory, Unreadable::Overwritten, Unreadable::Refused];
    let unreadable = (proptest::sample::select(reasons.to_vec()), ".*");
    prop_oneof![read, unreadable.prop_map(StreamReading::Unreadable)]
}

/// Clusters have no equality of their own in the bindings' public part.
fn same<T: Answer + PartialEq + std::fmt::Debug>(answer: &T) {
    let text = write(answer);
    assert_eq!(read::<T>(&text).as_ref(), Ok(answer), "{text}");
}

proptest! {
    #[test]
    fn every_answer_survives_being_text(
        called in called(), cluster in cluster(), at in any::<u64>(), sample in sample(),
        reading in reading(),
    ) {
        same(&Ok::<StreamReading, Error>(reading));
        same(&called);
        same(&Ok::<Cluster, Error>(cluster));
        same(&at);
        same(&Ok::<Vec<Sample>, Error>(vec![sample]));
        same(&());
    }

    #[test]
    fn so_do_those_of_the_other_doors(sent in sent(), ran in ran(), looked in looked()) {
        same(&sent);
        same(&ran);
        same(&looked);
    }

    #[test]
    fn rubbish_is_refused_in_words(text in ".*", cut in any::<prop::sample::Index>(), called in called()) {
        let _ = read::<Called>(&text);
        let _ = read::<Result<Cluster, Error>>(&text);
        let _ = read::<u64>(&text);
        // The half of an answer, cut where a file may end.
        let whole = write(&called);
        let mut at = cut.index(whole.len());
        while !whole.is_char_boundary(at) {
            at -= 1;
        }
        prop_assert!(read::<Called>(&whole[..at]).is_err());
    }

    #[test]
    fn json_of_any_shape_is_refused_or_read(json in "[\\[\\]{}:,\"a-z0-9]{0,40}") {
        let _ = read::<Called>(&json);
        let _ = read::<Vec<Node>>(&json);
        let _ = read::<Result<Cluster, Error>>(&json);
        let _ = read::<Sent>(&json);
        let _ = read::<Ran>(&json);
        let _ = read::<Looked>(&json);
        let _ = read::<Result<StreamReading, Error>>(&json);
    }
}

#[test]
fn a_deep_answer_is_refused_and_the_stack_survives() {
    let deep = "[".repeat(1_000_000);
    assert!(read::<Called>(&deep).is_err());
}

#[test]
fn what_is_no_number_stays_none() {
    let text = write(&vec![Node::Double(f64::NAN), Node::Double(f64::NEG_INFINITY)]);
    let read = read::<Vec<Node>>(&text).unwrap();
    assert!(
        matches!(read[..], [Node::Double(nan), Node::Double(f64::NEG_INFINITY)] if nan.is_nan())
    );
}
