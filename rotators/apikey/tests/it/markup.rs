//! A provider that answers in XML only, with signed requests in queries and keys without names.

use std::time::{Duration, SystemTime};

use keywheel_sdk::{Admin, Answer, Bundle, Effect, Retry, RevokeHow, Rotator, Secret, Target};
use serde_json::json;

use crate::fake::{ADMIN, Fake, Fault, call, id};

/// In the manner of Amazon's IAM.
const DECLARATION: &str = r#"
version: 1
provider: markup
about: A provider that answers in XML.
base_url: "${target.url}"
settings:
  url: { required: true, names_target: true, help: where it is }
  user: { required: true, names_target: true, help: whose keys }
auth: { sigv4: { access_key_id: "${admin.username}", secret_access_key: "${admin.password}", region: eu-1, service: keys } }
answers: xml
fields: [key_id, key]
exclusive: true
requests:
  create:
    method: POST
    path: /xml
    form: { Action: Create, UserName: "${target.user}" }
    expect: [200]
    quota: [409]
    quota_if: "$.Error[?@.Code[0] == 'LimitExceeded']"
    extract: { key_id: "$.CreateResult[0].AccessKey[0].Id[0]", key: "$.CreateResult[0].AccessKey[0].Secret[0]" }
  list:
    method: GET
    path: /xml
    query: { Action: List, UserName: "${target.user}" }
    expect: [200]
    items: "$.ListResult[0].Keys[0].member[*]"
    each: { key_id: "$.Id[0]" }
    next: { cursor: "$.ListResult[0].Marker[0]", parameter: Marker, more: "$.ListResult[0].IsTruncated[0]" }
  verify:
    method: GET
    path: /v1/whoami
    auth: { bearer: "${key.key}" }
    expect: [200]
    refused: [403]
    refused_if: "$.Error[?@.Code[0] == 'SignatureDoesNotMatch' || @.Code[0] == 'InvalidClientTokenId']"
    holds: "$.CallerResult[0].Arn[0]"
  delete:
    method: POST
    path: /xml
    form: { Action: Delete, Id: "${key.key_id}" }
    expect: [200]
    gone: [404]
    gone_if: "$.Error[?@.Code[0] == 'NoSuchEntity']"
  last_used:
    method: POST
    path: /xml
    form: { Action: LastUsed, Id: "${key.key_id}" }
    expect: [200]
    at: "$.LastUsedResult[0].Used[0].Date[0]"
    never: "$.LastUsedResult[0].Used[?@.By[0] == 'N/A']"
"#;

const NO_KEYS: &str = "<List><ListResult><Keys/><IsTruncated>false</IsTruncated></ListResult></List>";

fn target(fake: &Fake) -> Target {
    let mut target = fake.target(json!({ "user": "me", "exclusive": true }));
    target.admin = Admin::Credential(Bundle::login("AKID", Secret::new(ADMIN.to_owned())));
    target
}

fn page(ids: &[&str], more: Option<&str>) -> Fault {
    let members: String = ids.iter().map(|id| format!("<member><Id>{id}</Id></member>")).collect();
    let marker = more.map(|marker| format!("<Marker>{marker}</Marker>")).unwrap_or_default();
    let truncated = more.is_some();
    Fault::Instead(
        200,
        &[],
        format!(
            "<List xmlns=\"https://x\"><ListResult><Keys>{members}</Keys><IsTruncated>{truncated}</IsTruncated>{marker}</ListResult></List>"
        ),
    )
}

fn xml(status: u16, body: &str) -> Fault {
    Fault::Instead(status, &[], body.to_owned())
}

