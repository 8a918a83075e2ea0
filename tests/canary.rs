//! S6: a secret's value is in the encrypted store and on the wire, and nowhere else.

use std::collections::BTreeSet;

use postgres_protocol::password::scram_sha_256;

use crate::house::{House, server};

/// What the tests' admin and roles begin with: looked for like every password made on the way.
const FIRST: &str = "Canary-of-the-1st-password";

/// Every password that any version of these secrets holds now.
async fn passwords(house: &House, secrets: &[&str], seen: &mut BTreeSet<String>) {
    for secret in secrets {
        for stored in house.versions(secret).await {
            seen.insert(stored.bundle.password().expect("a login").expose(str::to_owned));
        }
    }
}

/// Rotates `bird` in place and `bird_a` alternating, to the end and back, with all that people may ask meanwhile. Then searches
/// everything that was written and said for each password there was.
async fn rotate_and_search(
    house: &House,
    lines: &str,
    mut seen: BTreeSet<String>,
    log_of_server: impl AsyncFn() -> String,
) {
    let manual = "schedule: { manual: true }";
    let in_place = "{ in_place: { user: bird, accept_gap: true } }";
    let strategy = "{ alternating: { users: [bird_a, bird_b], grant_parity: require } }";
    house.policy_for("canary-in-place", lines, in_place, manual);
    house.policy_for("canary-alternating", lines, strategy, &format!("{manual}\nrevoke: {{ after: 0s }}"));
    let secrets = ["canary-in-place", "canary-alternating"];
    house.put(secrets[0], "bird", FIRST);
    house.put(secrets[1], "bird_a", FIRST);

    let mut said = String::new();
    seen.insert(FIRST.to_owned());
    let mut say = |arguments: &[&str]| {
        let output = house.keywheel(arguments).output().expect("the binary runs");
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    };
    for format in ["human", "json"] {
        say(&["--log", "trace", "--log-format", format, "rotate", secrets[0], secrets[1]]);
        passwords(house, &secrets, &mut seen).await;
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
    house.policy_for("canary-in-place", lines, in_place, &broken);
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
    passwords(house, &secrets, &mut seen).await;
    said.push_str(&log_of_server().await);

    assert!(seen.len() >= 4, "several passwords were made: {}", seen.len());
    assert!(said.len() > 10_000, "there is something to search: {} bytes", said.len());
    house.search(&seen, &said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_value_anywhere() {
    let house = House::new();
    // The roles begin with a verifier, so that not even the test's own statements bring a password into the server's log.
    for (role, password) in [("bird", true), ("bird_a", true), ("bird_b", false)] {
        let password = if password { format!("PASSWORD '{}'", scram_sha_256(FIRST.as_bytes())) } else { String::new() };
        server().sql(&format!("CREATE ROLE {role} LOGIN {password}")).await;
    }
    let port = server().port();
    let lines = format!(
        "rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {port}, database: postgres, tls: disable }}\n\
         admin: {{ secret: pg/admin }}"
    );
    rotate_and_search(&house, &lines, BTreeSet::new(), async || server().log().await).await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_value_of_sqlserver_anywhere() {
    use crate::ground::Ground;
    for ground in [Ground::SqlServer, Ground::Contained, Ground::Group] {
        let house = House::new();
        ground.admit(&house);
        for (account, password) in [("bird", Some(FIRST)), ("bird_a", Some(FIRST)), ("bird_b", None)] {
            ground.create(account, password).await;
        }
        let admins = house.versions("sql/admin").await;
        let seen =
            admins.iter().map(|stored| stored.bundle.password().expect("a login").expose(str::to_owned)).collect();
        // The double has no log.
        rotate_and_search(&house, &ground.lines(None), seen, async || String::new()).await;
        ground.check_lines();
        for account in ["bird", "bird_a", "bird_b"] {
            ground.remove(account).await;
        }
    }
}
