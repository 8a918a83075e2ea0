//! The cases of the exam. Each says in its name what must be true.

use std::pin::Pin;
use std::time::{Duration, Instant};

use keywheel_sdk::{Answer, Bundle, Call, Check, Effect, Retry, RevokeHow, RotatorError, Severity, Shape};

use super::{Outcome, Stage, Subject, call};

/// One case of the table.
pub struct Case {
    /// What must be true.
    pub name: &'static str,
    pub(super) run: for<'a> fn(&'a dyn Subject, Stage) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Why a case ends early: what was expected and what was seen.
type Verdict = Result<(), String>;

const SKIP_NO_LINE: &str = "the line cannot be broken";
const SKIP_NO_ADMIN: &str = "the account manages itself";
const SKIP_SAME_ACCOUNT: &str = "there is one account only";

const KEEP: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };
const DISABLE: RevokeHow = RevokeHow { disable: true, terminate_sessions: true };

macro_rules! case {
    ($name:literal, $run:ident) => {
        Case { name: $name, run: |subject, stage| Box::pin(async move { $run(subject, stage).await.into() }) }
    };
}

/// All cases, in the order in which a reader would ask.
pub const CASES: &[Case] = &[
    case!("preflight of a sound target finds no error and changes nothing", preflight_finds_no_error),
    case!("a rotation from apply to revoke ends with the new credential only", happy_path),
    case!("two rotations in a row work, back to the first account", two_in_a_row),
    case!("apply twice is apply once", apply_twice),
    case!("verify changes nothing and refuses a candidate that was not applied", verify_refuses_unapplied),
    case!("a probe tells the truth before and after, and changes nothing", probe_tells_the_truth),
    case!("a probe of an account that does not exist is a no", probe_of_absent_account),
    case!("restore after apply leaves current accepted and the candidate refused", restore_after_apply),
    case!("restore without apply changes nothing for current", restore_without_apply),
    case!("restore without a current credential refuses the candidate", restore_without_current),
    case!("restore twice is restore once", restore_twice),
    case!("revoke twice is revoke once", revoke_twice),
    case!("revoke with disable and end of sessions keeps current accepted", revoke_hard),
    case!("revoke of the live credential itself is refused", revoke_of_current),
    case!("a wrong admin password changes nothing and says so", wrong_admin),
    case!("a lost acknowledgement of apply is unknown, and the probe says yes", lost_acknowledgement),
    case!("a line cut before apply left changes nothing, and the probe says no", cut_before_effect),
    case!("a stalled line ends at the deadline, and the probe still answers", stalled_line),
    case!("a lost acknowledgement of restore is unknown, and restoring again settles it", lost_restore),
    case!("passwords of unicode, quotes and maximal length work", odd_passwords),
    case!("no error or finding holds a secret value", errors_hold_no_secret),
];

