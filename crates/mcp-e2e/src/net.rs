//! Ports, and the simplest HTTP client that can ask the example server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long an answer may take. Whoever asks again and again is not held up for ever by one that
/// never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where ports are looked for: below those that the kernel gives to whoever asks for any, or connects.
/// One of those could be taken again between being found and being used.
const FIRST: u16 = 10_000;
/// How many there are.
const COUNT: u16 = 20_000;

/// A port on loopback that nobody uses. No other test on this machine is given it while this
/// process lives.
#[track_caller]
pub fn free_port() -> u16 {
    static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    // From another place for each process: what was used a moment ago may not be gone yet.
    let first = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("it is below it");
    let mut ports = (0..COUNT).map(|index| FIRST + (first + index) % COUNT);
    let found = ports.find_map(|port| {
        // Names that are no files are forgotten with the process.
        let name = SocketAddr::from_abstract_name(format!("mcp-e2e-port-{port}"));
        let claim = UnixListener::bind_addr(&name.expect("a short name")).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some((port, claim))
    });
    let (port, claim) = found.expect("a port of loopback is free");
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    claims.push(claim);
    port
}

/// Asks the server on `port` of loopback; its status line and body, or `None` where nobody answers.
pub fn http_get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_given_once_though_nobody_listens_there_yet() {
        let ports: BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
    }
}
