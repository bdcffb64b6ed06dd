//! What an author of a definition reads when it cannot be used. The snapshots are for people to
//! review: each shows the file and the error as a terminal does, without colours.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use mcp_definition::{DefinitionError, MAX_FILE, load, parse};
use miette::{GraphicalReportHandler, GraphicalTheme};

const GOOD: &str = r#"name = "hello"
node = "rift"

[[components]]
name = "web"
image = "localhost/hello:1"
ports = ["127.0.0.1:8080:80"]
"#;

fn render(error: &DefinitionError) -> String {
    let mut shown = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(80)
        .render_report(&mut shown, error)
        .unwrap();
    shown
}

fn refuse(text: &str) -> DefinitionError {
    parse(text, "hello.toml").expect_err(text)
}

/// Each case is the good definition with one part exchanged.
const CASES: [(&str, &str, &str); 26] = [
    ("missing name", "name = \"hello\"\n", ""),
    ("missing node", "node = \"rift\"\n", ""),
    ("missing image", "image = \"localhost/hello:1\"\n", ""),
    ("missing component name", "name = \"web\"\n", ""),
    ("unknown key", "image =", "imge ="),
    ("unknown key like nothing", "ports =", "flavour ="),
    (
        "component key in the service",
        "node =",
        "image = \"a\"\nnode =",
    ),
    (
        "service key in a component",
        "ports =",
        "active = false\nports =",
    ),
    ("wrong type", "[\"127.0.0.1:8080:80\"]", "\"8080:80\""),
    (
        "wrong type in a list",
        "[\"127.0.0.1:8080:80\"]",
        "[\"80:80\", 8080]",
    ),
    (
        "active is not a string",
        "node =",
        "active = \"no\"\nnode =",
    ),
    ("bad service name", "\"hello\"", "\"Hello\""),
    ("name that is a flag", "\"hello\"", "\"-hello\""),
    ("bad image", "localhost/hello:1", "localhost/Hello:1"),
    ("image that is a flag", "localhost/hello:1", "--privileged"),
    ("bad port", "127.0.0.1:8080:80", "8080"),
    ("bad restart", "ports =", "restart = \"never\"\nports ="),
    (
        "bad volume",
        "ports =",
        "volumes = [\"data:/data\", \"../etc:/etc\"]\nports =",
    ),
    (
        "env value is a number",
        "ports =",
        "env = { A = 1 }\nports =",
    ),
    ("env twice", "ports =", "env = [\"A=1\", \"A=2\"]\nports ="),
    ("env name", "ports =", "env = { \"A-B\" = \"1\" }\nports ="),
    (
        "timeout is a number",
        "ports =",
        "stop_timeout = 10\nports =",
    ),
    (
        "timeout without a unit",
        "ports =",
        "stop_timeout = \"10\"\nports =",
    ),
    (
        "timeout too long",
        "ports =",
        "pull_timeout = \"2d\"\nports =",
    ),
    (
        "duplicate component",
        "ports =",
        "[[components]]\nname = \"web\"\nimage = \"b\"\nports =",
    ),
    ("not TOML", "node = \"rift\"", "node = rift"),
];

#[test]
fn every_refusal_points_at_its_place() {
    for (name, from, to) in CASES {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{name}");
        let error = refuse(&text);
        let plain = error.to_string();
        assert!(plain.starts_with("hello.toml:"), "{name}: {plain}");
        insta::with_settings!({ description => text, omit_expression => true }, {
            insta::assert_snapshot!(name.replace(' ', "_"), render(&error));
        });
    }
}

#[test]
fn a_service_without_components_is_refused() {
    for rest in ["", "components = []", "components = 3", "components = [3]"] {
        let error = refuse(&format!("name = \"a\"\nnode = \"n\"\n{rest}"));
        assert!(error.to_string().contains("`components`"), "{error}");
    }
}

