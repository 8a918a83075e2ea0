//! All keys that the target has.

use std::collections::HashSet;

use jiff::Timestamp;
use keywheel_sdk::{Retry, RotatorError};
use reqwest::Url;
use reqwest::header::LINK;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::access::Access;
use crate::answer::{Asks, Json, holds, no_answer, odd, text_at};
use crate::http::Reply;
use crate::last_used;
use crate::provider::{LastUsed, List, Next, Provider};

/// More pages than any target's keys fill.
const MAX_PAGES: usize = 1_000;
/// The longest list that is read, in bytes of all its pages.
const LONGEST_LIST: usize = 16 * 1024 * 1024;

/// A key in the list.
pub(crate) struct Listed {
    pub key_id: String,
    pub tag: Option<String>,
    /// Where the list tells it: when it was last used, `None` if never, or why that is unknown.
    pub last_used: Result<Option<Timestamp>, String>,
    /// It is over for good, and as good as not there but to whom asks about it.
    pub ended: bool,
}

/// Where the next page is.
enum Turn {
    End,
    Parameter(String, String),
    Url(Url),
}

/// Asks for the whole list, and leaves out what the declaration takes for ended.
///
/// # Errors
/// As [`list_with_ended`].
pub(crate) async fn list(access: &Access<'_>) -> Result<Vec<Listed>, RotatorError> {
    let mut keys = list_with_ended(access).await?;
    keys.retain(|key| !key.ended);
    Ok(keys)
}

/// Asks for the whole list.
///
/// # Errors
/// The list could not be had in full, or is not what the declaration says: it is never taken for a shorter one.
pub(crate) async fn list_with_ended(access: &Access<'_>) -> Result<Vec<Listed>, RotatorError> {
    let declared = declared(access)?;
    let mut turn = match &declared.next {
        Next::Page { parameter, first } => Turn::Parameter(parameter.clone(), first.to_string()),
        Next::Nothing | Next::Cursor { .. } | Next::Link => Turn::End,
    };
    let (mut keys, mut ids, mut asked) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut length = 0;
    for page in 0..MAX_PAGES {
        let outgoing = match &turn {
            Turn::Url(url) => access.request_at(&declared.request, url.clone()).await?,
            Turn::End => access.request(&declared.request, None).await?,
            Turn::Parameter(name, value) => access.request_page(&declared.request, name, value).await?,
        };
        if !asked.insert(outgoing.request.url().clone()) {
            return Err(odd("a page of the list points back to an earlier one"));
        }
        let reply = access.send(outgoing).await.map_err(crate::http::Failure::of_question)?;
        if !declared.request.expect.contains(&reply.status) {
            return Err(access.refusal(declared.request.name, &reply, None, Asks::Question));
        }
        holds(&declared.request, &reply).map_err(no_answer)?;
        length += reply.body.as_ref().map_or(0, |body| body.len());
        if length > LONGEST_LIST {
            return Err(odd(format!("the list is longer than {} MiB", LONGEST_LIST / 1024 / 1024)));
        }
        let json = Json::of(&reply, declared.request.name).map_err(no_answer)?;
        let none = || declared.parent.as_ref().is_some_and(|parent| json.is_empty(parent)).then_some(&[][..]);
        let items = json.list(&declared.items).or_else(none).ok_or_else(|| {
            odd("the answer to `list` holds no list where `items` says; is it an error with a good status?")
        })?;
        let before = ids.len();
        for item in items {
            let key = listed(access, declared, item)?;
            if ids.insert(key.key_id.clone()) {
                keys.push(key);
            }
        }
        turn = next(&declared.next, &json, &reply, page, items.len())?;
        match turn {
            Turn::End => return Ok(keys),
            Turn::Parameter(..) | Turn::Url(_) if !items.is_empty() && ids.len() == before => {
                return Err(odd("a page of the list holds only keys of earlier pages; is `next` declared rightly?"));
            }
            Turn::Parameter(..) | Turn::Url(_) => {}
        }
    }
    Err(odd(format!("the list has more than {MAX_PAGES} pages")))
}

