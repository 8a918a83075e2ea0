//! YAML text as a tree in which everything knows its place.
//!
//! The YAML library stops at the first mistake; reading into a tree first and walking that lets all mistakes be told.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, Options, Spanned};

use crate::problem::Problem;
use crate::source::Source;

/// Nested deeper than any policy has reason to be.
const MAX_DEPTH: usize = 24;
/// A fleet of ten thousand accounts with five variables each has fewer.
const MAX_NODES: usize = 150_000;
/// Anchors are allowed; copying by them is bounded, so that no file of a few lines grows into millions of nodes.
const MAX_REPLAYED: usize = 10_000;

/// Where something stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub line: u32,
    pub column: u32,
    /// In characters.
    pub length: u32,
    /// In bytes, from the file's beginning.
    pub from: usize,
    pub to: usize,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub kind: Kind,
}

/// What YAML can hold, as far as policies use it.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    Integer(i128),
    /// Or a whole number beyond `i128`.
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One line of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub span: Span,
    pub value: Node,
}

impl Kind {
    /// The entries of a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = self { Some(entries) } else { None }
    }

    /// Text as it is written, without variables filled in.
    pub fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = self { Some(text) } else { None }
    }

    /// With its article, for messages. Never the value.
    pub fn noun(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Boolean(_) => "true or false",
            Kind::Integer(_) => "a whole number",
            Kind::Float(_) => "a fraction",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that makes the text no YAML, or too much of it.
pub(crate) fn parse(source: &Source) -> Result<Node, Box<Problem>> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
            max_aliases: 200,
            max_anchors: 200,
            max_recorded_anchor_events: MAX_NODES,
            max_documents: 8,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let options: Options = options;
    let empty = || {
        Problem::new("empty", crate::problem::Place::of_file(std::sync::Arc::clone(&source.name)), "the file is empty")
            .help("`keywheel schema` describes what belongs here")
    };
    if source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Err(Box::new(empty()));
    }
    match serde_yaml::from_str_with_options::<Spanned<Kind>>(&source.text, options) {
        Ok(tree) => {
            let root = node(tree);
            source.hide_secrets(&root);
            Ok(root)
        }
        Err(error) => Err(Box::new(refusal(source, &error))),
    }
}

/// The library's error in our words. Its own words may quote the text, so that only those of the scanner are used.
fn refusal(source: &Source, error: &Error) -> Problem {
    let error = error.without_snippet();
    let mut place = crate::problem::Place::of_file(std::sync::Arc::clone(&source.name));
    if let Some(location) = error.location() {
        place.line = u32::try_from(location.line()).unwrap_or(u32::MAX);
        place.column = u32::try_from(location.column()).unwrap_or(u32::MAX).max(1);
        place.length = 1;
    }
    let tab = (place.line > 0)
        .then(|| source.text.lines().nth(place.line as usize - 1))
        .flatten()
        .is_some_and(|line| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t'));
    if tab {
        return Problem::new("tab", place, "a tab stands where YAML wants spaces").help("indent with spaces");
    }
    if let Error::MultipleDocuments { .. } = error {
        return Problem::new("several-documents", place, "the file holds more than one document")
            .help("one file, one policy: remove the `---`, or make two files");
    }
    if let Error::UnsupportedTag { .. } = error {
        return Problem::new("unsupported-tag", place, "a tag (`!…`) means nothing here").help("remove it");
    }
    if is_too_much(&error.to_string()) {
        let message = "the file holds more than is read: too deep, too many values, or copies by `*`";
        return Problem::new("too-complex", place, message)
            .help(format!("at most {MAX_DEPTH} levels and {MAX_NODES} values"));
    }
    // The scanner's messages are fixed texts, and the only other ones are our own.
    let (Error::Message { msg, .. } | Error::ExternalMessage { msg, .. }) = error else {
        return Problem::new("syntax", place, "this is not YAML").help(SYNTAX_HELP);
    };
    if msg.starts_with(KEY_MESSAGE) {
        return Problem::new("wrong-type", place, KEY_MESSAGE).help("write `key: value`");
    }
    Problem::new("syntax", place, format!("this is not YAML: {msg}")).help(SYNTAX_HELP)
}

const SYNTAX_HELP: &str = "look for a missing quote, bracket or colon, or a line that is indented differently";

/// By the library's words, since it wraps these errors in others (an alias within an alias).
fn is_too_much(words: &str) -> bool {
    ["limit exceeded", "budget breached", "recursive references"].iter().any(|part| words.contains(part))
}

const KEY_MESSAGE: &str = "a key must be plain text";

fn span(location: Location) -> Span {
    let whole = location.span();
    let from = whole.byte_offset().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let bytes = whole.byte_len().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: narrow(location.line()),
        column: narrow(location.column()),
        length: narrow(whole.len()),
        from,
        to: from + bytes,
    }
}

fn node(spanned: Spanned<Kind>) -> Node {
    Node { span: span(spanned.referenced), kind: spanned.value }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Kind, E> {
        Ok(Kind::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Kind, E> {
        Ok(i128::try_from(value).map_or(Kind::Float(value as f64), Kind::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Kind>>()? {
            list.push(node(item));
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Kind>>()? {
            let text = match key.value {
                Kind::Text(text) => text,
                Kind::Integer(number) => number.to_string(),
                Kind::Boolean(value) => value.to_string(),
                Kind::Null | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => {
                    return Err(A::Error::custom(KEY_MESSAGE));
                }
            };
            let value = node(entries.next_value::<Spanned<Kind>>()?);
            map.push(Entry { key: text, span: span(key.referenced), value });
        }
        Ok(Kind::Map(map))
    }
}
