//! `plugins:` of `keywheel.yaml`: rotators that others wrote.

use std::path::PathBuf;
use std::time::Duration;

use crate::scalar;
use crate::settings::resolve;
use crate::tree::{Kind, Node, Span};
use crate::walk::{Keys, Section, Walk};

pub(crate) const PLUGIN: Keys = Keys {
    name: "a plugin",
    keys: &[
        "file",
        "library",
        "in_process",
        "sha256",
        "signature",
        "public_key",
        "memory_mib",
        "cpu",
        "read",
        "connect",
    ],
};

/// One file of a plugin, and what it may use and reach. A plugin may have several, of different versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// The word after `rotator:`.
    pub name: String,
    pub form: PluginForm,
    /// It is loaded into this process, and nothing confines it. Libraries only.
    pub in_process: bool,
    pub file: PathBuf,
    /// 64 hexadecimal digits in lower case.
    pub sha256: String,
    pub signature: Option<PluginSignature>,
    /// MiB of memory. From 64 to 65,536.
    pub memory_mib: u64,
    /// Processor time. From one second to one hour, in whole seconds.
    pub cpu: Duration,
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to.
    pub connect: Vec<u16>,
}

/// What kind of file a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginForm {
    /// A program that is started.
    Executable,
    /// A dynamic library that is loaded.
    Library,
}

/// Whose signature a plugin's file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSignature {
    /// As `minisign` writes it.
    pub file: PathBuf,
    /// As `minisign` prints it: `RW…`.
    pub public_key: String,
}

const MEMORY_MIB: u64 = 1024;
const CPU: Duration = Duration::from_secs(60);
const LONGEST_CPU: Duration = Duration::from_secs(3600);
/// What a plugin in a process of its own is held to.
const CONFINING: [&str; 4] = ["memory_mib", "cpu", "read", "connect"];
/// How long `minisign` prints a public key: 42 bytes in base64.
const PUBLIC_KEY: usize = 56;

impl PluginSpec {
    /// A file with nothing said of it: an executable or a library in a process of its own, with the usual limits and no network.
    pub fn of_file(name: &str, form: PluginForm, file: PathBuf, sha256: String) -> Self {
        PluginSpec {
            name: name.to_owned(),
            form,
            in_process: false,
            file,
            sha256,
            signature: None,
            memory_mib: MEMORY_MIB,
            cpu: CPU,
            read: Vec::new(),
            connect: Vec::new(),
        }
    }
}

pub(crate) fn plugins(walk: &Walk<'_>, node: &Node) -> Option<Vec<PluginSpec>> {
    let mut plugins = Vec::new();
    for entry in walk.entries(node)? {
        if !scalar::is_name(&entry.key, false) {
            walk.tell(
                walk.problem("bad-name", entry.span, "this is no name").help("letters, digits, `.`, `_` and `-`"),
            );
        }
        plugins.extend(versions(walk, &entry.value, &entry.key));
    }
    Some(plugins)
}

/// The one file of a name, or the several.
fn versions(walk: &Walk<'_>, node: &Node, name: &str) -> Vec<PluginSpec> {
    let Kind::List(items) = &node.kind else {
        return plugin(walk, node, name).map(|(spec, _)| spec).into_iter().collect();
    };
    if items.is_empty() {
        walk.tell(walk.problem("empty-value", node.span, "expected at least one file").help("or remove the name"));
    }
    let mut seen: Vec<(PluginSpec, Span)> = Vec::new();
    for (spec, span) in items.iter().filter_map(|item| plugin(walk, item, name)) {
        match seen.iter().find(|(earlier, _)| earlier.sha256 == spec.sha256) {
            Some((_, first)) => walk.tell(
                walk.problem("duplicate-plugin", span, "this file is listed twice")
                    .help("keep one of them: each has a version of its own")
                    .related(walk.place(*first), "first listed here"),
            ),
            None => seen.push((spec, span)),
        }
    }
    seen.into_iter().map(|(spec, _)| spec).collect()
}

