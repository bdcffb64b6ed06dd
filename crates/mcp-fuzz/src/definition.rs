//! Definition files: what is accepted is valid and comes back the same, what is refused is told
//! with a place that is in the file, and neither shows a control character.

use std::path::Path;

use mcp_definition::{Definition, DefinitionError, parse, render, set_active};
use mcp_proto::convert::spec::{service_from_wire, service_to_wire};

use crate::grammar;

const NAME: &str = "fuzz.toml";

/// What a person may be shown of one file, in bytes: twenty problems with three short lines each.
const MOST_SHOWN: usize = 64 * 1024;

/// Any bytes as a definition file.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse(text, NAME) {
        Ok(definition) => check_accepted(text, &definition),
        Err(error) => check_refused(text, &error),
    }
}

fn check_accepted(text: &str, definition: &Definition) {
    assert_eq!(definition.path, Path::new(NAME));
    grammar::assert_name(definition.node.as_str());
    grammar::assert_service(&definition.service);

    let again = parse(&render(definition), NAME).expect("what is written can be read");
    assert_eq!(&again, definition, "written and read again");
    let wire = service_to_wire(&definition.service);
    let sent = service_from_wire(wire).expect("what is valid here is valid to an agent");
    assert_eq!(sent, definition.service, "sent and received");
    check_edit(text, definition);
}

/// `active` is changed, and nothing else.
fn check_edit(text: &str, definition: &Definition) {
    let active = !definition.service.active;
    let edited = set_active(text, NAME, active).expect("a valid definition can be edited");
    let mut expected = definition.clone();
    expected.service.active = active;
    let read = parse(&edited, NAME).expect("an edited definition is valid");
    assert_eq!(read, expected, "edited and read again");
}

fn check_refused(text: &str, error: &DefinitionError) {
    let problems = error.problems();
    assert!(!problems.is_empty(), "a refusal says why");
    for problem in problems {
        assert!(
            text.get(problem.span.clone()).is_some(),
            "{:?} is no place of the file",
            problem.span
        );
        assert!(problem.line >= 1 && problem.line <= text.split('\n').count());
        grammar::assert_plain(&problem.to_string());
    }
    grammar::assert_lines_plain(&error.to_string());
    let shown = mcp_cli::shown::definition_error(error);
    grammar::assert_lines_plain(&shown);
    assert!(shown.len() <= MOST_SHOWN, "{} bytes are shown", shown.len());
}
