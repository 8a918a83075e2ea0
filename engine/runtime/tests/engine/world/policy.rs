//! The policies that the bank is rotated by.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use keywheel_policies as policies;

/// A policy for the bank.
pub fn policy(strategy: policies::Strategy) -> policies::Policy {
    policies::Policy {
        name: "test".into(),
        owner: None,
        labels: BTreeMap::new(),
        rotator: "bank".into(),
        rotator_version: "1.0.0".into(),
        target: serde_json::Map::new(),
        admin: policies::AdminSource::Own,
        strategy,
        secret: policies::SecretSpec { name: "app/db".into(), fields: vec!["username".into(), "password".into()] },
        adopt: policies::Adopt::Keep,
        schedule: policies::Schedule {
            trigger: policies::Trigger::Every(Duration::from_secs(30 * 86_400)),
            timezone: TimeZone::UTC,
            window: None,
            before_expiry: None,
            jitter: Duration::ZERO,
            freezes: Vec::new(),
        },
        max_age: None,
        generate: policies::Generate {
            length: 40,
            charset: "uri-safe".into(),
            require: Vec::new(),
            exclude: String::new(),
            first: policies::FirstCharacter::Any,
        },
        verify: vec![policies::Check::Login],
        revoke: policies::Revoke {
            after: Duration::ZERO,
            when: policies::RevokeWhen::Always,
            deadline: Duration::from_secs(3600),
            on_deadline: policies::OnDeadline::Revoke,
            disable_first: None,
            disable: false,
            terminate_sessions: false,
        },
        on_failure: policies::OnFailure {
            attempts: 3,
            backoff: policies::Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) },
            then: policies::Exhausted::RollBack,
        },
        after_promote: Vec::new(),
        before_revoke: Vec::new(),
        heartbeat: None,
        notify: None,
        file: PathBuf::from("test.yaml"),
        digest: "0".repeat(64),
    }
}

pub fn in_place() -> policies::Policy {
    policy(policies::Strategy::InPlace { user: "app".into() })
}

/// For a bank that makes the accounts itself.
pub fn overlapping() -> policies::Policy {
    let admin = policies::AdminSource::Env { name: "ADMIN".into(), username: Some("admin".into()) };
    policies::Policy { admin, ..policy(policies::Strategy::Overlapping) }
}

pub fn alternating() -> policies::Policy {
    policy(policies::Strategy::Alternating {
        users: ["app_a".into(), "app_b".into()],
        grant_parity: policies::GrantParity::Require,
        create_missing: false,
    })
}
