//! Definitions as an operator would write them.

use std::fmt::Write as _;

/// One `[[components]]` of a definition.
#[derive(Debug, Clone)]
pub struct Component {
    text: String,
}

impl Component {
    /// A component that its runtime does not restart: what happens to it stays happened.
    pub fn new(name: &str, image: &str) -> Self {
        Self {
            text: format!(
                "\n[[components]]\nname = \"{name}\"\nimage = \"{image}\"\nrestart = \"no\"\n"
            ),
        }
    }

    /// Publishes port 8080 of the example server on loopback.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.line(&format!("ports = [\"127.0.0.1:{port}:8080\"]"))
    }

    /// Adds a line as it is.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.text.push_str(line);
        self.text.push('\n');
        self
    }
}

/// The definition of a service, with a comment that every edit must leave alone.
pub fn definition(service: &str, node: &str, components: &[Component]) -> String {
    let mut text = format!(
        "# Why {service} is here.\nname = \"{service}\"\nnode = \"{node}\"\nactive = true # for now\n"
    );
    for component in components {
        let _ = text.write_str(&component.text);
    }
    text
}
