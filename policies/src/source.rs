//! Reads a file without trusting it, and shows its lines without showing what may be secret.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::problem::{Excerpt, Place, Problem};
use crate::tree::{Kind, Node};

/// The largest file that is read. A fleet of ten thousand accounts fits several times.
pub(crate) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Lines longer than this are not shown.
const MAX_EXCERPT_CHARS: usize = 400;

/// What stands for a value that is not shown. Always the same length, whatever it hides.
const MASK: &str = "•••";

/// A file's text, and which parts of it must not be shown.
pub(crate) struct Source {
    pub name: Arc<str>,
    pub path: PathBuf,
    pub text: String,
    lines: Vec<usize>,
    masks: RefCell<Vec<Range<usize>>>,
    /// The text was understood, and all values of it that may be secret are among `masks`.
    understood: Cell<bool>,
}

impl Source {
    /// Text that is already in memory. A byte order mark is dropped.
    pub fn of_text(name: &str, path: &Path, text: &str) -> Result<Self, Box<Problem>> {
        let name: Arc<str> = name.into();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source {
            path: path.to_owned(),
            lines: line_starts(text),
            text: text.to_owned(),
            name,
            masks: RefCell::default(),
            understood: Cell::new(false),
        };
        match source.text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            Some((at, _)) => {
                Err(Problem::new("control-character", source.place_at(at), "the file holds a control character")
                    .help("save it as plain UTF-8 text")
                    .into())
            }
            None => Ok(source),
        }
    }

    /// Reads a file: regular, of at most [`MAX_FILE_BYTES`], in UTF-8.
    pub fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let name = path.display().to_string();
        let place = || Place::of_file(name.as_str());
        let unreadable = |error: &std::io::Error| {
            Problem::new("unreadable", place(), format!("cannot read this: {}", error.kind()))
                .help("look at its name and its rights")
        };
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(Problem::new("not-a-file", place(), "not a regular file").help("name a YAML file").into());
        }
        let too_large = || {
            Problem::new("too-large", place(), format!("the file is larger than {} KiB", MAX_FILE_BYTES / 1024))
                .help("split it: one policy per file, or several files for a large fleet")
        };
        if metadata.len() > MAX_FILE_BYTES {
            return Err(too_large().into());
        }
        let mut bytes = Vec::new();
        // The size is asked before and held to while reading: a file may grow in between.
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large().into());
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Problem::new("not-utf-8", place(), "the file is not UTF-8 text").help("save it as UTF-8"))?;
        Source::of_text(&name, path, &text)
    }

    /// SHA-256 of the text in lower-case hex.
    pub fn digest(&self) -> String {
        use std::fmt::Write as _;
        Sha256::digest(self.text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string never fails");
            hex
        })
    }

    /// From now on this part is not shown in any excerpt.
    pub fn mask(&self, bytes: Range<usize>) {
        // A block of text ends at the next key: the space before that is no part of the value.
        let end = self.text.get(bytes.clone()).map_or(bytes.end, |value| bytes.start + value.trim_end().len());
        self.masks.borrow_mut().push(bytes.start..end);
    }

    /// Hides the values of all keys that are called like secrets, and addresses of chats. From then on only comments are looked at as
    /// text.
    pub fn hide_secrets(&self, root: &Node) {
        self.hide_in(root, false, false);
        self.understood.set(true);
    }

    fn hide_in(&self, node: &Node, secret: bool, chat: bool) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    self.hide_in(&entry.value, is_secret_key(&entry.key), chat || is_chat(&entry.key));
                    if names_a_secret(&entry.key) {
                        self.mask(entry.span.from..entry.span.to);
                    }
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.hide_in(item, secret, chat)),
            Kind::Null => {}
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Text(_) => {
                // In a broken file a line with a secret may be read as part of a text.
                let raw = self.text.get(node.span.from..node.span.to).unwrap_or_default();
                let address = chat && raw.contains("://");
                if secret || address || raw.contains("whsec_") || names_a_secret(raw) {
                    self.mask(node.span.from..node.span.to);
                }
            }
        }
    }

    /// The place of one character.
    pub fn place_at(&self, byte: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines[line - 1];
        let column = self.text[start..byte].chars().count() + 1;
        Place {
            file: Arc::clone(&self.name),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            length: 1,
            excerpt: None,
        }
    }

    /// Whether the text became a tree.
    pub fn is_understood(&self) -> bool {
        self.understood.get()
    }

    /// Whether there is something like a secret in the clear: where the text became no tree, it is unknown where that ends.
    pub fn names_secrets(&self) -> bool {
        let chats = CHATS.iter().any(|key| self.text.contains(key)) && self.text.contains("://");
        chats || self.text.contains("whsec_") || names_a_secret(&self.text)
    }

    /// Gives a problem the line that it speaks of. Call it when all masks of the file are known.
    pub fn illustrate(&self, place: &mut Place) {
        if place.line == 0 || place.excerpt.is_some() || place.file != self.name {
            return;
        }
        place.excerpt = self.excerpt(place);
    }

    /// Where no tree tells what is a value, or where it does not look: in a comment.
    fn secret_text_on(&self, line: &str) -> Option<Range<usize>> {
        let comment = if self.understood.get() { line.find('#')? } else { 0 };
        let text = &line[comment..];
        let found =
            [secret_value_on(text), chat_or_key_on(text)].into_iter().flatten().min_by_key(|found| found.start)?;
        Some(found.start + comment..found.end + comment)
    }

    fn excerpt(&self, place: &Place) -> Option<Excerpt> {
        let start = *self.lines.get(place.line as usize - 1)?;
        let end = self.text[start..].find(['\n', '\r']).map_or(self.text.len(), |at| start + at);
        let line = &self.text[start..end];
        if line.chars().count() > MAX_EXCERPT_CHARS {
            return None;
        }
        let byte = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
        let from = byte(place.column.saturating_sub(1) as usize);
        let to = byte(place.column.saturating_sub(1) as usize + place.length.max(1) as usize).max(from);
        let mut hidden: Vec<Range<usize>> = self
            .masks
            .borrow()
            .iter()
            .filter(|mask| mask.start < start + line.len() && mask.end > start)
            .map(|mask| mask.start.saturating_sub(start)..(mask.end - start).min(line.len()))
            .chain(self.secret_text_on(line))
            .chain(url_password_on(line))
            .collect();
        hidden.sort_by_key(|range| (range.start, range.end));
        Some(hide(line, &hidden, from..to))
    }
}

