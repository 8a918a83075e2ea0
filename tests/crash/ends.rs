//! What a SQL Server may answer, and how a whole rotation ends then: a double of its own for each named case.

use std::sync::Arc;
use std::time::Duration;

use keywheel_sqlserver_double::{AvailabilityGroup, Effect, Fault, Message, Options, PasswordPolicy, Secondaries};
use serde_json::json;
use tokio_util::compat::TokioAsyncWriteCompatExt;

use crate::ground::{authority, double, lines};
use crate::house::House;

const FIRST: &str = "First-password-1";

/// A login in place, and what is special about it.
struct Named {
    name: &'static str,
    user: &'static str,
    password_policy: PasswordPolicy,
    /// Further options of CREATE LOGIN.
    options: &'static str,
    /// What happens before the rotation.
    before: &'static str,
    /// How long the server has had the login by then.
    age: Duration,
    /// Another `generate:` than the usual one.
    generate: &'static str,
    check: &'static str,
    fault: fn() -> Option<Fault>,
    /// The outcome that `keywheel rotate` reports.
    end: &'static str,
    /// Part of what it says.
    says: &'static str,
}

impl Default for Named {
    fn default() -> Self {
        Named {
            name: "",
            user: "orders",
            password_policy: PasswordPolicy { lockout_threshold: 3, ..PasswordPolicy::default() },
            options: "",
            before: "",
            age: Duration::ZERO,
            generate: "{ length: 40, require: [lower, upper, digit] }",
            check: "SELECT 1",
            fault: || None,
            end: "done",
            says: "",
        }
    }
}

/// The first change of a login is not made, and this is the answer.
fn refused(number: i32, class: u8) -> Option<Fault> {
    Some(Fault::at_verb("ALTER LOGIN", Effect::FailWith(message(number, class))))
}

/// As SQL Server sends it.
fn message(number: i32, class: u8) -> Message {
    Message { class, ..Message::error(number, "as the double was told") }
}

/// Somebody tries a wrong password.
async fn knock(port: u16, user: &str, password: &str) {
    let mut options = tiberius::Config::new();
    options.encryption(tiberius::EncryptionLevel::Required);
    options.trust_cert_ca(authority().display());
    options.authentication(tiberius::AuthMethod::sql_server(user, password));
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the double listens");
    let refused = tiberius::Client::connect(options, stream.compat_write()).await.err().and_then(|error| error.code());
    assert_eq!(refused, Some(18456));
}

