//! Adds a plugin to the text of `keywheel.yaml`, line by line, so that comments and order stay.

use std::path::{Path, PathBuf};

use crate::plugins::{PluginForm, PluginSignature};
use crate::settings::{Settings, settings_of};
use crate::source::Source;
use crate::tree::{self, Entry, Kind, Node};

/// One file of a plugin, as it is to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlugin {
    /// The word after `rotator:`.
    pub name: String,
    pub form: PluginForm,
    /// From the folder of the settings on.
    pub file: String,
    pub sha256: String,
    /// The file, from the folder of the settings on, and the key.
    pub signature: Option<PluginSignature>,
    pub read: Vec<PathBuf>,
    pub connect: Vec<u16>,
}

impl NewPlugin {
    /// What the settings lack, to be added by hand: as the one file of its name, or as one more `beside` others.
    pub fn lines(&self, beside: bool) -> String {
        let entry =
            if beside { format!("  {}:\n{}", self.name, self.item(4).concat()) } else { self.entry(2).concat() };
        format!("plugins:\n{entry}")
    }

    /// The keys, each with its value. Texts are written as JSON has them, which YAML reads alike.
    fn keys(&self) -> Vec<String> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let form = match self.form {
            PluginForm::Executable => "file",
            PluginForm::Library => "library",
        };
        let mut keys = vec![format!("{form}: {}", text(&self.file)), format!("sha256: {}", text(&self.sha256))];
        if let Some(PluginSignature { file, public_key }) = &self.signature {
            keys.push(format!("signature: {}", text(&file.to_string_lossy())));
            keys.push(format!("public_key: {}", text(public_key)));
        }
        if !self.connect.is_empty() {
            let ports: Vec<String> = self.connect.iter().map(u16::to_string).collect();
            keys.push(format!("connect: [{}]", ports.join(", ")));
        }
        if !self.read.is_empty() {
            let paths: Vec<String> = self.read.iter().map(|path| text(&path.to_string_lossy())).collect();
            keys.push(format!("read: [{}]", paths.join(", ")));
        }
        keys
    }

    /// As the one file of its name.
    fn entry(&self, indent: usize) -> Vec<String> {
        let keys = self.keys().into_iter().map(|key| format!("{:indent$}  {key}\n", ""));
        std::iter::once(format!("{:indent$}{}:\n", "", self.name)).chain(keys).collect()
    }

    /// As one file of several.
    fn item(&self, indent: usize) -> Vec<String> {
        let dashes = std::iter::once("- ").chain(std::iter::repeat("  "));
        self.keys().into_iter().zip(dashes).map(|(key, dash)| format!("{:indent$}{dash}{key}\n", "")).collect()
    }
}