#[test]
fn sizes_and_nuls_are_refused_where_they_stand() {
    let second = format!("{GOOD}[[components]]\nname = \"b\"\nimage = \"b\"\n");
    let components: Vec<String> = (0..257)
        .map(|n| format!("[[components]]\nname = \"c{n}\"\nimage = \"a\"\n"))
        .collect();
    for (text, told) in [
        (
            format!("{second}cmd = [{}]", vec!["'x'"; 1025].join(", ")),
            "hello.toml:8:1: too many arguments: 1025, at most 1024",
        ),
        (
            format!("{second}cmd = [\"a\\u0000\"]"),
            "hello.toml:8:1: \"a\\0\" is not a",
        ),
        (
            format!("name = \"a\"\nnode = \"n\"\n{}", components.concat()),
            "hello.toml:3:1: too many components: 257, at most 256",
        ),
    ] {
        let error = refuse(&text).to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_its_order() {
    let text =
        "name = \"Hello\"\nactve = true\n\n[[components]]\nname = \"web\"\nports = [\"x\"]\n";
    let error = refuse(text);
    let lines: Vec<usize> = error.problems().iter().map(|p| p.line).collect();
    assert_eq!(lines, [1, 1, 2, 4, 6]);
    insta::assert_snapshot!("several_problems", format!("{error}\n\n{}", render(&error)));
}

#[test]
fn a_likely_slip_is_met_with_the_key_that_was_meant() {
    for (written, meant) in [
        ("environment", "env"),
        ("port", "ports"),
        ("volume", "volumes"),
        ("Image", "image"),
        ("stop-timeout", "stop_timeout"),
        ("emv", "env"),
        ("restart_policy", "restart"),
    ] {
        let text = format!("{GOOD}{written} = 1");
        let error = refuse(&text).to_string();
        let wanted = format!(": unknown key `{written}`: did you mean `{meant}`?");
        assert!(error.ends_with(&wanted), "{error}");
    }
    for written in ["flavour", "x", "description", &"image".repeat(1000)] {
        let error = refuse(&format!("{GOOD}{written} = 1")).to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }
}

#[test]
fn line_and_column_count_characters() {
    let error = refuse("# größe\nname = \"ü\"; node");
    let problem = &error.problems()[0];
    assert_eq!((problem.line, problem.column), (2, 11), "{error}");
}

#[test]
fn a_file_full_of_problems_is_told_in_a_bounded_way() {
    let keys: Vec<String> = (0..5000).map(|n| format!("k{n} = 1")).collect();
    let error = refuse(&keys.join("\n"));
    assert_eq!(error.problems().len(), 20);
    assert!(error.to_string().ends_with("more problems)"), "{error}");
}

#[test]
fn control_characters_of_a_file_never_reach_the_terminal() {
    let text = GOOD.replace("hello:1", "hello:1\u{202e}\u{9b}") + "# \u{1b}[31m\r\n\"\\u001b\" = 1";
    for text in [text.replace('\u{1b}', ""), text] {
        let error = refuse(&text);
        for shown in [error.to_string(), render(&error)] {
            let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!shown.contains(hostile), "{shown:?}");
        }
    }
}

#[test]
fn deep_nesting_is_refused_without_deep_recursion() {
    for text in [
        "[".repeat(20_000),
        format!("a = {}", "[".repeat(20_000)),
        format!("a = {}", "{a=".repeat(20_000)),
        format!("{} = 1", vec!["a"; 20_000].join(".")),
        format!("[[{}]]", vec!["a"; 20_000].join(".")),
    ] {
        // Half of the usual stack: what recursed once per bracket would overflow it.
        let thread = std::thread::Builder::new().stack_size(1024 * 1024);
        let outcome = thread.spawn(move || parse(&text, "deep.toml").is_err());
        assert!(outcome.unwrap().join().unwrap());
    }
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big.toml");
    // Sparse, and not even text: whoever reads it finds that out first.
    std::fs::write(&path, [0xff]).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = load(&path).unwrap_err();
    assert!(
        matches!(error, DefinitionError::TooLarge { size, .. } if size == 1 << 40),
        "{error}"
    );
    file.set_len(0).unwrap();
    let padded = format!(
        "{GOOD}{}",
        "#".repeat(usize::try_from(MAX_FILE).unwrap() - GOOD.len())
    );
    std::fs::write(&path, padded).unwrap();
    assert!(load(&path).is_ok());
}

#[test]
fn what_does_not_end_is_read_up_to_the_limit_and_no_further() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let much = vec![b'#'; 3 * usize::try_from(MAX_FILE).unwrap()];
    // Ends with an error as soon as nobody reads on.
    let writing = std::thread::spawn(move || writer.write_all(&much).is_err());
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let error = load(Path::new(&path)).unwrap_err();
    assert!(
        matches!(error, DefinitionError::TooLarge { size, .. } if size == MAX_FILE + 1),
        "{error}"
    );
    drop(reader);
    assert!(writing.join().unwrap());
}

#[test]
fn a_line_too_long_to_be_seen_is_not_quoted() {
    use miette::Diagnostic as _;
    let short = parse("name = 1\n", "a.toml").unwrap_err();
    assert!(short.source_code().is_some());
    let long = parse(&"[".repeat(20_000), "a.toml").unwrap_err();
    assert!(long.source_code().is_none());
    assert!(long.to_string().starts_with("a.toml:1:"), "{long}");
    let elsewhere = format!("name = 1\n\n\n# {}\n", "x".repeat(20_000));
    let elsewhere = parse(&elsewhere, "a.toml").unwrap_err();
    assert!(elsewhere.source_code().is_some());
}
