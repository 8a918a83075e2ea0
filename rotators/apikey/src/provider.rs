//! A checked declaration: what requests a provider understands, and what its answers mean.

use std::time::Duration;

use keywheel_sdk::{EXPIRES_AT, USERNAME};
use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::http::Format;
use crate::template::{Template, Variable};

/// The field that names a key at its provider. No secret.
pub(crate) const KEY_ID: &str = "key_id";
/// The fields that are no secret.
pub(crate) const PUBLIC: [&str; 3] = [KEY_ID, USERNAME, EXPIRES_AT];

/// One provider of API keys, as its declaration describes it. Holds no credential.
///
/// ## Declarations
/// A YAML map with `version: 1`, `provider` (its name), `about`, `docs`, `base_url`, and:
///
/// - `settings`: what a policy gives under `target:`, each with `help`, and `required: true` or a `default`;
///   `names_target: true` where another value means other keys, as all that stand in an address do. `kind`: `text` (unless given), `texts` (a list), `integer`
///   (with `min` and `max`, if need be), `duration` (`90d`, `1d12h`) or `json` (anything).
/// - `auth`: how the admin's requests log in. Never in an address. A request may have its own; `verify` has none but its own.
///   One of `bearer`, `basic: { username, password }`, `header: { name, value }`, `headers: { name: value }`, and:
///   - `oauth2: { token_url, client_id, client_secret }`: a token that a client is given for itself. If need be with `scope`, and
///     `basic: true` where the client proves itself by HTTP Basic instead of in the body. `token_url` is an address like `base_url`.
///   - `sigv4: { access_key_id, secret_access_key, region, service }`: a signature of Amazon Web Services. If need be with
///     `session_token`.
///   - `webhook: { secret }`: a signature over the body, as [Standard Webhooks] has it. The secret is base64 of 24 to 64 bytes,
///     with or without `whsec_` before it. Where the engine makes it, policies write `generate: { length: 64, charset:
///     alphanumeric }`, or another length from 32 to 84 that 4 divides; one that is unfit is refused before anything is changed.
///     In `verify` it holds the key's. A refusal by whoever has another time than we, by its `Date`, says nothing of the secret.
/// - `headers`: sent with all requests.
/// - `answers: xml` where they are no JSON. For JSONPath an element without elements in it is its text, another one is a map from
///   each name to the list of the elements of that name; `$` is the outermost. So `$.Result[0].Key[0].Id[0]` is a text, and
///   `items: "$.Keys[0].Key[*]"` is an empty list where `Keys` is empty. Attributes and namespaces are left away.
/// - `fields`: what the secret holds: `key_id` and at least one more; `expires_at` where keys end by themselves.
/// - `tag`: a key's name, `keywheel`, a separator and `${rotation}`. Only where keys can hold no name at all, `exclusive: true`
///   stands instead: then a policy must write `exclusive: true` under `target:`, since all keys there that the secret store does
///   not hold are deleted.
/// - `requests`: each with `method`, `path`, `expect` (statuses), and if need be `query`, `headers`, `auth`, a body (`json` or
///   `form`), and a `base_url` of its own. An empty `path` where that is the whole address.
///   - `create` puts `${tag}` into the key's name. `extract`: where the answer holds each field (JSONPath). `expires_at` is
///     kept as RFC 3339 in UTC, whether it is answered so, as Unix seconds or as a date, of which the first second counts;
///     `null` becomes an empty text. `quota`: statuses that mean no further key. `idempotency_key`: a header that gets another
///     value with each try.
///   - `list`. `items`: `$.keys[*]`; `each`: where one holds its `key_id` and `tag`, and if need be `ended`, which selects
///     something in a key that is over for good and still listed: it is as if it were not there, but for when it was last used. `false`
///     as a text is no more than `false`, and a number is refused; `next`:
///     `{ cursor: "$.next", parameter: cursor }` (with `more: "$.has_more"` where the last page has a cursor, too),
///     `{ link: true }` or `{ page: page, first: 1 }`.
///   - `verify` logs in with the key. `refused`: the statuses that a wrong key is answered with. `key_id` (JSONPath): where the
///     answer names the key; with another one's name it is none. A new key is believed only after a wrong one was refused, which
///     is asked once a try and once in preflight and counts as a failed login. For providers that lock out,
///     `negative_control: false` leaves that away; then `holds` must be there. With the control the request may send something of
///     the admin's beside the key; a key is then said to be refused only after the list was had with the same admin.
///   - `disable` (if the provider can) and `delete` name the key by `${key.key_id}`. `gone`: the statuses that say there
///     is none.
///   - `last_used` (if the provider tells): about one key, too. `at` (JSONPath): where the answer holds when it was last used, in
///     RFC 3339, Unix seconds or a date; `null` means never, and so does an answer in which `never` (JSONPath) selects something.
///     Where the list has it already, `each` says where instead: `each: { …, last_used: "$.last_used_at" }`.
///
///   Where statuses do not tell, JSONPath does, by selecting something: a value that is neither `null` nor `false`, such as
///   `$.ok`, or `$[?$.result.status == 'active']`.
///   - `holds`, for any request: what an answer with a good status must hold. Without it, such an answer is none: it is not known
///     what has happened.
///   - `refused_if`, `gone_if`, `quota_if`: what an answer with one of those statuses must hold to mean it. A `verify` that holds
///     what `refused_if` says is a refusal with a good status, too.
/// - `lifetime: "${target.lifetime}"`, a setting of kind `duration`: how long keys live. Then `${expires.date}` (a day in UTC),
///   `${expires.time}` (RFC 3339 in UTC) and `${expires.seconds}` (the lifetime; alone in a JSON body a number) say when a key that
///   is made now ends.
/// - `propagation`: how long a new key may be refused at first, such as `10s`.
///
/// With `made_by: engine` the provider takes passwords that the engine makes, for an account in place or for two that alternate.
/// Then there are no `fields`, `tag` or `exclusive`, and `requests` has neither `create` nor `disable` but:
/// - `put`, which gives `${key.username}` the password `${key.password}`. `unfit`, `unfit_if`: what says that it takes no such
///   password, so that another one is made.
/// - `list` only if need be: `each` says where one of the accounts holds its name (`key_id`).
/// - `verify` logs in with both. The wrong password is asked before a change, so that the gap of a change in place stays short.
/// - `delete` deletes `${key.username}`. In place it is never sent.
///
/// Variables are `${target.…}`, `${admin.…}` (a field of the admin's credential), `${key.…}`, `${rotation}`, `${tag}` and
/// `${expires.…}`; `$${` stands for `${` itself. A value never changes what is around it: it is encoded for its place, or refused. A value in a
/// JSON body that is one setting and nothing else has the setting's own type: `scopes: "${target.scopes}"` becomes a list.
///
/// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
pub struct Provider {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) docs: Option<String>,
    pub(crate) base_url: Template,
    pub(crate) settings: Vec<SettingSpec>,
    pub(crate) answers: Format,
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) fields: Vec<String>,
    pub(crate) made: Made,
    pub(crate) verify: Verify,
    pub(crate) delete: Removal,
    pub(crate) last_used: LastUsed,
    /// The setting that says how long keys live, where they end by themselves.
    pub(crate) lifetime: Option<String>,
    /// Whether a key is enough of an admin to rotate itself.
    pub(crate) self_managed: bool,
    /// How long a new key may be refused at first, and a deleted one be accepted.
    pub(crate) propagation: Duration,
}

