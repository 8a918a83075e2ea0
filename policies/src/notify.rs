//! `notify:` of a policy and of `keywheel.yaml`: who is told of what.

use crate::model::{NoticeKind, Notify};
use crate::scalar;
use crate::tree::Node;
use crate::walk::{Keys, Walk};

pub(crate) const NOTIFY: Keys = Keys { name: "notify", keys: &["to", "on"] };

/// What can be told, by the words for it.
pub(crate) fn words() -> [(&'static str, NoticeKind); 6] {
    NoticeKind::NAMED.map(|kind| (kind.word(), kind))
}

/// Reads `notify:`. `known` are the names of notifiers.
pub(crate) fn read(walk: &Walk<'_>, node: &Node, known: &[String]) -> Option<Notify> {
    let section = walk.section(node, &NOTIFY)?;
    let to = section
        .need("to", "names of notifiers, such as `to: [secops]`; `to: []` tells nobody")
        .and_then(|node| to(walk, node, known));
    let on = section.get("on").map_or(Some(Notify::DEFAULT_ON.to_vec()), |node| on(walk, node));
    section.done();
    Some(Notify { to: to?, on: on? })
}

fn to(walk: &Walk<'_>, node: &Node, known: &[String]) -> Option<Vec<String>> {
    let mut to: Vec<String> = Vec::new();
    for item in walk.list(node)? {
        let Some(name) = walk.text(item) else { continue };
        if to.contains(&name) {
            walk.tell(walk.problem("repeated", item.span, "this notifier is given twice").help("remove one"));
        } else if !known.contains(&name) {
            let names = || known.iter().map(String::as_str);
            let problem = walk.problem("unknown-notifier", item.span, "there is no notifier of this name");
            walk.tell(match scalar::closest(&name, names()) {
                Some(word) => problem.help(format!("did you mean `{word}`?")),
                None if known.is_empty() => problem.help("notifiers are declared in keywheel.yaml, under `notifiers`"),
                None => problem.help(format!("declared in keywheel.yaml: {}", scalar::list_words(names()))),
            });
        } else {
            to.push(name);
        }
    }
    Some(to)
}

fn on(walk: &Walk<'_>, node: &Node) -> Option<Vec<NoticeKind>> {
    let items = walk.list(node)?;
    if items.is_empty() {
        walk.tell(
            walk.problem("empty-value", node.span, "`on` names nothing that is told")
                .help("name what is told, or remove `on`; `to: []` is how nobody is told"),
        );
        return None;
    }
    let mut on: Vec<NoticeKind> = Vec::new();
    for item in items {
        let Some(kind) = walk.choice(item, &words()) else { continue };
        if on.contains(&kind) {
            walk.tell(walk.problem("repeated", item.span, "this is given twice").help("remove one"));
        } else {
            on.push(kind);
        }
    }
    Some(on)
}
