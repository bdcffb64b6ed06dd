//! What the protocol consists of, read from its own descriptors.

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::FILE_DESCRIPTOR_SET;

/// One RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its service with its package: `mcp.v1.McpAgentService`.
    pub service: String,
    /// Its own name: `Deploy`.
    pub name: String,
    /// Whether the client sends more than one message.
    pub client_streaming: bool,
    /// Whether the server sends more than one message.
    pub server_streaming: bool,
}

impl Method {
    /// The path that it is called under: `/mcp.v1.McpAgentService/Deploy`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }
}

/// The published descriptors.
pub fn file_descriptor_set() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build wrote them")
}

/// Every RPC that is published: all but those of the node's own socket.
pub fn methods() -> Vec<Method> {
    methods_of(FILE_DESCRIPTOR_SET)
}

/// Every RPC of an encoded descriptor set; panics where it is none.
pub fn methods_of(descriptors: &[u8]) -> Vec<Method> {
    let set = FileDescriptorSet::decode(descriptors).expect("a build wrote them");
    let mut methods = Vec::new();
    for file in set.file {
        let package = file.package().to_owned();
        for service in file.service {
            let name = format!("{package}.{}", service.name());
            methods.extend(service.method.iter().map(|method| Method {
                service: name.clone(),
                name: method.name().to_owned(),
                client_streaming: method.client_streaming(),
                server_streaming: method.server_streaming(),
            }));
        }
    }
    methods
}
