//! The threads that own connections, and the order in which they serve.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::database::Database;
use crate::error::RegistryError;

/// One call. It answers its caller itself.
pub(crate) type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// A thread that works until nobody can send to it any more.
pub(crate) struct Worker {
    thread: JoinHandle<()>,
    done: oneshot::Receiver<Result<(), RegistryError>>,
}

impl Worker {
    /// Starts a thread that runs `work` on `database`.
    fn start(
        name: &str,
        mut database: Database,
        work: impl FnOnce(&mut Database) -> Result<(), RegistryError> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, done) = oneshot::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let result = work(&mut database);
            // Closes the connection before anybody is told that the thread is through.
            drop(database);
            let _ = tell.send(result);
        })?;
        Ok(Self { thread, done })
    }

    /// Starts the thread that writes. What is in `operations` goes before what is in `ordinary`.
    pub(crate) fn writer(
        database: Database,
        operations: mpsc::Receiver<Job>,
        ordinary: mpsc::Receiver<Job>,
    ) -> io::Result<Self> {
        // Only to wait for two channels at once: no timers, no I/O, no further threads.
        let waiter = runtime::Builder::new_current_thread().build()?;
        Self::start("mcp-registry-w", database, move |database| {
            waiter.block_on(serve_lanes(database, operations, ordinary));
            database.checkpoint()
        })
    }

    /// Starts a thread that reads, sharing `jobs` with others.
    pub(crate) fn reader(
        database: Database,
        jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    ) -> io::Result<Self> {
        Self::start("mcp-registry-r", database, move |database| {
            // The guard lives for this expression only: others wait for a job, not for its end.
            let next = || {
                jobs.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .blocking_recv()
            };
            while let Some(job) = next() {
                run(database, job);
            }
            Ok(())
        })
    }

    /// Waits for the thread to end. It ends when every sender is gone and every job is done.
    pub(crate) async fn join(self) -> Result<(), RegistryError> {
        let closed = RegistryError::Closed {
            operation: "close the registry",
        };
        let result = self.done.await.unwrap_or(Err(closed));
        if self.thread.join().is_err() {
            tracing::error!("a thread of the registry panicked");
        }
        result
    }
}

async fn serve_lanes(
    database: &mut Database,
    mut operations: mpsc::Receiver<Job>,
    mut ordinary: mpsc::Receiver<Job>,
) {
    loop {
        let job = tokio::select! {
            biased;
            Some(job) = operations.recv() => job,
            Some(job) = ordinary.recv() => job,
            else => return,
        };
        run(database, job);
    }
}

/// A panic is a failure of one call. Its transaction was rolled back while it unwound.
fn run(database: &mut Database, job: Job) {
    if catch_unwind(AssertUnwindSafe(|| job(database))).is_err() {
        tracing::error!("a call to the registry panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_one_calls_failure_and_undoes_what_it_wrote() {
        let database = Database::in_memory().unwrap();
        let (operations, from_operations) = mpsc::channel(1);
        let (ordinary, from_ordinary) = mpsc::channel(1);
        let worker = Worker::writer(database, from_operations, from_ordinary).unwrap();
        let (caller, failed) = oneshot::channel::<()>();
        let panics: Job = Box::new(move |database| {
            let _caller = caller;
            database.panic_in_the_middle_of_a_write();
        });
        ordinary.send(panics).await.ok().unwrap();
        failed.await.unwrap_err();
        let (tell, answer) = oneshot::channel();
        let reads: Job = Box::new(move |database| {
            let _ = tell.send(database.instance_id());
        });
        operations.send(reads).await.ok().unwrap();
        assert_eq!(answer.await.unwrap().unwrap().len(), 32);
        drop((operations, ordinary));
        worker.join().await.unwrap();
    }
}
