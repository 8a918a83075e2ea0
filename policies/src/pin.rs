//! `lamp@^1.4`: a kind of rotator, and which of its versions are meant.

use semver::{Op, Version, VersionReq};

/// A kind, with the versions that are asked for.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The word before the `@`.
    pub kind: String,
    /// What stands behind it, as in Cargo's files: `1` and `^1.4` mean versions up to the next major one. `None` without an `@`.
    pub pin: Option<VersionReq>,
}

impl Pinned {
    /// Reads what stands behind `rotator:`. Quotes around the versions are taken off.
    ///
    /// # Errors
    /// What stands behind the `@` asks for no version. The kind is given back.
    pub fn parse(written: &str) -> Result<Self, String> {
        let Some((kind, pin)) = written.split_once('@') else {
            return Ok(Pinned { kind: written.to_owned(), pin: None });
        };
        let bare = pin.strip_prefix('"').and_then(|pin| pin.strip_suffix('"')).unwrap_or(pin);
        match VersionReq::parse(bare) {
            Ok(pin) => Ok(Pinned { kind: kind.to_owned(), pin: Some(pin) }),
            Err(_) => Err(kind.to_owned()),
        }
    }

    /// Whether it asks for one version and no other, as `=1.4.2` does.
    pub fn is_exact(&self) -> bool {
        let Some([only]) = self.pin.as_ref().map(|pin| pin.comparators.as_slice()) else { return false };
        only.op == Op::Exact && only.minor.is_some() && only.patch.is_some()
    }

    /// Of these the highest that fits, by its version. Without a pin there must be but one. What is no semantic version fits none.
    pub fn choose<T>(&self, there: impl IntoIterator<Item = T>, version: impl Fn(&T) -> &str) -> Option<T> {
        let mut there = there.into_iter();
        match &self.pin {
            Some(pin) => there
                .filter(|one| semantic(version(one)).is_some_and(|version| pin.matches(&version)))
                .max_by_key(|one| semantic(version(one))),
            None => there.next().filter(|_| there.next().is_none()),
        }
    }
}

/// Whether a version can be asked for by a pin: whether it is one of [Semantic Versioning](https://semver.org/spec/v2.0.0.html).
pub fn is_version(text: &str) -> bool {
    semantic(text).is_some()
}

/// What orders versions; less than any where it is no semantic one.
pub(crate) fn semantic(version: &str) -> Option<Version> {
    Version::parse(version).ok()
}
