//! SIGKILL at each point of telling: nobody misses anything, and who hears of it twice can know.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::json;

use super::{Office, policies_without_target, ran};
use crate::house::{House, say};

#[test]
fn killed_at_every_point_of_telling() {
    let mut repeated = 0;
    let points = ["outbox/sending/before", "outbox/sending/after", "outbox/sent/before", "outbox/sent/after"];
    for point in points {
        let house = House::new();
        let Some(receiver) = Office::start("receiver.py", "http.server", &json!({})) else { return };
        let url = format!("http://127.0.0.1:{}/", receiver.port);
        house.settings(&format!(
            "notifiers:\n  pager: {{ webhook: {{ url: \"{url}\", signed_with: {{ file: k }} }} }}\n"
        ));
        std::fs::write(house.path("k"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("the house is writable");
        policies_without_target(&house, &["orders"], "roll-back", "schedule: { manual: true }");
        house.run(&["notify", "send"]);
        assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
        let mut command = house.keywheel(&["notify", "send"]);
        let status = command.env("FAILPOINTS", format!("{point}=return")).stdin(Stdio::null()).status();
        assert_eq!(status.expect("the binary runs").signal(), Some(9), "{point} is passed");
        // What happens now is another message.
        assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
        assert_eq!(ran(&house, &["notify", "send"]).0, 0, "{point}");
        let requests = receiver.all();
        let ids: BTreeSet<String> = requests.iter().map(|one| one["headers"]["webhook-id"].to_string()).collect();
        let mut seen = BTreeSet::new();
        let first = requests.iter().filter(|one| seen.insert(one["headers"]["webhook-id"].to_string()));
        let notices = first.flat_map(|one| one["body"]["data"]["notices"].as_array().expect("a list"));
        let told: Vec<String> = notices.map(|notice| notice["id"].to_string()).collect();
        assert_eq!(told.len(), 2, "{point}: {requests:?}");
        assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), 2, "{point}: each once, repeated messages aside");
        repeated += requests.len() - ids.len();
    }
    say(&format!("telling: killed at {} points, {repeated} messages repeated, none lost", points.len()));
    assert_eq!(repeated, 1, "only who was killed between being taken and writing that down repeats it");
}
