//! What can go wrong with a secret store.

/// A secret store's failure. `Display` never holds a value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretsError {
    /// The store could not be reached or written, or lacks a key for the moment. Whether the change happened is unknown: ask
    /// with `labels` or `read`.
    #[error("the secret store is unavailable: {0}")]
    Unavailable(String),
    /// The change was refused and nothing was changed: the labels are not where the caller believed.
    #[error("the secret store refused the change to `{secret}`: {reason}")]
    Conflict { secret: String, reason: String },
    /// What is stored does not decrypt or parse: it was altered or damaged. It will not get better by itself.
    #[error("`{secret}` cannot be read: {reason}")]
    Corrupt { secret: String, reason: String },
    /// The request can never succeed as it stands.
    #[error("{0}")]
    Invalid(String),
}
