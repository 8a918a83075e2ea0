//! `strategy:` how old and new live side by side.

use crate::catalogue::{RotatorSpec, Shape};
use crate::model::{GrantParity, Strategy};
use crate::scalar;
use crate::tree::Node;
use crate::walk::{Keys, Walk};

pub(crate) const STRATEGY: Keys = Keys { name: "strategy", keys: &["in_place", "alternating"] };
pub(crate) const IN_PLACE: Keys = Keys { name: "in_place", keys: &["user", "accept_gap"] };
pub(crate) const ALTERNATING: Keys = Keys { name: "alternating", keys: &["users", "grant_parity", "create_missing"] };
pub(crate) const GRANT_PARITY: [(&str, GrantParity); 3] =
    [("require", GrantParity::Require), ("warn", GrantParity::Warn), ("ignore", GrantParity::Ignore)];

const HELP: &str =
    "`{ alternating: { users: [a, b] } }`, `{ in_place: { user: a, accept_gap: true } }` or `overlapping`";

/// Reads `strategy:`, and asks whether the rotator can do it.
pub(crate) fn read(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>) -> Option<Strategy> {
    let strategy = if node.kind.as_map().is_some() {
        from_map(walk, node)?
    } else if node.kind.as_text() == Some("overlapping") {
        Strategy::Overlapping
    } else {
        walk.tell(walk.problem("one-of", node.span, "expected one strategy").help(HELP));
        return None;
    };
    let shape = match strategy {
        Strategy::InPlace { .. } => Shape::InPlace,
        Strategy::Alternating { .. } => Shape::Alternating,
        Strategy::Overlapping => Shape::Overlapping,
    };
    if let Some(spec) = spec.filter(|spec| !spec.shapes.contains(&shape)) {
        walk.tell(
            walk.problem(
                "unsupported-strategy",
                node.span,
                format!("the rotator `{}` cannot do `{}`", spec.kind, shape.word()),
            )
            .help(format!("it can do {}", scalar::list_words(spec.shapes.iter().map(|shape| shape.word())))),
        );
    }
    Some(strategy)
}

fn from_map(walk: &Walk<'_>, node: &Node) -> Option<Strategy> {
    let section = walk.section(node, &STRATEGY)?;
    let (in_place, alternating) = (section.get("in_place"), section.get("alternating"));
    let span = section.span;
    section.done();
    match (in_place, alternating) {
        (Some(node), None) => self::in_place(walk, node),
        (None, Some(node)) => self::alternating(walk, node),
        (Some(_), Some(_)) => {
            walk.tell(walk.problem("one-of", span, "two strategies are given").help("keep one"));
            None
        }
        (None, None) => {
            if !walk.failed() {
                walk.tell(walk.problem("one-of", span, "expected one strategy").help(HELP));
            }
            None
        }
    }
}

fn in_place(walk: &Walk<'_>, node: &Node) -> Option<Strategy> {
    let section = walk.section(node, &IN_PLACE)?;
    let user = section.need("user", "the account to change: `user: orders`").and_then(|node| account(walk, node));
    let accepted = section.get("accept_gap").map(|node| walk.boolean(node));
    let place = section.entry("accept_gap").map_or(section.span, |entry| entry.span);
    section.done();
    match accepted {
        Some(Some(true)) => {}
        Some(None) => return None,
        Some(Some(false)) | None => walk.tell(
            walk.problem(
                "gap-not-accepted",
                place,
                "in place, readers of the old password are refused from apply to promote",
            )
            .help("write `accept_gap: true` where that is acceptable, else use `alternating`"),
        ),
    }
    Some(Strategy::InPlace { user: user? })
}

fn alternating(walk: &Walk<'_>, node: &Node) -> Option<Strategy> {
    let section = walk.section(node, &ALTERNATING)?;
    let users = section.need("users", "two accounts: `users: [orders_a, orders_b]`").and_then(|node| pair(walk, node));
    let grant_parity =
        section.get("grant_parity").map_or(Some(GrantParity::Require), |node| walk.choice(node, &GRANT_PARITY));
    let create_missing = section.get("create_missing").map_or(Some(false), |node| walk.boolean(node));
    section.done();
    Some(Strategy::Alternating { users: users?, grant_parity: grant_parity?, create_missing: create_missing? })
}

fn pair(walk: &Walk<'_>, node: &Node) -> Option<[String; 2]> {
    let items = walk.list(node)?;
    let [first, second] = items else {
        walk.tell(
            walk.problem("two-accounts", node.span, format!("alternating needs two accounts, {} given", items.len()))
                .help("such as `users: [orders_a, orders_b]`"),
        );
        return None;
    };
    let (first, other) = (account(walk, first), account(walk, second));
    let (first, other) = (first?, other?);
    if first == other {
        walk.tell(
            walk.problem("two-accounts", second.span, "both accounts are the same")
                .help("they take turns: the second account must be another one"),
        );
        return None;
    }
    Some([first, other])
}

/// No server takes longer names, and none takes control characters.
fn account(walk: &Walk<'_>, node: &Node) -> Option<String> {
    walk.checked(
        node,
        "bad-name",
        "account name",
        "1 to 128 characters, without control characters or spaces at the ends",
        |text| text.chars().count() <= 128 && !text.chars().any(char::is_control) && text.trim() == text,
    )
}