/// The text of `keywheel.yaml` with this plugin listed, beside other files of its name if there are any. `path` is where the text
/// is from. `None` where the text is not written line by line at that place, or does not say what it should with these lines in it:
/// then they are for a person to add.
pub fn with_plugin(path: &Path, text: &str, new: &NewPlugin) -> Option<String> {
    let ends = text.matches("\r\n").count();
    if ends > 0 && ends < text.matches('\n').count() {
        // Lines of both kinds: each must stay as it is, and nobody knows of which kind ours should be.
        return None;
    }
    let source = Source::of_text(&path.display().to_string(), path, text).ok()?;
    let root = tree::parse(&source).ok()?;
    let before = settings_of(&source).ok()?;
    let lines: Vec<&str> = source.text.split_inclusive('\n').collect();
    let mut written = inserted(&lines, &source.text, &root, new)?.concat();
    if source.text.contains("\r\n") {
        written = written.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    let after = settings_of(&Source::of_text(&source.name, path, &written).ok()?).ok()?;
    let mark = if text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
    is_just_added(before, after, path, new).then(|| format!("{mark}{written}"))
}

/// Whether nothing else became another.
fn is_just_added(before: Settings, mut after: Settings, path: &Path, new: &NewPlugin) -> bool {
    let is_new = |plugin: &&crate::PluginSpec| plugin.name == new.name && plugin.sha256 == new.sha256;
    let Some(at) = after.plugins.iter().position(|plugin| is_new(&plugin)) else { return false };
    let added = after.plugins.remove(at);
    let beside = |file: &Path| path.parent().map_or_else(|| file.to_owned(), |folder| folder.join(file));
    let file = beside(Path::new(&new.file));
    let signature = new
        .signature
        .as_ref()
        .map(|signature| PluginSignature { file: beside(&signature.file), public_key: signature.public_key.clone() });
    let as_wanted = added.form == new.form && added.file == file && added.connect == new.connect;
    as_wanted && added.signature == signature && added.read == new.read && after == before
}

fn inserted(lines: &[&str], text: &str, root: &Node, new: &NewPlugin) -> Option<Vec<String>> {
    let top = root.kind.as_map()?;
    let Some(plugins) = top.iter().find(|entry| entry.key == "plugins") else {
        if top.first()?.span.column != 1 {
            return None;
        }
        let mut all = owned(lines);
        if all.last().is_some_and(|last| !last.ends_with('\n')) {
            all.push("\n".to_owned());
        }
        // A comment at the end is about something else.
        if all.last().is_some_and(|last| last.trim_start().starts_with('#')) {
            all.push("\n".to_owned());
        }
        all.push("plugins:\n".to_owned());
        all.extend(new.entry(2));
        return Some(all);
    };
    let listed = plugins.value.kind.as_map()?;
    let indent = own_line(lines, text, plugins, listed.first()?.span)?;
    match listed.iter().find(|entry| entry.key == new.name) {
        None => Some(after(lines, end_of(lines, listed.last()?, indent), new.entry(indent))),
        Some(entry) => beside(lines, text, entry, end_of(lines, entry, indent), new),
    }
}

/// Adds one more file to a name that has one or several. `end` is where its lines end.
fn beside(lines: &[&str], text: &str, entry: &Entry, end: usize, new: &NewPlugin) -> Option<Vec<String>> {
    match &entry.value.kind {
        Kind::List(items) => {
            let first = items.first()?;
            let line = lines.get(index(first.span.line))?;
            let indent = spaces(line);
            let dashed = line[indent..].starts_with("- ") && first.span.line > entry.span.line;
            dashed.then(|| after(lines, end, new.item(indent)))
        }
        Kind::Map(keys) => {
            let first = keys.first()?.span;
            let indent = own_line(lines, text, entry, first)?;
            let begin = index(first.line);
            let mut all = owned(lines);
            for (at, line) in
                all.iter_mut().enumerate().take(end).skip(begin).filter(|(_, line)| !line.trim().is_empty())
            {
                *line = if at == begin { format!("{:indent$}- {}", "", &line[indent..]) } else { format!("  {line}") };
            }
            let item = new.item(indent);
            let shifted: Vec<&str> = all.iter().map(String::as_str).collect();
            Some(after(&shifted, end, item))
        }
        Kind::Null | Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Text(_) => None,
    }
}

/// How far in the first line below a key begins, if it is a line of its own and nothing but the colon and comments stand between.
fn own_line(lines: &[&str], text: &str, key: &Entry, first: tree::Span) -> Option<usize> {
    let between = text.get(key.span.to..first.from)?;
    let bare = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let words: String = between.lines().map(bare).collect();
    let indent = spaces(lines.get(index(first.line))?);
    (words == ":" && first.line > key.span.line && indent + 1 == first.column as usize).then_some(indent)
}

/// Where the lines of an entry end that begins so far in: behind its last line that is neither empty nor a comment.
fn end_of(lines: &[&str], entry: &Entry, indent: usize) -> usize {
    let begin = index(entry.span.line) + 1;
    let mut end = begin;
    for (at, line) in lines.iter().enumerate().skip(begin) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        // The dashes of a list may stand right below its key.
        let deep = spaces(line);
        if deep > indent || (deep == indent && content.starts_with("- ")) {
            end = at + 1;
        } else {
            break;
        }
    }
    end
}

