//! From the server's answers to the two questions of [`RotatorError`]: did it happen, and what next? And what a refused
//! login says of the password.
//!
//! Numbers: SQL Server documentation, "Database engine events and errors"; for Azure SQL, "Troubleshoot connectivity issues".

use std::borrow::Cow;
use std::time::Duration;

use keywheel_sdk::{Effect, Retry, RotatorError};
use tiberius::error::Error;

/// When the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// While logging in, or in statements that change nothing.
    Reading,
    /// After a change was sent.
    Changing,
}

/// What a failed login says of the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Refused: wrong password, or no such account. The client is never told which.
    Wrong,
    /// The account is disabled. The server says so only to who has the right password.
    Disabled,
    /// The account is locked out. Nothing is said of the password, and further attempts keep it locked.
    LockedOut,
    /// The right password, which must be changed before it lets anybody in.
    MustChange,
    /// The right password: what failed came after it.
    Right,
}

const SHORT: Retry = Retry::After(Duration::from_secs(5));
const LONG: Retry = Retry::After(Duration::from_secs(30));
/// Lock-outs last minutes to hours.
const LOCKED: Retry = Retry::After(Duration::from_secs(300));
/// The minimum age of a password is counted in days.
const DAY: Retry = Retry::After(Duration::from_secs(86_400));

/// One row of the table: a number, what helps, and a word of advice.
struct Known {
    number: u32,
    retry: Retry,
    advice: &'static str,
}

const fn known(number: u32, retry: Retry, advice: &'static str) -> Known {
    Known { number, retry, advice }
}

const TOO_SHORT: &str = "the server's password policy refuses this value: make `generate` longer or more mixed";
const NO_RIGHT: &str = "the login does not exist, or the admin lacks the right: it needs ALTER ANY LOGIN, and CONTROL SERVER \
                        where the login is a member of sysadmin or has CONTROL SERVER itself";
const NO_GRANT: &str = "the admin may not pass this right on: for CONNECT of contained users it needs the role db_accessadmin in \
                        the database";
const TOO_RECENT: &str = "the machine's password policy has a minimum age, within which an account may not change its own password: \
                          give an admin instead of `admin: self`, or rotate less often";
const BUSY: &str = "the server is busy";

const TABLE: &[Known] = &[
    known(102, Retry::Never, "the server does not know this statement"),
    known(229, Retry::Never, "the account lacks the right"),
    known(262, Retry::Never, "the account lacks the right"),
    known(297, Retry::Never, "the account lacks the right"),
    known(300, Retry::Never, "the account lacks the right"),
    known(916, Retry::Never, "the account has no user in that database"),
    known(1205, Retry::Now, "deadlock victim"),
    known(1222, Retry::Now, "somebody else holds a lock"),
    known(3906, LONG, "the database is read-only: name the primary"),
    known(4060, LONG, "the database of `target.database` cannot be opened"),
    known(4064, Retry::Never, "the login's default database cannot be opened"),
    known(6102, Retry::Never, "ending sessions needs ALTER ANY CONNECTION"),
    known(15007, Retry::Never, "no such login"),
    known(15023, Retry::Never, "there is such a user already"),
    known(15025, Retry::Never, "there is such a login already"),
    known(15115, Retry::NewCandidate, TOO_SHORT),
    known(15116, Retry::NewCandidate, TOO_SHORT),
    known(15117, Retry::NewCandidate, "the server's password policy refuses this value"),
    known(15118, Retry::NewCandidate, TOO_SHORT),
    known(15119, Retry::NewCandidate, TOO_SHORT),
    known(33062, Retry::NewCandidate, TOO_SHORT),
    known(33064, Retry::NewCandidate, TOO_SHORT),
    known(40630, Retry::NewCandidate, TOO_SHORT),
    known(40632, Retry::NewCandidate, TOO_SHORT),
    known(4613, Retry::Never, NO_GRANT),
    known(4624, Retry::Never, NO_GRANT),
    known(15113, LOCKED, "the login is locked out: unlock it, or wait"),
    known(15114, DAY, TOO_RECENT),
    known(15120, LONG, "the machine's password policy could not be asked"),
    known(15151, Retry::Never, NO_RIGHT),
    known(15156, Retry::Never, "the password is longer than 128 characters"),
    known(40631, Retry::Never, "the password is longer than 128 characters"),
    known(15247, Retry::Never, "the account lacks the right"),
    known(15434, LONG, "the login is logged in now, so it cannot be dropped"),
    known(17142, LONG, "the server is paused"),
    known(17892, Retry::Never, "a logon trigger refuses the session"),
    known(18451, LONG, "the server is shutting down"),
    known(18452, Retry::Never, "the server does not trust the Windows domain, or knows no logins of its own"),
    known(18456, Retry::Never, "wrong password, no such account, or one that may not connect"),
    known(18461, LONG, "the server is in single-user mode"),
    known(18470, Retry::Never, "the login is disabled"),
    known(18486, LOCKED, "the login is locked out: unlock it, or wait"),
    known(18487, Retry::Never, "the password is right but expired: an admin must set it anew"),
    known(18488, Retry::Never, "the password is right but must be changed first: an admin must set it anew"),
    known(33059, Retry::Never, "the password policy of the machine cannot be read"),
    known(40197, LONG, BUSY),
    known(40501, LONG, BUSY),
    known(40613, LONG, "the database is not available now"),
    known(40615, Retry::Never, "the firewall of Azure SQL does not let this address in"),
    known(10928, LONG, BUSY),
    known(10929, LONG, BUSY),
    known(49918, LONG, BUSY),
    known(49919, LONG, BUSY),
    known(49920, LONG, BUSY),
    // Availability groups: not the primary, or not readable.
    known(976, LONG, "this replica of the availability group takes no connections to the database"),
    known(978, LONG, "this replica of the availability group takes only connections that read"),
    known(983, LONG, "this replica of the availability group is between two roles"),
];

