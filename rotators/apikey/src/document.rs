//! A declaration as people write it: every part with its place, nothing checked but its type.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_yaml::Location;

use crate::spanned::Spanned;

/// A text and its place.
pub(crate) type Text = Spanned<String>;

/// A provider of API keys, as its declaration describes it.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keywheel provider")]
pub(crate) struct Document {
    /// Of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: Spanned<u64>,
    /// Its name, which policies write after `rotator:`. Lower-case letters, digits and `-`.
    pub provider: Text,
    /// One sentence about it.
    pub about: Text,
    /// Where the vendor documents its API.
    pub docs: Option<Text>,
    /// What all addresses begin with, such as `https://api.example.com`.
    pub base_url: Text,
    /// What a policy gives under `target:`, by name.
    #[serde(default)]
    pub settings: Entries<SettingDocument>,
    /// How the admin's requests log in. A request may have its own.
    pub auth: Spanned<AuthDocument>,
    /// Sent with all requests.
    #[serde(default)]
    pub headers: Entries<Text>,
    /// What answers are written in: `json` (the default) or `xml`.
    pub answers: Option<Text>,
    /// Who makes the value: the `provider` (the default), or the `engine`, whose passwords the provider takes.
    #[schemars(extend("enum" = ["provider", "engine"]))]
    pub made_by: Option<Text>,
    /// What the secret holds: `key_id` and at least one more. Absent where the engine makes passwords.
    pub fields: Option<Spanned<Vec<Text>>>,
    /// A key's name: `keywheel`, a separator and `${rotation}`. Absent only where keys can hold none, with `exclusive`.
    pub tag: Option<Text>,
    /// `true` where keys can hold no tag: then all keys of a target are ours, and a policy must say so.
    pub exclusive: Option<Spanned<bool>>,
    /// How long a key lives, as a setting of kind `duration`: `${target.lifetime}`. Then `${expires.date}` and others are known.
    pub lifetime: Option<Text>,
    /// What the provider is asked.
    pub requests: Spanned<RequestsDocument>,
    /// How long a new key may be refused at first, such as `10s`. At most `5m`.
    pub propagation: Option<Text>,
}

/// One thing that a policy gives under `target:`.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingDocument {
    /// What its value is: `text` unless given.
    #[schemars(extend("enum" = ["text", "texts", "integer", "duration", "json"]))]
    pub kind: Option<Text>,
    /// The least number.
    pub min: Option<Spanned<i64>>,
    /// The greatest number.
    pub max: Option<Spanned<i64>>,
    /// Each policy must give it.
    #[serde(default)]
    pub required: bool,
    /// Its value where a policy gives none.
    pub default: Option<Node>,
    /// One sentence for those who write policies.
    pub help: Text,
    /// Another value means other keys.
    #[serde(default)]
    pub names_target: bool,
}

