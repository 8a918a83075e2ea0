//! What every store refuses, so that a value that fits one fits all.

use keywheel_sdk::Bundle;

use crate::SecretsError;

/// Longest name of a secret and of a version, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 512;
/// Largest bundle: the bytes of all field names and values together.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;

/// Names are shown in terminals and logs: not empty, not endless, no control characters.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), SecretsError> {
    let reason = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!("has {} bytes, more than {MAX_NAME_BYTES}", name.len())
    } else if name.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(SecretsError::Invalid(format!("the name of the {what} {reason}; nothing was changed")))
}

pub(crate) fn check_bundle(bundle: &Bundle) -> Result<(), SecretsError> {
    let bytes: usize = bundle.fields().map(|(name, value)| name.len() + value.expose(str::len)).sum();
    if bytes > MAX_BUNDLE_BYTES {
        return Err(SecretsError::Invalid(format!(
            "the bundle has {bytes} bytes, more than {MAX_BUNDLE_BYTES}; nothing was changed"
        )));
    }
    Ok(())
}
