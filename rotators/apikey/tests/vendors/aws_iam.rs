//! IAM and STS of AWS on one address. As <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html> and its
//! neighbours, and <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html> have them.

use keywheel_sdk::Rotator;
use keywheel_sdk::{Bundle, Secret};
use serde_json::json;

use crate::asked::{Asked, Odd};
use crate::case::{Case, Reply};
use crate::double::{Double, Fault};
use crate::shelf::{Key, Shelf};
use crate::sigv4::Claim;

const CASE: Case = Case {
    provider: "aws-iam",
    settings: |url| json!({ "url": url, "sts_url": format!("{url}/sts"), "user": "svc-orders", "exclusive": true }),
    admin: &[
        ("access_key_id", "AKIACANARYADMIN00001"),
        ("secret_access_key", "canaryOfTheAdmin/K7MDENG+bPxRfiCYEXAMPLE"),
    ],
    wrong_admin: "AKIACANARYSTRANGER01",
    field: "secret_access_key",
    tag: |_| String::new(),
    exclusive: true,
    disables: true,
    full: "quota",
    limit: 2,
    page: 2,
    make,
    name,
    answer,
};

contract!(CASE, 30);

/// The reference's own answers. They say nothing of whose rotation it was, so the list only has to have the new key.
#[tokio::test]
async fn documented_answers() {
    let double = Double::start(&CASE).await;
    let created = r#"<CreateAccessKeyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><CreateAccessKeyResult><AccessKey>
        <UserName>Bob</UserName><AccessKeyId>AKIAIOSFODNN7EXAMPLE</AccessKeyId><Status>Active</Status>
        <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey></AccessKey></CreateAccessKeyResult>
        <ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ResponseMetadata></CreateAccessKeyResponse>"#;
    let list = r#"<ListAccessKeysResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccessKeysResult>
        <UserName>Bob</UserName><AccessKeyMetadata>
        <member><UserName>Bob</UserName><AccessKeyId>AKIAIOSFODNN7EXAMPLE</AccessKeyId><Status>Active</Status></member>
        <member><UserName>Bob</UserName><AccessKeyId>AKIAI44QH8DHBEXAMPLE</AccessKeyId><Status>Inactive</Status></member>
        </AccessKeyMetadata><IsTruncated>false</IsTruncated></ListAccessKeysResult>
        <ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ResponseMetadata></ListAccessKeysResponse>"#;
    let answer = |body: &str| Fault::Instead(200, &[("content-type", "text/xml")], body.to_owned());
    double.fault("create", answer(created));
    double.fault("list", answer(list));
    let live = Bundle::new().with("key_id", Secret::new("AKIAI44QH8DHBEXAMPLE".to_owned()));
    let key = double.rotator.generate(&double.call(), Some(&live)).await.unwrap();
    assert!(key.get("key_id").unwrap().expose(|id| id == "AKIAIOSFODNN7EXAMPLE"));
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY";
    assert!(key.get("secret_access_key").unwrap().expose(|value| value == secret));
    double.fault("list", answer(list));
    let findings = double.rotator.preflight(&double.call(), None).await.unwrap();
    assert!(findings[0].what.contains("2 keys"), "{findings:?}");
    double.was_asked_rightly();
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    let secret = |n| format!("canary{n:04}nFEMI/K7MDENG+bPxRfiCY{n:04}EXAMPLE");
    shelf.make(name, Shelf::nothing(), |n| format!("AKIAIOSFODNN{n:04}TEST"), secret)
}

/// The parameters, wherever they stand.
fn parameters(asked: &Asked) -> Vec<(String, String)> {
    let body = url::form_urlencoded::parse(&asked.body).into_owned();
    asked.query.iter().cloned().chain(body).collect()
}

