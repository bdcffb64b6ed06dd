//! The agent as a whole: real `SQLite`, real TLS on loopback, real alert commands; the container
//! runtime is the fake one.

mod alerts;
mod authentication;
mod commands;
mod damage;
mod doors;
mod gate;
mod hostile;
mod intent;
mod lifecycle;
mod missing;
mod plan;
mod racers;
mod refused;
mod simulation;
mod status;
mod support;
mod survivors;
mod transport;
mod waiting;
mod watch;
mod why;
