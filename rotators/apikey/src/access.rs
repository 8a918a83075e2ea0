//! One call's way to the provider: its address, its credentials, and requests with the values filled in.

use keywheel_sdk::{Admin, Bundle, Call, Retry, RotatorError, Secret};
use reqwest::{Client, Url};

use crate::ApiKeyRotator;
use crate::expiry::Expiry;
use crate::fill::{put_body, put_header};
use crate::http::{self, Failure, Format, Outgoing, Reply};
use crate::login::login;
use crate::provider::{PUBLIC, Provider, Request};
use crate::redact::{without, without_basic};
use crate::settings;
use crate::template::{Place, Values};
use crate::token::Tokens;

/// What one call needs for its requests.
pub(crate) struct Access<'a> {
    pub provider: &'a Provider,
    pub call: &'a Call<'a>,
    client: Client,
    base: Url,
    /// The tag of this rotation, where keys hold one.
    pub tag: Option<String>,
    /// When a key that this call makes ends.
    expiry: Option<Expiry>,
    /// The tokens that this call was given.
    pub tokens: Tokens,
}

impl<'a> Access<'a> {
    /// Checks the settings; sends nothing.
    pub fn of(rotator: &'a ApiKeyRotator, call: &'a Call<'a>) -> Result<Self, RotatorError> {
        let provider = &rotator.provider;
        let settings = &call.target.settings;
        let wrong = |why: String| RotatorError::not_done(Retry::Never, "settings", why);
        settings::check(provider, settings).map_err(wrong)?;
        let base = settings::address(provider, &provider.base_url, settings).map_err(wrong)?;
        let expiry = Expiry::of(provider, settings, crate::clock::now());
        Ok(Access {
            provider,
            call,
            client: rotator.client()?,
            base,
            tag: provider.tag().map(|tag| tag.of(call.rotation)),
            expiry,
            tokens: Tokens::default(),
        })
    }

    /// A request about `key`, or about none. Asks for a token before it, where the request needs one.
    pub async fn request(&self, request: &Request, key: Option<&Bundle>) -> Result<Outgoing, RotatorError> {
        let values = self.values(key);
        let url = self.url(request, &values)?;
        self.request_to(url, request, &values).await
    }

    /// The same request of the admin with one more parameter, which says where a list goes on.
    pub async fn request_page(&self, request: &Request, name: &str, value: &str) -> Result<Outgoing, RotatorError> {
        let values = self.values(None);
        let mut url = self.url(request, &values)?;
        url.query_pairs_mut().append_pair(name, value);
        self.request_to(url, request, &values).await
    }

    /// The same request of the admin to the address where a list goes on.
    pub async fn request_at(&self, request: &Request, url: Url) -> Result<Outgoing, RotatorError> {
        let base = self.base(request)?;
        if url.origin() != base.origin() {
            let message =
                format!("the provider says that `{}` goes on at another host, which is not asked", request.name);
            return Err(RotatorError::not_done(Retry::Never, "foreign-link", message));
        }
        let path = base.path().trim_end_matches('/');
        if url.path().strip_prefix(path).is_none_or(|rest| !rest.starts_with('/')) {
            let message =
                format!("the provider says that `{}` goes on outside of `{path}/`, which is not asked", request.name);
            return Err(RotatorError::not_done(Retry::Never, "foreign-link", message));
        }
        self.request_to(url, request, &self.values(None)).await
    }

