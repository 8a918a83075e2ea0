//! What is said: one message of one notice or many, in all the forms that channels need.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keywheel_core::{Notice, NoticeKind, RotationId, Step};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// So many notices are written out for people; of the others there is the number.
const SHOWN: usize = 100;
/// So many characters of what happened.
const WORDS: usize = 600;
/// The same, where there is little room.
const FEW_WORDS: usize = 200;
/// So many lines of a digest, where there is little room.
const FEW_LINES: usize = 12;

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

/// A message in the making: of any number of notices, of which it keeps few.
pub(crate) struct Gathering {
    notifier: String,
    hash: Sha256,
    counts: BTreeMap<u8, (NoticeKind, usize)>,
    /// The most urgent first, and of those the oldest.
    kept: BTreeMap<(u8, usize), Notice>,
    total: usize,
    /// Of the first; `None` once there is another.
    thread: Option<RotationId>,
}

impl Gathering {
    pub fn new(notifier: &str) -> Self {
        let mut hash = Sha256::new();
        add(&mut hash, notifier);
        let (counts, kept) = (BTreeMap::new(), BTreeMap::new());
        Gathering { notifier: notifier.to_owned(), hash, counts, kept, total: 0, thread: None }
    }

    pub fn add(&mut self, notice: Notice) {
        add(&mut self.hash, &notice.id);
        add(&mut self.hash, &notice.message);
        let rank = rank(notice.kind);
        self.counts.entry(rank).or_insert((notice.kind, 0)).1 += 1;
        let one_more =
            if self.total == 0 { notice.rotation } else { self.thread.filter(|it| notice.rotation == Some(*it)) };
        self.thread = one_more;
        self.kept.insert((rank, self.total), notice);
        self.total += 1;
        if self.kept.len() > Message::KEPT {
            self.kept.pop_last();
        }
    }

    /// The message, begun at `at`; `None` of nothing.
    pub fn message(self, sender: Sender, at: Timestamp) -> Option<Message> {
        if self.total == 0 {
            return None;
        }
        let id = self.hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Some(Message {
            id,
            at,
            notifier: self.notifier,
            sender,
            notices: self.kept.into_values().collect(),
            counts: self.counts.into_values().collect(),
            thread: self.thread,
        })
    }
}

/// With its length, so that no two lists of texts are the same.
fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

impl Message {
    /// So many notices a message keeps, and tells to programs.
    pub(crate) const KEPT: usize = 500;

    /// A message of these notices, begun at `at`; `None` of none.
    pub fn of(notifier: &str, sender: Sender, notices: Vec<Notice>, at: Timestamp) -> Option<Self> {
        let mut gathering = Gathering::new(notifier);
        notices.into_iter().for_each(|notice| gathering.add(notice));
        gathering.message(sender, at)
    }

    /// The rotation that all of it is about, if there is one.
    pub fn thread(&self) -> Option<RotationId> {
        self.thread
    }

    /// The notices that it keeps.
    pub fn shown(&self) -> &[Notice] {
        &self.notices
    }

    /// Those that are written out for people.
    fn written(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter().take(SHOWN)
    }

    /// How many there are beside those.
    fn left_out(&self) -> usize {
        self.total() - self.notices.len().min(SHOWN)
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

    /// The same, with who says it.
    pub fn title(&self) -> String {
        format!("keywheel on {}: {}", self.sender.host, self.headline())
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
            lines.push(format!("and {beside} more: {MORE}"));
        }
        lines
    }