impl Provider {
    /// The word that policies use after `rotator:`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence about it.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// What rotations of keys that the provider makes need.
    pub(crate) fn issue(&self) -> Option<&Issue> {
        match &self.made {
            Made::Provider(issue) => Some(issue),
            Made::Engine(_) => None,
        }
    }

    /// How keys name their rotations, where they do.
    pub(crate) fn tag(&self) -> Option<&Tag> {
        self.issue().and_then(|issue| issue.tag.as_ref())
    }

    /// Whether a policy gives us all keys of its target.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.issue().is_some_and(|issue| issue.tag.is_none())
    }

    pub(crate) fn list(&self) -> Option<&List> {
        match &self.made {
            Made::Provider(issue) => Some(&issue.list),
            Made::Engine(put) => put.list.as_ref(),
        }
    }

    pub(crate) fn disable(&self) -> Option<&Removal> {
        self.issue().and_then(|issue| issue.disable.as_ref())
    }

    /// The field that names a key, or the account where the engine makes passwords.
    pub(crate) fn id_field(&self) -> &'static str {
        match self.made {
            Made::Provider(_) => KEY_ID,
            Made::Engine(_) => USERNAME,
        }
    }

    /// All requests that there are.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        let removals = self.disable().into_iter().chain([&self.delete]).map(|removal| &removal.request);
        let making = match &self.made {
            Made::Provider(issue) => &issue.create.request,
            Made::Engine(put) => &put.request,
        };
        let last_used = match &self.last_used {
            LastUsed::Unknown | LastUsed::Each(_) => None,
            LastUsed::Request(declared) => Some(&declared.request),
        };
        let list = self.list().map(|list| &list.request);
        [making].into_iter().chain(list).chain([&self.verify.request]).chain(removals).chain(last_used)
    }

    /// Where the vendor documents its API, where the declaration says so.
    pub fn docs(&self) -> Option<&str> {
        self.docs.as_deref()
    }
}

