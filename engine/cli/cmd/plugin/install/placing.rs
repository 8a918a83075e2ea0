//! Puts files where they belong, whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::wire;

/// Whether a copy can be made there: nothing is, or the same file.
pub fn look(copy: &Path, sha256: &str) -> Result<(), Failure> {
    if copy.symlink_metadata().is_err() {
        return Ok(());
    }
    match wire::hashed(copy) {
        Ok(found) if found == sha256 => Ok(()),
        Ok(_) | Err(_) => Err(Failure::input(format!("`{}` is there, and it is another file", copy.display()))
            .hint("nothing is replaced: remove it if nobody uses it, or give this one another version")),
    }
}

/// Copies a file there, with this mode. What stands there already is not replaced.
pub fn copy(from: &Path, to: &Path, sha256: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error: io::Error| unplaced(to, &error, NOTHING_CHANGED);
    let folder = to.parent().unwrap_or(Path::new("."));
    make(folder).map_err(failed)?;
    let new = beside(to);
    let made = (|| {
        let mut target = create(&new, mode)?;
        io::copy(&mut File::open(from)?, &mut target)?;
        // Whatever the process's mask is.
        target.set_permissions(Permissions::from_mode(mode))?;
        target.sync_all()
    })();
    let placed = made.map_err(failed).and_then(|()| {
        if wire::hashed(&new).is_ok_and(|found| found == sha256) {
            // A link, and no renaming: that would replace what somebody put there meanwhile.
            return match std::fs::hard_link(&new, to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => look(to, sha256),
                linked => linked.map_err(failed),
            };
        }
        Err(Failure::input(format!("`{}` was changed while it was read", from.display())))
    });
    // Its other name stays.
    let _ = std::fs::remove_file(&new);
    placed.and_then(|()| sync(folder).map_err(failed))
}

/// Makes a folder, if there is none.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        // Whatever the process's mask is. What is there already keeps its mode.
        Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a file another text, if it has the one that it is known to have. Its owner, group and mode stay; access lists and other
/// attributes do not. Of two installations at once, one is refused; the change of an editor that writes in the instant between the
/// last look and the renaming is lost, since editors know no lock.
pub fn replace(path: &Path, before: &str, after: &str) -> Result<(), Failure> {
    const CHANGED: &str = "the copy of the plugin was made, and the settings are as before";
    let failed = |error: io::Error| unplaced(path, &error, CHANGED);
    // A link to it stays a link.
    let path = path.canonicalize().map_err(failed)?;
    let new = beside(&path);
    let replaced = (|| {
        let there = File::open(&path)?;
        there.try_lock()?;
        let mut target = create(&new, 0o600)?;
        target.write_all(after.as_bytes())?;
        let (was, is) = (there.metadata()?, target.metadata()?);
        if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
            let refused = |error| io::Error::other(format!("its owner and group cannot be kept: {error}"));
            fchown(&target, Some(was.uid()), Some(was.gid())).map_err(refused)?;
        }
        target.set_permissions(was.permissions())?;
        target.sync_all()?;
        if std::fs::read_to_string(&path)? != before {
            return Err(io::Error::other("somebody else has changed it"));
        }
        std::fs::rename(&new, &path)
    })();
    if let Err(error) = replaced {
        let _ = std::fs::remove_file(&new);
        return Err(failed(error));
    }
    sync(path.parent().unwrap_or(Path::new("."))).map_err(failed)
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// So that a name that was given is kept through a power cut.
fn sync(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn unplaced(path: &Path, error: &io::Error, changed: &'static str) -> Failure {
    Failure {
        exit: Exit::Unexpected,
        what: format!("`{}` cannot be written: {error}", path.display()),
        changed,
        hint: Some("look at the rights and the space of its folder".to_owned()),
    }
}
