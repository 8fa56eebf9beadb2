//! Who sent this? Bearer tokens and Standard Webhooks signatures, compared in
//! constant time over the raw bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_core::Millis;
use baton_host::capability::redis::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// How far a signed timestamp may be from our clock, in seconds (Standard
/// Webhooks 1.0 leaves it to the receiver; its libraries take five minutes).
const TIMESTAMP_SKEW_S_MAX: u64 = 300;
/// Shortest key: Standard Webhooks 1.0 asks for 24 to 64 bytes.
const KEY_BYTES_MIN: usize = 24;
/// Longest delivery id: it becomes part of a dedup key.
const ID_CHARS_MAX: usize = 256;

/// Looks up a header by its lower-case name.
pub type Headers<'h> = &'h dyn Fn(&str) -> Option<&'h str>;

/// The sender did not prove who it is. The text is for its operator and says
/// nothing that helps to guess.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unauthenticated(pub String);

/// What callers of one hook are asked for.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    Bearer(Vec<Secret>),
    StandardWebhooks(Vec<SigningKey>),
    Nobody,
}

/// A Standard Webhooks key, decoded.
#[derive(Clone)]
pub(super) struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl Keys {
    /// Whether the delivery may come in; gives its id if the sender signs one.
    pub(super) fn admit<'h>(
        &self,
        headers: Headers<'h>,
        body: &[u8],
        now: Millis,
    ) -> Result<Option<&'h str>, Unauthenticated> {
        match self {
            Self::Bearer(tokens) => bears(headers, tokens).map(|()| None),
            Self::StandardWebhooks(keys) => signed(headers, body, keys, now).map(Some),
            Self::Nobody => Ok(None),
        }
    }
}

/// Whether `Authorization` bears one of `tokens`. Every one is compared, as a
/// digest, so that the time taken tells neither which fits nor how long they are.
///
/// # Errors
/// If the header is missing, of another scheme, or holds another token.
pub fn bears(headers: Headers<'_>, tokens: &[Secret]) -> Result<(), Unauthenticated> {
    let missing = || Unauthenticated("send the header `Authorization: Bearer <token>`".to_owned());
    let (scheme, given) =
        headers("authorization").and_then(|header| header.split_once(' ')).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let given = Sha256::digest(given.trim().as_bytes());
    let fits = tokens.iter().fold(Choice::from(0), |fits, token| {
        fits | given.as_slice().ct_eq(Sha256::digest(token.expose().as_bytes()).as_slice())
    });
    if bool::from(fits) {
        Ok(())
    } else {
        Err(Unauthenticated("the bearer token is not one that this address accepts".to_owned()))
    }
}

/// Checks the three headers of Standard Webhooks 1.0 and gives the delivery's id.
fn signed<'h>(
    headers: Headers<'h>,
    body: &[u8],
    keys: &[SigningKey],
    now: Millis,
) -> Result<&'h str, Unauthenticated> {
    let header = |name: &str| {
        headers(name).ok_or_else(|| {
            Unauthenticated(format!(
                "no `{name}` header; sign the delivery as Standard Webhooks 1.0 says"
            ))
        })
    };
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let given: Vec<Vec<u8>> = header("webhook-signature")?
        .split_ascii_whitespace()
        .filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok())
        .collect();
    let fits = keys.iter().fold(Choice::from(0), |fits, key| {
        let ours = key.sign(id, timestamp, body);
        given.iter().fold(fits, |fits, theirs| fits | ours.as_slice().ct_eq(theirs))
    });
    if !bool::from(fits) {
        return Err(Unauthenticated(
            "no `v1,` signature of `webhook-signature` fits; compare the secrets, and sign the very bytes that are sent".to_owned(),
        ));
    }
    // Only now: before the signature fits, the timestamp is anybody's claim.
    let now_s = now / 1000;
    let skew = timestamp.parse::<u64>().map(|at| at.abs_diff(now_s));
    match skew {
        Ok(0..=TIMESTAMP_SKEW_S_MAX) if id.len() <= ID_CHARS_MAX => Ok(id),
        Ok(0..=TIMESTAMP_SKEW_S_MAX) => {
            Err(Unauthenticated(format!("`webhook-id` is longer than {ID_CHARS_MAX} bytes")))
        }
        Ok(skew) => Err(Unauthenticated(format!(
            "`webhook-timestamp` is {skew} s from this machine's clock, more than {TIMESTAMP_SKEW_S_MAX} s; sign each attempt anew and compare the clocks"
        ))),
        Err(_) => Err(Unauthenticated("`webhook-timestamp` is not a number of seconds".to_owned())),
    }
}

impl SigningKey {
    /// Decodes `whsec_<base64>`.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub(super) fn parse(secret: &Secret) -> Result<Self, String> {
        let text = secret.expose().trim();
        let key = BASE64
            .decode(text.strip_prefix("whsec_").unwrap_or(text))
            .map_err(|_| "is not `whsec_` and base64".to_owned())?;
        if key.len() < KEY_BYTES_MIN {
            return Err(format!(
                "is {} bytes long; Standard Webhooks asks for at least {KEY_BYTES_MIN} (make one with `openssl rand -base64 32`)",
                key.len()
            ));
        }
        Ok(Self(key))
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }

    /// The `webhook-signature` header for a delivery.
    #[cfg(test)]
    pub(super) fn header(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        format!("v1,{}", BASE64.encode(self.sign(id, timestamp, body)))
    }
}

#[cfg(test)]
mod tests;
