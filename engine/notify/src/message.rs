//! What is said: one message of one notice or many, in all the forms that channels need.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keywheel_core::{Notice, NoticeKind, RotationId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// So many notices are written out; of the others there is the number.
const SHOWN: usize = 100;
/// So many characters of what happened.
const WORDS: usize = 600;
/// The same, where there is little room.
const FEW_WORDS: usize = 200;

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The machine's name.
    pub host: String,
    /// Of the program.
    pub version: String,
}

/// One message. Without secret values, as its notices are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same whenever it is sent: what its notices are decides it.
    pub id: String,
    pub at: Timestamp,
    notifier: String,
    sender: Sender,
    /// The most urgent first, and of those the oldest.
    notices: Vec<Notice>,
    /// How many there are of each kind, the most urgent first, those that are not written out included.
    counts: Vec<(NoticeKind, usize)>,
    thread: Option<RotationId>,
}

impl Message {
    /// A message of these notices, at least one, begun at `at`.
    pub fn new(notifier: &str, sender: Sender, mut notices: Vec<Notice>, at: Timestamp) -> Self {
        let mut hash = Sha256::new();
        for text in std::iter::once(notifier).chain(notices.iter().flat_map(|one| [one.id.as_str(), &one.message])) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let id = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let mut counts: BTreeMap<u8, (NoticeKind, usize)> = BTreeMap::new();
        for notice in &notices {
            counts.entry(rank(notice.kind)).or_insert((notice.kind, 0)).1 += 1;
        }
        let first = notices.first().and_then(|notice| notice.rotation);
        let thread = first.filter(|first| notices.iter().all(|notice| notice.rotation == Some(*first)));
        notices.sort_by_key(|notice| rank(notice.kind));
        notices.truncate(SHOWN);
        let (notifier, counts) = (notifier.to_owned(), counts.into_values().collect());
        Message { id, at, notifier, sender, notices, counts, thread }
    }

    /// The rotation that all of it is about, if there is one.
    pub fn thread(&self) -> Option<RotationId> {
        self.thread
    }

    /// The notices that are written out.
    pub fn shown(&self) -> &[Notice] {
        &self.notices
    }

    /// How many there are beside.
    pub fn left_out(&self) -> usize {
        self.total() - self.notices.len()
    }

    fn total(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// What it is about, in one line.
    pub fn headline(&self) -> String {
        match (&self.notices[..], self.left_out()) {
            ([only], 0) => match &only.secret {
                Some(secret) => format!("{}: {secret}", words(only.kind)),
                None => words(only.kind).to_owned(),
            },
            _ => {
                let counts: Vec<String> =
                    self.counts.iter().map(|(kind, count)| format!("{count} {}", words(*kind))).collect();
                counts.join(", ")
            }
        }
    }

    /// The subject of a mail.
    pub fn subject(&self) -> String {
        format!("[keywheel] {}", self.headline())
    }

    /// A line for each of the first so many notices, and one for how many there are beside.
    pub fn briefs(&self, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.notices.iter().take(most).map(brief).collect();
        let beside = self.total() - lines.len();
        if beside > 0 {
            lines.push(format!("and {beside} more: see `keywheel history`"));
        }
        lines
    }

    /// As plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for notice in &self.notices {
            text.push_str(&format!("{}\n", heading(notice)));
            for line in cut(&notice.message, WORDS).lines() {
                text.push_str(&format!("  {line}\n"));
            }
            text.push_str(&format!("  {:.0}\n", notice.at));
            if let Some(hint) = hint(notice) {
                text.push_str(&format!("  {hint}\n"));
            }
            text.push('\n');
        }
        if self.left_out() > 0 {
            text.push_str(&format!("And {} more: see `keywheel history`.\n\n", self.left_out()));
        }
        // What separates a signature from a mail.
        text.push_str(&format!("-- \n{}\n", self.signature()));
        text
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let safe = |text: &str| html_escape::encode_text(text).into_owned();
        let mut html = String::from("<!DOCTYPE html>\n<html><body style=\"font-family: sans-serif\">\n");
        for notice in &self.notices {
            let words = safe(&cut(&notice.message, WORDS)).replace('\n', "<br>");
            html.push_str(&format!("<p><b>{}</b><br>{words}<br>", safe(&heading(notice))));
            html.push_str(&format!("<span style=\"color: #666\">{:.0}</span>", notice.at));
            if let Some(hint) = hint(notice) {
                html.push_str(&format!("<br>{}", safe(&hint)));
            }
            html.push_str("</p>\n");
        }
        if self.left_out() > 0 {
            html.push_str(&format!("<p>And {} more: see <code>keywheel history</code>.</p>\n", self.left_out()));
        }
        html.push_str(&format!("<p style=\"color: #666\">{}</p>\n</body></html>\n", safe(&self.signature())));
        html
    }

    /// As JSON. Stable.
    pub fn json(&self) -> Value {
        let notices: Vec<Value> = self
            .notices
            .iter()
            .map(|notice| {
                json!({
                    "id": notice.id,
                    "kind": notice.kind,
                    "at": notice.at,
                    "secret": notice.secret,
                    "policy": notice.policy,
                    "rotation": notice.rotation,
                    "step": notice.step,
                    "message": cut(&notice.message, WORDS),
                    "hint": hint(notice),
                })
            })
            .collect();
        json!({
            "type": "keywheel.notices",
            "timestamp": self.at,
            "data": {
                "notifier": self.notifier,
                "host": self.sender.host,
                "version": self.sender.version,
                "total": self.total(),
                "notices": notices,
            },
        })
    }

    fn signature(&self) -> String {
        let Sender { host, version } = &self.sender;
        format!("keywheel {version} on {host}, to the notifier `{}`", self.notifier)
    }
}

