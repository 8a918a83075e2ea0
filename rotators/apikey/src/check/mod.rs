//! A document becomes a provider: what its parts mean, and whether they belong together.

mod auth;
mod base;
mod made;
mod part;
mod path;
mod request;
mod setting;
mod template;

use std::time::Duration;

use serde_yaml::Location;

use crate::document::{Document, Text};
use crate::duration;
use crate::http::Format;
use crate::mistake::{Flaw, Mistake, did_you_mean};
use crate::provider::{KEY_ID, PUBLIC, Provider, SettingSpec, Tag};
use crate::settings::EXCLUSIVE;
use crate::spanned::Spanned;
use crate::template::{Template, Variable};

pub(crate) use base::base_url;

/// The longest a new key may be refused at first.
const LONGEST_PROPAGATION: Duration = Duration::from_secs(300);

/// Checks all of it, whatever is found wrong on the way.
pub(crate) fn check(file: &str, document: Document) -> Result<Provider, Vec<Mistake>> {
    let mut check = Check {
        file,
        mistakes: Vec::new(),
        settings: Vec::new(),
        fields: Vec::new(),
        id: KEY_ID,
        tagged: true,
        control: true,
        self_managed: true,
        xml: false,
        lifetime: false,
    };
    let provider = check.provider(document);
    check.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    // What the admin's requests share is checked with each of them.
    check.mistakes.dedup();
    match provider {
        Some(provider) if check.mistakes.is_empty() => Ok(provider),
        _ => Err(check.mistakes),
    }
}

/// What is known of the declaration so far, and what is wrong with it. A part that is wrong is told and becomes `None`.
struct Check<'a> {
    file: &'a str,
    mistakes: Vec<Mistake>,
    settings: Vec<SettingSpec>,
    fields: Vec<String>,
    /// The field that names a key.
    id: &'static str,
    /// Whether keys hold a tag.
    tagged: bool,
    /// Whether `verify` is believed only after a wrong key was refused.
    control: bool,
    /// Whether all that is asked of the admin is among the fields.
    self_managed: bool,
    /// Whether answers are XML.
    xml: bool,
    /// Whether keys end by themselves.
    lifetime: bool,
}

