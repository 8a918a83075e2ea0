//! Settings and policies change under a daemon: it follows, keeps the last good ones, and never revokes what is no longer named.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::house::{Daemon, House, server};

const DUE: &str = "adopt: rotate\nschedule: { every: 30d }";

async fn role(house: &House, name: &str) {
    server().sql(&format!("CREATE ROLE {name} LOGIN")).await;
    house.policy(name, server().port(), &format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}"), DUE);
}

/// Waits until a rotation of this secret is done.
fn until_done(daemon: &mut Daemon, secret: &str) {
    loop {
        let seen = daemon.until(&["done"]);
        let spans = seen.last().expect("one at least")["spans"].as_array().expect("of a rotation").clone();
        if spans.iter().any(|span| span["secret"] == secret) {
            return;
        }
    }
}

fn last(seen: &[Value]) -> &Value {
    &seen.last().expect("one at least")["fields"]
}

async fn accepts(house: &House, name: &str) -> bool {
    let password = house.run(&["secret", "get", name, "--field", "password"]);
    server().accepts(name, password.trim_end()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_follows_its_files() {
    let house = House::new();
    role(&house, "followed_a").await;
    let mut daemon = house.daemon("keywheel=info", None);
    until_done(&mut daemon, "followed_a");

    // A new one is begun with by itself.
    role(&house, "followed_b").await;
    let seen = daemon.until(&["read again"]);
    assert_eq!((&last(&seen)["policies"], &last(&seen)["added"]), (&2.into(), &1.into()));
    until_done(&mut daemon, "followed_b");

    // A broken one changes nothing, and says where it is broken.
    let file = house.path("policies").join("followed_b.yaml");
    let good = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, good.replace("adopt: rotate", "adobt: rotate")).expect("the house is writable");
    let seen = daemon.until(&["settings and policies were not read again"]);
    let mistake = seen.iter().find(|entry| entry["fields"]["code"] == "unknown-key").expect("it is told");
    assert_eq!(mistake["fields"]["line"], 8);
    assert!(mistake["fields"]["file"].as_str().expect("a file").ends_with("followed_b.yaml"), "{mistake}");
    assert_eq!(house.json(&["history", "followed_b"]).as_array().expect("a list").len(), 1);

    // Put back as editors do it: another file takes its place.
    let beside = house.path("policies").join(".followed_b.yaml.swp");
    std::fs::write(&beside, format!("{good}max_age: 60d\n")).expect("the house is writable");
    std::fs::rename(&beside, &file).expect("the house is writable");
    let seen = daemon.until(&["read again"]);
    assert_eq!((&last(&seen)["policies"], &last(&seen)["changed"]), (&2.into(), &1.into()));

    // What is not named any more is left as it is.
    std::fs::remove_file(&file).expect("the house is writable");
    let seen = daemon.until(&["read again"]);
    let gone = seen.iter().find(|entry| entry["fields"]["policy"] == "followed_b").expect("it is told");
    assert!(gone["fields"]["message"].as_str().expect("text").starts_with("not managed any more"), "{gone}");
    assert!(accepts(&house, "followed_b").await && accepts(&house, "followed_a").await);

    // Other stores need a start.
    let settings = house.path("keywheel.yaml");
    let text = std::fs::read_to_string(&settings).expect("it is there");
    std::fs::write(&settings, text.replace("state.db", "other.db")).expect("the house is writable");
    let seen = daemon.until(&["settings and policies were not read again"]);
    assert!(last(&seen)["error"].as_str().expect("text").contains("other stores"), "{seen:?}");
    std::fs::write(&settings, text).expect("the house is writable");
    daemon.until(&["read again"]);
    daemon.stop();
    assert!(!Path::new(&house.path("other.db")).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_told_to_reads_again() {
    let house = House::new();
    let mut daemon = house.daemon("keywheel=info", None);
    daemon.until(&["ready"]);
    let id = Pid::from_raw(daemon.id().cast_signed()).expect("a process");
    kill_process(id, Signal::HUP).expect("it runs");
    let seen = daemon.until(&["read again"]);
    assert_eq!(last(&seen)["policies"], 0);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifiers_and_consumers_are_read_again_too() {
    let house = House::new();
    role(&house, "retold").await;
    let mut daemon = house.daemon("keywheel=info", None);
    until_done(&mut daemon, "retold");
    house.settings("notifiers: { journal: { log: {}, group_wait: 0s } }\nnotify: { to: [journal], on: [succeeded] }\n");
    daemon.until(&["read again"]);
    house.run(&["rotate", "retold"]);
    let seen = daemon.until(&["rotated; the previous credential is refused"]);
    assert_eq!(last(&seen)["kind"], "succeeded");
    daemon.stop();
}
