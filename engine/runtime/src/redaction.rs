//! Redaction as a decorator: no secret value that went into a call comes out in its errors.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, USERNAME, Usage,
};

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
    let fields = bundles.iter().copied().chain([admin]).flatten().flat_map(Bundle::fields);
    keywheel_sdk::mask(text, fields.filter(|(field, _)| *field != USERNAME).map(|(_, secret)| secret))
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

    fn check_settings(&self, settings: &serde_json::Map<String, serde_json::Value>) -> Result<(), String> {
        self.0.check_settings(settings)
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        let derived = self.0.derive_field(call, credential, field).await;
        derived.map_err(|error| clean(error, call, &[Some(credential)]))
    }

    fn place(&self, settings: &serde_json::Map<String, serde_json::Value>) -> keywheel_sdk::Place {
        self.0.place(settings)
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
            Answer::Partly { reason } => Answer::Partly { reason: mask(&reason, call, &known) },
            Answer::Unknown(error) => Answer::Unknown(clean(error, call, &known)),
        }
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        self.0.generate(call, current).await.map_err(|e| clean(e, call, &[current]))
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        let known: Vec<_> = keep.iter().copied().map(Some).collect();
        self.0.sweep(call, earlier, keep).await.map_err(|e| clean(e, call, &known))
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

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        self.0.last_used(call, credential).await.map_err(|e| clean(e, call, &[Some(credential)]))
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        self.0.disable(call, previous, current).await.map_err(|e| clean(e, call, &[Some(previous), Some(current)]))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use keywheel_sdk::{Strategy, Target};

    use super::*;

    fn masked(text: &str, values: [&str; 2], admin: &str) -> String {
        let bundle = |value: &str| Bundle::login("orders", Secret::new(value.to_owned()));
        let target = Target {
            settings: serde_json::Map::new(),
            strategy: Strategy::Overlapping,
            admin: Admin::Credential(bundle(admin)),
            generates: None,
        };
        let until = Instant::now() + Duration::from_secs(1);
        let call = Call { target: &target, rotation: "rotation-1", fence: 1, until };
        let [first, second] = values.map(bundle);
        mask(text, &call, &[Some(&first), None, Some(&second)])
    }

    #[test]
    fn a_value_inside_another_leaves_no_rest() {
        for values in [["pass", "pass-word-9"], ["pass-word-9", "pass"], ["word", "pass-word-9"]] {
            assert_eq!(masked("refused `pass-word-9` of orders", values, "admin"), "refused `•••` of orders");
            assert_eq!(masked("refused `x` of orders", values, "pass-word-9"), "refused `x` of orders");
        }
        assert_eq!(masked("it was pass-word-9!", ["word", "other"], "pass-word-9"), "it was •••!", "the admin's too");
    }

    #[test]
    fn values_that_overlap_leave_no_rest() {
        assert_eq!(masked("<one-two-three>", ["one-two", "two-three"], "admin"), "<•••>");
        assert_eq!(masked("<ababa>", ["aba", "other"], "admin"), "<•••>");
        assert_eq!(masked("<ßäßäß> ß", ["ßäß", "other"], "admin"), "<•••> ß");
    }

    #[test]
    fn what_is_no_secret_stays() {
        assert_eq!(masked("the role `orders` is gone", ["", "x9"], "y9"), "the role `orders` is gone");
        assert_eq!(masked("x9 and x9, y9", ["x9", "x9"], "y9"), "••• and •••, •••");
    }
}
