//! The master key: where it is kept, how it is read, and how it is told from others without showing it.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What a key's text begins with. The number is the text's format.
const PREFIX: &str = "keywheel-master-1:";
const KEY_LEN: usize = 32;
/// A key file is a few lines; more than this is some other file.
const MAX_FILE: u64 = 64 * 1024;

/// Names a master key without telling anything of it. Stored with what the key encrypts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why there is no master key. Never holds any part of one.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("the master key file `{}` cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("the master key file `{0}` can be read by others (mode {mode:04o}): run `chmod 600 {0}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else, who can read and replace it.
    #[error(
        "the master key file `{}` belongs to user {owner}, who can read and replace it, and this runs as user {effective}: \
         make it belong to that user or to root",
        path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id that this process acts as.
        effective: u32,
    },
    /// Somebody else changes the master key at this moment.
    #[error(
        "the master key is being changed already (`{}` is locked); nothing was changed: repeat this when that has ended",
        path.display()
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error("`{}` exists and was left as it is: a lost master key loses every secret", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The text is no key.
    #[error("{place} is no master key ({reason}): expected `{PREFIX}` and 32 bytes in base64")]
    Text {
        /// Which line of which file.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system's random source failed.
    #[error("the system gives no random bytes; no key was made")]
    Random,
}

/// 32 secret bytes under which everything else is encrypted. Zeroed on drop; cannot be printed.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<Box<[u8]>>,
    id: KeyId,
}

impl MasterKey {
    /// A new random key.
    pub fn generate() -> Result<MasterKey, MasterKeyError> {
        let mut bytes = Zeroizing::new(Box::<[u8]>::from([0; KEY_LEN]));
        aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| MasterKeyError::Random)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Reads a key's text: `keywheel-master-1:` and 32 bytes in base64.
    pub fn from_text(text: &str) -> Result<MasterKey, MasterKeyError> {
        Self::parse(text.trim(), || "the given text".to_owned())
    }

    /// Makes a new key in a new file with mode `0600`, on the disk when this returns. An existing file is never touched.
    /// The folder must exist.
    pub fn generate_file(path: &Path) -> Result<KeyId, MasterKeyError> {
        let key = Self::generate()?;
        let failed = |source: std::io::Error| {
            if source.kind() == ErrorKind::AlreadyExists {
                return MasterKeyError::Exists { path: path.to_owned() };
            }
            MasterKeyError::File { path: path.to_owned(), source }
        };
        // Written whole under another name first: a crash leaves no half key under the right one, and `hard_link` refuses
        // to replace what is there, unlike `rename`.
        let draft = Draft::write(path, &key.to_line(), None).map_err(failed)?;
        std::fs::hard_link(&draft.path, path).map_err(failed)?;
        drop(draft);
        sync_folder(path).map_err(failed)?;
        Ok(key.id)
    }

