//! `email:` of a notifier: a mail server, who mail is from, and whom it is to.

use std::net::IpAddr;

use email_address::{EmailAddress, Options};
use url::Host;

use crate::model::{AdminSource, Email, MailTls};
use crate::policy::credential;
use crate::problem::steers;
use crate::scalar::is_loopback;
use crate::settings::path;
use crate::tree::Node;
use crate::walk::{Keys, Walk};

use super::hide_what_is_no_map;

pub(crate) const EMAIL: Keys =
    Keys { name: "email", keys: &["host", "port", "tls", "insecure", "ca_file", "login", "from", "to"] };
pub(crate) const LOGIN: Keys = Keys { name: "login", keys: &["secret", "env", "file", "username"] };
pub(crate) const TLS: [(&str, MailTls); 3] =
    [("starttls", MailTls::StartTls), ("implicit", MailTls::Implicit), ("disable", MailTls::Disable)];

/// Servers take at least 100 of one mail (RFC 5321, section 4.5.3.1.8).
const MOST_MAILBOXES: usize = 50;

/// The longest mailbox with its name that is worth writing.
const LONGEST_MAILBOX: usize = 400;

const LOGIN_HELP: &str = "`login: { secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`";
const TO_HELP: &str = "such as `to: [secops@example.com]`";

/// Reads `email:`.
pub(super) fn read(walk: &Walk<'_>, node: &Node) -> Option<Email> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &EMAIL)?;
    let host_node = section.need("host", "such as `host: smtp.example.com`");
    let host = host_node.and_then(|node| host(walk, node));
    let port = section.get("port").map(|node| walk.integer(node, 1..=65_535));
    let tls = section.get("tls").map_or(Some(MailTls::StartTls), |node| walk.choice(node, &TLS));
    let insecure = section.get("insecure").map_or(Some(false), |node| walk.boolean(node));
    let ca_file = section.get("ca_file").map(|node| path(walk, node));
    let login = section.get("login").map(|node| login(walk, node));
    let from = section
        .need("from", "such as `from: \"keywheel <keywheel@example.com>\"`")
        .and_then(|node| mailbox(walk, node))
        .map(|(mailbox, _)| mailbox);
    let to = section.need("to", TO_HELP).and_then(|node| mailboxes(walk, node));
    let (tls_node, ca_entry) = (section.get("tls"), section.entry("ca_file"));
    section.done();
    let in_clear = tls == Some(MailTls::Disable);
    if let (true, Some(entry)) = (in_clear, ca_entry) {
        walk.tell(
            walk.problem("no-effect", entry.span, "without TLS there are no certificates").help("remove `ca_file`"),
        );
    }
    if let (true, Some(host), Some(false), Some(node)) = (in_clear, &host, insecure, tls_node)
        && !is_loopback(host)
    {
        walk.tell(
            walk.problem("tls-unverified", node.span, "without TLS mail and login can be read on the way")
                .help("use `starttls` or `implicit`; less is for this machine, or with `insecure: true` beside it"),
        );
    }
    let tls = tls?;
    let port = match port {
        Some(port) => u16::try_from(port?).ok()?,
        None => usual_port(tls),
    };
    Some(Email {
        host: host?,
        port,
        tls,
        ca_file: ca_file.map_or(Some(None), |path| path.map(Some))?,
        login: login.map_or(Some(None), |login| login.map(Some))?,
        from: from?,
        to: to?,
    })
}

/// As mail servers have them: of submission (RFC 6409, RFC 8314), and of SMTP itself.
fn usual_port(tls: MailTls) -> u16 {
    match tls {
        MailTls::StartTls => 587,
        MailTls::Implicit => 465,
        MailTls::Disable => 25,
    }
}