    /// As plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for notice in self.written() {
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
            text.push_str(&format!("And {} more: {MORE}.\n\n", self.left_out()));
        }
        // What separates a signature from a mail.
        text.push_str(&format!("-- \n{}\n", self.signature()));
        text
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let safe = |text: &str| html_escape::encode_text(text).into_owned();
        let mut html = String::from("<!DOCTYPE html>\n<html><body style=\"font-family: sans-serif\">\n");
        for notice in self.written() {
            let words = safe(&cut(&notice.message, WORDS)).replace('\n', "<br>");
            html.push_str(&format!("<p><b>{}</b><br>{words}<br>", safe(&heading(notice))));
            html.push_str(&format!("<span style=\"color: #666\">{:.0}</span>", notice.at));
            if let Some(hint) = hint(notice) {
                html.push_str(&format!("<br>{}", safe(&hint)));
            }
            html.push_str("</p>\n");
        }
        if self.left_out() > 0 {
            html.push_str(&format!("<p>And {} more: {MORE}.</p>\n", self.left_out()));
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

/// Where the rest is.
const MORE: &str = "see `keywheel status` and `keywheel history`";

/// The most urgent has the least.
fn rank(kind: NoticeKind) -> u8 {
    match kind {
        NoticeKind::Parked => 1,
        NoticeKind::Overdue => 2,
        NoticeKind::Drift => 3,
        NoticeKind::Failed => 4,
        NoticeKind::RolledBack => 5,
        NoticeKind::Succeeded => 6,
        // Before all else: it is read whole, and must not be what is left out.
        NoticeKind::Digest => 0,
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
    // A digest has a line for each thing.
    let words: Vec<&str> = notice.message.lines().take(FEW_LINES).collect();
    let words = if words.len() > 1 { words.join("\n") } else { cut(&notice.message, FEW_WORDS) };
    let show = notice.rotation.map(|rotation| format!(" (`keywheel show {rotation}`)")).unwrap_or_default();
    format!("{}: {words}{show}", heading(notice))
}

/// What a person can do.
fn hint(notice: &Notice) -> Option<String> {
    let secret = notice.secret.as_deref()?;
    let show = notice.rotation.map(|rotation| format!("`keywheel show {rotation}` says all of it."));
    let back = notice.step.is_some_and(Step::may_roll_back);
    Some(match (notice.kind, show) {
        (NoticeKind::Parked, Some(show)) if back => format!(
            "{show} Once the cause is mended: `keywheel resume {secret}`; or `keywheel rollback {secret}` to undo it."
        ),
        (NoticeKind::Parked, Some(show)) => {
            format!("{show} Once the cause is mended: `keywheel resume {secret}`.")
        }
        (NoticeKind::Failed, Some(show)) => show,
        (NoticeKind::RolledBack, Some(show)) => {
            format!("{show} A schedule begins it anew after a pause; `keywheel rotate {secret}` does so at once.")
        }
        (NoticeKind::Overdue, _) => format!("`keywheel status {secret}` says how it stands and what is due."),
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
        Message::of("secops", sender, notices, Timestamp::from_second(1_800_000_060).unwrap()).unwrap()
    }

    #[test]
    fn one_notice_is_told_whole() {
        let message = message(vec![notice(7, NoticeKind::Parked)]);
        assert_eq!(message.subject(), "[keywheel] parked: prod/orders");
        assert_eq!(
            message.text(),
            "PARKED: prod/orders (policy orders), at apply\n  the server says: <b>no</b> & more\n  2027-01-15T08:00:00Z\n  \
             `keywheel show 01900000-0000-7000-8000-000000000001` says all of it. Once the cause is mended: `keywheel \
             resume prod/orders`; or `keywheel rollback prod/orders` to undo it.\n\n-- \nkeywheel 0.1.0 on vault-1, to the \
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
        assert_eq!((message.shown().len(), message.left_out()), (500, 9_902));
        assert_eq!(
            message.shown()[..3].iter().map(|one| one.kind).collect::<Vec<_>>(),
            [NoticeKind::Parked, NoticeKind::Overdue, NoticeKind::Failed]
        );
        assert!(message.text().len() < 60_000 && message.html().len() < 80_000, "no mail is refused for its length");
        assert_eq!(message.briefs(20).len(), 21);
        assert_eq!(message.briefs(20)[20], "and 9982 more: see `keywheel status` and `keywheel history`");
        assert_eq!(message.json()["data"]["total"], 10_002);
        assert_eq!(message.json()["data"]["notices"].as_array().unwrap().len(), 500);
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
