//! The handle that the agent holds.

mod calls;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::database::{Database, Options};
use crate::error::{OpenError, RegistryError};
use crate::lanes::{Job, Worker};

/// Connections that read.
const READERS: usize = 2;
/// Calls that wait in one lane; further callers wait to get into it.
const LANE: usize = 256;

/// The registry, shared by everything in the agent. Cloning is cheap.
///
/// A write that has got into its lane is carried out even where its caller has gone away. Reads
/// see every write that was answered before they were called.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    lanes: Mutex<Option<Lanes>>,
    workers: Mutex<Option<Workers>>,
}

struct Lanes {
    operations: mpsc::Sender<Job>,
    ordinary: mpsc::Sender<Job>,
    reads: mpsc::Sender<Job>,
}

struct Workers {
    writer: Worker,
    readers: Vec<Worker>,
}

/// Where a call waits for its turn.
#[derive(Debug, Clone, Copy)]
enum Lane {
    /// Writes that somebody waits for: they go before ordinary ones.
    Operations,
    /// Writes of what was observed.
    Ordinary,
    /// Reads, which wait for no write.
    Reads,
}

impl Registry {
    /// Opens the registry at `path` as [`Database::open`] does, and starts its threads. Blocks
    /// while it checks and migrates.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let database = Database::open(path, options)?;
        let (operations, from_operations) = mpsc::channel(LANE);
        let (ordinary, from_ordinary) = mpsc::channel(LANE);
        let (reads, from_reads) = mpsc::channel(LANE);
        let from_reads = Arc::new(Mutex::new(from_reads));
        let readers = (0..READERS).map(|_| {
            let database = Database::open_reader(path, options)?;
            Worker::reader(database, Arc::clone(&from_reads)).map_err(OpenError::Thread)
        });
        let readers = readers.collect::<Result<_, _>>()?;
        let writer =
            Worker::writer(database, from_operations, from_ordinary).map_err(OpenError::Thread)?;
        let lanes = Lanes {
            operations,
            ordinary,
            reads,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                lanes: Mutex::new(Some(lanes)),
                workers: Mutex::new(Some(Workers { writer, readers })),
            }),
        })
    }

    /// Does what was asked so far, refuses what comes later, moves everything into the database
    /// file and ends the threads. Further calls return at once.
    pub async fn close(&self) -> Result<(), RegistryError> {
        let lanes = take(&self.inner.lanes);
        let (Some(lanes), Some(workers)) = (lanes, take(&self.inner.workers)) else {
            return Ok(());
        };
        // Readers first: a checkpoint that meets a reader stays incomplete.
        drop(lanes.reads);
        for reader in workers.readers {
            reader.join().await?;
        }
        drop((lanes.operations, lanes.ordinary));
        workers.writer.join().await
    }

    /// Has `act` done by a thread of the lane and returns its answer.
    async fn call<T, E>(
        &self,
        lane: Lane,
        operation: &'static str,
        act: impl FnOnce(&mut Database) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RegistryError> + Send + 'static,
    {
        let closed = || E::from(RegistryError::Closed { operation });
        let (tell, answer) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // Whoever asked may be gone; what was asked is done all the same.
            let _ = tell.send(act(database));
        });
        let sender = self.sender(lane).ok_or_else(closed)?;
        sender.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    fn sender(&self, lane: Lane) -> Option<mpsc::Sender<Job>> {
        let lanes = self
            .inner
            .lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lanes = lanes.as_ref()?;
        Some(match lane {
            Lane::Operations => lanes.operations.clone(),
            Lane::Ordinary => lanes.ordinary.clone(),
            Lane::Reads => lanes.reads.clone(),
        })
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