/// The most urgent has the least.
fn rank(kind: NoticeKind) -> u8 {
    match kind {
        NoticeKind::Parked => 0,
        NoticeKind::Overdue => 1,
        NoticeKind::Drift => 2,
        NoticeKind::Failed => 3,
        NoticeKind::RolledBack => 4,
        NoticeKind::Succeeded => 5,
        NoticeKind::Digest => 6,
        NoticeKind::Test => 7,
    }
}

fn words(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::RolledBack => "rolled back",
        NoticeKind::Failed
        | NoticeKind::Parked
        | NoticeKind::Overdue
        | NoticeKind::Drift
        | NoticeKind::Succeeded
        | NoticeKind::Digest
        | NoticeKind::Test => kind.word(),
    }
}

fn heading(notice: &Notice) -> String {
    let mut heading = words(notice.kind).to_uppercase();
    if let Some(secret) = &notice.secret {
        heading.push_str(&format!(": {secret}"));
    }
    if let Some(policy) = &notice.policy {
        heading.push_str(&format!(" (policy {policy})"));
    }
    if let Some(step) = notice.step.filter(|_| notice.kind != NoticeKind::Succeeded) {
        heading.push_str(&format!(", at {step}"));
    }
    heading
}

fn brief(notice: &Notice) -> String {
    format!("{}: {}", heading(notice), cut(&notice.message, FEW_WORDS).replace('\n', "; "))
}

/// What a person can do.
fn hint(notice: &Notice) -> Option<String> {
    let secret = notice.secret.as_deref()?;
    let rotation = notice.rotation.map(|rotation| rotation.to_string());
    let show = rotation.map(|rotation| format!("`keywheel show {rotation}` says all of it"));
    Some(match (notice.kind, show) {
        (NoticeKind::Parked, Some(show)) => format!(
            "{show}. Once the cause is mended: `keywheel resume {secret}`, or `keywheel rollback {secret}` to undo it."
        ),
        (NoticeKind::Failed, Some(show)) => format!("{show}. It is tried again by itself."),
        (NoticeKind::RolledBack, Some(show)) => {
            format!("{show}. It is begun anew after a pause, or at once by `keywheel rotate {secret}`.")
        }
        (NoticeKind::Overdue, _) => {
            format!("`keywheel status {secret}` says why; `keywheel rotate {secret}` rotates it now.")
        }
        (NoticeKind::Drift, _) => format!(
            "If somebody changed it by hand, put what they set: `keywheel secret put {secret}`. Else `keywheel rotate {secret}` \
             makes a new one."
        ),
        (NoticeKind::Succeeded | NoticeKind::Digest | NoticeKind::Test, _)
        | (NoticeKind::Parked | NoticeKind::Failed | NoticeKind::RolledBack, None) => return None,
    })
}

