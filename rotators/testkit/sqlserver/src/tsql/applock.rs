//! `sp_getapplock` and `sp_releaseapplock`.

use std::time::Duration;

use super::procedure::Given;
use super::scene::{Outcome, Scene, Stop};
use super::value::truncated;
use crate::instance::database::PUBLIC;
use crate::instance::locks::{Asked, Mode, Owner, Target};
use crate::instance::message::error;

const INVALID: i32 = -999;

/// 0: granted at once. 1: granted after waiting. -1: timed out. -3: chosen as deadlock victim. -999: wrongly called.
pub(crate) fn get(scene: &mut Scene<'_>, given: &Given) -> Outcome<i32> {
    if let Some(status) = scene.waited.take() {
        return Ok(status);
    }
    let mode = given.text("@LockMode", 1).and_then(|mode| Mode::named(&mode));
    let (Some(mode), Some((target, owner))) = (mode, target(scene, given, 2, 4)) else {
        return invalid(scene, "sys.sp_getapplock");
    };
    if owner == Owner::Transaction && scene.me.transaction.is_none() {
        let text = "You attempted to acquire a transactional application lock without an active transaction.";
        return complain(scene, 15626, text);
    }
    let timeout = given.number("@LockTimeout", 3).unwrap_or(scene.me.flags.lock_timeout);
    if timeout < -1 {
        return invalid(scene, "sys.sp_getapplock");
    }
    match scene.state.locks.ask(scene.me.serial, &target, mode, owner, timeout != 0) {
        Asked::Granted => Ok(0),
        Asked::Deadlock => Ok(-3),
        Asked::Waiting(_) if timeout == 0 => Ok(-1),
        Asked::Waiting(ticket) => {
            Err(Stop::Lock { ticket, timeout: u64::try_from(timeout).ok().map(Duration::from_millis) })
        }
    }
}

pub(crate) fn release(scene: &mut Scene<'_>, given: &Given) -> Outcome<i32> {
    let Some((target, owner)) = target(scene, given, 1, 2) else { return invalid(scene, "sys.sp_releaseapplock") };
    if scene.state.locks.release(scene.me.serial, &target, owner) {
        return Ok(0);
    }
    let text = format!(
        "Cannot release the application lock (Database Principal: 'public', Resource: '{}') because it is not currently held.",
        target.name
    );
    complain(scene, 1223, &text)
}

fn target(scene: &Scene<'_>, given: &Given, owner_at: usize, principal_at: usize) -> Option<(Target, Owner)> {
    let name = truncated(&given.text("@Resource", 0)?, 255);
    let owner = match given.text("@LockOwner", owner_at).map(|owner| owner.to_lowercase()).as_deref() {
        None | Some("transaction") => Owner::Transaction,
        Some("session") => Owner::Session,
        Some(_) => return None,
    };
    let database = scene.database();
    let principal = match given.text("@DbPrincipal", principal_at) {
        None => PUBLIC,
        Some(name) => database.user(&name)?.id,
    };
    Some((Target { database: database.id, principal, name }, owner))
}

fn invalid(scene: &mut Scene<'_>, procedure: &str) -> Outcome<i32> {
    complain(scene, 15600, &format!("An invalid parameter or option was specified for procedure '{procedure}'."))
}

/// An error message, and the status for it: the batch goes on.
fn complain(scene: &mut Scene<'_>, number: i32, text: &str) -> Outcome<i32> {
    scene.me.error = number;
    scene.replies.push(crate::exchange::Reply::Message(error(number, text)));
    Ok(INVALID)
}
