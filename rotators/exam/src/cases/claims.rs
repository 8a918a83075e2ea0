//! What a rotator says of itself.

use keywheel_sdk::{Admin, Effect, Origin, RotatorError, Target};

use super::super::Candidate;
use super::super::sitting::{Sitting, Verdict, expect, not_done, said};

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

/// A claimed call may fail, for want of rights, but is known and changes nothing; so is another one, which is refused.
fn done_if_claimed<T>(call: &str, claimed: bool, result: Result<T, RotatorError>) -> Verdict {
    match result {
        Err(error) if claimed => {
            let known = error.code != UNSUPPORTED && error.effect == Effect::None;
            expect(known, || format!("`{call}`, which it claims, to be done, got {error:?}"))
        }
        Ok(_) if claimed => Ok(()),
        result => not_done(&format!("`{call}`, which it does not claim,"), result).map(drop),
    }
}

pub(super) async fn self_managed(sitting: &Sitting<'_>) -> Verdict {
    let Target { settings, strategy, generates, .. } = &sitting.stage.target;
    let own =
        Target { settings: settings.clone(), strategy: strategy.clone(), admin: Admin::Own, generates: *generates };
    let (rotator, call, current) = (sitting.subject.rotator(), sitting.call_on(&own), &sitting.stage.current);
    let candidate = sitting.candidate().await?;
    rotator.apply(&call, &candidate, Some(current)).await.map_err(said("apply without an admin"))?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.refused("the replaced credential", current).await?;
    rotator.restore(&call, &candidate, Some(current)).await.map_err(said("restore without an admin"))?;
    sitting.accepted("current after restore", current).await
}
