//! How requests prove who sends them.

use super::Check;
use super::request::Scope;
use crate::document::{AuthDocument, HeaderDocument, OAuth2Document, SigV4Document};
use crate::provider::{Auth, OAuth2, PUBLIC, SigV4};
use crate::spanned::Spanned;
use crate::template::Variable;

const WAYS: &str = "`bearer`, `basic`, `header`, `headers`, `oauth2`, `sigv4` or `webhook`";

impl Check<'_> {
    pub(super) fn auth(&mut self, auth: &Spanned<AuthDocument>, scope: Scope) -> Option<Auth> {
        let AuthDocument { bearer, basic, header, headers, oauth2, sigv4, webhook, query } = &auth.value;
        if let Some(query) = query {
            let message = "a credential in the query stands in the logs of all who pass the request on";
            self.wrong(query.referenced, message, format!("use {WAYS}"));
            return None;
        }
        match (bearer, basic, header, headers, oauth2, sigv4, webhook) {
            (Some(bearer), None, None, None, None, None, None) => self.header_value(bearer, scope).map(Auth::Bearer),
            (None, Some(basic), None, None, None, None, None) => {
                let (username, password) =
                    (self.template(&basic.username, scope), self.template(&basic.password, scope));
                Some(Auth::Basic { username: username?, password: password? })
            }
            (None, None, Some(HeaderDocument { name, value }), None, None, None, None) => {
                let (name, value) = (self.header_name(name), self.header_value(value, scope));
                Some(Auth::Headers(vec![(name?, value?)]))
            }
            (None, None, None, Some(headers), None, None, None) => {
                if headers.value.0.is_empty() {
                    self.wrong(
                        headers.referenced,
                        "`headers` names no header",
                        "such as `X-Api-Key: \"${admin.password}\"`",
                    );
                }
                self.headers(&headers.value, scope).map(Auth::Headers)
            }
            (None, None, None, None, Some(grant), None, None) => self.oauth2(grant, scope),
            (None, None, None, None, None, Some(signer), None) => self.sigv4(signer, scope),
            (None, None, None, None, None, None, Some(signer)) => {
                let secret = self.template(&signer.secret, scope)?;
                let is_key =
                    |variable: &Variable| matches!(variable, Variable::Key(field) if !PUBLIC.contains(&field.as_str()));
                if scope == Scope::Verify && !secret.variables().any(is_key) {
                    let message =
                        "another secret than the key's signs `verify`, so that a wrong key would sign as well";
                    self.wrong(
                        signer.secret.referenced,
                        message,
                        "sign with the key: `webhook: { secret: \"${key.…}\" }`",
                    );
                    return None;
                }
                Some(Auth::Webhook(secret))
            }
            _ => {
                self.wrong(auth.referenced, "`auth` says how in one way", WAYS);
                None
            }
        }
    }

    fn oauth2(&mut self, grant: &Spanned<OAuth2Document>, scope: Scope) -> Option<Auth> {
        if scope == Scope::Verify {
            let message = "in `verify` a token that is refused would not be told from a wrong admin";
            let help = "let `verify` itself ask for the token: `form: { grant_type: client_credentials, … }`";
            self.wrong(grant.referenced, message, help);
            return None;
        }
        let OAuth2Document { token_url, client_id, client_secret, scope: scopes, basic } = &grant.value;
        let token_url = self.base(token_url);
        let (client_id, client_secret) = (self.template(client_id, scope), self.template(client_secret, scope));
        let scopes = scopes.as_ref().map(|scopes| self.template(scopes, scope));
        Some(Auth::OAuth2(Box::new(OAuth2 {
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            scope: match scopes {
                None => None,
                Some(scopes) => Some(scopes?),
            },
            basic: *basic,
        })))
    }

    fn sigv4(&mut self, signer: &SigV4Document, scope: Scope) -> Option<Auth> {
        let SigV4Document { access_key_id, secret_access_key, session_token, region, service } = signer;
        let (access_key_id, secret) =
            (self.header_value(access_key_id, scope), self.header_value(secret_access_key, scope));
        let token = session_token.as_ref().map(|token| self.header_value(token, scope));
        let (region, service) = (self.header_value(region, scope), self.header_value(service, scope));
        Some(Auth::SigV4(Box::new(SigV4 {
            access_key_id: access_key_id?,
            secret_access_key: secret?,
            session_token: match token {
                None => None,
                Some(token) => Some(token?),
            },
            region: region?,
            service: service?,
        })))
    }
}
