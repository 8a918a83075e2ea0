//! What would be sent, without sending it and without any secret: there is none in what a sketch is made of.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use serde_json::{Map, Value};

use crate::provider::{Auth, Body, Json, KEY_ID, Next, Provider, Request, Tag};
use crate::settings;
use crate::template::{Place, Template, Variable, write_value};

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
    /// Its word in the declaration.
    pub request: &'static str,
    pub method: String,
    /// The full address; of a list, its first page's.
    pub url: String,
    /// Those that the declaration makes, not those that every HTTP client adds. Names in lower case, each once.
    pub headers: Vec<(String, String)>,
    /// As it is sent, in JSON or as a form.
    pub body: Option<String>,
}

impl Provider {
    /// All requests that a rotation sends, each once, in the order in which it comes to them. Sends nothing.
    ///
    /// # Errors
    /// Settings that do not fit, or a value that cannot stand where a request has it.
    pub fn dry_run(&self, known: &Known<'_>) -> Result<Vec<Sketch>, String> {
        let drawing = Drawing { provider: self, known };
        self.requests().map(|request| drawing.request(request)).collect()
    }
}

struct Drawing<'a> {
    provider: &'a Provider,
    known: &'a Known<'a>,
}

impl Drawing<'_> {
    fn request(&self, request: &Request) -> Result<Sketch, String> {
        let mut url = self.base()?;
        url.push_str(&self.text(&request.path, Place::Segment)?);
        let mut query = self.pairs(&request.query)?;
        let of_list = request.name == self.provider.list.request.name;
        if let (true, Next::Page { parameter, first }) = (of_list, &self.provider.list.next) {
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
        if let (true, Some(name)) =
            (request.name == self.provider.create.request.name, &self.provider.create.idempotency_key)
        {
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
        })
    }

    /// The address without its last slash, as it is when all of it is known.
    fn base(&self) -> Result<String, String> {
        let template = &self.provider.base_url;
        let missing = template.variables().any(|variable| match variable {
            Variable::Target(name) => self.setting(name).is_none(),
            Variable::Admin(_) | Variable::Key(_) | Variable::Rotation | Variable::Tag => true,
        });
        let text = if missing {
            self.text(template, if template.is_one_variable() { Place::Whole } else { Place::Host })?
        } else {
            settings::address(self.provider, self.known.target)?.to_string()
        };
        Ok(text.trim_end_matches('/').to_owned())
    }

    fn auth(&self, auth: &Auth, headers: &mut Headers) -> Result<(), String> {
        match auth {
            Auth::Nothing => {}
            Auth::Bearer(template) => {
                headers.put(&AUTHORIZATION, format!("Bearer {}", self.text(template, Place::Header)?));
            }
            Auth::Header { name, value } => headers.put(name, self.text(value, Place::Header)?),
            Auth::Basic { username, password } => {
                let (username, password) = (self.text(username, Place::Whole)?, self.text(password, Place::Whole)?);
                headers.put(&AUTHORIZATION, format!("Basic base64({username}:{password})"));
            }
        }
        Ok(())
    }

    fn json(&self, json: &Json) -> Result<Value, String> {
        Ok(match json {
            Json::Plain(value) => value.clone(),
            Json::Text(template) => Value::String(self.text(template, Place::Whole)?),
            Json::List(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            Json::Map(entries) => {
                let filled = entries.iter().map(|(key, item)| Ok((key.clone(), self.json(item)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
        })
    }

    /// Names and values as queries and forms have them.
    fn pairs(&self, pairs: &[(String, Template)]) -> Result<Vec<String>, String> {
        let pair = |(name, template): &(String, Template)| {
            let value = template.render(form, |variable| self.value(variable, |value| Ok(form(value))))?;
            Ok(format!("{}={value}", form(name)))
        };
        pairs.iter().map(pair).collect()
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
            Variable::Target(name) => self.setting(name).map_or_else(|| Ok(variable.placeholder()), fit),
            Variable::Admin(field) => Ok(match self.known.admin {
                Held::Fields(fields) if !fields.contains(field) => format!("(missing: {})", variable.name()),
                Held::Fields(_) | Held::Assumed => SECRET.to_owned(),
            }),
            Variable::Key(field) if field == KEY_ID => Ok(variable.placeholder()),
            Variable::Key(_) => Ok(SECRET.to_owned()),
            Variable::Rotation => Ok(variable.placeholder()),
            Variable::Tag => {
                let Tag { before, after } = &self.provider.tag;
                let after = if after.is_empty() { String::new() } else { fit(after)? };
                Ok(format!("{}{}{after}", fit(before)?, Variable::Rotation.placeholder()))
            }
        }
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let default = || self.provider.settings.iter().find(|spec| spec.name == name)?.default.as_deref();
        self.known.target.get(name).and_then(Value::as_str).or_else(default)
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, Instant};

    use keywheel_sdk::{Admin, Bundle, Call, Secret, Strategy, Target};
    use serde_json::json;

    use super::*;
    use crate::ApiKeyRotator;
    use crate::access::Access;

    /// Each kind of place that a value can stand in.
    const DECLARATION: &str = r#"
version: 1
provider: places
about: All places.
base_url: "https://${target.host}/base/"
settings:
  host: { required: true, names_target: true, help: where }
  user: { required: true, names_target: true, help: whose }
  plan: { default: "free & easy", help: which }
auth: { basic: { username: "${admin.username}", password: "${admin.password}" } }
headers: { Accept: application/json, X-Plan: "${target.plan}" }
fields: [key_id, key]
tag: "keywheel:${rotation}"
requests:
  create:
    method: POST
    path: "/u/${target.user}/keys"
    headers: { accept: text/json }
    json: { name: "${tag}", rank: 1, more: [null, "for ${target.user}"] }
    expect: [201]
    idempotency_key: Idempotency-Key
    extract: { key_id: "$.id", key: "$.key" }
  list:
    method: GET
    path: "/u/${target.user}/keys"
    query: { "of user": "${target.user}", tag: "${tag}" }
    expect: [200]
    items: "$.keys[*]"
    each: { key_id: "$.id", tag: "$.name" }
    next: { page: page, first: 1 }
  verify:
    method: POST
    path: /token
    form: { id: "${key.key_id}", secret: "${key.key}", plan: "${target.plan}" }
    headers: { content-type: application/x-www-form-urlencoded;charset=utf-8 }
    expect: [200]
    refused: [401]
  disable:
    method: PATCH
    path: "/keys/${key.key_id}"
    auth: { header: { name: X-Admin, value: "Key ${admin.token}" } }
    json: { state: "off" }
    expect: [200]
    gone: [404]
  delete:
    method: DELETE
    path: "/keys/${key.key_id}"
    auth: { bearer: "${admin.token}" }
    expect: [204]
    gone: [404]
"#;

    fn provider() -> Provider {
        Provider::parse("places.yaml", DECLARATION).map_err(|mistakes| format!("{mistakes:?}")).unwrap()
    }

    fn settings() -> Map<String, Value> {
        json!({ "host": "api.example.com", "user": "a/b?c&d e" }).as_object().unwrap().clone()
    }

    fn header<'a>(sketch: &'a Sketch, name: &str) -> Option<&'a str> {
        sketch.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn sketch<'a>(sketches: &'a [Sketch], request: &str) -> &'a Sketch {
        sketches.iter().find(|sketch| sketch.request == request).unwrap()
    }

    /// The placeholders filled in, it is the request that is sent: so what it shows is what happens.
    #[test]
    fn a_sketch_is_the_request_but_for_its_values() {
        let admin = ["username", "password", "token"]
            .into_iter()
            .fold(Bundle::new(), |bundle, name| bundle.with(name, Secret::new(format!("{name}-canary"))));
        let key = Bundle::new()
            .with("key_id", Secret::new("id-7".to_owned()))
            .with("key", Secret::new("key-canary".to_owned()));
        let target = Target {
            settings: settings(),
            strategy: Strategy::Overlapping,
            admin: Admin::Credential(admin),
            generates: None,
        };
        let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(5) };
        let rotator = ApiKeyRotator::new(provider());
        let access = Access::of(&rotator, &call).unwrap();
        let known = Known { target: &target.settings, admin: Held::Assumed };
        let sketches = rotator.provider.dry_run(&known).unwrap();
        assert_eq!(sketches.len(), 5);
        for (request, sketch) in rotator.provider.requests().zip(&sketches) {
            let sent = access.request(request, Some(&key)).unwrap().request;
            let fill = |text: &str| text.replace("${rotation}", "r-1").replace("${key.key_id}", "id-7");
            // What `list` and `create` add to their request themselves.
            let url = fill(&sketch.url).replace("&page=1", "");
            assert_eq!(url, sent.url().as_str(), "{}", request.name);
            assert_eq!(sketch.method, sent.method().as_str());
            let made: Vec<_> = sketch.headers.iter().filter(|(name, _)| name != "idempotency-key").collect();
            assert_eq!(made.len(), sent.headers().len(), "{}: {made:?}", request.name);
            for (name, value) in made {
                let real = sent.headers()[name].to_str().unwrap();
                let secret = value.contains(SECRET);
                assert_eq!(secret, name == "authorization" || name == "x-admin", "{name}");
                assert!(secret || fill(value) == real, "{name}: {value}, but {real}");
            }
            let body = sent.body().map(|body| String::from_utf8(body.as_bytes().unwrap().to_vec()).unwrap());
            let shown = sketch.body.as_deref().map(|body| fill(body).replace(SECRET, "key-canary"));
            assert_eq!(shown, body, "{}", request.name);
            assert!(!format!("{sketch:?}").contains("canary"), "S6: {sketch:?}");
        }
    }

    #[test]
    fn secrets_are_marks_and_what_nobody_knows_is_a_placeholder() {
        let settings = settings();
        let sketches = provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).unwrap();
        let list = sketch(&sketches, "list");
        assert_eq!(
            list.url,
            "https://api.example.com/base/u/a%2Fb%3Fc%26d%20e/keys\
             ?of+user=a%2Fb%3Fc%26d+e&tag=keywheel%3A${rotation}&page=1"
        );
        assert_eq!(header(list, "authorization"), Some("Basic base64(•••:•••)"));
        let create = sketch(&sketches, "create");
        assert_eq!(header(create, "idempotency-key"), Some("${rotation}-${random}"));
        assert_eq!(header(create, "accept"), Some("text/json"));
        let body: Value = serde_json::from_str(create.body.as_deref().unwrap()).unwrap();
        assert_eq!(body, json!({ "name": "keywheel:${rotation}", "rank": 1, "more": [null, "for a/b?c&d e"] }));
        let verify = sketch(&sketches, "verify");
        assert_eq!(verify.body.as_deref(), Some("id=${key.key_id}&secret=•••&plan=free+%26+easy"));
        assert_eq!(header(verify, "authorization"), None, "the admin's credential is not in `verify`");
        assert_eq!(sketch(&sketches, "delete").url, "https://api.example.com/base/keys/${key.key_id}");
    }

    #[test]
    fn what_is_missing_is_told() {
        let (empty, fields) = (Map::new(), ["username".to_owned(), "password".to_owned()]);
        let sketches = provider().dry_run(&Known { target: &empty, admin: Held::Fields(&fields) }).unwrap();
        let list = sketch(&sketches, "list");
        assert!(list.url.starts_with("https://${target.host}/base/u/${target.user}/keys?"), "{}", list.url);
        assert_eq!(header(list, "authorization"), Some("Basic base64(•••:•••)"));
        assert_eq!(header(list, "x-plan"), Some("free & easy"), "a default is a value");
        assert_eq!(header(sketch(&sketches, "disable"), "x-admin"), Some("Key (missing: admin.token)"));
        let sketches = provider().dry_run(&Known { target: &empty, admin: Held::Fields(&[]) }).unwrap();
        let basic = "Basic base64((missing: admin.username):(missing: admin.password))";
        assert_eq!(header(&sketches[0], "authorization"), Some(basic));
    }

    #[test]
    fn a_value_that_cannot_stand_there_is_refused_as_it_is_when_sent() {
        let mut settings = settings();
        settings.insert("user".to_owned(), json!(".."));
        let refused = provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).unwrap_err();
        assert!(refused.contains("`target.user`"), "{refused}");
        settings.insert("host".to_owned(), json!("evil.com/"));
        assert!(provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).is_err());
    }
}