/// Lines end as YAML's do (YAML 1.2.2, section 5.4): by a line feed, a carriage return, or both.
fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.match_indices(['\n', '\r']).filter(|(at, end)| *end == "\n" || !text[at + 1..].starts_with('\n'));
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// Replaces the hidden ranges, and moves the marked one along.
fn hide(line: &str, hidden: &[Range<usize>], marked: Range<usize>) -> Excerpt {
    let mut text = String::with_capacity(line.len());
    let mut shown_to = 0;
    let (mut from, mut to) = (None, None);
    for mask in hidden {
        if mask.end <= shown_to {
            continue;
        }
        let begin = mask.start.max(shown_to);
        let place_of = |byte: usize, text: &String| text.len() + (byte - shown_to);
        if from.is_none() && marked.start < begin {
            from = Some(place_of(marked.start.max(shown_to), &text));
        }
        if to.is_none() && marked.end <= begin {
            to = Some(place_of(marked.end.max(shown_to), &text));
        }
        text.push_str(&line[shown_to..begin]);
        let masked = text.ends_with(MASK) && begin == shown_to;
        if from.is_none() && marked.start < mask.end {
            from = Some(text.len() - if masked { MASK.len() } else { 0 });
        }
        if !masked {
            text.push_str(MASK);
        }
        if to.is_none() && marked.end <= mask.end {
            to = Some(text.len());
        }
        shown_to = mask.end;
    }
    let rest = text.len();
    text.push_str(&line[shown_to..]);
    let from = from.unwrap_or_else(|| rest + marked.start.saturating_sub(shown_to));
    let to = to.unwrap_or_else(|| rest + marked.end.saturating_sub(shown_to));
    Excerpt { from: from.min(text.len()), to: to.clamp(from, text.len()), text }
}

/// Keys of notifiers whose address lets whoever knows it write.
const CHATS: [&str; 2] = ["slack", "teams"];

fn is_chat(key: &str) -> bool {
    CHATS.contains(&key)
}

/// Whether a key of this name would hold a secret value.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    ["password", "passwd", "passphrase", "apikey", "privatekey", "secretkey", "accesskey", "masterkey", "token"]
        .iter()
        .any(|word| plain.contains(word))
        || ["pwd", "pass", "pw", "credential", "credentials", "key", "signedwith"].contains(&plain.as_str())
}

