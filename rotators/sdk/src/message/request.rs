//! What the engine writes.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields;
use crate::{Admin, Bundle, Call, Check, Generates, RevokeHow, Strategy, Target};

/// The first message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Always `hello`.
    pub r#type: String,
    /// The formats that the engine speaks; the rotator chooses one.
    pub formats: Vec<u32>,
    /// The engine's name and version, for the rotator's log.
    pub engine: String,
}

impl Hello {
    /// Of an engine that speaks this version's format.
    pub fn new(engine: &str) -> Self {
        Hello { r#type: "hello".to_owned(), formats: vec![super::FORMAT], engine: engine.to_owned() }
    }
}

/// The method of [`crate::Rotator`] that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Preflight,
    DeriveField,
    Probe,
    Generate,
    Sweep,
    Apply,
    Verify,
    Restore,
    Usage,
    LastUsed,
    Disable,
    Revoke,
    /// A call of a later format.
    #[serde(other)]
    Unknown,
}

/// [`Target`] in a message.
#[derive(Serialize, Deserialize)]
pub struct OnTarget {
    /// See [`Target::settings`].
    pub settings: Map<String, Value>,
    /// `{"in_place":{"user":"…"}}`, `{"alternating":{"users":["…","…"],"grant_parity":"require","create_missing":false}}` or
    /// `"overlapping"`.
    pub strategy: Strategy,
    /// The admin's credential; none for `admin: self`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub admin: Option<Bundle>,
    /// See [`Target::generates`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generates: Option<Generates>,
}

impl OnTarget {
    fn of(target: &Target) -> Self {
        OnTarget {
            settings: target.settings.clone(),
            strategy: target.strategy.clone(),
            admin: match &target.admin {
                Admin::Credential(bundle) => Some(bundle.duplicate()),
                Admin::Own => None,
            },
            generates: target.generates,
        }
    }

    pub(super) fn into_target(self) -> Target {
        Target {
            settings: self.settings,
            strategy: self.strategy,
            admin: self.admin.map_or(Admin::Own, Admin::Credential),
            generates: self.generates,
        }
    }
}

/// One call with its arguments: those members stand in it that the method has.
#[derive(Serialize, Deserialize)]
pub struct Request {
    /// Always `call`.
    pub r#type: String,
    /// The reply has the same. Grows by one with each call of a process.
    pub id: u64,
    pub call: Verb,
    /// For how long the call may still act, in milliseconds from now: [`Call::until`], less the time that an answer needs to be heard.
    #[serde(default)]
    pub left_ms: u64,
    /// See [`Call::rotation`].
    #[serde(default)]
    pub rotation: String,
    /// See [`Call::fence`].
    #[serde(default)]
    pub fence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<OnTarget>,
    /// For `derive_field`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For `derive_field`, `probe`, `usage` and `last_used`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub credential: Option<Bundle>,
    /// For `apply`, `verify` and `restore`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub candidate: Option<Bundle>,
    /// For `preflight`, `generate`, `apply`, `verify`, `restore`, `disable` and `revoke`; the first five go without where nothing is
    /// live yet.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub current: Option<Bundle>,
    /// For `disable` and `revoke`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub previous: Option<Bundle>,
    /// For `probe`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "fields::list")]
    pub others: Vec<Bundle>,
    /// For `sweep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "fields::list")]
    pub keep: Vec<Bundle>,
    /// For `sweep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// For `verify`: `"login"` or `{"sql":"…"}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// For `revoke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<RevokeHow>,
}

impl Request {
    /// A call without arguments yet.
    pub fn of(id: u64, verb: Verb, call: &Call<'_>, now: Instant) -> Self {
        Request {
            r#type: "call".to_owned(),
            id,
            call: verb,
            left_ms: u64::try_from(call.left(now).as_millis()).unwrap_or(u64::MAX),
            rotation: call.rotation.to_owned(),
            fence: call.fence,
            target: Some(OnTarget::of(call.target)),
            field: None,
            credential: None,
            candidate: None,
            current: None,
            previous: None,
            others: Vec::new(),
            keep: Vec::new(),
            earlier: Vec::new(),
            checks: Vec::new(),
            how: None,
        }
    }

    /// With this credential.
    #[must_use]
    pub fn credential(self, credential: &Bundle) -> Self {
        Request { credential: Some(credential.duplicate()), ..self }
    }

    /// With this candidate.
    #[must_use]
    pub fn candidate(self, candidate: &Bundle) -> Self {
        Request { candidate: Some(candidate.duplicate()), ..self }
    }

    /// With this live credential, where there is one.
    #[must_use]
    pub fn current(self, current: Option<&Bundle>) -> Self {
        Request { current: current.map(Bundle::duplicate), ..self }
    }

    /// With this previous credential.
    #[must_use]
    pub fn previous(self, previous: &Bundle) -> Self {
        Request { previous: Some(previous.duplicate()), ..self }
    }

    /// All bundles in it.
    pub fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        let admin = self.target.as_ref().and_then(|target| target.admin.as_ref());
        let single = [&self.credential, &self.candidate, &self.current, &self.previous].into_iter().flatten();
        single.chain(admin).chain(&self.others).chain(&self.keep)
    }
}