/// A finished verdict, or the reason why the case does not fit.
enum Fits {
    Yes(Verdict),
    No(&'static str),
}

impl From<Fits> for Outcome {
    fn from(fits: Fits) -> Self {
        match fits {
            Fits::Yes(Ok(())) => Outcome::Passed,
            Fits::Yes(Err(how)) => Outcome::Failed(how),
            Fits::No(why) => Outcome::Skipped(why),
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        Fits::Yes(verdict).into()
    }
}

async fn preflight_finds_no_error(subject: &dyn Subject, stage: Stage) -> Verdict {
    let findings = subject.rotator().preflight(&stage.call(), Some(&stage.current)).await.map_err(said("preflight"))?;
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    expect(errors.is_empty(), || format!("no error findings, got {errors:?}"))?;
    accepted(subject, "current after preflight", &stage.current).await?;
    refused(subject, "candidate after preflight", &stage.candidate).await
}

async fn happy_path(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply_and_verify(subject, &stage, &stage.candidate, &stage.current).await?;
    if stage.target.strategy.shape() != Shape::InPlace {
        accepted(subject, "current between apply and revoke", &stage.current).await?;
    }
    revoke(subject, &stage, &stage.current, &stage.candidate, KEEP).await?;
    accepted(subject, "candidate after revoke", &stage.candidate).await?;
    refused(subject, "the replaced credential after revoke", &stage.current).await
}

async fn two_in_a_row(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply_and_verify(subject, &stage, &stage.candidate, &stage.current).await?;
    revoke(subject, &stage, &stage.current, &stage.candidate, DISABLE).await?;
    let second = stage
        .current
        .duplicate()
        .with(keywheel_sdk::PASSWORD, keywheel_sdk::Secret::new("second-rotation-4bXq9".to_owned()));
    apply_and_verify(subject, &stage, &second, &stage.candidate).await?;
    revoke(subject, &stage, &stage.candidate, &second, KEEP).await?;
    accepted(subject, "the second candidate", &second).await?;
    refused(subject, "the first candidate", &stage.candidate).await
}

async fn apply_twice(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    accepted(subject, "candidate", &stage.candidate).await
}

async fn verify_refuses_unapplied(subject: &dyn Subject, stage: Stage) -> Verdict {
    let verify = subject.rotator().verify(&stage.call(), &stage.candidate, Some(&stage.current), &[Check::Login]).await;
    let error = verify.err().ok_or("verify of an unapplied candidate to fail, it passed")?;
    expect(error.effect == Effect::None, || format!("verify to have no effect, got {error:?}"))?;
    accepted(subject, "current", &stage.current).await?;
    refused(subject, "candidate", &stage.candidate).await
}

async fn probe_tells_the_truth(subject: &dyn Subject, stage: Stage) -> Verdict {
    probed(subject, &stage.call(), "current before apply", &stage.current, &[&stage.candidate], true).await?;
    probed(subject, &stage.call(), "candidate before apply", &stage.candidate, &[&stage.current], false).await?;
    accepted(subject, "current after two probes", &stage.current).await?;
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    probed(subject, &stage.call(), "candidate after apply", &stage.candidate, &[&stage.current], true).await?;
    let side_by_side = stage.target.strategy.shape() != Shape::InPlace;
    probed(subject, &stage.call(), "current after apply", &stage.current, &[&stage.candidate], side_by_side).await?;
    accepted(subject, "candidate after two probes", &stage.candidate).await
}

async fn probe_of_absent_account(subject: &dyn Subject, stage: Stage) -> Verdict {
    let nobody = Bundle::login("exam_nobody_here", keywheel_sdk::Secret::new("exam-absent-7Kq2".to_owned()));
    probed(subject, &stage.call(), "an absent account", &nobody, &[], false).await
}

async fn restore_after_apply(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    restore(subject, &stage, Some(&stage.current)).await?;
    accepted(subject, "current", &stage.current).await?;
    refused(subject, "candidate", &stage.candidate).await
}

async fn restore_without_apply(subject: &dyn Subject, stage: Stage) -> Verdict {
    restore(subject, &stage, Some(&stage.current)).await?;
    accepted(subject, "current", &stage.current).await?;
    refused(subject, "candidate", &stage.candidate).await
}

async fn restore_without_current(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    restore(subject, &stage, None).await?;
    refused(subject, "candidate", &stage.candidate).await
}

async fn restore_twice(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    restore(subject, &stage, Some(&stage.current)).await?;
    restore(subject, &stage, Some(&stage.current)).await?;
    accepted(subject, "current", &stage.current).await?;
    refused(subject, "candidate", &stage.candidate).await
}

async fn revoke_twice(subject: &dyn Subject, stage: Stage) -> Verdict {
    apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
    revoke(subject, &stage, &stage.current, &stage.candidate, KEEP).await?;
    revoke(subject, &stage, &stage.current, &stage.candidate, KEEP).await?;
    accepted(subject, "candidate", &stage.candidate).await?;
    refused(subject, "the replaced credential", &stage.current).await
}

async fn revoke_hard(subject: &dyn Subject, stage: Stage) -> Fits {
    if stage.target.strategy.shape() == Shape::InPlace {
        return Fits::No(SKIP_SAME_ACCOUNT);
    }
    let run = async {
        apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
        revoke(subject, &stage, &stage.current, &stage.candidate, DISABLE).await?;
        accepted(subject, "candidate", &stage.candidate).await?;
        refused(subject, "the replaced credential", &stage.current).await
    };
    Fits::Yes(run.await)
}

async fn revoke_of_current(subject: &dyn Subject, stage: Stage) -> Verdict {
    let same = stage.current.duplicate();
    let revoked = subject.rotator().revoke(&stage.call(), &same, &stage.current, DISABLE).await;
    let error = revoked.err().ok_or("revoke of the live credential to be refused, it was done")?;
    expect(error.effect == Effect::None && error.retry == Retry::Never, || format!("None and Never, got {error:?}"))?;
    accepted(subject, "current", &stage.current).await
}

async fn wrong_admin(subject: &dyn Subject, stage: Stage) -> Fits {
    let Some(target) = &stage.wrong_admin else { return Fits::No(SKIP_NO_ADMIN) };
    let run = async {
        let applied = subject.rotator().apply(&call(target), &stage.candidate, Some(&stage.current)).await;
        let error = applied.err().ok_or("apply with a wrong admin to fail, it passed")?;
        expect(error.effect == Effect::None, || format!("effect none, got {error:?}"))?;
        // The admin's credential may be just being rotated: later is as good an answer as never.
        expect(matches!(error.retry, Retry::Never | Retry::After(_)), || {
            format!("retry never or later, got {error:?}")
        })?;
        accepted(subject, "current", &stage.current).await?;
        refused(subject, "candidate", &stage.candidate).await
    };
    Fits::Yes(run.await)
}

async fn lost_acknowledgement(subject: &dyn Subject, stage: Stage) -> Fits {
    let Some((target, line)) = &stage.line else { return Fits::No(SKIP_NO_LINE) };
    let run = async {
        line.lose_next_acknowledgement();
        let applied = subject.rotator().apply(&call(target), &stage.candidate, Some(&stage.current)).await;
        let error = applied.err().ok_or("apply without acknowledgement to fail, it passed")?;
        expect(line.strikes() == 1, || format!("the line to break once, it broke {} times", line.strikes()))?;
        expect(error.effect == Effect::Unknown, || format!("effect unknown, got {error:?}"))?;
        probed(subject, &call(target), "candidate", &stage.candidate, &[&stage.current], true).await?;
        accepted(subject, "candidate", &stage.candidate).await
    };
    Fits::Yes(run.await)
}

async fn cut_before_effect(subject: &dyn Subject, stage: Stage) -> Fits {
    let Some((target, line)) = &stage.line else { return Fits::No(SKIP_NO_LINE) };
    let run = async {
        line.cut_before_next_change();
        let applied = subject.rotator().apply(&call(target), &stage.candidate, Some(&stage.current)).await;
        let error = applied.err().ok_or("apply over a cut line to fail, it passed")?;
        // The rotator cannot know whether the bytes arrived: only the probe can.
        expect(error.effect == Effect::Unknown, || format!("effect unknown, got {error:?}"))?;
        probed(subject, &call(target), "candidate", &stage.candidate, &[&stage.current], false).await?;
        accepted(subject, "current", &stage.current).await
    };
    Fits::Yes(run.await)
}

async fn stalled_line(subject: &dyn Subject, stage: Stage) -> Fits {
    let Some((target, line)) = &stage.line else { return Fits::No(SKIP_NO_LINE) };
    let run = async {
        line.stall_next_change();
        let short = Call { until: Instant::now() + Duration::from_secs(5), ..call(target) };
        let applied = subject.rotator().apply(&short, &stage.candidate, Some(&stage.current)).await;
        let error = applied.err().ok_or("apply over a stalled line to fail, it passed")?;
        expect(error.effect == Effect::Unknown, || format!("effect unknown, got {error:?}"))?;
        probed(subject, &call(target), "candidate", &stage.candidate, &[&stage.current], false).await?;
        accepted(subject, "current", &stage.current).await
    };
    Fits::Yes(run.await)
}

async fn lost_restore(subject: &dyn Subject, stage: Stage) -> Fits {
    let Some((target, line)) = &stage.line else { return Fits::No(SKIP_NO_LINE) };
    let run = async {
        apply(subject, &stage, &stage.candidate, Some(&stage.current)).await?;
        line.lose_next_acknowledgement();
        let restored = subject.rotator().restore(&call(target), &stage.candidate, Some(&stage.current)).await;
        let error = restored.err().ok_or("restore without acknowledgement to fail, it passed")?;
        expect(error.effect == Effect::Unknown, || format!("effect unknown, got {error:?}"))?;
        restore(subject, &stage, Some(&stage.current)).await?;
        accepted(subject, "current", &stage.current).await?;
        refused(subject, "candidate", &stage.candidate).await
    };
    Fits::Yes(run.await)
}

async fn odd_passwords(subject: &dyn Subject, stage: Stage) -> Verdict {
    let mut live = stage.current.duplicate();
    for (number, password) in stage.odd_passwords.iter().enumerate() {
        let candidate = stage.candidate_with(password);
        if candidate.same_as(&live) {
            continue;
        }
        apply(subject, &stage, &candidate, Some(&live)).await.map_err(|how| format!("odd password {number}: {how}"))?;
        accepted(subject, &format!("odd password {number}"), &candidate).await?;
        probed(subject, &stage.call(), &format!("odd password {number}"), &candidate, &[], true).await?;
        if stage.target.strategy.shape() == Shape::InPlace {
            live = candidate;
        }
    }
    Ok(())
}

async fn errors_hold_no_secret(subject: &dyn Subject, stage: Stage) -> Verdict {
    let rotator = subject.rotator();
    let mut texts: Vec<String> = Vec::new();
    let call = stage.call();
    texts.extend(error_text(rotator.verify(&call, &stage.candidate, Some(&stage.current), &[Check::Login]).await));
    texts.extend(error_text(rotator.revoke(&call, &stage.current, &stage.current, KEEP).await));
    texts.extend(rotator.preflight(&call, Some(&stage.candidate)).await.iter().map(|found| format!("{found:?}")));
    texts.push(format!("{:?}", rotator.probe(&call, &stage.candidate, &[&stage.current]).await));
    if let Some(target) = &stage.wrong_admin {
        texts.extend(error_text(rotator.apply(&super::call(target), &stage.candidate, None).await));
    }
    expect(texts.len() >= 4, || format!("at least four texts to search, got {}", texts.len()))?;
    for bundle in [&stage.candidate, &stage.current] {
        let password = bundle.password().map_err(|missing| missing.to_string())?;
        for text in &texts {
            expect(!password.expose(|value| text.contains(value)), || "no password in an error, found one".to_owned())?;
        }
    }
    Ok(())
}

fn error_text(result: Result<(), RotatorError>) -> Option<String> {
    result.err().map(|error| format!("{error} {error:?}"))
}

async fn apply(subject: &dyn Subject, stage: &Stage, candidate: &Bundle, current: Option<&Bundle>) -> Verdict {
    subject.rotator().apply(&stage.call(), candidate, current).await.map_err(said("apply"))
}

async fn apply_and_verify(subject: &dyn Subject, stage: &Stage, candidate: &Bundle, current: &Bundle) -> Verdict {
    apply(subject, stage, candidate, Some(current)).await?;
    let verified = subject.rotator().verify(&stage.call(), candidate, Some(current), &[Check::Login]).await;
    verified.map_err(said("verify"))
}

async fn restore(subject: &dyn Subject, stage: &Stage, current: Option<&Bundle>) -> Verdict {
    subject.rotator().restore(&stage.call(), &stage.candidate, current).await.map_err(said("restore"))
}

async fn revoke(subject: &dyn Subject, stage: &Stage, previous: &Bundle, current: &Bundle, how: RevokeHow) -> Verdict {
    subject.rotator().revoke(&stage.call(), previous, current, how).await.map_err(said("revoke"))
}

async fn accepted(subject: &dyn Subject, what: &str, credential: &Bundle) -> Verdict {
    expect(subject.accepts(credential).await, || format!("{what} to be accepted, it was refused"))
}

async fn refused(subject: &dyn Subject, what: &str, credential: &Bundle) -> Verdict {
    expect(!subject.accepts(credential).await, || format!("{what} to be refused, it was accepted"))
}

async fn probed(
    subject: &dyn Subject,
    call: &Call<'_>,
    what: &str,
    credential: &Bundle,
    others: &[&Bundle],
    expected: bool,
) -> Verdict {
    let answer = subject.rotator().probe(call, credential, others).await;
    let right = match &answer {
        Answer::Yes => expected,
        Answer::No { .. } => !expected,
        Answer::Partly { .. } | Answer::Unknown(_) => false,
    };
    expect(right, || format!("the probe of {what} to be {}, got {answer:?}", if expected { "yes" } else { "no" }))
}

fn said(verb: &'static str) -> impl Fn(RotatorError) -> String {
    move |error| format!("{verb} to succeed, got {error:?}")
}

fn expect(held: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if held { Ok(()) } else { Err(format!("expected {}", otherwise())) }
}
