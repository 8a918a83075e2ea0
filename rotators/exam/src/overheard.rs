//! The subject as the exam listens to it: all that its rotator says is searched for the secrets of the call.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Check, Descriptor, Finding, Place, RevokeHow, Rotator, RotatorError, Secret, Usage,
};
use serde_json::{Map, Value};

use super::{Stage, Subject};

/// Shorter texts stand anywhere by chance.
const TELLING: usize = 4;

/// A subject with an ear at its rotator.
pub(super) struct Overheard<'a> {
    subject: &'a dyn Subject,
    rotator: Listened<'a>,
    /// [`Subject::leaks`] when the exam began.
    leaks: u64,
}

struct Listened<'a> {
    subject: &'a dyn Subject,
    said: Mutex<Vec<String>>,
}

impl<'a> Overheard<'a> {
    pub fn new(subject: &'a dyn Subject) -> Self {
        let rotator = Listened { subject, said: Mutex::default() };
        Overheard { subject, rotator, leaks: subject.leaks() }
    }

    /// Each secret that was said so far: in which call, and which field it was.
    pub fn said(&self) -> Vec<String> {
        self.rotator.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many were taken out elsewhere since the exam began.
    pub fn leaked(&self) -> u64 {
        self.subject.leaks().saturating_sub(self.leaks)
    }
}

#[async_trait]
impl Subject for Overheard<'_> {
    fn name(&self) -> String {
        self.subject.name()
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        self.subject.stage().await
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        self.subject.accepts(credential).await
    }

    async fn keys(&self) -> Option<usize> {
        self.subject.keys().await
    }

    fn tags(&self) -> bool {
        self.subject.tags()
    }

    fn password(&self, word: &str) -> String {
        self.subject.password(word)
    }

    fn is_public(&self, field: &str) -> bool {
        self.subject.is_public(field)
    }

    fn stands_apart(&self) -> bool {
        self.subject.stands_apart()
    }

    fn leaks(&self) -> u64 {
        self.subject.leaks()
    }

    fn trouble(&self) -> Option<String> {
        self.subject.trouble()
    }
}

/// Whether a secret stands in a text, of those that are long enough to be known again.
pub(super) fn stands_in(secret: &Secret, text: &str) -> bool {
    secret.expose(|secret| secret.chars().count() >= TELLING && text.contains(secret))
}

impl Listened<'_> {
    fn inner(&self) -> &dyn Rotator {
        self.subject.rotator()
    }

    /// Searches these words of a call for what it was given.
    fn hear<'b>(&self, verb: &str, call: &Call<'_>, given: impl IntoIterator<Item = &'b Bundle>, words: &[&str]) {
        let admin = match &call.target.admin {
            Admin::Credential(admin) => Some(admin),
            Admin::Own => None,
        };
        let bundles: Vec<&Bundle> = given.into_iter().map(|bundle| bundle as &Bundle).chain(admin).collect();
        for bundle in bundles {
            for (field, value) in bundle.fields().filter(|(field, _)| !self.subject.is_public(field)) {
                if words.iter().any(|text| stands_in(value, text)) {
                    let found = format!("`{field}` in what `{verb}` said");
                    let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                    if !said.contains(&found) {
                        said.push(found);
                    }
                }
            }
        }
    }

    fn heard<'b, T>(
        &self,
        verb: &str,
        call: &Call<'_>,
        given: impl IntoIterator<Item = &'b Bundle>,
        result: Result<T, RotatorError>,
    ) -> Result<T, RotatorError> {
        if let Err(error) = &result {
            self.hear(verb, call, given, &[&error.code, &error.message]);
        }
        result
    }
}

#[async_trait]
impl Rotator for Listened<'_> {
    fn describe(&self) -> Descriptor {
        self.inner().describe()
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        self.inner().check_settings(settings)
    }

    fn place(&self, settings: &Map<String, Value>) -> Place {
        self.inner().place(settings)
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        let derived = self.inner().derive_field(call, credential, field).await;
        self.heard("derive_field", call, [credential], derived)
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let found = self.heard("preflight", call, current, self.inner().preflight(call, current).await)?;
        let words: Vec<&str> = found.iter().flat_map(|finding| [&*finding.what, &*finding.hint]).collect();
        self.hear("preflight", call, current, &words);
        Ok(found)
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        let answer = self.inner().probe(call, credential, others).await;
        let given = others.iter().copied().chain([credential]);
        match &answer {
            Answer::Yes => {}
            Answer::No { reason } | Answer::Partly { reason } => self.hear("probe", call, given, &[reason]),
            Answer::Unknown(error) => self.hear("probe", call, given, &[&error.code, &error.message]),
        }
        answer
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        self.heard("generate", call, current, self.inner().generate(call, current).await)
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        self.heard("sweep", call, keep.iter().copied(), self.inner().sweep(call, earlier, keep).await)
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        let applied = self.inner().apply(call, candidate, current).await;
        self.heard("apply", call, current.into_iter().chain([candidate]), applied)
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        let verified = self.inner().verify(call, candidate, current, checks).await;
        self.heard("verify", call, current.into_iter().chain([candidate]), verified)
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        let restored = self.inner().restore(call, candidate, current).await;
        self.heard("restore", call, current.into_iter().chain([candidate]), restored)
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.heard("usage", call, [credential], self.inner().usage(call, credential).await)
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        self.heard("last_used", call, [credential], self.inner().last_used(call, credential).await)
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        let disabled = self.inner().disable(call, previous, current).await;
        self.heard("disable", call, [previous, current], disabled)
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        let revoked = self.inner().revoke(call, previous, current, how).await;
        self.heard("revoke", call, [previous, current], revoked)
    }
}
