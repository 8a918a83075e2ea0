//! `exec:` of a consumer: a program, without a shell.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Exec, ExecInput};
use crate::notifiers::hide_what_is_no_map;
use crate::placeholder;
use crate::scalar::spell;
use crate::settings::resolve;
use crate::tree::{Kind, Node};
use crate::walk::{Keys, Walk};

pub(crate) const EXEC: Keys = Keys { name: "exec", keys: &["command", "input", "timeout"] };
pub(crate) const INPUT: [(&str, ExecInput); 2] = [("nothing", ExecInput::Nothing), ("fields", ExecInput::Fields)];

const TIMEOUT: Duration = Duration::from_secs(20);
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Any bit with which somebody may execute a file.
const EXECUTABLE: u32 = 0o111;

const COMMAND_HELP: &str =
    "such as `command: [/usr/bin/systemctl, reload, orders]`; there is no shell that splits words";
const PROGRAM_HELP: &str =
    "such as `/usr/bin/systemctl`, or `./reload` beside this file: programs are not looked for in `PATH`";

/// Reads `exec:`.
pub(super) fn read(walk: &Walk<'_>, node: &Node) -> Option<Exec> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &EXEC)?;
    let command = section.need("command", COMMAND_HELP).and_then(|node| command(walk, node));
    let input = section.get("input").map_or(Some(ExecInput::Nothing), |node| walk.choice(node, &INPUT));
    let timeout = section.get("timeout").map_or(Some(TIMEOUT), |node| timeout(walk, node));
    section.done();
    let (program, arguments) = command?;
    Some(Exec { program, arguments, input: input?, timeout: timeout? })
}

fn timeout(walk: &Walk<'_>, node: &Node) -> Option<Duration> {
    let given = walk.duration(node)?;
    if (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&given) {
        return Some(given);
    }
    let (shortest, longest) = (spell(SHORTEST_TIMEOUT), spell(LONGEST_TIMEOUT));
    walk.tell(
        walk.problem("out-of-range", node.span, format!("expected a duration from {shortest} to {longest}"))
            .help(format!("such as `timeout: {}`", spell(TIMEOUT))),
    );
    None
}

fn command(walk: &Walk<'_>, node: &Node) -> Option<(PathBuf, Vec<String>)> {
    let Kind::List(items) = &node.kind else {
        walk.hide(node);
        let message = format!("expected a list, found {}", node.kind.noun());
        walk.tell(walk.problem("wrong-type", node.span, message).help(COMMAND_HELP));
        return None;
    };
    let Some((first, rest)) = items.split_first() else {
        walk.tell(walk.problem("empty-value", node.span, "this command names no program").help(COMMAND_HELP));
        return None;
    };
    // Programs take passwords as arguments, and nobody can tell which of these is one.
    rest.iter().for_each(|item| walk.hide(item));
    let program = program(walk, first);
    let arguments: Vec<Option<String>> = rest.iter().map(|item| argument(walk, item)).collect();
    Some((program?, arguments.into_iter().collect::<Option<_>>()?))
}

fn program(walk: &Walk<'_>, node: &Node) -> Option<PathBuf> {
    refuse_placeholder(walk, node)?;
    let text = walk.text(node)?;
    let refuse = |code, message: &str, help: &str| {
        walk.tell(walk.problem(code, node.span, message).help(help));
        None
    };
    if text.contains(char::is_whitespace) && !resolve(walk, &text).exists() {
        // A whole command line may stand here, with what it holds.
        walk.hide(node);
        return refuse("bad-path", "this is no path of a program", COMMAND_HELP);
    }
    if !text.contains('/') {
        return refuse("bad-path", "this is no path of a program", PROGRAM_HELP);
    }
    let path = resolve(walk, &text);
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => {
            refuse("not-a-file", "this is no regular file", "name the program itself")
        }
        // These may be otherwise when it is run: whoever only uses the settings is given the program all the same.
        Ok(metadata) if metadata.permissions().mode() & EXECUTABLE == 0 => {
            refuse("not-executable", "this file is not executable", "`chmod +x` makes it so, if it is a program")
                .or(Some(path))
        }
        Ok(_) => Some(path),
        Err(error) if error.kind() == ErrorKind::NotFound => refuse(
            "no-such-program",
            "there is no such program",
            "look at its path; relative ones begin at the folder of this file",
        )
        .or(Some(path)),
        Err(error) => {
            let message = format!("cannot look at this program: {}", error.kind());
            refuse("unreadable", &message, "look at its path, and at the rights of its folders")
        }
    }
}

/// Everybody on the machine can see arguments, so that no secret is ever put into one.
fn refuse_placeholder(walk: &Walk<'_>, node: &Node) -> Option<()> {
    let text = node.kind.as_text().unwrap_or_default();
    if placeholder::names(text).next().is_none() {
        return Some(());
    }
    walk.tell(walk.problem("bad-argument", node.span, "a placeholder does not belong in a command").help(
        "everybody on this machine can see commands: with `input: fields` the program reads the secret's fields on its \
         standard input",
    ));
    None
}

fn argument(walk: &Walk<'_>, node: &Node) -> Option<String> {
    refuse_placeholder(walk, node)?;
    match node.kind.as_text() {
        Some("") => Some(String::new()),
        Some(text) if text.contains('\0') => {
            walk.tell(
                walk.problem("bad-argument", node.span, "no argument can hold a null character").help("remove it"),
            );
            None
        }
        Some(_) | None => walk.text(node),
    }
}
