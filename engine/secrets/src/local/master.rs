//! The master key: where it is kept, how it is read, and how it is told from others without showing it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
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
        let draft = Draft::write(path, &key.to_line()).map_err(failed)?;
        std::fs::hard_link(&draft.path, path).map_err(failed)?;
        drop(draft);
        sync_folder(path).map_err(failed)?;
        Ok(key.id)
    }

    /// Makes a new key and puts it before those in the file, which stay. The first step of changing the master key.
    /// The file is replaced as a whole; when this returns, the new one is on the disk.
    pub fn prepend_to_file(path: &Path) -> Result<KeyId, MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
        let former = read_private(path)?;
        Keyring::parse(&former, path)?;
        let key = Self::generate()?;
        let line = key.to_line();
        let mut text = Zeroizing::new(String::with_capacity(line.len() + former.len()));
        text.push_str(&line);
        text.push_str(&former);
        // A link stays a link; what it points to is replaced.
        let target = std::fs::canonicalize(path).map_err(failed)?;
        let draft = Draft::write(&target, &text).map_err(failed)?;
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
    /// Refuses a file that its group or others may read.
    pub fn load(path: &Path) -> Result<Keyring, MasterKeyError> {
        Self::parse(&read_private(path)?, path)
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

/// Reads a small text file that only its owner may read. The check is made on the opened file, not on its name.
fn read_private(path: &Path) -> Result<Zeroizing<String>, MasterKeyError> {
    let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, "it is no small file")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Open { path: path.to_owned(), mode });
    }
    // Room for all at once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// A private file beside the final one, on the disk; removed when dropped, if it still has that name.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(beside: &Path, text: &str) -> std::io::Result<Draft> {
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        let mut suffix = [0; 8];
        aws_lc_rs::rand::fill(&mut suffix).map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        name.push(format!(".{}.new", KeyId(suffix)));
        let path = beside.with_file_name(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Draft { path };
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
