//! `plugins:` of `keywheel.yaml`: rotators that others wrote.

use std::path::PathBuf;
use std::time::Duration;

use crate::scalar;
use crate::settings::resolve;
use crate::tree::Node;
use crate::walk::{Keys, Walk};

pub(crate) const PLUGIN: Keys =
    Keys { name: "a plugin", keys: &["file", "sha256", "memory_mib", "cpu", "read", "connect"] };

/// One plugin, and what it may use and reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// The word after `rotator:`.
    pub name: String,
    pub file: PathBuf,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// MiB of memory. From 64 to 65,536.
    pub memory_mib: u64,
    /// Processor time. From one second to one hour, in whole seconds.
    pub cpu: Duration,
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to.
    pub connect: Vec<u16>,
}

const MEMORY_MIB: u64 = 1024;
const CPU: Duration = Duration::from_secs(60);
const LONGEST_CPU: Duration = Duration::from_secs(3600);

pub(crate) fn plugins(walk: &Walk<'_>, node: &Node) -> Option<Vec<PluginSpec>> {
    let mut plugins = Vec::new();
    for entry in walk.entries(node)? {
        if !scalar::is_name(&entry.key, false) {
            walk.tell(
                walk.problem("bad-name", entry.span, "this is no name").help("letters, digits, `.`, `_` and `-`"),
            );
        }
        plugins.extend(plugin(walk, &entry.value, &entry.key));
    }
    Some(plugins)
}

fn plugin(walk: &Walk<'_>, node: &Node, name: &str) -> Option<PluginSpec> {
    let section = walk.section(node, &PLUGIN)?;
    let file = section.need("file", "the program, such as `file: plugins/lamp`").and_then(|node| walk.text(node));
    let sha256 = section.need("sha256", "what `sha256sum` prints of the file").and_then(|node| {
        let help = "64 hexadecimal digits in quotes, as `sha256sum` prints them";
        walk.checked(node, "bad-hash", "SHA-256", help, |text| {
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
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
    Some(PluginSpec {
        name: name.to_owned(),
        file: resolve(walk, &file?),
        sha256: sha256?,
        memory_mib: memory_mib?,
        cpu: cpu?,
        read: read?,
        connect: connect?,
    })
}
