//! From the server's answers to the two questions of [`RotatorError`]: did it happen, and what next?
//!
//! Codes: PostgreSQL documentation, Appendix A "PostgreSQL Error Codes".

use std::borrow::Cow;
use std::time::Duration;

use keywheel_sdk::{Answer, Effect, Retry, RotatorError};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// When the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// While logging in, or in statements that change nothing.
    Reading,
    /// After a change and its `COMMIT` were sent.
    Changing,
}

const SHORT: Retry = Retry::After(Duration::from_secs(5));
const LONG: Retry = Retry::After(Duration::from_secs(30));

/// One row of the table: a code or a class, what helps, and a word of advice.
struct Known {
    code: &'static str,
    retry: Retry,
    advice: &'static str,
}

const fn known(code: &'static str, retry: Retry, advice: &'static str) -> Known {
    Known { code, retry, advice }
}

/// Full codes stand before their class; the first match counts. An error ends the transaction, so with severity ERROR
/// nothing has changed whatever the code, but for the codes of [`UNSETTLED`].
const TABLE: &[Known] = &[
    known("08", SHORT, "the connection failed"),
    known("0A", Retry::Never, "the server does not support this, or is a read-only standby: connect to the primary"),
    known("22023", Retry::NewCandidate, "the server's password policy refuses this value"),
    known("22", Retry::Never, ""),
    known("25006", LONG, "the server is read-only: connect to the primary"),
    known("25P03", Retry::Now, "the server ended a transaction that stood still for too long"),
    known(
        "28000",
        Retry::Never,
        "the server does not let this account in: see `pg_hba.conf`, and whether it may LOGIN",
    ),
    known("28P01", Retry::Never, "wrong password, or no such account"),
    known("28", Retry::Never, ""),
    known("3D000", Retry::Never, "the database of `target.database` does not exist"),
    known("40001", Retry::Now, ""),
    known("40P01", Retry::Now, ""),
    known("40", Retry::Now, ""),
    known(
        "42501",
        Retry::Never,
        "the admin lacks the right: up to version 15 it needs CREATEROLE, from 16 on CREATEROLE and ADMIN OPTION on the role",
    ),
    known("42704", Retry::Never, "no such role"),
    known("42", Retry::Never, ""),
    known("53300", LONG, "too many connections"),
    known("53", LONG, "the server is short of resources"),
    known("54", Retry::Never, ""),
    known("55P03", Retry::Now, "another session holds the lock"),
    known("55", SHORT, ""),
    known("57014", Retry::Now, "it took too long, or somebody cancelled it"),
    known("57P03", LONG, "the server is starting up or shutting down"),
    known("57P", LONG, "the server ended the session"),
    known("57", LONG, ""),
    known("58", LONG, "the server has a problem with its machine"),
    // Such as `tuple concurrently updated`, when somebody else alters the same role.
    known("XX000", Retry::Now, ""),
    known("XX", LONG, "the server is damaged"),
];

/// The most that is repeated of one text of the server, in bytes. A server may send a gigabyte.
const LONGEST: usize = 2048;

/// Codes that leave it open whether a change has happened, even with severity ERROR.
const UNSETTLED: &[&str] = &["08", "40003", "57P01", "57P02", "57P03", "57P04"];

/// Turns a driver's error into ours. `doing` completes "could not …".
pub(crate) fn failure(error: &sqlx::Error, moment: Moment, doing: &str) -> RotatorError {
    let changing = moment == Moment::Changing;
    if let Some(answer) = database_error(error) {
        let code = answer.code();
        let row = TABLE.iter().find(|row| code.starts_with(row.code));
        let effect = if changing && may_have_happened(answer) { Effect::Unknown } else { Effect::None };
        let retry = row.map_or(Retry::Now, |row| row.retry);
        let advice = row.map_or("", |row| row.advice);
        let mut message = format!("could not {doing}: {} ({})", spoken(answer), shown_code(code));
        if !advice.is_empty() {
            message.push_str("; ");
            message.push_str(advice);
        }
        return RotatorError { effect, retry, code: shown_code(code), message };
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the driver's other errors all mean the same here")]
    let (code, retry, what) = match error {
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            // The TLS library reports a refused certificate this way.
            ("tls", Retry::Never, format!("the TLS handshake failed: {}", bounded(&io.to_string())))
        }
        sqlx::Error::Io(io) => ("io", SHORT, format!("the line to the server failed: {}", bounded(&io.to_string()))),
        sqlx::Error::Tls(tls) => ("tls", Retry::Never, format!("no TLS: {}", bounded(&tls.to_string()))),
        sqlx::Error::Protocol(_) => ("protocol", SHORT, "the server's answer was not understood".to_owned()),
        // The driver's text may quote what it was given.
        sqlx::Error::Configuration(_) => {
            ("driver", Retry::Never, "the driver cannot use this name, password or certificate file".to_owned())
        }
        _ => ("driver", SHORT, "the driver failed".to_owned()),
    };
    let message = format!("could not {doing}: {what}");
    match changing {
        true => RotatorError { effect: Effect::Unknown, retry: Retry::Now, code: code.to_owned(), message },
        false => RotatorError::not_done(retry, code, message),
    }
}

