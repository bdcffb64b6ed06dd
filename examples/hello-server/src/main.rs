//! A tiny HTTP server: what the example images hold, so that demos and tests have something real
//! to deploy, to ask, and to break.
//!
//! It answers on `$PORT` (default 8080), prints one line per request, and ends at once on SIGTERM,
//! which a process that runs as pid 1 has to ask for: there the default action is to ignore it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | greeting, version and host name |
//! | `GET /env/NAME` | the value of an environment variable, 404 where it is not set |
//! | `GET /exit?code=N` | none: the process ends with status N |
//! | `GET /abort` | none: the process ends itself by a signal |
//! | `GET /rant` | what no terminal should be given is written to standard error |
//!
//! `hello-server --fail N` ends at once with status N; `hello-server --version` prints the version.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what `podman logs` shows"
)]

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

const DEFAULT_PORT: u16 = 8080;
/// A request line and its headers; what is longer is cut off and refused.
const REQUEST_LIMIT: u64 = 8 * 1024;
/// A client that says nothing does not hold a thread for longer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() {
    if let Err(error) = run() {
        eprintln!("hello-server: {error}");
        exit(1);
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(),
        ["--version"] => {
            println!("hello-server {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        ["--fail", code] => {
            eprintln!("hello-server: failing as told");
            exit(code.parse().map_err(io::Error::other)?)
        }
        _ => Err(io::Error::other(
            "usage: hello-server [--version | --fail CODE]",
        )),
    }
}

fn serve() -> io::Result<()> {
    // Already true: the first signal ends the process.
    let armed = Arc::new(AtomicBool::new(true));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 0, Arc::clone(&armed))?;
    }

    let port = match env::var("PORT") {
        Ok(port) => port
            .parse()
            .map_err(|_| io::Error::other("PORT is not a port number"))?,
        Err(_) => DEFAULT_PORT,
    };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    println!("listening on port {port}");
    for connection in listener.incoming() {
        // A connection that fails is the client's business.
        let Ok(connection) = connection else { continue };
        thread::spawn(move || {
            if let Err(error) = answer(&connection) {
                eprintln!("request failed: {error}");
            }
        });
    }
    Ok(())
}

fn answer(mut connection: &TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(connection.take(REQUEST_LIMIT)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // Read the headers too: closing with unread bytes would reset the connection.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    println!("{}", request.escape_default());

    let (status, body) = match request.split(' ').collect::<Vec<_>>()[..] {
        ["GET", target, _] => respond(target),
        _ => ("400 Bad Request", "only GET is understood".to_owned()),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}\n",
        body.len() + 1
    )
}

/// What does harm where somebody shows it as it is: colours, a line that is drawn over, text that runs
/// backwards, bytes that are no text, what ends a string in C.
const RANT: &[u8] = b"\x1b[2J\x1b]0;owned\x07\rall is well \xe2\x80\xaetxt.exe \xff\xfe \0 end\n";

/// A line of [`RANT`] behind a very long one.
fn rant() -> io::Result<()> {
    let mut errors = io::stderr().lock();
    errors.write_all("x".repeat(100_000).as_bytes())?;
    errors.write_all(b"\n")?;
    errors.write_all(RANT)
}

fn respond(target: &str) -> (&'static str, String) {
    if let Some(code) = target.strip_prefix("/exit?code=") {
        match code.parse() {
            Ok(code) => exit(code),
            Err(_) => return ("400 Bad Request", "code is not a number".to_owned()),
        }
    }
    if target == "/abort" {
        std::process::abort();
    }
    if target == "/rant" {
        return match rant() {
            Ok(()) => ("200 OK", "said".to_owned()),
            Err(error) => ("500 Internal Server Error", error.to_string()),
        };
    }
    if let Some(name) = target.strip_prefix("/env/") {
        return match env::var(name) {
            Ok(value) => ("200 OK", value),
            Err(_) => ("404 Not Found", format!("{name} is not set")),
        };
    }
    if target == "/" {
        let greeting = env::var("GREETING").unwrap_or_else(|_| "hello".to_owned());
        let version = env::var("VERSION").unwrap_or_else(|_| "unversioned".to_owned());
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        return (
            "200 OK",
            format!("{greeting} from {version} on {}", host.trim()),
        );
    }
    ("404 Not Found", "nothing here".to_owned())
}
