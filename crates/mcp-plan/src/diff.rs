//! What differs between two specs, field by field.

use std::collections::BTreeMap;

use mcp_model::EffectiveSpec;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Which: `image`, `ports`, `env.PORT`.
    pub field: String,
    /// What it was; empty where there was nothing.
    pub before: String,
    /// What it is to be; empty where there will be nothing.
    pub after: String,
}

/// What is shown in place of a value that should not be read over a shoulder.
pub const REDACTED: &str = "***";

/// Whether a variable's name says that its value is a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "PRIVATE",
        "API_KEY",
        "APIKEY",
    ]
    .iter()
    .any(|word| name.contains(word))
        || name.ends_with("_KEY")
        || name.ends_with("_PASS")
}

/// Compares what two specs mean. Empty exactly where a container made from one is a container
/// made from the other (S7).
pub fn fields(before: &EffectiveSpec<'_>, after: &EffectiveSpec<'_>) -> Vec<FieldChange> {
    let plain = |spec: &EffectiveSpec<'_>| {
        [
            ("image", spec.image.to_string()),
            ("network", spec.network.to_owned()),
            ("user", spec.user.to_owned()),
            ("restart", spec.restart.to_string()),
            ("ports", join(spec.ports)),
            ("volumes", join(spec.volumes)),
            (
                "cmd",
                if spec.cmd.is_empty() {
                    String::new()
                } else {
                    format!("{:?}", spec.cmd)
                },
            ),
        ]
    };
    let mut changes: Vec<FieldChange> = plain(before)
        .into_iter()
        .zip(plain(after))
        .filter(|((_, b), (_, a))| a != b)
        .map(|((field, before), (_, after))| FieldChange {
            field: field.to_owned(),
            before,
            after,
        })
        .collect();
    changes.extend(env(before, after));
    changes
}

fn join<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values
        .into_iter()
        .map(|v| v.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn env(before: &EffectiveSpec<'_>, after: &EffectiveSpec<'_>) -> Vec<FieldChange> {
    let mut pairs: BTreeMap<&str, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (name, value) in before.env {
        pairs.entry(name.as_str()).or_default().0 = Some(value);
    }
    for (name, value) in after.env {
        pairs.entry(name.as_str()).or_default().1 = Some(value);
    }
    pairs
        .into_iter()
        .filter(|(_, (before, after))| before != after)
        .map(|(name, (before, after))| {
            let show = |value: Option<&String>| match value {
                None => String::new(),
                Some(_) if is_secret(name) => REDACTED.to_owned(),
                Some(value) => value.clone(),
            };
            FieldChange {
                field: format!("env.{name}"),
                before: show(before),
                after: show(after),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_model::ComponentSpec;

    fn spec(image: &str) -> ComponentSpec {
        ComponentSpec::of_image(image.parse().unwrap())
    }

    #[test]
    fn every_field_that_makes_a_container_is_compared() {
        let before = spec("localhost/a:1");
        let mut after = spec("localhost/a:2");
        after.network = Some("host".parse().unwrap());
        after.user = Some("0:0".parse().unwrap());
        after.restart = Some("no".parse().unwrap());
        after.ports.insert("80:80".parse().unwrap());
        after.volumes.insert("/srv/a:/a".parse().unwrap());
        after.cmd = vec!["-v".into()];
        after.env.insert("A".parse().unwrap(), "1".into());
        let changes = fields(&before.effective(), &after.effective());
        let named: Vec<&str> = changes.iter().map(|c| c.field.as_str()).collect();
        assert_eq!(
            named,
            [
                "image", "network", "user", "restart", "ports", "volumes", "cmd", "env.A"
            ]
        );
        assert_eq!(
            (changes[0].before.as_str(), changes[0].after.as_str()),
            ("localhost/a:1", "localhost/a:2")
        );
    }

    #[test]
    fn how_mcp_works_is_not_what_a_container_is() {
        let before = spec("localhost/a:1");
        let mut after = before.clone();
        after.stop_timeout = Some(std::time::Duration::from_secs(99));
        after.network = Some("bridge".parse().unwrap());
        assert_eq!(fields(&before.effective(), &after.effective()), []);
    }

    #[test]
    fn secrets_are_named_but_not_shown() {
        let mut before = spec("localhost/a:1");
        before
            .env
            .insert("DB_PASSWORD".parse().unwrap(), "old".into());
        let mut after = before.clone();
        after
            .env
            .insert("DB_PASSWORD".parse().unwrap(), "new".into());
        let changes = fields(&before.effective(), &after.effective());
        assert_eq!(changes[0].field, "env.DB_PASSWORD");
        assert_eq!(
            (changes[0].before.as_str(), changes[0].after.as_str()),
            ("***", "***")
        );
    }
}
