//! The file of a plugin, and the copy that runs.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use minisign_verify::{Error as NotSigned, PublicKey, Signature as Signed};
use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::plugin::Plugin;

/// Why a plugin's file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read `{}`: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// What was found is no part of the message, which others may read: it would tell them of a file that they may not read, and
    /// that somebody has put in the plugin's place.
    #[error("`{}` is not what it was: its SHA-256 is another than {expected}", file.display())]
    Changed { file: PathBuf, found: String, expected: String },
    #[error("the signature `{}` cannot be read: {source}", file.display())]
    NoSignature { file: PathBuf, source: io::Error },
    #[error("`{}` is not signed with this public key: {why}", file.display())]
    NotSigned { file: PathBuf, why: &'static str },
    #[error("`{}` cannot be copied to a folder of its own: {source}", file.display())]
    NotCopied { file: PathBuf, source: io::Error },
}

/// A signature's file is a few lines; a longer one is some other file.
const LONGEST_SIGNATURE: u64 = 64 * 1024;
/// A longer file is no plugin, and copying it would fill the disk.
const LONGEST_PLUGIN: u64 = 512 * 1024 * 1024;

/// Whose signature a plugin's file must have, as [minisign](https://jedisct1.github.io/minisign/) makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What `minisign -S` wrote.
    pub file: PathBuf,
    /// The line of `minisign.pub` that begins with `RW`.
    pub public_key: String,
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
            *made = copied(plugin)?;
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
    let opened = regular(file, LONGEST_PLUGIN).map_err(unreadable)?;
    pour(opened, &mut io::sink()).map_err(unreadable)
}

/// Copies a plugin's file as it is now, opened once, and gives the SHA-256 of the very bytes that it copied. Waits for nobody.
///
/// # Errors
/// It is no regular file, is too long, or cannot be read; or the copy cannot be written.
pub fn copy(file: &Path, to: &mut impl Write) -> io::Result<String> {
    pour(regular(file, LONGEST_PLUGIN)?, to)
}

/// Looks whether a plugin's file is the one that is meant: whether its hash is the expected one, and whether it is signed where it
/// must be. Starts nothing.
///
/// # Errors
/// See [`FileError`].
pub fn verify(plugin: &Plugin) -> Result<(), FileError> {
    let unreadable = |source| FileError::Unreadable { file: plugin.file.clone(), source };
    let opened = regular(&plugin.file, LONGEST_PLUGIN).map_err(unreadable)?;
    examine(plugin, opened, &mut io::sink(), unreadable)
}

/// Copies the file that is meant.
pub(crate) fn checked(plugin: &Plugin) -> Result<Checked, FileError> {
    copied(plugin).map(|made| Checked(Mutex::new(made)))
}

fn copied(plugin: &Plugin) -> Result<Made, FileError> {
    let unreadable = |source| FileError::Unreadable { file: plugin.file.clone(), source };
    let not_copied = |source| FileError::NotCopied { file: plugin.file.clone(), source };
    let opened = regular(&plugin.file, LONGEST_PLUGIN).map_err(unreadable)?;
    let (folder, path, mut copy) = begun().map_err(not_copied)?;
    examine(plugin, opened, &mut copy, not_copied)?;
    // Not the one that was written to: what is open for writing cannot be started.
    drop(copy);
    let file = File::open(&path).map_err(not_copied)?;
    // The plugin may run as another user of the machine would: what was found to be the plugin is no secret.
    set_mode(&path, 0o555).and_then(|()| set_mode(folder.path(), 0o755)).map_err(not_copied)?;
    Ok(Made { path, file, _folder: folder })
}

