//! OpenAI: what its kinds of keys have in common. Errors are as <https://platform.openai.com/docs/guides/error-codes> says.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd};
use crate::case::Reply;
use crate::shelf::{Key, Shelf};

/// A page of keys, each as it is shown, by `after` and `limit`.
pub fn list(shelf: &Shelf, asked: &Asked, show: impl Fn(&Key) -> Value) -> Result<Reply, Odd> {
    asked.has_no_body()?;
    asked.only_parameters(&["after", "limit", "order"])?;
    let limit: usize = asked.parameter("limit").unwrap_or("20").parse().map_err(|_| "no number")?;
    let after = asked.parameter("after").and_then(|id| shelf.keys.iter().position(|key| key.id == id));
    let from = after.map_or(0, |at| at + 1);
    let page: Vec<_> = shelf.keys.iter().skip(from).take(limit).collect();
    let (first, last) = (page.first().map(|key| &key.id), page.last().map(|key| &key.id));
    let more = from + page.len() < shelf.keys.len();
    let data: Vec<_> = page.iter().map(|key| show(key)).collect();
    let body = json!({ "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more });
    Ok(Reply::json(200, &body))
}

/// Deletes the key that the path ends with.
pub fn delete(shelf: &mut Shelf, asked: &Asked, object: &str) -> Result<Reply, Odd> {
    asked.is_bare()?;
    let id = asked.route().1.pop().unwrap_or_default();
    Ok(match shelf.delete(&id) {
        Some(_) => Reply::json(200, &json!({ "id": id, "object": object, "deleted": true })),
        None => error(404, "No such API key.", Value::Null),
    })
}

/// What is answered to a key that is none.
pub fn wrong(token: &str) -> Reply {
    error(401, &format!("Incorrect API key provided: {token}."), json!("invalid_api_key"))
}

pub fn error(status: u16, message: &str, code: Value) -> Reply {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": code });
    Reply::json(status, &json!({ "error": error }))
}
