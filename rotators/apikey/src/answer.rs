//! What an answer says: its JSON, the texts in it, and what a failure is told as.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use keywheel_sdk::{Bundle, Effect, Retry, RotatorError, Secret};
use reqwest::header::{DATE, HeaderName, RETRY_AFTER};
use serde_json::Value;
use serde_json_path::JsonPath;
use zeroize::Zeroize;

use crate::access::Access;
use crate::http::{Format, Reply};
use crate::provider::{Request, Sign};
use crate::xml;

/// How much of a failure's body is told, in characters.
const EXCERPT: usize = 200;
/// How many of a failure's codes are told.
const MAX_CODES: usize = 4;
/// The longest of them, in characters.
const LONGEST_CODE: usize = 40;
/// The longest that a provider may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Before something is changed that the provider was busy with.
const AFTER_BUSY: Duration = Duration::from_secs(30);
/// Before a refused admin tries again: somebody may be mending its rights, and a wrong login may count against it.
pub(crate) const AFTER_REFUSED_ADMIN: Duration = Duration::from_secs(30);

/// A JSON body. Its texts are zeroed on drop, for one of them may be a key.
pub(crate) struct Json(Value);

impl Drop for Json {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Json {
    /// Reads the body, as JSON or as what XML says in JSON.
    ///
    /// # Errors
    /// The line was cut, or something between us and the provider answered in its place: a sentence without any of the body.
    /// Who only asked may ask again ([`no_answer`]).
    pub fn of(reply: &Reply, name: &str) -> Result<Json, String> {
        let body = reply.body.as_ref().map_err(|why| format!("the answer to `{name}` could not be read: {why}"))?;
        match reply.format {
            Format::Json => serde_json::from_slice(body).map(Json).map_err(|error| {
                // Line and column only: the library's own words may quote the body.
                format!("the answer to `{name}` is no JSON at {}:{}", error.line(), error.column())
            }),
            Format::Xml => xml::value(body)
                .map(Json)
                .map_err(|why| format!("the answer to `{name}` is no XML that is read: {why}")),
        }
    }

    /// The one list at a path.
    pub fn list(&self, path: &JsonPath) -> Option<&[Value]> {
        path.query(&self.0).exactly_one().ok().and_then(Value::as_array).map(Vec::as_slice)
    }

    /// Whether there is exactly an empty text at a path.
    pub fn is_empty(&self, path: &JsonPath) -> bool {
        path.query(&self.0).exactly_one().ok().and_then(Value::as_str) == Some("")
    }

    /// The one text at a path.
    pub fn text(&self, path: &JsonPath) -> Option<String> {
        text_at(&self.0, path)
    }

    /// Whether a path selects something: a value that is neither `null` nor `false`.
    pub fn selects(&self, path: &JsonPath) -> bool {
        path.query(&self.0).all().into_iter().any(|value| !value.is_null() && value.as_bool() != Some(false))
    }

    /// Whether there is nothing at a path: no match, `null`, or an empty text.
    pub fn has_none(&self, path: &JsonPath) -> bool {
        path.query(&self.0).all().into_iter().all(|value| value.is_null() || value.as_str() == Some(""))
    }

    /// Lends all of it.
    pub fn with<R>(&self, use_it: impl FnOnce(&Value) -> R) -> R {
        use_it(&self.0)
    }

    /// The one `true` or `false` at a path, as such or as a text.
    pub fn boolean(&self, path: &JsonPath) -> Option<bool> {
        let value = path.query(&self.0).exactly_one().ok()?;
        value.as_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    }

