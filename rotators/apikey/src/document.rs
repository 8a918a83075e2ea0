//! A declaration as people write it: every part with its place, nothing checked but its type.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_yaml::{Location, Spanned};

/// A text and its place.
pub(crate) type Text = Spanned<String>;

/// The whole file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub version: Spanned<u64>,
    pub provider: Text,
    pub about: Text,
    pub docs: Option<Text>,
    pub base_url: Text,
    #[serde(default)]
    pub settings: Entries<SettingDocument>,
    pub auth: Spanned<AuthDocument>,
    #[serde(default)]
    pub headers: Entries<Text>,
    pub answers: Option<Text>,
    pub fields: Spanned<Vec<Text>>,
    pub tag: Option<Text>,
    pub exclusive: Option<Spanned<bool>>,
    pub lifetime: Option<Text>,
    pub requests: Spanned<RequestsDocument>,
    pub propagation: Option<Text>,
}

/// One thing that a policy gives under `target:`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingDocument {
    pub kind: Option<Text>,
    pub min: Option<Spanned<i64>>,
    pub max: Option<Spanned<i64>>,
    #[serde(default)]
    pub required: bool,
    pub default: Option<Node>,
    pub help: Text,
    #[serde(default)]
    pub names_target: bool,
}

/// How a request proves who sends it. One of them; `query` is known only to be refused with a reason.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthDocument {
    pub bearer: Option<Text>,
    pub basic: Option<BasicDocument>,
    pub header: Option<HeaderDocument>,
    pub headers: Option<Spanned<Entries<Text>>>,
    pub oauth2: Option<Spanned<OAuth2Document>>,
    pub sigv4: Option<SigV4Document>,
    pub query: Option<Spanned<Ignored>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicDocument {
    pub username: Text,
    pub password: Text,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderDocument {
    pub name: Text,
    pub value: Text,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OAuth2Document {
    pub token_url: Text,
    pub client_id: Text,
    pub client_secret: Text,
    pub scope: Option<Text>,
    #[serde(default)]
    pub basic: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SigV4Document {
    pub access_key_id: Text,
    pub secret_access_key: Text,
    pub session_token: Option<Text>,
    pub region: Text,
    pub service: Text,
}

/// Each on the heap: side by side on the stack, reading them took most of what a worker's thread has.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestsDocument {
    pub create: Option<Spanned<Box<RequestDocument>>>,
    pub list: Option<Spanned<Box<RequestDocument>>>,
    pub verify: Option<Spanned<Box<RequestDocument>>>,
    pub disable: Option<Spanned<Box<RequestDocument>>>,
    pub delete: Option<Spanned<Box<RequestDocument>>>,
    pub last_used: Option<Spanned<Box<RequestDocument>>>,
}

/// Any request. Which keys belong to which one is checked later, so that all mistakes can be told.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestDocument {
    pub base_url: Option<Text>,
    pub method: Text,
    pub path: Text,
    #[serde(default)]
    pub query: Entries<Text>,
    #[serde(default)]
    pub headers: Entries<Text>,
    pub auth: Option<Spanned<AuthDocument>>,
    pub json: Option<Node>,
    pub form: Option<Spanned<Entries<Text>>>,
    pub expect: Spanned<Vec<Spanned<u16>>>,
    pub quota: Option<Spanned<Vec<Spanned<u16>>>>,
    pub holds: Option<Text>,
    pub refused: Option<Spanned<Vec<Spanned<u16>>>>,
    pub refused_if: Option<Text>,
    pub gone_if: Option<Text>,
    pub quota_if: Option<Text>,
    pub key_id: Option<Text>,
    pub negative_control: Option<Spanned<bool>>,
    pub gone: Option<Spanned<Vec<Spanned<u16>>>>,
    pub idempotency_key: Option<Text>,
    pub extract: Option<Spanned<Entries<Text>>>,
    pub items: Option<Text>,
    pub each: Option<Spanned<EachDocument>>,
    pub next: Option<Spanned<NextDocument>>,
    pub at: Option<Text>,
    pub never: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EachDocument {
    pub key_id: Text,
    pub tag: Option<Text>,
    pub last_used: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextDocument {
    pub cursor: Option<Text>,
    pub parameter: Option<Text>,
    pub more: Option<Text>,
    pub link: Option<Spanned<bool>>,
    pub page: Option<Text>,
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
