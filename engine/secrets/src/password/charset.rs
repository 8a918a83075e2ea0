//! Which characters a password is made of, and their classes.

use std::fmt;

use super::PasswordError;

/// A class of characters. Every character is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharClass {
    /// `a` to `z`.
    Lower,
    /// `A` to `Z`.
    Upper,
    /// `0` to `9`.
    Digit,
    /// All others.
    Symbol,
}

impl CharClass {
    const ALL: [CharClass; 4] = [CharClass::Lower, CharClass::Upper, CharClass::Digit, CharClass::Symbol];

    pub(super) fn parse(name: &str) -> Result<CharClass, PasswordError> {
        Self::ALL
            .into_iter()
            .find(|class| class.name() == name)
            .ok_or_else(|| PasswordError::UnknownClass(name.to_owned()))
    }

    /// The class of a character.
    pub fn of(c: char) -> CharClass {
        match c {
            'a'..='z' => CharClass::Lower,
            'A'..='Z' => CharClass::Upper,
            '0'..='9' => CharClass::Digit,
            _ => CharClass::Symbol,
        }
    }

    fn name(self) -> &'static str {
        match self {
            CharClass::Lower => "lower",
            CharClass::Upper => "upper",
            CharClass::Digit => "digit",
            CharClass::Symbol => "symbol",
        }
    }
}

impl fmt::Display for CharClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The characters of a named set, or those after `custom:`.
pub(super) fn characters(charset: &str) -> Result<Vec<char>, PasswordError> {
    let alphanumeric = || ('A'..='Z').chain('a'..='z').chain('0'..='9');
    match charset {
        // RFC 3986, section 2.3: unreserved characters.
        "uri-safe" => Ok(alphanumeric().chain("-._~".chars()).collect()),
        "alphanumeric" => Ok(alphanumeric().collect()),
        "ascii" => Ok(('!'..='~').collect()),
        "hex" => Ok(('0'..='9').chain('a'..='f').collect()),
        other => match other.strip_prefix("custom:") {
            Some(characters) => custom(characters),
            None => Err(PasswordError::UnknownCharset(charset.to_owned())),
        },
    }
}

fn custom(characters: &str) -> Result<Vec<char>, PasswordError> {
    let mut set = Vec::new();
    for c in characters.chars() {
        if c.is_control() || c.is_whitespace() {
            return Err(PasswordError::NotAllowed(c));
        }
        if set.contains(&c) {
            return Err(PasswordError::Duplicate(c));
        }
        set.push(c);
    }
    Ok(set)
}