/// A name or an address, as it was understood: what is checked is what is used.
fn host(walk: &Walk<'_>, node: &Node) -> Option<String> {
    let text = walk.text(node)?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let host = Host::parse(&text).ok().filter(|_| !text.contains('%'));
    if host.is_none() {
        // An address with a login may stand here by mistake.
        if text.contains('@') {
            walk.hide(node);
        }
        walk.tell(
            walk.problem("bad-host", node.span, "this is no name of a host")
                .help("such as `host: smtp.example.com`, without a scheme; the port stands in `port`"),
        );
    }
    host.map(|host| host.to_string())
}

fn login(walk: &Walk<'_>, node: &Node) -> Option<AdminSource> {
    if node.kind.as_map().is_some() {
        return credential(walk, node, &LOGIN, LOGIN_HELP);
    }
    if node.kind.as_text() == Some("self") {
        let message = "`self` is for accounts that are rotated, and a mail server's is not";
        walk.tell(walk.problem("not-self-managed", node.span, message).help(LOGIN_HELP));
        return None;
    }
    // The login itself may stand here by mistake.
    walk.hide(node);
    let message = format!("expected a reference, found {}", node.kind.noun());
    walk.tell(walk.problem("wrong-type", node.span, message).help(LOGIN_HELP));
    None
}

fn mailboxes(walk: &Walk<'_>, node: &Node) -> Option<Vec<String>> {
    let items = walk.list(node)?;
    if items.is_empty() {
        walk.tell(walk.problem("empty-value", node.span, "this mail is to nobody").help(TO_HELP));
        return None;
    }
    if items.len() > MOST_MAILBOXES {
        walk.tell(
            walk.problem("too-many", node.span, format!("this mail is to more than {MOST_MAILBOXES} mailboxes"))
                .help("write to a mailing list"),
        );
        return None;
    }
    let (mut mailboxes, mut seen) = (Vec::new(), Vec::new());
    let mut complete = true;
    for item in items {
        match mailbox(walk, item) {
            Some((_, address)) if seen.contains(&address) => {
                walk.tell(walk.problem("repeated", item.span, "this mailbox is given twice").help("remove one"));
            }
            Some((mailbox, address)) => {
                mailboxes.push(mailbox);
                seen.push(address);
            }
            None => complete = false,
        }
    }
    complete.then_some(mailboxes)
}

/// A mailbox, and its address without name and case: no server that people use tells them apart by case.
fn mailbox(walk: &Walk<'_>, node: &Node) -> Option<(String, String)> {
    let text = walk.text(node)?;
    let refuse = |message: &str, help: &str| walk.tell(walk.problem("bad-mailbox", node.span, message).help(help));
    let options = Options::default().without_domain_literal().with_display_text();
    let address = EmailAddress::parse_with_options(&text, options).ok().filter(|address| {
        // A quoted local part is mail to a machine of long ago; the library that sends takes none.
        let is_odd = |c: char| steers(c) || (c.is_whitespace() && c != ' ');
        text.len() <= LONGEST_MAILBOX && !text.chars().any(is_odd) && !address.local_part().starts_with('"')
    });
    let Some(address) = address else {
        refuse("this is no mailbox", "such as `secops@example.com`, or `Security <secops@example.com>`");
        return None;
    };
    if !is_phrase(address.display_part()) {
        refuse(
            "the name of this mailbox holds characters that mean something else",
            "put the name in double quotes: `'\"Security, EU\" <secops@example.com>'`",
        );
        return None;
    }
    let bare = address.email().to_lowercase();
    Some((text, bare))
}

/// Whether a name may stand before an address: words, or text in double quotes (RFC 5322, section 3.2.3).
fn is_phrase(name: &str) -> bool {
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    quoted.map_or_else(
        || !name.starts_with('.') && !name.contains(['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"']),
        |inside| !inside.contains(['"', '\\']),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mailboxes() {
        for name in ["", "Security", "Dr. Müller", "a b  c", "\"Security, EU\"", "\"\"", "O'Hara"] {
            assert!(is_phrase(name), "{name}");
        }
        for name in ["Security, EU", "a@b", "\"a\" \"b\"", "\"", "\"a\\\"", "x: y", "a <b>", ".net"] {
            assert!(!is_phrase(name), "{name}");
        }
    }
}
