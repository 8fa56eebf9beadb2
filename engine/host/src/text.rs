//! Text that came from a guest or a server, made fit for a log, a terminal and
//! the journal: bounded, and without control characters.

/// `text` with control characters escaped and cut to `bytes_max`, cut said.
pub(crate) fn tame(text: &str, bytes_max: usize) -> String {
    let mut tamed = String::with_capacity(text.len().min(bytes_max));
    for (at, character) in text.char_indices() {
        let before = tamed.len();
        if is_wild(character) {
            tamed.extend(character.escape_default());
        } else {
            tamed.push(character);
        }
        if tamed.len() > bytes_max {
            tamed.truncate(before);
            tamed.push_str(&format!("… ({} bytes more)", text.len() - at));
            return tamed;
        }
    }
    tamed
}

/// The same for bytes that may be no UTF-8.
pub(crate) fn tame_bytes(bytes: &[u8], bytes_max: usize) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => tame(text, bytes_max),
        Err(_) => tame(&bytes.escape_ascii().to_string(), bytes_max),
    }
}

/// Control characters, and the marks that turn the direction of text around.
fn is_wild(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(tame("ok\n\x1b[31mERROR\u{202e}", 99), "ok\\n\\u{1b}[31mERROR\\u{202e}");
        assert_eq!(tame_bytes(b"\xff\r", 99), "\\xff\\r");
    }

    #[test]
    fn what_is_over_is_cut_and_said() {
        assert_eq!(tame("abcdef", 6), "abcdef");
        assert_eq!(tame("abcdefgh", 6), "abcdef… (2 bytes more)");
        assert_eq!(tame("äöü", 4), "äö… (2 bytes more)");
    }
}
