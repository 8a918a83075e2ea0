//! What is written arrives in the model, and what is not written has the documented defaults.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::{Time, date};
use keywheel_policies::{
    AdminSource, Adopt, Backoff, Catalogue, Check, Deadlines, Exhausted, FirstCharacter, Generate, GrantParity,
    Heartbeat, KnownConsumer, Limits, MasterKey, NoticeKind, Notify, OnDeadline, OnDrift, OnFailure, Policy, Revoke,
    RevokeWhen, RotatorSpec, SecretSpec, SecretStore, SettingKind, SettingSpec, SettingsCheck, SettingsOwner, Shape,
    StateStore, Strategy, Trigger, Weekday, Window, load_settings, load_text,
};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn catalogue() -> Catalogue {
    let setting = |name: &str, kind: SettingKind| SettingSpec {
        name: name.to_owned(),
        kind,
        required: name == "host",
        help: String::new(),
        names_target: true,
    };
    let tls = SettingKind::Choice(vec!["disable".to_owned(), "verify-full".to_owned()]);
    let rotator = RotatorSpec {
        kind: "postgres".to_owned(),
        version: "0.3.1".to_owned(),
        file: None,
        shapes: vec![Shape::InPlace, Shape::Alternating, Shape::Overlapping],
        settings: vec![
            setting("host", SettingKind::Text),
            setting("port", SettingKind::Integer { min: 1, max: 65_535 }),
            setting("database", SettingKind::Text),
            setting("tls", tls),
            setting("insecure", SettingKind::Boolean),
            setting("lifetime", SettingKind::Duration),
            setting("permissions", SettingKind::Json),
        ],
        fields: vec!["dsn".to_owned()],
        provider_made: false,
        usage: true,
        last_used: false,
        disable: false,
        self_managed: true,
        check: SettingsCheck::none(),
        owner: SettingsOwner::none(),
    };
    let freezes = load_settings(Path::new("tests/accept/keywheel.yaml")).unwrap().freezes;
    let notifiers = vec!["secops".to_owned(), "pager".to_owned()];
    let consumers =
        ["app-file", "reload-orders", "drain-orders"].map(|name| (name.to_owned(), KnownConsumer::default()));
    let consumers = consumers.into_iter().collect();
    Catalogue { rotators: [rotator].into_iter().collect(), freezes, notifiers, consumers }
}

fn one(name: &str, text: &str) -> Policy {
    let mut loaded = load_text(name, text, &catalogue());
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    assert_eq!(loaded.policies.len(), 1);
    loaded.policies.remove(0)
}