/// With these lines at this place.
fn after(lines: &[&str], at: usize, new: Vec<String>) -> Vec<String> {
    let mut all = owned(lines);
    let rest = all.split_off(at.min(lines.len()));
    if all.last().is_some_and(|last| !last.ends_with('\n')) {
        all.push("\n".to_owned());
    }
    all.into_iter().chain(new).chain(rest).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn index(line: u32) -> usize {
    (line as usize).saturating_sub(1)
}

fn spaces(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HEAD: &str = "# Ours.\nversion: 1\nstate: { sqlite: s.db } # here\n\
        secrets: { local: { path: s, master_key: { file: k } } }\npolicies: []\n";
    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    fn lamp() -> NewPlugin {
        NewPlugin {
            name: "lamp".to_owned(),
            form: PluginForm::Executable,
            file: "plugins/lamp-2.0.0".to_owned(),
            sha256: C.to_owned(),
            signature: None,
            read: Vec::new(),
            connect: vec![443],
        }
    }

    fn added(text: &str, new: &NewPlugin) -> Option<String> {
        with_plugin(Path::new("/etc/keywheel/keywheel.yaml"), text, new)
    }

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        let fill = |text: &str| format!("{HEAD}{text}").replace("A…", A).replace("B…", B).replace("C…", C);
        assert_eq!(added(&fill(before), &lamp()).unwrap(), fill(after));
        // Also where lines end as on Windows, and behind a byte order mark.
        let foreign = |text: &str| format!("\u{feff}{}", fill(text).replace('\n', "\r\n"));
        assert_eq!(added(&foreign(before), &lamp()).unwrap(), foreign(after));
    }

    #[track_caller]
    fn stays(text: &str) {
        let text = format!("{HEAD}{text}").replace("A…", A).replace("B…", B);
        assert!(settings_of(&Source::of_text("t", Path::new("t"), &text).unwrap()).is_ok(), "{text}");
        assert_eq!(added(&text, &lamp()), None);
    }

    #[test]
    fn the_first_plugin_comes_at_the_end() {
        let lamp = "plugins:\n  lamp:\n    file: \"plugins/lamp-2.0.0\"\n    sha256: \"C…\"\n    connect: [443]\n";
        becomes("", lamp);
        becomes("# limits: {}\n", &format!("# limits: {{}}\n\n{lamp}"));
        becomes(
            "limits: { rotations: 2, per_target: 1 }",
            &format!("limits: {{ rotations: 2, per_target: 1 }}\n{lamp}"),
        );
    }

    #[test]
    fn another_name_comes_behind_the_others() {
        becomes(
            "plugins: # those of others\n\n  # The fan.\n  fan:\n    file: fan # as it was\n    sha256: \"A…\"\n\n# Limits.\n\
             limits: { rotations: 2, per_target: 1 }\n",
            "plugins: # those of others\n\n  # The fan.\n  fan:\n    file: fan # as it was\n    sha256: \"A…\"\n  lamp:\n    \
             file: \"plugins/lamp-2.0.0\"\n    sha256: \"C…\"\n    connect: [443]\n\n# Limits.\n\
             limits: { rotations: 2, per_target: 1 }\n",
        );
        becomes(
            "plugins:\n    fan: { file: fan, sha256: \"A…\" }\n    oven:\n    - file: oven\n      sha256: \"B…\"\n",
            "plugins:\n    fan: { file: fan, sha256: \"A…\" }\n    oven:\n    - file: oven\n      sha256: \"B…\"\n    lamp:\n      \
             file: \"plugins/lamp-2.0.0\"\n      sha256: \"C…\"\n      connect: [443]\n",
        );
    }

    #[test]
    fn a_second_version_makes_a_list() {
        becomes(
            "plugins:\n  lamp: # the lamp\n    # Its file.\n    file: lamp # old\n\n    # What it is.\n    sha256: \"A…\"\n    read:\n      - /etc\n\
             \n  fan: { file: fan, sha256: \"B…\" }\n",
            "plugins:\n  lamp: # the lamp\n    # Its file.\n    - file: lamp # old\n\n      # What it is.\n      sha256: \"A…\"\n      read:\n        - /etc\n    \
             - file: \"plugins/lamp-2.0.0\"\n      sha256: \"C…\"\n      connect: [443]\n\n  fan: { file: fan, sha256: \"B…\" }\n",
        );
    }

    #[test]
    fn a_third_version_comes_behind_the_others() {
        let item = "- file: \"plugins/lamp-2.0.0\"\n      sha256: \"C…\"\n      connect: [443]\n";
        becomes(
            "plugins:\n  lamp:\n    - { file: lamp-1, sha256: \"A…\" }\n    # The other.\n    - file: lamp-2\n      sha256: \"B…\"",
            &format!(
                "plugins:\n  lamp:\n    - {{ file: lamp-1, sha256: \"A…\" }}\n    # The other.\n    - file: lamp-2\n      sha256: \"B…\"\n    {item}"
            ),
        );
    }

    #[test]
    fn what_is_not_written_line_by_line_stays() {
        stays("plugins: { fan: { file: fan, sha256: \"A…\" } }\n");
        stays("plugins: {\n  fan: { file: fan, sha256: \"A…\" } }\n");
        stays("plugins: {}\n");
        stays("plugins:\n  lamp: { file: lamp, sha256: \"A…\" }\n");
        stays("plugins:\n  lamp: {\n    file: lamp, sha256: \"A…\" }\n");
        stays("plugins:\n  lamp: [{ file: lamp, sha256: \"A…\" }]\n");
        stays("plugins:\n  lamp:\n    [{ file: lamp, sha256: \"A…\" }]\n");
        stays("plugins:\n  lamp: &lamp\n    file: lamp\n    sha256: \"A…\"\n");
        stays("...\n");
        // Whole and in flow style.
        let text =
            format!("{{ {} }}\n", HEAD.replace("# Ours.\n", "").replace(" # here", "").trim().replace('\n', ", "));
        assert_eq!(added(&text, &lamp()), None);
    }

    #[test]
    fn what_would_not_be_read_as_it_is_meant_stays() {
        let name = NewPlugin { name: "true: lamp".to_owned(), ..lamp() };
        assert_eq!(added(HEAD, &name), None);
        let twice = NewPlugin { sha256: A.to_owned(), ..lamp() };
        let text = format!("{HEAD}plugins:\n  lamp:\n    file: lamp\n    sha256: \"{A}\"\n");
        assert_eq!(added(&text, &twice), None);
    }

    #[test]
    fn lines_of_both_kinds_stay() {
        let (unix, windows) = (HEAD.to_owned(), HEAD.replace('\n', "\r\n"));
        assert!(added(&unix, &lamp()).is_some() && added(&windows, &lamp()).is_some());
        assert_eq!(added(&format!("{unix}# Ours.\r\n"), &lamp()), None);
        assert_eq!(added(&format!("{windows}# Ours.\n"), &lamp()), None);
    }

    #[test]
    fn a_signature_is_listed_with_its_key() {
        let public_key = format!("RW{}", "a/+".repeat(18));
        let file = PathBuf::from("plugins/lamp-2.0.0.minisig");
        let new = NewPlugin { signature: Some(PluginSignature { file, public_key: public_key.clone() }), ..lamp() };
        let text = added(HEAD, &new).unwrap();
        let lines = format!(
            "    signature: \"plugins/lamp-2.0.0.minisig\"\n    public_key: \"{public_key}\"\n    connect: [443]\n"
        );
        assert!(text.ends_with(&lines), "{text}");
    }

    #[test]
    fn paths_are_quoted() {
        let new = NewPlugin {
            form: PluginForm::Library,
            read: vec![PathBuf::from("/etc/lamp: \"it's\" #1"), PathBuf::from("/srv")],
            connect: Vec::new(),
            ..lamp()
        };
        let text = added(HEAD, &new).unwrap();
        assert!(text.ends_with("    read: [\"/etc/lamp: \\\"it's\\\" #1\", \"/srv\"]\n"), "{text}");
        assert!(new.lines(false).starts_with("plugins:\n  lamp:\n    library: \"plugins/lamp-2.0.0\"\n"));
        assert!(new.lines(true).starts_with("plugins:\n  lamp:\n    - library: \"plugins/lamp-2.0.0\"\n      sha256"));
    }
}
