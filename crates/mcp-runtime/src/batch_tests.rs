use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tokio::sync::Semaphore;

use super::*;

fn id(number: usize) -> ContainerId {
    format!("{number:064x}").parse().unwrap()
}

/// One slot, and everything that was asked of the runtime.
#[derive(Default)]
struct Desk {
    batcher: Batcher,
    calls: Mutex<Vec<Vec<ContainerId>>>,
}

impl Desk {
    async fn ask(&self, slot: &Arc<Semaphore>, number: usize) -> Answer {
        let enter = || async { vec![Arc::clone(slot).acquire_owned().await.unwrap()] };
        let look = |ids: Vec<ContainerId>| async {
            self.calls.lock().unwrap().push(ids.clone());
            tokio::task::yield_now().await;
            ids.into_iter().map(|id| (id, Ok(None))).collect()
        };
        self.batcher.ask(&id(number), enter, look).await
    }

    fn sizes(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(Vec::len).collect()
    }
}

#[tokio::test]
async fn looks_that_wait_for_a_slot_travel_together() {
    let (desk, slot) = (Desk::default(), Arc::new(Semaphore::new(0)));
    let asks = join_all((0..100).map(|n| desk.ask(&slot, n % 90)));
    let open = async { slot.add_permits(1) };
    let (answers, ()) = tokio::join!(asks, open);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(None))));
    // 64 who asked first, then the others; the ten who asked twice are looked at once per call.
    assert_eq!(desk.sizes(), [64, 36]);
}

#[tokio::test]
async fn whoever_has_left_is_not_looked_for() {
    let (desk, slot) = (Desk::default(), Arc::new(Semaphore::new(0)));
    tokio::select! {
        biased;
        _ = desk.ask(&slot, 1) => panic!("there is no slot"),
        () = std::future::ready(()) => {}
    }
    let (_, ()) = tokio::join!(desk.ask(&slot, 2), async { slot.add_permits(1) });
    assert_eq!(*desk.calls.lock().unwrap(), [vec![id(2)]]);
}

#[tokio::test]
async fn nobody_gets_an_answer_that_began_before_the_question() {
    let (desk, slot) = (Desk::default(), Arc::new(Semaphore::new(1)));
    let first = desk.ask(&slot, 1);
    let late = async {
        while desk.sizes().is_empty() {
            tokio::task::yield_now().await;
        }
        desk.ask(&slot, 1).await
    };
    let (_, _) = tokio::join!(first, late);
    assert_eq!(desk.sizes(), [1, 1]);
}

#[tokio::test]
async fn whoever_is_cancelled_while_leading_takes_no_other_answer_along() {
    let (batcher, slot) = (Batcher::default(), Arc::new(Semaphore::new(0)));
    let began = AtomicUsize::new(0);
    let ask = |number: usize, answers: bool| {
        let enter = || async { vec![Arc::clone(&slot).acquire_owned().await.unwrap()] };
        let look = {
            let began = &began;
            move |ids: Vec<ContainerId>| async move {
                began.fetch_add(1, Ordering::SeqCst);
                if !answers {
                    std::future::pending::<()>().await;
                }
                ids.into_iter().map(|id| (id, Ok(None))).collect()
            }
        };
        let batcher = &batcher;
        async move { batcher.ask(&id(number), enter, look).await }
    };
    let led_and_cancelled = async {
        tokio::select! {
            _ = ask(1, false) => panic!("it hangs"),
            () = async {
                while began.load(Ordering::SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    };
    let open = async { slot.add_permits(1) };
    let ((), answer, ()) = tokio::join!(led_and_cancelled, ask(2, true), open);
    assert!(matches!(answer, Ok(None)));
    assert_eq!(began.load(Ordering::SeqCst), 2);
}
