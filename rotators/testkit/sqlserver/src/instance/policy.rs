//! What a password must be where CHECK_POLICY is on.

use super::hash::{Format, verify};
use super::message::error;
use super::{PasswordPolicy, Version};
use crate::exchange::Message;

/// How a password comes to be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// By who knew the present one.
    Change,
    /// By who may, or with the account.
    Reset,
}

/// The longest password, in UTF-16 units.
const LONGEST: usize = 128;

/// Refuses what no login may have, whatever its policy.
pub(crate) fn check_length(version: Version, password: &str) -> Result<(), Message> {
    if password.encode_utf16().count() <= LONGEST {
        return Ok(());
    }
    let number = if version.is_azure() { 40631 } else { 15156 };
    let text = "The password that you specified is too long. The password should have no more than 128 characters.";
    Err(error(number, text))
}

/// Length and complexity. The name may not be in the password, where it has three characters or more.
pub(crate) fn check(version: Version, policy: &PasswordPolicy, name: &str, password: &str) -> Result<(), Message> {
    let azure = version.is_azure();
    if password.encode_utf16().count() < policy.min_length {
        let number = if azure { 40630 } else { 15116 };
        return Err(refused(number, "because it is too short", azure));
    }
    if policy.max_length.is_some_and(|longest| password.encode_utf16().count() > longest) {
        let number = if azure { 40631 } else { 15117 };
        return Err(refused(number, "because it is too long", azure));
    }
    let classes = [
        password.chars().any(char::is_uppercase),
        password.chars().any(char::is_lowercase),
        password.chars().any(|c| c.is_ascii_digit()),
        password.chars().any(|c| !c.is_alphanumeric()),
    ];
    let named = name.chars().count() > 2 && password.to_lowercase().contains(&name.to_lowercase());
    if policy.complexity && (classes.iter().filter(|class| **class).count() < 3 || named) {
        return Err(complex(version));
    }
    Ok(())
}

/// Refuses a password that is or was among the last ones.
pub(crate) fn check_history<'a>(
    version: Version,
    policy: &PasswordPolicy,
    format: Format,
    password: &str,
    newest_first: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<(), Message> {
    let reused = newest_first.take(policy.history).any(|hash| verify(format, password, hash));
    match (reused, version.is_azure()) {
        (false, _) => Ok(()),
        // What Azure says of it is not documented.
        (true, true) => Err(complex(version)),
        (true, false) => Err(error(15115, "Password validation failed. The password cannot be used at this time.")),
    }
}

/// What no change gets past, whatever the password.
pub(crate) fn check_change(policy: &PasswordPolicy, locked_out: bool, age: i64) -> Result<(), Message> {
    if locked_out {
        return Err(error(15113, "Password validation failed. The account is locked out."));
    }
    if age < super::clock::millis(policy.min_age) {
        let text = "Password validation failed. The password for the user is too recent to change.";
        return Err(error(15114, text));
    }
    Ok(())
}

/// 15118: not complex enough.
pub(crate) fn complex(version: Version) -> Message {
    let azure = version.is_azure();
    refused(if azure { 40632 } else { 15118 }, "because it is not complex enough", azure)
}

fn refused(number: i32, why: &str, azure: bool) -> Message {
    let whose = if azure { "" } else { "operating system " };
    error(number, format!("Password validation failed. The password does not meet {whose}policy requirements {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_refused_by_number() {
        let policy = PasswordPolicy::default();
        let number = |version, password: &str| {
            check_length(version, password)
                .and_then(|()| check(version, &policy, "svc_app", password))
                .err()
                .map(|e| e.number)
        };
        for (password, expected) in [
            ("Short1!", Some(15116)),
            ("Short12!", None),
            ("alllower1", Some(15118)),
            ("alllower1!", None),
            ("Mixed Case", None),
            ("xSVC_APPx1!", Some(15118)),
            ("Äbcdefg1", None),
            ("", Some(15116)),
        ] {
            assert_eq!(number(Version::V2022, password), expected, "{password}");
        }
        assert_eq!(number(Version::V2022, &"🔑a1".repeat(33)), Some(15156), "an emoji is two units");
        assert_eq!(number(Version::V2022, &"🔑A1".repeat(32)), None);
        assert_eq!(number(Version::AzureSqlDatabase, "x"), Some(40630));
        assert_eq!(number(Version::AzureSqlDatabase, "xxxxxxxxxxx"), Some(40632));
        assert_eq!(number(Version::AzureSqlDatabase, &"x".repeat(129)), Some(40631));
    }
}
