//! Where `mcp login` reads secrets: files of one's own, and standard input.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Result;
use mcp_identity::Token;
use mcp_identity::token::MAX_TOKEN;
use zeroize::Zeroizing;

use crate::output::Output;
use crate::problem::Problem;

/// Longest password, in bytes.
const MAX_PASSWORD: usize = 1024;

/// The token on standard input; asked for where that is a terminal.
pub(super) fn read_token() -> Result<Token> {
    let text = if Output::can_ask() {
        Output::ask_secret("Token:")?
    } else {
        read(io::stdin().lock(), MAX_TOKEN + 64).map_err(|error| {
            Problem::new("cannot read the token from standard input").because(error)
        })?
    };
    let token = text.parse();
    Ok(token.map_err(|error: mcp_identity::TokenError| {
        Problem::usage("standard input does not hold one token").because(error)
    })?)
}

/// The password in a file that only its owner can read, or on standard input. The line break after
/// it is not part of it; blanks are.
pub(super) fn read_password(path: &Path) -> Result<Zeroizing<String>> {
    let failed = |error: io::Error| {
        Problem::new(format!("cannot read the password from {}", path.display())).because(error)
    };
    let text = if path == Path::new("-") {
        read(io::stdin().lock(), MAX_PASSWORD + 2).map_err(failed)?
    } else {
        let file = File::open(path).map_err(failed)?;
        // Of the open file, not of the path: what is checked is what is read.
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(Problem::new(format!(
                "the password file {path} is open to other users (mode {mode:04o})"
            ))
            .help(format!(
                "run chmod 600 {path}, and change the password if somebody may have read it"
            ))
            .into());
        }
        read(file, MAX_PASSWORD + 2).map_err(failed)?
    };
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    let wrong = match password {
        "" => "is empty",
        long if long.len() > MAX_PASSWORD => "is too long",
        lines if lines.contains(['\n', '\r', '\0']) => "has more than one line",
        fine => return Ok(Zeroizing::new(fine.to_owned())),
    };
    Err(Problem::usage(format!("the password in {} {wrong}", path.display())).into())
}

/// Makes the folder of a file that only its owner may read.
pub(super) fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    Ok(made.map_err(|error| {
        Problem::new(format!("cannot make {}", folder.display())).because(error)
    })?)
}

/// As much as `most` bytes; what is longer is cut, and is too long for whoever asked.
fn read(source: impl Read, most: usize) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(most));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    source.take(limit).read_to_string(&mut text)?;
    Ok(text)
}
