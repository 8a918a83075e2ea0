//! Faults that a test arms: where each strikes, and what then happens to the request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Where a fault strikes: the requests that arrive there, also those that would be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/users/{user}/keys`
    Create,
    /// `GET /v1/users/{user}/keys`
    List,
    /// `GET /v1/users/{user}/keys/{id}`
    Get,
    /// `DELETE /v1/users/{user}/keys/{id}`
    Delete,
    /// `POST /v1/users/{user}/keys/{id}/disable`
    Disable,
    /// `POST /v1/users/{user}/keys/{id}/enable`
    Enable,
    /// `POST /v1/users/{user}/keys/{id}/rotate`
    Rotate,
    /// `GET /v1/whoami`
    WhoAmI,
    /// `PUT /v1/users/{user}/slots/{slot}`
    PutSlot,
    /// `GET /v1/users/{user}/slots`
    ListSlots,
    /// `DELETE /v1/users/{user}/slots/{slot}`
    DeleteSlot,
    /// `POST /v1/users/{user}/webhook`
    Webhook,
}

/// What happens where a fault strikes. "Executed" is the whole request, refusals included, committed before the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is not executed; the answer has this status.
    Answer {
        /// The status; 500 if there is no such status.
        status: u16,
        /// Seconds for a header `Retry-After`.
        retry_after: Option<u64>,
    },
    /// It is executed, and the answer has this status instead of its own.
    ExecuteThenAnswer {
        /// The status; 500 if there is no such status.
        status: u16,
    },
    /// The connection is closed. Nothing was executed.
    CutBefore,
    /// It is executed, and the connection is closed without an answer.
    ExecuteThenCut,
    /// It is never executed, and no answer ever comes.
    Stall,
    /// It is executed, and no answer ever comes.
    ExecuteThenStall,
    /// It is executed at once, and its own answer comes so much later.
    Slow(Duration),
    /// It is executed, and the answer is 200 with this body, called JSON, instead of its own.
    Body(String),
}

/// A fault to be armed. It strikes once, the first time that it can, if nothing else is said.
#[derive(Debug, Clone)]
pub struct Fault {
    routes: Vec<Route>,
    effect: Effect,
    skip: usize,
    times: usize,
}

impl Fault {
    /// At a request on this route.
    #[must_use]
    pub fn at(route: Route, effect: Effect) -> Self {
        Fault { routes: vec![route], effect, skip: 0, times: 1 }
    }

    /// Also at a request on this route: whichever comes first.
    #[must_use]
    pub fn or_at(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Lets so many requests pass before it strikes.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Strikes so often.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }
}

/// An armed fault's own count.
#[derive(Debug, Clone)]
pub struct Struck {
    count: watch::Receiver<u64>,
}

impl Struck {
    /// How often the fault has struck. One that strikes after execution counts from then on.
    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }

    /// Returns once the fault has struck so often. Never returns if it cannot any more.
    pub async fn wait_for(&self, count: u64) {
        if self.count.clone().wait_for(|struck| *struck >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The faults of a service, in the order in which they were armed.
pub struct Faults {
    armed: Mutex<Vec<Armed>>,
}

struct Armed {
    fault: Fault,
    struck: watch::Sender<u64>,
}

/// What is to happen to one request.
pub(crate) struct Strike {
    pub(crate) effect: Effect,
    struck: watch::Sender<u64>,
}

impl Strike {
    /// Counts it, once what it stands for has happened.
    pub(crate) fn has_struck(&self) {
        self.struck.send_modify(|count| *count += 1);
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        Faults { armed: Mutex::new(Vec::new()) }
    }

    /// Arms a fault, behind those that are armed already. A request is struck by the first one that can; those before
    /// it that let it pass have counted it.
    pub fn arm(&self, fault: Fault) -> Struck {
        let struck = watch::Sender::new(0);
        let count = struck.subscribe();
        if fault.times > 0 {
            self.lock().push(Armed { fault, struck });
        }
        Struck { count }
    }

    /// Takes back all faults that could still strike.
    pub fn disarm(&self) {
        self.lock().clear();
    }

    /// How many faults could still strike.
    pub fn armed(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn strike(&self, route: Route) -> Option<Strike> {
        let mut armed = self.lock();
        let at = armed.iter_mut().position(|Armed { fault, .. }| {
            let passes = fault.routes.contains(&route) && fault.skip > 0;
            if passes {
                fault.skip -= 1;
            }
            fault.routes.contains(&route) && !passes
        })?;
        let Armed { fault, struck } = armed.get_mut(at)?;
        let strike = Strike { effect: fault.effect.clone(), struck: struck.clone() };
        fault.times -= 1;
        if fault.times == 0 {
            armed.remove(at);
        }
        Some(strike)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_several_routes_strikes_the_first_that_comes() {
        let faults = Faults::new();
        faults.arm(Fault::at(Route::Create, Effect::CutBefore).or_at(Route::Delete));
        assert!(faults.strike(Route::List).is_none());
        assert!(faults.strike(Route::Delete).is_some());
        assert!(faults.strike(Route::Create).is_none(), "it has struck");
    }

    #[test]
    fn faults_strike_in_order_and_as_often_as_said() {
        let faults = Faults::new();
        let effect = |route| faults.strike(route).map(|strike| strike.effect);
        faults.arm(Fault::at(Route::List, Effect::CutBefore).skip(1).times(2));
        faults.arm(Fault::at(Route::List, Effect::Stall));
        assert_eq!(effect(Route::Get), None, "another route");
        assert_eq!(effect(Route::List), Some(Effect::Stall), "the first lets one pass, which the second strikes");
        assert_eq!(effect(Route::List), Some(Effect::CutBefore));
        assert_eq!(faults.armed(), 1);
        assert_eq!(effect(Route::List), Some(Effect::CutBefore));
        assert_eq!((effect(Route::List), faults.armed()), (None, 0));
    }
}
