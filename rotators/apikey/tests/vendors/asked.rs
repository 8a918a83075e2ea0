//! A request as a double sees it, read as strictly as can be: what the vendor's documents do not name is an error of ours.

use axum::http::{HeaderMap, Method};
use serde_json::{Map, Value};

/// What a request is not allowed to be, in words for the test's failure.
pub type Odd = String;

/// A request as it came.
pub struct Asked {
    pub method: Method,
    /// Still encoded.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    /// The method and the segments of the path, decoded.
    pub fn route(&self) -> (&str, Vec<String>) {
        let decode = |segment: &str| {
            let encoded = segment.replace('+', "%2B");
            url::form_urlencoded::parse(format!("x={encoded}").as_bytes()).next().unwrap().1.into_owned()
        };
        (self.method.as_str(), self.path.trim_start_matches('/').split('/').map(decode).collect())
    }

    /// A header's value; `None` without it, and an error if it is there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap());
        assert!(all.next().is_none(), "the header `{name}` twice");
        first
    }

    /// The token of `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// No parameters but these, each once.
    pub fn only_parameters(&self, known: &[&str]) -> Result<(), Odd> {
        let mut seen = Vec::new();
        for (name, _) in &self.query {
            if !known.contains(&name.as_str()) || seen.contains(&name) {
                return Err(format!("the parameter `{name}` is not one of {known:?}, or twice"));
            }
            seen.push(name);
        }
        Ok(())
    }

    /// Neither body nor parameters.
    pub fn is_bare(&self) -> Result<(), Odd> {
        self.only_parameters(&[])?;
        self.has_no_body()
    }

    pub fn has_no_body(&self) -> Result<(), Odd> {
        if self.body.is_empty() { Ok(()) } else { Err("a body where none belongs".to_owned()) }
    }

    /// The JSON body: the needed fields, and no others but the optional ones.
    pub fn json(&self, needed: &[&str], optional: &[&str]) -> Result<Map<String, Value>, Odd> {
        self.only_parameters(&[])?;
        if self.header("content-type") != Some("application/json") {
            return Err(format!("a body of type {:?}", self.header("content-type")));
        }
        let body = serde_json::from_slice(&self.body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let Value::Object(body) = body else { return Err("the body is no object".to_owned()) };
        has_fields(&body, needed, optional)?;
        Ok(body)
    }

    /// The body of an HTML form.
    pub fn form(&self) -> Result<Vec<(String, String)>, Odd> {
        self.only_parameters(&[])?;
        if self.header("content-type") != Some("application/x-www-form-urlencoded") {
            return Err(format!("a form of type {:?}", self.header("content-type")));
        }
        Ok(url::form_urlencoded::parse(&self.body).into_owned().collect())
    }
}

/// The needed fields, and no others but the optional ones.
pub fn has_fields(body: &Map<String, Value>, needed: &[&str], optional: &[&str]) -> Result<(), Odd> {
    if let Some(missing) = needed.iter().find(|name| !body.contains_key(**name)) {
        return Err(format!("the body has no `{missing}`"));
    }
    match body.keys().find(|name| !needed.contains(&name.as_str()) && !optional.contains(&name.as_str())) {
        Some(unknown) => Err(format!("the body has a field `{unknown}`, which the vendor does not know")),
        None => Ok(()),
    }
}

/// A text in a body.
pub fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Odd> {
    value.as_str().ok_or_else(|| format!("`{name}` is no text: {value}"))
}

/// A list of texts in a body, at least one.
pub fn texts(value: &Value, name: &str) -> Result<(), Odd> {
    let list = value.as_array().filter(|list| !list.is_empty() && list.iter().all(Value::is_string));
    list.map(drop).ok_or_else(|| format!("`{name}` is no list of texts: {value}"))
}
