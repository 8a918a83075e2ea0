//! The whole life of a key at its vendor, as a rotation leads it.

use std::path::Path;

use keywheel_sdk::{Answer, Check, RevokeHow, Rotator, Severity};

use crate::case::Case;
use crate::double::{Double, EARLIER};

pub const HOW: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };

/// From the first look to the second revocation, beside keys of others. What went over the wire is compared with
/// `golden/<provider>.txt`; `KEYWHEEL_BLESS=1 cargo test` writes that anew.
pub async fn whole(case: &'static Case) {
    let double = Double::start(case).await;
    let rotator = &double.rotator;
    let current = double.has(&double.earlier());
    if !case.exclusive {
        double.has("made by hand");
    }
    let before = double.shelf().ids();

    double.heading("preflight: what is there?");
    let findings = rotator.preflight(&double.call(), Some(&current)).await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:?}");

    double.heading("generate: is anything left of this rotation? a second key");
    rotator.sweep(&double.call(), &[EARLIER.to_owned()], &[&current]).await.unwrap();
    let candidate = rotator.generate(&double.call(), Some(&current)).await.unwrap();
    let made = double.shelf().keys.last().unwrap().clone();
    assert!(candidate.get("key_id").unwrap().expose(|id| id == made.id));
    assert!(candidate.get(case.field).unwrap().expose(|secret| secret == made.secret), "the secret is another one");
    if !case.exclusive {
        assert_eq!(made.name, double.tag());
    }

    double.heading("apply and verify: is it accepted?");
    rotator.apply(&double.call(), &candidate, Some(&current)).await.unwrap();
    rotator.verify(&double.call(), &candidate, Some(&current), &[Check::Login]).await.unwrap();
    assert_eq!(rotator.probe(&double.call(), &current, &[]).await, Answer::Yes, "both are accepted at once");

    if rotator.describe().capabilities.last_used {
        double.heading("last used: when was the one before?");
        assert!(rotator.last_used(&double.call(), &current).await.unwrap().is_some(), "the probe used it");
    }

    double.heading("revoke: the one before ends");
    rotator.revoke(&double.call(), &current, &candidate, HOW).await.unwrap();
    assert!(matches!(rotator.probe(&double.call(), &current, &[]).await, Answer::No { .. }));
    assert_eq!(rotator.probe(&double.call(), &candidate, &[]).await, Answer::Yes);

    double.heading("revoke, again: it is gone");
    rotator.revoke(&double.call(), &current, &candidate, HOW).await.unwrap();
    let mut left = before.clone();
    left.remove(0);
    left.push(made.id);
    assert_eq!(double.shelf().ids(), left, "keys of others are untouched");
    double.was_asked_rightly();

    compare(case.provider, &double.record());
}

#[expect(clippy::disallowed_methods, reason = "how one tells a test to write what it would compare")]
pub fn compare(provider: &str, record: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendors/golden").join(format!("{provider}.txt"));
    if std::env::var_os("KEYWHEEL_BLESS").is_some() {
        std::fs::write(&path, record).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == record, "{} is not what goes over the wire:\n{record}", path.display());
}