    /// Makes a new key and puts it before those in the file, which stay. The first step of changing the master key.
    /// The file is replaced as a whole, and keeps its owner; when this returns, the new one is on the disk. A lock file beside
    /// it (its name and `.lock`) keeps others from doing the same at the same time; it stays there, empty.
    ///
    /// # Errors
    /// `Busy` while another change or a rewrap runs; the file is as it was after any error.
    pub fn prepend_to_file(path: &Path) -> Result<KeyId, MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
        Keyring::load(path)?; // before a lock file is made beside something that is no key file
        // A link stays a link; what it points to is replaced.
        let target = std::fs::canonicalize(path).map_err(failed)?;
        let _lock = KeyFileLock::take(&target)?;
        // Only what is read under the lock counts: a key that came meanwhile must not be written over.
        let (former, metadata) = read_private(&target)?;
        Keyring::parse(&former, &target)?;
        let key = Self::generate()?;
        let line = key.to_line();
        let mut text = Zeroizing::new(String::with_capacity(line.len() + former.len()));
        text.push_str(&line);
        text.push_str(&former);
        let draft = Draft::write(&target, &text, Some(&metadata)).map_err(failed)?;
        std::fs::rename(&draft.path, &target).map_err(failed)?;
        sync_folder(&target).map_err(failed)?;
        Ok(key.id)
    }

    /// Which key it is.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }

    fn from_bytes(bytes: Zeroizing<Box<[u8]>>) -> MasterKey {
        let mut id = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"keywheel")
            .extract(&bytes[..])
            .expand(&[b"keywheel master key id 1"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut id))
            .expect("the length is the hash's own");
        let id = KeyId(*id.first_chunk().expect("8 of 32"));
        MasterKey { bytes, id }
    }

    fn parse(text: &str, place: impl Fn() -> String) -> Result<MasterKey, MasterKeyError> {
        let wrong = |reason| MasterKeyError::Text { place: place(), reason };
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| wrong("it begins otherwise"))?;
        // Room for what the decoder estimates, which is up to two bytes more than the key.
        let mut decoded = Zeroizing::new([0; KEY_LEN + 4]);
        let length =
            STANDARD.decode_slice(encoded, &mut *decoded).map_err(|_| wrong("its base64 is wrong or too long"))?;
        if length != KEY_LEN {
            return Err(wrong("it has another length"));
        }
        let mut bytes = Zeroizing::new(Box::<[u8]>::from([0; KEY_LEN]));
        bytes.copy_from_slice(&decoded[..KEY_LEN]);
        Ok(Self::from_bytes(bytes))
    }

    fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(PREFIX.len() + 4 * KEY_LEN.div_ceil(3) + 1));
        line.push_str(PREFIX);
        STANDARD.encode_string(self.bytes(), &mut line);
        line.push('\n');
        line
    }
}

/// The master keys that a process holds. The first is the one to encrypt with once [`rewrap`](super::LocalStore::rewrap) has
/// run; the others are there to read what was not rewrapped yet.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<MasterKey>,
    file: Option<PathBuf>,
}

impl Keyring {
    /// Reads a key file: a key on each line, the newest first; empty lines and those with `#` are skipped.
    /// The file is read again when the store uses a key that it did not hold.
    ///
    /// # Errors
    /// Refuses a file that its group or others may read, and one that belongs neither to this process's user nor to root. Root
    /// itself reads any user's, so as to act for the account that keywheel runs as.
    pub fn load(path: &Path) -> Result<Keyring, MasterKeyError> {
        Self::parse(&read_private(path)?.0, path)
    }

    /// Reads keys from a text such as an environment variable's, separated by white space, the newest first.
    pub fn from_text(text: &str) -> Result<Keyring, MasterKeyError> {
        let keys = text.split_whitespace().map(MasterKey::from_text).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(MasterKeyError::Text { place: "the given text".to_owned(), reason: "it is empty" });
        }
        Ok(Keyring { keys, file: None })
    }

    /// The first key.
    pub fn primary(&self) -> &MasterKey {
        &self.keys[0] // every constructor refuses an empty ring
    }

    /// The key of this id.
    pub fn get(&self, id: KeyId) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// All ids, for messages.
    pub(super) fn ids(&self) -> String {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.to_string()).collect();
        ids.join(", ")
    }

    /// The file as it is now, and behind it the keys that were known before. Unchanged if there is no file.
    pub(super) fn reload(&self) -> Result<Keyring, MasterKeyError> {
        let Some(file) = &self.file else { return Ok(self.clone()) };
        let mut fresh = Self::load(file)?;
        for key in &self.keys {
            if fresh.get(key.id).is_none() {
                fresh.keys.push(key.clone());
            }
        }
        Ok(fresh)
    }

    /// Keeps the key file from being changed by others of this program. Nothing if there is no file, or if its folder does not
    /// let this process make a lock file: then this process cannot change the key file either, and those that can only ever
    /// add to it, so that a key which was read from it stays there.
    pub(super) fn lock_file(&self) -> Result<Option<KeyFileLock>, MasterKeyError> {
        let Some(file) = &self.file else { return Ok(None) };
        let failed = |source| MasterKeyError::File { path: file.clone(), source };
        match KeyFileLock::take(&std::fs::canonicalize(file).map_err(failed)?) {
            Ok(lock) => Ok(Some(lock)),
            Err(MasterKeyError::File { source, .. })
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Keyring, MasterKeyError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
            if !line.is_empty() && !line.starts_with('#') {
                keys.push(MasterKey::parse(line, || format!("line {number} of `{}`", path.display()))?);
            }
        }
        if keys.is_empty() {
            return Err(MasterKeyError::Text { place: format!("`{}`", path.display()), reason: "it has no key" });
        }
        Ok(Keyring { keys, file: Some(path.to_owned()) })
    }
}

