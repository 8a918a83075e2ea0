//! What is written of notifiers arrives in the model, and what is not written has the documented defaults.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use keywheel_policies::{
    AdminSource, BrokenRotator, Catalogue, Channel, Chat, Email, MailTls, NoticeKind, NotifierSpec, Notify, Problems,
    Reference, Rotators, Settings, Webhook, load, load_settings, load_text,
};

const HOUR: u64 = 3_600;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn at(path: &str) -> PathBuf {
    Path::new("tests/accept").join(path)
}

fn accepted() -> Settings {
    load_settings(&at("keywheel-notifiers.yaml")).unwrap()
}

fn named<'s>(settings: &'s Settings, name: &str) -> &'s NotifierSpec {
    settings.notifiers.iter().find(|spec| spec.name == name).unwrap()
}

/// Settings with these lines at their end.
fn with(lines: &str) -> Result<Settings, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keywheel.yaml");
    let begin = "version: 1\nstate: { sqlite: s.db }\nsecrets: { local: { path: s, master_key: { file: k } } }\n";
    std::fs::write(&file, format!("{begin}policies: []\n{lines}\n")).unwrap();
    load_settings(&file)
}

fn codes(problems: &Problems) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn mail() {
    let settings = accepted();
    let secops = named(&settings, "secops");
    let username = Some("keywheel".to_owned());
    assert_eq!(
        secops.channel,
        Channel::Email(Email {
            host: "smtp.example.com".to_owned(),
            port: 2525,
            tls: MailTls::Implicit,
            ca_file: Some(at("ca.pem")),
            login: Some(AdminSource::Env { name: "SMTP_PASSWORD".to_owned(), username }),
            from: "keywheel <keywheel@example.com>".to_owned(),
            to: texts(&["secops@example.com", "\"Müller, Ops\" <ops+keys@example.org>"]),
        })
    );
    assert_eq!((secops.group_wait, secops.group_interval), (Duration::ZERO, seconds(24 * HOUR)));
    let digest = secops.digest.as_ref().unwrap();
    assert_eq!((digest.cron.as_str(), digest.timezone.iana_name()), ("0 8 * * mon", Some("Europe/Berlin")));
    let mail = |name: &str| {
        let Channel::Email(email) = &named(&settings, name).channel else { panic!("{name}") };
        email.clone()
    };
    let relay = mail("relay");
    assert_eq!((relay.host.as_str(), relay.port, relay.tls), ("::1", 25, MailTls::Disable));
    assert_eq!((relay.login, relay.ca_file, relay.to), (None, None, texts(&["root@localhost"])));
    let far = mail("far-relay");
    assert_eq!((far.tls, far.login), (MailTls::Disable, Some(AdminSource::Secret("smtp/keywheel".to_owned()))));
    let submission = mail("submission");
    assert_eq!((submission.port, submission.tls), (587, MailTls::StartTls));
    assert_eq!(submission.login, Some(AdminSource::File { path: at("login.json"), username: None }));
    let implicit = "notifiers: { a: { email: { host: h, tls: implicit, from: a@b, to: [c@d] } } }";
    assert!(
        matches!(&with(implicit).unwrap().notifiers[0].channel, Channel::Email(email) if email.port == 465),
        "the usual port follows `tls`"
    );
}

