//! Reading definition files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use mcp_model::{ComponentKey, ContainerName, NodeName, ServiceName};

use crate::{Collision, Definition, DefinitionError, DefinitionErrors, file, parse};

/// Reads one definition.
pub fn load(path: &Path) -> Result<Definition, DefinitionError> {
    let text = file::read(path)?;
    let mut definition = parse(&text, &path.to_string_lossy())?;
    // The path as it is, not as it could be shown.
    path.clone_into(&mut definition.path);
    Ok(definition)
}

/// Reads every `*.toml` of `dir` that is not hidden, sorted by file name.
///
/// All or nothing (S8): every broken file is reported, and so are services that two files define
/// and components of one node whose containers would have one name.
pub fn load_all(dir: &Path) -> Result<Vec<Definition>, DefinitionErrors> {
    let (definitions, mut errors) = load_each(dir)?;
    errors.extend(find_duplicates(&definitions));
    errors.extend(find_collisions(&definitions));
    DefinitionErrors::check(errors)?;
    Ok(definitions)
}

/// The definition of `service` in `dir`: `<service>.toml` where that file is about it, else
/// whichever file names it. `None` where no file does, or there is no such directory.
///
/// Other files may be broken; that is an error only where the service is not found without them.
pub fn find(dir: &Path, service: &ServiceName) -> Result<Option<Definition>, DefinitionErrors> {
    let usual = dir.join(format!("{service}.toml"));
    if usual.exists() {
        let definition = load(&usual)?;
        if definition.service.name == *service {
            return Ok(Some(definition));
        }
    }
    if !dir.exists() {
        return Ok(None);
    }
    let (mut definitions, errors) = load_each(dir)?;
    definitions.retain(|definition| definition.service.name == *service);
    DefinitionErrors::check(find_duplicates(&definitions))?;
    if definitions.is_empty() {
        DefinitionErrors::check(errors)?;
    }
    Ok(definitions.pop())
}

type Loaded = (Vec<Definition>, Vec<DefinitionError>);

/// What can be used, and what is wrong with the rest.
fn load_each(dir: &Path) -> Result<Loaded, DefinitionError> {
    let mut loaded = Loaded::default();
    for path in list(dir)? {
        match load(&path) {
            Ok(definition) => loaded.0.push(definition),
            Err(error) => loaded.1.push(error),
        }
    }
    Ok(loaded)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, DefinitionError> {
    let failed = |source| DefinitionError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("toml")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn find_duplicates(definitions: &[Definition]) -> Vec<DefinitionError> {
    let mut seen: BTreeMap<&ServiceName, &Path> = BTreeMap::new();
    let mut errors = Vec::new();
    for definition in definitions {
        let service = &definition.service.name;
        if let Some(first) = seen.get(service) {
            errors.push(DefinitionError::DuplicateService {
                service: service.clone(),
                first: first.to_path_buf(),
                second: definition.path.clone(),
            });
        } else {
            seen.insert(service, &definition.path);
        }
    }
    errors
}

/// Containers of one node must have different names (S2). Two files about one service are told
/// as that, not once more for each of its components.
fn find_collisions(definitions: &[Definition]) -> Vec<DefinitionError> {
    let mut seen: BTreeMap<(&NodeName, ContainerName), (ComponentKey, &Path)> = BTreeMap::new();
    let mut errors = Vec::new();
    for definition in definitions {
        for key in definition.service.keys() {
            let container = key.container_name();
            let held = seen.get(&(&definition.node, container.clone()));
            match held {
                Some((first, first_path)) if *first != key => {
                    let collision = Collision {
                        node: definition.node.clone(),
                        container,
                        first: first.clone(),
                        first_path: first_path.to_path_buf(),
                        second: key,
                        second_path: definition.path.clone(),
                    };
                    errors.push(DefinitionError::ContainerNameCollision(collision.into()));
                }
                Some(_) => {}
                None => {
                    seen.insert((&definition.node, container), (key, &definition.path));
                }
            }
        }
    }
    errors
}
