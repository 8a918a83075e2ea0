//! A secret's value: named fields that live and change together, so that readers never see half an update.

use std::collections::BTreeMap;

use crate::Secret;

/// The field that names the account.
pub const USERNAME: &str = "username";
/// The field that holds the password.
pub const PASSWORD: &str = "password";

/// The field that says until when the target accepts the credential, where it ends by itself: RFC 3339 with an offset. No secret.
pub const EXPIRES_AT: &str = "expires_at";

/// The fields of one version of a secret, in name order.
#[derive(Default)]
pub struct Bundle(BTreeMap<String, Secret>);

/// A bundle lacks a field that this operation needs.
#[derive(Debug, thiserror::Error)]
#[error("the credential has no field `{0}`")]
pub struct MissingField(pub String);

impl Bundle {
    /// An empty bundle.
    pub fn new() -> Self {
        Self::default()
    }

    /// The usual pair.
    pub fn login(username: &str, password: Secret) -> Self {
        Self::new().with(USERNAME, Secret::new(username.to_owned())).with(PASSWORD, password)
    }

    /// Adds or replaces a field.
    #[must_use]
    pub fn with(mut self, field: &str, value: Secret) -> Self {
        self.0.insert(field.to_owned(), value);
        self
    }

    /// A field's value.
    pub fn get(&self, field: &str) -> Result<&Secret, MissingField> {
        self.0.get(field).ok_or_else(|| MissingField(field.to_owned()))
    }

    /// The account name. It is kept in the bundle, but is no secret.
    pub fn username(&self) -> Result<String, MissingField> {
        self.get(USERNAME).map(|s| s.expose(str::to_owned))
    }

    /// The password.
    pub fn password(&self) -> Result<&Secret, MissingField> {
        self.get(PASSWORD)
    }

    /// All fields in name order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second holder of the same values, made on purpose.
    pub fn duplicate(&self) -> Self {
        Bundle(self.0.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect())
    }

    /// Whether both hold the same fields with the same values.
    pub fn same_as(&self, other: &Bundle) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).fold(true, |same, ((an, av), (bn, bv))| same & (an == bn) & av.same_as(bv))
    }
}
