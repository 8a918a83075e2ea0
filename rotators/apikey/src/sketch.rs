//! What would be sent, without sending it and without any secret: there is none in what a sketch is made of.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use serde_json::{Map, Value};

use crate::clock;
use crate::expiry::{Expiry, ExpiryPart};
use crate::provider::{Auth, Body, Json, Next, OAuth2, PUBLIC, Provider, Request, SigV4, Tag};
use crate::settings;
use crate::template::{Place, Template, Variable, setting, write_value};
use crate::webhook;

/// Stands for a value that is secret.
pub const SECRET: &str = "•••";

/// What is known of a call before it is made: names and settings, no value of a credential.
pub struct Known<'a> {
    /// The policy's `target:`. A setting that is neither there nor has a default is shown as its placeholder.
    pub target: &'a Map<String, Value>,
    /// The admin's credential.
    pub admin: Held<'a>,
}

/// What is known of a credential.
pub enum Held<'a> {
    /// Nobody has looked: each field is taken to be there.
    Assumed,
    /// It has fields of these names; none where it does not exist.
    Fields(&'a [String]),
}

/// One request as it would be sent. A secret value is [`SECRET`]; what nobody knows yet, such as the new key's id, is the
/// variable's placeholder, `${key.key_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// Its word in the declaration; `token` for the one that asks for the admin's OAuth token.
    pub request: &'static str,
    pub method: String,
    /// The full address; of a list, its first page's.
    pub url: String,
    /// Those that the declaration makes, not those that every HTTP client adds. Names in lower case, each once.
    pub headers: Vec<(String, String)>,
    /// As it is sent, in JSON or as a form.
    pub body: Option<String>,
    /// What else is sent with it, for people.
    pub note: Option<&'static str>,
}

impl Provider {
    /// All requests that a rotation sends, each once, in the order in which it comes to them. Sends nothing.
    ///
    /// # Errors
    /// Settings that do not fit, or a value that cannot stand where a request has it.
    pub fn dry_run(&self, known: &Known<'_>) -> Result<Vec<Sketch>, String> {
        let drawing = Drawing { provider: self, known };
        let mut all: Vec<Sketch> = Vec::new();
        for request in self.requests() {
            if let Auth::OAuth2(grant) = &request.auth {
                let token = drawing.token(grant)?;
                if !all.contains(&token) {
                    all.push(token);
                }
            }
            all.push(drawing.request(request)?);
        }
        Ok(all)
    }
}

struct Drawing<'a> {
    provider: &'a Provider,
    known: &'a Known<'a>,
}

