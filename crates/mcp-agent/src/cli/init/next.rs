//! What to do with a node that was just made.

use std::path::{Path, PathBuf};

use mcp_model::{NodeName, Stamp};
use mcp_runtime::{Command, shell_line};

use crate::cli::out;

/// Says what was made and what to run next, here and on the workstation.
pub(super) fn tell(
    node: &NodeName,
    made: &[PathBuf],
    config: &Path,
    bundle: Option<&Path>,
    expires: Stamp,
) {
    out::say(&format!("Node {node} is ready. Made:"));
    for path in made.iter().map(PathBuf::as_path).chain([config]) {
        out::say(&format!("  {}", path.display()));
    }
    let server = line("mcp-agent", &["server", "--config"], config);
    out::say(&format!("\nNext, on this node:\n  {server}"));
    out::say("\nThen, on the workstation:");
    if let Some(path) = bundle {
        let cat = line("cat", &[], path);
        out::say(&format!("  ssh {node} {cat} | mcp node add --bundle -"));
        out::say(&format!(
            "\n{} holds an admin token, valid until {expires} UTC: delete it once it was taken.",
            path.display()
        ));
    } else {
        out::say("  mcp node add --bundle -     (and give it what was printed above)");
        out::say(&format!(
            "\nThe bundle holds an admin token, valid until {expires} UTC."
        ));
    }
}

/// A command line that ends with a path, quoted for a shell.
fn line(program: &str, args: &[&str], path: &Path) -> String {
    let args = args
        .iter()
        .map(|&arg| arg.to_owned())
        .chain([path.display().to_string()]);
    let env = std::collections::BTreeMap::new();
    shell_line(&Command {
        program: program.to_owned(),
        args: args.collect(),
        env,
    })
}
