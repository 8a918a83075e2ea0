//! What goes wrong on the way, and must leave nothing behind.

use std::time::Duration;

use keywheel_sdk::{Answer, Call, Effect, Retry, Rotator, Severity};

use crate::case::Case;
use crate::double::{Double, EARLIER, Fault};
use crate::life::HOW;

/// All of it, one after another.
pub async fn all(case: &'static Case) {
    a_lost_answer(case).await;
    rolled_back(case).await;
    full(case).await;
    a_strange_admin(case).await;
    asked_too_often(case).await;
    if !case.exclusive {
        an_orphan_on_the_last_page(case).await;
    }
}

/// The vendor has made or deleted a key, and its answer is lost.
async fn a_lost_answer(case: &'static Case) {
    let double = Double::start(case).await;
    let rotator = &double.rotator;
    let current = double.has(&double.earlier());
    let before = double.shelf().ids();
    double.fault("create", Fault::CutAfter);
    let error = rotator.generate(&double.call(), Some(&current)).await.err().unwrap();
    assert_eq!(error.effect, Effect::Unknown, "{error}");
    assert_eq!(double.shelf().ids().len(), 2, "it was made");
    rotator.sweep(&double.call(), &[EARLIER.to_owned()], &[&current]).await.unwrap();
    assert_eq!(double.shelf().ids(), before, "nobody holds it, so it is gone");

    let candidate = rotator.generate(&double.call(), Some(&current)).await.unwrap();
    double.fault("delete", Fault::CutAfter);
    let error = rotator.revoke(&double.call(), &current, &candidate, HOW).await.unwrap_err();
    assert_eq!(error.effect, Effect::Unknown, "{error}");
    rotator.revoke(&double.call(), &current, &candidate, HOW).await.unwrap();
    assert_eq!(rotator.probe(&double.call(), &candidate, &[]).await, Answer::Yes);
    double.was_asked_rightly();
}

async fn rolled_back(case: &'static Case) {
    let double = Double::start(case).await;
    let rotator = &double.rotator;
    let current = double.has(&double.earlier());
    let before = double.shelf().ids();
    let candidate = rotator.generate(&double.call(), Some(&current)).await.unwrap();
    for _ in 0..2 {
        rotator.restore(&double.call(), &candidate, Some(&current)).await.unwrap();
        rotator.sweep(&double.call(), &[EARLIER.to_owned()], &[&current]).await.unwrap();
        assert_eq!(double.shelf().ids(), before);
    }
    assert!(matches!(rotator.probe(&double.call(), &candidate, &[]).await, Answer::No { .. }));
    assert_eq!(rotator.probe(&double.call(), &current, &[]).await, Answer::Yes);
    double.was_asked_rightly();
}

/// No further key is allowed.
async fn full(case: &'static Case) {
    let double = Double::start(case).await;
    let current = double.has(&double.earlier());
    double.shelf().limit = 2;
    double.has("made by hand");
    let before = double.shelf().ids();
    let error = double.rotator.generate(&double.call(), Some(&current)).await.err().unwrap();
    assert_eq!((error.effect, error.code.as_str()), (Effect::None, case.full), "{error}");
    assert_eq!(double.shelf().ids(), before);
    double.was_asked_rightly();
}

/// The admin's credential is no longer right.
async fn a_strange_admin(case: &'static Case) {
    let double = Double::start(case).await;
    let current = double.has(&double.earlier());
    let before = double.shelf().ids();
    let stranger = double.stranger();
    let call = Call { target: &stranger, ..double.call() };
    let findings = double.rotator.preflight(&call, Some(&current)).await.unwrap();
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{findings:?}");
    let errors = [
        double.rotator.generate(&call, Some(&current)).await.err().unwrap(),
        double.rotator.sweep(&call, &[EARLIER.to_owned()], &[&current]).await.unwrap_err(),
        double.rotator.restore(&call, &double.has("made by hand"), Some(&current)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.effect, Effect::None, "{error}");
        assert!(!error.message.contains(case.wrong_admin), "{error}");
    }
    assert_eq!(double.shelf().ids().len(), before.len() + 1);
    double.was_asked_rightly();
}

async fn asked_too_often(case: &'static Case) {
    let double = Double::start(case).await;
    let rotator = &double.rotator;
    let current = double.has(&double.earlier());
    let candidate = rotator.generate(&double.call(), Some(&current)).await.unwrap();
    let before = double.shelf().ids();
    let slow_down = || Fault::Instead(429, &[("retry-after", "7")], String::new());
    for name in ["list", "create", "delete"] {
        double.fault(name, slow_down());
        let error = match name {
            "list" => rotator.sweep(&double.call(), &[EARLIER.to_owned()], &[&current]).await.unwrap_err(),
            "create" => rotator.generate(&double.call(), Some(&current)).await.err().unwrap(),
            _ => rotator.restore(&double.call(), &candidate, Some(&current)).await.unwrap_err(),
        };
        let after = if case.disables && name == "delete" { Effect::Unknown } else { Effect::None };
        assert_eq!((error.effect, error.retry), (after, Retry::After(Duration::from_secs(7))), "{name}: {error}");
        assert_eq!(double.shelf().ids(), before, "{name}");
    }
    double.fault("verify", slow_down());
    let answer = rotator.probe(&double.call(), &current, &[]).await;
    assert!(matches!(answer, Answer::Unknown(_)), "who is asked too often says nothing of the key: {answer:?}");
    double.was_asked_rightly();
}

async fn an_orphan_on_the_last_page(case: &'static Case) {
    let double = Double::start(case).await;
    let current = double.has(&double.earlier());
    let others = (2 * case.page).min(case.limit - 3);
    for n in 0..others {
        double.has(&format!("made by hand, {n}"));
    }
    let before = double.shelf().ids();
    double.has(&double.tag());
    // A page may begin with the newest.
    double.shelf().keys.reverse();
    double.has(&double.tag());
    let lists = double.count("list");
    double.rotator.sweep(&double.call(), &[EARLIER.to_owned()], &[&current]).await.unwrap();
    let mut left = double.shelf().ids();
    left.sort();
    let mut expected = before.clone();
    expected.sort();
    assert_eq!(left, expected);
    assert!(others < case.page || double.count("list") - lists >= 3, "it asked for one page only");
    double.was_asked_rightly();
}
