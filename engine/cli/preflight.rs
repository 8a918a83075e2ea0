//! What a rotator finds before anything is changed.

use keywheel_policies::Policy;
use keywheel_runtime::{Engine, target_of};
use keywheel_sdk::{Call, Finding, Severity};
use keywheel_secrets::{Label, Selector};

/// All findings for one policy. What keeps the question from being asked is a finding too. Changes nothing.
pub async fn findings(engine: &Engine, policy: &Policy) -> Vec<Finding> {
    let current = match engine.secrets.read(&policy.secret.name, Selector::Label(Label::Current)).await {
        Ok(stored) => stored.map(|stored| stored.bundle),
        Err(error) => return vec![broken(error.to_string(), "")],
    };
    let target = match target_of(policy, engine.secrets.as_ref(), &engine.environment).await {
        Ok(target) => target,
        Err(error) => return vec![broken(error.to_string(), "")],
    };
    let Some(rotator) = engine.rotators.of(policy) else {
        return vec![broken(format!("there is no rotator `{}`", policy.rotator), "")];
    };
    // No rotation is under way: nothing is tagged with this word, since preflight changes nothing.
    let call = Call {
        target: &target,
        rotation: "preflight",
        fence: 0,
        until: std::time::Instant::now() + engine.limits.step,
    };
    match tokio::time::timeout(engine.limits.step, rotator.preflight(&call, current.as_ref())).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![broken(error.message, "")],
        Err(_) => vec![broken(
            format!("no answer within {} s", engine.limits.step.as_secs()),
            "is the target reachable from here?",
        )],
    }
}

fn broken(what: String, hint: &str) -> Finding {
    Finding { severity: Severity::Error, what, hint: hint.to_owned() }
}

/// The word for tables and JSON.
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Fine => "fine",
    }
}
