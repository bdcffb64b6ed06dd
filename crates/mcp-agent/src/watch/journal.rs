//! The one writer: looks at the view and into the registry when either may have changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_controller::{Handle, View};
use mcp_registry::{News, Registry, RegistryError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::picture::Picture;
use super::reader::Reader;
use super::ring::{Cursor, Limits, Ring};

/// How long to wait after a failed reading of the registry.
const RETRY: Duration = Duration::from_secs(1);

/// What readers read from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pages: Mutex<Pages>,
    /// Says that there is more to read.
    written: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct Pages {
    pub(super) ring: Ring,
    /// None until the registry was read for the first time.
    pub(super) picture: Option<Picture>,
}

impl Journal {
    /// An empty one, and its only writer.
    pub fn new(limits: Limits) -> (Self, Writer) {
        let pages = Pages {
            ring: Ring::new(limits),
            picture: None,
        };
        let journal = Self(Arc::new(Shared {
            pages: Mutex::new(pages),
            written: watch::Sender::new(()),
        }));
        (journal.clone(), Writer(journal))
    }

    /// Reads what followed `from`, or everything and then what follows; of one service only, where
    /// one is named.
    pub fn read(&self, from: Option<Cursor>, service: Option<mcp_model::ServiceName>) -> Reader {
        Reader::new(self.clone(), from, service)
    }

    /// Not to be held across an await.
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn written(&self) -> watch::Receiver<()> {
        self.0.written.subscribe()
    }
}

/// Writes the journal.
#[derive(Debug)]
pub struct Writer(Journal);

impl Writer {
    /// Writes down what happens until `stop` is cancelled.
    pub async fn run(self, registry: Registry, controller: Handle, stop: CancellationToken) {
        let writing = async {
            self.begin(&registry).await;
            self.follow(&registry, &controller).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = writing => {}
        }
    }

    async fn begin(&self, registry: &Registry) {
        loop {
            let open = async {
                // Services first: an operation that is told of has a component to be told of.
                let services = registry.services().await?;
                Ok::<_, RegistryError>(Picture::of(services, registry.open_matters().await?))
            };
            match open.await {
                Ok(picture) => return self.start(picture),
                Err(error) => self.failed(&error).await,
            }
        }
    }

    fn start(&self, picture: Picture) {
        self.0.pages().picture = Some(picture);
        self.0.0.written.send_replace(());
    }

    async fn follow(&self, registry: &Registry, controller: &Handle) {
        let (mut view, mut progress) = (controller.view(), controller.progress());
        loop {
            // Marked as seen before it is looked at: what comes in between wakes us again.
            progress.borrow_and_update();
            match self.news(registry).await {
                Ok(news) => {
                    // After the registry: what an operation has done is seen before its end.
                    let seen = Arc::clone(&view.borrow_and_update());
                    self.write(news, &seen);
                }
                Err(error) => {
                    self.failed(&error).await;
                    continue;
                }
            }
            let changed = tokio::select! {
                changed = view.changed() => changed,
                changed = progress.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    async fn news(&self, registry: &Registry) -> Result<News, RegistryError> {
        let known = self.0.pages().picture.as_ref().map(Picture::known);
        registry.news(known.unwrap_or_default()).await
    }

    pub(super) fn write(&self, news: News, view: &View) {
        let mut pages = self.0.pages();
        let Pages {
            ring,
            picture: Some(picture),
        } = &mut *pages
        else {
            return;
        };
        let mut told = picture.news(news);
        told.extend(picture.view(view));
        let anything = !told.is_empty();
        for told in told {
            ring.push(told);
        }
        drop(pages);
        if anything {
            self.0.0.written.send_replace(());
        }
    }

    /// As for a node on which there is nothing.
    #[cfg(test)]
    pub(crate) fn start_empty(&self) {
        self.start(Picture::of(Vec::new(), News::default()));
    }

    async fn failed(&self, error: &RegistryError) {
        // Those who follow learn it later; the registry's own callers tell what is wrong with it.
        debug!(error = %crate::api::chain(error), "the journal cannot read the registry");
        tokio::time::sleep(RETRY).await;
    }
}
