//! Where a text is that must not be written down, such as an address that whoever knows it may write to.

use crate::model::Reference;
use crate::scalar;
use crate::settings::resolve;
use crate::tree::Node;
use crate::walk::{Keys, Walk};

pub(crate) const REFERENCE: Keys = Keys { name: "a reference", keys: &["secret", "field", "env", "file"] };

/// The field of a secret that is meant where none is named.
const FIELD: &str = "password";

/// Reads a reference. `help` says how one is written.
pub(super) fn read(walk: &Walk<'_>, node: &Node, help: &str) -> Option<Reference> {
    if node.kind.as_map().is_none() {
        // The text itself may stand here by mistake.
        walk.hide(node);
        let message = format!("expected a reference, found {}", node.kind.noun());
        walk.tell(walk.problem("wrong-type", node.span, message).help(help));
        return None;
    }
    let section = walk.section(node, &REFERENCE)?;
    let (mut secret, mut field, mut env, mut file) = (None, None, None, None);
    let span = section.span;
    let told = walk.tells(|| {
        (secret, field) = (section.get("secret"), section.get("field"));
        (env, file) = (section.get("env"), section.get("file"));
        section.done();
    });
    if let (Some(node), None) = (field, secret) {
        walk.tell(walk.problem("no-effect", node.span, "only a `secret` has fields").help("remove `field`"));
    }
    let field = field.map_or(Some(FIELD.to_owned()), |node| {
        name(walk, node, "field", "letters, digits, `.`, `_` and `-`", |text| scalar::is_name(text, false))
    });
    match (secret, env, file) {
        (Some(node), None, None) => {
            let help = "the name of a secret in the store, such as `chat/url`; never its value";
            let name = name(walk, node, "secret name", help, |text| scalar::is_name(text, true));
            Some(Reference::Secret { name: name?, field: field? })
        }
        (None, Some(node), None) => {
            let help = "the name of a variable, such as `CHAT_URL`; never its value";
            name(walk, node, "variable name", help, scalar::is_variable_name).map(Reference::Env)
        }
        (None, None, Some(node)) => {
            name(walk, node, "path", "such as `chat.url`", |_| true).map(|path| Reference::File(resolve(walk, &path)))
        }
        (None, None, None) => {
            if !told {
                walk.tell(walk.problem("one-of", span, "this refers to nothing").help(help));
            }
            None
        }
        (Some(_), _, _) | (None, Some(_), Some(_)) => {
            walk.hide(node);
            walk.tell(walk.problem("one-of", span, "this refers to several places").help(help));
            None
        }
    }
}

/// The name of a place. What is none is hidden: it may be what should be at that place.
fn name(walk: &Walk<'_>, node: &Node, what: &str, help: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    // Keys for signing look like names of variables, and addresses like paths.
    let is_the_text_itself = |text: &str| text.starts_with("whsec_") || text.contains("://");
    let name = walk.checked(node, "bad-name", what, help, |text| is_the_text_itself(text) || fits(text));
    if name.as_deref().is_none_or(is_the_text_itself) {
        walk.hide(node);
    }
    if name.as_deref().is_some_and(is_the_text_itself) {
        walk.tell(
            walk.problem("secret-in-clear", node.span, "this is the secret itself, and not where it is")
                .help("put it into the store, a variable or a file, and name that; if it is real, change it now"),
        );
        return None;
    }
    name
}