#[test]
fn webhooks_and_chats() {
    let settings = accepted();
    let env = |name: &str| Reference::Env(name.to_owned());
    let secret = |name: &str, field: &str| Reference::Secret { name: name.to_owned(), field: field.to_owned() };
    let webhook = |url: &str, signed_with: Vec<Reference>, ca_file: Option<PathBuf>| {
        Channel::Webhook(Webhook { url: url.to_owned(), signed_with, ca_file })
    };
    let keys = vec![env("HOOK_KEY"), secret("hooks/next", "key"), Reference::File(at("hook.key"))];
    for (name, channel) in [
        ("pager", webhook("https://hooks.example.com/keywheel", keys, Some("/etc/ca.pem".into()))),
        ("here", webhook("http://localhost:8080/in", vec![secret("hooks/key", "password")], None)),
        ("there", webhook("http://hooks.internal/?queue=7", vec![env("HOOK_KEY")], None)),
        ("chat", Channel::Slack(Chat { url: Reference::File(at("slack.url")), ca_file: Some(at("ca.pem")) })),
        ("room", Channel::Teams(Chat { url: env("TEAMS_URL"), ca_file: None })),
        ("journal", Channel::Log),
    ] {
        assert_eq!(named(&settings, name).channel, channel, "{name}");
    }
    let (room, journal) = (named(&settings, "room"), named(&settings, "journal"));
    assert_eq!((room.group_wait, room.group_interval, &room.digest), (seconds(HOUR), seconds(300), &None));
    assert_eq!((journal.group_wait, journal.group_interval), (seconds(30), Duration::ZERO));
}

#[test]
fn who_is_told_where_a_policy_says_nothing() {
    let all = [NoticeKind::Succeeded, NoticeKind::RolledBack, NoticeKind::Overdue, NoticeKind::Failed];
    let on = all.into_iter().chain([NoticeKind::Parked]).collect();
    assert_eq!(accepted().notify, Notify { to: texts(&["secops", "pager"]), on });
    let usual = Notify::DEFAULT_ON.to_vec();
    // All of them, in the order written.
    let settings = with("notifiers: { pager: { log: {} }, chat: { log: {} }, all: { log: {} } }").unwrap();
    assert_eq!(settings.notify, Notify { to: texts(&["pager", "chat", "all"]), on: usual.clone() });
    let nobody = load_settings(&at("keywheel-nobody-is-told.yaml")).unwrap();
    assert_eq!((nobody.notifiers.len(), nobody.notify), (1, Notify { to: Vec::new(), on: usual.clone() }));
    assert_eq!(with("").unwrap().notify, Notify { to: Vec::new(), on: usual });
}

#[test]
fn what_rests_says_whom_to_tell() {
    let why = "the declaration of `mailer` has mistakes".to_owned();
    let broken = BrokenRotator { why, file: "providers/mailer.yaml".to_owned() };
    let rotators = Rotators::default().with("mailer", || Err(broken));
    let catalogue = Catalogue { rotators, notifiers: texts(&["secops"]), ..Catalogue::default() };
    let text = std::fs::read_to_string("tests/reject/rotator-broken.yaml").unwrap();
    let notify = "notify: { to: [secops], on: [overdue] }\n";
    let loaded = load_text("p.yaml", &format!("{text}{notify}"), &catalogue);
    let told = Notify { to: texts(&["secops"]), on: vec![NoticeKind::Overdue] };
    assert_eq!(loaded.resting[0].notify, Some(told), "{}", loaded.problems.render(false));
    // Where settings are not known, no names are.
    let unknown = load(&[at("notify-by-variable.yaml")], &Catalogue::default());
    assert!(codes(&unknown.problems).contains(&"unknown-notifier"), "{}", unknown.problems.render(false));
}

#[test]
fn there_are_bounds() {
    let notifiers = |count: usize| {
        let lines: String = (0..count).map(|n| format!("  n{n}: {{ log: {{}} }}\n")).collect();
        with(&format!("notifiers:\n{lines}"))
    };
    assert_eq!(notifiers(50).unwrap().notifiers.len(), 50);
    assert_eq!(codes(&notifiers(51).unwrap_err()), ["too-many"]);
    let mailboxes = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("m{n}@example.com")).collect();
        let to = list.join(", ");
        with(&format!("notifiers: {{ a: {{ email: {{ host: h, from: a@b, to: [{to}] }} }} }}"))
    };
    assert!(mailboxes(50).is_ok());
    assert_eq!(codes(&mailboxes(51).unwrap_err()), ["too-many"]);
}

