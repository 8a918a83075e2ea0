//! The requests of a declaration.

use serde_yaml::Location;

use super::Check;
use crate::document::{AuthDocument, EachDocument, Entries, NextDocument, RequestDocument, Text};
use crate::mistake::did_you_mean;
use crate::provider::{
    Auth, Body, Create, LastUsed, LastUsedRequest, List, Next, PUBLIC, Removal, Request, Sign, Verify,
};
use crate::spanned::Spanned;
use crate::template::{Template, Variable};

/// Where a template stands, which says what variables it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The base address.
    Base,
    /// A header of all requests.
    Everywhere,
    /// A request of the admin that is about no key.
    Admin,
    AdminAddress,
    /// A request with the key itself.
    Verify,
    VerifyAddress,
    /// A request of the admin with a password for an account.
    Put,
    PutAddress,
    /// A request of the admin about a key of which only the id may be known.
    Removal,
    RemovalAddress,
}

impl Scope {
    fn address(self) -> Scope {
        match self {
            Scope::Admin => Scope::AdminAddress,
            Scope::Verify => Scope::VerifyAddress,
            Scope::Put => Scope::PutAddress,
            Scope::Removal => Scope::RemovalAddress,
            Scope::Base
            | Scope::Everywhere
            | Scope::AdminAddress
            | Scope::VerifyAddress
            | Scope::PutAddress
            | Scope::RemovalAddress => self,
        }
    }
}

