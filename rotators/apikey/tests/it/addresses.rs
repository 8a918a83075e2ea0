//! Where requests go: the addresses of the declaration, and no others.

use keywheel_sdk::{Answer, Rotator};
use serde_json::json;

use crate::fake::{DECLARATION, Fake, call};

#[tokio::test]
async fn a_request_may_go_to_an_address_of_its_own() {
    let declaration = DECLARATION
        .replace("  user:", "  login: { required: true, help: where keys log in, names_target: true }\n  user:")
        .replace("    path: \"/v1/whoami\"", "    base_url: \"${target.login}\"\n    path: \"/v1/whoami\"");
    let (fake, login) = (Fake::with(&declaration).await, Fake::start().await);
    let key = login.has("live", None);
    let target = fake.target(json!({ "login": login.url }));
    assert_eq!(fake.rotator.probe(&call(&target), &key, &[]).await, Answer::Yes);
    fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap();
    assert_eq!(
        (fake.scene().log.as_slice(), login.scene().log.as_slice()),
        (&["list".to_owned()][..], &["verify".to_owned()][..])
    );

    for (address, part) in [
        ("http://keys.example", "`target.login` is plain http to another machine"),
        ("https://a:b@keys.example", "`target.login` holds a user or password"),
        ("login", "`target.login` is no address"),
    ] {
        let target = fake.target(json!({ "login": address }));
        let message = fake.rotator.check_settings(&target.settings).unwrap_err();
        assert!(message.contains(part), "{message}");
        assert_eq!(fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err().code, "settings");
    }
    assert!(
        fake.rotator
            .check_settings(&fake.target(json!({})).settings)
            .unwrap_err()
            .contains("`target.login` is missing")
    );
}
