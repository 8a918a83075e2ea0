//! Walks a tree and collects what is wrong with it, instead of stopping at the first mistake.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::placeholder;
use crate::problem::{Place, Problem, Problems};
use crate::scalar;
use crate::source::{Source, is_secret_key, names_a_secret};
use crate::tree::{Entry, Kind, Node, Span};

/// The keys that one kind of map may have.
pub(crate) struct Keys {
    /// As in the JSON Schema's definitions, and in messages.
    pub name: &'static str,
    pub keys: &'static [&'static str],
}

/// The values of one round of `for_each`.
pub(crate) type Variables = BTreeMap<String, String>;

/// What a walk through one file carries along.
pub(crate) struct Walk<'a> {
    pub source: &'a Source,
    variables: RefCell<Option<(Rc<Variables>, Span)>>,
    found: RefCell<Found>,
    failed: Cell<bool>,
    /// What all rounds together have taken so far, as [`MOST_BYTES`] counts it.
    taken: Cell<usize>,
}

/// Most that the rounds of one file may become, in bytes. Each round copies the whole policy, so a small file could ask for
/// gigabytes. Counted are texts, and a little for each text, key and item.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What a text takes beside its bytes.
const PER_TEXT: usize = 32;
/// What looking at a key or an item takes.
const PER_ITEM: usize = 16;

/// Nobody reads more than this at once.
const MOST_PER_FILE: usize = 200;

/// Different messages of one kind at one place: enough for all missing keys of a map, too few to flood a terminal.
const MOST_PER_PLACE: usize = 20;

/// A problem was recorded: there is no value.
struct Told;

#[derive(Default)]
struct Found {
    problems: Problems,
    /// What was already told of each place: a fleet of thousands makes the same mistake in each round.
    told: HashMap<(&'static str, u32, u32), HashSet<String>>,
    /// Problems beyond [`MOST_PER_FILE`].
    untold: u64,
}

impl<'a> Walk<'a> {
    pub fn new(source: &'a Source) -> Self {
        Walk {
            source,
            variables: RefCell::default(),
            found: RefCell::default(),
            failed: Cell::new(false),
            taken: Cell::new(0),
        }
    }

    /// Begins a round of `for_each`, or the only one.
    pub fn begin(&self, variables: Option<(Rc<Variables>, Span)>) {
        *self.variables.borrow_mut() = variables;
        self.failed.set(false);
    }

    /// Whether anything was wrong since [`Walk::begin`].
    pub fn failed(&self) -> bool {
        self.failed.get()
    }

    /// Whether this tells of anything.
    pub fn tells(&self, read: impl FnOnce()) -> bool {
        let before = self.failed.replace(false);
        read();
        let told = self.failed.get();
        self.failed.set(before || told);
        told
    }

    /// Whether the rounds have become too large: the rest is not worth a look, and what was read is not worth keeping.
    pub fn exhausted(&self) -> bool {
        self.taken.get() > MOST_BYTES
    }

    /// Counts what is about to be read. Tells once where it became too much.
    fn take(&self, span: Span, bytes: usize) -> Option<()> {
        if !self.exhausted() {
            self.taken.set(self.taken.get().saturating_add(bytes));
            if self.exhausted() {
                let most = MOST_BYTES / (1024 * 1024);
                let message = format!("with all rounds of `for_each` this file grows beyond {most} MiB");
                self.tell(
                    self.problem("too-large", span, message)
                        .help("split the list of `for_each` among several files, or shorten what each round repeats"),
                );
            }
        }
        (!self.exhausted()).then_some(())
    }

    /// Takes the problems out.
    pub fn finish(self) -> Problems {
        let Found { mut problems, untold, .. } = self.found.into_inner();
        if untold > 0 {
            let file = Place::of_file(Arc::clone(&self.source.name));
            let message = format!("{untold} more problems in this file are not shown");
            problems.push(Problem::new("more-problems", file, message).help("mend the first ones, and look again"));
        }
        problems
    }

    pub fn place(&self, span: Span) -> Place {
        Place {
            file: Arc::clone(&self.source.name),
            line: span.line,
            column: span.column,
            length: span.length.max(1),
            excerpt: None,
        }
    }

