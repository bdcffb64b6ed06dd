//! What the help says beside the options: tasks, examples, exit codes.

/// The commands by task, as the help lists them.
pub(crate) const TASKS: [(&str, &[&str]); 4] = [
    ("Say what should be", &["sync", "deploy"]),
    ("Start and stop", &["start", "stop", "restart", "wait"]),
    ("See what is", &["status", "why", "ps", "list"]),
    ("Set up", &["login", "node", "completion"]),
];

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  everything asked for was done, or shown, in full
  1  something failed, or a node did not answer
  2  the command line was wrong, or too little to go by; nothing was changed
  3  `mcp status --exit-code` found drift";

pub(crate) const SYNC_EXAMPLE: &str = "\
Every definition is read before anything is sent; one broken file refuses the whole sync.

Examples:
  mcp sync --dry-run      show field by field what would change
  mcp sync                record the definitions on all nodes
  mcp sync --prune        and remove what no definition names any more, after asking
  mcp sync --socket /run/mcp-agent/agent.sock   only what is defined for the node of this machine";

pub(crate) const DEPLOY_EXAMPLE: &str = "\
The spec comes from -f, else from the definition in the services directory, else from the last
successful deploy that the node remembers.

Examples:
  mcp deploy hello                       all components of the service
  mcp deploy hello/web -m 'new greeting' one component, with a reason
  mcp deploy hello --dry-run             print the commands that would run";

pub(crate) const START_EXAMPLE: &str = "\
Example:
  mcp start hello";

pub(crate) const STOP_EXAMPLE: &str = "\
The definition's comments and layout stay as they are.

Example:
  mcp stop hello -m 'moving the database'";

pub(crate) const RESTART_EXAMPLE: &str = "\
The definition is not changed.

Example:
  mcp restart hello";

pub(crate) const WAIT_EXAMPLE: &str = "\
Ends with 0 when everything that it waited for succeeded.

Examples:
  mcp wait hello
  mcp wait k5zq3mh7w2xndvbtj4ra --node rift";

pub(crate) const LIST_EXAMPLE: &str = "\
Example:
  mcp list --output json | jq -r '.nodes[].services[].name'";

pub(crate) const PS_EXAMPLE: &str = "\
Example:
  mcp ps --node rift";

pub(crate) const STATUS_EXAMPLE: &str = "\
Answers come from what the agents last saw; --live makes them look first. With --watch the table is
drawn again whenever something changes; where there is no terminal, each change is a line, and with
--output json an object on a line of its own. A node that goes away is connected to again.

Examples:
  mcp status
  mcp status hello --live
  mcp status --watch
  mcp status --watch --output json | jq -c .type
  mcp status --exit-code   for scripts: 3 means drift, 1 that something is unknown";

pub(crate) const WHY_EXAMPLE: &str = "\
What is wanted, what was seen, what follows from the two, and who may carry it out: an operation,
auto-reconcile, or nobody. Nothing is changed.

Examples:
  mcp why hello/web
  mcp why hello --output json | jq -r .permission_reason";

pub(crate) const LOGIN_EXAMPLE: &str = "\
The service is [mcias] server_url of the configuration. The token goes to [auth] token_path, with
--node to that node's; it is read by its owner only. A node's own token wins over it, and MCP_TOKEN
wins over both. A password or a token is never an argument: others could see it.

Examples:
  mcp login                                         asks for the account and its password
  mcp login --username ann --password-file ann.pw   for scripts; the file's mode must be 0600
  pass show mcias | mcp login --username ann --password-file -
  pass show mcp-token | mcp login --token-stdin";

pub(crate) const NODE_EXAMPLE: &str = "\
Example:
  ssh rift mcp-agent token issue --subject ann --bundle - | mcp node add --bundle -";

pub(crate) const COMPLETION_EXAMPLE: &str = "\
Examples:
  mcp completion bash > ~/.local/share/bash-completion/completions/mcp
  mcp completion zsh > ~/.zfunc/_mcp
  mcp completion fish > ~/.config/fish/completions/mcp.fish";

/// The commands by task, with what each is about.
pub(crate) fn tasks(command: &clap::Command) -> String {
    let mut lines = Vec::new();
    for (task, names) in TASKS {
        lines.push(format!("{task}:"));
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            lines.push(format!("  {name:<12}{about}"));
        }
        lines.push(String::new());
    }
    lines.join("\n") + "\n"
}
