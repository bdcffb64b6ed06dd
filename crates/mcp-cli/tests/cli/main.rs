//! The real binary against agents that are doubles behind real TLS.

mod bombs;
mod connect;
mod deploy;
mod double;
mod fixtures;
mod lifecycle;
mod login;
mod node;
mod plain;
mod reads;
mod socket;
mod status;
mod sync;
mod terminal;
mod wait;
mod watch;
mod watch_screen;
mod which_node;
mod why;
mod world;