/// Errors that come before a change has happened: no such account, no right, a value that is refused. Any other error may
/// follow a change that stays, such as that of a trigger on it, and so proves nothing.
const BEFORE_THE_CHANGE: &[u32] = &[
    229, 262, 297, 300, 3906, 4613, 4624, 15007, 15023, 15025, 15113, 15114, 15115, 15116, 15117, 15118, 15119, 15120,
    15151, 15156, 15247, 15434, 33062, 33064, 40630, 40631, 40632,
];
/// Errors that speak of a statement's text and of rights only.
const ABOUT_STATEMENT: &[u32] = &[102, 105, 156, 195, 207, 208, 229, 230, 262, 297, 300, 371, 916, 2812, 4104];
/// From this severity on the server ends the session ("Database engine error severities").
const FATAL: u8 = 20;
/// The most that is repeated of one text of the server, in bytes.
const LONGEST: usize = 2048;

/// Turns a driver's error into ours. `doing` completes "could not …".
pub(crate) fn failure(error: &Error, moment: Moment, doing: &str) -> RotatorError {
    let changing = moment == Moment::Changing;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the driver's other errors all mean the same here")]
    let (code, retry, what): (String, Retry, String) = match error {
        Error::Server(answer) => {
            let number = answer.code();
            let row = TABLE.iter().find(|row| row.number == number);
            let retry = row.map_or(Retry::Now, |row| row.retry);
            let mut what = format!("{} (error {number})", bounded(answer.message()));
            if let Some(advice) = row.map(|row| row.advice).filter(|advice| !advice.is_empty()) {
                what.push_str("; ");
                what.push_str(advice);
            }
            // An error of a trigger names it.
            let settled =
                BEFORE_THE_CHANGE.contains(&number) && answer.class() < FATAL && answer.procedure().is_empty();
            let effect = if changing && !settled { Effect::Unknown } else { Effect::None };
            return RotatorError {
                effect,
                retry,
                code: number.to_string(),
                message: format!("could not {doing}: {what}"),
            };
        }
        Error::Tls(tls) => ("tls".into(), Retry::Never, format!("the TLS handshake failed: {}", bounded(tls))),
        Error::Io { message, .. } => {
            ("io".into(), SHORT, format!("the line to the server failed: {}", bounded(message)))
        }
        Error::Routing { .. } => ("routing".into(), LONG, "the server sends us on and on".to_owned()),
        Error::Protocol(_) => ("protocol".into(), SHORT, "the server's answer was not understood".to_owned()),
        _ => ("driver".into(), SHORT, "the driver failed".to_owned()),
    };
    let message = format!("could not {doing}: {what}");
    match changing {
        true => RotatorError { effect: Effect::Unknown, retry: Retry::Now, code, message },
        false => RotatorError { effect: Effect::None, retry, code, message },
    }
}

/// The failure of a policy's check. What the server says of the statement itself is repeated; other messages may quote rows.
pub(crate) fn check_failure(error: &Error, number: usize) -> RotatorError {
    let general = failure(error, Moment::Reading, &format!("pass check {number}"));
    let Error::Server(answer) = error else { return general };
    let about_statement = ABOUT_STATEMENT.contains(&answer.code());
    let what = if about_statement { bounded(answer.message()) } else { "the statement failed".into() };
    // Up to severity 16 it is the statement's own error, which comes again; what may pass is in the table.
    let own = answer.class() <= 16 && !TABLE.iter().any(|row| row.number == answer.code());
    let retry = if about_statement || own { Retry::Never } else { general.retry };
    let message = format!("check {number} failed: {what} (error {})", answer.code());
    RotatorError::not_done(retry, &general.code, message)
}

/// Whether a change was refused for want of a right alone, and did not happen.
pub(crate) fn lacks_right(error: &RotatorError) -> bool {
    let numbers = ["229", "262", "297", "300", "4613", "4624", "15151", "15247"];
    error.effect == Effect::None && numbers.contains(&error.code.as_str())
}

/// What a failed login says of the credential; `None` if nothing.
pub(crate) fn login_says(error: &Error) -> Option<Says> {
    match error.code()? {
        18456 => Some(Says::Wrong),
        18470 => Some(Says::Disabled),
        18486 => Some(Says::LockedOut),
        18487 | 18488 => Some(Says::MustChange),
        // A logon trigger runs after the password was accepted. A database that cannot be opened (4060 and its kin) says nothing:
        // where the account lives in it, it is opened before the password is looked at.
        17892 => Some(Says::Right),
        _ => None,
    }
}

/// Whether the line is gone.
pub(crate) fn is_cut(error: &Error) -> bool {
    match error {
        Error::Io { .. } => true,
        Error::Server(answer) => answer.class() >= FATAL,
        Error::Protocol(_)
        | Error::Encoding(_)
        | Error::Conversion(_)
        | Error::Utf8
        | Error::Utf16
        | Error::ParseInt(_)
        | Error::Tls(_)
        | Error::Routing { .. }
        | Error::BulkInput(_) => false,
    }
}

/// A text of the server, cut to what people read, without control characters.
pub(crate) fn bounded(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(LONGEST);
    if end == text.len() && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut short: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        short.push('…');
    }
    Cow::Owned(short)
}
