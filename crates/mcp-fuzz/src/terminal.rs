//! What people are shown: whatever an agent answers, no control character reaches the terminal
//! except line ends and MCP's own colours.

use mcp_cli::shown;
use mcp_model::text;
use prost::Message;

use crate::grammar;

/// Any bytes as an agent's answer, or as its words: the first one says which.
pub(crate) fn check(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else {
        return;
    };
    match kind % 6 {
        0 => check_answer(message, shown::status),
        1 => check_answer(message, shown::ps),
        2 => check_answer(message, shown::list),
        3 => check_answer(message, shown::deployed),
        _ => check_words(&String::from_utf8_lossy(message)),
    }
}

fn check_answer<M: Message + Default>(message: &[u8], show: fn(M) -> shown::Shown) {
    let Ok(answer) = M::decode(message) else {
        return;
    };
    let shown = show(answer);
    assert_clean(&shown.text);
    let json: Result<serde_json::Value, _> = serde_json::from_str(&shown.json);
    assert!(json.is_ok(), "{:?} is not JSON", shown.json);
    grammar::assert_lines_plain(&shown.json);
}

fn check_words(words: &str) {
    assert_clean(&shown::refusal(words));
    grammar::assert_plain(&text::escape(words));
    let short = text::shorten(words, 20);
    assert!(short.chars().count() <= 21, "shortened to more");
}

/// Plain lines once MCP's own styles are taken away; of those only the ones that it uses.
fn assert_clean(shown: &str) {
    const STYLES: [&str; 10] = [
        "0", "1", "2", "31", "32", "33", "38;5;1", "38;5;2", "38;5;3", "39",
    ];
    let mut parts = shown.split('\u{1b}');
    grammar::assert_lines_plain(parts.next().unwrap_or_default());
    for part in parts {
        let sequence = part.strip_prefix('[').and_then(|part| part.split_once('m'));
        let Some((style, rest)) = sequence else {
            panic!("ESC {:?} is no style", part.escape_debug().to_string());
        };
        assert!(STYLES.contains(&style), "{style:?} is no style of MCP's");
        grammar::assert_lines_plain(rest);
    }
}
