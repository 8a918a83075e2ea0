//! The engine: the stores, rotators and limits that all workers share.

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::handle::Finish;
use keywheel_core::{RotationId, Step};
use keywheel_secrets::SecretStore;
use keywheel_state::StateStore;

use crate::{Clock, Consumers, Environment, Registry};

/// How much at once, and how long at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rotations and heartbeats at work at the same time.
    pub rotations: usize,
    /// Of these, at one target server.
    pub per_target: usize,
    /// How long one call to a rotator may take. Less than two thirds of `lease`.
    pub step: Duration,
    /// How long a lease lasts unless renewed.
    pub lease: Duration,
}

/// Something that a person at a terminal would like to see.
#[derive(Debug)]
pub enum Observed<'a> {
    Began { rotation: RotationId, secret: &'a str, step: Step },
    Finished { rotation: RotationId, secret: &'a str, step: Step, how: &'a Finish },
    InDoubt { rotation: RotationId, step: Step, why: &'a str },
}

/// Is told of each step. Must return at once.
pub type Observer = Arc<dyn Fn(&Observed<'_>) + Send + Sync>;

/// What all workers share.
pub struct Engine {
    pub state: Arc<dyn StateStore>,
    pub secrets: Arc<dyn SecretStore>,
    pub rotators: Registry,
    pub consumers: Arc<dyn Consumers>,
    pub clock: Arc<dyn Clock>,
    pub environment: Environment,
    pub limits: Limits,
    pub observer: Option<Observer>,
}

impl Engine {
    pub(crate) fn observe(&self, observed: &Observed<'_>) {
        if let Some(observer) = &self.observer {
            observer(observed);
        }
    }
}
