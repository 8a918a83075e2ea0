//! Rotates PostgreSQL roles (versions 13 to 18), in place or as an alternating pair.
//!
//! - Passwords reach the server as SCRAM-SHA-256 verifiers only (`scram`), apart from the login itself.
//! - No late effect of an earlier call can win (`fence`).
//! - Probes ask the admin's view of `pg_authid` where they can, and log in where they must (`probe`).
//! - What the server's answers mean is one table (`sqlstate`).
//!
//! One file per verb of [`keywheel_sdk::Rotator`]; this one only hands on.
//!
//! The process must have installed rustls' aws-lc-rs provider before the first call that uses TLS.

mod access;
mod apply;
mod connect;
mod create;
mod derive;
mod fence;
mod frame;
mod made;
mod parity;
mod preflight;
mod probe;
mod restore;
mod revoke;
mod scram;
mod settings;
mod sqlstate;
mod statement;
mod usage;
mod verify;

use async_trait::async_trait;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Finding, Origin, RevokeHow, Rotator, RotatorError, Secret,
    Shape, Usage,
};
use serde_json::{Map, Value};

/// The rotator of kind `postgres`. Keeps a few idle admin sessions per server, so make one and share it.
///
/// ## Cancellation
/// Each call may be dropped at any time: its session is closed then, never used again. Whether a change that was on its way
/// has happened is unknown until the next probe.
#[derive(Default)]
pub struct PostgresRotator {
    pools: connect::Pools,
    made: made::Made,
}

impl PostgresRotator {
    /// Opens nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Rotator for PostgresRotator {
    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "postgres".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shapes: vec![Shape::InPlace, Shape::Alternating],
            origin: Origin::Engine,
            settings: settings::Settings::schema(),
            capabilities: Capabilities { usage: true, self_managed: true, ..Capabilities::default() },
            derived_fields: derive::FIELDS.map(str::to_owned).to_vec(),
        }
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        settings::Settings::read(settings).map(drop).map_err(|error| error.message)
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        Ok(derive::derive_field(call.target, credential, field))
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        preflight::preflight(self, call, current).await
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        probe::probe(self, call, credential, others).await
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        apply::apply(self, call, candidate, current).await
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        verify::verify(self, call, candidate, current, checks).await
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        restore::restore(self, call, candidate, current).await
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        usage::usage(self, call, credential).await
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        revoke::revoke(self, call, previous, current, how).await
    }
}
