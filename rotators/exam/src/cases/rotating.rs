//! The way from a candidate to the new live credential, and the questions on it.

use keywheel_sdk::{Check, Severity, Shape};

use super::super::Candidate;
use super::super::sitting::{HARD, KEEP, Sitting, Verdict, expect, not_done, said, with_password};

pub(super) async fn preflight_finds_no_error(sitting: &Sitting<'_>) -> Verdict {
    let stage = sitting.stage;
    let rotator = sitting.subject.rotator();
    let findings = rotator.preflight(&sitting.call(), Some(&stage.current)).await.map_err(said("preflight"))?;
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    expect(errors.is_empty(), || format!("no error findings, got {errors:?}"))?;
    sitting.accepted("current after preflight", &stage.current).await?;
    sitting.more_keys("after preflight", 0).await?;
    match &stage.candidate {
        Candidate::Given(candidate) => sitting.refused("candidate after preflight", candidate).await,
        Candidate::Generated => Ok(()),
    }
}

pub(super) async fn happy_path(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply_and_verify(&candidate, current).await?;
    if sitting.stage.target.strategy.shape() != Shape::InPlace {
        sitting.accepted("current between apply and revoke", current).await?;
    }
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.accepted("candidate after revoke", &candidate).await?;
    sitting.refused("the replaced credential after revoke", current).await?;
    sitting.more_keys("after a whole rotation", 0).await
}

pub(super) async fn two_in_a_row(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let first = sitting.candidate().await?;
    sitting.apply_and_verify(&first, current).await?;
    sitting.revoke(current, &first, HARD).await?;
    let next = sitting.next_rotation();
    let second = next.candidate_after(&first).await?;
    next.apply_and_verify(&second, &first).await?;
    next.revoke(&first, &second, KEEP).await?;
    sitting.accepted("the second candidate", &second).await?;
    sitting.refused("the first candidate", &first).await?;
    sitting.more_keys("after two rotations", 0).await
}

pub(super) async fn apply_twice(sitting: &Sitting<'_>) -> Verdict {
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(&sitting.stage.current)).await?;
    sitting.apply(&candidate, Some(&sitting.stage.current)).await?;
    sitting.accepted("candidate", &candidate).await
}

pub(super) async fn verify_refuses(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.unaccepted().await?;
    not_done("verify of a candidate that is not accepted", sitting.verify_in_vain(&candidate, current).await)?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate", &candidate).await
}

/// Who does not know a check says so: one that was passed over would have passed for everybody.
pub(super) async fn verify_runs_checks(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply_and_verify(&candidate, current).await?;
    let checks = [Check::Login, Check::Sql("this is no statement".to_owned())];
    let verified = sitting.subject.rotator().verify(&sitting.call(), &candidate, Some(current), &checks).await;
    not_done("verify with a check that cannot pass", verified)?;
    sitting.accepted("candidate", &candidate).await
}

pub(super) async fn probe_tells_the_truth(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let unaccepted = sitting.unaccepted().await?;
    sitting.probed("current before apply", current, &[&unaccepted], true).await?;
    sitting.probed("a candidate that is not accepted", &unaccepted, &[current], false).await?;
    sitting.accepted("current after two probes", current).await?;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    sitting.probed("candidate after apply", &candidate, &[current], true).await?;
    let side_by_side = sitting.stage.target.strategy.shape() != Shape::InPlace;
    sitting.probed("current after apply", current, &[&candidate], side_by_side).await?;
    sitting.accepted("candidate after two probes", &candidate).await
}

/// Where a change would break the line, two probes pass.
pub(super) async fn probe_sends_no_change(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (unaccepted, current) = (sitting.unaccepted().await?, &sitting.stage.current);
    let strikes = line.strikes();
    line.cut_before_next_change();
    sitting.probed_on(target, "current", current, &[&unaccepted], true).await?;
    sitting.probed_on(target, "a candidate that is not accepted", &unaccepted, &[current], false).await?;
    let changes = line.strikes().saturating_sub(strikes);
    expect(changes == 0, || format!("no change by a probe, it sent {changes}"))
}

/// A whole rotation in which each call comes a second time, as after a crash.
pub(super) async fn each_call_twice(sitting: &Sitting<'_>) -> Verdict {
    let (rotator, current) = (sitting.subject.rotator(), &sitting.stage.current);
    let candidate = sitting.candidate().await?;
    for times in ["once", "twice"] {
        rotator.preflight(&sitting.call(), Some(current)).await.map_err(said("preflight"))?;
        sitting.probed(&format!("current, asked {times},"), current, &[&candidate], true).await?;
    }
    for _ in 0..2 {
        sitting.apply(&candidate, Some(current)).await?;
    }
    for times in ["once", "twice"] {
        sitting.verify(&candidate, current).await.map_err(said("verify"))?;
        sitting.probed(&format!("candidate, asked {times},"), &candidate, &[current], true).await?;
    }
    for _ in 0..2 {
        sitting.revoke(current, &candidate, KEEP).await?;
    }
    sitting.accepted("candidate", &candidate).await?;
    sitting.refused("the replaced credential", current).await?;
    sitting.more_keys("after a whole rotation", 0).await
}

pub(super) async fn probe_of_absent_account(sitting: &Sitting<'_>) -> Verdict {
    sitting.probed("an absent account", &sitting.stranger(), &[], false).await
}

pub(super) async fn odd_passwords(sitting: &Sitting<'_>) -> Verdict {
    let account = sitting.candidate().await?;
    let mut live = sitting.stage.current.duplicate();
    for (number, password) in sitting.stage.odd_passwords.iter().enumerate() {
        let candidate = with_password(&account, password);
        if candidate.same_as(&live) {
            continue;
        }
        sitting.apply(&candidate, Some(&live)).await.map_err(|how| format!("odd password {number}: {how}"))?;
        sitting.accepted(&format!("odd password {number}"), &candidate).await?;
        sitting.probed(&format!("odd password {number}"), &candidate, &[], true).await?;
        if sitting.stage.target.strategy.shape() == Shape::InPlace {
            live = candidate;
        }
    }
    Ok(())
}