impl From<MasterKey> for Keyring {
    fn from(key: MasterKey) -> Self {
        Keyring { keys: vec![key], file: None }
    }
}

/// Held by whoever changes a key file or rewraps to its first key, until dropped or until the process ends.
///
/// The lock is on a file of its own, since the key file is replaced, and a lock on the former one would keep nobody out.
/// It is never removed: somebody may just have opened it, and would hold a lock on a file without a name.
pub(super) struct KeyFileLock {
    _file: File,
}

impl KeyFileLock {
    /// `key_file` is where links end, so that all names of one file lead to one lock.
    fn take(key_file: &Path) -> Result<KeyFileLock, MasterKeyError> {
        let mut name = key_file.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = key_file.with_file_name(name);
        let failed = |source| MasterKeyError::File { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.clone().create_new(true).open(&path) {
            Ok(made) => {
                // Made by root, it would keep the key's owner out from now on. Only what was made here is given away: a link
                // that somebody put there is not.
                give_to_owner_of(&made, &std::fs::metadata(key_file).map_err(failed)?).map_err(failed)?;
                made
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(&path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(KeyFileLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(MasterKeyError::Busy { path }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Gives a file made here the owner of another one. Of a private file, the group does not matter: it is set where possible.
fn give_to_owner_of(file: &File, other: &Metadata) -> std::io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    match fchown(file, Some(other.uid()), Some(other.gid())) {
        Err(error) if made.uid() != other.uid() => {
            let text = format!("its owner, user {}, cannot be kept: {error}; nothing was changed", other.uid());
            Err(std::io::Error::new(error.kind(), text))
        }
        _ => Ok(()),
    }
}

/// Whether a process of user `effective` may rely on a key file of user `owner`. Root acts for others.
fn trusted(owner: u32, effective: u32) -> bool {
    owner == effective || owner == 0 || effective == 0
}

/// Reads a small text file that only its owner may read. The checks are made on the opened file, not on its name.
fn read_private(path: &Path) -> Result<(Zeroizing<String>, Metadata), MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, "it is no small file")));
    }
    let (owner, effective) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if !trusted(owner, effective) {
        return Err(MasterKeyError::Owner { path: path.to_owned(), owner, effective });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Open { path: path.to_owned(), mode });
    }
    // Room for all at once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok((text, metadata))
}

/// A private file beside the final one, on the disk; removed when dropped, if it still has that name.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// With the owner of the file that it is to replace, if there is one.
    fn write(beside: &Path, text: &str, replaces: Option<&Metadata>) -> std::io::Result<Draft> {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        let mut suffix = [0; 8];
        aws_lc_rs::rand::fill(&mut suffix).map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        name.push(format!(".{}.new", KeyId(suffix)));
        let path = beside.with_file_name(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Draft { path };
        if let Some(former) = replaces {
            give_to_owner_of(&file, former)?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, and that is fine.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::trusted;

    #[test]
    fn a_key_of_another_user_is_not_relied_on() {
        assert!(trusted(1000, 1000) && trusted(0, 1000) && trusted(1000, 0) && trusted(0, 0));
        assert!(!trusted(1001, 1000));
    }
}
