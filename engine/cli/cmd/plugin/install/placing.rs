//! Puts files where they belong, whole or not at all, and takes them away again where an installation does not come to its end.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::cmd::plugin::made::Made;
use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::wire;

/// What is true when not all that was made could be taken away again.
const LEFT_OVER: &str = "the settings are as before, and something that was made is left beside them";
/// What is true when the settings were replaced and the disk did not say that it has them.
const LISTED: &str = "the plugin is installed, and after a power cut it may be gone";

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

/// One installation, and what it has made so far. As long as it is there, no other one beside the same settings begins: what is taken
/// away again might be what that one has listed.
pub struct Placing {
    _lock: File,
    made: Made,
    is_listed: bool,
}

impl Placing {
    /// Begins beside the settings in this folder.
    ///
    /// # Errors
    /// Another installation is at it.
    pub fn begin(folder: &Path) -> Result<Self, Failure> {
        let folder = or_here(folder);
        let lock = File::open(folder).map_err(|error| unplaced(folder, &error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure {
                exit: Exit::Busy,
                ..Failure::input(format!("another installation is at work in `{}`", folder.display())).hint("try again")
            },
            TryLockError::Error(error) => unplaced(folder, &error),
        })?;
        Ok(Placing { _lock: lock, made: Made::default(), is_listed: false })
    }

    /// Copies a file there, with this mode. What stands there already is not replaced.
    pub fn copy(&mut self, from: &Path, to: &Path, sha256: &str, mode: u32) -> Result<(), Failure> {
        let failed = |error: io::Error| unplaced(to, &error);
        let folder = to.parent().unwrap_or(Path::new(""));
        self.make(folder).map_err(failed)?;
        let new = beside(to);
        let placed = written(from, &new, mode).map_err(failed).and_then(|found| {
            if found != sha256 {
                return Err(Failure::input(format!("`{}` was changed while it was read", from.display())));
            }
            // A link, and no renaming: that would replace what somebody put there meanwhile.
            match std::fs::hard_link(&new, to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => look(to, sha256),
                Err(error) => Err(failed(error)),
                Ok(()) => {
                    self.made.file(to);
                    Ok(())
                }
            }
        });
        // Its other name stays.
        let _ = std::fs::remove_file(&new);
        placed.and_then(|()| sync(folder).map_err(failed))
    }

