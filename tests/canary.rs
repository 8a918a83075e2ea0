//! S6: a secret's value is in the encrypted store and on the wire, and nowhere else.

use std::collections::BTreeSet;

use postgres_protocol::password::scram_sha_256;

use crate::house::{House, server};

/// What the tests' admin and roles begin with: looked for like every password made on the way.
const FIRST: &str = "canary-of-the-first-password";

/// Every password that any version of these secrets holds now.
async fn passwords(house: &House, secrets: &[&str], seen: &mut BTreeSet<String>) {
    for secret in secrets {
        for stored in house.versions(secret).await {
            seen.insert(stored.bundle.password().expect("a login").expose(str::to_owned));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_value_anywhere() {
    let house = House::new();
    // The roles begin with a verifier, so that not even the test's own statements bring a password into the server's log.
    for (role, password) in [("canary", true), ("canary_a", true), ("canary_b", false)] {
        let password = if password { format!("PASSWORD '{}'", scram_sha_256(FIRST.as_bytes())) } else { String::new() };
        server().sql(&format!("CREATE ROLE {role} LOGIN {password}")).await;
    }
    let port = server().port();
    let manual = "schedule: { manual: true }";
    house.policy("canary-in-place", port, "{ in_place: { user: canary, accept_gap: true } }", manual);
    let strategy = "{ alternating: { users: [canary_a, canary_b], grant_parity: require } }";
    house.policy("canary-alternating", port, strategy, &format!("{manual}\nrevoke: {{ after: 0s }}"));
    let failing = "{ in_place: { user: canary, accept_gap: true } }";
    let secrets = ["canary-in-place", "canary-alternating"];
    house.put(secrets[0], "canary", FIRST);
    house.put(secrets[1], "canary_a", FIRST);

    let (mut said, mut seen) = (String::new(), BTreeSet::from([FIRST.to_owned()]));
    let mut say = |arguments: &[&str]| {
        let output = house.keywheel(arguments).output().expect("the binary runs");
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    };
    for format in ["human", "json"] {
        say(&["--log", "trace", "--log-format", format, "rotate", secrets[0], secrets[1]]);
        passwords(&house, &secrets, &mut seen).await;
    }
    for arguments in [
        &["validate"] as &[&str],
        &["doctor"],
        &["status"],
        &["history"],
        &["show", "latest:canary-in-place"],
        &["plan", "--until", "90d"],
        &["secret", "list"],
        &["secret", "versions", "canary-in-place"],
        &["rotate", "--dry-run", "canary-alternating"],
    ] {
        say(&[&["--log", "trace"], arguments].concat());
        say(&[&["--log", "trace", "--output", "json"], arguments].concat());
    }

    // A rotation that fails after apply, so that errors, roll back and their records are searched too.
    let broken =
        format!("{manual}\nverify: [login, {{ sql: \"SELECT 1/0\" }}]\non_failure: {{ attempts: 1, backoff: 1s..1s }}");
    house.policy("canary-in-place", port, failing, &broken);
    house.run(&["rotate", "--detach", secrets[0]]);
    let mut daemon = house.daemon("trace", None);
    let mut log = daemon.until(&["rolled back"]);
    let pid = daemon.id();
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        said.push_str(&String::from_utf8_lossy(&bytes));
    }
    log.extend(daemon.stop());
    said.extend(log.iter().map(ToString::to_string));
    passwords(&house, &secrets, &mut seen).await;
    said.push_str(&server().log().await);

    assert!(seen.len() >= 4, "several passwords were made: {}", seen.len());
    assert!(said.len() > 10_000, "there is something to search: {} bytes", said.len());
    house.search(&seen, &said);
}
