//! `[http.<name>]`: services that plugins may be let speak to.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_host::capability::http::{Endpoint, Secret, Tls, Url};

use super::super::flaw::{Flaws, shown};
use super::super::reader::Section;
use super::super::secret::Secrets;
use super::super::tls::{TlsFiles, Trust};
use super::{bytes, fetch, secret_name, secret_names, timeout};

/// A dashboard's query takes seconds; longer is another endpoint's business.
const TIMEOUT_MS_DEFAULT: u32 = 10_000;
const ANSWER_BYTES_DEFAULT: usize = 1024 * 1024;
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What RFC 9110 lets a header be called, as far as anybody does.
const HEADER_CHARS_MAX: usize = 64;

/// An endpoint as written.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Everything that needs no secret and no file; none: there is a flaw.
    plain: Option<Endpoint>,
    name: String,
    bearer: Option<String>,
    basic: Option<(String, String)>,
    headers: Vec<(String, String)>,
    tls: Option<TlsFiles>,
}

impl Declared {
    pub(super) fn read(
        name: &str,
        section: &mut Section<'_>,
        folder: &Path,
        secrets: &Secrets,
        flaws: &mut Flaws,
    ) -> Self {
        let url = url(section, "url", ["http", "https"], flaws);
        let bearer = secret_name(section, "bearer", secrets, flaws);
        let username = section.string("username", flaws);
        let password = secret_name(section, "password", secrets, flaws);
        let basic = match (&username, password) {
            (Some(user), Some(password)) => Some((user.get_ref().clone(), password)),
            (None, None) => None,
            _ => {
                let message = format!("[http.{name}] needs `username` and `password` together");
                flaws.add(section.span.clone(), message);
                None
            }
        };
        if bearer.is_some() && basic.is_some() {
            let message = format!("[http.{name}] has two log-ins; keep `bearer` or `username`");
            flaws.add(section.span.clone(), message);
        }
        let has_log_in = bearer.is_some() || basic.is_some();
        let mut headers = Vec::new();
        for (header, secret) in secret_names(section, "headers", secrets, flaws) {
            header_name(header.get_ref(), header.span(), flaws);
            if has_log_in && header.get_ref().eq_ignore_ascii_case("authorization") {
                let message = format!("[http.{name}] has another log-in already");
                flaws.add(header.span(), message);
            }
            headers.push((header.into_inner(), secret));
        }
        let key_header = section.string("idempotency_header", flaws);
        if let Some(header) = &key_header {
            header_name(header.get_ref(), header.span(), flaws);
        }
        let (reads, idempotent) =
            (patterns(section, "reads", flaws), patterns(section, "idempotent", flaws));
        let timeout_ms = timeout(section, TIMEOUT_MS_DEFAULT, flaws);
        let sizes = 1..=ANSWER_BYTES_MAX;
        let answer_bytes_max =
            bytes(section, "answer_bytes_max", sizes, ANSWER_BYTES_DEFAULT, flaws);
        let tls = tls(section, url.as_ref(), folder, flaws);
        let plain = url.map(|url| Endpoint {
            name: name.to_owned(),
            url,
            tls: Tls::default(),
            headers: Vec::new(),
            secrets: Vec::new(),
            reads,
            idempotent,
            idempotency_header: key_header
                .map_or_else(|| "Idempotency-Key".to_owned(), toml::Spanned::into_inner),
            timeout_ms,
            answer_bytes_max,
        });
        Self { plain, name: name.to_owned(), bearer, basic, headers, tls }
    }

    /// # Panics
    /// If it was read with flaws; then there is no configuration.
    pub(super) fn resolve(&self, secrets: &Secrets, flaws: &mut Flaws) -> Endpoint {
        let mut endpoint = self.plain.clone().expect("an endpoint without flaws has a URL");
        let place = format!("http.{}", self.name);
        let mut fetch = |name: &str| fetch(&place, name, secrets, flaws);
        if let Some(token) = self.bearer.as_deref().and_then(&mut fetch) {
            let value = Secret::new(format!("Bearer {}", token.expose()));
            endpoint.headers.push(("Authorization".to_owned(), value));
            endpoint.secrets.push(token);
        }
        if let Some((user, name)) = &self.basic
            && let Some(password) = fetch(name)
        {
            let both = Secret::new(STANDARD.encode(format!("{user}:{}", password.expose())));
            let value = Secret::new(format!("Basic {}", both.expose()));
            endpoint.headers.push(("Authorization".to_owned(), value));
            endpoint.secrets.extend([both, password]);
        }
        for (header, name) in &self.headers {
            if let Some(secret) = fetch(name) {
                endpoint.headers.push((header.clone(), secret.clone()));
                endpoint.secrets.push(secret);
            }
        }
        if let Some(files) = &self.tls {
            endpoint.tls = files.resolve(&format!("{place}.tls"), flaws);
        }
        endpoint
    }
}

/// The URL under `key`, which must be there.
pub(super) fn url(
    section: &mut Section<'_>,
    key: &str,
    schemes: [&str; 2],
    flaws: &mut Flaws,
) -> Option<Url> {
    let example = format!("`{key} = \"{}://10.0.0.7:9090\"`", schemes[0]);
    let written = section.required(key, &example, flaws)?;
    match Url::parse(written.get_ref(), schemes) {
        Ok(url) => Some(url),
        Err(why) => {
            let text = shown(written.get_ref());
            flaws.add(written.span(), format!("`{key}`: {text} {why}; write {example}"));
            None
        }
    }
}

/// `tls = { ca, cert, key }`, which a URL without TLS has no use for. A server is always
/// verified.
pub(super) fn tls(
    section: &mut Section<'_>,
    url: Option<&Url>,
    folder: &Path,
    flaws: &mut Flaws,
) -> Option<TlsFiles> {
    let files = TlsFiles::read(section.section("tls", flaws), folder, Trust::Verified, flaws);
    if files.is_some() && url.is_some_and(|url| !url.secure) {
        let message = format!("[{}] has `tls`, but its URL speaks none", section.name);
        flaws.add(section.span.clone(), message);
    }
    files
}

fn header_name(name: &str, span: std::ops::Range<usize>, flaws: &mut Flaws) {
    let fits = (1..=HEADER_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !fits {
        flaws.add(span, format!("{} is no header's name", shown(name)));
    }
}

fn patterns(section: &mut Section<'_>, key: &str, flaws: &mut Flaws) -> Vec<String> {
    let mut all = Vec::new();
    for pattern in section.list(key, flaws) {
        let text = pattern.get_ref();
        if !text.starts_with('/') || text.contains(['?', '%', '#', ' ']) {
            flaws.add(pattern.span(), format!(
                "{} in `{key}` is no pattern of paths; write `{key} = [\"/api/v1/query*\"]`, without query and without `%`",
                shown(text)
            ));
        }
        all.push(pattern.into_inner());
    }
    all
}