impl Drawing<'_> {
    fn request(&self, request: &Request) -> Result<Sketch, String> {
        let mut url = self.address(request.base.as_ref().unwrap_or(&self.provider.base_url))?;
        if !request.path.is_empty() {
            url.truncate(url.trim_end_matches('/').len());
            url.push_str(&self.text(&request.path, Place::Segment)?);
        }
        let mut query = self.pairs(&request.query)?;
        let list = self.provider.list().filter(|list| list.request.name == request.name);
        if let Some(Next::Page { parameter, first }) = list.map(|list| &list.next) {
            query.push(format!("{}={first}", form(parameter)));
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        let mut headers = Headers::default();
        for (name, template) in self.provider.headers.iter().chain(&request.headers) {
            headers.put(name, self.text(template, Place::Header)?);
        }
        self.auth(&request.auth, &mut headers)?;
        let create =
            self.provider.issue().map(|issue| &issue.create).filter(|create| create.request.name == request.name);
        if let Some(name) = create.and_then(|create| create.idempotency_key.as_ref()) {
            headers.put(name, "${rotation}-${random}".to_owned());
        }
        let body = match &request.body {
            Body::Nothing => None,
            Body::Json(json) => Some(("application/json", self.json(json)?.to_string())),
            Body::Form(pairs) => Some(("application/x-www-form-urlencoded", self.pairs(pairs)?.join("&"))),
        };
        if let Some((kind, _)) = &body {
            headers.put_if_absent(&CONTENT_TYPE, kind);
        }
        Ok(Sketch {
            request: request.name,
            method: request.method.to_string(),
            url,
            headers: headers.0,
            body: body.map(|(_, body)| body),
            note: self.note(request),
        })
    }

    fn note(&self, request: &Request) -> Option<&'static str> {
        let verify = &self.provider.verify;
        (request.name == verify.request.name && verify.negative_control)
            .then_some("sent once more with a wrong key of the same form, which must be refused")
    }

    /// The request for a token, which a call sends once.
    fn token(&self, grant: &OAuth2) -> Result<Sketch, String> {
        let mut headers = Headers::default();
        let mut pairs = vec!["grant_type=client_credentials".to_owned()];
        let mut pair = |name: &str, template: &Template| -> Result<(), String> {
            pairs.push(format!("{name}={}", self.encoded(template)?));
            Ok(())
        };
        if let Some(scope) = &grant.scope {
            pair("scope", scope)?;
        }
        if grant.basic {
            let (client, secret) = (self.encoded(&grant.client_id)?, self.encoded(&grant.client_secret)?);
            headers.put(&AUTHORIZATION, format!("Basic base64({client}:{secret})"));
        } else {
            pair("client_id", &grant.client_id)?;
            pair("client_secret", &grant.client_secret)?;
        }
        headers.put(&ACCEPT, "application/json".to_owned());
        headers.put(&CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned());
        Ok(Sketch {
            request: "token",
            method: "POST".to_owned(),
            url: self.address(&grant.token_url)?,
            headers: headers.0,
            body: Some(pairs.join("&")),
            note: None,
        })
    }

    /// An address, as it is used when all of it is known.
    fn address(&self, template: &Template) -> Result<String, String> {
        let missing = template.variables().any(|variable| match variable {
            Variable::Target(name) => self.setting(name).is_none(),
            Variable::Admin(_) | Variable::Key(_) | Variable::Rotation | Variable::Tag | Variable::Expires(_) => true,
        });
        if !missing {
            Ok(settings::address(self.provider, template, self.known.target)?.to_string())
        } else if let Some((address, rest)) = template.after_address() {
            let address = self.text(&address, Place::Whole)?;
            let before = if rest.is_empty() { address.as_str() } else { address.trim_end_matches('/') };
            Ok(format!("{before}{}", self.text(&rest, Place::Host)?))
        } else {
            self.text(template, Place::Host)
        }
    }

    fn auth(&self, auth: &Auth, headers: &mut Headers) -> Result<(), String> {
        match auth {
            Auth::Nothing => {}
            Auth::Bearer(template) => {
                headers.put(&AUTHORIZATION, format!("Bearer {}", self.text(template, Place::Header)?));
            }
            Auth::Headers(pairs) => {
                for (name, value) in pairs {
                    headers.put(name, self.text(value, Place::Header)?);
                }
            }
            Auth::Basic { username, password } => {
                let (username, password) = (self.text(username, Place::Whole)?, self.text(password, Place::Whole)?);
                headers.put(&AUTHORIZATION, format!("Basic base64({username}:{password})"));
            }
            Auth::OAuth2(_) => headers.put(&AUTHORIZATION, "Bearer ${token}".to_owned()),
            Auth::SigV4(signer) => self.signature(signer, headers)?,
            // As with the signature above, the secret's place is the signature's.
            Auth::Webhook(secret) => {
                headers.put(&webhook::ID, "msg_${random}".to_owned());
                headers.put(&webhook::TIMESTAMP, "${now}".to_owned());
                headers.put(&webhook::SIGNATURE, format!("v1,{}", self.text(secret, Place::Whole)?));
            }
        }
        Ok(())
    }

    /// What a signature adds. The secret key itself is never sent; whether it is there is shown in the signature's place.
    fn signature(&self, signer: &SigV4, headers: &mut Headers) -> Result<(), String> {
        let text = |template: &Template| self.text(template, Place::Header);
        let (id, secret) = (text(&signer.access_key_id)?, text(&signer.secret_access_key)?);
        let (region, service) = (text(&signer.region)?, text(&signer.service)?);
        headers.put(&HeaderName::from_static("x-amz-date"), "${now}".to_owned());
        if let Some(token) = &signer.session_token {
            headers.put(&HeaderName::from_static("x-amz-security-token"), text(token)?);
        }
        let scope = format!("{id}/${{today}}/{region}/{service}/aws4_request");
        let value = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=${{headers}}, Signature={secret}");
        headers.put(&AUTHORIZATION, value);
        Ok(())
    }

    fn json(&self, json: &Json) -> Result<Value, String> {
        Ok(match json {
            Json::Plain(value) => value.clone(),
            Json::Text(template) => match template.only() {
                Some(Variable::Target(name)) if let Some(value) = self.setting(name) => value.clone(),
                Some(Variable::Expires(ExpiryPart::Seconds)) if let Some(seconds) = self.lifetime() => seconds.into(),
                Some(_) | None => Value::String(self.text(template, Place::Whole)?),
            },
            Json::List(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            Json::Map(entries) => {
                let filled = entries.iter().map(|(key, item)| Ok((key.clone(), self.json(item)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
        })
    }

    /// Names and values as queries and forms have them.
    fn pairs(&self, pairs: &[(String, Template)]) -> Result<Vec<String>, String> {
        let pair = |(name, template): &(String, Template)| Ok(format!("{}={}", form(name), self.encoded(template)?));
        pairs.iter().map(pair).collect()
    }

    /// A text as queries and forms have it.
    fn encoded(&self, template: &Template) -> Result<String, String> {
        template.render(form, |variable| self.value(variable, |value| Ok(form(value))))
    }

    fn text(&self, template: &Template, place: Place) -> Result<String, String> {
        template.render(str::to_owned, |variable| {
            self.value(variable, |value| {
                let mut fitted = String::new();
                write_value(&mut fitted, value, place, variable).map_err(|error| error.message)?;
                Ok(fitted)
            })
        })
    }

    /// What is shown for a variable. Only what is known goes through `fit`; the rest is for people.
    fn value(&self, variable: &Variable, fit: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
        match variable {
            Variable::Target(name) => match self.setting(name) {
                None => Ok(variable.placeholder()),
                Some(Value::String(text)) => fit(text),
                Some(Value::Number(number)) => fit(&number.to_string()),
                Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                    Err(format!("`{}` is no text", variable.name()))
                }
            },
            Variable::Admin(field) => Ok(match self.known.admin {
                Held::Fields(fields) if !fields.contains(field) => format!("(missing: {})", variable.name()),
                Held::Fields(_) | Held::Assumed => SECRET.to_owned(),
            }),
            Variable::Key(field) if PUBLIC.contains(&field.as_str()) => Ok(variable.placeholder()),
            Variable::Key(_) => Ok(SECRET.to_owned()),
            Variable::Expires(ExpiryPart::Seconds) => match self.lifetime() {
                Some(seconds) => fit(&seconds.to_string()),
                None => Ok(variable.placeholder()),
            },
            // Known once the request is made.
            Variable::Expires(ExpiryPart::Date | ExpiryPart::Time) => Ok(variable.placeholder()),
            Variable::Rotation => Ok(variable.placeholder()),
            Variable::Tag => {
                let Some(Tag { before, after }) = self.provider.tag() else { return Ok(variable.placeholder()) };
                let after = if after.is_empty() { String::new() } else { fit(after)? };
                Ok(format!("{}{}{after}", fit(before)?, Variable::Rotation.placeholder()))
            }
        }
    }

    fn setting(&self, name: &str) -> Option<&Value> {
        setting(&self.provider.settings, self.known.target, name)
    }

    /// What the policy gives to keys, in seconds.
    fn lifetime(&self) -> Option<u64> {
        Expiry::of(self.provider, self.known.target, clock::now()).map(Expiry::seconds)
    }
}

/// As queries and forms encode a text.
fn form(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A later value takes the place of an earlier one, as it does when a request is made.
#[derive(Default)]
struct Headers(Vec<(String, String)>);

impl Headers {
    fn put(&mut self, name: &HeaderName, value: String) {
        match self.0.iter_mut().find(|(other, _)| other == name.as_str()) {
            Some((_, other)) => *other = value,
            None => self.0.push((name.as_str().to_owned(), value)),
        }
    }

    fn put_if_absent(&mut self, name: &HeaderName, value: &str) {
        if !self.0.iter().any(|(other, _)| other == name.as_str()) {
            self.put(name, value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