/// A copy without anything in it. Nobody else enters before it is known to be what is meant: a link may stand in the plugin's place, to
/// what only we may read.
fn begun() -> io::Result<(TempDir, PathBuf, File)> {
    let folder = TempDir::with_prefix("keywheel-plugin-")?;
    set_mode(folder.path(), 0o700)?;
    let path = folder.path().join("plugin");
    let copy = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((folder, path, copy))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

/// Opens a regular file that is no longer than this. Waits for nobody, as opening a pipe does.
fn regular(file: &Path, longest: u64) -> io::Result<File> {
    let see = |metadata: &Metadata| {
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
        }
        if metadata.len() > longest { Err(too_long(longest)) } else { Ok(()) }
    };
    // Asked before it is opened, since opening a device may do something; and after, since the name may be another's by then.
    see(&std::fs::metadata(file)?)?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let opened = File::options().read(true).custom_flags(flags).open(file)?;
    see(&opened.metadata()?)?;
    Ok(opened)
}

fn too_long(longest: u64) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("it is longer than {} KiB", longest / 1024))
}

/// Copies a file, and looks at the very bytes that it copies.
fn examine(
    plugin: &Plugin,
    from: File,
    to: &mut impl Write,
    failed: impl Fn(io::Error) -> FileError,
) -> Result<(), FileError> {
    let mut whole = Vec::new();
    let found = match &plugin.signature {
        None => pour(from, to).map_err(failed)?,
        Some(_) => {
            from.take(LONGEST_PLUGIN + 1).read_to_end(&mut whole).map_err(&failed)?;
            pour(whole.as_slice(), to).map_err(failed)?
        }
    };
    if !found.eq_ignore_ascii_case(&plugin.sha256) {
        return Err(FileError::Changed { file: plugin.file.clone(), found, expected: plugin.sha256.clone() });
    }
    plugin.signature.as_ref().map_or(Ok(()), |signature| signature.holds(&plugin.file, &whole))
}

impl Signature {
    /// Whether these bytes of `signed` are signed.
    fn holds(&self, signed: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let unreadable = |source| FileError::NoSignature { file: self.file.clone(), source };
        let mut text = String::new();
        let opened = regular(&self.file, LONGEST_SIGNATURE).map_err(unreadable)?;
        opened.take(LONGEST_SIGNATURE).read_to_string(&mut text).map_err(unreadable)?;
        let holds = || {
            // Before 0.10, minisign signed the bytes themselves, and not their hash: signatures as good as those of today.
            PublicKey::from_base64(&self.public_key)?.verify(bytes, &Signed::decode(&text)?, true)
        };
        holds().map_err(|error| FileError::NotSigned { file: signed.to_owned(), why: why(&error) })
    }
}

fn why(error: &NotSigned) -> &'static str {
    match error {
        NotSigned::InvalidSignature => "the signature is of other bytes, or was changed itself",
        NotSigned::UnexpectedKeyId => "another key signed it",
        NotSigned::InvalidEncoding | NotSigned::IoError(_) => "the signature or the key is not in minisign's form",
        NotSigned::UnexpectedAlgorithm | NotSigned::UnsupportedAlgorithm | NotSigned::UnsupportedLegacyMode => {
            "the signature is of an unknown kind"
        }
    }
}

/// Copies, and gives the hash of what went through. A file may grow meanwhile, but not for ever.
fn pour(mut from: impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut left = LONGEST_PLUGIN;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            let digest = context.finish();
            return Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        left = left.checked_sub(count as u64).ok_or_else(|| too_long(LONGEST_PLUGIN))?;
        context.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{Confinement, Form};

    fn modes(copy: &Path) -> (u32, u32) {
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        (mode(copy.parent().unwrap()), mode(copy))
    }

    #[test]
    fn nobody_else_reads_a_copy_before_it_is_known() {
        let (_folder, begun, _) = begun().unwrap();
        assert_eq!(modes(&begun), (0o700, 0o600));
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("lamp");
        std::fs::write(&file, "lamp").unwrap();
        let plugin = Plugin {
            name: "lamp".to_owned(),
            form: Form::Executable,
            sha256: sha256_of(&file).unwrap(),
            file,
            signature: None,
            confinement: Confinement::default(),
            host: PathBuf::new(),
        };
        let made = copied(&plugin).unwrap();
        assert_eq!(modes(&made.path), (0o755, 0o555));
        assert!(made.is_there());
    }
}
