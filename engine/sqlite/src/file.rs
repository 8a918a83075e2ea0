//! Creating the database file: private from its first instant, and still there after a power cut.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::OpenError;

/// Makes sure that `path` exists. What is created here is `0600` (the file) and `0700` (folders); what exists is left as it is.
/// SQLite gives its `-wal` and `-shm` files the same mode.
pub(crate) fn prepare(path: &Path) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    create_folder(folder).map_err(|source| OpenError::File { path: folder.to_owned(), source })?;
    create_file(path, folder).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Each new folder is an entry in its parent; without this a power cut may take the whole tree.
    for parent in folder.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
        if File::open(parent).and_then(|dir| dir.sync_all()).is_err() {
            break; // not ours to read, so not created here
        }
    }
    Ok(())
}

fn create_file(path: &Path, folder: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            File::open(folder)?.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