/// The beginning of a text that is too long.
fn cut(text: &str, most: usize) -> String {
    // A digest is made to be read whole, and is bounded where it is made.
    if text.contains('\n') || text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn notice(number: usize, kind: NoticeKind) -> Notice {
        Notice {
            id: format!("01900000-0000-7000-8000-000000000001/{number}"),
            kind,
            at: Timestamp::from_second(1_800_000_000).unwrap(),
            secret: Some("prod/orders".to_owned()),
            policy: Some("orders".to_owned()),
            rotation: Some("01900000-0000-7000-8000-000000000001".parse().unwrap()),
            step: Some(keywheel_core::Step::Apply),
            message: "the server says: <b>no</b> & more".to_owned(),
            to: None,
        }
    }

    fn message(notices: Vec<Notice>) -> Message {
        let sender = Sender { host: "vault-1".to_owned(), version: "0.1.0".to_owned() };
        Message::new("secops", sender, notices, Timestamp::from_second(1_800_000_060).unwrap())
    }

    #[test]
    fn one_notice_is_told_whole() {
        let message = message(vec![notice(7, NoticeKind::Parked)]);
        assert_eq!(message.subject(), "[keywheel] parked: prod/orders");
        assert_eq!(
            message.text(),
            "PARKED: prod/orders (policy orders), at apply\n  the server says: <b>no</b> & more\n  2027-01-15T08:00:00Z\n  \
             `keywheel show 01900000-0000-7000-8000-000000000001` says all of it. Once the cause is mended: `keywheel \
             resume prod/orders`, or `keywheel rollback prod/orders` to undo it.\n\n-- \nkeywheel 0.1.0 on vault-1, to the \
             notifier `secops`\n"
        );
        let html = message.html();
        assert!(html.contains("the server says: &lt;b&gt;no&lt;/b&gt; &amp; more"), "{html}");
        assert!(message.thread().is_some());
    }

    #[test]
    fn drift_says_what_a_person_can_do() {
        let drift = Notice { rotation: None, step: None, ..notice(1, NoticeKind::Drift) };
        let text = message(vec![drift, notice(2, NoticeKind::Failed)]).text();
        assert!(text.starts_with("DRIFT: prod/orders (policy orders)\n"), "it comes before a failure: {text}");
        for hint in ["`keywheel secret put prod/orders`", "`keywheel rotate prod/orders` makes a new one"] {
            assert!(text.contains(hint), "{text}");
        }
    }

    #[test]
    fn what_is_most_urgent_comes_first_and_the_rest_is_counted() {
        let mut notices: Vec<Notice> = (0..10_000).map(|number| notice(number, NoticeKind::Failed)).collect();
        notices.push(Notice { rotation: None, ..notice(10_000, NoticeKind::Overdue) });
        notices.push(notice(10_001, NoticeKind::Parked));
        let message = message(notices);
        assert_eq!(message.headline(), "1 parked, 1 overdue, 10000 failed");
        assert_eq!(message.thread(), None);
        assert_eq!((message.shown().len(), message.left_out()), (100, 9_902));
        assert_eq!(
            message.shown()[..3].iter().map(|one| one.kind).collect::<Vec<_>>(),
            [NoticeKind::Parked, NoticeKind::Overdue, NoticeKind::Failed]
        );
        assert!(message.text().len() < 60_000 && message.html().len() < 80_000, "no mail is refused for its length");
        assert_eq!(message.briefs(20).len(), 21);
        assert_eq!(message.briefs(20)[20], "and 9982 more: see `keywheel history`");
        assert_eq!(message.json()["data"]["total"], 10_002);
    }

    #[test]
    fn an_id_is_that_of_what_is_told() {
        let one = || vec![notice(1, NoticeKind::Failed), notice(2, NoticeKind::Parked)];
        assert_eq!(message(one()).id, message(one()).id);
        assert_eq!(message(one()).id.len(), 32);
        for other in [
            vec![notice(1, NoticeKind::Failed)],
            vec![notice(2, NoticeKind::Parked), notice(1, NoticeKind::Failed)],
            vec![notice(1, NoticeKind::Failed), Notice { message: "else".to_owned(), ..notice(2, NoticeKind::Parked) }],
        ] {
            assert_ne!(message(one()).id, message(other).id);
        }
    }
}
