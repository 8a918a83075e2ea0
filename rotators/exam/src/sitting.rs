//! One case's sitting: the subject on its stage, with what cases ask of both.

use std::time::{Duration, Instant};

use keywheel_sdk::{Answer, Bundle, Call, Check, Effect, RevokeHow, RotatorError, Secret, Strategy, Target};

use super::overheard::Overheard;
use super::{Candidate, Line, Stage, Subject};

/// Why a case ends early: what was expected and what was seen.
pub(super) type Verdict = Result<(), String>;

/// What a rotation takes away and nothing more.
pub(super) const KEEP: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };
/// As hard as it goes.
pub(super) const HARD: RevokeHow = RevokeHow { disable: true, terminate_sessions: true };

/// The rotation of most calls.
const ROTATION: &str = "exam-rotation";
/// One whose id begins like the first one's: who compares beginnings takes it for the same.
const OTHER_ROTATION: &str = "exam-rotation-2";

/// Until a call must have ended; generous enough for a busy machine.
const USUAL: Duration = Duration::from_secs(30);
/// Until a question must have ended whose answer stays no: who gives a target time to know better gives it no more.
const IN_VAIN: Duration = Duration::from_millis(1250);

/// A subject on one stage, in the name of one rotation.
pub(super) struct Sitting<'a> {
    pub subject: &'a dyn Subject,
    /// The same, with what was heard of it.
    pub overheard: &'a Overheard<'a>,
    pub stage: &'a Stage,
    rotation: &'static str,
    /// How many keys the owner had when the case began.
    keys: Option<usize>,
}

impl<'a> Sitting<'a> {
    pub async fn begin(subject: &'a Overheard<'a>, stage: &'a Stage) -> Self {
        Sitting { subject, overheard: subject, stage, rotation: ROTATION, keys: subject.keys().await }
    }

    /// The same stage in another rotation.
    pub fn next_rotation(&self) -> Sitting<'a> {
        Sitting { rotation: OTHER_ROTATION, ..*self }
    }

    /// Whether the subject's keys can be counted.
    pub fn counts(&self) -> bool {
        self.keys.is_some()
    }

    pub fn call(&self) -> Call<'a> {
        self.call_on(&self.stage.target)
    }

    pub fn call_on<'b>(&self, target: &'b Target) -> Call<'b>
    where
        'a: 'b,
    {
        Call { target, rotation: self.rotation, fence: 1, until: Instant::now() + USUAL }
    }

    /// A call for a question whose answer stays no.
    pub fn call_in_vain<'b>(&self, target: &'b Target) -> Call<'b>
    where
        'a: 'b,
    {
        Call { until: Instant::now() + IN_VAIN, ..self.call_on(target) }
    }

    /// The line that can be broken, with the target behind it.
    pub fn line(&self) -> Result<(&'a Target, &'a dyn Line), String> {
        let (target, line) = self.stage.line.as_ref().ok_or("a line that can be broken")?;
        Ok((target, line.as_ref()))
    }

    /// The value that is to replace `current`: the given one, or one that the rotator makes now.
    pub async fn candidate(&self) -> Result<Bundle, String> {
        match &self.stage.candidate {
            Candidate::Given(bundle) => Ok(bundle.duplicate()),
            Candidate::Generated => self.made_beside(&self.stage.current).await,
        }
    }

    /// What replaces `live` in the rotation after: for its predecessor's account where the engine makes it.
    pub async fn candidate_after(&self, live: &Bundle) -> Result<Bundle, String> {
        match &self.stage.candidate {
            Candidate::Given(_) => Ok(with_password(&self.stage.current, &self.subject.password("second-rotation"))),
            Candidate::Generated => self.made_beside(live).await,
        }
    }

    /// A candidate that the target does not accept: not applied yet, or made and taken back.
    pub async fn unaccepted(&self) -> Result<Bundle, String> {
        let candidate = self.candidate().await?;
        match &self.stage.candidate {
            Candidate::Given(_) => {}
            Candidate::Generated => self.restore(&candidate, Some(&self.stage.current)).await?,
        }
        Ok(candidate)
    }

    /// A credential of the right form that nobody ever had.
    pub fn stranger(&self) -> Bundle {
        match &self.stage.target.strategy {
            Strategy::InPlace { .. } | Strategy::Alternating { .. } => {
                Bundle::login("exam_nobody_here", Secret::new(self.subject.password("absent")))
            }
            Strategy::Overlapping => altered(&self.stage.current, |_| true),
        }
    }

    /// As the engine does it: what an earlier try left behind goes first.
    async fn made_beside(&self, live: &Bundle) -> Result<Bundle, String> {
        self.sweep(&[live]).await?;
        self.subject.rotator().generate(&self.call(), Some(live)).await.map_err(said("generate"))
    }

    pub async fn sweep(&self, keep: &[&Bundle]) -> Verdict {
        self.subject.rotator().sweep(&self.call(), &[], keep).await.map_err(said("sweep"))
    }

    pub async fn apply(&self, candidate: &Bundle, current: Option<&Bundle>) -> Verdict {
        self.subject.rotator().apply(&self.call(), candidate, current).await.map_err(said("apply"))
    }

    pub async fn verify(&self, candidate: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        self.subject.rotator().verify(&self.call(), candidate, Some(current), &[Check::Login]).await
    }

    /// Where the candidate is not accepted.
    pub async fn verify_in_vain(&self, candidate: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        let call = self.call_in_vain(&self.stage.target);
        self.subject.rotator().verify(&call, candidate, Some(current), &[Check::Login]).await
    }

    pub async fn apply_and_verify(&self, candidate: &Bundle, current: &Bundle) -> Verdict {
        self.apply(candidate, Some(current)).await?;
        self.verify(candidate, current).await.map_err(said("verify"))
    }

    pub async fn restore(&self, candidate: &Bundle, current: Option<&Bundle>) -> Verdict {
        self.subject.rotator().restore(&self.call(), candidate, current).await.map_err(said("restore"))
    }

    pub async fn revoke(&self, previous: &Bundle, current: &Bundle, how: RevokeHow) -> Verdict {
        self.subject.rotator().revoke(&self.call(), previous, current, how).await.map_err(said("revoke"))
    }

    pub async fn disable(&self, previous: &Bundle, current: &Bundle) -> Verdict {
        self.subject.rotator().disable(&self.call(), previous, current).await.map_err(said("disable"))
    }

    /// Sweeps what `earlier` left, too.
    pub async fn sweep_after(&self, earlier: &Sitting<'_>, keep: &[&Bundle]) -> Verdict {
        let earlier = [earlier.rotation.to_owned()];
        self.subject.rotator().sweep(&self.call(), &earlier, keep).await.map_err(said("sweep"))
    }

    pub async fn accepted(&self, what: &str, credential: &Bundle) -> Verdict {
        expect(self.subject.accepts(credential).await, || format!("{what} to be accepted, it was refused"))
    }

    pub async fn refused(&self, what: &str, credential: &Bundle) -> Verdict {
        expect(!self.subject.accepts(credential).await, || format!("{what} to be refused, it was accepted"))
    }

    pub async fn probed(&self, what: &str, credential: &Bundle, others: &[&Bundle], expected: bool) -> Verdict {
        self.probed_on(&self.stage.target, what, credential, others, expected).await
    }

    pub async fn probed_on(
        &self,
        target: &Target,
        what: &str,
        credential: &Bundle,
        others: &[&Bundle],
        expected: bool,
    ) -> Verdict {
        let answer = self.subject.rotator().probe(&self.call_on(target), credential, others).await;
        let right = match &answer {
            Answer::Yes => expected,
            Answer::No { .. } => !expected,
            Answer::Partly { .. } | Answer::Unknown(_) => false,
        };
        expect(right, || format!("the probe of {what} to be {}, got {answer:?}", if expected { "yes" } else { "no" }))
    }

    /// The owner has so many keys more than when the case began. Holds where nobody can count.
    pub async fn more_keys(&self, when: &str, more: usize) -> Verdict {
        let (Some(before), Some(now)) = (self.keys, self.subject.keys().await) else { return Ok(()) };
        expect(now == before + more, || format!("{} keys {when}, there were {now}", before + more))
    }
}