fn parameter(asked: &Asked, name: &str) -> Option<String> {
    parameters(asked).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn name(asked: &Asked) -> Option<&'static str> {
    match (asked.path.as_str(), parameter(asked, "Action")?.as_str()) {
        ("/", "CreateAccessKey") => Some("create"),
        ("/", "ListAccessKeys") => Some("list"),
        ("/", "UpdateAccessKey") => Some("disable"),
        ("/", "DeleteAccessKey") => Some("delete"),
        ("/", "GetAccessKeyLastUsed") => Some("last_used"),
        ("/sts/", "GetCallerIdentity") => Some("verify"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let claim = Claim::of(asked)?;
    let service = if name == "verify" { "sts" } else { "iam" };
    if !claim.is_for("us-east-1", service) {
        return Err(format!("a signature for another service than {service}"));
    }
    let is_admin = claim.access_key_id == shelf.admin("access_key_id");
    let key = shelf.key(&claim.access_key_id).filter(|key| !key.disabled);
    let secret = if is_admin { Some(shelf.admin("secret_access_key")) } else { key.map(|key| key.secret.as_str()) };
    let Some(secret) = secret else {
        return Ok(error(403, "InvalidClientTokenId", "The security token included in the request is invalid."));
    };
    if !claim.is_made_with(secret, asked)? {
        let message = "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                       Access Key and signing method. Consult the service documentation for details.";
        return Ok(error(403, "SignatureDoesNotMatch", message));
    }
    if !is_admin {
        shelf.uses(&claim.access_key_id);
    }
    if name == "verify" {
        only(asked, "2011-06-15", &[])?;
        let arn = "arn:aws:iam::123456789012:user/svc-orders";
        let result = format!("<Arn>{arn}</Arn><UserId>AIDA</UserId><Account>123456789012</Account>");
        return Ok(fine("GetCallerIdentity", &result));
    }
    if !is_admin {
        return Ok(error(403, "AccessDenied", "User is not authorized to perform this action."));
    }
    let id = parameter(asked, "AccessKeyId").unwrap_or_default();
    let absent = || error(404, "NoSuchEntity", &format!("The Access Key with id {id} cannot be found."));
    match name {
        "create" => {
            only(asked, "2010-05-08", &["UserName"])?;
            if shelf.is_full() {
                return Ok(error(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"));
            }
            let Key { id, secret, .. } = make(shelf, "");
            let key = format!("<UserName>svc-orders</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status>");
            let key = format!("<AccessKey>{key}<SecretAccessKey>{secret}</SecretAccessKey></AccessKey>");
            Ok(fine("CreateAccessKey", &key))
        }
        "list" => {
            only(asked, "2010-05-08", &["UserName", "Marker", "MaxItems"])?;
            let show = |key: &Key| {
                let status = if key.disabled { "Inactive" } else { "Active" };
                format!(
                    "<member><UserName>svc-orders</UserName><AccessKeyId>{}</AccessKeyId><Status>{status}</Status></member>",
                    key.id
                )
            };
            let keys: String = shelf.keys.iter().map(show).collect();
            let keys = format!("<AccessKeyMetadata>{keys}</AccessKeyMetadata><IsTruncated>false</IsTruncated>");
            Ok(fine("ListAccessKeys", &format!("<UserName>svc-orders</UserName>{keys}")))
        }
        "disable" => {
            only(asked, "2010-05-08", &["UserName", "AccessKeyId", "Status"])?;
            if parameter(asked, "Status").as_deref() != Some("Inactive") {
                return Err("a key would be made active".to_owned());
            }
            Ok(match shelf.keys.iter_mut().find(|key| key.id == id) {
                None => absent(),
                Some(key) => {
                    key.disabled = true;
                    fine("UpdateAccessKey", "")
                }
            })
        }
        "last_used" => {
            only(asked, "2010-05-08", &["AccessKeyId"])?;
            let Some(key) = shelf.key(&id) else { return Ok(absent()) };
            let used = match key.used {
                None => "<Region>N/A</Region><ServiceName>N/A</ServiceName>".to_owned(),
                Some(used) => format!(
                    "<LastUsedDate>{used}</LastUsedDate><Region>us-east-1</Region><ServiceName>sts</ServiceName>"
                ),
            };
            let result = format!("<UserName>svc-orders</UserName><AccessKeyLastUsed>{used}</AccessKeyLastUsed>");
            Ok(fine("GetAccessKeyLastUsed", &result))
        }
        _ => {
            only(asked, "2010-05-08", &["UserName", "AccessKeyId"])?;
            Ok(shelf.delete(&id).map_or_else(absent, |_| fine("DeleteAccessKey", "")))
        }
    }
}

/// The version, and no parameters but these; the user must be the one whose keys they are.
fn only(asked: &Asked, version: &str, known: &[&str]) -> Result<(), Odd> {
    for (name, value) in parameters(asked) {
        match name.as_str() {
            "Action" => {}
            "Version" if value == version => {}
            "UserName" if known.contains(&"UserName") && value == "svc-orders" => {}
            other if other != "UserName" && known.contains(&other) => {}
            _ => return Err(format!("the parameter {name}={value}")),
        }
    }
    if known.contains(&"UserName") && parameter(asked, "UserName").is_none() {
        return Err("without `UserName` it is about the admin's own keys".to_owned());
    }
    Ok(())
}

fn fine(action: &str, result: &str) -> Reply {
    let service = if action == "GetCallerIdentity" { "sts" } else { "iam" };
    let version = if service == "sts" { "2011-06-15" } else { "2010-05-08" };
    let result = if result.is_empty() { String::new() } else { format!("<{action}Result>{result}</{action}Result>") };
    let body = format!(
        "<{action}Response xmlns=\"https://{service}.amazonaws.com/doc/{version}/\">{result}<ResponseMetadata>\
         <RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ResponseMetadata></{action}Response>"
    );
    Reply::raw(200, &[("content-type", "text/xml")], &body)
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ErrorResponse>"
    );
    Reply::raw(status, &[("content-type", "text/xml")], &body)
}
