//! The grammars, told a second time and in another way than in `mcp-model`, so that a mistake in
//! one of the two shows.

use mcp_model::spec::EffectiveSpec;
use mcp_model::{ComponentSpec, ServiceSpec, text};

/// A DNS label of at most 63 characters (S1).
pub(crate) fn assert_name(name: &str) {
    assert!((1..=63).contains(&name.len()), "{name:?} has a bad length");
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    assert!(name.chars().all(|c| inner(c) || c == '-'), "{name:?}");
    assert!(!name.starts_with('-') && !name.ends_with('-'), "{name:?}");
}

/// Nothing that could move a cursor, forge a line or be read as something else.
pub(crate) fn assert_plain(value: &str) {
    assert!(!value.contains(text::is_hostile), "{value:?} is not plain");
}

/// Text in lines: each of them plain.
pub(crate) fn assert_lines_plain(value: &str) {
    value.split('\n').for_each(assert_plain);
}

/// A value that is passed behind a flag: it cannot be taken for one.
fn assert_value(value: &str) {
    assert!(!value.is_empty() && !value.starts_with('-'), "{value:?}");
    assert_plain(value);
}

/// A service whose every part is within its grammar.
pub(crate) fn assert_service(service: &ServiceSpec) {
    assert_name(service.name.as_str());
    assert!(!service.components.is_empty(), "a service has components");
    let mut containers = std::collections::BTreeSet::new();
    for (name, spec) in &service.components {
        assert_name(name.as_str());
        assert_component(spec);
        let key = mcp_model::ComponentKey {
            service: service.name.clone(),
            component: name.clone(),
        };
        let container = key.container_name().to_string();
        assert!(containers.insert(container), "two containers of one name");
    }
}

fn assert_component(spec: &ComponentSpec) {
    let EffectiveSpec {
        image,
        network,
        user,
        restart,
        ports,
        volumes,
        ..
    } = spec.effective();
    assert_value(image.as_str());
    assert!(image.as_str().is_ascii(), "{image}");
    assert_value(network);
    assert_value(&restart.to_string());
    if !user.is_empty() {
        assert_value(user);
    }
    for port in ports {
        assert_value(port.as_str());
    }
    for volume in volumes {
        assert_value(volume.as_str());
        let paths = volume.source().split('/').chain(volume.target().split('/'));
        assert!(!paths.into_iter().any(|part| part == ".."), "{volume}");
        let options = volume.options();
        assert!(
            !options.split(',').any(|o| matches!(o, "suid" | "dev")),
            "{volume}"
        );
    }
    for name in spec.env.keys() {
        assert!(
            name.as_str()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
        );
    }
    let values = spec.cmd.iter().chain(spec.env.values());
    assert!(values.into_iter().all(|value| !value.contains('\0')));
}
