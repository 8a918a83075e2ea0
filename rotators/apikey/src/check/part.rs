//! What any request is made of: method, path, headers, statuses.

use reqwest::Method;
use reqwest::header::{self, HeaderName};

use super::Check;
use super::request::Scope;
use crate::document::{Entries, Text};
use crate::mistake::{Flaw, did_you_mean};
use crate::spanned::Spanned;
use crate::template::Template;

/// Headers that the client writes itself, or that would change where and how a request is read.
const NOT_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::COOKIE,
    header::UPGRADE,
    header::TE,
    header::EXPECT,
];

/// Statuses as they are written.
type Statuses = Spanned<Vec<Spanned<u16>>>;

impl Check<'_> {
    pub(super) fn method(&mut self, text: &Text) -> Option<Method> {
        const KNOWN: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let found = KNOWN.into_iter().find(|method| method.as_str() == text.value);
        found.or_else(|| {
            let help = did_you_mean(&text.value, ["GET", "POST", "PUT", "PATCH", "DELETE"]);
            self.wrong(text.referenced, format!("`{}` is no method", text.value), help);
            None
        })
    }

    pub(super) fn path(&mut self, text: &Text, scope: Scope) -> Option<Template> {
        let template = self.template(text, scope)?;
        let plain = template.with_all("x");
        let fits = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c);
        let flaw = if template.is_empty() {
            return Some(template);
        } else if !plain.starts_with('/') {
            Flaw::new("a path begins with `/`", "it follows `base_url`")
        } else if plain.contains('?') {
            Flaw::new("a path has no `?`", "write `query: { name: value }` beside it")
        } else if !plain.chars().all(fits) {
            Flaw::new("the path has characters that a path cannot have", "encode them, or use a variable")
        } else if plain.split('/').any(|segment| !segment.is_empty() && segment.chars().all(|c| c == '.')) {
            Flaw::new("the path has a segment of dots only", "write the path without it")
        } else {
            return Some(template);
        };
        self.mistake(text.referenced, flaw);
        None
    }

    pub(super) fn pairs(&mut self, entries: &Entries<Text>, scope: Scope) -> Option<Vec<(String, Template)>> {
        let pairs: Vec<_> = entries
            .0
            .iter()
            .map(|(name, text)| self.template(text, scope).map(|template| (name.value.clone(), template)))
            .collect();
        pairs.into_iter().collect()
    }

    pub(super) fn headers(&mut self, entries: &Entries<Text>, scope: Scope) -> Option<Vec<(HeaderName, Template)>> {
        let headers: Vec<_> = entries
            .0
            .iter()
            .map(|(name, text)| {
                let (name, value) = (self.header_name(name), self.header_value(text, scope));
                Some((name?, value?))
            })
            .collect();
        headers.into_iter().collect()
    }

    pub(super) fn header_name(&mut self, text: &Text) -> Option<HeaderName> {
        match text.value.parse::<HeaderName>() {
            Err(_) => {
                self.wrong(text.referenced, "this is no header's name", "letters, digits and `-`");
                None
            }
            Ok(name) if NOT_HEADERS.contains(&name) => {
                self.wrong(text.referenced, format!("`{}` is not for declarations", text.value), "remove it");
                None
            }
            Ok(name) => Some(name),
        }
    }

    pub(super) fn header_value(&mut self, text: &Text, scope: Scope) -> Option<Template> {
        let template = self.template(text, scope)?;
        if template.with_all("").chars().any(char::is_control) {
            self.wrong(text.referenced, "a header's value has no control characters", "remove the line end");
            return None;
        }
        Some(template)
    }

    pub(super) fn statuses(
        &mut self,
        list: Option<Statuses>,
        within: std::ops::RangeInclusive<u16>,
        key: &str,
    ) -> Option<Vec<u16>> {
        let mut statuses = Vec::new();
        let mut fine = true;
        for status in list.map(|list| list.value).unwrap_or_default() {
            if within.contains(&status.value) {
                statuses.push(status.value);
            } else {
                fine = false;
                let message = format!("{} cannot stand in `{key}`", status.value);
                let help = format!("a status from {} to {}", within.start(), within.end());
                self.wrong(status.referenced, message, help);
            }
        }
        fine.then_some(statuses)
    }
}
