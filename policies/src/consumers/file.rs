//! `file:` of a consumer: a file that holds the secret's fields.

use std::path::PathBuf;

use crate::model::{File, FileSignal, Signal};
use crate::notifiers::hide_what_is_no_map;
use crate::placeholder;
use crate::scalar;
use crate::settings::resolve;
use crate::tree::{Kind, Node};
use crate::walk::{Keys, Walk};

pub(crate) const FILE: Keys = Keys { name: "file", keys: &["path", "template", "mode", "owner", "group", "signal"] };
pub(crate) const SIGNAL: Keys = Keys { name: "signal", keys: &["pid_file", "signal"] };
pub(crate) const SIGNALS: [(&str, Signal); 3] = [("hup", Signal::Hup), ("usr1", Signal::Usr1), ("usr2", Signal::Usr2)];

/// Whoever writes it reads and writes it, and nobody else.
const MODE: u32 = 0o600;
/// All that others may.
const OTHERS: u32 = 0o007;
const GROUP_WRITES: u32 = 0o020;
/// Setuid, setgid and sticky.
const SPECIAL: u32 = 0o7000;

const PATH_HELP: &str = "such as `path: /run/orders/db.env`";
const TEMPLATE_HELP: &str =
    "such as `template: \"PGPASSWORD=${password}\\n\"`; without it all fields are written, as one JSON object";
const MODE_HELP: &str = "such as `mode: \"0640\"`, in quotes";

/// Reads `file:`.
pub(super) fn read(walk: &Walk<'_>, node: &Node) -> Option<File> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &FILE)?;
    let path = section.need("path", PATH_HELP).and_then(|node| path(walk, node));
    let template = section.get("template").map(|node| template(walk, node));
    let mode = section.get("mode").map_or(Some(MODE), |node| mode(walk, node));
    let owner = section.get("owner").map(|node| account(walk, node, "name of an account"));
    let group = section.get("group").map(|node| account(walk, node, "name of a group"));
    let signal = section.get("signal").map(|node| signal(walk, node));
    section.done();
    Some(File {
        path: path?,
        template: whole(template)?,
        mode: mode?,
        owner: whole(owner)?,
        group: whole(group)?,
        signal: whole(signal)?,
    })
}

/// What is not written is no mistake.
fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |read| read.map(Some))
}

fn path(walk: &Walk<'_>, node: &Node) -> Option<PathBuf> {
    if placeholder::names(node.kind.as_text().unwrap_or_default()).next().is_some() {
        walk.tell(
            walk.problem("bad-path", node.span, "no placeholder can stand in a path")
                .help("declare a consumer for each file, and name each in its policy"),
        );
        return None;
    }
    let text = walk.checked(node, "bad-path", "path", PATH_HELP, |text| !text.contains('\0'))?;
    let path = resolve(walk, &text);
    let names_folder = text.ends_with('/') || path.file_name().is_none() || path.is_dir();
    if names_folder {
        walk.tell(walk.problem("not-a-file", node.span, "this is a folder").help("name a file in it"));
        return None;
    }
    // Beside this file, where the path is a bare name and nothing stands before it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        walk.tell(
            walk.problem("no-such-folder", node.span, "there is no folder for this file")
                .help("make it first; relative paths begin at the folder of this file"),
        );
        // It may be there when the file is written: whoever only uses the settings is given the path all the same.
    }
    Some(path)
}

/// The text as it is written: its placeholders are filled in when there is a version to write.
fn template(walk: &Walk<'_>, node: &Node) -> Option<String> {
    // A value may stand in it by mistake, whatever else is right.
    walk.hide(node);
    let text = match &node.kind {
        Kind::Text(text) if !text.is_empty() => text,
        Kind::Text(_)
        | Kind::Null
        | Kind::Boolean(_)
        | Kind::Integer(_)
        | Kind::Float(_)
        | Kind::List(_)
        | Kind::Map(_) => return walk.text(node),
    };
    let refuse = |message: &str, help: &str| {
        walk.tell(walk.problem("bad-template", node.span, message).help(help));
        None
    };
    let mut names = placeholder::names(text).peekable();
    if names.peek().is_none() {
        return refuse("this template asks for no field of the secret", TEMPLATE_HELP);
    }
    let wrong = names.find(|name| !scalar::is_name(name, false));
    match wrong {
        Some("") => refuse(
            "a placeholder of this template has no name, or no `}` at its end",
            "such as `${password}`; write `$${` for the characters `${` themselves",
        ),
        Some(_) => refuse(
            "a placeholder of this template is no name of a field",
            "letters, digits, `.`, `_` and `-`, such as `${password}`; write `$${` for the characters `${` themselves",
        ),
        None => Some(text.clone()),
    }
}

fn mode(walk: &Walk<'_>, node: &Node) -> Option<u32> {
    if matches!(node.kind, Kind::Integer(_)) {
        // A number may have been octal or not: nobody can tell any more.
        let message = "expected text, found a whole number";
        walk.tell(walk.problem("wrong-type", node.span, message).help(MODE_HELP));
        return None;
    }
    let is_mode = |text: &str| matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let text = walk.checked(node, "bad-mode", "mode of a file: three or four octal digits", MODE_HELP, is_mode)?;
    let mode = u32::from_str_radix(&text, 8).ok()?;
    let refuse = |message: &str, help: &str| {
        walk.tell(walk.problem("open-mode", node.span, message).help(help));
        None
    };
    if mode & OTHERS != 0 {
        return refuse(
            "with this mode everybody on this machine may use the file",
            "end it in `0`, and name a `group` where others than the owner read it: `mode: \"0640\"`",
        );
    }
    if mode & GROUP_WRITES != 0 {
        return refuse("with this mode the group may change the file", "let it read at most: `mode: \"0640\"`");
    }
    if mode & SPECIAL != 0 {
        return refuse("this mode sets more than who may use the file", "begin it with `0`: `mode: \"0640\"`");
    }
    Some(mode)
}

/// The name of an account or a group. Which there are is known where the file is written.
fn account(walk: &Walk<'_>, node: &Node, what: &str) -> Option<String> {
    let help = "a name, and no number: such as `orders`";
    let is_name = |text: &str| scalar::is_name(text, false) && !text.bytes().all(|byte| byte.is_ascii_digit());
    if matches!(node.kind, Kind::Integer(_)) {
        walk.tell(walk.problem("bad-name", node.span, format!("this is no {what}")).help(help));
        return None;
    }
    walk.checked(node, "bad-name", what, help, is_name)
}

fn signal(walk: &Walk<'_>, node: &Node) -> Option<FileSignal> {
    let section = walk.section(node, &SIGNAL)?;
    let pid_file = section
        .need("pid_file", "the file in which the process writes its number: `pid_file: /run/orders.pid`")
        .and_then(|node| walk.text(node))
        .map(|path| resolve(walk, &path));
    let signal = section.get("signal").map_or(Some(Signal::Hup), |node| walk.choice(node, &SIGNALS));
    section.done();
    Some(FileSignal { pid_file: pid_file?, signal: signal? })
}
