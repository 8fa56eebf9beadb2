//! Paths that mean the same to everybody, and patterns of them.

/// Takes a request target apart: the path, and whether it is sound.
///
/// What one server reads as another path than the next one (dots, empty segments,
/// encoded slashes, percent signs that are decoded twice) is refused, so that what was
/// granted is what is reached.
///
/// # Errors
/// In words that continue "the path …".
pub(super) fn sound(target: &str) -> Result<&str, String> {
    let (path, query) = target.split_once('?').map_or((target, ""), |(path, query)| (path, query));
    let Some(inner) = path.strip_prefix('/') else {
        return Err("must begin with `/`".to_owned());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%".contains(c);
    if !path.chars().all(plain) {
        return Err("has a character that must be percent-encoded".to_owned());
    }
    let in_query = |c: char| plain(c) || "?[]|".contains(c);
    if !query.chars().all(in_query) {
        return Err("has a query with a character that must be percent-encoded".to_owned());
    }
    escapes(query)?;
    let segments: Vec<&str> = inner.split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        if segment.is_empty() && at + 1 < segments.len() {
            return Err("has an empty segment (`//`)".to_owned());
        }
        let escaped = escapes(segment)?;
        if escaped.iter().any(|byte| b"/\\%.".contains(byte) || byte.is_ascii_control()) {
            return Err("has an encoded slash, dot, percent sign or control character".to_owned());
        }
        // Tomcat drops what follows a `;`.
        let name = segment.split(';').next().unwrap_or_default();
        if [".", ".."].contains(&name) {
            return Err("has a segment `.` or `..`".to_owned());
        }
    }
    Ok(path)
}

/// The bytes that stand percent-encoded in `text`.
fn escapes(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split('%');
    parts.next();
    let byte = |part: &str| part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    parts.map(|part| byte(part).ok_or_else(|| "has a `%` without two digits".to_owned())).collect()
}

/// Whether `pattern` covers `path`: `*` stands for anything within one segment, `**` as
/// the last segment for anything below.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    let mut segments = path.split('/');
    loop {
        match (patterns.next(), segments.next()) {
            (Some("**"), Some(_)) | (None, None) => return true,
            (Some(pattern), Some(segment)) if within(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// `*` against one segment. The first part must lead, the last must end, those between
/// are taken where they first come.
fn within(pattern: &str, segment: &str) -> bool {
    let Some((lead, rest)) = pattern.split_once('*') else { return pattern == segment };
    let Some(mut left) = segment.strip_prefix(lead) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn g7_what_could_be_read_as_another_path_is_refused() {
        for bad in [
            "",
            "x",
            "*",
            "http://other/x",
            "//other/x",
            "/a//b",
            "/a/../b",
            "/..",
            "/a/.",
            "/a/./b",
            "/%2e%2e/b",
            "/a/%2E./b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00b",
            "/a%0d%0ab",
            "/a\r\nHost: x",
            "/a b",
            "/a%252e",
            "/a%",
            "/a%zz",
            "/a%2",
            "/ä",
            "/a#b",
            "/a?x#y",
            "/a?x y",
            "/a?x\r\ny",
            "/a?%",
            "/a/..;/b",
            "/a?ü",
            "/a%+1",
        ] {
            assert!(sound(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_honest_path_passes() {
        for (target, path) in [
            ("/", "/"),
            ("/api/v1/query?query=up%7Bjob%3D%22x%22%7D&time=1.5", "/api/v1/query"),
            ("/a/", "/a/"),
            ("/a.b/c..d/%20", "/a.b/c..d/%20"),
            ("/a?x=/../b", "/a"),
        ] {
            assert_eq!(sound(target), Ok(path), "{target}");
        }
    }

    #[test]
    fn patterns_stay_within_their_segments() {
        let cases = [
            ("/api/v1/query*", "/api/v1/query", true),
            ("/api/v1/query*", "/api/v1/query_range", true),
            ("/api/v1/query*", "/api/v1/query/x", false),
            ("/api/v1/query*", "/api/v1/quer", false),
            ("/api/*/x", "/api/a/x", true),
            ("/api/*/x", "/api/a/b/x", false),
            ("/api/**", "/api/a/b/x", true),
            ("/api/**", "/api/", true),
            ("/api/**", "/api", false),
            ("/**", "/", true),
            ("/a*b*c", "/aXbYbc", true),
            ("/a*b*c", "/ac", false),
            ("/aa*aa", "/aaa", false),
            ("/", "/", true),
            ("/a", "/a/", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(target in "\\PC{0,40}", pattern in "[/*a%.]{0,12}") {
            if let Ok(path) = sound(&target) {
                prop_assert!(!path.contains("..") || path.split('/').all(|part| part != ".."));
                covers(&pattern, path);
            }
            covers(&pattern, &target);
        }
    }
}