/// The line, which had broken `before` times, broke once more.
pub(super) fn broke_once(line: &dyn Line, before: u64) -> Verdict {
    let times = line.strikes().saturating_sub(before);
    expect(times == 1, || format!("the line to break once, it broke {times} times"))
}

/// The same account with another password.
pub(super) fn with_password(account: &Bundle, password: &str) -> Bundle {
    account.duplicate().with(keywheel_sdk::PASSWORD, Secret::new(password.to_owned()))
}

/// A copy in which the end of each field that `which` names is another one of the same form: letters stay letters.
pub(super) fn altered(bundle: &Bundle, which: impl Fn(&str) -> bool) -> Bundle {
    bundle.fields().fold(Bundle::new(), |made, (field, value)| {
        let value = if which(field) { value.expose(altered_text) } else { value.duplicate() };
        made.with(field, value)
    })
}

fn altered_text(text: &str) -> Secret {
    let begin = text.chars().count().saturating_sub(8);
    let other = |(at, c): (usize, char)| match c {
        _ if at < begin => c,
        'a'..='y' | 'A'..='Y' | '0'..='8' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        _ => c,
    };
    Secret::new(text.chars().enumerate().map(other).collect())
}

/// The failure of a call that must fail, with an effect that nobody may deny.
pub(super) fn unknown<T>(what: &str, result: Result<T, RotatorError>) -> Result<RotatorError, String> {
    let error = failed(what, result)?;
    expect(error.effect == Effect::Unknown, || format!("effect unknown, got {error:?}"))?;
    Ok(error)
}

/// The failure of a call that must fail, with nothing changed.
pub(super) fn not_done<T>(what: &str, result: Result<T, RotatorError>) -> Result<RotatorError, String> {
    let error = failed(what, result)?;
    expect(error.effect == Effect::None, || format!("no effect, got {error:?}"))?;
    Ok(error)
}

/// The failure of a call that must fail.
pub(super) fn failed<T>(what: &str, result: Result<T, RotatorError>) -> Result<RotatorError, String> {
    result.err().ok_or_else(|| format!("expected {what} to fail, it passed"))
}

/// Turns a failure into what was expected instead.
pub(super) fn said(verb: &'static str) -> impl Fn(RotatorError) -> String {
    move |error| format!("expected {verb} to succeed, got {error:?}")
}

pub(super) fn expect(held: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if held { Ok(()) } else { Err(format!("expected {}", otherwise())) }
}
