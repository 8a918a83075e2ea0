//! The examples that the vendors' documents give for their answers are read as the declaration says. Where a new key of theirs has
//! ended by now, ours ends in 2099.

use keywheel_sdk::Rotator;
use serde_json::Value;

use crate::case::Case;
use crate::double::{Double, Fault, ROTATION};

/// The tag that stands in an example for the new key's name, where the vendor keeps tags as they are.
pub fn tag() -> String {
    format!("keywheel:{ROTATION}")
}

/// `created` is answered to `create`, `list` to `list` (which then shows the new key). The key that is read from them has this id
/// and value, and the list has so many keys.
pub async fn made(case: &'static Case, status: u16, created: &Value, list: &Value, key: (&str, &str), listed: usize) {
    made_over_pages(case, status, created, std::slice::from_ref(list), key, listed).await;
}

/// The same where a list ends with another page.
pub async fn made_over_pages(
    case: &'static Case,
    status: u16,
    created: &Value,
    pages: &[Value],
    key: (&str, &str),
    listed: usize,
) {
    let double = Double::start(case).await;
    let list = || {
        for page in pages {
            double.fault("list", Fault::Instead(200, &[("content-type", "application/json")], page.to_string()));
        }
    };
    double.fault("create", Fault::Instead(status, &[("content-type", "application/json")], created.to_string()));
    list();
    let candidate = double.rotator.generate(&double.call(), None).await.unwrap();
    for (field, value) in [("key_id", key.0), (case.field, key.1)] {
        assert!(candidate.get(field).unwrap().expose(|text| text == value), "`{field}` is not as in the document");
    }
    list();
    let findings = double.rotator.preflight(&double.call(), None).await.unwrap();
    let seen = format!("the admin sees {listed} keys, {} of them made by rotations", usize::from(!case.exclusive));
    assert_eq!(findings[0].what, seen);
    if double.rotator.describe().capabilities.last_used {
        list();
        double.rotator.last_used(&double.call(), &candidate).await.unwrap();
    }
    double.was_asked_rightly();
}
