//! Verifies tokens of the identity service: a held verdict, else one request.
//!
//! Calls that come with the same token while it is being asked about wait for that one answer. The
//! request lives as long as anybody waits: whoever leaves takes nothing from the others, and with
//! the last one it ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use mcp_model::{Moment, Stamp};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::ServiceError;
use super::rest::{Mcias, Validation};
use super::verdicts::Verdicts;
use crate::caller::{Caller, Provider};
use crate::token::{Token, TokenHash};
use crate::verifier::{Verifier, VerifyError};

/// Most requests that are under way at once. More wait their turn: a flood of unknown tokens does
/// not become a flood at the service.
const MAX_REQUESTS: usize = 16;

/// Tells the time on both clocks, so that tests can.
type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

type Flight = BoxFuture<'static, Result<Caller, Refused>>;

/// Verifies tokens at an identity service. Cheap to clone.
#[derive(Clone)]
pub struct MciasVerifier {
    desk: Arc<Desk>,
}

struct Desk {
    service: Mcias,
    clock: Clock,
    requests: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdicts: Verdicts,
    flights: HashMap<TokenHash, (u64, WeakShared<Flight>)>,
    last: u64,
}

/// Why nobody is let in, for all who wait.
#[derive(Clone)]
enum Refused {
    Rejected,
    Expired(Stamp),
    Unavailable(Arc<ServiceError>),
}

impl From<Refused> for VerifyError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected => Self::Rejected,
            Refused::Expired(at) => Self::Expired { at },
            Refused::Unavailable(error) => Self::Unavailable(error.into()),
        }
    }
}

impl MciasVerifier {
    /// A verifier that asks `service` and takes the time from `clock`.
    pub fn new(service: Mcias, clock: Arc<dyn Fn() -> Moment + Send + Sync>) -> Self {
        let desk = Desk {
            service,
            clock,
            requests: Semaphore::new(MAX_REQUESTS),
            state: Mutex::default(),
        };
        Self {
            desk: Arc::new(desk),
        }
    }
}

impl fmt::Debug for MciasVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MciasVerifier").finish_non_exhaustive()
    }
}

#[async_trait]
impl Verifier for MciasVerifier {
    async fn verify(&self, token: &str) -> Result<Caller, VerifyError> {
        if Token::is_meant_as_local(token) {
            return Err(VerifyError::NodeToken);
        }
        let hash = TokenHash::of(token);
        let flight = match self.desk.look_up(hash, token) {
            Found::Caller(caller) => return Ok(caller),
            Found::Flight(flight) => flight,
        };
        flight.await.map_err(VerifyError::from)
    }
}

enum Found {
    Caller(Caller),
    Flight(Shared<Flight>),
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict, else the request that is under way, else a new one.
    fn look_up(self: &Arc<Self>, hash: TokenHash, token: &str) -> Found {
        let now = (self.clock)();
        let mut state = self.state();
        if let Some(caller) = state.verdicts.get(&hash, now) {
            return Found::Caller(caller);
        }
        let under_way = state.flights.get(&hash);
        if let Some(flight) = under_way.and_then(|(_, flight)| flight.upgrade()) {
            return Found::Flight(flight);
        }
        state.last += 1;
        let number = state.last;
        let landing = Landing {
            desk: Arc::clone(self),
            hash,
            number,
        };
        let token = Zeroizing::new(token.to_owned());
        let flight = async move { landing.desk.ask(hash, &token).await };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(hash, (number, weak));
        }
        Found::Flight(flight)
    }

    async fn ask(&self, hash: TokenHash, token: &str) -> Result<Caller, Refused> {
        let unavailable = |error| Refused::Unavailable(Arc::new(error));
        let http = self.service.http();
        let turn = tokio::time::timeout(http.limit(), self.requests.acquire()).await;
        let _turn = turn.map_err(|_| unavailable(http.slow()))?;
        // Before it is sent: what happens at the service after this moment, it may not know of.
        let asked = (self.clock)();
        let answer = self.service.validate(token).await;
        let Validation::Valid {
            subject,
            account,
            roles,
            expires,
        } = answer.map_err(unavailable)?
        else {
            return Err(Refused::Rejected);
        };
        if (self.clock)().wall >= expires {
            return Err(Refused::Expired(expires));
        }
        let caller = Caller {
            subject,
            roles,
            provider: Provider::Mcias,
            account,
        };
        let mut state = self.state();
        state.verdicts.put(hash, caller.clone(), asked, expires);
        Ok(caller)
    }
}

/// Strikes a request off the list, whether it was answered or everybody left.
struct Landing {
    desk: Arc<Desk>,
    hash: TokenHash,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        let entry = state.flights.get(&self.hash);
        // Somebody may have come after everybody left, and have begun another.
        if entry.is_some_and(|(number, _)| *number == self.number) {
            state.flights.remove(&self.hash);
        }
    }
}
