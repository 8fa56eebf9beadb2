//! What repeating a request would mean: by its method, and by what baton.toml says of the
//! path.

use baton_core::run::event::CallClass;

use super::endpoint::Endpoint;
use super::path::covers;
use crate::guest::wit::http::Method;

/// As RFC 9110 spells it.
pub(super) fn word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// RFC 9110, 9.2: GET and HEAD are safe, PUT and DELETE idempotent. Of the rest nothing is
/// known, unless the operator knows.
pub(super) fn class(endpoint: &Endpoint, method: Method, path: &str) -> CallClass {
    let says = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, path));
    match method {
        Method::Get | Method::Head => CallClass::Read,
        _ if says(&endpoint.reads) => CallClass::Read,
        Method::Put | Method::Delete => CallClass::Idempotent,
        _ if says(&endpoint.idempotent) => CallClass::Idempotent,
        Method::Post | Method::Patch => CallClass::Once,
    }
}