    /// Records a problem, once.
    pub fn tell(&self, problem: Problem) {
        self.failed.set(true);
        let mut found = self.found.borrow_mut();
        if found.problems.len() >= MOST_PER_FILE {
            found.untold += 1;
            return;
        }
        let told = found.told.entry((problem.code, problem.place.line, problem.place.column)).or_default();
        if told.len() >= MOST_PER_PLACE || !told.insert(problem.message.clone()) {
            return;
        }
        let problem = match *self.variables.borrow() {
            Some((_, span)) if problem.related.is_none() => problem.related(self.place(span), "with these variables"),
            Some(_) | None => problem,
        };
        found.problems.push(problem);
    }

    /// Whether telling this would say nothing new: it was told, or nothing more is told of this file.
    pub fn has_told(&self, problem: &Problem) -> bool {
        let found = self.found.borrow();
        let told = found.told.get(&(problem.code, problem.place.line, problem.place.column));
        found.problems.len() >= MOST_PER_FILE || told.is_some_and(|told| told.contains(&problem.message))
    }

    pub fn problem(&self, code: &'static str, span: Span, message: impl Into<String>) -> Problem {
        Problem::new(code, self.place(span), message)
    }

    /// Hides every value in here from excerpts.
    pub fn hide(&self, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.hide(item)),
            Kind::Map(entries) => entries.iter().for_each(|entry| self.hide(&entry.value)),
            Kind::Null => {}
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Text(_) => {
                self.source.mask(node.span.from..node.span.to)
            }
        }
    }

    fn wrong_type(&self, node: &Node, wanted: &str, help: Option<&str>) {
        if matches!(&node.kind, Kind::Text(text) if text.is_empty()) {
            self.tell(self.problem("empty-value", node.span, format!("expected {wanted}, found empty text")));
            return;
        }
        let problem = self.problem("wrong-type", node.span, format!("expected {wanted}, found {}", node.kind.noun()));
        self.tell(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// A map with these keys.
    pub fn section<'n>(&'n self, node: &'n Node, keys: &'static Keys) -> Option<Section<'n>> {
        let Kind::Map(entries) = &node.kind else {
            let known = scalar::list_words(keys.keys.iter().copied());
            self.wrong_type(node, "a map", Some(&format!("with the keys {known}")));
            return None;
        };
        self.take(node.span, entries.len() * PER_ITEM)?;
        self.refuse_repeats(entries);
        Some(Section { walk: self, entries, keys, span: node.span, asked: Cell::new(0) })
    }

    /// A map whose keys are free.
    pub fn entries<'n>(&self, node: &'n Node) -> Option<&'n [Entry]> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, "a map", None);
            return None;
        };
        // The keys may be kept as well.
        let keys = entries.iter().map(|entry| PER_TEXT + entry.key.len()).sum();
        self.take(node.span, keys)?;
        self.refuse_repeats(entries);
        Some(entries)
    }

    fn refuse_repeats(&self, entries: &[Entry]) {
        let mut seen: HashMap<&str, &Entry> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(first) = seen.insert(&entry.key, entry) {
                // Nobody reads it, so that nobody else sees that it should not be shown.
                self.hide(&first.value);
                self.tell(
                    self.problem("duplicate-key", entry.span, format!("`{}` is given twice", shown(&entry.key)))
                        .help("keep one of them")
                        .related(self.place(first.span), "first given here"),
                );
            }
        }
    }

    pub fn list<'n>(&self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => {
                self.take(node.span, items.len() * PER_ITEM)?;
                Some(items)
            }
            Kind::Null | Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Text(_) | Kind::Map(_) => {
                self.wrong_type(node, "a list", Some("write `[a, b]`, or one `- a` a line"));
                None
            }
        }
    }

    /// Text with its variables filled in. Numbers are not taken for text: `1.10` would have become `1.1`.
    pub fn text(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Text(text) if !text.is_empty() => self.fill(node, text),
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) => {
                self.wrong_type(node, "text", Some("put it in quotes"));
                None
            }
            Kind::Text(_) | Kind::Null | Kind::List(_) | Kind::Map(_) => {
                self.wrong_type(node, "text", None);
                None
            }
        }
    }

    fn fill(&self, node: &Node, text: &str) -> Option<String> {
        self.take(node.span, text.len() + PER_TEXT)?;
        if !text.contains("${") {
            return Some(text.to_owned());
        }
        let variables = self.variables.borrow();
        match placeholder::fill(text, variables.as_ref().map(|(variables, _)| &**variables)) {
            Ok(filled) => {
                drop(variables);
                self.take(node.span, filled.len().saturating_sub(text.len()))?;
                Some(filled)
            }
            Err(unfilled) => {
                drop(variables);
                self.tell(placeholder::problem(self, node.span, &unfilled));
                // The next rounds will tell the same: not worth as long a look as a text that comes to something.
                self.take(node.span, text.len() * 4)?;
                None
            }
        }
    }

    pub fn boolean(&self, node: &Node) -> Option<bool> {
        match (&node.kind, self.filled(node).ok()?.as_deref()) {
            (Kind::Boolean(value), _) => Some(*value),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => {
                self.wrong_type(node, "true or false", Some("write `true` or `false`"));
                None
            }
        }
    }

    pub fn integer(&self, node: &Node, range: RangeInclusive<i64>) -> Option<i64> {
        let filled = self.filled(node).ok()?.and_then(|text| text.parse::<i128>().ok());
        let value = match (&node.kind, filled) {
            (Kind::Integer(value), _) => *value,
            (_, Some(value)) => value,
            _ => {
                self.wrong_type(node, "a whole number", None);
                return None;
            }
        };
        match i64::try_from(value) {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                self.tell(self.problem(
                    "out-of-range",
                    node.span,
                    format!("expected a whole number from {} to {}", range.start(), range.end()),
                ));
                None
            }
        }
    }

    /// What variables made of a text: only such text may stand for a number or a boolean, so that `"40"` stays text.
    fn filled(&self, node: &Node) -> Result<Option<String>, Told> {
        match &node.kind {
            Kind::Text(text) if text.contains("${") => self.fill(node, text).map(Some).ok_or(Told),
            Kind::Text(_)
            | Kind::Null
            | Kind::Boolean(_)
            | Kind::Integer(_)
            | Kind::Float(_)
            | Kind::List(_)
            | Kind::Map(_) => Ok(None),
        }
    }

    /// One of some words.
    pub fn choice<T: Clone>(&self, node: &Node, words: &[(&'static str, T)]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| *word);
        let Kind::Text(_) = &node.kind else {
            self.wrong_type(node, &scalar::list_words(known()), None);
            return None;
        };
        let text = self.text(node)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Some(value.clone()),
            None => {
                let problem =
                    self.problem("unknown-word", node.span, format!("expected {}", scalar::list_words(known())));
                self.tell(match scalar::closest(&text, known()) {
                    Some(word) => problem.help(format!("did you mean `{word}`?")),
                    None => problem,
                });
                None
            }
        }
    }

    /// A duration with its unit.
    pub fn duration(&self, node: &Node) -> Option<Duration> {
        const HELP: &str = "write `90s`, `30m`, `24h`, `30d`, `2w`, or several: `1d12h`";
        if let Kind::Integer(number) = &node.kind {
            self.tell(
                self.problem("missing-unit", node.span, "a duration needs a unit")
                    .help(format!("write `{number}s`, `{number}m`, `{number}h` or `{number}d`")),
            );
            return None;
        }
        let Kind::Text(_) = &node.kind else {
            self.wrong_type(node, "a duration", Some(HELP));
            return None;
        };
        let text = self.text(node)?;
        self.duration_in(node.span, &text)
    }

    /// A duration that is part of a text.
    pub fn duration_in(&self, span: Span, text: &str) -> Option<Duration> {
        match scalar::duration(text) {
            Ok(duration) => Some(duration),
            Err(why) => {
                let code = if why.contains("needs a unit") { "missing-unit" } else { "bad-duration" };
                self.tell(
                    self.problem(code, span, why).help("write `90s`, `30m`, `24h`, `30d`, `2w`, or several: `1d12h`"),
                );
                None
            }
        }
    }

    /// Text that must have a form.
    pub fn checked(
        &self,
        node: &Node,
        code: &'static str,
        what: &str,
        help: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = self.text(node)?;
        if fits(&text) {
            return Some(text);
        }
        self.tell(self.problem(code, node.span, format!("this is no {what}")).help(help));
        None
    }
}

