//! The folder that a plugin's process works in, and how it goes, whatever the plugin left in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long removing is tried. Processes that were killed may have a last file to make.
const TRIED: Duration = Duration::from_secs(2);
/// How long whoever drops it waits for that.
const WAITED: Duration = Duration::from_millis(100);

/// A folder that is removed when this is dropped, to be dropped after the process was killed.
pub(crate) struct Work(TempDir);

impl Work {
    pub fn new() -> io::Result<Self> {
        TempDir::with_prefix("keywheel-plugin-").map(Work)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Nearly always there is nothing in it.
        let root = self.0.path().to_owned();
        if fs::remove_dir(&root).is_ok() {
            return;
        }
        // There may be very much in it, and who drops this has other things to do. If the system has no thread, the folder's own
        // drop does what it can.
        let (done, seen) = mpsc::channel();
        let remove = move || {
            let until = Instant::now() + TRIED;
            while remove(&root).is_err() && root.exists() && Instant::now() < until {
                std::thread::yield_now();
            }
            let _ = done.send(());
        };
        if std::thread::Builder::new().spawn(remove).is_ok() {
            self.0.disable_cleanup(true);
            let _ = seen.recv_timeout(WAITED);
        }
    }
}

/// Removes a folder without following its depth: what is in a folder below is moved up first. Neither a path nor the stack grows,
/// and no folder is closed to us.
fn remove(root: &Path) -> io::Result<()> {
    let mut moved = 0u64;
    loop {
        let mut empty = true;
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            empty = false;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o700))?;
            for below in fs::read_dir(entry.path())? {
                let below = below?;
                if below.file_type()?.is_dir() {
                    fs::set_permissions(below.path(), PermissionsExt::from_mode(0o700))?;
                }
                // A name that is taken is none of the names to come.
                while root.join(moved.to_string()).symlink_metadata().is_ok() {
                    moved += 1;
                }
                fs::rename(below.path(), root.join(moved.to_string()))?;
            }
            fs::remove_dir(entry.path())?;
        }
        if empty {
            return fs::remove_dir(root);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_what_is_deep_and_closed() {
        let work = Work::new().expect("a temporary folder");
        let root = work.path().to_owned();
        let mut deep = root.join("0");
        for _ in 0..200 {
            fs::create_dir(&deep).expect("the folder is ours");
            fs::write(deep.join("1"), "").expect("the folder is ours");
            deep.push("0");
        }
        let closed = root.join("0/2/3");
        fs::create_dir_all(&closed).expect("the folder is ours");
        fs::set_permissions(root.join("0/2"), PermissionsExt::from_mode(0o000)).expect("the folder is ours");
        let outside = TempDir::new().expect("a temporary folder");
        std::os::unix::fs::symlink(outside.path(), root.join("link")).expect("the folder is ours");
        drop(work);
        while root.exists() {
            std::thread::yield_now();
        }
        assert!(outside.path().exists());
    }
}