#[test]
fn every_key() {
    let policy = one("fleet/orders.yaml", &std::fs::read_to_string("tests/accept/every-key.yaml").unwrap());
    assert_eq!((policy.name.as_str(), policy.owner.as_deref()), ("orders-db", Some("team-orders")));
    assert_eq!(
        policy.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        ["env=prod", "example.org/tier=gold"]
    );
    assert_eq!(policy.rotator, "postgres");
    assert_eq!(
        (policy.after_promote.join(" "), policy.before_revoke.join(" ")),
        ("app-file reload-orders".to_owned(), "drain-orders".to_owned())
    );
    assert_eq!(
        serde_json::Value::Object(policy.target),
        serde_json::json!({ "host": "::1", "port": 5433, "database": "orders", "tls": "disable", "insecure": false })
    );
    assert_eq!(policy.admin, AdminSource::Secret("pg1/rotator".to_owned()));
    assert_eq!(
        policy.strategy,
        Strategy::Alternating {
            users: ["orders_a".to_owned(), "orders_b".to_owned()],
            grant_parity: GrantParity::Warn,
            create_missing: true
        }
    );
    let fields = ["username", "password", "dsn"].map(str::to_owned).to_vec();
    assert_eq!(policy.secret, SecretSpec { name: "prod/orders/db".to_owned(), fields });
    assert_eq!(policy.adopt, Adopt::Rotate);
    assert!(matches!(policy.schedule.trigger, Trigger::Every(every) if every == seconds(10 * DAY)));
    assert_eq!(policy.schedule.timezone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(
        policy.schedule.window,
        Some(Window {
            days: vec![Weekday::Monday, Weekday::Sunday],
            from: Time::constant(22, 0, 0, 0),
            to: Time::constant(2, 0, 0, 0)
        })
    );
    assert_eq!(policy.schedule.jitter, seconds(20 * 60));
    assert_eq!(policy.schedule.freezes.iter().map(|freeze| freeze.name.as_str()).collect::<Vec<_>>(), ["year-end"]);
    assert_eq!(policy.max_age, Some(seconds(30 * DAY)));
    assert_eq!(
        policy.generate,
        Generate {
            length: 48,
            charset: "custom:abcdefghjkmnpqrstuvwxyz23456789".to_owned(),
            require: vec!["digit".to_owned(), "lower".to_owned()],
            exclude: "q".to_owned(),
            first: FirstCharacter::Letter
        }
    );
    assert_eq!(policy.verify, [Check::Login, Check::Sql("SELECT 1".to_owned())]);
    assert_eq!(
        policy.revoke,
        Revoke {
            after: seconds(DAY),
            when: RevokeWhen::NoSessions,
            deadline: seconds(3 * DAY),
            on_deadline: OnDeadline::Revoke,
            disable_first: None,
            disable: true,
            terminate_sessions: true
        }
    );
    assert_eq!(
        policy.on_failure,
        OnFailure { attempts: 7, backoff: Backoff { min: seconds(1), max: seconds(HOUR) }, then: Exhausted::Park }
    );
    assert_eq!(policy.heartbeat, Some(Heartbeat { every: seconds(6 * HOUR), on_drift: OnDrift::Rotate }));
    assert_eq!(
        policy.notify,
        Some(Notify { to: vec!["pager".to_owned()], on: vec![NoticeKind::Parked, NoticeKind::Succeeded] })
    );
    assert_eq!(policy.file, Path::new("fleet/orders.yaml"));
}

#[test]
fn defaults_in_place() {
    let policy = one("p.yaml", &std::fs::read_to_string("tests/accept/smallest.yaml").unwrap());
    assert_eq!((policy.owner, policy.labels.len(), policy.max_age, policy.notify), (None, 0, None, None));
    assert_eq!(policy.heartbeat, None);
    assert_eq!(policy.secret.fields, ["username", "password"]);
    assert_eq!((policy.admin, policy.adopt), (AdminSource::Own, Adopt::Keep));
    assert!(matches!(policy.schedule.trigger, Trigger::Manual) && policy.schedule.window.is_none());
    assert_eq!((policy.schedule.jitter, policy.schedule.freezes.len()), (Duration::ZERO, 0));
    assert_eq!(
        policy.generate,
        Generate {
            length: 40,
            charset: "uri-safe".to_owned(),
            require: Vec::new(),
            exclude: String::new(),
            first: FirstCharacter::Any
        }
    );
    assert_eq!(policy.verify, [Check::Login]);
    assert_eq!(
        policy.on_failure,
        OnFailure {
            attempts: 5,
            backoff: Backoff { min: seconds(30), max: seconds(15 * 60) },
            then: Exhausted::RollBack
        }
    );
    // Nothing of the old password is left to wait for.
    assert_eq!((policy.revoke.after, policy.revoke.when), (Duration::ZERO, RevokeWhen::Always));
}

#[test]
fn defaults_of_alternating() {
    let policy = one("p.yaml", &std::fs::read_to_string("tests/accept/max-age-to-the-second.yaml").unwrap());
    assert_eq!(
        policy.revoke,
        Revoke {
            after: seconds(DAY),
            when: RevokeWhen::Always,
            deadline: seconds(3 * DAY),
            on_deadline: OnDeadline::Revoke,
            disable_first: None,
            disable: false,
            terminate_sessions: false
        }
    );
    assert!(matches!(
        policy.strategy,
        Strategy::Alternating { grant_parity: GrantParity::Require, create_missing: false, .. }
    ));
}

#[test]
fn the_digest_is_that_of_the_text() {
    let text = std::fs::read_to_string("tests/accept/smallest.yaml").unwrap();
    let (first, second) = (one("a.yaml", &text), one("b.yaml", &text));
    assert_eq!(first.digest, second.digest);
    assert_ne!(first.digest, one("a.yaml", &(text + "# a word more\n")).digest);
}

#[test]
fn rounds_fill_in_names_numbers_and_paths() {
    let text = "version: 1\npolicy: \"db-${n}\"\nrotator: postgres\ntarget: { host: \"${host}\", port: \"${port}\" }\n\
                admin: { file: \"admins/${n}.json\" }\nstrategy: { in_place: { user: \"u${n}\", accept_gap: true } }\n\
                secret: { name: \"db/${n}\" }\nschedule: { every: \"${n}d\" }\n\
                for_each: [{ n: 1, host: a.internal, port: 5433 }, { n: 2, host: b.internal, port: 5434 }]\n";
    let loaded = load_text("fleet/p.yaml", text, &catalogue());
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    let [_, second] = loaded.policies.as_slice() else { panic!("{:?}", loaded.policies) };
    assert_eq!((second.name.as_str(), second.secret.name.as_str()), ("db-2", "db/2"));
    assert_eq!(
        serde_json::Value::Object(second.target.clone()),
        serde_json::json!({ "host": "b.internal", "port": 5434 })
    );
    assert_eq!(second.strategy, Strategy::InPlace { user: "u2".to_owned() });
    assert!(matches!(second.schedule.trigger, Trigger::Every(every) if every == seconds(2 * DAY)));
    // Relative to the policy's folder.
    assert_eq!(second.admin, AdminSource::File { path: PathBuf::from("fleet/admins/2.json"), username: None });
}

#[test]
fn durations_and_json_are_kept_as_they_are_written() {
    let text = "version: 1\npolicy: keys\nrotator: postgres\nadmin: { secret: a }\nstrategy: { in_place: { user: u, accept_gap: true } }\n\
                secret: { name: keys }\nschedule: { every: 9d }\ntarget:\n  host: h\n  lifetime: 2w\n  permissions:\n    \
                - { of: \"${who}\", depth: 2, share: 0.5, deep: [null, true, \"\", -1] }\nfor_each: [{ who: me }]\n";
    let policy = one("keys.yaml", text);
    assert_eq!(
        serde_json::Value::Object(policy.target),
        serde_json::json!({
            "host": "h", "lifetime": "2w",
            "permissions": [{ "of": "me", "depth": 2, "share": 0.5, "deep": [null, true, "", -1] }]
        })
    );
}

#[test]
fn settings() {
    let settings = load_settings(Path::new("tests/accept/keywheel.yaml")).unwrap();
    let at = |path: &str| Path::new("tests/accept").join(path);
    assert_eq!(settings.state, StateStore::Sqlite(at("state/keywheel.db")));
    assert_eq!(
        settings.secrets,
        SecretStore::Local { path: at("state/secrets.db"), master_key: MasterKey::File(at("master.key")) }
    );
    assert_eq!(settings.policies, [at("every-key.yaml"), at("smallest.yaml"), at("../../library")]);
    assert_eq!(settings.providers, [at("api-key.yaml")]);
    assert_eq!(settings.limits, Limits { rotations: 32, per_target: 2 });
    assert_eq!(settings.deadlines, Deadlines { step: seconds(20), lease: seconds(60) });
    let [year_end, release] = settings.freezes.as_slice() else { panic!("{:?}", settings.freezes) };
    // A bare date at the end is the last frozen day; a clock time is the end itself.
    assert_eq!((year_end.from, year_end.to), (date(2026, 12, 20).at(0, 0, 0, 0), date(2027, 1, 6).at(0, 0, 0, 0)));
    assert_eq!((release.from, release.to), (date(2026, 11, 23).at(18, 0, 0, 0), date(2026, 11, 24).at(6, 0, 0, 0)));
    assert_eq!(year_end.timezone.iana_name(), Some("Europe/Berlin"));
    assert_eq!((Limits::default().rotations, Limits::default().per_target), (16, 4));
    assert_eq!(Deadlines::default(), Deadlines { step: seconds(30), lease: seconds(60) });
}
