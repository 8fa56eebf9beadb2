//! Every answer survives being text, and no text is more than refused.

use proptest::prelude::*;

use super::super::answer::{Answer, read, write};
use crate::guest::wit::redis::{Cluster, Error, ErrorKind, Member, MemberKind, Mode, Node, Sample};

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

fn sample() -> impl Strategy<Value = Sample> {
    let texts = (".*", ".*", ".*", ".*");
    let numbers = (any::<u64>(), any::<bool>(), any::<i64>(), any::<i64>(), any::<Option<u64>>());
    (texts, numbers).prop_map(|(texts, (at_ms, master, second_offset, offset, keys))| {
        let (address, run_id, replid, replid2) = texts;
        Sample { address, at_ms, run_id, master, replid, replid2, second_offset, offset, keys }
    })
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
    ) {
        same(&called);
        same(&Ok::<Cluster, Error>(cluster));
        same(&at);
        same(&Ok::<Vec<Sample>, Error>(vec![sample]));
        same(&());
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