impl Check<'_> {
    pub(super) fn create(
        &mut self,
        request: Spanned<Box<RequestDocument>>,
        admin: &Spanned<AuthDocument>,
    ) -> Option<Create> {
        let (at, mut document) = (request.referenced, request.value);
        let quota = self.sign(document.quota.take(), document.quota_if.take(), "quota");
        let idempotency_key = document.idempotency_key.take().map(|name| self.header_name(&name));
        let extract = self.extract(at, document.extract.take());
        let tagged = document.texts().any(|text| text.contains("${tag}"));
        if self.tagged && !tagged {
            let message = "`create` gives the key no tag, so nobody would find it again after a lost answer";
            self.wrong(at, message, "write `${tag}` into the key's name or description");
        }
        let request = self.request("create", at, document, Some(admin), Scope::Admin);
        Some(Create {
            request: request?,
            idempotency_key: match idempotency_key {
                None => None,
                Some(name) => Some(name?),
            },
            extract: extract?,
            quota: quota?,
        })
    }

    pub(super) fn list(
        &mut self,
        request: Spanned<Box<RequestDocument>>,
        admin: &Spanned<AuthDocument>,
    ) -> Option<List> {
        let (at, mut document) = (request.referenced, request.value);
        let items = document.items.take();
        if items.is_none() {
            self.wrong(at, "`list` has no `items`", "say where the answer lists the keys: `items: \"$.keys[*]\"`");
        }
        let each = document.each.take();
        if each.is_none() {
            let help = "say what each key holds: `each: { key_id: \"$.id\", tag: \"$.name\" }`";
            self.wrong(at, "`list` has no `each`", help);
        }
        let items = items.and_then(|items| self.items(&items));
        let each = each.map(|each| {
            let ended = each.value.ended.as_ref().map(|path| self.json_path(path));
            (self.json_path(&each.value.key_id), self.listed_tag(&each), ended)
        });
        let next = match document.next.take() {
            None => Some(Next::Nothing),
            Some(next) => self.next(next),
        };
        let request = self.request("list", at, document, Some(admin), Scope::Admin);
        let ((items, parent), (key_id, tag, ended)) = (items?, each?);
        let ended = match ended {
            None => None,
            Some(path) => Some(path?),
        };
        Some(List { request: request?, items, parent, key_id: key_id?, tag: tag?, ended, next: next? })
    }

    /// Where a key in the list holds its tag, if it holds one.
    fn listed_tag(&mut self, each: &Spanned<EachDocument>) -> Option<Option<serde_json_path::JsonPath>> {
        match &each.value.tag {
            Some(tag) if !self.tagged => {
                let message = "`tag` where keys hold none";
                self.wrong(tag.referenced, message, "remove it");
                None
            }
            Some(tag) => self.json_path(tag).map(Some),
            None if self.tagged => {
                let message = "`each` has no `tag`, so nobody would find a key whose answer was lost";
                self.wrong(each.referenced, message, "say where a key in the list holds its name: `tag: \"$.name\"`");
                None
            }
            None => Some(None),
        }
    }

    pub(super) fn verify(&mut self, request: Spanned<Box<RequestDocument>>) -> Option<Verify> {
        let (at, mut document) = (request.referenced, request.value);
        let refused = document.refused.take();
        let refused_if = document.refused_if.take();
        if refused.as_ref().is_none_or(|refused| refused.value.is_empty()) && refused_if.is_none() {
            let message = "`verify` has no `refused`, so nobody would see that an old key has ended";
            self.wrong(at, message, "say what status a wrong key is answered with: `refused: [401]`");
        }
        let refused = self.statuses(refused, 400..=499, "refused");
        let refused_if = refused_if.map(|path| self.json_path(&path));
        let key_id = document.key_id.take().map(|path| self.json_path(&path));
        let negative_control = document.negative_control.take();
        if let Some(control) = negative_control.as_ref().filter(|control| !control.value && document.holds.is_none()) {
            let message = "a `verify` that asks no wrong key and looks at nothing but a status may accept any key";
            self.wrong(control.referenced, message, "say by `holds` what only the answer to a right key holds");
        }
        self.control = negative_control.is_none_or(|control| control.value);
        let secret = document.texts().filter_map(|text| Template::parse(text).ok()).any(|template| {
            template
                .variables()
                .any(|variable| matches!(variable, Variable::Key(field) if !PUBLIC.contains(&field.as_str())))
        });
        if !secret {
            let message = "`verify` sends no secret, so any key would pass";
            self.wrong(at, message, "log in with the key: `auth: { bearer: \"${key.key}\" }`");
        }
        let request = self.request("verify", at, document, None, Scope::Verify)?;
        Some(Verify {
            request,
            refused: refused?,
            refused_if: match refused_if {
                None => None,
                Some(path) => Some(path?),
            },
            key_id: match key_id {
                None => None,
                Some(path) => Some(path?),
            },
            negative_control: self.control,
        })
    }

    pub(super) fn removal(
        &mut self,
        request: Spanned<Box<RequestDocument>>,
        name: &'static str,
        admin: &Spanned<AuthDocument>,
    ) -> Option<Removal> {
        let (at, mut document) = (request.referenced, request.value);
        if document.gone.is_none() {
            let message = format!("`{name}` has no `gone`, so that repeating it would fail for ever");
            let help =
                "say what status a key that is not there is answered with: `gone: [404]`, or `gone: []` if as success";
            self.wrong(at, message, help);
        }
        let gone = self.sign(document.gone.take(), document.gone_if.take(), "gone");
        self.names_key(at, &document, name);
        let request = self.request(name, at, document, Some(admin), Scope::Removal)?;
        Some(Removal { request, gone: gone? })
    }

    /// In the list, by a request of its own, or not at all.
    pub(super) fn last_used(
        &mut self,
        request: Option<Spanned<Box<RequestDocument>>>,
        each: Option<Text>,
        admin: &Spanned<AuthDocument>,
    ) -> Option<LastUsed> {
        let Some(Spanned { value: mut document, referenced: at, .. }) = request else {
            return Some(match each {
                None => LastUsed::Unknown,
                Some(path) => LastUsed::Each(self.json_path(&path)?),
            });
        };
        if each.is_some() {
            let help = "remove `last_used` from `each`, or the request";
            self.wrong(at, "when a key was last used is said in two ways", help);
        }
        if document.at.is_none() {
            let help = "say where the answer holds when the key was last used: `at: \"$.last_used\"`";
            self.wrong(at, "`last_used` has no `at`", help);
        }
        let place = document.at.take().and_then(|path| self.json_path(&path));
        let never = document.never.take().map(|path| self.json_path(&path));
        self.names_key(at, &document, "last_used");
        let request = self.request("last_used", at, document, Some(admin), Scope::Removal)?;
        let never = match never {
            None => None,
            Some(path) => Some(path?),
        };
        Some(LastUsed::Request(Box::new(LastUsedRequest { request, at: place?, never })))
    }

    /// Statuses, and what an answer with one must hold besides.
    pub(super) fn sign(
        &mut self,
        statuses: Option<Spanned<Vec<Spanned<u16>>>>,
        holds: Option<Text>,
        key: &'static str,
    ) -> Option<Sign> {
        if let Some(holds) = holds.as_ref().filter(|_| statuses.as_ref().is_none_or(|list| list.value.is_empty())) {
            let help = format!("say of which statuses: `{key}: [400]`");
            self.wrong(holds.referenced, format!("`{key}_if` without statuses in `{key}`"), help);
        }
        let statuses = self.statuses(statuses, 400..=499, key);
        let holds = holds.map(|path| self.json_path(&path));
        Some(Sign {
            statuses: statuses?,
            holds: match holds {
                None => None,
                Some(path) => Some(path?),
            },
        })
    }

    pub(super) fn names_key(&mut self, at: Location, document: &RequestDocument, name: &str) {
        let variable = format!("${{key.{}}}", self.id);
        if !document.texts().any(|text| text.contains(&variable)) {
            let message = format!("`{name}` does not say which key");
            self.wrong(at, message, format!("write `{variable}` into its path or body"));
        }
    }

    /// What all requests have. Whatever else is still in the document belongs to another one.
    pub(super) fn request(
        &mut self,
        name: &'static str,
        at: Location,
        document: Box<RequestDocument>,
        admin: Option<&Spanned<AuthDocument>>,
        scope: Scope,
    ) -> Option<Request> {
        for (key, place) in document.left_over() {
            let message = format!("`{key}` means nothing in `{name}`");
            self.wrong(place, message, format!("it belongs into `{}`", owner(key)));
        }
        let base = document.base_url.as_ref().map(|base| self.base(base));
        let method = self.method(&document.method);
        let path = self.path(&document.path, scope.address());
        if document.path.value.is_empty() && document.base_url.is_none() {
            let message = "without a path all such requests go to the same address, whatever they are about";
            self.wrong(
                document.path.referenced,
                message,
                "write a path, or beside it a `base_url` that is the whole address",
            );
        }
        let query = self.pairs(&document.query, scope.address());
        let expect = self.statuses(Some(document.expect), 200..=299, "expect");
        if expect.as_ref().is_some_and(Vec::is_empty) {
            self.wrong(at, format!("`{name}` expects no status"), "such as `expect: [200]`");
        }
        let body = match (&document.json, &document.form) {
            (None, None) => Some(Body::Nothing),
            (Some(json), None) => self.json(json, scope).map(Body::Json),
            (None, Some(form)) => self.pairs(&form.value, scope).map(Body::Form),
            (Some(_), Some(form)) => {
                self.wrong(form.referenced, "a request has one body: `json` or `form`", "remove one of them");
                None
            }
        };
        let headers = self.headers(&document.headers, scope);
        let holds = document.holds.as_ref().map(|path| self.json_path(path));
        let auth = match document.auth.as_ref().or(admin) {
            None => Some(Auth::Nothing),
            Some(auth) => self.auth(auth, scope),
        };
        Some(Request {
            name,
            base: match base {
                None => None,
                Some(base) => Some(base?),
            },
            method: method?,
            path: path?,
            query: query?,
            headers: headers?,
            auth: auth?,
            body: body?,
            expect: expect?,
            holds: match holds {
                None => None,
                Some(path) => Some(path?),
            },
        })
    }

    fn extract(
        &mut self,
        at: Location,
        extract: Option<Spanned<Entries<Text>>>,
    ) -> Option<Vec<(String, serde_json_path::JsonPath)>> {
        let (at, entries) = extract.map_or((at, Vec::new()), |extract| (extract.referenced, extract.value.0));
        for field in self.fields.clone() {
            if !entries.iter().any(|(name, _)| name.value == field) {
                let message = format!("nothing says where the answer of `create` holds `{field}`");
                self.wrong(at, message, format!("write `extract: {{ {field}: \"$.…\" }}`"));
            }
        }
        let paths: Vec<_> = entries
            .into_iter()
            .map(|(name, path)| {
                if !self.fields.contains(&name.value) {
                    let help = did_you_mean(&name.value, self.fields.iter().map(String::as_str));
                    self.wrong(name.referenced, format!("there is no field `{}`", name.value), help);
                }
                self.json_path(&path).map(|path| (name.value, path))
            })
            .collect();
        paths.into_iter().collect()
    }

    fn next(&mut self, next: Spanned<NextDocument>) -> Option<Next> {
        let NextDocument { cursor, parameter, more, link, page, first } = next.value;
        match (cursor, parameter, more, link, page, first) {
            (Some(cursor), Some(parameter), more, None, None, None) => {
                let (at, more) = (self.json_path(&cursor), more.map(|more| self.json_path(&more)));
                let more = match more {
                    None => None,
                    Some(more) => Some(more?),
                };
                Some(Next::Cursor { at: at?, parameter: parameter.value, more })
            }
            (None, None, None, Some(link), None, None) if link.value => Some(Next::Link),
            (None, None, None, None, Some(page), first) => {
                Some(Next::Page { parameter: page.value, first: first.map_or(1, |first| first.value) })
            }
            _ => {
                let help =
                    "`{ cursor: \"$.next\", parameter: cursor }`, `{ link: true }` or `{ page: page, first: 1 }`";
                self.wrong(next.referenced, "`next` says in one way how a long list goes on", help);
                None
            }
        }
    }
}

/// The request that a key belongs to.
fn owner(key: &str) -> &'static str {
    match key {
        "quota" | "quota_if" | "idempotency_key" | "extract" => "create",
        "refused" | "refused_if" | "key_id" | "negative_control" => "verify",
        "gone" | "gone_if" => "delete",
        "unfit" | "unfit_if" => "put",
        "at" | "never" => "last_used",
        _ => "list",
    }
}
