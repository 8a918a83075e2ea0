//! A mistake in a file, with its place, and how it is shown to people and to programs.

use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as it was named by whoever asked for it.
    pub file: Arc<str>,
    /// From 1. 0: the file as a whole.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters.
    pub length: u32,
    /// The line itself, with values that may be secret already taken out.
    pub(crate) excerpt: Option<Excerpt>,
}

/// A source line that is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Excerpt {
    pub text: String,
    /// Byte range of the place within `text`.
    pub from: usize,
    pub to: usize,
}

impl Place {
    /// The file as a whole.
    pub fn of_file(file: impl Into<Arc<str>>) -> Self {
        Place::at(file, 0, 0)
    }

    /// A place in a file that this crate does not read.
    pub fn at(file: impl Into<Arc<str>>, line: u32, column: u32) -> Self {
        Place { file: file.into(), line, column, length: 0, excerpt: None }
    }
}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Problem {
    /// A stable word in kebab-case, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, as a fragment. Never holds a value that could be secret.
    pub message: String,
    pub place: Place,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that belongs to it, such as the first of two equal names, and why.
    pub related: Option<(Place, String)>,
}

impl Problem {
    /// A mistake at a place.
    pub fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), place, help: None, related: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that belongs to it.
    #[must_use]
    pub fn related(mut self, place: Place, why: impl Into<String>) -> Self {
        self.related = Some((place, why.into()));
        self
    }
}

/// All mistakes that were found, in the order of files and lines.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Whether everything is right.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order of files, lines and columns.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    pub(crate) fn append(&mut self, mut other: Problems) {
        self.list.append(&mut other.list);
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.list.iter_mut()
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort_by(|a, b| (&a.place, a.code).cmp(&(&b.place, b.code)));
    }

    /// As a compiler prints them: message, place, the line with a mark, help. Ends with a newline unless empty.
    ///
    /// `colour` adds terminal escapes; whether the terminal wants them is for the caller to know.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let mut one = with_true_column(renderer.render(&[group(problem)]), &problem.place);
            if let Some((place, _)) = &problem.related {
                one = with_true_column(one, place);
            }
            text.push_str(&one);
            text.push('\n');
        }
        text
    }

    /// A JSON array of objects with `file`, `line`, `column`, `length`, `code`, `message` and `help` (or null).
    pub fn to_json(&self) -> String {
        let list: Vec<JsonProblem<'_>> = self.list.iter().map(JsonProblem::from).collect();
        serde_json::to_string_pretty(&list).expect("strings and numbers always serialise")
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Others' mistakes stand among ours, in the order of files.
impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, more: T) {
        self.list.extend(more);
        self.sort();
    }
}

fn group(problem: &Problem) -> Group<'_> {
    let title = Level::ERROR.primary_title(printable(&problem.message)).id(problem.code);
    let mut group = Group::with_title(title);
    group = with_place(group, &problem.place, AnnotationKind::Primary, None);
    if let Some((place, why)) = &problem.related {
        group = with_place(group, place, AnnotationKind::Context, Some(why));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    group
}

fn with_place<'a>(group: Group<'a>, place: &'a Place, kind: AnnotationKind, why: Option<&'a str>) -> Group<'a> {
    let Some(excerpt) = &place.excerpt else {
        let mut origin = Origin::path(&*place.file);
        if place.line > 0 {
            origin = origin.line(place.line as usize).char_column(place.column as usize);
        }
        let group = group.element(origin);
        return match why {
            Some(why) => group.element(Level::NOTE.message(printable(why))),
            None => group,
        };
    };
    let mut mark = kind.span(excerpt.from..excerpt.to);
    if let Some(why) = why {
        mark = mark.label(why);
    }
    let snippet = Snippet::source(excerpt.text.as_str()).line_start(place.line as usize).path(&*place.file);
    group.element(snippet.annotation(mark))
}

/// A hidden value is shown shorter or longer than it is, and the renderer counts columns in what it shows.
fn with_true_column(text: String, place: &Place) -> String {
    let Some(excerpt) = &place.excerpt else { return text };
    let counted = excerpt.text[..excerpt.from].chars().count() + 1;
    if counted == place.column as usize {
        return text;
    }
    let origin = |column: usize| format!("{}:{}:{column}\n", place.file, place.line);
    text.replacen(&origin(counted), &origin(place.column as usize), 1)
}

/// Titles and messages are rendered as they are: what a file or a plugin says must neither steer the terminal nor look like a line of ours.
fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character steers a terminal or a reader's eye: control characters, those that set a direction of writing (Unicode's property
/// `Bidi_Control`), and those that end a line or paragraph.
pub fn steers(c: char) -> bool {
    let reorders =
        matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    length: u32,
    code: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> From<&'a Problem> for JsonProblem<'a> {
    fn from(problem: &'a Problem) -> Self {
        JsonProblem {
            file: &problem.place.file,
            line: problem.place.line,
            column: problem.place.column,
            length: problem.place.length,
            code: problem.code,
            message: &problem.message,
            help: problem.help.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_forges_no_line() {
        let mut problems = Problems::default();
        let said = "no version of `lamp\nerror: all is lost\u{202e}\u{2028}` fits this";
        problems.push(Problem::new("test", Place::of_file("a.yaml"), said).help("there is `1\r\nhelp: 2`"));
        let text = problems.render(false);
        assert_eq!(
            text.lines().filter(|line| line.starts_with("error") || line.starts_with("help")).count(),
            1,
            "{text}"
        );
        assert!(!text.contains(['\u{202e}', '\u{2028}', '\r']), "{text}");
    }
}