/// One thing that a policy gives under `target:`.
pub(crate) struct SettingSpec {
    pub name: String,
    pub kind: ValueKind,
    pub required: bool,
    /// Of the kind.
    pub default: Option<Value>,
    pub help: String,
    pub names_target: bool,
}

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Text,
    /// At least one.
    Texts,
    /// Both bounds included.
    Integer {
        min: i64,
        max: i64,
    },
    /// A text such as `90d`.
    Duration,
    /// Any JSON value.
    Json,
}

/// How a key says which rotation made it: a fixed beginning, the rotation's id, a fixed end.
pub(crate) struct Tag {
    pub before: String,
    pub after: String,
}

impl Tag {
    /// The tag of one rotation.
    pub fn of(&self, rotation: &str) -> String {
        format!("{}{rotation}{}", self.before, self.after)
    }

    /// Whether some rotation has made the key with this tag. A name given by hand is not taken for one: an id has no
    /// spaces.
    pub fn is_ours(&self, tag: &str) -> bool {
        let id = tag.strip_prefix(self.before.as_str()).and_then(|rest| rest.strip_suffix(self.after.as_str()));
        id.is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    }
}

/// How a request proves who sends it.
pub(crate) enum Auth {
    /// By what its headers or its body hold.
    Nothing,
    Bearer(Template),
    Basic {
        username: Template,
        password: Template,
    },
    Headers(Vec<(HeaderName, Template)>),
    OAuth2(Box<OAuth2>),
    SigV4(Box<SigV4>),
    /// A signature of a webhook, by this secret.
    Webhook(Template),
}

/// A token for a client, which it asks for itself (RFC 6749, section 4.4).
pub(crate) struct OAuth2 {
    pub token_url: Template,
    pub client_id: Template,
    pub client_secret: Template,
    pub scope: Option<Template>,
    /// The client proves itself by HTTP Basic instead of in the body.
    pub basic: bool,
}

/// A signature of Amazon Web Services.
pub(crate) struct SigV4 {
    pub access_key_id: Template,
    pub secret_access_key: Template,
    /// Of credentials for some hours.
    pub session_token: Option<Template>,
    pub region: Template,
    pub service: Template,
}

/// What a request carries.
pub(crate) enum Body {
    Nothing,
    Json(Json),
    Form(Vec<(String, Template)>),
}

/// A JSON value with variables in its texts.
pub(crate) enum Json {
    Plain(Value),
    Text(Template),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

/// What all requests have.
pub(crate) struct Request {
    /// Its word in the declaration.
    pub name: &'static str,
    /// An address of its own, instead of the provider's.
    pub base: Option<Template>,
    pub method: Method,
    pub path: Template,
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(HeaderName, Template)>,
    pub auth: Auth,
    pub body: Body,
    /// The statuses that mean success.
    pub expect: Vec<u16>,
    /// What an answer with such a status must hold to be believed.
    pub holds: Option<JsonPath>,
}

impl Request {
    /// Whether something of the admin's stands beside the key in what says who asks.
    pub fn shows_admin(&self) -> bool {
        let login = match &self.auth {
            Auth::Headers(headers) => headers.as_slice(),
            Auth::Nothing
            | Auth::Bearer(_)
            | Auth::Basic { .. }
            | Auth::OAuth2(_)
            | Auth::SigV4(_)
            | Auth::Webhook(_) => &[],
        };
        let mut templates = login.iter().chain(&self.headers).map(|(_, template)| template);
        templates.any(|template| template.variables().any(|variable| matches!(variable, Variable::Admin(_))))
    }

