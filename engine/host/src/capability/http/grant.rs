//! The rule: what a step asked for against what it was granted. Pure; deny by default; a
//! refusal names the line that would allow it.

use baton_core::run::event::CallClass;
use baton_core::workflow::plan::HttpGrant;

use super::class::{class, word};
use super::endpoint::Endpoint;
use super::path::{covers, sound};
use crate::guest::wit::http::{Header, Request};
use crate::guest::wit::types::{Error, ErrorKind};
use crate::limits;
use crate::text::tame;

/// Headers that are the host's own business: where a request goes, where it ends, who
/// sends it.
const OURS: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Whether the step was granted anything of the endpoint: whether there is one that it was
/// not granted is not the guest's business.
pub(super) fn knows(step: &str, grants: &[HttpGrant], endpoint: &str) -> Result<(), Error> {
    if grants.iter().any(|grant| grant.endpoint == endpoint) {
        return Ok(());
    }
    let endpoint = tame(endpoint, limits::REQUEST_TEXT_BYTES_MAX);
    Err(denied(format!(
        "step \"{step}\" was granted nothing of endpoint {endpoint}: add [[steps.{step}.grants.http]] with endpoint = \"{endpoint}\", methods and paths"
    )))
}

/// The class of a request that may be sent.
pub(super) fn check(
    step: &str,
    grants: &[HttpGrant],
    endpoint: &Endpoint,
    request: &Request,
) -> Result<CallClass, Error> {
    let name = &endpoint.name;
    knows(step, grants, name)?;
    let shown = tame(&request.path, limits::REQUEST_TEXT_BYTES_MAX);
    if request.path.len() > limits::HTTP_PATH_BYTES_MAX {
        return Err(limit(format!(
            "a path of {} bytes, more than {}",
            request.path.len(),
            limits::HTTP_PATH_BYTES_MAX
        )));
    }
    let path = sound(&request.path).map_err(|why| {
        denied(format!("step \"{step}\" may not ask {name} for {shown}: it {why}"))
    })?;
    headers(step, endpoint, &request.headers)?;
    if request.body.len() > limits::HTTP_REQUEST_BYTES_MAX {
        return Err(limit(format!(
            "a body of {} bytes for {name}, more than {}",
            request.body.len(),
            limits::HTTP_REQUEST_BYTES_MAX
        )));
    }
    let method = word(request.method);
    let class = class(endpoint, request.method, path);
    let of_endpoint = || grants.iter().filter(|grant| grant.endpoint == *name);
    let has_method = |grant: &&HttpGrant| grant.methods.iter().any(|known| known == method);
    let has_path = |grant: &&HttpGrant| grant.paths.iter().any(|known| covers(known, path));
    if !of_endpoint().any(|grant| has_path(&grant)) {
        return Err(denied(format!(
            "step \"{step}\" may not ask {name} for {shown}: add \"{}\" to grants.http.paths of the step",
            tame(path, limits::REQUEST_TEXT_BYTES_MAX)
        )));
    }
    let mut fitting = of_endpoint().filter(|grant| has_path(grant) && has_method(grant)).peekable();
    if fitting.peek().is_none() {
        return Err(denied(format!(
            "step \"{step}\" may not send {method} {shown} to {name}: add \"{method}\" to grants.http.methods of the step"
        )));
    }
    if class != CallClass::Read && fitting.all(|grant| grant.only_reads) {
        return Err(denied(format!(
            "step \"{step}\" may only read, and {method} {shown} may change something: if it does not, add its path to `reads` under [http.{name}] in baton.toml; else take `only_reads` out of grants.http of the step"
        )));
    }
    Ok(class)
}

fn headers(step: &str, endpoint: &Endpoint, headers: &[Header]) -> Result<(), Error> {
    let name = &endpoint.name;
    let bytes: usize = headers.iter().map(|it| it.name.len() + it.value.len()).sum();
    if headers.len() > limits::HTTP_HEADERS_MAX || bytes > limits::HTTP_HEADER_BYTES_MAX {
        return Err(limit(format!(
            "{} headers of {bytes} bytes for {name}, more than {} of {}",
            headers.len(),
            limits::HTTP_HEADERS_MAX,
            limits::HTTP_HEADER_BYTES_MAX
        )));
    }
    for header in headers {
        let lower = header.name.to_ascii_lowercase();
        let set = |known: &str| known.eq_ignore_ascii_case(&lower);
        let shown = tame(&header.name, limits::REQUEST_TEXT_BYTES_MAX);
        if OURS.contains(&lower.as_str())
            || set(&endpoint.idempotency_header)
            || endpoint.headers.iter().any(|(known, _)| set(known))
        {
            return Err(denied(format!(
                "step \"{step}\" may not set {shown} for {name}: that header is the host's own"
            )));
        }
        let sound = hyper::header::HeaderName::from_bytes(header.name.as_bytes()).is_ok()
            && hyper::header::HeaderValue::from_str(&header.value).is_ok();
        if !sound {
            return Err(denied(format!(
                "step \"{step}\" may not send {shown} to {name}: it is no header, or its value holds what a header cannot"
            )));
        }
    }
    Ok(())
}

fn denied(message: String) -> Error {
    Error { kind: ErrorKind::Denied, message }
}

fn limit(message: String) -> Error {
    Error { kind: ErrorKind::Limit, message }
}