fn declared<'a>(access: &Access<'a>) -> Result<&'a List, RotatorError> {
    let provider: &'a Provider = access.provider;
    let none = || RotatorError::not_done(Retry::Never, "unsupported", "this provider lists nothing");
    provider.list().ok_or_else(none)
}

fn listed(access: &Access<'_>, declared: &List, item: &Value) -> Result<Listed, RotatorError> {
    let key_id = text_at(item, &declared.key_id).ok_or_else(|| odd("a key in the list has no id where `each` says"))?;
    let last_used = match &access.provider.last_used {
        LastUsed::Each(at) => last_used::read(item, at),
        LastUsed::Unknown | LastUsed::Request(_) => Ok(None),
    };
    let tag = declared.tag.as_ref().and_then(|tag| text_at(item, tag));
    let ended = declared.ended.as_ref().map_or(Ok(false), |at| ended(item, at))?;
    Ok(Listed { key_id, tag, last_used, ended })
}

/// Whether a key says that it is over: by `true` as such or as a text, or by anything else that is selected, such as when it
/// ended or the element that a filter finds. A number alone may be a time or say no.
fn ended(item: &Value, at: &JsonPath) -> Result<bool, RotatorError> {
    let mut number = false;
    for value in at.query(item).all() {
        match value {
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => return Ok(true),
            Value::String(text) if !matches!(text.as_str(), "" | "false") => return Ok(true),
            Value::Number(_) => number = true,
            Value::Null | Value::Bool(false) | Value::String(_) => {}
        }
    }
    if number {
        return Err(odd("whether a key has ended is neither `true` nor `false` where `each.ended` says, but a number"));
    }
    Ok(false)
}

fn next(how: &Next, json: &Json, reply: &Reply, page: usize, items: usize) -> Result<Turn, RotatorError> {
    Ok(match how {
        Next::Nothing => Turn::End,
        Next::Cursor { more: Some(more), .. }
            if !json
                .boolean(more)
                .ok_or_else(|| odd("whether the list goes on is neither `true` nor `false` where `more` says"))? =>
        {
            Turn::End
        }
        Next::Cursor { at, more: Some(_), .. } if json.has_none(at) => {
            return Err(odd("the list goes on, and there is no cursor to its next page"));
        }
        Next::Cursor { at, parameter, .. } => match (json.text(at), json.has_none(at)) {
            (Some(cursor), _) => Turn::Parameter(parameter.clone(), cursor),
            (None, true) => Turn::End,
            (None, false) => return Err(odd("the cursor to the next page is no text")),
        },
        Next::Page { .. } if items == 0 => Turn::End,
        Next::Page { parameter, first } => {
            let number = first.saturating_add(page as u64 + 1);
            Turn::Parameter(parameter.clone(), number.to_string())
        }
        Next::Link => {
            let mut next = None;
            for header in reply.headers.get_all(LINK) {
                let unreadable = || odd("the header `Link` cannot be read");
                next = next.or(next_link(header.to_str().map_err(|_| unreadable())?).ok_or_else(unreadable)?);
            }
            match next {
                None => Turn::End,
                Some(link) => {
                    Turn::Url(reply.url.join(link).map_err(|_| odd("the `Link` to the next page is no address"))?)
                }
            }
        }
    })
}

/// The address of the next page in a `Link` header (RFC 8288, section 3), if it has one. `None` if it is no such header: an
/// address may hold commas, so it is read before anything is split.
fn next_link(header: &str) -> Option<Option<&str>> {
    let is_next = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
        })
    };
    let (mut rest, mut next) = (header.trim(), None);
    while !rest.is_empty() {
        let (address, after) = rest.strip_prefix('<')?.split_once('>')?;
        // Parameters end where the next link begins.
        let end = after.find('<').unwrap_or(after.len());
        let parameters = after[..end].trim().trim_end_matches(',');
        if parameters.split(';').any(is_next) {
            next = next.or(Some(address));
        }
        rest = &after[end..];
    }
    Some(next)
}
