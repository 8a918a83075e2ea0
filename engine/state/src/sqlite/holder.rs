//! Who is alive: each holder keeps an operating system's lock on a file of its own, which ends with its process.
//!
//! So the leases of a killed process are free at once, instead of when they expire. A lease's fence still guards the
//! journal, whatever is concluded here.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The suffix of lock files. One without it is not locked yet.
const LOCKED: &str = "lock";

/// A holder of leases. Gone when dropped.
pub(super) struct Holder {
    id: String,
    folder: PathBuf,
    path: PathBuf,
    /// Locked as long as it is open. Not inherited by children: the standard library opens files close-on-exec.
    _file: File,
}

impl Holder {
    /// A new holder beside the database file, which must exist.
    pub(super) fn register(database: &Path) -> io::Result<Holder> {
        // By whatever name the file was opened, its holders must meet in one folder.
        let mut folder = database.canonicalize()?.into_os_string();
        folder.push(".holders");
        let folder = PathBuf::from(folder);
        create_private(&folder)?;

        #[expect(clippy::disallowed_methods, reason = "it must only be unlike all others; nobody reads its time")]
        let id = Uuid::now_v7().to_string();
        let unlocked = folder.join(&id);
        let path = unlocked.with_extension(LOCKED);
        let file = File::create_new(&unlocked)?;
        file.try_lock()?;
        // Only now may others see it, else they could find it unlocked and take it for a dead one.
        fs::rename(&unlocked, &path)?;

        let holder = Holder { id, folder, path, _file: file };
        holder.sweep();
        Ok(holder)
    }

    /// What leases know it by.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether another holder is certainly gone. Its file is removed then.
    pub(super) fn sees_gone(&self, other: &str) -> bool {
        // The id comes from the database, and a path is made of it.
        let Ok(id) = other.parse::<Uuid>() else { return false };
        if other == self.id {
            return false;
        }
        let path = self.folder.join(id.to_string()).with_extension(LOCKED);
        match File::open(&path) {
            Ok(file) => {
                let gone = file.try_lock().is_ok();
                if gone {
                    let _ = fs::remove_file(&path); // a leftover harms nobody
                }
                gone
            }
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Removes what dead holders left.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == LOCKED)
                && let Some(id) = path.file_stem().and_then(|stem| stem.to_str())
            {
                self.sees_gone(id);
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // the lock ends all the same
    }
}

/// The folder is the owner's alone, like the database.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true); // fine if it is there
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