#[test]
fn what_is_checked_is_what_is_used() {
    let webhook = |url: &str| {
        let settings =
            with(&format!("notifiers: {{ a: {{ webhook: {{ url: \"{url}\", signed_with: {{ env: K }} }} }} }}"));
        settings.map(|settings| {
            let Channel::Webhook(webhook) = &settings.notifiers[0].channel else { panic!("{url}") };
            webhook.url.clone()
        })
    };
    // Other spellings of this machine, and hosts that only look like it.
    for (url, used) in [
        ("http://127.1/a", "http://127.0.0.1/a"),
        ("http://[0:0:0:0:0:0:0:1]:80/", "http://[::1]/"),
        ("HTTPS://Hooks.Example.com", "https://hooks.example.com/"),
    ] {
        assert_eq!(webhook(url).unwrap(), used, "{url}");
    }
    for url in ["http://localhost.example.com/", "http://127.0.0.1.example.com/", "http://128.0.0.1/", "http://[::2]/"]
    {
        assert_eq!(codes(&webhook(url).unwrap_err()), ["tls-unverified"], "{url}");
    }
    for url in ["http://localhost@evil.example/", "https://:hunter2@hooks.example.com/", "http:\\\\a:b@localhost"] {
        assert_eq!(codes(&webhook(url).unwrap_err()), ["secret-in-clear"], "{url}");
    }
    let relay = |host: &str| {
        with(&format!("notifiers: {{ a: {{ email: {{ host: \"{host}\", tls: disable, from: a@b, to: [c@d] }} }} }}"))
    };
    for host in ["localhost", "LOCALHOST", "127.0.0.2", "127.1", "::1", "[::1]"] {
        assert!(relay(host).is_ok(), "{host}");
    }
    for (host, code) in [
        ("mail", "tls-unverified"),
        ("localhost.example.com", "tls-unverified"),
        ("::ffff:192.0.2.1", "tls-unverified"),
        ("%6cocalhost", "bad-host"),
        ("localhost:25", "bad-host"),
        ("a b", "bad-host"),
        ("localhost/", "bad-host"),
    ] {
        assert_eq!(codes(&relay(host).unwrap_err()), [code], "{host}");
    }
}

#[test]
fn mailboxes() {
    let from = |mailbox: &str| {
        let mailbox = serde_json::Value::from(mailbox);
        with(&format!("notifiers: {{ a: {{ email: {{ host: h, from: {mailbox}, to: [c@d] }} }} }}"))
    };
    for mailbox in ["a@b", "Ops Team <a@b>", "Dr. Müller <a@b>", "\"Ops, EU\" <a@b>", "o'hara+keys@müller.example"] {
        assert!(from(mailbox).is_ok(), "{mailbox}");
    }
    for mailbox in [
        "a",
        "a@",
        "@b",
        "a@b, c@d",
        "Ops, EU <a@b>",
        "Ops <a@b",
        "a@b>",
        "<a@b>",
        "a <a@b> <c@d>",
        "a@[127.0.0.1]",
        "\"a b\"@c",
        "\u{a0}@b",
        "Ops <\u{a0} a@b>",
        "Ops\r\nBcc: x <a@b>",
        "\"Ops\nX\" <a@b>",
        "O\u{202e}ps <a@b>",
        "Ops: EU <a@b>",
    ] {
        assert_eq!(codes(&from(mailbox).unwrap_err()), ["bad-mailbox"], "{mailbox:?}");
    }
}

#[test]
fn the_examples_in_new_settings_are_right() {
    let text = include_str!("../../engine/cli/cmd/init/keywheel.yaml");
    let is_example = |line: &&str| line.split_whitespace().next().is_some_and(|word| word.ends_with(':'));
    // The first line is for editors.
    let lines = text.lines().skip(1).map(|line| line.strip_prefix("# ").filter(is_example).unwrap_or(line));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keywheel.yaml");
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    // The program of one of the examples.
    std::fs::copy("tests/programs/reload", folder.path().join("reload-orders")).unwrap();
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let settings = load_settings(&file).unwrap();
    assert_eq!(settings.notify.to, texts(&["secops", "chat"]));
    assert_eq!((settings.freezes.len(), settings.consumers.len()), (1, 2));
}
