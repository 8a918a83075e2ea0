//! What a command has made so far, so that it can be taken away again where the command does not come to its end.

use std::path::{Path, PathBuf};

/// Folders and files that were not there before, in the order in which they were made.
#[derive(Default)]
pub struct Made(Vec<One>);

enum One {
    Folder(PathBuf),
    File(PathBuf),
}

impl Made {
    pub fn folder(&mut self, folder: &Path) {
        self.0.push(One::Folder(folder.to_owned()));
    }

    pub fn file(&mut self, file: &Path) {
        self.0.push(One::File(file.to_owned()));
    }

    /// Takes it all away. Whether nothing of it is left: a folder into which somebody else has put something stays.
    pub fn undone(self) -> bool {
        let mut is_all = true;
        for one in self.0.into_iter().rev() {
            is_all &= match one {
                One::Folder(folder) => std::fs::remove_dir(folder).is_ok(),
                One::File(file) => std::fs::remove_file(file).is_ok(),
            };
        }
        is_all
    }
}
