//! What applications, or those who run them, are to do once there is a new version.

use std::path::PathBuf;
use std::time::Duration;

use crate::placeholder;

use super::Webhook;

/// One consumer, under its name. Policies name it; only who writes `keywheel.yaml` says what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    pub name: String,
    pub does: ConsumerKind,
}

impl ConsumerSpec {
    /// The fields that a secret must have for this consumer: those that its template names, in the order written, without repeats.
    pub fn fields(&self) -> Vec<String> {
        let template = match &self.does {
            ConsumerKind::File(file) => file.template.as_deref().unwrap_or_default(),
            ConsumerKind::Exec(_) | ConsumerKind::Webhook(_) => "",
        };
        let mut fields: Vec<String> = Vec::new();
        for name in placeholder::names(template) {
            if !fields.iter().any(|field| field == name) {
                fields.push(name.to_owned());
            }
        }
        fields
    }
}

/// What a consumer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerKind {
    /// Runs a program.
    Exec(Exec),
    /// Writes a file.
    File(File),
    /// Is told by a signed message, without the secret.
    Webhook(Webhook),
}

/// A program that is run, without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program, by its whole path; it existed when the settings were read.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub input: ExecInput,
    /// From one second to five minutes; the time of the step is shorter, mostly.
    pub timeout: Duration,
}

/// What a program reads on its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecInput {
    /// Nothing.
    Nothing,
    /// The secret's fields, as one JSON object.
    Fields,
}

/// A file that is written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    /// With `${field}` for the secret's fields. `None`: all of them, as one JSON object.
    pub template: Option<String>,
    /// Permission bits, such as `0o640`; never open to all.
    pub mode: u32,
    /// Names of accounts of this machine. `None`: as the program runs.
    pub owner: Option<String>,
    pub group: Option<String>,
    /// What is sent once the file is there.
    pub signal: Option<FileSignal>,
}

/// A signal to a process whose number stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSignal {
    pub pid_file: PathBuf,
    pub signal: Signal,
}

/// Signals that mean "read again", as programs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Hup,
    Usr1,
    Usr2,
}
