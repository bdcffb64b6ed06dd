//! An identity service for tests: real TLS on loopback, on a thread of its own, that does as it is
//! told. It can be honest, slow, wrong, down or pointing elsewhere, it revokes tokens, and it counts.
//!
//! It stands in for a service that no test can have; everything between it and its client is real.

mod answer;
mod server;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::token::Token;
use server::Order;

/// How the service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Honest,
    /// Not at all, until it is told to behave otherwise: then as that says.
    Silent,
    /// With the beginning of an answer, and no end until it is told to behave otherwise.
    Stalling,
    /// With this status and nothing else.
    Status(u16),
    /// With status 200 and this text.
    Saying(String),
    /// With status 200 and text without end.
    Endless,
    /// By pointing to another base URL, with this status (307 for instance).
    Redirecting(u16, String),
}

/// The service. It ends when it is dropped.
#[derive(Debug)]
pub struct IdentityService {
    shared: Arc<Shared>,
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
    dir: TempDir,
}

/// What the service's thread and the test share.
#[derive(Debug)]
struct Shared {
    behaviour: watch::Sender<Behaviour>,
    counts: watch::Sender<Counts>,
    book: Mutex<Book>,
}

/// How many requests came, whatever was answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Of both kinds and any other.
    pub all: usize,
    /// To log in.
    pub logins: usize,
    /// To validate a token.
    pub validations: usize,
}

#[derive(Debug, Default)]
struct Book {
    accounts: HashMap<String, Account>,
    tokens: HashMap<String, Issue>,
    last_login: Option<serde_json::Value>,
}

#[derive(Debug, Clone)]
struct Account {
    password: String,
    roles: Vec<String>,
    /// Whether the policy lets it log in.
    allowed: bool,
}

#[derive(Debug, Clone)]
struct Issue {
    username: String,
    roles: Vec<String>,
    expires: Timestamp,
}

impl IdentityService {
    /// Starts one that is honest and knows nobody.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(Behaviour::Honest),
            counts: watch::Sender::default(),
            book: Mutex::default(),
        });
        let (orders, inbox) = mpsc::channel(4);
        let (address, thread) = server::start(dir.path(), Arc::clone(&shared), inbox);
        Self {
            shared,
            address,
            orders,
            thread: Some(thread),
            dir,
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate of the authority that it is to be believed by.
    pub fn ca_cert(&self) -> PathBuf {
        server::ca_cert(self.dir.path())
    }

    /// Says how it answers from now on, those included who wait for an answer.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// Closes the port and every connection. The port stays its own.
    pub fn down(&self) {
        self.order(Order::Down);
    }

    /// Opens the port again.
    pub fn up(&self) {
        self.order(Order::Up);
    }

    /// Makes an account.
    pub fn account(&self, username: &str, password: &str, roles: &[&str]) {
        let account = Account {
            password: password.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            allowed: true,
        };
        self.shared
            .book()
            .accounts
            .insert(username.to_owned(), account);
    }

    /// Forbids an account to log in, by policy.
    pub fn forbid(&self, username: &str) {
        if let Some(account) = self.shared.book().accounts.get_mut(username) {
            account.allowed = false;
        }
    }

    /// Issues a token without a login.
    pub fn issue(&self, username: &str, roles: &[&str], valid: Duration) -> Token {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        self.shared.issue(username, roles, valid)
    }

    /// Takes a token back.
    pub fn revoke(&self, token: &Token) {
        self.shared.book().tokens.remove(token.secret());
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until what came is as asked.
    pub async fn came(&self, enough: impl Fn(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let came = counts.wait_for(|counts| enough(counts)).await;
        came.expect("the service has the sender");
    }

    /// What was last sent to log in, as it came.
    pub fn last_login(&self) -> Option<serde_json::Value> {
        self.shared.book().last_login.clone()
    }

    fn order(&self, make: impl FnOnce(std::sync::mpsc::SyncSender<()>) -> Order) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        self.orders
            .try_send(make(done))
            .expect("one order is given at a time");
        wait.recv().expect("the service's thread carries it out");
    }
}

impl Drop for IdentityService {
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        // Without a sender, the thread ends.
        drop(std::mem::replace(&mut self.orders, closed));
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended
            && !std::thread::panicking()
        {
            panic!("the identity service's thread panicked");
        }
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issue(&self, username: &str, roles: Vec<String>, valid: Duration) -> Token {
        // Like a signed document: three parts, longer than a node's own.
        let random = || Token::generate().secret().replace("mcp_", "");
        let text = format!("{}.{}.{}", random(), random(), random());
        let issue = Issue {
            username: username.to_owned(),
            roles,
            expires: Timestamp::now() + valid,
        };
        self.book().tokens.insert(text.clone(), issue);
        text.parse().expect("hex and dots make a token")
    }
}

/// Where the files of a service in `dir` are.
fn files(dir: &Path) -> crate::CertPaths {
    crate::CertPaths::within(dir)
}
