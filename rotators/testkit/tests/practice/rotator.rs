//! A rotator of the practice target's accounts, as an author would write it.

use async_trait::async_trait;
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Capabilities, Check, Descriptor, Finding, Origin, Retry, RevokeHow, Rotator,
    RotatorError, Setting, SettingKind, Severity, Shape, Usage,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub struct PracticeRotator;

/// What the target says to one message. `sent` is the effect that a failure has once the message may have left.
async fn ask(call: &Call<'_>, message: Value, changes: bool) -> Result<Value, RotatorError> {
    let until = Instant::from_std(call.until);
    let lost = |what: &str| match changes {
        true => RotatorError::unknown("lost", what.to_owned()),
        false => RotatorError::not_done(Retry::Now, "lost", what.to_owned()),
    };
    if until <= Instant::now() {
        return Err(RotatorError::not_done(Retry::Now, "late", "no time was left"));
    }
    let port = call.target.settings["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let connected = timeout_at(until, TcpStream::connect(("127.0.0.1", port))).await;
    let Ok(Ok(line)) = connected else {
        return Err(RotatorError::not_done(Retry::Now, "unreachable", "the target cannot be reached"));
    };
    let talk = async {
        let mut line = BufReader::new(line);
        line.write_all(format!("{message}\n").as_bytes()).await?;
        let mut answer = String::new();
        line.read_line(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout_at(until, talk).await.map_err(|_| lost("no answer in time"))?;
    let answer = answer.map_err(|_| lost("the line broke"))?;
    serde_json::from_str(&answer).map_err(|_| lost("the line was cut"))
}

/// It did it, or says why not.
async fn done(call: &Call<'_>, message: Value, changes: bool) -> Result<Result<(), String>, RotatorError> {
    let answer = ask(call, message, changes).await?;
    if answer["ok"] == true { Ok(Ok(())) } else { Ok(Err(answer["why"].as_str().unwrap_or_default().to_owned())) }
}

fn text(bundle: &Bundle) -> Result<(String, String), RotatorError> {
    Ok((bundle.username()?, bundle.password()?.expose(str::to_owned)))
}

fn admin(call: &Call<'_>) -> Result<String, RotatorError> {
    match &call.target.admin {
        Admin::Credential(admin) => Ok(admin.password()?.expose(str::to_owned)),
        Admin::Own => Err(RotatorError::not_done(Retry::Never, "no-admin", "an admin's credential is needed")),
    }
}

async fn change(call: &Call<'_>, message: Value) -> Result<(), RotatorError> {
    done(call, message, true).await?.map_err(|why| {
        let retry = if why == "password not allowed" { Retry::NewCandidate } else { Retry::Never };
        RotatorError::not_done(retry, "refused", format!("the target says: {why}"))
    })
}

async fn set(call: &Call<'_>, credential: &Bundle) -> Result<(), RotatorError> {
    let (user, password) = text(credential)?;
    change(call, json!({ "do": "set", "user": user, "password": password, "admin": admin(call)? })).await
}

async fn remove(call: &Call<'_>, credential: &Bundle) -> Result<(), RotatorError> {
    change(call, json!({ "do": "remove", "user": credential.username()?, "admin": admin(call)? })).await
}

async fn accepted(call: &Call<'_>, credential: &Bundle) -> Result<Result<(), String>, RotatorError> {
    let (user, password) = text(credential)?;
    done(call, json!({ "do": "login", "user": user, "password": password }), false).await
}

async fn see(call: &Call<'_>, credential: &Bundle, expected: bool) -> Result<(), RotatorError> {
    let is = accepted(call, credential).await?.is_ok();
    let seen = if is { "still accepted" } else { "refused" };
    if is == expected { Ok(()) } else { Err(RotatorError::not_done(Retry::Now, "not-so", format!("it is {seen}"))) }
}

fn other_than(call: &Call<'_>, ended: &Bundle, live: &Bundle) -> Result<(), RotatorError> {
    let same = match call.target.strategy.shape() {
        Shape::InPlace => ended.password()?.same_as(live.password()?),
        Shape::Alternating | Shape::Overlapping => ended.username()? == live.username()?,
    };
    if same { Err(RotatorError::not_done(Retry::Never, "live", "it is the live one")) } else { Ok(()) }
}

fn in_place(call: &Call<'_>) -> bool {
    call.target.strategy.shape() == Shape::InPlace
}

#[async_trait]
impl Rotator for PracticeRotator {
    fn describe(&self) -> Descriptor {
        let setting = |name: &str, kind, help: &str| Setting {
            name: name.to_owned(),
            kind,
            required: true,
            help: help.to_owned(),
            names_target: true,
        };
        Descriptor {
            kind: "practice".to_owned(),
            version: "1.0.0".to_owned(),
            shapes: vec![Shape::InPlace, Shape::Alternating],
            origin: Origin::Engine,
            settings: vec![
                setting("host", SettingKind::Text, "where it is"),
                setting("port", SettingKind::Integer { min: 1, max: 65_535 }, "where it listens"),
            ],
            capabilities: Capabilities::default(),
            derived_fields: Vec::new(),
        }
    }

    async fn preflight(&self, call: &Call<'_>, _current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let looked = done(call, json!({ "do": "accounts", "admin": admin(call)? }), false).await?;
        let (severity, what) = match looked {
            Ok(()) => (Severity::Fine, "the admin may look".to_owned()),
            Err(why) => (Severity::Error, why),
        };
        Ok(vec![Finding { severity, what, hint: String::new() }])
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, _others: &[&Bundle]) -> Answer {
        match accepted(call, credential).await {
            Ok(Ok(())) => Answer::Yes,
            Ok(Err(reason)) => Answer::No { reason },
            Err(error) => Answer::Unknown(error),
        }
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, _current: Option<&Bundle>) -> Result<(), RotatorError> {
        set(call, candidate).await
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        _current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        if checks.iter().any(|check| *check != Check::Login) {
            return Err(RotatorError::not_done(Retry::Never, "unsupported", "it has no check but the login"));
        }
        see(call, candidate, true).await
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        match current {
            Some(current) if in_place(call) => set(call, current).await,
            Some(current) => {
                other_than(call, candidate, current)?;
                remove(call, candidate).await
            }
            None => remove(call, candidate).await,
        }
    }

    async fn usage(&self, _call: &Call<'_>, _credential: &Bundle) -> Result<Usage, RotatorError> {
        Err(RotatorError::not_done(Retry::Never, "unsupported", "the target does not count sessions"))
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        _how: RevokeHow,
    ) -> Result<(), RotatorError> {
        other_than(call, previous, current)?;
        see(call, current, true).await?;
        if !in_place(call) {
            remove(call, previous).await?;
        }
        see(call, previous, false).await.map_err(|error| RotatorError::unknown(&error.code, error.message))
    }
}
