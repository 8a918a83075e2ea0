//! `admin:` where the credential of the one who may change the account is. Always a reference.

use crate::catalogue::RotatorSpec;
use crate::model::{AdminSource, Strategy};
use crate::scalar;
use crate::settings::resolve;
use crate::tree::Node;
use crate::walk::{Keys, Section, Walk};

pub(crate) const ADMIN: Keys = Keys { name: "admin", keys: &["secret", "env", "file", "username"] };

const HELP: &str = "`admin: { secret: NAME }`, `{ env: NAME }`, `{ file: PATH }`, or `admin: self`";

/// Reads `admin:` of a policy.
pub(crate) fn read(top: &Section<'_>, spec: Option<&RotatorSpec>, strategy: Option<&Strategy>) -> Option<AdminSource> {
    let walk = top.walk;
    let node = top.need("admin", HELP)?;
    if node.kind.as_map().is_some() {
        return credential(walk, node, &ADMIN, HELP);
    }
    if node.kind.as_text() == Some("self") {
        return own(walk, node, spec, strategy);
    }
    // The credential itself may stand here by mistake.
    walk.hide(node);
    let message = format!("expected a reference, found {}", node.kind.noun());
    walk.tell(walk.problem("wrong-type", node.span, message).help(HELP));
    None
}

fn own(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>, strategy: Option<&Strategy>) -> Option<AdminSource> {
    if spec.is_some_and(|spec| !spec.self_managed) {
        walk.tell(
            walk.problem("not-self-managed", node.span, "with this rotator an account cannot change its own password")
                .help("`admin: { secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`"),
        );
    }
    if matches!(strategy, Some(Strategy::Alternating { .. })) {
        walk.tell(
            walk.problem("not-self-managed", node.span, "an idle account cannot log in to change its own password")
                .help("`self` works with `in_place`; alternating accounts need an admin"),
        );
    }
    Some(AdminSource::Own)
}

/// Where a credential is, as a map with these keys. `help` says how one is written.
pub(crate) fn credential(walk: &Walk<'_>, node: &Node, keys: &'static Keys, help: &str) -> Option<AdminSource> {
    let section = walk.section(node, keys)?;
    let (mut secret, mut env, mut file, mut username_node, mut username) = (None, None, None, None, None);
    let span = section.span;
    let told = walk.tells(|| {
        (secret, env, file) = (section.get("secret"), section.get("env"), section.get("file"));
        username_node = section.get("username");
        username = username_node.map(|node| walk.text(node));
        section.done();
    });
    let given = [secret, env, file].iter().flatten().count();
    if given != 1 {
        if !told || given > 1 {
            let what = if given == 0 { "nothing" } else { "several places" };
            let message = format!("{} refers to {what}", keys.name);
            walk.tell(walk.problem("one-of", span, message).help(format!("one of {help}")));
        }
        return None;
    }
    if let (Some(_), Some(node)) = (secret, username_node) {
        walk.tell(
            walk.problem("no-effect", node.span, "a secret has a `username` of its own").help("remove `username`"),
        );
    }
    let username = match username {
        Some(None) => return None,
        Some(Some(name)) => Some(name),
        None => None,
    };
    if let Some(node) = secret {
        let help = "the name of a secret in the store, such as `pg1/rotator`";
        let name = walk.checked(node, "bad-name", "secret name", help, |text| scalar::is_name(text, true));
        if name.is_none() {
            walk.hide(node);
        }
        return name.map(AdminSource::Secret);
    }
    if let Some(node) = env {
        let help = "the name of a variable, such as `PG1_ADMIN`; never its value";
        let name = walk.checked(node, "bad-name", "variable name", help, scalar::is_variable_name);
        if name.is_none() {
            walk.hide(node);
        }
        return Some(AdminSource::Env { name: name?, username });
    }
    // Relative to the file that says so, not to wherever the program was started.
    let path = resolve(walk, &walk.text(file?)?);
    Some(AdminSource::File { path, username })
}
