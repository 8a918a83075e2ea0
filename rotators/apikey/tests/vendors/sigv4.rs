//! Signatures of AWS, checked as <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//! says. Written apart from the crate that makes them.

use aws_lc_rs::{digest, hmac};

use crate::asked::{Asked, Odd};

/// What a request's `Authorization` claims.
pub struct Claim {
    pub access_key_id: String,
    day: String,
    region: String,
    service: String,
    signed: Vec<String>,
    signature: String,
}

impl Claim {
    pub fn of(asked: &Asked) -> Result<Self, Odd> {
        let header = asked.header("authorization").ok_or("no `Authorization`")?;
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("no signature of version 4")?;
        let part = |name: &str| {
            let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| format!("no `{name}` in the signature"))
        };
        let credential: Vec<_> = part("Credential")?.split('/').map(str::to_owned).collect();
        let [access_key_id, day, region, service, end] =
            credential.try_into().map_err(|_| "an odd scope".to_owned())?;
        if end != "aws4_request" {
            return Err("the scope has another end".to_owned());
        }
        let signed = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
        let signature = part("Signature")?.to_owned();
        Ok(Claim { access_key_id, day, region, service, signed, signature })
    }

    pub fn is_for(&self, region: &str, service: &str) -> bool {
        (self.region.as_str(), self.service.as_str()) == (region, service)
    }

    /// Whether this secret made the signature of this request.
    pub fn is_made_with(&self, secret: &str, asked: &Asked) -> Result<bool, Odd> {
        for needed in ["host", "x-amz-date"] {
            if !self.signed.iter().any(|name| name == needed) {
                return Err(format!("`{needed}` is not signed"));
            }
        }
        let time = asked.header("x-amz-date").ok_or("no `X-Amz-Date`")?;
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(self.canonical(asked)?.as_bytes()));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.day.as_str(), &self.region, &self.service, "aws4_request"] {
            key = sign(&key, part);
        }
        Ok(hex(&sign(&key, &text)) == self.signature)
    }

    fn canonical(&self, asked: &Asked) -> Result<String, Odd> {
        let mut query: Vec<_> =
            asked.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        query.sort();
        let mut headers = String::new();
        for name in &self.signed {
            let value = asked.header(name).ok_or_else(|| format!("`{name}` is signed and not there"))?;
            headers.push_str(&format!("{name}:{}\n", value.trim()));
        }
        let (path, query, signed) = (&asked.path, query.join("&"), self.signed.join(";"));
        Ok(format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{}", asked.method, hash(&asked.body)))
    }
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