/// `CURRENT` works, whatever came of it, unless a person must act; and it is the only password that does.
async fn run(case: &Named) {
    let server = double(Options { password_policy: case.password_policy.clone(), ..Options::default() });
    let quoted = format!("[{}]", case.user.replace(']', "]]"));
    let create = format!("CREATE LOGIN {quoted} WITH PASSWORD = N'{FIRST}'{}; {}", case.options, case.before);
    server.execute(&create).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    server.advance(case.age);

    let house = House::new();
    house.put("sql/admin", "sa", &Options::default().sa_password);
    let strategy = json!({ "in_place": { "user": case.user, "accept_gap": true } }).to_string();
    let more = format!(
        "schedule: {{ manual: true }}\ngenerate: {}\nverify: [login, {{ sql: {} }}]\n\
         on_failure: {{ attempts: 3, backoff: 1s..1s, then: roll-back }}",
        case.generate, case.check
    );
    house.policy_for("case", &lines(&format!("port: {}", server.port())), &strategy, &more);
    house.put("case", case.user, FIRST);
    if let Some(fault) = (case.fault)() {
        server.faults().arm(fault);
    }
    let output = house.keywheel(&["--output", "json", "rotate", "case", "--wait", "8s"]).output().expect("it runs");
    let out = String::from_utf8_lossy(&output.stdout);
    let ends: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{}: {output:?}", case.name));
    assert_eq!(ends[0]["outcome"], case.end, "{}: {out}", case.name);
    assert!(out.contains(case.says), "{}: {out}", case.name);

    let (mut accepted, mut held) = (Vec::new(), Vec::new());
    for stored in house.versions("case").await {
        let password = stored.bundle.password().expect("a login").expose(str::to_owned);
        if server.accepts(case.user, &password, None) {
            accepted.extend(stored.label);
        }
        held.extend(stored.label);
    }
    let open = case.end == "done" || case.end == "rolled-back";
    assert!(!open || held.len() == 1, "{}: the store holds CURRENT alone: {held:?}", case.name);
    let enabled = !case.before.contains("DISABLE") && case.end != "waiting";
    assert_eq!(accepted.len(), usize::from(enabled), "{}: accepted {accepted:?} of {held:?}", case.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_cases_end_as_they_should() {
    let history = PasswordPolicy { history: 5, ..PasswordPolicy::default() };
    let aged = PasswordPolicy { max_age: Some(Duration::from_secs(86_400)), ..PasswordPolicy::default() };
    for case in [
        Named { name: "nothing special", ..Named::default() },
        Named { name: "a deadlock's victim", fault: || refused(1205, 13), ..Named::default() },
        Named { name: "a lock timeout", fault: || refused(1222, 16), ..Named::default() },
        Named { name: "a value that the policy refuses once", fault: || refused(15118, 16), ..Named::default() },
        Named {
            name: "values that the policy always refuses",
            generate: "{ length: 40, charset: hex }",
            end: "rolled-back",
            says: "15118",
            ..Named::default()
        },
        Named {
            name: "a password of 128 units",
            generate: "{ length: 128, require: [lower, upper, digit] }",
            ..Named::default()
        },
        Named {
            name: "a password of 129 units",
            generate: "{ length: 129, require: [lower, upper, digit] }",
            end: "rolled-back",
            says: "128",
            ..Named::default()
        },
        Named {
            name: "a login that is disabled",
            before: "ALTER LOGIN orders DISABLE",
            end: "rolled-back",
            says: "enable it first",
            ..Named::default()
        },
        Named {
            name: "a password that has expired",
            password_policy: aged.clone(),
            options: ", CHECK_EXPIRATION = ON",
            age: Duration::from_secs(2 * 86_400),
            ..Named::default()
        },
        Named {
            name: "a password that must be changed",
            password_policy: aged,
            options: " MUST_CHANGE, CHECK_EXPIRATION = ON",
            ..Named::default()
        },
        Named {
            name: "a former password that cannot be restored",
            password_policy: history,
            check: "SELECT 1/0",
            end: "parked",
            says: "keeps the candidate",
            ..Named::default()
        },
        Named { name: "an error that ends the session", fault: || refused(64_000, 20), ..Named::default() },
        Named {
            name: "no right, or no such login",
            fault: || Some(Fault::at_verb("ALTER LOGIN", Effect::FailWith(message(15151, 16))).times(9)),
            end: "rolled-back",
            says: "ALTER ANY LOGIN",
            ..Named::default()
        },
        Named { name: "a name that is not plain", user: "we]ird'; DROP LOGIN sa--é🔑", ..Named::default() },
    ] {
        run(&case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_others_lock_out_is_left_alone_until_it_is_open() {
    let policy = PasswordPolicy { lockout_threshold: 3, ..PasswordPolicy::default() };
    let server = double(Options { password_policy: policy, ..Options::default() });
    server.execute(&format!("CREATE LOGIN orders WITH PASSWORD = N'{FIRST}'")).expect("it is new");
    let house = House::new();
    house.put("sql/admin", "sa", &Options::default().sa_password);
    let strategy = "{ in_place: { user: orders, accept_gap: true } }";
    house.policy_for("case", &lines(&format!("port: {}", server.port())), strategy, "schedule: { manual: true }");
    house.put("case", "orders", FIRST);
    for _ in 0..3 {
        knock(server.port(), "orders", "a guess").await;
    }
    assert!(!server.accepts("orders", FIRST, None), "it is locked out");
    let output = house.keywheel(&["rotate", "case", "--wait", "0s"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(6), "it waits: {output:?}");
    let changes = server.heard().iter().filter(|heard| heard.text.contains("WITH PASSWORD")).count();
    assert_eq!(changes, 0, "nothing was changed while it is locked");
    server.advance(Duration::from_secs(3600));
    assert!(server.accepts("orders", FIRST, None), "what applications have works again");
}

/// The primary changes when the last replica has its new password: what is verified then, through the listener, is another
/// instance than the one that was primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_between_apply_and_verify_does_not_matter() {
    let group = AvailabilityGroup::new();
    let replicas = ["SQL1", "SQL2", "SQL3"].map(|name| {
        let password_policy = PasswordPolicy { history: 0, lockout_threshold: 0, ..PasswordPolicy::default() };
        double(Options {
            server_name: name.to_owned(),
            group: Some(group.clone()),
            password_policy,
            ..Options::default()
        })
    });
    let listener = group.listener().expect("a free port");
    group.set_secondaries(Secondaries::Closed);
    for replica in &replicas {
        let create =
            format!("CREATE LOGIN orders WITH PASSWORD = N'{FIRST}', SID = 0x0102030405060708090A0B0C0D0E0F10");
        replica.execute(&create).expect("it is new");
    }
    let database = "CREATE DATABASE shop; ALTER AVAILABILITY GROUP ag ADD DATABASE shop";
    replicas[0].execute(database).expect("the primary has it");
    replicas[0].execute("USE shop; CREATE USER orders FOR LOGIN orders").expect("it is new");

    let house = House::new();
    house.put("sql/admin", "sa", &Options::default().sa_password);
    let addresses: Vec<String> = replicas.iter().map(|replica| format!("\"localhost:{}\"", replica.port())).collect();
    let target = format!("port: {}, database: shop, replicas: [{}]", listener.port(), addresses.join(", "));
    let strategy = "{ in_place: { user: orders, accept_gap: true } }";
    let more = "schedule: { manual: true }\nverify: [login, { sql: SELECT 1 }]";
    house.policy_for("case", &lines(&target), strategy, more);
    house.put("case", "orders", FIRST);
    let moved = group.clone();
    let fail_over = Effect::CallAfter(Arc::new(move || assert!(moved.fail_over_to("SQL2"))));
    let struck = replicas[2].faults().arm(Fault::at_verb("ALTER LOGIN", fail_over));

    let output = house.keywheel(&["rotate", "case", "--wait", "30s"]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((struck.count(), group.primary().as_deref()), (1, Some("SQL2")));
    let versions = house.versions("case").await;
    let password = versions[0].bundle.password().expect("a login").expose(str::to_owned);
    for replica in &replicas {
        assert!(replica.accepts("orders", &password, None) && !replica.accepts("orders", FIRST, None));
    }
    assert!(
        replicas[1].accepts("orders", &password, Some("shop")),
        "its user in the database is the login's there too"
    );
}
