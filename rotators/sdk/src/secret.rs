//! A secret value: it cannot be printed, copied, compared or stored by accident, and is zeroed on drop.

use zeroize::{Zeroize, Zeroizing};

/// One secret text, such as a password.
///
/// There is no `Debug`, `Display`, `Clone`, `Serialize` or `PartialEq`: each use is an explicit [`Secret::expose`], so that
/// a reader can find them all. The memory is zeroed on drop.
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes over a text. The source's buffer, spare capacity included, is zeroed.
    pub fn new(mut text: String) -> Self {
        let exact = Box::<str>::from(text.as_str());
        text.zeroize();
        Secret(Zeroizing::new(exact))
    }

    /// Lends the text to `f`. What `f` derives from it must be zeroed by `f`, or be as public as its use demands.
    pub fn expose<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        f(&self.0)
    }

    /// A second holder of the same value, made on purpose.
    pub fn duplicate(&self) -> Self {
        Secret(Zeroizing::new(self.0.as_ref().into()))
    }

    /// Whether both hold the same text. Takes the same time wherever equally long texts differ.
    pub fn same_as(&self, other: &Secret) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposes_what_it_was_given() {
        let secret = Secret::new("pa ß word".to_owned());
        assert_eq!(secret.expose(str::len), 10);
        assert!(secret.same_as(&secret.duplicate()));
        assert!(!secret.same_as(&Secret::new("pa ß w0rd".to_owned())));
        assert!(!secret.same_as(&Secret::new("pa".to_owned())));
    }
}
