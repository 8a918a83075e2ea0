//! Exit codes, and errors as people read them: what happened, whether anything was changed, and the way out.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use keywheel_runtime::RunError;
use keywheel_secrets::SecretsError;
use keywheel_state::StateError;

use crate::output::printable;

/// The table of exit codes, as `--help` and the README show it.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  unexpected failure
  2  bad input: a command line, a policy, the settings or a name
  3  rolled back: everything is as before
  4  parked: a person must act
  5  another process is at work on it
  6  not finished: in doubt, or waiting for the target or a grace period
  7  errors: `doctor|heartbeat`, `rotate --dry-run`, `notify|provider test`, `plugin exam|verify`
With several secrets: the first of 4, 3, 1, 2, 6, 5, 7 that one of them had.";

/// How a command ended. The numbers are a promise: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something that nobody foresaw: a disk, a database, a bug.
    Unexpected = 1,
    /// The caller must change what they wrote.
    Input = 2,
    /// A rotation failed, and everything is as before.
    RolledBack = 3,
    /// A person must act.
    Parked = 4,
    /// Another process holds the lease.
    Busy = 5,
    /// Neither done nor failed: goes on later.
    Waiting = 6,
    /// A rotation would fail, or the target does not say that it accepts `CURRENT`.
    Findings = 7,
}

impl Exit {
    const BY_GRAVITY: [Exit; 8] = [
        Exit::Parked,
        Exit::RolledBack,
        Exit::Unexpected,
        Exit::Input,
        Exit::Waiting,
        Exit::Busy,
        Exit::Findings,
        Exit::Done,
    ];

    /// The gravest of several; `Done` for none.
    pub fn gravest(exits: impl IntoIterator<Item = Exit>) -> Exit {
        let rank = |exit: &Exit| Exit::BY_GRAVITY.iter().position(|other| other == exit);
        exits.into_iter().min_by_key(rank).unwrap_or(Exit::Done)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error that knows its exit code and the way out.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub what: String,
    /// Whether anything was changed, as a fragment.
    pub changed: &'static str,
    pub hint: Option<String>,
}

/// The usual second line.
pub const NOTHING_CHANGED: &str = "nothing was changed";

impl Failure {
    /// The caller must change what they wrote. Nothing was changed.
    pub fn input(what: impl Into<String>) -> Self {
        Failure { exit: Exit::Input, what: what.into(), changed: NOTHING_CHANGED, hint: None }
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let what = error.to_string();
        let (exit, changed, hint) = match error {
            RunError::Busy { .. } => {
                (Exit::Busy, NOTHING_CHANGED, Some("look at `keywheel status`, and try again".to_owned()))
            }
            RunError::NothingOpen(_) => (Exit::Input, NOTHING_CHANGED, Some("see `keywheel status`".to_owned())),
            RunError::NoRotator(_) | RunError::Unsafe(_) | RunError::PolicyChanged { .. } => {
                (Exit::Input, NOTHING_CHANGED, None)
            }
            RunError::LeaseLost(_) => (
                Exit::Waiting,
                "the step at work may have happened",
                Some("look at `keywheel status`; whoever goes on settles it by looking".to_owned()),
            ),
            RunError::State(error) => return error.into(),
            RunError::Secrets(error) => return error.into(),
        };
        Failure { exit, what, changed, hint }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let what = error.to_string();
        let (exit, changed, hint) = match error {
            StateError::Unavailable(_) => (
                Exit::Unexpected,
                "a write that was under way may have happened; the next start settles it by looking",
                Some("`keywheel doctor` checks the stores"),
            ),
            StateError::Fenced { .. } | StateError::Moved { .. } | StateError::AlreadyOpen { .. } => {
                (Exit::Busy, NOTHING_CHANGED, Some("look at `keywheel status`, and try again"))
            }
            StateError::NotFound(_) => (Exit::Input, NOTHING_CHANGED, Some("`keywheel history` lists rotations")),
            StateError::Illegal(_) => (
                Exit::Input,
                NOTHING_CHANGED,
                Some("`keywheel status` shows where it stands; after promotion there is no way back"),
            ),
            StateError::Corrupt(_) => (
                Exit::Unexpected,
                NOTHING_CHANGED,
                Some("restore the file from a backup, or use the version that wrote it"),
            ),
        };
        Failure { exit, what, changed, hint: hint.map(str::to_owned) }
    }
}

impl From<SecretsError> for Failure {
    fn from(error: SecretsError) -> Self {
        let what = error.to_string();
        let (exit, changed, hint) = match error {
            SecretsError::Unavailable(_) => (
                Exit::Unexpected,
                "a write that was under way may have happened",
                Some("`keywheel secret versions NAME` shows what is stored; `keywheel doctor` checks the stores"),
            ),
            SecretsError::Conflict { .. } => {
                (Exit::Busy, NOTHING_CHANGED, Some("look at `keywheel status`, and try again"))
            }
            SecretsError::Corrupt { .. } => (Exit::Unexpected, NOTHING_CHANGED, Some("is this the right master key?")),
            SecretsError::Invalid(_) => (Exit::Input, NOTHING_CHANGED, None),
        };
        Failure { exit, what, changed, hint: hint.map(str::to_owned) }
    }
}

/// Tells a person of an error, and gives its exit code.
pub fn report(error: anyhow::Error) -> Exit {
    let failure = match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => {
            let what = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
            Failure { exit: Exit::Unexpected, what, changed: "", hint: None }
        }
    };
    tell(&failure);
    failure.exit
}

/// Writes an error to stderr.
pub fn tell(failure: &Failure) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    let mut text = format!("{red}error:{red:#} {}\n", printable(&failure.what));
    if !failure.changed.is_empty() {
        text.push_str(&format!("  {}\n", failure.changed));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("{cyan}hint:{cyan:#} {}\n", printable(hint)));
    }
    // Whoever closed stderr does not want to know.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_exit_wins() {
        assert_eq!(Exit::gravest([Exit::Done, Exit::Busy, Exit::RolledBack]), Exit::RolledBack);
        assert_eq!(Exit::gravest([Exit::Parked, Exit::RolledBack]), Exit::Parked);
        assert_eq!(Exit::gravest([]), Exit::Done);
    }

    #[test]
    fn each_code_is_in_the_help() {
        for exit in Exit::BY_GRAVITY {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