/// One file, and where its hash stands.
fn plugin(walk: &Walk<'_>, node: &Node, name: &str) -> Option<(PluginSpec, Span)> {
    let section = walk.section(node, &PLUGIN)?;
    let file = form(walk, &section);
    let in_process = section.get("in_process").map_or(Some(false), |node| walk.boolean(node));
    if in_process == Some(true) {
        in_this_process(walk, &section);
    }
    let hash = section.need("sha256", "what `sha256sum` prints of the file");
    let sha256 = hash.and_then(|node| {
        let help = "64 hexadecimal digits in quotes, as `sha256sum` prints them";
        walk.checked(node, "bad-hash", "SHA-256", help, |text| {
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    let signature = signature(walk, &section);
    let memory_mib = section.get("memory_mib").map_or(Some(MEMORY_MIB), |node| {
        walk.integer(node, 64..=65_536).map(|mib| u64::try_from(mib).unwrap_or(MEMORY_MIB))
    });
    let cpu = section.get("cpu").map_or(Some(CPU), |node| {
        let given = walk.duration(node)?;
        if (Duration::from_secs(1)..=LONGEST_CPU).contains(&given) {
            return Some(given);
        }
        walk.tell(
            walk.problem("out-of-range", node.span, "expected a duration from 1s to 1h").help("such as `cpu: 60s`"),
        );
        None
    });
    let read = section.get("read").map_or(Some(Vec::new()), |node| {
        let texts = walk.list(node)?.iter().map(|item| walk.text(item));
        texts.map(|text| text.map(|text| resolve(walk, &text))).collect()
    });
    let connect = section.get("connect").map_or(Some(Vec::new()), |node| {
        let ports = walk.list(node)?.iter().map(|item| walk.integer(item, 1..=65_535));
        ports.map(|port| port.and_then(|port| u16::try_from(port).ok())).collect()
    });
    section.done();
    let (form, file) = file?;
    let spec = PluginSpec {
        name: name.to_owned(),
        form,
        in_process: in_process?,
        file,
        sha256: sha256?.to_lowercase(),
        signature: signature?,
        memory_mib: memory_mib?,
        cpu: cpu?,
        read: read?,
        connect: connect?,
    };
    Some((spec, hash?.span))
}

const FORM_HELP: &str = "`file: plugins/lamp` for an executable, `library: plugins/liblamp.so` for a dynamic library";

fn form(walk: &Walk<'_>, section: &Section<'_>) -> Option<(PluginForm, PathBuf)> {
    let given = (section.entry("file"), section.entry("library"));
    let (form, key) = match given {
        (Some(_), None) => (PluginForm::Executable, "file"),
        (None, Some(_)) => (PluginForm::Library, "library"),
        (Some(_), Some(_)) | (None, None) => {
            walk.tell(walk.problem("one-of", section.span, "expected one of `file` and `library`").help(FORM_HELP));
            return None;
        }
    };
    let text = walk.text(section.get(key)?)?;
    Some((form, resolve(walk, &text)))
}

/// What is loaded into this process is a library, and nothing holds it.
fn in_this_process(walk: &Walk<'_>, section: &Section<'_>) {
    if let (Some(entry), Some(_)) = (section.entry("in_process"), section.entry("file")) {
        let what = "an executable has a process of its own";
        walk.tell(walk.problem("unsupported", entry.span, what).help("remove `in_process`, or name a `library`"));
    }
    for key in CONFINING {
        if let Some(entry) = section.entry(key) {
            walk.tell(
                walk.problem("unsupported", entry.span, format!("`{key}` means nothing with `in_process: true`"))
                    .help("remove it: what is loaded into the daemon may do what the daemon may"),
            );
        }
    }
}

const KEY_HELP: &str = "the line of `minisign.pub` that begins with `RW`";

fn signature(walk: &Walk<'_>, section: &Section<'_>) -> Option<Option<PluginSignature>> {
    let given = (section.entry("signature").is_some(), section.entry("public_key").is_some());
    let lacks = |key: &str, other: &str, help: &str| {
        let what = format!("a plugin with `{other}` has no `{key}`");
        walk.tell(walk.problem("missing-key", section.span, what).help(help));
    };
    match given {
        (false, false) => return Some(None),
        (true, false) => lacks("public_key", "signature", KEY_HELP),
        (false, true) => lacks("signature", "public_key", "the file that `minisign -S` wrote: `lamp.minisig`"),
        (true, true) => {}
    }
    let file = section.get("signature").and_then(|node| walk.text(node));
    let public_key = section.get("public_key").and_then(|node| {
        walk.checked(node, "bad-key", "public key of minisign", KEY_HELP, |text| {
            let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            text.len() == PUBLIC_KEY && text.starts_with("RW") && text.bytes().all(base64)
        })
    });
    Some(Some(PluginSignature { file: resolve(walk, &file?), public_key: public_key? }))
}