fn error(status: u16, code: &str) -> Fault {
    xml(status, &format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"))
}

const CALLER: &str = "<Caller><CallerResult><Arn>arn:me</Arn></CallerResult></Caller>";

#[tokio::test]
async fn a_key_is_made_verified_and_ended() {
    let fake = Fake::with(DECLARATION).await;
    let target = target(&fake);
    let call = call(&target);
    fake.fault("xml", xml(200, NO_KEYS));
    fake.rotator.sweep(&call, &[], &[]).await.unwrap();
    let made = "<Create><CreateResult><AccessKey><Id>AK1</Id><Secret>canary+/=&amp;</Secret></AccessKey></CreateResult></Create>";
    fake.fault("xml", xml(200, made));
    fake.fault("xml", page(&["AK0"], Some("m&amp;1")));
    fake.fault("xml", page(&["AK1"], None));
    let key = fake.rotator.generate(&call, None).await.unwrap();
    assert_eq!((id(&key).as_str(), key.get("key").unwrap().expose(str::to_owned).as_str()), ("AK1", "canary+/=&"));
    assert!(fake.scene().queries.iter().any(|query| query.contains("Marker=m%261")), "{:?}", fake.scene().queries);

    fake.fault("verify", xml(200, CALLER));
    fake.fault("verify", error(403, "SignatureDoesNotMatch"));
    fake.rotator.apply(&call, &key, None).await.unwrap();
    fake.fault("verify", xml(200, CALLER));
    fake.fault("xml", xml(200, "<Delete/>"));
    fake.fault("verify", error(403, "InvalidClientTokenId"));
    let previous =
        Bundle::new().with("key_id", Secret::new("AK0".to_owned())).with("key", Secret::new("old".to_owned()));
    let how = RevokeHow { disable: false, terminate_sessions: false };
    fake.rotator.revoke(&call, &previous, &key, how).await.unwrap();
    fake.fault("verify", xml(200, CALLER));
    fake.fault("xml", error(404, "NoSuchEntity"));
    fake.fault("verify", error(403, "InvalidClientTokenId"));
    fake.rotator.revoke(&call, &previous, &key, how).await.unwrap();
    assert_eq!(fake.scene().faults.values().map(|left| left.len()).sum::<usize>(), 0);
}

#[tokio::test]
async fn only_what_xml_says_is_an_answer() {
    let fake = Fake::with(DECLARATION).await;
    let target = target(&fake);
    let call = call(&target);
    let key = fake.has("live", None);
    for (fault, expected) in [
        (error(403, "AccessDenied"), "unknown"),
        (error(403, "InvalidClientTokenId"), "no"),
        (xml(403, "{}"), "unknown"),
        (xml(200, "{}"), "unknown"),
        (xml(200, "<Caller/>"), "unknown"),
        (xml(200, CALLER), "yes"),
    ] {
        fake.fault("verify", fault);
        let answer = match fake.rotator.probe(&call, &key, &[]).await {
            Answer::Yes => "yes",
            Answer::No { .. } => "no",
            Answer::Partly { .. } => "partly",
            Answer::Unknown(_) => "unknown",
        };
        assert_eq!(answer, expected);
    }
    let (otherwise, unreadable) = ((Retry::Never, "unexpected-answer"), (Retry::Now, "no-answer"));
    for (body, (retry, code)) in [
        ("<List><ListResult/></List>", otherwise),
        ("<List/>", otherwise),
        ("{}", unreadable),
        ("", unreadable),
        ("<List><ListResult><Keys>", unreadable),
        ("<List><ListResult><Keys><other>1</other></Keys></ListResult></List>", otherwise),
    ] {
        fake.fault("xml", xml(200, body));
        let error = fake.rotator.sweep(&call, &[], &[]).await.unwrap_err();
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, retry, code), "{body}");
    }
    fake.fault("xml", error(409, "LimitExceeded"));
    assert_eq!(fake.rotator.generate(&call, None).await.err().unwrap().code, "quota");
    fake.fault("xml", error(409, "EntityTemporarilyUnmodifiable"));
    assert_eq!(fake.rotator.generate(&call, None).await.err().unwrap().code, "status-409");
}

#[tokio::test]
async fn when_a_key_was_last_used() {
    let fake = Fake::with(DECLARATION).await;
    let target = target(&fake);
    let key = fake.has("live", None);
    let used = |inner: &str| xml(200, &format!("<L><LastUsedResult><Used>{inner}</Used></LastUsedResult></L>"));
    fake.fault("xml", used("<By>iam</By><Date>2026-01-02T03:04:05Z</Date>"));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    assert_eq!(fake.rotator.last_used(&call(&target), &key).await.unwrap(), Some(at));
    fake.fault("xml", used("<By>N/A</By>"));
    assert_eq!(fake.rotator.last_used(&call(&target), &key).await.unwrap(), None);
    fake.fault("xml", used("<By>iam</By>"));
    assert!(fake.rotator.last_used(&call(&target), &key).await.is_err());
}
