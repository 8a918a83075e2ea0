//! The interface to consumers: what applications, or those who run them, do once they are to read another version.

use async_trait::async_trait;
use keywheel_core::RotationId;
use keywheel_sdk::Bundle;

/// What consumers are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// There is a new `CURRENT`, and the previous version still works where the shape allows.
    AfterPromote,
    /// The previous version is about to end.
    BeforeRevoke,
}

impl Moment {
    /// A short stable word.
    pub fn word(self) -> &'static str {
        match self {
            Moment::AfterPromote => "after-promote",
            Moment::BeforeRevoke => "before-revoke",
        }
    }
}

/// What a consumer is told.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    pub moment: Moment,
    pub rotation: RotationId,
    pub secret: &'a str,
    pub policy: &'a str,
    /// The version that is `CURRENT`.
    pub version: &'a str,
    /// Its fields.
    pub current: &'a Bundle,
}

/// Those that policies name.
#[async_trait]
pub trait Consumers: Send + Sync {
    /// Tells one, and waits until it has done its part. Is repeated after a crash or a failure, also where it was done.
    ///
    /// # Errors
    /// Why it did not, or may not have, in words for people.
    async fn tell(&self, consumer: &str, occasion: &Occasion<'_>) -> Result<(), String>;
}

/// There are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoConsumers;

#[async_trait]
impl Consumers for NoConsumers {
    async fn tell(&self, consumer: &str, _occasion: &Occasion<'_>) -> Result<(), String> {
        Err(format!("no consumer is named `{consumer}`"))
    }
}
