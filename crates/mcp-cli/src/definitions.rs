//! Definition files of the operator, and how their mistakes are shown.

use std::path::{Path, PathBuf};

use mcp_definition::{Definition, DefinitionError, DefinitionErrors};
use mcp_model::{ServiceName, text};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// The definition of `service`: from `file` where one is named, else from the services directory.
/// `None` where no file is about it.
///
/// # Errors
///
/// A file that cannot be read or used, and a named file that is about another service.
pub(crate) fn resolve(
    dir: &Path,
    file: Option<&PathBuf>,
    service: &ServiceName,
) -> anyhow::Result<Option<Definition>> {
    let Some(path) = file else {
        if !dir.is_dir() {
            return Ok(None);
        }
        return Ok(mcp_definition::find(dir, service)?);
    };
    let definition = mcp_definition::load(path)?;
    if definition.service.name != *service {
        return Err(crate::problem::Problem::usage(format!(
            "{} defines {}, not {service}",
            path.display(),
            definition.service.name
        ))
        .help("name the service that the file is about")
        .into());
    }
    Ok(Some(definition))
}

/// The error with the offending lines and carets, where it is about definitions.
pub(crate) fn rendered(error: &anyhow::Error) -> Option<String> {
    if let Some(errors) = error.downcast_ref::<DefinitionErrors>() {
        let all: Vec<String> = errors.iter().map(|error| render(error)).collect();
        return Some(all.join("\n"));
    }
    let error = error.downcast_ref::<DefinitionError>()?;
    Some(render(error))
}

/// Without colours: the quoted lines come from a file, and must be escaped as a whole.
pub(crate) fn render(error: &dyn Diagnostic) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_links(false)
        // Wrapped, a path breaks at its hyphens and can no longer be copied.
        .with_wrap_lines(false);
    let mut report = String::new();
    if handler.render_report(&mut report, error).is_err() {
        report = error.to_string();
    }
    let lines: Vec<_> = report.trim_end().split('\n').map(text::escape).collect();
    format!("error: {}", lines.join("\n").trim_start())
}
