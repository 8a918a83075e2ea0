//! Which file is a plugin, what it is, and what it may.

use std::path::PathBuf;

use crate::confine::Confinement;
use crate::file::Signature;

/// What a plugin's file is, and where it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An executable, confined, in processes of its own.
    Executable,
    /// A dynamic library, confined, in processes of its own.
    Library,
    /// A dynamic library in this process. It can do all that this process can, and end it: for code that is trusted as this is.
    InProcess,
}

/// Which file is a plugin, and what it may.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The word after `rotator:`.
    pub name: String,
    pub form: Form,
    pub file: PathBuf,
    /// What the file's SHA-256 must be, in hexadecimal digits.
    pub sha256: String,
    /// Whose signature it must have, if any.
    pub signature: Option<Signature>,
    /// Nothing of it holds for [`Form::InProcess`].
    pub confinement: Confinement,
    /// The program that starts its processes: where its first argument is [`crate::HOST`], it hands the others to [`crate::host()`].
    pub host: PathBuf,
}
