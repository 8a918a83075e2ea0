//! A rotator that answers messages.

use std::time::{Duration, Instant, SystemTime};

use super::reply::{NO, PARTLY, YES};
use super::{FORMAT, Greeting, Hello, OnTarget, Reply, Request, Verb};
use crate::{Answer, Bundle, Call, Retry, Rotator, RotatorError};

/// What `rotator` answers to the engine's first message; nothing where the engine speaks none of our formats.
pub fn greet(rotator: &dyn Rotator, hello: &Hello) -> Option<Greeting> {
    let greeting = || Greeting { r#type: "rotator".to_owned(), format: FORMAT, descriptor: rotator.describe() };
    hello.formats.contains(&FORMAT).then(greeting)
}

/// Lets `rotator` answer one call. `now` is the moment at which the request came.
pub async fn answer(rotator: &dyn Rotator, request: Request, now: Instant) -> Reply {
    let id = request.id;
    called(rotator, request, now).await.unwrap_or_else(|error| Reply::failed(id, error))
}

async fn called(rotator: &dyn Rotator, request: Request, now: Instant) -> Result<Reply, RotatorError> {
    let done = Reply::done(request.id);
    let target = request.target.map(OnTarget::into_target);
    let target = || target.as_ref().ok_or_else(|| lacks("target"));
    let until = now + Duration::from_millis(request.left_ms);
    let call = || target().map(|target| Call { target, rotation: &request.rotation, fence: request.fence, until });
    let credential = || needed(request.credential.as_ref(), "credential");
    let candidate = || needed(request.candidate.as_ref(), "candidate");
    let previous = || needed(request.previous.as_ref(), "previous");
    let current = request.current.as_ref();
    match request.call {
        Verb::Preflight => Ok(Reply { findings: Some(rotator.preflight(&call()?, current).await?), ..done }),
        Verb::DeriveField => {
            let field = request.field.as_deref().ok_or_else(|| lacks("field"))?;
            let derived = rotator.derive_field(&call()?, credential()?, field).await?;
            Ok(Reply { made: derived.map(|value| Bundle::new().with(field, value)), ..done })
        }
        Verb::Probe => {
            let others: Vec<&Bundle> = request.others.iter().collect();
            let (answer, reason) = match rotator.probe(&call()?, credential()?, &others).await {
                Answer::Yes => (YES, None),
                Answer::No { reason } => (NO, Some(reason)),
                Answer::Partly { reason } => (PARTLY, Some(reason)),
                Answer::Unknown(error) => return Err(error),
            };
            Ok(Reply { answer: Some(answer.to_owned()), reason, ..done })
        }
        Verb::Generate => Ok(Reply { made: Some(rotator.generate(&call()?, current).await?), ..done }),
        Verb::Sweep => {
            let keep: Vec<&Bundle> = request.keep.iter().collect();
            rotator.sweep(&call()?, &request.earlier, &keep).await.map(|()| done)
        }
        Verb::Apply => rotator.apply(&call()?, candidate()?, current).await.map(|()| done),
        Verb::Verify => rotator.verify(&call()?, candidate()?, current, &request.checks).await.map(|()| done),
        Verb::Restore => rotator.restore(&call()?, candidate()?, current).await.map(|()| done),
        Verb::Usage => {
            let usage = rotator.usage(&call()?, credential()?).await?;
            Ok(Reply { sessions: Some(usage.sessions), ..done })
        }
        Verb::LastUsed => {
            let at = rotator.last_used(&call()?, credential()?).await?;
            let last_used = at.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
            Ok(Reply { last_used, ..done })
        }
        Verb::Disable => rotator.disable(&call()?, previous()?, needed(current, "current")?).await.map(|()| done),
        Verb::Revoke => {
            let how = request.how.ok_or_else(|| lacks("how"))?;
            rotator.revoke(&call()?, previous()?, needed(current, "current")?, how).await.map(|()| done)
        }
        Verb::Unknown => {
            let message = "this rotator does not know such a call";
            Err(RotatorError::not_done(Retry::Never, "unsupported", message))
        }
    }
}

fn needed<'a>(bundle: Option<&'a Bundle>, member: &str) -> Result<&'a Bundle, RotatorError> {
    bundle.ok_or_else(|| lacks(member))
}

fn lacks(member: &str) -> RotatorError {
    RotatorError::not_done(Retry::Never, "malformed", format!("the call lacks `{member}`"))
}
