//! `mcp login`: trades a password for a token and keeps it. The password and the token pass through
//! this process's memory and nothing else: no argument, no log, no error text.

use std::path::Path;

use anyhow::Result;
use mcp_identity::{CaSource, LoginError, Mcias, Token, write_token_file};
use zeroize::Zeroizing;

use super::login_files::{read_password, read_token};
use crate::args::Login;
use crate::context::Context;
use crate::output::Output;
use crate::problem::{Exit, Problem};

/// What is known before anybody is called.
pub(crate) enum Prepared {
    /// A token that came by another way.
    Token(Token),
    /// An account at the service.
    Account {
        service: Mcias,
        username: String,
        password: Zeroizing<String>,
    },
}

/// Finds out who is to log in, asking where it is not said.
pub(crate) fn prepare(context: &Context, args: Login) -> Result<Prepared> {
    if args.token_stdin {
        return Ok(Prepared::Token(read_token()?));
    }
    let service = service(context)?;
    let auth = &context.config.auth;
    let username = match args.username.clone().or_else(|| auth.username.clone()) {
        Some(name) => name,
        None => ask_username(context.out)?,
    };
    // The configured file is the configured account's, and nobody else's.
    let configured = auth.password_file.clone();
    let configured = configured.filter(|_| auth.username.as_ref() == Some(&username));
    let password = match args.password_file.or(configured) {
        Some(path) => read_password(&path)?,
        None => ask_password(&username)?,
    };
    Ok(Prepared::Account {
        service,
        username,
        password,
    })
}

/// Gets the token and keeps it.
pub(crate) async fn run(context: &Context, prepared: Prepared) -> Result<Exit> {
    let path = place(context)?;
    match prepared {
        Prepared::Token(token) => {
            store(path, &token)?;
            context
                .out
                .note(&format!("the token is in {}", path.display()));
        }
        Prepared::Account {
            service,
            username,
            password,
        } => {
            let login = mcp_identity::Login {
                username: &username,
                password: &password,
                service_name: &context.config.mcias.service_name,
                tags: &context.config.mcias.tags,
            };
            let issued = service.login(&login).await;
            let issued = issued.map_err(|error| explain(&username, error))?;
            store(path, &issued.token)?;
            context.out.note(&format!(
                "logged in as {username}; the token is in {} and expires at {} UTC",
                path.display(),
                issued.expires
            ));
        }
    }
    warn_of_others(context, path);
    Ok(Exit::Fine)
}

fn service(context: &Context) -> Result<Mcias> {
    let config = &context.config;
    let Some(url) = &config.mcias.server_url else {
        return Err(Problem::usage("there is no identity service to log in to")
            .help(format!(
                "set [mcias] server_url in {}; nodes that issue tokens themselves need no login",
                config.path.display()
            ))
            .into());
    };
    let ca = config.mcias.ca_cert.clone().map(CaSource::File);
    let service = Mcias::new(url, ca.as_ref(), context.read_timeout());
    Ok(service
        .map_err(|error| Problem::new("cannot prepare for the identity service").because(error))?)
}

/// The file of the token: the one for all nodes, or with `--node` what that node is spoken to with.
fn place(context: &Context) -> Result<&Path> {
    let config = &context.config;
    Ok(match &context.wanted {
        None => &config.auth.token_path,
        Some(name) => config.token_path(crate::select::configured(name, &config.nodes)?),
    })
}

fn store(path: &Path, token: &Token) -> Result<()> {
    super::login_files::make_folder(path)?;
    Ok(write_token_file(path, token)?)
}

fn ask_username(out: Output) -> Result<String> {
    if !Output::can_ask() {
        return Err(Problem::usage("there is no account to log in with")
            .help("without a terminal, say --username and --password-file")
            .into());
    }
    let name = out.ask("Username:")?;
    if name.is_empty() {
        return Err(Problem::usage("there is no account to log in with").into());
    }
    Ok(name)
}

fn ask_password(username: &str) -> Result<Zeroizing<String>> {
    if !Output::can_ask() {
        return Err(
            Problem::usage(format!("there is no password for {username}"))
                .help("without a terminal, say --password-file FILE, or - for standard input")
                .into(),
        );
    }
    let password = Output::ask_secret(&format!("Password of {username}:"))?;
    if password.is_empty() {
        return Err(Problem::usage(format!("there is no password for {username}")).into());
    }
    Ok(password)
}

fn explain(username: &str, error: LoginError) -> Problem {
    let help = match &error {
        LoginError::BadCredentials { .. } => "check both; nothing was stored",
        LoginError::Policy { .. } => {
            "the password is right: ask whoever keeps the service's policy, or set [mcias] \
             service_name and tags as it wants them"
        }
        LoginError::Service(_) => "check [mcias] server_url and ca_cert, or try again later",
    };
    Problem::new(format!("cannot log in as {username}"))
        .because(error)
        .help(help)
}

/// A token that is never used would be looked for in vain.
fn warn_of_others(context: &Context, path: &Path) {
    if crate::dial::environment_wins() {
        context
            .out
            .warn("MCP_TOKEN is set and wins over the stored token");
    }
    let own: Vec<String> = context
        .config
        .nodes
        .iter()
        .filter(|node| context.config.token_path(node) != path)
        .map(|node| node.name.to_string())
        .collect();
    if !own.is_empty() && context.wanted.is_none() {
        let nodes = own.join(", ");
        context.out.note(&format!(
            "these nodes have a token of their own, which is used for them: {nodes}"
        ));
    }
}
