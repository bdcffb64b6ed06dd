//! Text that came from elsewhere, made safe to show.

use std::borrow::Cow;

/// Bidirectional controls and other invisible formatting that can make a line read differently
/// from what it says.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

/// Escapes everything that could move a cursor, end a line or reorder what is read: control
/// characters (ESC, CR, newline, tab), C1 controls and bidirectional marks. Plain text is
/// borrowed unchanged.
pub fn escape(text: &str) -> Cow<'_, str> {
    let hostile = |c: char| c.is_control() || is_deceptive(c);
    if !text.contains(hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hostile(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// The first `limit` characters, with an ellipsis where something was cut.
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(escape("größe ✓"), Cow::Borrowed(_)));
        assert_eq!(escape("a\u{1b}[31m\r\nb"), "a\\u{1b}[31m\\r\\nb");
    }

    proptest! {
        #[test]
        fn no_control_character_leaves(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(!safe.contains(|c: char| c.is_control() || is_deceptive(c)));
        }
    }
}
