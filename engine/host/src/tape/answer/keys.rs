//! What `redis.read-each`, `compare`, `absent` and `inventory` tell.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_core::Json;
use serde_json::json;

use super::{Answer, bytes, bytes_to_json, expected, text};
use crate::guest::wit::redis::{Compared, Difference, Held, Holding, Holdings, Unread};

/// Bytes that a guest is told: base64, since packed replies are no text.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Answer for Bytes {
    fn to_json(&self) -> Json {
        json!({ "base64": STANDARD.encode(&self.0) })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        bytes(json).map(Self)
    }
}

impl Answer for Compared {
    fn to_json(&self) -> Json {
        json!({
            "cursor": self.cursor,
            "keys": self.keys,
            "slowest_us": self.slowest_us,
            "differences": self.differences.to_json(),
            "unread": self.unread.to_json(),
        })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self {
            cursor: u64::from_json(&json["cursor"])?,
            keys: small(json, "keys")?,
            slowest_us: small(json, "slowest_us")?,
            differences: Vec::from_json(&json["differences"])?,
            unread: Vec::from_json(&json["unread"])?,
        })
    }
}

impl Answer for Holdings {
    fn to_json(&self) -> Json {
        json!({
            "cursor": self.cursor,
            "slowest_us": self.slowest_us,
            "keys": self.keys.to_json(),
            "unread": self.unread.to_json(),
        })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self {
            cursor: u64::from_json(&json["cursor"])?,
            slowest_us: small(json, "slowest_us")?,
            keys: Vec::from_json(&json["keys"])?,
            unread: Vec::from_json(&json["unread"])?,
        })
    }
}

impl Answer for Difference {
    fn to_json(&self) -> Json {
        let maybe = |it: &Option<Holding>| it.as_ref().map_or(Json::Null, Answer::to_json);
        json!({
            "key": bytes_to_json(&self.key),
            "left": maybe(&self.left),
            "right": maybe(&self.right),
        })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        let maybe = |json: &Json| {
            if json.is_null() { Ok(None) } else { Holding::from_json(json).map(Some) }
        };
        Ok(Self {
            key: bytes(&json["key"])?,
            left: maybe(&json["left"])?,
            right: maybe(&json["right"])?,
        })
    }
}

impl Answer for Held {
    fn to_json(&self) -> Json {
        json!({ "key": bytes_to_json(&self.key), "holding": self.holding.to_json() })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self { key: bytes(&json["key"])?, holding: Holding::from_json(&json["holding"])? })
    }
}

impl Answer for Unread {
    fn to_json(&self) -> Json {
        json!({ "key": bytes_to_json(&self.key), "reason": self.reason })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self { key: bytes(&json["key"])?, reason: text(json, "reason")? })
    }
}

impl Answer for Holding {
    fn to_json(&self) -> Json {
        json!({
            "kind": self.kind,
            "digest": self.digest,
            "size": self.size,
            "expires_at_ms": self.expires_at_ms,
        })
    }
    fn from_json(json: &Json) -> Result<Self, String> {
        Ok(Self {
            kind: text(json, "kind")?,
            digest: text(json, "digest")?,
            size: u64::from_json(&json["size"])?,
            expires_at_ms: json["expires_at_ms"].as_u64(),
        })
    }
}

fn small(json: &Json, key: &str) -> Result<u32, String> {
    let number = json[key].as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| expected(&format!("a number as `{key}`"), json))
}
