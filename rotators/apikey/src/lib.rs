//! Rotates API keys of any HTTP provider that a declaration in YAML describes.
//!
//! A key is made by its provider and stands beside the one before it. Each key that a rotation makes has the rotation's
//! id in its name, so that one whose answer was lost is found in the provider's list and deleted, never used.
//!
//! - A declaration is text, then a `document` with places, then a [`Provider`] (`parse`, `check`).
//! - A request is a [`Provider`]'s with the values of one call in it, each encoded for its place (`template`, `fill`,
//!   `access`), and what proves who sends it (`login`, `token`, `sign`, `webhook`).
//! - No redirect is followed and no answer is read without bound (`http`); what an answer means is one table
//!   (`answer`).
//! - Only keys with this rotation's tag are deleted, apart from the ones that a call names by their ids (`sweep`,
//!   `restore`, `revoke`), and from old keys where a policy asks for it (`generate`).
//!
//! - What a declaration says is told without any value of a call (`outline`), and so is each request before it is sent
//!   (`sketch`).
//!
//! Passwords that the engine makes and a provider takes are put, and end by another one or with their account (`put`).
//!
//! One file per verb of [`keywheel_sdk::Rotator`]; this one only hands on.

mod access;
mod answer;
mod check;
mod clock;
mod control;
mod document;
mod duration;
mod expiry;
mod fill;
mod generate;
mod http;
mod instant;
mod last_used;
mod list;
mod login;
mod mistake;
mod outline;
mod parse;
mod preflight;
mod probe;
mod provider;
mod put;
mod redact;
mod remove;
mod restore;
mod revoke;
mod schema;
mod settings;
mod shipped;
mod sign;
mod sketch;
mod spanned;
mod sweep;
mod template;
mod token;
mod verify;
mod wait;
mod webhook;
mod xml;

use std::sync::OnceLock;
use std::time::SystemTime;

use async_trait::async_trait;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Finding, Origin, Retry, RevokeHow, Rotator, RotatorError,
    Shape, Usage,
};
use serde_json::{Map, Value};

pub use mistake::Mistake;
pub use outline::{Outline, RequestOutline, SettingOutline};
pub use provider::Provider;
pub use schema::provider_schema;
pub use shipped::{Shipped, shipped};
pub use sketch::{Held, Known, SECRET, Sketch};

use provider::{LastUsed, Made};

/// The rotator of one provider. Keeps idle connections, so make one and share it.
///
/// ## Cancellation
/// Each call may be dropped at any time. Whether a request that was on its way has changed something is unknown until
/// the next probe or sweep.
pub struct ApiKeyRotator {
    provider: Provider,
    client: OnceLock<reqwest::Client>,
}

impl ApiKeyRotator {
    /// Opens nothing yet.
    pub fn new(provider: Provider) -> Self {
        ApiKeyRotator { provider, client: OnceLock::new() }
    }

    /// Made when it is first needed, so that a machine without certificates can still be told what is wrong.
    fn client(&self) -> Result<reqwest::Client, RotatorError> {
        match self.client.get() {
            Some(client) => Ok(client.clone()),
            None => {
                let made = http::client()?;
                Ok(self.client.get_or_init(|| made).clone())
            }
        }
    }
}

#[async_trait]
impl Rotator for ApiKeyRotator {
    fn describe(&self) -> Descriptor {
        let (shapes, origin) = match &self.provider.made {
            Made::Provider(_) => (vec![Shape::Overlapping], Origin::Provider),
            Made::Engine(_) => (vec![Shape::InPlace, Shape::Alternating], Origin::Engine),
        };
        Descriptor {
            kind: self.provider.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shapes,
            origin,
            settings: settings::schema(&self.provider),
            capabilities: Capabilities {
                disable: self.provider.disable().is_some(),
                last_used: match self.provider.last_used {
                    LastUsed::Unknown => false,
                    LastUsed::Each(_) | LastUsed::Request(_) => true,
                },
                self_managed: self.provider.self_managed,
                ..Capabilities::default()
            },
            // The engine makes the usual two by itself.
            derived_fields: match origin {
                Origin::Provider => self.provider.fields.clone(),
                Origin::Engine => Vec::new(),
            },
        }
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        settings::check(&self.provider, settings)
    }

    fn place(&self, settings: &Map<String, Value>) -> keywheel_sdk::Place {
        settings::place(&self.provider, settings)
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        preflight::preflight(self, call, current).await
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, _others: &[&Bundle]) -> Answer {
        probe::probe(self, call, credential).await
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        generate::generate(self, call, current).await
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        match &self.provider.made {
            Made::Provider(_) => sweep::sweep(self, call, earlier, keep).await,
            Made::Engine(_) => Ok(()),
        }
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        match &self.provider.made {
            Made::Provider(_) => verify::apply(self, call, candidate).await,
            Made::Engine(declared) => put::apply(self, declared, call, candidate, current).await,
        }
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        _current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        verify::verify(self, call, candidate, checks).await
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        match &self.provider.made {
            Made::Provider(_) => restore::restore(self, call, candidate, current).await,
            Made::Engine(declared) => put::restore(self, declared, call, candidate, current).await,
        }
    }

    async fn usage(&self, _call: &Call<'_>, _credential: &Bundle) -> Result<Usage, RotatorError> {
        let message = "a provider of API keys does not count who uses one";
        Err(RotatorError::not_done(Retry::Never, "unsupported", message))
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        last_used::last_used(self, call, credential).await
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        revoke::disable(self, call, previous, current).await
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        _how: RevokeHow,
    ) -> Result<(), RotatorError> {
        match &self.provider.made {
            Made::Provider(_) => revoke::revoke(self, call, previous, current).await,
            Made::Engine(_) => put::revoke(self, call, previous, current).await,
        }
    }
}
