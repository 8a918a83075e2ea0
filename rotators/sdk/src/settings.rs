//! The policy's `target:` map, made into a type: each value is checked here, and its mistakes have one wording.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Retry, RotatorError, Setting};

pub use serde_json::{Map, Value};

/// A rotator's settings as a type: what a policy may write under `target:`, and the values that one wrote.
///
/// Derived for a struct, in which each field is a setting with the field's name. Its doc comment is the help for people who
/// write policies: one sentence, where a first paragraph is longer than that the whole of it. Nothing else is needed for
///
/// | type | kind |
/// |---|---|
/// | `String`, `PathBuf` | text, not empty |
/// | `bool` | boolean |
/// | `u8` to `u64`, `i8` to `i64`, `usize`, `isize` | whole number, within what the type holds and JSON's 64 bits with a sign |
/// | `Vec<String>` | list of texts, at least one |
/// | [`Duration`] | text such as `90s` or `1d12h` |
/// | `Option` of one of them | the same, and may be absent |
///
/// Further words stand in `#[setting(…)]` before the field:
///
/// | word | meaning |
/// |---|---|
/// | `names_target` | [`Setting::names_target`] |
/// | `min = 1`, `max = 65535` | bounds of a whole number, both included |
/// | `choice = ["a", "b"]` | one of these words, read into `String` |
/// | `choice = ["a" => Kind::A, "b" => Kind::B]` | the same, read into what stands beside the word |
/// | `duration` | the type is [`Duration`] by another name |
/// | `json` | any JSON value, read into any type that `serde` can read |
/// | `default = 5432` | what it is where a policy does not say it; for a text, what `String::from` takes |
///
/// A field that is no `Option` and has no default must be given. What cannot be expressed is a compile error where it stands.
///
/// ```
/// use keywheel_sdk::{Retry, RotatorError, Settings};
/// use serde_json::json;
///
/// #[derive(Settings)]
/// struct LampSettings {
///     /// Host name or address of the lamp.
///     #[setting(names_target)]
///     host: String,
///     /// Port, 7000 unless given.
///     #[setting(names_target, min = 1, default = 7000)]
///     port: u16,
/// }
///
/// # fn main() -> Result<(), RotatorError> {
/// let given = json!({ "host": "lamp-1" });
/// let settings = LampSettings::read(given.as_object().expect("it is a map"))?;
/// assert_eq!((settings.host.as_str(), settings.port), ("lamp-1", 7000));
///
/// let given = json!({ "host": "lamp-1", "port": 0 });
/// let wrong = LampSettings::read(given.as_object().expect("it is a map")).map(drop).expect_err("there is no port 0");
/// assert_eq!(wrong.message, "`target.port` must be a whole number from 1 to 65535");
/// assert_eq!(wrong.retry, Retry::Never);
/// # Ok(())
/// # }
/// ```
pub trait Settings: Sized {
    /// For [`crate::Descriptor::settings`].
    fn schema() -> Vec<Setting>;

    /// Reads and checks the map: for [`crate::Rotator::check_settings`], and in each call for `call.target.settings`.
    ///
    /// # Errors
    /// Code `settings`, with nothing changed and nothing to be tried again. The message names the setting and says what it
    /// must be. It tells the first mistake in the order of the fields.
    fn read(given: &Map<String, Value>) -> Result<Self, RotatorError>;
}

/// A mistake in settings, such as two that do not go together.
pub fn wrong(message: impl Into<String>) -> RotatorError {
    RotatorError::not_done(Retry::Never, "settings", message)
}

/// Refuses whatever has none of these names.
pub fn known(given: &Map<String, Value>, names: &[&str]) -> Result<(), RotatorError> {
    match given.keys().find(|key| !names.contains(&key.as_str())) {
        Some(unknown) => Err(wrong(format!("`target.{unknown}` is not a setting of this rotator"))),
        None => Ok(()),
    }
}

/// What must be given.
pub fn needed<T>(name: &str, value: Option<T>) -> Result<T, RotatorError> {
    value.ok_or_else(|| wrong(format!("`target.{name}` is missing")))
}

/// A text that is not empty; `None` where it is not given.
pub fn text(given: &Map<String, Value>, name: &str) -> Result<Option<String>, RotatorError> {
    match given.get(name) {
        None => Ok(None),
        Some(value) => match plain(value) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(wrong(format!("`target.{name}` must be a text that is not empty"))),
        },
    }
}

/// A list of texts that are not empty, at least one; `None` where it is not given.
pub fn texts(given: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, RotatorError> {
    let Some(value) = given.get(name) else { return Ok(None) };
    let list = value.as_array().filter(|list| !list.is_empty());
    match list.and_then(|list| list.iter().map(|text| plain(text).map(str::to_owned)).collect()) {
        Some(texts) => Ok(Some(texts)),
        None => Err(wrong(format!("`target.{name}` must be a list of texts, at least one, and none of them empty"))),
    }
}

/// True or false; `None` where it is not given.
pub fn boolean(given: &Map<String, Value>, name: &str) -> Result<Option<bool>, RotatorError> {
    match given.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(wrong(format!("`target.{name}` must be true or false"))),
    }
}

/// A whole number from `min` to `max` that a `T` holds; `None` where it is not given.
pub fn integer<T: TryFrom<i64>>(
    given: &Map<String, Value>,
    name: &str,
    min: i64,
    max: i64,
) -> Result<Option<T>, RotatorError> {
    let Some(value) = given.get(name) else { return Ok(None) };
    match value.as_i64().filter(|number| (min..=max).contains(number)).and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(format!("`target.{name}` must be a whole number from {min} to {max}"))),
    }
}

/// What stands beside the word that is given; `None` where none is given.
pub fn choice<T, const WORDS: usize>(
    given: &Map<String, Value>,
    name: &str,
    words: [(&str, T); WORDS],
) -> Result<Option<T>, RotatorError> {
    let Some(text) = text(given, name)? else { return Ok(None) };
    let known = words.each_ref().map(|(word, _)| *word).join(", ");
    match words.into_iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(value)),
        None => Err(wrong(format!("`target.{name}` must be one of {known}"))),
    }
}

/// A duration; `None` where it is not given.
pub fn duration(given: &Map<String, Value>, name: &str) -> Result<Option<Duration>, RotatorError> {
    let Some(text) = text(given, name)? else { return Ok(None) };
    match crate::duration(&text) {
        Ok(duration) => Ok(Some(duration)),
        Err(why) => Err(wrong(format!("`target.{name}` must be a duration such as `90s` or `1d12h`: {why}"))),
    }
}

/// Any JSON value that a `T` can be read from; `None` where it is not given.
pub fn json<T: DeserializeOwned>(given: &Map<String, Value>, name: &str) -> Result<Option<T>, RotatorError> {
    let Some(value) = given.get(name) else { return Ok(None) };
    // Without the parser's words: they repeat the value, which may be a secret.
    let form = |_| wrong(format!("`target.{name}` is not of the right form: a member is missing or of another kind"));
    T::deserialize(value).map(Some).map_err(form)
}

fn plain(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty() && !text.contains('\0'))
}