impl Check<'_> {
    fn mistake(&mut self, at: Location, flaw: Flaw) {
        let Flaw { message, help } = flaw;
        let file = self.file.to_owned();
        self.mistakes.push(Mistake { file, line: at.line(), column: at.column(), message, help });
    }

    fn wrong(&mut self, at: Location, message: impl Into<String>, help: impl Into<String>) {
        self.mistake(at, Flaw::new(message, help));
    }

    /// The value, or its flaw told at the place.
    fn told<T>(&mut self, at: Location, result: Result<T, Flaw>) -> Option<T> {
        result.map_err(|flaw| self.mistake(at, flaw)).ok()
    }

    fn provider(&mut self, mut document: Document) -> Option<Provider> {
        self.head(&document);
        self.settings(std::mem::take(&mut document.settings));
        let by_engine = self.made_by_engine(&document);
        let lifetime = document.lifetime.as_ref().map(|text| self.lifetime(text));
        let tag = if by_engine { None } else { self.tag_or_all(&document) };
        let base_url = self.base(&document.base_url);
        let answers = document.answers.as_ref().map_or(Some(Format::Json), |text| self.answers(text));
        let headers = self.headers(&document.headers, request::Scope::Everywhere);
        let propagation = self.propagation(document.propagation.as_ref());
        let mut requests = document.requests.value;
        let at = document.requests.referenced;
        let admin = &document.auth;
        let each_last_used = requests.list.as_ref().and_then(|list| list.value.each.as_ref()?.value.last_used.clone());
        let last_used = self.last_used(requests.last_used.take(), each_last_used, admin);
        let made = match by_engine {
            true => self.passwords(at, &mut requests, admin),
            false => self.issue(at, &mut requests, tag, admin),
        };
        self.needed(at, "verify", &requests.verify, "without it nobody sees whether a key is accepted");
        let verify = requests.verify.take().and_then(|request| self.verify(request));
        let delete = self.delete(at, requests.delete.take(), admin);
        Some(Provider {
            name: document.provider.value,
            about: document.about.value,
            docs: document.docs.map(|docs| docs.value),
            base_url: base_url?,
            answers: answers?,
            headers: headers?,
            made: made?,
            verify: verify?,
            delete: delete?,
            last_used: last_used?,
            lifetime: match lifetime {
                None => None,
                Some(setting) => Some(setting?),
            },
            // A password that was just put is not the admin's any more.
            self_managed: self.self_managed && !by_engine,
            propagation: propagation?,
            settings: std::mem::take(&mut self.settings),
            fields: std::mem::take(&mut self.fields),
        })
    }

    fn head(&mut self, document: &Document) {
        if document.version.value != 1 {
            let message = format!("version {} is not known", document.version.value);
            self.wrong(document.version.referenced, message, "write `version: 1`");
        }
        if !is_word(&document.provider.value, '-') {
            let message = "a provider's name has lower-case letters, digits and `-`, and begins with a letter";
            self.wrong(document.provider.referenced, message, "such as `keyservice`");
        }
        if document.about.value.trim().is_empty() {
            self.wrong(document.about.referenced, "`about` is empty", "say in one sentence what this provider is");
        }
        if let Some(docs) = document.docs.as_ref().filter(|docs| !docs.value.starts_with("https://")) {
            self.wrong(docs.referenced, "`docs` is no https address", "begin it with `https://`");
        }
    }

    fn fields(&mut self, fields: &Spanned<Vec<Text>>) {
        for field in &fields.value {
            if !is_word(&field.value, '_') {
                let message = "a field's name has lower-case letters, digits and `_`, and begins with a letter";
                self.wrong(field.referenced, message, "such as `key`");
            }
            if self.fields.contains(&field.value) {
                self.wrong(field.referenced, format!("the field `{}` stands here twice", field.value), "remove one");
            } else {
                self.fields.push(field.value.clone());
            }
        }
        if !self.fields.iter().any(|field| field == KEY_ID) {
            let message = "`fields` has no `key_id`, and without it no key could be deleted";
            self.wrong(fields.referenced, message, "write `fields: [key_id, key]`");
            // Said once is enough.
            self.fields.push(KEY_ID.to_owned());
        } else if self.fields.iter().all(|field| PUBLIC.contains(&field.as_str())) {
            let help = "name what the application sends, such as `fields: [key_id, key]`";
            self.wrong(fields.referenced, "`fields` has no secret beside `key_id`", help);
        }
    }

    /// How keys are known for ours: by a tag, or because all are.
    fn tag_or_all(&mut self, document: &Document) -> Option<Option<Tag>> {
        let exclusive = document.exclusive.as_ref().filter(|exclusive| exclusive.value);
        self.tagged = document.tag.is_some() || exclusive.is_none();
        match (&document.tag, exclusive) {
            (Some(tag), None) => self.tag(tag).map(Some),
            (None, Some(exclusive)) => {
                if self.settings.iter().any(|spec| spec.name == EXCLUSIVE) {
                    let message = "the setting `exclusive` is there already, where no key holds a tag";
                    self.wrong(exclusive.referenced, message, "give the other setting another name");
                }
                Some(None)
            }
            (Some(_), Some(exclusive)) => {
                let message = "`exclusive` is for keys that can hold no tag, and there is one";
                self.wrong(exclusive.referenced, message, "remove it");
                None
            }
            (None, None) => {
                let message = "there is no `tag`, so nobody would find a key whose answer was lost";
                let help = "write `tag: \"keywheel:${rotation}\"`; only where keys can hold no name, `exclusive: true`";
                self.wrong(document.provider.referenced, message, help);
                None
            }
        }
    }

    fn tag(&mut self, tag: &Text) -> Option<Tag> {
        let template = self.told(tag.referenced, Template::parse(&tag.value))?;
        let sole = template.variables().eq([&Variable::Rotation]);
        let (before, after) = template.around().filter(|_| sole).or_else(|| {
            let message = "the tag must hold `${rotation}` once, and no other variable";
            self.wrong(tag.referenced, message, "write `tag: \"keywheel:${rotation}\"`");
            None
        })?;
        let after_word = before.strip_prefix("keywheel").and_then(|rest| rest.chars().next());
        if after_word.is_none_or(char::is_alphanumeric) {
            let message = "the tag must begin with `keywheel` and a separator, so that no other key looks like ours";
            self.wrong(tag.referenced, message, "write `tag: \"keywheel:${rotation}\"`");
            return None;
        }
        Some(Tag { before: before.to_owned(), after: after.to_owned() })
    }

    fn answers(&mut self, text: &Text) -> Option<Format> {
        self.xml = text.value == "xml";
        match text.value.as_str() {
            "json" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            other => {
                let help = did_you_mean(other, ["json", "xml"]);
                self.wrong(text.referenced, format!("`{other}` is not read"), help);
                None
            }
        }
    }

    fn propagation(&mut self, text: Option<&Text>) -> Option<Duration> {
        let Some(text) = text else { return Some(Duration::ZERO) };
        let Some(duration) = duration::parse(&text.value) else {
            self.wrong(text.referenced, "this is no duration", "write a whole number and `s` or `m`, such as `10s`");
            return None;
        };
        if duration > LONGEST_PROPAGATION {
            self.wrong(text.referenced, "longer than a step may wait", "at most `5m`");
            return None;
        }
        Some(duration)
    }
}

/// Lower-case letters, digits and the separator, a letter first.
pub(crate) fn is_word(text: &str, separator: char) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == separator)
}