    /// Makes a folder, if there is none.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Ok(()) => {
                self.made.folder(folder);
                // Whatever the process's mask is. What is there already keeps its mode.
                std::fs::set_permissions(folder, Permissions::from_mode(0o755))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives a file another text, if it has the one that it is known to have. Its owner, group and mode stay; access lists and other
    /// attributes do not. The change of an editor that writes in the instant between the last look and the renaming is lost, since
    /// editors know no lock.
    pub fn replace(&mut self, path: &Path, before: &str, after: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| unplaced(path, &error);
        // A link to it stays a link.
        let path = path.canonicalize().map_err(failed)?;
        let new = beside(&path);
        let replaced = (|| {
            let there = File::open(&path)?;
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
        self.is_listed = true;
        sync(path.parent().unwrap_or(Path::new(""))).map_err(failed)
    }

    /// Whether the settings were replaced, also where that failed afterwards.
    pub fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Takes away what was made, unless the settings list it by now, and says in the failure what is true after that.
    pub fn undone(self, failure: Failure) -> Failure {
        if self.is_listed {
            return Failure { changed: LISTED, ..failure };
        }
        Failure { changed: if self.made.undone() { NOTHING_CHANGED } else { LEFT_OVER }, ..failure }
    }
}

/// Writes the copy of a file, and gives the hash of what it wrote.
fn written(from: &Path, new: &Path, mode: u32) -> io::Result<String> {
    let mut target = create(new, mode)?;
    let found = wire::copied(from, &mut target)?;
    // Whatever the process's mask is.
    target.set_permissions(Permissions::from_mode(mode))?;
    target.sync_all()?;
    Ok(found)
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
    File::open(or_here(folder))?.sync_all()
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

fn unplaced(path: &Path, error: &io::Error) -> Failure {
    Failure {
        exit: Exit::Unexpected,
        what: format!("`{}` cannot be written: {error}", path.display()),
        changed: NOTHING_CHANGED,
        hint: Some("look at the rights and the space of its folder".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use super::*;

    /// A folder with a plugin's file, and its hash.
    fn begun() -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("lamp");
        std::fs::write(&from, "lamp").unwrap();
        let sha256 = wire::hashed(&from).unwrap();
        (folder, from, sha256)
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut files: Vec<String> =
            folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }

    #[test]
    fn what_was_made_is_taken_away_again_and_nothing_else() {
        let (folder, from, sha256) = begun();
        let to = folder.path().join("plugins/lamp");
        let signature = folder.path().join("plugins/lamp.minisig");
        let mut placing = Placing::begin(folder.path()).unwrap();
        placing.copy(&from, &to, &sha256, 0o755).unwrap();
        let failure = placing.copy(&from, &signature, &"0".repeat(64), 0o644).unwrap_err();
        assert_eq!(failure.what, format!("`{}` was changed while it was read", from.display()));
        assert_eq!(placing.undone(failure).changed, NOTHING_CHANGED);
        assert_eq!(files(folder.path()), ["lamp"]);

        // What is there already was made by somebody else.
        Placing::begin(folder.path()).unwrap().copy(&from, &to, &sha256, 0o755).unwrap();
        let mut placing = Placing::begin(folder.path()).unwrap();
        placing.copy(&from, &to, &sha256, 0o755).unwrap();
        let failure = placing.replace(&from, "another text", "").unwrap_err();
        assert!(failure.what.ends_with("somebody else has changed it"), "{failure}");
        assert_eq!(placing.undone(failure).changed, NOTHING_CHANGED);
        assert_eq!(
            (files(folder.path()), files(&folder.path().join("plugins"))),
            (vec!["lamp".to_owned(), "plugins".to_owned()], vec!["lamp".to_owned()])
        );
    }

    #[test]
    fn what_cannot_be_taken_away_is_told() {
        let (folder, from, sha256) = begun();
        let mut placing = Placing::begin(folder.path()).unwrap();
        placing.copy(&from, &folder.path().join("plugins/lamp"), &sha256, 0o755).unwrap();
        std::fs::write(folder.path().join("plugins/other"), "somebody's").unwrap();
        assert_eq!(placing.undone(Failure::input("it fails")).changed, LEFT_OVER);
        assert_eq!(files(&folder.path().join("plugins")), ["other"]);
    }

    #[test]
    fn what_is_listed_stays() {
        let (folder, from, sha256) = begun();
        let (to, settings) = (folder.path().join("plugins/lamp"), folder.path().join("keywheel.yaml"));
        std::fs::write(&settings, "before").unwrap();
        let mut placing = Placing::begin(folder.path()).unwrap();
        placing.copy(&from, &to, &sha256, 0o755).unwrap();
        placing.replace(&settings, "before", "after").unwrap();
        assert_eq!(placing.undone(Failure::input("it fails")).changed, LISTED);
        assert!(to.exists());
    }

    #[test]
    fn two_do_not_install_at_once() {
        let (folder, ..) = begun();
        let first = Placing::begin(folder.path()).unwrap();
        let refused = Placing::begin(folder.path()).err().unwrap();
        assert_eq!((refused.exit, refused.changed), (Exit::Busy, NOTHING_CHANGED));
        drop(first);
        Placing::begin(folder.path()).unwrap();
    }

    /// Somebody puts a pipe in the place of the file that was hashed.
    #[test]
    fn a_pipe_is_not_waited_for() {
        let (folder, from, sha256) = begun();
        std::fs::remove_file(&from).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&from).status().unwrap().success());
        let mut placing = Placing::begin(folder.path()).unwrap();
        let failure = placing.copy(&from, &folder.path().join("plugins/lamp"), &sha256, 0o755).unwrap_err();
        assert!(failure.what.ends_with("it is no regular file"), "{failure}");
        assert_eq!(placing.undone(failure).changed, NOTHING_CHANGED);
        assert_eq!(files(folder.path()), ["lamp"]);
    }
}
