//! Datadog: what its kinds of keys have in common.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd, has_fields, text};
use crate::case::Reply;
use crate::shelf::{Key, Shelf};

/// The name that a creation's body asks for.
pub fn name(asked: &Asked, kind: &str, optional: &[&str]) -> Result<String, Odd> {
    let body = asked.json(&["data"], &[])?;
    let data = body["data"].as_object().ok_or("`data` is no object")?;
    has_fields(data, &["type", "attributes"], &[])?;
    let attributes = data["attributes"].as_object().ok_or("`attributes` is no object")?;
    has_fields(attributes, &["name"], optional)?;
    if data["type"] != kind {
        return Err(format!("the type {}", data["type"]));
    }
    text(&attributes["name"], "name").map(str::to_owned)
}

/// A page of keys by its size and its number, each as it is shown.
pub fn list(shelf: &Shelf, asked: &Asked, show: impl Fn(&Key) -> Value) -> Result<Reply, Odd> {
    asked.has_no_body()?;
    asked.only_parameters(&["page[size]", "page[number]", "sort", "filter"])?;
    let number = |name, default| asked.parameter(name).map_or(Ok(default), str::parse::<usize>);
    let (size, page) = (number("page[size]", 10), number("page[number]", 0));
    let (size, page) = (size.map_err(|_| "no number")?, page.map_err(|_| "no number")?);
    if size > 100 {
        return Ok(error(400, "page[size] is too large"));
    }
    let data: Vec<_> = shelf.keys.iter().skip(size * page).take(size).map(show).collect();
    let meta = json!({ "max_allowed": shelf.limit, "page": { "total_filtered_count": shelf.keys.len() } });
    Ok(Reply::json(200, &json!({ "data": data, "meta": meta })))
}

/// Deletes the key that the path ends with.
pub fn delete(shelf: &mut Shelf, asked: &Asked, absent: &str) -> Result<Reply, Odd> {
    asked.is_bare()?;
    let id = asked.route().1.pop().unwrap_or_default();
    Ok(shelf.delete(&id).map_or_else(|| error(404, absent), |_| Reply::empty(204)))
}

pub fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [message] }))
}