/// What a failed login says of the credential. Only a refusal of the credential itself is a no.
pub(crate) fn login_answer(error: &sqlx::Error) -> Answer {
    if let Some(answer) = database_error(error) {
        match answer.code() {
            "28P01" => return Answer::No { reason: "wrong password, expired, or no such account (28P01)".to_owned() },
            // `pg_hba.conf` speaks here, not the password: it refuses the address, database or method. The name is that of
            // the server's function (`src/backend/libpq/auth.c`), which is not translated.
            "28000" if answer.routine() == Some("ClientAuthentication") => {}
            "28000" => return Answer::No { reason: "the account may not log in (28000)".to_owned() },
            // These come after the password was accepted (`src/backend/utils/init/postinit.c`).
            "3D000" | "42501" => return Answer::Yes,
            _ => {}
        }
    }
    Answer::Unknown(failure(error, Moment::Reading, "log in"))
}

/// Whether a failed login means that the credential is refused.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(login_answer(error), Answer::No { .. })
}

/// The code, where the server answered at all.
pub(crate) fn code(error: &sqlx::Error) -> Option<&str> {
    database_error(error).map(PgDatabaseError::code)
}

/// Whether the session is gone, as opposed to the statement refused.
pub(crate) fn is_cut(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || code(error).is_some_and(|code| code.starts_with("57P"))
}

/// The text of a failed check of a policy. Values from the data stay out of it: only errors of syntax and access rules
/// (class 42) and of schema names (3F) are quoted, since they speak of the statement.
pub(crate) fn check_failure(error: &sqlx::Error, number: usize) -> RotatorError {
    let general = failure(error, Moment::Reading, &format!("pass check {number}"));
    let Some(answer) = database_error(error) else { return general };
    let code = answer.code();
    let about_statement = code.starts_with("42") || code.starts_with("3F");
    let what = if about_statement { bounded(answer.message()) } else { "the statement failed".into() };
    let retry = if about_statement { Retry::Never } else { general.retry };
    let code = shown_code(code);
    let message = format!("check {number} failed: {what} ({code})");
    RotatorError::not_done(retry, &code, message)
}

fn may_have_happened(answer: &PgDatabaseError) -> bool {
    let code = answer.code();
    // The session ended before the change was looked at.
    if code == "25P03" {
        return false;
    }
    let broke_off = matches!(answer.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    broke_off || UNSETTLED.iter().any(|unsettled| code.starts_with(unsettled))
}

/// The server's words, unless they quote a verifier.
fn spoken(answer: &PgDatabaseError) -> Cow<'_, str> {
    match answer.message().contains("SCRAM-SHA-256") {
        true => "the server refused".into(),
        false => bounded(answer.message()),
    }
}

/// A text of the server, cut to 2 KiB.
pub(crate) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let mark = "…";
    Cow::Owned(text[..text.floor_char_boundary(LONGEST - mark.len())].to_owned() + mark)
}

/// A code as the server sent it; real ones have five characters.
fn shown_code(code: &str) -> String {
    code.chars().take(5).collect()
}

fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_codes_stand_before_their_class() {
        for (index, row) in TABLE.iter().enumerate() {
            let shadowed = TABLE[..index].iter().find(|earlier| row.code.starts_with(earlier.code));
            assert!(shadowed.is_none(), "`{}` is never reached", row.code);
        }
    }

    #[test]
    fn long_texts_of_the_server_are_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
        for text in ["x".repeat(LONGEST + 1), "ß".repeat(1_000_000), format!("x{}", "\u{1f600}".repeat(1_000_000))] {
            let cut = bounded(&text);
            assert!(cut.len() <= LONGEST && cut.len() > LONGEST - 8, "{}", cut.len());
            assert!(text.starts_with(cut.strip_suffix('…').expect("marked as cut")));
        }
        let long = || std::io::Error::new(std::io::ErrorKind::InvalidData, "n".repeat(1_000_000));
        for error in [sqlx::Error::Io(long()), sqlx::Error::Tls(Box::new(long()))] {
            let length = failure(&error, Moment::Reading, "log in").message.len();
            assert!(length < LONGEST + 100, "{length}");
        }
    }

    #[test]
    fn a_broken_line_is_unknown_only_after_the_change_was_sent() {
        let broken = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(failure(&broken(), Moment::Reading, "log in").effect, Effect::None);
        assert_eq!(failure(&broken(), Moment::Changing, "change the password").effect, Effect::Unknown);
        assert!(matches!(login_answer(&broken()), Answer::Unknown(_)));
    }
}
