//! TOML and environment to [`CliConfig`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::address::ServerName;
use super::{Auth, CliConfig, DEFAULT_SERVICE_NAME, Mcias, Node, Services};
use crate::reader::{At, Reader};
use crate::section::Section;
use crate::values::{Text, Url, check_text};
use crate::{ConfigError, reader};

pub(super) fn parse(
    text: &str,
    file: &Path,
    env: BTreeMap<String, String>,
) -> Result<CliConfig, ConfigError> {
    reader::read(text, file, "MCP_", env, |reader| Some(cli(reader, file)))
}

/// What paths are relative to.
struct Places<'a> {
    directory: &'a Path,
    home: Option<&'a str>,
}

impl Places<'_> {
    fn resolve(&self, text: &str, at: &At) -> Result<PathBuf, String> {
        check_text(text)?;
        if let Some(rest) = text.strip_prefix("~/") {
            let home = self.home.ok_or("HOME is not set, so ~/ means nothing")?;
            return Ok(Path::new(home).join(rest));
        }
        if text.starts_with('~') {
            return Err(format!("{text:?} names another user's home: write it out"));
        }
        Ok(match at {
            At::File(_) => self.directory.join(text),
            At::Variable(_) => text.into(),
        })
    }

    fn path(&self, section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
        section.parse_with(key, |text, at| self.resolve(text, at))
    }

    /// `""` says nothing, as the documented `ca_cert = ""` does.
    fn optional_path(&self, section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
        section.parse_with(key, |text, at| {
            (!text.is_empty())
                .then(|| self.resolve(text, at))
                .transpose()
        })?
    }
}

pub(super) fn cli(reader: &Reader<'_>, file: &Path) -> CliConfig {
    let places = Places {
        directory: file.parent().unwrap_or(Path::new("")),
        home: reader.variable("HOME"),
    };
    let services = reader.section("services", |section| Services {
        dir: places
            .path(section, "dir")
            .unwrap_or_else(|| places.directory.join("services")),
    });
    let mcias = reader.section("mcias", |section| Mcias {
        server_url: section.parse_unless_empty("server_url").map(|Url(url)| url),
        ca_cert: places.optional_path(section, "ca_cert"),
        service_name: section
            .parse("service_name")
            .map_or_else(|| DEFAULT_SERVICE_NAME.to_owned(), |Text(name)| name),
        tags: section
            .list("tags")
            .unwrap_or_default()
            .into_iter()
            .map(|Text(tag)| tag)
            .collect(),
    });
    let auth = reader.section("auth", |section| Auth {
        token_path: places
            .path(section, "token_path")
            .unwrap_or_else(|| places.directory.join("token")),
        username: section
            .parse_unless_empty("username")
            .map(|Text(name)| name),
        password_file: places.optional_path(section, "password_file"),
    });
    CliConfig {
        path: file.to_owned(),
        services,
        mcias,
        auth,
        nodes: nodes(reader, &places),
    }
}

fn nodes(reader: &Reader<'_>, places: &Places<'_>) -> Vec<Node> {
    let mut names = BTreeSet::new();
    let mut nodes = Vec::new();
    for (at, node) in reader.sections("nodes", |section| node(section, places)) {
        let Some(node) = node else { continue };
        if !names.insert(node.name.clone()) {
            reader.note(
                at,
                format_args!("[[nodes]] name: {} stands twice", node.name),
            );
        }
        nodes.push(node);
    }
    nodes
}

fn node(section: &Section<'_>, places: &Places<'_>) -> Option<Node> {
    let name = section.required("name", "rift");
    let address = section.required("address", "192.0.2.1:9444");
    let token_path = places.optional_path(section, "token_path");
    let ca_cert = places.optional_path(section, "ca_cert");
    let server_name = section
        .parse_unless_empty("server_name")
        .map(|ServerName(name)| name);
    Some(Node {
        name: name?.0,
        address: address?.0,
        token_path,
        ca_cert,
        server_name,
    })
}
