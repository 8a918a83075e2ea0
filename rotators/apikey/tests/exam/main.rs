//! The exam of rotators, sat by keys of the example service and by values in its slots; and the liars that it must find out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod keyservice;
mod liars;
mod slots;

use std::time::Duration;

use keywheel_keyservice::Options;
use keywheel_plugin::{Confinement, Form, Plugin, PluginRotator, sha256_of};
use keywheel_testkit::built_example;
use keywheel_testkit::exam::{Through, sit};

use crate::keyservice::{DECLARATION, options, rotator, subject, subject_at};

#[tokio::test]
async fn keys_of_the_example_service() {
    let report = sit(&subject("keys of the example service", rotator(DECLARATION)).await).await;
    report.assert_passed();
    assert!(report.passed() >= 31, "too many cases were skipped\n{report}");
}

/// The same rotator as a plugin in a confined process.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_example_service_as_a_plugin() {
    let subject = subject("keys of the example service", rotator(DECLARATION)).await;
    let file = built_example("keywheel-apikey", "keyservice_plugin");
    let plugin = Plugin {
        name: "keyservice".to_owned(),
        form: Form::Executable,
        sha256: sha256_of(&file).unwrap(),
        signature: None,
        host: file.clone(),
        file,
        confinement: Confinement { connect: vec![subject.double().port()], ..Confinement::default() },
    };
    let plugin = PluginRotator::open(plugin).unwrap();
    let report = sit(&Through::new(&subject, plugin, "as a plugin")).await;
    report.assert_passed();
    assert!(report.passed() >= 31, "too many cases were skipped\n{report}");
}

/// Without `disable` a key is deleted at once, and a new one is refused at first.
#[tokio::test]
async fn keys_of_a_service_that_lags_and_cannot_disable() {
    let (before, after) = DECLARATION.split_once("  disable:\n").unwrap();
    let delete = &after[after.find("  delete:\n").unwrap()..];
    let declaration = format!("{before}{delete}\npropagation: 5s\n");
    let lags = Options { propagation: Duration::from_millis(200), ..options() };
    let report = sit(&subject_at("keys of a service that lags", rotator(&declaration), lags).await).await;
    report.assert_passed();
    assert!(report.passed() >= 29, "too many cases were skipped\n{report}");
}