/// Whether a text holds something like `password: …`.
pub(crate) fn names_a_secret(text: &str) -> bool {
    text.lines().any(|line| secret_value_on(line).is_some())
}

/// What follows `password:` or its like on a line, wherever it stands, up to the line's end.
fn secret_value_on(line: &str) -> Option<Range<usize>> {
    line.match_indices(':').find_map(|(colon, _)| {
        let key = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let begin = key
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8));
        let rest = &line[colon + 1..];
        let value = rest.trim_start();
        // A map or a list is no secret itself; what it holds has keys of its own.
        let holds_value = !value.is_empty() && !value.starts_with(['{', '[', '#']);
        (is_secret_key(&key[begin..]) && holds_value).then(|| line.len() - value.len()..line.len())
    })
}

/// An address of a chat, or a key for signing, up to the line's end.
fn chat_or_key_on(line: &str) -> Option<Range<usize>> {
    let address = || {
        let chat = CHATS.iter().filter_map(|key| line.find(key)).min()?;
        let colon = chat + line[chat..].find("://")?;
        let before = line[..colon].trim_end_matches(char::is_alphanumeric);
        Some(before.len())
    };
    let begin = [line.find("whsec_"), address()].into_iter().flatten().min()?;
    Some(begin..line.len())
}

/// The password in `scheme://user:password@host`.
pub(crate) fn url_password_on(line: &str) -> Option<Range<usize>> {
    let authority = line.find("://")? + 3;
    let at = authority + line[authority..].find('@')?;
    let colon = authority + line[authority..at].find(':')?;
    (!line[authority..at].contains(char::is_whitespace) && colon + 1 < at).then_some(colon + 1..at)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use super::*;

    fn shown(line: &str, column: u32, length: u32) -> (String, String) {
        let source = Source::of_text("p.yaml", Path::new("p.yaml"), line).unwrap();
        let mut place = Place { file: "p.yaml".into(), line: 1, column, length, excerpt: None };
        source.illustrate(&mut place);
        let excerpt = place.excerpt.unwrap();
        (excerpt.text.clone(), excerpt.text[excerpt.from..excerpt.to].to_owned())
    }

    #[test]
    fn values_of_secret_keys_are_not_shown() {
        assert_eq!(
            shown("admin: { password: hunter2, x: 1 }", 10, 8),
            ("admin: { password: •••".into(), "password".into())
        );
        assert_eq!(shown("admin: { password: hunter2, x: 1 }", 29, 1).0, "admin: { password: •••");
        assert_eq!(shown("password: hunter2", 11, 7), ("password: •••".into(), "•••".into()));
        assert_eq!(shown("\"api-key\": hunter2", 1, 3), ("\"api-key\": •••".into(), "\"ap".into()));
        assert_eq!(
            shown("dsn: postgres://u:hunter2@h/db # q", 32, 1),
            ("dsn: postgres://u:•••@h/db # q".into(), "#".into())
        );
    }

    #[test]
    fn addresses_of_chats_and_keys_for_signing_are_not_shown() {
        for (line, safe) in [
            ("log: {} # slack: { url: https://hooks.example.com/hunter2 }", "log: {} # slack: { url: •••"),
            ("a: 1 # whsec_hunter2", "a: 1 # •••"),
            ("a: 1 # teams, for now", "a: 1 # teams, for now"),
            ("url: https://example.com/ # slack", "url: https://example.com/ # slack"),
        ] {
            assert_eq!(shown(line, 1, 1).0, safe, "{line}");
        }
    }

    #[test]
    fn references_are_shown() {
        assert_eq!(shown("admin: { secret: pg1/rotator }", 18, 3).1, "pg1");
        assert_eq!(shown("master_key: { env: KEY }", 1, 10).0, "master_key: { env: KEY }");
        assert_eq!(shown("fields: [username, password]", 20, 8).1, "password");
    }

    #[test]
    fn a_mask_moves_the_mark() {
        let source = Source::of_text("p", Path::new("p"), "a: secretvalue, b: 1").unwrap();
        source.mask(3..14);
        let mut place = Place { file: "p".into(), line: 1, column: 17, length: 1, excerpt: None };
        source.illustrate(&mut place);
        let excerpt = place.excerpt.unwrap();
        assert_eq!((excerpt.text.as_str(), &excerpt.text[excerpt.from..excerpt.to]), ("a: •••, b: 1", "b"));
    }
}
