//! Mail, through aiosmtpd.

use std::collections::BTreeSet;

use keywheel_testkit::Certificates;
use serde_json::{Value, json};

use super::{Office, nobody, policies_without_target, ran};
use crate::house::House;

const SCHEDULE: &str = "schedule: { manual: true }";
const PASSWORD: &str = "canary-of-the-mail-server";

/// A mail server with a certificate for `localhost`, whose authority is `mail-ca.pem` in the house.
fn office(house: &House, more: Value) -> Option<Office> {
    let certificates = Certificates::for_names(&["localhost"]);
    // Beside the house: it is no secret of ours that is searched for there.
    for (name, text) in [
        ("mail-ca.pem", &certificates.authority),
        ("mail.pem", &certificates.certificate),
        ("mail.key", &certificates.key),
    ] {
        std::fs::write(house.path(name), text).expect("the house is writable");
    }
    let mut options = json!({ "certificate": house.path("mail.pem"), "key": house.path("mail.key") });
    let fields = more.as_object().expect("a map").clone();
    options.as_object_mut().expect("a map").extend(fields);
    Office::start("post_office.py", "aiosmtpd", &options)
}

fn settings(house: &House, port: u16, more: &str) {
    house.settings(&format!(
        "notifiers:\n  secops:\n    email:\n      host: localhost\n      port: {port}\n      ca_file: mail-ca.pem\n      \
         from: \"keywheel <keywheel@example.com>\"\n      to: [one@example.com, \"Two <two@example.com>\"]\n{more}"
    ));
}

const LOGIN: &str = "      login: { secret: smtp/keywheel }\n";

#[test]
fn a_rotation_that_parks_is_told_with_all_that_one_needs() {
    for (tls, line) in [("starttls", ""), ("implicit", "      tls: implicit\n")] {
        let house = House::new();
        let options = json!({ "tls": tls, "user": "keywheel", "password": PASSWORD });
        let Some(office) = office(&house, options) else { return };
        settings(&house, office.port, &format!("{LOGIN}{line}"));
        house.put("smtp/keywheel", "keywheel", PASSWORD);
        policies_without_target(&house, &["orders"], "park", SCHEDULE);
        assert_eq!(ran(&house, &["notify", "send"]).0, 0, "it begins");
        assert_eq!(ran(&house, &["rotate", "orders"]).0, 4);
        let (code, said) = ran(&house, &["notify", "send"]);
        assert_eq!(code, 0, "{said}");
        let mail = office.next();
        let to = json!(["one@example.com", "two@example.com"]);
        assert_eq!((&mail["from"], &mail["to"]), (&json!("keywheel@example.com"), &to), "{tls}");
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("keywheel")), "{tls}");
        let headers = &mail["headers"];
        assert_eq!(headers["subject"], "[keywheel] parked: orders");
        assert_eq!(headers["to"], "one@example.com, Two <two@example.com>");
        assert_eq!(headers["auto-submitted"], "auto-generated");
        let rotation = house.json(&["show", "latest:orders"])["rotation"].as_str().expect("an id").to_owned();
        for thread in ["in-reply-to", "references"] {
            assert_eq!(headers[thread], format!("<{rotation}@example.com>"));
        }
        let text = mail["text"].as_str().expect("plain text");
        assert_eq!(text.lines().next(), Some("PARKED: orders (policy orders), at apply"), "{text}");
        assert!(text.contains(&format!("`keywheel show {rotation}`")), "{text}");
        assert!(text.contains("`keywheel resume orders`"), "{text}");
        assert!(mail["html"].as_str().expect("HTML").contains("<b>PARKED: orders (policy orders), at apply</b>"));

        // What follows stands in the same thread, and nothing is told twice.
        assert_eq!(ran(&house, &["rollback", "orders"]).0, 0);
        assert_eq!(ran(&house, &["notify", "send"]).0, 0);
        let next = office.next();
        assert_eq!(next["headers"]["subject"], "[keywheel] rolled back: orders");
        assert_eq!(next["headers"]["references"], mail["headers"]["references"]);
        assert_ne!(next["headers"]["message-id"], mail["headers"]["message-id"]);
        assert_eq!(ran(&house, &["notify", "send"]).0, 0);
        assert!(office.all().is_empty());
        let values = BTreeSet::from([PASSWORD.to_owned(), "first-password-of-orders".to_owned()]);
        house.search(&values, &format!("{mail}{said}"));
    }
}