/// A map that is being read: what was not asked for by the end is unknown.
pub(crate) struct Section<'n> {
    pub walk: &'n Walk<'n>,
    entries: &'n [Entry],
    keys: &'static Keys,
    pub span: Span,
    /// Bit n: `keys.keys[n]` was asked for.
    asked: Cell<u64>,
}

impl<'n> Section<'n> {
    /// The value of a key, where one is given.
    pub fn get(&self, key: &'static str) -> Option<&'n Node> {
        let entry = self.entry(key)?;
        if matches!(entry.value.kind, Kind::Null) {
            let walk = self.walk;
            walk.tell(
                walk.problem("empty-value", entry.span, format!("`{key}` has no value"))
                    .help("give one, or remove the key"),
            );
            return None;
        }
        Some(&entry.value)
    }

    /// The line of a key, where there is one.
    pub fn entry(&self, key: &'static str) -> Option<&'n Entry> {
        let index = self.keys.keys.iter().position(|known| *known == key);
        debug_assert!(index.is_some(), "`{key}` is not in the list of keys of {}", self.keys.name);
        self.asked.set(self.asked.get() | 1 << index.unwrap_or(63));
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there.
    pub fn need(&self, key: &'static str, help: impl Display) -> Option<&'n Node> {
        if self.entry(key).is_none() {
            let walk = self.walk;
            walk.tell(
                walk.problem("missing-key", self.span, format!("{} has no `{key}`", self.keys.name))
                    .help(help.to_string()),
            );
            return None;
        }
        self.get(key)
    }

    /// Refuses every key that was not asked for. `also` are further words for "did you mean".
    pub fn done(self) {
        let known = self.keys.keys;
        debug_assert_eq!(
            self.asked.get().count_ones() as usize,
            known.len(),
            "each key of {} is asked for",
            self.keys.name
        );
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.walk.unknown_key(entry, self.keys.name, known.iter().copied());
        }
    }
}

impl Walk<'_> {
    /// A key that does not belong here. What it holds is not shown: it could be anything.
    pub fn unknown_key<'k>(&self, entry: &Entry, of: &str, known: impl Iterator<Item = &'k str> + Clone) {
        self.hide(&entry.value);
        if self.found.borrow().problems.len() >= MOST_PER_FILE {
            // Looking for what was meant costs more than all else, and nobody will read it.
            self.tell(self.problem("unknown-key", entry.span, "unknown key"));
            return;
        }
        let scalar_value = !matches!(entry.value.kind, Kind::Map(_) | Kind::List(_) | Kind::Null);
        if is_secret_key(&entry.key) && scalar_value {
            self.tell(
                self.problem(
                    "secret-in-clear",
                    entry.span,
                    format!("`{}` would hold a secret in the clear", shown(&entry.key)),
                )
                .help(instead_of_a_secret(of)),
            );
            return;
        }
        let problem = self.problem("unknown-key", entry.span, format!("{of} has no key `{}`", shown(&entry.key)));
        self.tell(match scalar::closest(&entry.key, known.clone()) {
            Some(word) => problem.help(format!("did you mean `{word}`?")),
            None => problem.help(format!("known here: {}", scalar::list_words(known))),
        });
    }
}

/// What to write where a secret was written.
fn instead_of_a_secret(of: &str) -> String {
    const CHANGE: &str = "if this value is real, change it now";
    if matches!(of, "a consumer" | "exec" | "file") {
        return format!(
            "a consumer is given the secret of the policy that names it, by `input: fields` or by `${{password}}` in a \
             `template`; {CHANGE}"
        );
    }
    let key = referring_key(of);
    format!(
        "secrets are referenced, never written: `{key}: {{ secret: NAME }}`, `{{ env: NAME }}` or `{{ file: PATH }}`; {CHANGE}"
    )
}

/// The key whose value refers to a secret, for what has these keys.
fn referring_key(of: &str) -> &'static str {
    match of {
        "email" | "login" => "login",
        "webhook" => "signed_with",
        "a chat" | "a reference" => "url",
        _ => "admin",
    }
}

/// A key for a message: short, whatever the file holds.
pub(crate) fn shown(key: &str) -> String {
    const LONGEST: usize = 60;
    if names_a_secret(key) {
        return "…".to_owned();
    }
    if key.chars().count() <= LONGEST {
        key.to_owned()
    } else {
        key.chars().take(LONGEST).chain("…".chars()).collect()
    }
}