/// How a request proves who sends it: one of these.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthDocument {
    /// A token: `Authorization: Bearer …`.
    pub bearer: Option<Text>,
    /// A user and a password (HTTP Basic).
    pub basic: Option<BasicDocument>,
    /// A header of its own.
    pub header: Option<HeaderDocument>,
    /// Several headers.
    pub headers: Option<Spanned<Entries<Text>>>,
    /// A token that a client is given for itself (RFC 6749, section 4.4).
    pub oauth2: Option<Spanned<OAuth2Document>>,
    /// A signature of Amazon Web Services.
    pub sigv4: Option<SigV4Document>,
    /// A signature over the body, as Standard Webhooks has it.
    pub webhook: Option<WebhookDocument>,
    // Known only to be refused with a reason.
    #[schemars(skip)]
    pub query: Option<Spanned<Ignored>>,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicDocument {
    /// Such as `${admin.username}`.
    pub username: Text,
    /// Such as `${admin.password}`.
    pub password: Text,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderDocument {
    /// The header's name, such as `X-Api-Key`.
    pub name: Text,
    /// Such as `${admin.password}`.
    pub value: Text,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth2Document {
    /// The address that gives tokens.
    pub token_url: Text,
    /// Such as `${admin.username}`.
    pub client_id: Text,
    /// Such as `${admin.password}`.
    pub client_secret: Text,
    /// What the token is asked for.
    pub scope: Option<Text>,
    /// The client proves itself by HTTP Basic instead of in the body.
    #[serde(default)]
    pub basic: bool,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SigV4Document {
    /// Such as `${admin.access_key_id}`.
    pub access_key_id: Text,
    /// Such as `${admin.secret_access_key}`.
    pub secret_access_key: Text,
    /// Of credentials for some hours.
    pub session_token: Option<Text>,
    /// Such as `us-east-1`.
    pub region: Text,
    /// Such as `iam`.
    pub service: Text,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookDocument {
    /// In base64, with or without `whsec_` before it, such as `${key.password}`.
    pub secret: Text,
}

/// Each on the heap: side by side on the stack, reading them took most of what a worker's thread has.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestsDocument {
    /// Makes a key, and is answered with its value.
    pub create: Option<Spanned<Box<RequestDocument>>>,
    /// Gives an account another password, where the engine makes it.
    pub put: Option<Spanned<Box<RequestDocument>>>,
    /// Lists the target's keys.
    pub list: Option<Spanned<Box<RequestDocument>>>,
    /// Uses a key as an application would.
    pub verify: Option<Spanned<Box<RequestDocument>>>,
    /// Refuses a key for now, where the provider can.
    pub disable: Option<Spanned<Box<RequestDocument>>>,
    /// Ends a key.
    pub delete: Option<Spanned<Box<RequestDocument>>>,
    /// Asks when a key was last used, where the provider tells and the list does not.
    pub last_used: Option<Spanned<Box<RequestDocument>>>,
}

/// Any request. Which keys belong to which one is checked later, so that all mistakes can be told.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestDocument {
    /// An address of its own, instead of the provider's.
    pub base_url: Option<Text>,
    /// Of HTTP.
    #[schemars(extend("enum" = ["GET", "POST", "PUT", "PATCH", "DELETE"]))]
    pub method: Text,
    /// Follows `base_url`; begins with `/`, or is empty where that is the whole address.
    pub path: Text,
    /// What follows `?`, by name.
    #[serde(default)]
    pub query: Entries<Text>,
    /// Beside those of all requests.
    #[serde(default)]
    pub headers: Entries<Text>,
    /// Instead of the provider's `auth`; `verify` has none but its own.
    pub auth: Option<Spanned<AuthDocument>>,
    /// The body, in JSON.
    pub json: Option<Node>,
    /// The body, as a form.
    pub form: Option<Spanned<Entries<Text>>>,
    /// The statuses that mean success, such as `[200]`.
    #[schemars(inner(range(min = 200, max = 299)))]
    pub expect: Spanned<Vec<Spanned<u16>>>,
    /// Of `create`: the statuses that mean no further key before one is deleted.
    #[schemars(inner(range(min = 400, max = 499)))]
    pub quota: Option<Spanned<Vec<Spanned<u16>>>>,
    /// Of `put`: the statuses that mean no such password, so that another one is made.
    #[schemars(inner(range(min = 400, max = 499)))]
    pub unfit: Option<Spanned<Vec<Spanned<u16>>>>,
    /// Of `put`: what an answer must hold to mean that, as JSONPath.
    pub unfit_if: Option<Text>,
    /// What an answer with a good status must hold, as JSONPath that selects something.
    pub holds: Option<Text>,
    /// Of `verify`: the statuses that a wrong key is answered with.
    #[schemars(inner(range(min = 400, max = 499)))]
    pub refused: Option<Spanned<Vec<Spanned<u16>>>>,
    /// Of `verify`: what an answer must hold to be a refusal, as JSONPath.
    pub refused_if: Option<Text>,
    /// Of `disable` and `delete`: what an answer must hold to say that there is no such key, as JSONPath.
    pub gone_if: Option<Text>,
    /// Of `create`: what an answer must hold to mean no further key, as JSONPath.
    pub quota_if: Option<Text>,
    /// Of `verify`: where the answer holds the id of the key that was used, as JSONPath.
    pub key_id: Option<Text>,
    /// Of `verify`: `false` where a wrong key must not be tried, since the provider locks out.
    pub negative_control: Option<Spanned<bool>>,
    /// Of `disable` and `delete`: the statuses that say there is no such key.
    #[schemars(inner(range(min = 400, max = 499)))]
    pub gone: Option<Spanned<Vec<Spanned<u16>>>>,
    /// Of `create`: a header that gets another value with each try.
    pub idempotency_key: Option<Text>,
    /// Of `create`: where the answer holds each field, as JSONPath.
    pub extract: Option<Spanned<Entries<Text>>>,
    /// Of `list`: all keys in the answer, such as `$.keys[*]`.
    pub items: Option<Text>,
    /// Of `list`: where a key holds its id and its tag.
    pub each: Option<Spanned<EachDocument>>,
    /// Of `list`: how a long list goes on.
    pub next: Option<Spanned<NextDocument>>,
    /// Of `last_used`: where the answer holds it, as JSONPath.
    pub at: Option<Text>,
    /// Of `last_used`: what an answer holds about a key that was never used, as JSONPath.
    pub never: Option<Text>,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EachDocument {
    /// Its id, as JSONPath within one item.
    pub key_id: Text,
    /// Its name, as JSONPath within one item.
    pub tag: Option<Text>,
    /// When it was last used, as JSONPath within one item.
    pub last_used: Option<Text>,
    /// What only a key holds that is over for good, as JSONPath within one item that selects something.
    pub ended: Option<Text>,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextDocument {
    /// Where the answer holds what the next request gives, as JSONPath.
    pub cursor: Option<Text>,
    /// The parameter that it is given in.
    pub parameter: Option<Text>,
    /// Whether there is more, where the last answer holds a cursor, too, as JSONPath.
    pub more: Option<Text>,
    /// `true`: the answer's header `Link` says it (RFC 8288).
    pub link: Option<Spanned<bool>>,
    /// The parameter that counts pages, until one is empty.
    pub page: Option<Text>,
    /// The first page's number: 1 unless given.
    pub first: Option<Spanned<u64>>,
}

impl AuthDocument {
    /// All texts that it is made of.
    fn texts(&self) -> Vec<&Text> {
        let mut texts: Vec<&Text> = self.bearer.iter().collect();
        texts.extend(self.basic.iter().flat_map(|basic| [&basic.username, &basic.password]));
        texts.extend(self.header.iter().map(|header| &header.value));
        texts.extend(self.headers.iter().flat_map(|headers| headers.value.0.iter().map(|(_, value)| value)));
        texts.extend(self.oauth2.iter().flat_map(|grant| {
            [&grant.value.client_id, &grant.value.client_secret].into_iter().chain(&grant.value.scope)
        }));
        texts.extend(self.sigv4.iter().flat_map(|signer| {
            [&signer.access_key_id, &signer.secret_access_key].into_iter().chain(&signer.session_token)
        }));
        texts.extend(self.webhook.iter().map(|signer| &signer.secret));
        texts
    }
}

impl RequestDocument {
    /// All texts that a request is made of.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let mut texts = vec![self.path.value.as_str()];
        if let Some(auth) = &self.auth {
            texts.extend(auth.value.texts().into_iter().map(|text| text.value.as_str()));
        }
        let form = self.form.as_ref().map(|form| &form.value);
        for entries in [Some(&self.query), Some(&self.headers), form].into_iter().flatten() {
            texts.extend(entries.0.iter().map(|(_, text)| text.value.as_str()));
        }
        if let Some(json) = &self.json {
            json.value.texts(&mut texts);
        }
        texts.into_iter()
    }

    /// The keys that are there of those which not all requests have, with the places of their values.
    pub fn left_over(&self) -> Vec<(&'static str, Location)> {
        let places = [
            ("quota", self.quota.as_ref().map(|part| part.referenced)),
            ("refused", self.refused.as_ref().map(|part| part.referenced)),
            ("refused_if", self.refused_if.as_ref().map(|part| part.referenced)),
            ("gone_if", self.gone_if.as_ref().map(|part| part.referenced)),
            ("quota_if", self.quota_if.as_ref().map(|part| part.referenced)),
            ("unfit", self.unfit.as_ref().map(|part| part.referenced)),
            ("unfit_if", self.unfit_if.as_ref().map(|part| part.referenced)),
            ("key_id", self.key_id.as_ref().map(|part| part.referenced)),
            ("negative_control", self.negative_control.as_ref().map(|part| part.referenced)),
            ("gone", self.gone.as_ref().map(|part| part.referenced)),
            ("idempotency_key", self.idempotency_key.as_ref().map(|part| part.referenced)),
            ("extract", self.extract.as_ref().map(|part| part.referenced)),
            ("items", self.items.as_ref().map(|part| part.referenced)),
            ("each", self.each.as_ref().map(|part| part.referenced)),
            ("next", self.next.as_ref().map(|part| part.referenced)),
            ("at", self.at.as_ref().map(|part| part.referenced)),
            ("never", self.never.as_ref().map(|part| part.referenced)),
        ];
        places.into_iter().filter_map(|(key, place)| Some((key, place?))).collect()
    }
}

impl Kind {
    /// As JSON, without places.
    pub fn value(&self) -> Value {
        match self {
            Kind::Text(text) => Value::from(text.as_str()),
            Kind::Plain(value) => value.clone(),
            Kind::List(items) => items.iter().map(|item| item.value.value()).collect(),
            Kind::Map(entries) => entries.iter().map(|(key, value)| (key.value.clone(), value.value.value())).collect(),
        }
    }

    fn texts<'a>(&'a self, to: &mut Vec<&'a str>) {
        match self {
            Kind::Text(text) => to.push(text),
            Kind::Plain(_) => {}
            Kind::List(items) => items.iter().for_each(|item| item.value.texts(to)),
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| value.value.texts(to)),
        }
    }
}

/// A map in the order of the file, whose keys know their places.
pub(crate) struct Entries<T>(pub Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Text>()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// Whatever stands there.
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Ignored)
    }
}

/// A JSON body with places.
pub(crate) type Node = Spanned<Kind>;

/// What a JSON body is made of.
pub(crate) enum Kind {
    Text(String),
    /// Null, a boolean or a number.
    Plain(Value),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no such number"))?;
        Ok(Kind::Plain(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Node>()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Text>()? {
            map.push((key, entries.next_value::<Node>()?));
        }
        Ok(Kind::Map(map))
    }
}