    /// Whether a setting stands in it. A login says who asks, and not about what.
    pub fn uses(&self, setting: &str) -> bool {
        let named =
            self.query.iter().map(|(_, template)| template).chain(self.headers.iter().map(|(_, template)| template));
        let around = self.base.iter().chain([&self.path]).chain(named).any(|template| template.uses(setting));
        around
            || match &self.body {
                Body::Nothing => false,
                Body::Json(json) => json.uses(setting),
                Body::Form(fields) => fields.iter().any(|(_, template)| template.uses(setting)),
            }
    }
}

impl Json {
    fn uses(&self, setting: &str) -> bool {
        match self {
            Json::Plain(_) => false,
            Json::Text(template) => template.uses(setting),
            Json::List(items) => items.iter().any(|item| item.uses(setting)),
            Json::Map(entries) => entries.iter().any(|(_, item)| item.uses(setting)),
        }
    }
}

/// What an answer says by its status, where that does not tell enough with what it holds.
pub(crate) struct Sign {
    pub statuses: Vec<u16>,
    /// What an answer with such a status must hold to mean it.
    pub holds: Option<JsonPath>,
}

/// Who makes the value.
pub(crate) enum Made {
    /// The provider, which shows it once.
    Provider(Box<Issue>),
    /// The engine: a password that the provider takes.
    Engine(Box<Put>),
}

/// What rotations of keys that the provider makes need.
pub(crate) struct Issue {
    /// `None`: keys can hold none, and a policy gives us all keys of its target.
    pub tag: Option<Tag>,
    pub create: Create,
    pub list: List,
    pub disable: Option<Removal>,
}

/// Gives an account another password.
pub(crate) struct Put {
    pub request: Request,
    /// What means: not this password, for what it is.
    pub unfit: Sign,
    /// Lists accounts.
    pub list: Option<List>,
}

/// Makes a key and shows it once.
pub(crate) struct Create {
    pub request: Request,
    /// A header for a value that is new with each try, so that whoever repeats the request on the way makes no second
    /// key.
    pub idempotency_key: Option<HeaderName>,
    /// Where the answer holds each field.
    pub extract: Vec<(String, JsonPath)>,
    /// What means: no further key before one is deleted.
    pub quota: Sign,
}

/// Lists the keys of the target.
pub(crate) struct List {
    pub request: Request,
    /// The list itself, not its items: an answer without it is no empty list.
    pub items: JsonPath,
    /// In XML: the element whose children are the list. An empty one is an empty list.
    pub parent: Option<JsonPath>,
    pub key_id: JsonPath,
    /// Where keys hold one.
    pub tag: Option<JsonPath>,
    /// What a key holds that is over for good.
    pub ended: Option<JsonPath>,
    pub next: Next,
}

/// How the rest of a long list is asked for.
pub(crate) enum Next {
    /// One answer holds all.
    Nothing,
    /// The answer holds what the next request gives in a parameter.
    Cursor {
        at: JsonPath,
        parameter: String,
        /// Whether there is more, where the cursor stands in the last answer, too.
        more: Option<JsonPath>,
    },
    /// The answer's `Link` header with `rel="next"` (RFC 8288).
    Link,
    /// Counted pages, until one is empty.
    Page { parameter: String, first: u64 },
}

/// Uses a key as an application would.
pub(crate) struct Verify {
    pub request: Request,
    /// The statuses that mean: this key is refused.
    pub refused: Vec<u16>,
    /// What an answer must hold to mean that. Then it means it with a status of success, too.
    pub refused_if: Option<JsonPath>,
    /// Where an answer names the key that was used.
    pub key_id: Option<JsonPath>,
    /// Whether it is believed only after a wrong key was refused.
    pub negative_control: bool,
}

/// How the provider tells when a key was last used.
pub(crate) enum LastUsed {
    /// It does not.
    Unknown,
    /// Where each key in the list holds it.
    Each(JsonPath),
    Request(Box<LastUsedRequest>),
}

/// Asks for one key, by its id.
pub(crate) struct LastUsedRequest {
    pub request: Request,
    pub at: JsonPath,
    /// What an answer holds about a key that was never used, where that is not `null` at the place.
    pub never: Option<JsonPath>,
}

/// Disables or deletes a key.
pub(crate) struct Removal {
    pub request: Request,
    /// What means: there is no such key.
    pub gone: Sign,
}