    /// The one text at a path, as a secret.
    pub fn secret(&self, path: &JsonPath) -> Option<Secret> {
        self.text(path).map(Secret::new)
    }
}

/// The one text or whole number at a path, where it is not empty.
pub(crate) fn text_at(value: &Value, path: &JsonPath) -> Option<String> {
    match path.query(value).exactly_one().ok()? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a request may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Question,
    /// A question whose answer is about a credential that was sent to be looked at, and may well repeat it.
    Proof,
    Change,
}

/// Whether an answer with a good status holds what the declaration says that a good answer holds.
///
/// # Errors
/// It does not, or cannot be read: a sentence without any of the body.
pub(crate) fn holds(request: &Request, reply: &Reply) -> Result<(), String> {
    let Some(path) = &request.holds else { return Ok(()) };
    if Json::of(reply, request.name)?.selects(path) {
        return Ok(());
    }
    Err(format!(
        "the answer {} to `{}` does not hold what the declaration's `holds` asks for",
        reply.status, request.name
    ))
}

/// A question whose answer could not be read, or says by `holds` that it is none. The next one may be another.
pub(crate) fn no_answer(why: String) -> RotatorError {
    RotatorError::not_done(Retry::Now, "no-answer", why)
}

/// The answer to a question was read whole and does not hold what is needed where the declaration says: who asks again is
/// answered the same.
pub(crate) fn odd(why: impl Into<String>) -> RotatorError {
    RotatorError::not_done(Retry::Never, "unexpected-answer", why)
}

/// Whether an answer is one that the declaration gives this meaning.
pub(crate) fn says(sign: &Sign, reply: &Reply, name: &str) -> bool {
    sign.statuses.contains(&reply.status)
        && sign.holds.as_ref().is_none_or(|path| Json::of(reply, name).is_ok_and(|json| json.selects(path)))
}

impl Access<'_> {
    /// What an answer with none of the declared statuses means.
    ///
    /// A definite refusal (most of 400 to 499) and a busy provider that names a time have changed nothing. All else may
    /// have.
    pub fn refusal(&self, name: &str, reply: &Reply, key: Option<&Bundle>, asks: Asks) -> RotatorError {
        let status = reply.status;
        let told = self.excerpt(reply, key, asks);
        let answered = format!("the provider answered {status} to `{name}`{told}");
        let unclear = |code: &str, retry: Retry, hint: &str| {
            let effect = match asks {
                Asks::Question | Asks::Proof => Effect::None,
                Asks::Change => Effect::Unknown,
            };
            RotatorError { effect, retry, code: code.to_owned(), message: format!("{answered}{hint}") }
        };
        let refused =
            |retry, hint: &str| RotatorError::not_done(retry, &format!("status-{status}"), format!("{answered}{hint}"));
        let wait = retry_after(reply);
        // What was not the provider itself (a page of a proxy, of a network that wants a login) passes; who only asked may ask again.
        let strange = match asks {
            Asks::Question | Asks::Proof => Retry::Now,
            Asks::Change => Retry::Never,
        };
        match status {
            401 | 403 => refused(
                Retry::After(AFTER_REFUSED_ADMIN),
                "; check the credential that the policy's `admin:` names, and its rights",
            ),
            429 => refused(wait.map_or(Retry::Now, Retry::After), ""),
            503 if wait.is_some() => refused(wait.map_or(Retry::Now, Retry::After), ""),
            // The provider gave up waiting for the request, or asks for it again: who knows what it has read.
            408 | 425 => unclear(&format!("status-{status}"), Retry::Now, ""),
            400..=499 => refused(Retry::Never, ""),
            300..=399 => unclear("redirect", strange, ", which points to another address; redirects are not followed"),
            500..=599 => unclear(&format!("status-{status}"), wait.map_or(Retry::Now, Retry::After), ""),
            _ => unclear("unexpected-status", strange, ", which the declaration does not expect"),
        }
    }

    /// The beginning of a failure's body. Nothing of an answer to a change that may hold a new key, and no more than words of
    /// an answer about a credential.
    fn excerpt(&self, reply: &Reply, key: Option<&Bundle>, asks: Asks) -> String {
        if asks == Asks::Change && !(400..=499).contains(&reply.status) || (200..=299).contains(&reply.status) {
            return String::new();
        }
        if asks == Asks::Proof {
            return self.codes(reply, key);
        }
        let Ok(body) = &reply.body else { return String::new() };
        let clean = self.without_secrets(&String::from_utf8_lossy(body), key);
        let clean: String = clean.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(EXCERPT) {
            None if words.is_empty() => String::new(),
            None => format!(": {words}"),
            Some((end, _)) => format!(": {}…", &words[..end]),
        }
    }

    /// What a failure calls itself by short words: `error` (RFC 6749, section 5.2), `error_codes` (Microsoft's numbers), `code`.
    fn codes(&self, reply: &Reply, key: Option<&Bundle>) -> String {
        let Ok(json) = Json::of(reply, "") else { return String::new() };
        let words: Vec<String> = json.with(|value| {
            let held = ["error", "code", "error_codes"].iter().filter_map(|name| value.get(*name));
            held.flat_map(|held| held.as_array().map_or(std::slice::from_ref(held), Vec::as_slice))
                .filter_map(code)
                .take(MAX_CODES)
                .collect()
        });
        let told = words.iter().filter(|word| self.without_secrets(word, key) == **word).cloned().collect::<Vec<_>>();
        if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) }
    }
}

/// A number, or a word such as `invalid_client`.
fn code(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => {
            let is_word = (1..=LONGEST_CODE).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
            is_word.then(|| text.clone())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// How long the provider asks us to wait: in seconds, or until a time by its own clock (RFC 9110, 10.2.3).
fn retry_after(reply: &Reply) -> Option<Duration> {
    let text = header(reply, RETRY_AFTER)?;
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let seconds = time(text)?.as_second() - date(reply)?.as_second();
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        }
    };
    Some(asked.min(LONGEST_WAIT))
}

/// The time by the clock of whoever answered (RFC 9110, 6.6.1).
pub(crate) fn date(reply: &Reply) -> Option<Timestamp> {
    time(header(reply, DATE)?)
}

fn header(reply: &Reply, name: HeaderName) -> Option<&str> {
    reply.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn time(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The same failure, to be tried again without a person where the provider is at something else with what is to be changed.
pub(crate) fn busy(error: RotatorError, reply: &Reply) -> RotatorError {
    match reply.status {
        409 | 423 => RotatorError { retry: Retry::After(retry_after(reply).unwrap_or(AFTER_BUSY)), ..error },
        _ => error,
    }
}

/// The same failure of a call that has changed something before.
pub(crate) fn after_change(error: RotatorError) -> RotatorError {
    RotatorError { effect: Effect::Unknown, ..error }
}