#[test]
fn the_daemon_tells_and_a_failure_of_many_is_one_mail() {
    let house = House::new();
    let Some(office) = office(&house, json!({ "tls": "starttls" })) else { return };
    settings(&house, office.port, "    group_wait: 2s\n");
    let names: Vec<String> = (0..30).map(|n| format!("app_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    policies_without_target(&house, &names, "roll-back", SCHEDULE);
    assert_eq!(ran(&house, &["notify", "send"]).0, 0, "it begins");
    for chunk in names.chunks(10) {
        assert_eq!(ran(&house, &[&["rotate"], chunk].concat()).0, 3);
    }
    let daemon = house.daemon("keywheel=info", None);
    let mail = office.next();
    assert_eq!(mail["headers"]["subject"], "[keywheel] 30 rolled back");
    assert_eq!(mail["headers"]["references"], Value::Null, "of no one rotation");
    assert_eq!(mail["text"].as_str().expect("text").matches("ROLLED BACK: app_").count(), 30);
    daemon.stop();
    assert!(office.all().is_empty());
}

#[test]
fn a_mail_server_that_was_away_gets_all_of_it() {
    let house = House::new();
    let port = nobody();
    settings(&house, port, "    group_wait: 0s\n    group_interval: 0s\n");
    // Only for its certificates, and to see whether there is a Python for it.
    let Some(elsewhere) = office(&house, json!({ "tls": "starttls" })) else { return };
    policies_without_target(&house, &["orders", "lager"], "roll-back", SCHEDULE);
    assert_eq!(ran(&house, &["notify", "send"]).0, 0, "it begins");
    assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
    let mut daemon = house.daemon("keywheel=info", None);
    daemon.until(&["a message was not taken; will try again"]);
    assert_eq!(ran(&house, &["rotate", "lager"]).0, 3);
    let listed = &house.json(&["notify", "list"])[0];
    assert!(listed["trouble"].as_str().expect("it is said").contains("refused"), "{listed}");
    assert_eq!((&listed["waiting"], &listed["given_up"], &listed["sent_at"]), (&json!(2), &json!(0), &Value::Null));

    let options = json!({
        "tls": "starttls", "port": port, "certificate": house.path("mail.pem"), "key": house.path("mail.key"),
    });
    let office = Office::start("post_office.py", "aiosmtpd", &options).expect("as before");
    // Beside the daemon, which waits for its next try.
    assert_eq!(ran(&house, &["notify", "send"]).0, 0);
    assert_eq!(office.next()["headers"]["subject"], "[keywheel] 2 rolled back");
    let listed = &house.json(&["notify", "list"])[0];
    assert_eq!((&listed["trouble"], &listed["waiting"]), (&Value::Null, &json!(0)));
    daemon.stop();
    assert!(office.all().is_empty() && elsewhere.all().is_empty());
}

#[test]
fn who_has_a_mail_does_not_get_it_again_and_who_is_unknown_holds_up_nobody() {
    for (refused, code) in [("451", 6), ("550", 0)] {
        let house = House::new();
        let options =
            json!({ "tls": "starttls", "refused": "one@example.com", "refusal": format!("{refused} not here") });
        let Some(office) = office(&house, options) else { return };
        settings(&house, office.port, "");
        policies_without_target(&house, &["orders"], "roll-back", SCHEDULE);
        ran(&house, &["notify", "send"]);
        assert_eq!(ran(&house, &["rotate", "orders"]).0, 3);
        for _ in 0..2 {
            assert_eq!(ran(&house, &["notify", "send"]).0, code, "{refused}");
        }
        let trouble = house.json(&["notify", "list"])[0]["trouble"].as_str().unwrap_or_default().to_owned();
        assert!(trouble.starts_with("one@example.com: ") && trouble.contains(refused), "{trouble}");
        let taken: Vec<Value> = office.all().into_iter().map(|mail| mail["to"].clone()).collect();
        assert_eq!(taken, [json!(["two@example.com"])], "{refused}, by processes that know it from the file");
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_goes_out_in_clear() {
    let house = House::new();
    house.put("smtp/keywheel", "keywheel", "another-canary-password");
    let login = json!({ "tls": "starttls", "user": "keywheel", "password": PASSWORD });
    let mut said = String::new();
    for (options, more, wanted) in [
        (json!({ "tls": "none" }), "", "starttls"),
        (json!({ "tls": "none" }), "      tls: implicit\n", "corrupt"),
        (login, LOGIN, "535"),
        (json!({ "tls": "starttls" }), "      login: { secret: smtp/nobody }\n", "has no CURRENT"),
        (json!({ "tls": "starttls", "refused": "one@example.com" }), "", "one@example.com: "),
    ] {
        let Some(office) = office(&house, options.clone()) else { return };
        settings(&house, office.port, more);
        let (code, words) = ran(&house, &["notify", "test", "secops"]);
        assert_eq!(code, 7, "{options}: {words}");
        assert!(words.to_lowercase().contains(&wanted.to_lowercase()), "{options}: {words}");
        said.push_str(&words);
        // The server's no to one is none to the other.
        let taken: Vec<Value> = office.all().into_iter().map(|mail| mail["to"].clone()).collect();
        let two = json!(["two@example.com"]);
        assert_eq!(taken, if options["refused"].is_string() { vec![two] } else { vec![] }, "{options}");
    }
    // Another authority's certificate, in the same house.
    let Some(office) = office(&house, json!({ "tls": "starttls" })) else { return };
    std::fs::write(house.path("mail-ca.pem"), Certificates::for_names(&["localhost"]).authority).expect("writable");
    settings(&house, office.port, "");
    let (code, words) = ran(&house, &["notify", "test"]);
    assert!(code == 7 && words.to_lowercase().contains("certificate"), "{words}");
    assert!(office.all().is_empty());
    house.search(&BTreeSet::from([PASSWORD.to_owned(), "another-canary-password".to_owned()]), &said);
}
