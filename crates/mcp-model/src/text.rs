//! Text that came from elsewhere, made safe to show.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bidirectional controls and other invisible formatting that can make a line read differently
/// from what it says: what Unicode calls format characters (Cf) and separators (Zl, Zp), and the
/// fillers that are letters by name and blank to the eye.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character could move a cursor, end a line or reorder what is read: control
/// characters (ESC, CR, newline, tab), C1 controls and bidirectional or invisible marks.
pub fn is_hostile(c: char) -> bool {
    c.is_control() || is_deceptive(c)
}

/// Escapes everything that [`is_hostile`]. Plain text is borrowed unchanged.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hostile(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Appends a character as JSON writes it in a string where it must not stand as it is: `\u` and
/// four hex digits, twice for what is beyond the first plane.
pub fn push_json_escape(c: char, into: &mut String) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        // Writing to a string cannot fail.
        let _ = write!(into, "\\u{unit:04x}");
    }
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

    /// Every character that can reorder or hide what is read: a line of each kind, told by hand.
    #[test]
    fn what_deceives_the_eye_is_escaped() {
        for deceptive in [
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206a}',
            '\u{3164}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e0041}',
        ] {
            assert_eq!(
                escape(&format!("a{deceptive}b")),
                format!("a{}b", deceptive.escape_default()),
            );
        }
        for plain in ["größe ✓", "日本語", "🦀", "नमस्ते", "\u{fffd}"] {
            assert_eq!(escape(plain), plain);
        }
    }

    proptest! {
        #[test]
        fn no_control_character_leaves(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(!safe.contains(is_hostile));
        }
    }
}
