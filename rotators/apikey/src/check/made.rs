//! Who makes the value, and what requests that takes.

use keywheel_sdk::{PASSWORD, USERNAME};
use serde_yaml::Location;

use super::Check;
use super::request::Scope;
use crate::document::{AuthDocument, Document, RequestDocument, RequestsDocument};
use crate::mistake::did_you_mean;
use crate::provider::{Issue, KEY_ID, Made, Put, Removal, Tag};
use crate::spanned::Spanned;

type Request = Option<Spanned<Box<RequestDocument>>>;

impl Check<'_> {
    /// Whether the engine makes the value; with what the secret then holds, and what names a key.
    pub(super) fn made_by_engine(&mut self, document: &Document) -> bool {
        let word = document.made_by.as_ref().map_or("provider", |word| word.value.as_str());
        if let Some(made_by) = document.made_by.as_ref().filter(|_| !["provider", "engine"].contains(&word)) {
            let help = did_you_mean(word, ["provider", "engine"]);
            self.wrong(made_by.referenced, format!("`{word}` makes no value"), help);
        }
        if word != "engine" {
            self.id = KEY_ID;
            match &document.fields {
                Some(fields) => self.fields(fields),
                None => {
                    let message = "`fields` is missing, and with it what the secret holds";
                    self.wrong(document.provider.referenced, message, "write `fields: [key_id, key]`");
                    self.fields.push(KEY_ID.to_owned());
                }
            }
            return false;
        }
        self.id = USERNAME;
        self.tagged = false;
        self.fields = vec![USERNAME.to_owned(), PASSWORD.to_owned()];
        for (key, place) in [
            ("fields", document.fields.as_ref().map(|part| part.referenced)),
            ("tag", document.tag.as_ref().map(|part| part.referenced)),
            ("exclusive", document.exclusive.as_ref().map(|part| part.referenced)),
        ] {
            if let Some(place) = place {
                let message = format!("`{key}` means nothing where the engine makes passwords");
                self.wrong(place, message, "remove it");
            }
        }
        true
    }

    /// Keys that the provider makes.
    pub(super) fn issue(
        &mut self,
        at: Location,
        requests: &mut RequestsDocument,
        tag: Option<Option<Tag>>,
        admin: &Spanned<AuthDocument>,
    ) -> Option<Made> {
        self.needed(at, "create", &requests.create, "without it there is no new key");
        self.needed(at, "list", &requests.list, "without it nobody finds a key whose answer was lost");
        self.unwanted("put", &requests.put, "it is for passwords: write `made_by: engine` at the top");
        let create = requests.create.take().and_then(|request| self.create(request, admin));
        let list = requests.list.take().and_then(|request| self.list(request, admin));
        let disable = requests.disable.take().map(|request| self.removal(request, "disable", admin));
        let disable = match disable {
            None => None,
            Some(request) => Some(request?),
        };
        Some(Made::Provider(Box::new(Issue { tag: tag?, create: create?, list: list?, disable })))
    }

    /// Passwords that the engine makes.
    pub(super) fn passwords(
        &mut self,
        at: Location,
        requests: &mut RequestsDocument,
        admin: &Spanned<AuthDocument>,
    ) -> Option<Made> {
        self.needed(at, "put", &requests.put, "without it no account gets a new password");
        let help = "the engine makes the value: write `put`, or remove `made_by`";
        self.unwanted("create", &requests.create, help);
        self.unwanted("disable", &requests.disable, "a password ends by another one, or with its account");
        let put = requests.put.take().and_then(|request| self.put(request, admin));
        let list = requests.list.take().map(|request| self.list(request, admin));
        let (request, unfit) = put?;
        let list = match list {
            None => None,
            Some(list) => Some(list?),
        };
        Some(Made::Engine(Box::new(Put { request, unfit, list })))
    }

    fn put(
        &mut self,
        request: Spanned<Box<RequestDocument>>,
        admin: &Spanned<AuthDocument>,
    ) -> Option<(crate::provider::Request, crate::provider::Sign)> {
        let (at, mut document) = (request.referenced, request.value);
        let unfit = self.sign(document.unfit.take(), document.unfit_if.take(), "unfit");
        self.names_key(at, &document, "put");
        if !document.texts().any(|text| text.contains("${key.password}")) {
            self.wrong(at, "`put` sends no password", "write `${key.password}` into its body");
        }
        let request = self.request("put", at, document, Some(admin), Scope::Put)?;
        Some((request, unfit?))
    }

    /// `delete`, which both ways need.
    pub(super) fn delete(&mut self, at: Location, request: Request, admin: &Spanned<AuthDocument>) -> Option<Removal> {
        self.needed(at, "delete", &request, "without it an old key can never be revoked");
        self.removal(request?, "delete", admin)
    }

    pub(super) fn needed(&mut self, at: Location, name: &str, request: &Request, help: &str) {
        if request.is_none() {
            self.wrong(at, format!("`requests` has no `{name}`"), help);
        }
    }

    fn unwanted(&mut self, name: &str, request: &Request, help: &str) {
        if let Some(request) = request {
            self.wrong(request.referenced, format!("`{name}` means nothing here"), help);
        }
    }
}
