//! Redaction as a decorator: no secret value that went into a call comes out in its errors.

use std::sync::Arc;

use async_trait::async_trait;
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, Target,
    USERNAME, Usage,
};

/// Stands for a value that must not be shown.
pub const MASK: &str = "•••";

/// Passes calls through, and masks in errors and findings each secret value that it passed in.
pub struct Redacted(Arc<dyn Rotator>);

impl Redacted {
    pub fn new(inner: Arc<dyn Rotator>) -> Self {
        Redacted(inner)
    }
}

/// Masks the values of these bundles, and the admin's, in a text.
fn mask(text: &str, call: &Call<'_>, bundles: &[Option<&Bundle>]) -> String {
    let admin = match &call.target.admin {
        Admin::Credential(bundle) => Some(bundle),
        Admin::Own => None,
    };
    let mut masked = text.to_owned();
    for (field, secret) in bundles.iter().copied().chain([admin]).flatten().flat_map(Bundle::fields) {
        if field != USERNAME {
            secret.expose(|value| {
                if !value.is_empty() && masked.contains(value) {
                    masked = masked.replace(value, MASK);
                }
            });
        }
    }
    masked
}

fn clean(mut error: RotatorError, call: &Call<'_>, bundles: &[Option<&Bundle>]) -> RotatorError {
    error.message = mask(&error.message, call, bundles);
    error.code = mask(&error.code, call, bundles);
    error
}

#[async_trait]
impl Rotator for Redacted {
    fn describe(&self) -> Descriptor {
        self.0.describe()
    }

    fn derive_field(&self, target: &Target, bundle: &Bundle, field: &str) -> Option<Secret> {
        self.0.derive_field(target, bundle, field)
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let findings = self.0.preflight(call, current).await.map_err(|e| clean(e, call, &[current]))?;
        Ok(findings
            .into_iter()
            .map(|f| Finding { what: mask(&f.what, call, &[current]), hint: mask(&f.hint, call, &[current]), ..f })
            .collect())
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        let known: Vec<_> = others.iter().copied().chain([credential]).map(Some).collect();
        match self.0.probe(call, credential, others).await {
            Answer::Yes => Answer::Yes,
            Answer::No { reason } => Answer::No { reason: mask(&reason, call, &known) },
            Answer::Unknown(error) => Answer::Unknown(clean(error, call, &known)),
        }
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        self.0.generate(call, current).await.map_err(|e| clean(e, call, &[current]))
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.0.apply(call, candidate, current).await.map_err(|e| clean(e, call, &[Some(candidate), current]))
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        self.0.verify(call, candidate, current, checks).await.map_err(|e| clean(e, call, &[Some(candidate), current]))
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.0.restore(call, candidate, current).await.map_err(|e| clean(e, call, &[Some(candidate), current]))
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.0.usage(call, credential).await.map_err(|e| clean(e, call, &[Some(credential)]))
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        self.0.revoke(call, previous, current, how).await.map_err(|e| clean(e, call, &[Some(previous), Some(current)]))
    }
}
