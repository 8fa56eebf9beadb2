use baton_host::capability::redis::Secret;

use super::{Keys, SigningKey};

// The vector of facts: Standard Webhooks' own.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: &str = "1614265330";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const NOW: u64 = 1_614_265_330_000;

fn keys(secrets: &[&str]) -> Keys {
    let parse = |text: &&str| SigningKey::parse(&Secret::new(*text)).unwrap();
    Keys::StandardWebhooks(secrets.iter().map(parse).collect())
}

fn admit(
    keys: &Keys,
    headers: &[(&str, &'static str)],
    body: &[u8],
    now: u64,
) -> Result<Option<String>, String> {
    let find = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    keys.admit(&find, body, now).map(|id| id.map(str::to_owned)).map_err(|e| e.to_string())
}

fn signed(signature: &'static str) -> [(&'static str, &'static str); 3] {
    [("webhook-id", ID), ("webhook-timestamp", TIMESTAMP), ("webhook-signature", signature)]
}

#[test]
fn the_vector_of_standard_webhooks_fits() {
    let headers = signed(SIGNATURE);
    assert_eq!(admit(&keys(&[SECRET]), &headers, BODY, NOW), Ok(Some(ID.to_owned())));
}

#[test]
fn either_of_two_secrets_fits_while_rotating() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for pair in [[SECRET, other], [other, SECRET]] {
        assert!(admit(&keys(&pair), &signed(SIGNATURE), BODY, NOW).is_ok());
    }
    assert!(admit(&keys(&[other]), &signed(SIGNATURE), BODY, NOW).is_err());
}

#[test]
fn any_of_several_signatures_fits() {
    let list =
        "v1a,bm90IG91cnM= rubbish v1,bm90IG91cnM= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert!(admit(&keys(&[SECRET]), &signed(list), BODY, NOW).is_ok());
}

#[test]
fn one_changed_byte_anywhere_does_not_fit() {
    let keys = keys(&[SECRET]);
    assert!(admit(&keys, &signed(SIGNATURE), br#"{"test": 2432232315}"#, NOW).is_err());
    for (place, value) in [(0, "msg_q"), (1, "1614265331"), (2, "v1,AAAA"), (2, ""), (2, "v1,")] {
        let mut headers = signed(SIGNATURE);
        headers[place].1 = value;
        assert!(admit(&keys, &headers, BODY, NOW).is_err(), "{value}");
    }
}

#[test]
fn a_missing_header_is_named() {
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let headers: Vec<_> =
            signed(SIGNATURE).into_iter().filter(|(name, _)| *name != missing).collect();
        let error = admit(&keys(&[SECRET]), &headers, BODY, NOW).unwrap_err();
        assert!(error.contains(missing), "{error}");
    }
}

#[test]
fn a_timestamp_may_be_five_minutes_off_and_no_more() {
    let keys = keys(&[SECRET]);
    for (skew_s, fits) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let now = NOW.checked_add_signed(skew_s * 1000).unwrap();
        assert_eq!(admit(&keys, &signed(SIGNATURE), BODY, now).is_ok(), fits, "{skew_s}");
    }
}

#[test]
fn a_bearer_token_fits_whole_and_only_whole() {
    let keys = Keys::Bearer(vec![Secret::new("old"), Secret::new("new-token")]);
    for (header, fits) in [
        ("Bearer old", true),
        ("bearer  new-token", true),
        ("Bearer ol", false),
        ("Bearer olds", false),
        ("Bearer", false),
        ("Bearer ", false),
        ("Basic old", false),
        ("old", false),
    ] {
        assert_eq!(admit(&keys, &[("authorization", header)], b"", 0).is_ok(), fits, "{header}");
    }
    assert!(admit(&keys, &[], b"", 0).is_err());
}

#[test]
fn g9_a_bad_key_is_told_without_showing_it() {
    for bad in ["whsec_hunter2!", "whsec_aHVudGVyMg=="] {
        let error = SigningKey::parse(&Secret::new(bad)).unwrap_err();
        assert!(!error.contains("hunter2") && !error.contains("aHVu"), "{error}");
    }
    let key = SigningKey::parse(&Secret::new(SECRET)).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey(…)");
}
