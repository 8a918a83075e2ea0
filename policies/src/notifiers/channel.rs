//! What messages go through, but for mail.

use url::Url;

use crate::model::{Chat, Reference, Webhook};
use crate::scalar::is_loopback;
use crate::settings::path;
use crate::tree::{Entry, Kind, Node};
use crate::walk::{Keys, Walk};

use super::{hide_what_is_no_map, reference};

pub(crate) const WEBHOOK: Keys = Keys { name: "webhook", keys: &["url", "signed_with", "insecure", "ca_file"] };
pub(crate) const CHAT: Keys = Keys { name: "a chat", keys: &["url", "ca_file"] };

/// The present key and its successors: each signs.
const MOST_KEYS: usize = 3;

const SIGNED_WITH_HELP: &str =
    "`signed_with: { secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`, where the key of the signature is";
const CHAT_URL_HELP: &str =
    "the address is itself a secret: `url: { secret: NAME }`, `{ env: NAME }` or `{ file: PATH }` says where it is";

/// Reads `webhook:`.
pub(crate) fn webhook(walk: &Walk<'_>, node: &Node) -> Option<Webhook> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &WEBHOOK)?;
    let insecure = section.get("insecure").map_or(Some(false), |node| walk.boolean(node));
    let url = section.need("url", "such as `url: https://hooks.example.com/keywheel`").and_then(|node| url(walk, node));
    let signed_with = section.need("signed_with", SIGNED_WITH_HELP).and_then(|node| keys(walk, node));
    let ca_file = section.get("ca_file").map(|node| path(walk, node));
    let url_node = section.get("url");
    let ca_entry = section.entry("ca_file");
    section.done();
    let in_clear = url.as_ref().is_some_and(|url| url.scheme() == "http");
    if let (true, Some(entry)) = (in_clear, ca_entry) {
        walk.tell(walk.problem("no-effect", entry.span, "`http` has no certificates").help("remove `ca_file`"));
    }
    let (url, insecure) = (url?, insecure?);
    if in_clear && !insecure && !url.host_str().is_some_and(is_loopback) {
        walk.tell(
            walk.problem("tls-unverified", url_node?.span, "without TLS messages can be read on the way")
                .help("use `https`; `http` is for this machine, or with `insecure: true` beside it"),
        );
    }
    let ca_file = ca_file.map_or(Some(None), |path| path.map(Some))?;
    // As it was understood, so that what was checked is what is used.
    Some(Webhook { url: url.into(), signed_with: signed_with?, ca_file })
}

fn url(walk: &Walk<'_>, node: &Node) -> Option<Url> {
    if node.kind.as_map().is_some() {
        walk.hide(node);
        walk.tell(
            walk.problem("wrong-type", node.span, "expected text, found a map")
                .help("this address is written as it is: what proves who sends is the key in `signed_with`"),
        );
        return None;
    }
    let text = walk.text(node)?;
    // What stands before `@` or behind `?` may let people in.
    if text.contains(['@', '?']) {
        walk.hide(node);
    }
    let Some(url) = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "https" | "http")) else {
        walk.tell(
            walk.problem("bad-url", node.span, "this is no address of a web server")
                .help("such as `url: https://hooks.example.com/keywheel`"),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        walk.tell(
            walk.problem("secret-in-clear", node.span, "this address holds a user or a password")
                .help("leave them out: `signed_with` proves who sends; if they are real, change them now"),
        );
        return None;
    }
    Some(url)
}

/// One reference, or a list of them.
fn keys(walk: &Walk<'_>, node: &Node) -> Option<Vec<Reference>> {
    let Kind::List(items) = &node.kind else {
        return reference::read(walk, node, SIGNED_WITH_HELP).map(|key| vec![key]);
    };
    if items.is_empty() || items.len() > MOST_KEYS {
        walk.hide(node);
        walk.tell(
            walk.problem("out-of-range", node.span, format!("expected 1 to {MOST_KEYS} keys"))
                .help("each message is signed with each: the present one, and the next while it changes"),
        );
        return None;
    }
    let mut keys: Vec<Reference> = Vec::new();
    let mut complete = true;
    for item in items {
        match reference::read(walk, item, SIGNED_WITH_HELP) {
            Some(key) if keys.contains(&key) => {
                walk.tell(walk.problem("repeated", item.span, "this key is given twice").help("remove one"));
            }
            Some(key) => keys.push(key),
            None => complete = false,
        }
    }
    complete.then_some(keys)
}

/// Reads `slack:` or `teams:`.
pub(super) fn chat(walk: &Walk<'_>, node: &Node) -> Option<Chat> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &CHAT)?;
    let url = section.need("url", CHAT_URL_HELP).and_then(|node| reference::read(walk, node, CHAT_URL_HELP));
    let ca_file = section.get("ca_file").map(|node| path(walk, node));
    section.done();
    Some(Chat { url: url?, ca_file: ca_file.map_or(Some(None), |path| path.map(Some))? })
}

/// Reads `log:`, of which there is nothing to say.
pub(super) fn log(walk: &Walk<'_>, entry: &Entry) -> Option<()> {
    if entry.value.kind.as_map().is_some_and(<[Entry]>::is_empty) {
        return Some(());
    }
    walk.hide(&entry.value);
    walk.tell(walk.problem("wrong-type", entry.span, "there is nothing to say of `log`").help("write `log: {}`"));
    None
}
