//! What was asked, as a digest that the SDK computes as well.

use super::*;
use crate::tape::asked::Asking;

/// `digest  function  arguments…`, the words of a line separated by tabs.
const VECTORS: &str = include_str!("../../../../../plugins/sdk/src/testing/digests.txt");

#[test]
fn the_sdk_and_the_host_mean_the_same_digest() {
    let mut seen = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (digest, function) = (fields.next().unwrap(), fields.next().unwrap());
        let function: &'static str = String::leak(function.to_owned());
        let asked = fields.fold(Asked::of(function), Asking::text).word("");
        assert_eq!(asked.digest.to_string(), digest, "{line}");
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn fields_do_not_run_into_each_other() {
    let digest = |fields: &[&str]| {
        fields.iter().fold(Asked::of("f"), |asking, field| asking.text(field)).word("").digest
    };
    let all = [
        digest(&["ab", "c"]),
        digest(&["a", "bc"]),
        digest(&["abc"]),
        digest(&["abc", ""]),
        digest(&[]),
        digest(&[""]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "{at}");
    }
}

#[test]
fn many_commands_are_cut_and_counted() {
    let lines = (0..1_000).map(|number| format!("h:1> GET key{number}"));
    let asked = Asked::of("redis.call").shown(lines);
    assert!(asked.request.len() <= crate::limits::TAPE_REQUEST_BYTES_MAX + 30);
    assert!(asked.request.ends_with(" more)"), "{}", asked.request);
}