    /// Sends a request; whatever was made of a key's or the admin's credential went into it.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Reply, Failure> {
        http::send(&self.client, self.call, outgoing, self.provider.answers).await
    }

    /// Sends a request that is answered in JSON by whomever.
    pub async fn send_for_json(&self, outgoing: Outgoing) -> Result<Reply, Failure> {
        http::send(&self.client, self.call, outgoing, Format::Json).await
    }

    /// Takes out of a text what must not be told: the values of the admin's credential and of the key, but for their
    /// names, and the tokens, each in whatever spelling.
    pub fn without_secrets(&self, text: &str, key: Option<&Bundle>) -> String {
        let mut text = text.to_owned();
        let bundles = self.admin().into_iter().chain(key);
        let mut secrets: Vec<_> = bundles.flat_map(Bundle::fields).filter(|field| !PUBLIC.contains(&field.0)).collect();
        // The longest first: of one that holds another nothing must be left.
        secrets.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.expose(str::len)));
        let mut take_out = |secret: &Secret| text = secret.expose(|value| without(&text, value));
        self.tokens.each(&mut take_out);
        secrets.into_iter().for_each(|(_, secret)| take_out(secret));
        without_basic(&text)
    }

    /// The values of the admin's credential, one of which may be the id of a key.
    pub fn admins_words(&self) -> Vec<String> {
        self.admin().into_iter().flat_map(Bundle::fields).map(|(_, value)| value.expose(str::to_owned)).collect()
    }

    /// A key of which only the id is known.
    pub fn key_of(&self, id: &str) -> Bundle {
        Bundle::new().with(self.provider.id_field(), Secret::new(id.to_owned()))
    }

    /// A key's id, or its account where the engine makes passwords. It is kept in the bundle, but is no secret.
    pub fn key_id(&self, key: &Bundle) -> Result<String, RotatorError> {
        let field = self.provider.id_field();
        let id = key.get(field)?.expose(str::to_owned);
        if id.trim().is_empty() {
            let message = format!("the credential's `{field}` is empty");
            return Err(RotatorError::not_done(Retry::Never, "unfit-value", message));
        }
        Ok(id)
    }

    fn admin(&self) -> Option<&'a Bundle> {
        match &self.call.target.admin {
            Admin::Credential(bundle) => Some(bundle),
            Admin::Own => None,
        }
    }

    fn values<'b>(&'b self, key: Option<&'b Bundle>) -> Values<'b> {
        Values {
            settings: &self.provider.settings,
            target: &self.call.target.settings,
            admin: self.admin(),
            key,
            rotation: self.call.rotation,
            tag: self.tag.as_deref().unwrap_or_default(),
            expiry: self.expiry,
        }
    }

    /// Where a request begins.
    fn base(&self, request: &Request) -> Result<Url, RotatorError> {
        match &request.base {
            None => Ok(self.base.clone()),
            Some(base) => settings::address(self.provider, base, &self.call.target.settings)
                .map_err(|why| RotatorError::not_done(Retry::Never, "settings", why)),
        }
    }

    fn url(&self, request: &Request, values: &Values<'_>) -> Result<Url, RotatorError> {
        let path = request.path.fill(values, Place::Segment)?;
        let base = self.base(request)?;
        // Without a path the address is whole, to its last slash.
        let before = if request.path.is_empty() { base.path() } else { base.path().trim_end_matches('/') };
        let whole = format!("{before}{}", *path);
        let mut url = base.clone();
        url.set_path(&whole);
        // The last line of defence: an address that means another place than it says.
        if url.path() != whole || url.origin() != base.origin() {
            let message = format!("the path of `{}` does not stay what it is with its values", request.name);
            return Err(RotatorError::not_done(Retry::Never, "unfit-value", message));
        }
        for (name, template) in &request.query {
            url.query_pairs_mut().append_pair(name, &template.fill(values, Place::Whole)?);
        }
        Ok(url)
    }

    async fn request_to(&self, url: Url, request: &Request, values: &Values<'_>) -> Result<Outgoing, RotatorError> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), url);
        for (name, template) in self.provider.headers.iter().chain(&request.headers) {
            put_header(outgoing.headers_mut(), name, template, values, "")?;
        }
        put_body(&mut outgoing, &request.body, values)?;
        // Last, since a signature is about all the rest.
        login(self, &mut outgoing, request, values).await?;
        Ok(Outgoing { name: request.name, request: outgoing })
    }
}
