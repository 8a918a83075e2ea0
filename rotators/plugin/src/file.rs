//! The file of a plugin, and the copy that runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use tempfile::TempDir;

use crate::plugin::Plugin;

/// Why a plugin's file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read `{}`: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("`{}` is not what it was: its SHA-256 is {found}, and {expected} is expected", file.display())]
    Changed { file: PathBuf, found: String, expected: String },
    #[error("`{}` cannot be copied to a folder of its own: {source}", file.display())]
    NotCopied { file: PathBuf, source: io::Error },
}

/// A plugin's file, of which a copy runs that only we can write to: what was hashed is what runs, whatever becomes of the file.
pub(crate) struct Checked(Mutex<Made>);

/// One copy, in a folder of its own.
struct Made {
    path: PathBuf,
    /// Held open, so that no other file can be taken for it.
    file: File,
    _folder: TempDir,
}

impl Checked {
    /// The path of the copy. Systems sweep their temporary folders after days: if it is gone, or another file is in its place, the
    /// plugin's file is checked and copied once more.
    pub fn path(&self, plugin: &Plugin) -> Result<PathBuf, FileError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.is_there() {
            *made = copied(&plugin.file, &plugin.sha256)?;
        }
        Ok(made.path.clone())
    }
}

impl Made {
    fn is_there(&self) -> bool {
        match (self.path.symlink_metadata(), self.file.metadata()) {
            (Ok(there), Ok(ours)) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }
}

/// The SHA-256 of a file in hexadecimal digits.
///
/// # Errors
/// It cannot be read.
pub fn sha256_of(file: &Path) -> Result<String, FileError> {
    let unreadable = |source| FileError::Unreadable { file: file.to_owned(), source };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    pour(opened, &mut io::sink()).map_err(unreadable)
}

/// Copies a file whose hash is the expected one.
pub(crate) fn checked(file: &Path, expected: &str) -> Result<Checked, FileError> {
    copied(file, expected).map(|made| Checked(Mutex::new(made)))
}

fn copied(file: &Path, expected: &str) -> Result<Made, FileError> {
    let unreadable = |source| FileError::Unreadable { file: file.to_owned(), source };
    let not_copied = |source| FileError::NotCopied { file: file.to_owned(), source };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let folder = TempDir::with_prefix("keywheel-plugin-").map_err(not_copied)?;
    // The plugin may run as another user of the machine would: what is in here is no secret.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).map_err(not_copied)?;
    let path = folder.path().join("plugin");
    let mut copy =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o555).open(&path).map_err(not_copied)?;
    let found = pour(opened, &mut copy).map_err(not_copied)?;
    if !found.eq_ignore_ascii_case(expected) {
        return Err(FileError::Changed { file: file.to_owned(), found, expected: expected.to_owned() });
    }
    // Not the one that was written to: what is open for writing cannot be started.
    drop(copy);
    let file = File::open(&path).map_err(not_copied)?;
    Ok(Made { path, file, _folder: folder })
}

/// Copies, and gives the hash of what went through.
fn pour(mut from: impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            let digest = context.finish();
            return Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        context.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}
