//! The agent as a process: what an attack costs it in memory, and what it does without
//! descriptors.

use std::net::SocketAddr;

use mcp_identity::{Bundle, CaSource};
use mcp_proto::v1;
use mcp_proto::v1::mcp_agent_service_client::McpAgentServiceClient;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::raw::{CONTINUATION, Frame, HEADERS, Raw, call, connect_to, fields};
use super::within;
use crate::commands::{Place, Server};
use crate::support::Bearer;

/// A server of the binary, and how to reach it.
struct Attacked {
    server: Server,
    pid: Pid,
    address: SocketAddr,
    bundle: Bundle,
    place: Place,
}

impl Attacked {
    fn start() -> Self {
        let place = Place::made(&[]);
        let mut server = Server::start(&place, "info");
        let serving = server.until("serving");
        Self {
            pid: server.pid(),
            address: serving["address"].as_str().unwrap().parse().unwrap(),
            bundle: place.bundle("node/rift.bundle"),
            server,
            place,
        }
    }

    /// The most memory that it ever had, in KiB.
    fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    fn descriptors(&self) -> u64 {
        let path = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        std::fs::read_dir(path).unwrap().count() as u64
    }

    async fn assert_serves(&self) {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.bundle.ca_cert_pem))
            .domain_name("127.0.0.1");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        let bearer = Bearer(self.bundle.token.secret().to_owned());
        let asked = async {
            let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
            let mut client = McpAgentServiceClient::with_interceptor(channel, bearer);
            client.list_services(v1::ListServicesRequest {}).await
        };
        within("an honest client is served", asked).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn headers_that_never_end_take_no_memory() {
    let agent = Attacked::start();
    agent.assert_serves().await;
    let before = agent.peak();
    let authority = CaSource::Pem(agent.bundle.ca_cert_pem.clone().into_bytes());
    let begun = Frame::new(HEADERS, 0, 1, &call("/mcp.v1.McpAgentService/ListServices"));
    let more = Frame::new(
        CONTINUATION,
        0,
        1,
        &fields(&[("x", &"a".repeat(100))]).repeat(140),
    );
    let mut held = Vec::new();
    for _ in 0..64 {
        let stream = connect_to(agent.address, &authority, "127.0.0.1")
            .await
            .unwrap();
        let mut raw = Raw::begin(stream).await;
        let mut taken = raw.send(std::slice::from_ref(&begun)).await;
        // Two MiB of them, where they are taken.
        for _ in 0..140 {
            taken = taken && raw.send(std::slice::from_ref(&more)).await;
        }
        held.push(raw);
    }
    agent.assert_serves().await;
    let grown = agent.peak() - before;
    assert!(grown < 48 * 1024, "by {grown} KiB");
    drop(held);
    assert!(agent.server.end(Signal::TERM).success());
}

// Several threads: a client that is not polled would hold up the end of the agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_agent_without_descriptors_goes_on_and_strangers_give_theirs_back() {
    for door in ["network", "node"] {
        let mut agent = Attacked::start();
        agent.assert_serves().await;
        let few = Some(agent.descriptors() + 12);
        let limit = Rlimit {
            current: few,
            maximum: few,
        };
        prlimit(Some(agent.pid), Resource::Nofile, limit).unwrap();
        let (mut network, mut local) = (Vec::new(), Vec::new());
        // Far more than are left, whatever the agent has just let go of.
        for _ in 0..64 {
            if door == "network" {
                network.push(TcpStream::connect(agent.address).await.unwrap());
            } else {
                let path = agent.place.path("run/agent.sock");
                local.push(UnixStream::connect(path).await.unwrap());
            }
        }
        let failed = agent.server.until("cannot accept a connection");
        assert_eq!(failed["door"], door);
        if door == "network" {
            agent.assert_serves().await;
        } else {
            agent.place.ok(&["token", "list"]);
        }
        drop((network, local));
        agent.assert_serves().await;
        agent.server.tell(Signal::TERM);
        // There are fewer connections than there may be, and those who stall would be ended one
        // day all the same, so that being served alone proves nothing.
        let gave_way = "too many connections; one without a token gave way";
        agent.server.until(gave_way);
        assert!(agent.server.wait().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn strangers_of_the_network_who_hold_every_descriptor_give_way_at_the_socket() {
    let mut agent = Attacked::start();
    agent.assert_serves().await;
    let crowd = 12;
    let few = Some(agent.descriptors() + crowd);
    let limit = Rlimit {
        current: few,
        maximum: few,
    };
    prlimit(Some(agent.pid), Resource::Nofile, limit).unwrap();
    let authority = CaSource::Pem(agent.bundle.ca_cert_pem.clone().into_bytes());
    let mut network = Vec::new();
    // All of them are in; nobody waits at the network's door, so that nobody gives way there.
    for _ in 0..crowd {
        let stream = connect_to(agent.address, &authority, "127.0.0.1").await;
        network.push(stream.unwrap());
    }
    let mut local = Vec::new();
    // Some more than are left, should the agent have let go of one.
    for _ in 0..16 {
        let path = agent.place.path("run/agent.sock");
        local.push(UnixStream::connect(path).await.unwrap());
    }
    while agent.server.until("cannot accept a connection")["door"] != "node" {}
    let gave_way = "too many connections; one without a token gave way";
    let gone = agent.server.until(gave_way);
    let peer = gone["peer"].as_str().unwrap();
    assert!(
        peer.parse::<SocketAddr>().is_ok(),
        "not one of the node: {peer}"
    );
    agent.place.ok(&["token", "list"]);
    drop((network, local));
    assert!(agent.server.end(Signal::TERM).success());
}
