//! Redis's glob patterns (`stringmatchlen` of util.c: `*`, `?`, `[a-z]`, `[^x]`,
//! `\x`), for keys against a grant, and for a pattern against a grant.

/// A step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// Any one byte.
    Any,
    /// Any bytes, or none.
    Many,
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

/// Whether `pattern` matches `key`.
pub(super) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    covers(&parse(pattern), &key.iter().map(|byte| Token::Byte(*byte)).collect::<Vec<_>>())
}

/// Whether all that `narrow` matches, `wide` matches too. May say no where yes
/// would be right, never the other way round.
pub(super) fn includes(wide: &[u8], narrow: &[u8]) -> bool {
    covers(&parse(wide), &parse(narrow))
}

fn parse(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match first {
            b'*' => Token::Many,
            b'?' => Token::Any,
            b'[' => {
                let (class, tail) = class(tail);
                rest = tail;
                class
            }
            b'\\' => match tail.split_first() {
                Some((escaped, tail)) => {
                    rest = tail;
                    Token::Byte(*escaped)
                }
                None => Token::Byte(b'\\'),
            },
            byte => Token::Byte(*byte),
        });
    }
    tokens
}

/// What follows a `[`. A class that is never closed ends with the pattern.
fn class(text: &[u8]) -> (Token, &[u8]) {
    let (negated, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => break,
            [b']', tail @ ..] => {
                rest = tail;
                break;
            }
            [b'\\', byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                tail
            }
            [from, b'-', to, tail @ ..] => {
                ranges.push((*from.min(to), *from.max(to)));
                tail
            }
            [byte, tail @ ..] => {
                ranges.push((*byte, *byte));
                tail
            }
        };
    }
    (Token::Class { negated, ranges }, rest)
}

/// Greedy match with one point to come back to: no pattern takes more than
/// `pattern` times `subject` steps.
fn covers(pattern: &[Token], subject: &[Token]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&Token::Many) {
            retry = Some((p, s));
            p += 1;
            continue;
        }
        match (pattern.get(p), subject.get(s)) {
            (None, None) => return true,
            (Some(token), Some(other)) if admits(token, other) => {
                p += 1;
                s += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((star, from)) if from < subject.len() => {
                retry = Some((star, from + 1));
                p = star + 1;
                s = from + 1;
            }
            _ => return false,
        }
    }
}

/// Whether one token stands for all that another one does.
fn admits(token: &Token, other: &Token) -> bool {
    match (token, other) {
        (Token::Byte(a), Token::Byte(b)) => a == b,
        (Token::Any, Token::Byte(_) | Token::Any | Token::Class { .. }) => true,
        (Token::Class { negated, ranges }, Token::Byte(byte)) => {
            ranges.iter().any(|(from, to)| (from..=to).contains(&byte)) != *negated
        }
        (Token::Class { .. }, Token::Class { .. }) => token == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_redis_does() {
        let yes = [
            ("*", ""),
            ("*", "any:thing"),
            ("book:*:meta", "book:DE0001:meta"),
            ("book:?", "book:1"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hbllo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("[\\]]", "]"),
            ("a[b", "ab"),
            ("*a*b*c", "xxaxxbxxabc"),
        ];
        let no = [
            ("", "a"),
            ("book:*", "order:1"),
            ("book:?", "book:"),
            ("h[^e]llo", "hello"),
            ("a\\*b", "axb"),
            ("*a*b*c", "xxaxxbxxab"),
            ("GET", "get"),
        ];
        for (pattern, key) in yes {
            assert!(matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
        for (pattern, key) in no {
            assert!(!matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
    }

    #[test]
    fn a_pattern_is_included_only_if_all_of_it_is() {
        assert!(includes(b"*", b"book:*"));
        assert!(includes(b"book:*", b"book:*:meta"));
        assert!(includes(b"book:*:meta", b"book:*:meta"));
        assert!(includes(b"a?", b"a[xy]"));
        assert!(!includes(b"book:*:meta", b"book:*"));
        assert!(!includes(b"book:?", b"book:*"));
        assert!(!includes(b"*a*", b"[abc]"));
        assert!(!includes(b"*b]", b"[ab]"));
        assert!(!includes(b"book:*", b"*"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }

    proptest::proptest! {
        /// Soundness of `includes`: what the narrow one matches, the wide one does.
        #[test]
        fn inclusion_is_sound(
            wide in r"[ab*?\[\]^\\-]{0,6}",
            narrow in r"[ab*?\[\]^\\-]{0,6}",
            key in "[ab^*]{0,4}",
        ) {
            let (wide, narrow, key) = (wide.as_bytes(), narrow.as_bytes(), key.as_bytes());
            if includes(wide, narrow) && matches(narrow, key) {
                proptest::prop_assert!(matches(wide, key));
            }
        }
    }
}
