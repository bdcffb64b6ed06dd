//! Ports, and the simplest HTTP client that can ask the example server.

use std::collections::BTreeMap;
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
    static GIVEN: Mutex<BTreeMap<u16, UnixListener>> = Mutex::new(BTreeMap::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // From another place for each process: what was used a moment ago may not be gone yet.
    let first = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).expect("it is below it");
    let ports = (0..COUNT).map(|index| FIRST + (first + index) % COUNT);
    for port in ports {
        if given.contains_key(&port) {
            continue;
        }
        // Names that are no files are forgotten with the process.
        let name = SocketAddr::from_abstract_name(format!("mcp-e2e-port-{port}"));
        let name = name.expect("a short name");
        let Ok(claim) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port, claim);
            return port;
        }
    }
    panic!("no port of loopback is free")
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
