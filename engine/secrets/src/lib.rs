//! Where secrets live: versions of bundles with labels, encrypted at rest.
//!
//! [`SecretStore`] is the interface. [`LocalStore`] keeps an encrypted file, [`memory::MemoryStore`] is the reference that
//! [`exam`] compares every store with, and [`faulty::FaultyStore`] lies on purpose. [`generate_password`] makes values.

mod bounds;
mod error;
mod local;
mod moves;
mod password;
mod store;

pub mod exam;
pub mod faulty;
pub mod memory;

pub use bounds::{MAX_BUNDLE_BYTES, MAX_NAME_BYTES};
pub use error::SecretsError;
pub use local::{KeyId, Keyring, LocalStore, MasterKey, MasterKeyError, Rewrapped};
pub use password::{CharClass, FirstChar, PasswordError, PasswordRecipe, generate_password};
pub use store::{Label, Labels, SecretInfo, SecretStore, Selector, Stored, VersionInfo, expires_at};
