//! Which published ports collide.

use std::ops::RangeInclusive;

use mcp_model::spec::PortMapping;

/// The host side of one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPorts {
    address: String,
    ports: RangeInclusive<u16>,
    protocol: String,
}

impl HostPorts {
    pub(super) fn of(mapping: &PortMapping) -> Self {
        let text = mapping.as_str();
        let (mapping, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (outer, _container) = mapping.rsplit_once(':').unwrap_or((mapping, ""));
        let (address, host) = outer.rsplit_once(':').unwrap_or(("0.0.0.0", outer));
        let (first, last) = host.split_once('-').unwrap_or((host, host));
        let port = |text: &str| text.parse().unwrap_or(0);
        Self {
            address: address.to_owned(),
            ports: port(first)..=port(last),
            protocol: protocol.to_owned(),
        }
    }

    /// The first port that both would listen on.
    pub(super) fn collision(&self, other: &Self) -> Option<u16> {
        let everywhere = |ports: &Self| matches!(ports.address.as_str(), "0.0.0.0" | "[::]");
        let meet = self.address == other.address || everywhere(self) || everywhere(other);
        let first = *self.ports.start().max(other.ports.start());
        let last = *self.ports.end().min(other.ports.end());
        (meet && self.protocol == other.protocol && first <= last).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_collide_where_address_protocol_and_number_meet() {
        for (one, other, collision) in [
            ("80:1", "80:2", Some(80)),
            ("80:1", "81:1", None),
            ("127.0.0.1:80:1", "80:1", Some(80)),
            ("127.0.0.1:80:1", "127.0.0.2:80:1", None),
            ("80:1/udp", "80:1", None),
            ("80-90:180-190", "85:1", Some(85)),
            ("[::1]:80:1", "[::1]:80:2", Some(80)),
        ] {
            let of = |text: &str| HostPorts::of(&text.parse().unwrap());
            assert_eq!(of(one).collision(&of(other)), collision, "{one} {other}");
            assert_eq!(of(other).collision(&of(one)), collision, "{other} {one}");
        }
    }
}
