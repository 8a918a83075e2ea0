//! What a rotator says of itself, and what it says when it fails.

use keywheel_sdk::{Admin, Bundle, Effect, Origin, RotatorError};

use super::super::Candidate;
use super::super::sitting::{KEEP, Sitting, Verdict, expect, not_done};

/// The word with which a call is refused that the rotator cannot do at all.
const UNSUPPORTED: &str = "unsupported";

pub(super) async fn descriptor(sitting: &Sitting<'_>) -> Verdict {
    let (rotator, stage) = (sitting.subject.rotator(), sitting.stage);
    let (described, call, current) = (rotator.describe(), sitting.call(), &stage.current);
    let claims = described.capabilities;

    let shape = stage.target.strategy.shape();
    expect(described.shapes.contains(&shape), || format!("{shape:?} among its shapes {:?}", described.shapes))?;
    let settings = rotator.check_settings(&stage.target.settings);
    expect(settings.is_ok(), || format!("its target's settings to be right, got {settings:?}"))?;
    match &stage.target.admin {
        Admin::Own => expect(claims.self_managed, || "the claim `self_managed`, which is used here".to_owned())?,
        Admin::Credential(_) => {}
    }
    let origin = match &stage.candidate {
        Candidate::Given(_) => Origin::Engine,
        Candidate::Generated => Origin::Provider,
    };
    expect(described.origin == origin, || format!("the origin {origin:?}, it claims {:?}", described.origin))?;

    let candidate = sitting.candidate().await?;
    match origin {
        Origin::Engine => {
            not_done("generate where the engine makes the value", rotator.generate(&call, Some(current)).await)?;
            for field in &described.derived_fields {
                let derived = rotator.derive_field(&call, &candidate, field).await.map(|value| value.is_some());
                expect(derived == Ok(true), || format!("the field `{field}`, which it claims, got {derived:?}"))?;
            }
            let other = rotator.derive_field(&call, &candidate, "no-such-field").await.map(|value| value.is_some());
            let refused = matches!(&other, Err(error) if error.effect == Effect::None);
            expect(refused || other == Ok(false), || format!("no field that it does not claim, got {other:?}"))?;
        }
        Origin::Provider => {
            let foreign = candidate.fields().find(|(field, _)| !described.derived_fields.iter().any(|f| f == field));
            expect(foreign.is_none(), || {
                let field = foreign.map(|(field, _)| field).unwrap_or_default();
                format!("fields of {:?} only, got `{field}`", described.derived_fields)
            })?;
        }
    }

    done_if_claimed("usage", claims.usage, rotator.usage(&call, &candidate).await)?;
    done_if_claimed("last_used", claims.last_used, rotator.last_used(&call, &candidate).await)?;
    if !claims.disable {
        not_done("disable, which it does not claim,", rotator.disable(&call, current, &candidate).await)?;
    }
    sitting.accepted("current", current).await
}

/// A claimed call may fail, for want of rights, but is known; another one is refused and changes nothing.
fn done_if_claimed<T>(call: &str, claimed: bool, result: Result<T, RotatorError>) -> Verdict {
    match result {
        Err(error) if claimed => {
            expect(error.code != UNSUPPORTED, || format!("`{call}`, which it claims, to be done, got {error:?}"))
        }
        Ok(_) if claimed => Ok(()),
        result => not_done(&format!("`{call}`, which it does not claim,"), result).map(drop),
    }
}

pub(super) async fn errors_hold_no_secret(sitting: &Sitting<'_>) -> Verdict {
    let (rotator, stage) = (sitting.subject.rotator(), sitting.stage);
    let (call, current) = (sitting.call(), &stage.current);
    let candidate = sitting.unaccepted().await?;
    let mut texts: Vec<String> = Vec::new();
    texts.extend(error_text(sitting.verify_in_vain(&candidate, current).await));
    texts.extend(error_text(rotator.revoke(&call, current, current, KEEP).await));
    texts.extend(rotator.preflight(&call, Some(&candidate)).await.iter().map(|found| format!("{found:?}")));
    texts.push(format!("{:?}", rotator.probe(&call, &candidate, &[current]).await));
    if let Some(target) = &stage.wrong_admin {
        let call = sitting.call_on(target);
        texts.extend(error_text(rotator.apply(&sitting.call_in_vain(target), &candidate, None).await));
        texts.extend(error_text(rotator.generate(&call, Some(current)).await));
        texts.extend(error_text(rotator.sweep(&call, &[], &[current]).await));
        texts.extend(rotator.preflight(&call, Some(current)).await.iter().map(|found| format!("{found:?}")));
    }
    expect(texts.len() >= 4, || format!("at least four texts to search, got {}", texts.len()))?;
    let targets = [Some(&stage.target), stage.wrong_admin.as_ref()];
    let admins = targets.into_iter().flatten().filter_map(|target| match &target.admin {
        Admin::Credential(bundle) => Some(bundle),
        Admin::Own => None,
    });
    for bundle in [&candidate, current].into_iter().chain(admins) {
        hold_none_of(sitting, &texts, bundle)?;
    }
    Ok(())
}

fn hold_none_of(sitting: &Sitting<'_>, texts: &[String], bundle: &Bundle) -> Verdict {
    for (field, value) in bundle.fields().filter(|(field, _)| !sitting.subject.is_public(field)) {
        for text in texts {
            let clean = !value.expose(|value| text.contains(value));
            expect(clean, || format!("no `{field}` in an error, found one"))?;
        }
    }
    Ok(())
}

fn error_text<T>(result: Result<T, RotatorError>) -> Option<String> {
    result.err().map(|error| format!("{error} {error:?}"))
}
