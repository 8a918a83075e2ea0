//! What Amazon Web Services do with a signature, written from their description of it
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use axum::http::request::Parts;

/// Whether a request is signed with this secret for this region and service.
pub fn is_signed(head: &Parts, body: &[u8], secret: &str, region: &str, service: &str) -> bool {
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).trim().to_owned();
    let authorization = header("authorization");
    let part = |name: &str| {
        let rest = authorization.split_once(&format!("{name}="))?.1;
        Some(rest.split(',').next()?.trim().to_owned())
    };
    let (Some(signed), Some(signature)) = (part("SignedHeaders"), part("Signature")) else { return false };
    let mut query: Vec<_> = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    // All services but one encode a path that is encoded already.
    let path = head.uri.path().replace('%', "%25");
    let canonical = format!(
        "{}\n{path}\n{}\n{headers}\n{signed}\n{}",
        head.method,
        query.join("&"),
        hex(digest(&SHA256, body).as_ref())
    );
    let time = header("x-amz-date");
    let date = time.split('T').next().unwrap();
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let mac = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let key = [date, region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, text| mac(&key, text));
    authorization.contains(&scope) && signed.contains("host") && signature == hex(&mac(&key, &text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
