//! Statements on the session itself, and on those of others: SET and KILL.

use super::scene::{Outcome, Scene, Stop};
use super::statement::Setting;
use crate::exchange::{Message, Reply};
use crate::instance::message::{error, info, with_class};

pub(crate) fn set(scene: &mut Scene<'_>, names: &str, setting: &Setting) -> Outcome<()> {
    for name in names.split(',') {
        set_one(scene, name, setting)?;
    }
    Ok(())
}

fn set_one(scene: &mut Scene<'_>, name: &str, setting: &Setting) -> Result<(), Message> {
    let flags = &mut scene.me.flags;
    match (name, setting) {
        ("IMPLICIT_TRANSACTIONS", Setting::Switch(on)) => flags.implicit_transactions = *on,
        ("XACT_ABORT", Setting::Switch(on)) => flags.xact_abort = *on,
        ("NOCOUNT", Setting::Switch(on)) => flags.no_count = *on,
        ("QUOTED_IDENTIFIER", Setting::Switch(on)) => flags.quoted_identifier = *on,
        ("ANSI_DEFAULTS", Setting::Switch(on)) => {
            flags.quoted_identifier = *on;
            flags.implicit_transactions = *on;
        }
        ("PARSEONLY", Setting::Switch(on)) => flags.parse_only = *on,
        ("NOEXEC", Setting::Switch(on)) => flags.no_exec = *on,
        ("LOCK_TIMEOUT", Setting::Number(millis)) => flags.lock_timeout = *millis,
        ("TRANSACTION ISOLATION LEVEL", Setting::Word(level)) => {
            flags.isolation = match level.as_str() {
                "READ UNCOMMITTED" => 1,
                "READ COMMITTED" => 2,
                "REPEATABLE READ" => 3,
                "SERIALIZABLE" => 4,
                "SNAPSHOT" => 5,
                other => return Err(crate::instance::message::syntax(other)),
            };
        }
        ("LANGUAGE", Setting::Word(language)) => {
            if !matches!(language.to_lowercase().as_str(), "us_english" | "english" | "british") {
                return Err(error(
                    2740,
                    format!(
                        "SET LANGUAGE failed because '{language}' is not an official language name or a language alias on this SQL Server."
                    ),
                ));
            }
            scene.replies.push(Reply::Message(info(5703, 1, "Changed language setting to us_english.")));
        }
        (
            "ANSI_NULLS"
            | "ANSI_PADDING"
            | "ANSI_WARNINGS"
            | "ANSI_NULL_DFLT_ON"
            | "ANSI_NULL_DFLT_OFF"
            | "ARITHABORT"
            | "ARITHIGNORE"
            | "CONCAT_NULL_YIELDS_NULL"
            | "CURSOR_CLOSE_ON_COMMIT"
            | "NUMERIC_ROUNDABORT"
            | "FMTONLY"
            | "FORCEPLAN"
            | "NO_BROWSETABLE"
            | "REMOTE_PROC_TRANSACTIONS"
            | "SHOWPLAN_ALL",
            Setting::Switch(_),
        )
        | ("TEXTSIZE" | "ROWCOUNT" | "DATEFIRST" | "QUERY_GOVERNOR_COST_LIMIT", Setting::Number(_))
        | ("DATEFORMAT" | "DEADLOCK_PRIORITY" | "CONTEXT_INFO", _) => {}
        _ => return Err(with_class(195, 15, format!("'{name}' is not a recognized SET option."))),
    }
    Ok(())
}

/// KILL. In Azure by a permission on the database, elsewhere on the server.
pub(crate) fn kill(scene: &mut Scene<'_>, id: i64) -> Outcome<()> {
    let database = scene.database();
    let allowed = if scene.is_azure() {
        scene.allowed_in(&database, "KILL DATABASE CONNECTION")
    } else {
        scene.allowed("ALTER ANY CONNECTION")
    };
    if !allowed {
        return Err(with_class(6102, 14, "User does not have permission to use the KILL statement.").into());
    }
    if scene.me.transaction.is_some() {
        return Err(error(6115, "KILL command cannot be used inside user transactions.").into());
    }
    let Some(number) = i16::try_from(id).ok().filter(|id| *id > 0) else {
        return Err(error(6101, format!("Session ID {id} is not valid.")).into());
    };
    if number == scene.me.id {
        return Err(error(6104, "Cannot use KILL to kill your own process.").into());
    }
    let inactive = || error(6106, format!("Process ID {id} is not an active process ID."));
    let session = scene.state.session(number).ok_or_else(inactive)?;
    if !session.user_process {
        return Err(error(6107, "Only user processes can be killed.").into());
    }
    let serial = session.serial;
    scene.state.kill(serial);
    Ok(())
}

/// BEGIN, COMMIT and ROLLBACK without a transaction.
pub(crate) fn no_transaction(commit: bool) -> Stop {
    if commit {
        error(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.").into()
    } else {
        error(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.").into()
    }
}
