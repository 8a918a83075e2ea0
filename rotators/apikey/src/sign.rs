//! Signatures of Amazon Web Services, version 4
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use keywheel_sdk::{Retry, RotatorError};
use reqwest::header::HeaderName;
use tracing::subscriber::NoSubscriber;

use crate::fill::sensitive;
use crate::provider::SigV4;
use crate::template::{Place, Values};

/// Adds the headers of a signature over method, address, headers and body.
///
/// # Errors
/// A value is missing, or the request is none that can be signed. Nothing has happened.
pub(crate) fn sign(
    outgoing: &mut reqwest::Request,
    signer: &SigV4,
    values: &Values<'_>,
    at: SystemTime,
) -> Result<(), RotatorError> {
    let unfit = |what: &str| RotatorError::not_done(Retry::Never, "unfit-value", format!("no signature: {what}"));
    let fill = |template: &crate::template::Template| template.fill(values, Place::Header);
    let token = signer.session_token.as_ref().map(fill).transpose()?;
    let (region, service) = (fill(&signer.region)?, fill(&signer.service)?);
    // The library zeroes what it is given.
    let identity = Credentials::new(
        fill(&signer.access_key_id)?.as_str(),
        fill(&signer.secret_access_key)?.as_str(),
        token.map(|token| token.to_string()),
        None,
        "keywheel",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name(&service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unfit("something is missing"))?
        .into();
    let headers: Vec<(&str, &str)> = outgoing
        .headers()
        .iter()
        .map(|(name, value)| Ok((name.as_str(), value.to_str().map_err(|_| unfit("a header is no ASCII"))?)))
        .collect::<Result<_, RotatorError>>()?;
    let body = outgoing.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let request = SignableRequest::new(
        outgoing.method().as_str(),
        outgoing.url().as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    );
    // At its most talkative the library logs the headers of what it signs, and these may hold a credential.
    let signed = tracing::subscriber::with_default(NoSubscriber::default(), || {
        request.and_then(|request| aws_sigv4::http_request::sign(request, &params))
    });
    let (instructions, _) = signed.map_err(|_| unfit("the request is none that can be signed"))?.into_parts();
    for (name, value) in instructions.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit("a header has no name"))?;
        let value = sensitive(value, &name)?;
        outgoing.headers_mut().insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use reqwest::{Method, Request};
    use serde_json::Map;

    use super::*;
    use crate::template::Template;

    /// The example that Amazon works through, at
    /// <https://docs.aws.amazon.com/general/latest/gr/sigv4-calculate-signature.html> in its time.
    #[test]
    fn signs_as_the_vendors_example() {
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08".parse().unwrap();
        let mut request = Request::new(Method::GET, url);
        let kind = "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap();
        request.headers_mut().insert("content-type", kind);
        let text = |text: &str| Template::parse(text).unwrap();
        let signer = SigV4 {
            access_key_id: text("AKIDEXAMPLE"),
            secret_access_key: text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
            region: text("us-east-1"),
            service: text("iam"),
        };
        let target = Map::new();
        let values =
            Values { settings: &[], target: &target, admin: None, key: None, rotation: "", tag: "", expiry: None };
        // 2015-08-30T12:36:00Z
        sign(&mut request, &signer, &values, SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)).unwrap();
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert!(request.headers()["authorization"].is_sensitive());
    }
}
