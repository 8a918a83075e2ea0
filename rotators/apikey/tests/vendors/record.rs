//! What went over the wire, as text for a reviewer.

use axum::http::{HeaderMap, header};

use crate::asked::Asked;

/// Headers that say nothing about the contract.
const LEFT_OUT: [header::HeaderName; 5] =
    [header::HOST, header::USER_AGENT, header::CONTENT_LENGTH, header::ACCEPT_ENCODING, header::CONNECTION];

/// The requests in the order in which they came.
#[derive(Default)]
pub struct Record {
    text: String,
    names: Vec<String>,
}

impl Record {
    pub fn heading(&mut self, heading: &str) {
        self.text.push_str(&format!("== {heading}\n\n"));
    }

    pub fn add(&mut self, name: &str, asked: &Asked, status: u16) {
        self.names.push(name.to_owned());
        let query: Vec<_> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.text.push_str(&format!("{} {}{mark}{}\n", asked.method, asked.path, query.join("&")));
        self.text.push_str(&headers(&asked.headers));
        self.text.push_str(&body(asked));
        self.text.push_str(&format!("-> {status} ({name})\n\n"));
    }

    pub fn count(&self, name: &str) -> usize {
        self.names.iter().filter(|known| *known == name).count()
    }

    /// All of it, with secrets as `•••` and whose they are, and days and times as words.
    pub fn show(&self, secrets: &[(String, String)]) -> String {
        let mut text = self.text.clone();
        let mut secrets = secrets.to_vec();
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        for (secret, whose) in &secrets {
            text = text.replace(secret.as_str(), &format!("••• ({whose})"));
        }
        for (secret, whose) in &secrets {
            text = without_mangled(&text, secret, &format!("••• ({whose}, mangled)"));
        }
        without_times(&without_signatures(&text))
    }
}

/// A body as a line, and a form as a line for each of its fields, decoded.
fn body(asked: &Asked) -> String {
    if asked.body.is_empty() {
        return String::new();
    }
    match asked.header("content-type") {
        Some("application/x-www-form-urlencoded") => {
            let fields = url::form_urlencoded::parse(&asked.body);
            fields.map(|(name, value)| format!("{name} = {value}\n")).collect()
        }
        _ => format!("{}\n", String::from_utf8_lossy(&asked.body)),
    }
}

fn headers(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .filter(|(name, value)| !LEFT_OUT.contains(name) && value.as_bytes() != b"*/*")
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.concat()
}

/// A copy of a secret that has its length and first half, but another end.
fn without_mangled(text: &str, secret: &str, shown: &str) -> String {
    let half = &secret[..secret.len() / 2];
    let mut rest = text;
    let mut clean = String::new();
    while let Some(at) = rest.find(half).filter(|at| at + secret.len() <= rest.len() && half.len() >= 4) {
        clean.push_str(&rest[..at]);
        clean.push_str(shown);
        rest = &rest[at + secret.len()..];
    }
    clean + rest
}

/// Signatures of AWS are other ones each second.
fn without_signatures(text: &str) -> String {
    let mut parts = text.split("Signature=");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("Signature=<of all that>");
        clean.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    clean
}

/// Days and times that are not before this test was written; versions of APIs are.
fn without_times(text: &str) -> String {
    let shape = |text: &str, shape: &str| {
        text.len() >= shape.len()
            && shape.bytes().zip(text.bytes()).all(|(s, t)| if s == b'0' { t.is_ascii_digit() } else { s == t })
    };
    let mut clean = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let forms = [
            ("0000-00-00T00:00:00Z", "<time>"),
            ("0000-00-00", "<day>"),
            ("00000000T000000Z", "<time>"),
            ("00000000/", "<day>/"),
        ];
        let begins =
            !clean.ends_with(|c: char| c.is_ascii_hexdigit()) && rest.get(..4).is_some_and(|year| year >= "2026");
        match forms.into_iter().find(|(form, _)| begins && shape(rest, form)) {
            Some((form, word)) => {
                clean.push_str(word);
                rest = &rest[form.len()..];
            }
            None => {
                clean.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    clean
}
