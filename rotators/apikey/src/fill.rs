//! What a request carries, with the values of one call in it.

use keywheel_sdk::{Retry, RotatorError};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::provider::{Body, Json};
use crate::template::{Place, Template, Values};

pub(crate) fn put_header(
    headers: &mut HeaderMap,
    name: &HeaderName,
    template: &Template,
    values: &Values<'_>,
    before: &str,
) -> Result<(), RotatorError> {
    let text = Zeroizing::new(format!("{before}{}", *template.fill(values, Place::Header)?));
    headers.insert(name.clone(), sensitive(&text, name)?);
    Ok(())
}

/// A header's value that no log of the HTTP library shows.
pub(crate) fn sensitive(text: &str, name: &HeaderName) -> Result<HeaderValue, RotatorError> {
    let mut value =
        HeaderValue::from_str(text).or_else(|_| HeaderValue::from_bytes(text.as_bytes())).map_err(|_| {
            let message = format!("the header `{name}` cannot hold its value");
            RotatorError::not_done(Retry::Never, "unfit-value", message)
        })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body with its type, unless the declaration gives the header itself.
pub(crate) fn put_body(outgoing: &mut reqwest::Request, body: &Body, values: &Values<'_>) -> Result<(), RotatorError> {
    let (kind, body) = match body {
        Body::Nothing => return Ok(()),
        Body::Json(json) => ("application/json", fill_json(json, values)?.to_string()),
        Body::Form(pairs) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for (name, template) in pairs {
                form.append_pair(name, &template.fill(values, Place::Whole)?);
            }
            ("application/x-www-form-urlencoded", form.finish())
        }
    };
    outgoing.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    *outgoing.body_mut() = Some(body.into());
    Ok(())
}

fn fill_json(json: &Json, values: &Values<'_>) -> Result<Value, RotatorError> {
    Ok(match json {
        Json::Plain(value) => value.clone(),
        Json::Text(template) => match template.only() {
            Some(variable) => values.json(variable)?,
            None => Value::String(template.fill(values, Place::Whole)?.to_string()),
        },
        Json::List(items) => Value::Array(items.iter().map(|item| fill_json(item, values)).collect::<Result<_, _>>()?),
        Json::Map(entries) => {
            let filled = entries.iter().map(|(key, item)| Ok((key.clone(), fill_json(item, values)?)));
            Value::Object(filled.collect::<Result<_, RotatorError>>()?)
        }
    })
}
