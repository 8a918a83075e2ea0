//! The HTTP API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::carry::carry_out;
use crate::database::{Draft, Key, now};
use crate::fault::Route;
use crate::line::Cutter;
use crate::receive::Delivery;
use crate::refusal::Refusal;
use crate::{Service, value};

/// The longest name, key or idempotency key.
const LONGEST: usize = 255;

/// The shortest value of a slot.
const SHORTEST_SLOT: usize = 16;

/// The largest page that may be asked for.
const LARGEST_PAGE: usize = 1000;

pub(crate) fn router(service: Arc<Service>) -> IntoMakeServiceWithConnectInfo<Router, Cutter> {
    let at = |route: Route, methods: MethodRouter<Arc<Service>>| {
        methods.route_layer(from_fn_with_state((Arc::clone(&service), route), carry_out))
    };
    Router::new()
        .route("/v1/users/{user}/keys", at(Route::Create, post(create)).merge(at(Route::List, get(list))))
        .route("/v1/users/{user}/keys/{id}", at(Route::Get, get(show)).merge(at(Route::Delete, delete(remove))))
        .route("/v1/users/{user}/keys/{id}/disable", at(Route::Disable, post(disable)))
        .route("/v1/users/{user}/keys/{id}/enable", at(Route::Enable, post(enable)))
        .route("/v1/users/{user}/keys/{id}/rotate", at(Route::Rotate, post(rotate)))
        .route("/v1/users/{user}/slots", at(Route::ListSlots, get(list_slots)))
        .route(
            "/v1/users/{user}/slots/{slot}",
            at(Route::PutSlot, put(put_slot)).merge(at(Route::DeleteSlot, delete(delete_slot))),
        )
        .route("/v1/users/{user}/webhook", at(Route::Webhook, post(webhook)))
        .route("/v1/whoami", at(Route::WhoAmI, get(whoami)))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .with_state(service)
        .into_make_service_with_connect_info::<Cutter>()
}

type Shared = State<Arc<Service>>;
type UserPath = Result<Path<String>, PathRejection>;
type KeyPath = Result<Path<(String, String)>, PathRejection>;

/// A caller that has shown the admin token.
struct Admin;

impl FromRequestParts<Arc<Service>> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        match bearer(&parts.headers) {
            Some(token) if value::is_of(token, &service.admin) => Ok(Admin),
            _ => Err(Refusal::Unauthorized),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// A key with its value, which is shown once.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    shown: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    key: Option<String>,
    expires_in: Option<u32>,
}

async fn create(
    _: Admin,
    State(service): Shared,
    user: UserPath,
    headers: HeaderMap,
    body: Result<Json<Create>, JsonRejection>,
) -> Result<Response, Refusal> {
    let (Path(user), Json(body)) = (user?, body?);
    if !(1..=LONGEST).contains(&body.name.chars().count()) {
        return Err(Refusal::Invalid(format!("a name has 1 to {LONGEST} characters")));
    }
    let value = match body.key {
        Some(value) if is_token(&value) => value,
        Some(_) => return Err(Refusal::Invalid(format!("a key has 1 to {LONGEST} visible ASCII characters"))),
        None => value::generate()?,
    };
    let idempotency_key = match headers.get("idempotency-key").map(|header| header.to_str()) {
        Some(Ok(header)) if is_token(header) => Some(header),
        Some(_) => return Err(Refusal::Invalid(format!("Idempotency-Key: 1 to {LONGEST} visible ASCII characters"))),
        None => None,
    };
    let draft = Draft { name: body.name, scopes: body.scopes, value, expires_in: body.expires_in };
    let (key, is_new) = service.database.create(&user, &draft, idempotency_key, service.quota).await?;
    let shown = Shown { shown: key, key: is_new.then_some(draft.value) };
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Whether it can stand in a header as it is.
fn is_token(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(
    _: Admin,
    State(service): Shared,
    user: UserPath,
    uri: Uri,
    headers: HeaderMap,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (Path(user), Query(page)) = (user?, page?);
    let limit = page.limit.unwrap_or(service.page);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Refusal::Invalid(format!("a page has 1 to {LARGEST_PAGE} keys")));
    }
    let after = match page.cursor.as_deref().map(from_cursor) {
        Some(Some(after)) => after,
        Some(None) => return Err(Refusal::Invalid("this cursor is not of this service".to_owned())),
        None => 0,
    };
    let (keys, next) = service.database.page(&user, after, limit).await?;
    let next = next.map(to_cursor);
    let body = Json(json!({ "keys": keys, "next_cursor": next }));
    let Some(cursor) = next else {
        return Ok(body.into_response());
    };
    // As the caller calls this service; without a host it is relative to the request.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = host.map(|host| format!("http://{host}")).unwrap_or_default();
    let link = format!("<{origin}{}?limit={limit}&cursor={cursor}>; rel=\"next\"", uri.path());
    Ok(([(header::LINK, link)], body).into_response())
}

/// Callers are to take it as it is, so it does not look like a number.
fn to_cursor(after: i64) -> String {
    format!("after_{after:x}")
}

fn from_cursor(cursor: &str) -> Option<i64> {
    i64::from_str_radix(cursor.strip_prefix("after_")?, 16).ok()
}

async fn show(_: Admin, State(service): Shared, path: KeyPath) -> Result<Json<Key>, Refusal> {
    let Path((user, id)) = path?;
    service.database.get(&user, &id).await?.map(Json).ok_or(Refusal::NotFound)
}

async fn remove(_: Admin, State(service): Shared, path: KeyPath) -> Result<StatusCode, Refusal> {
    let Path((user, id)) = path?;
    if service.database.delete(&user, &id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::NotFound) }
}

async fn disable(_: Admin, State(service): Shared, path: KeyPath) -> Result<Json<Key>, Refusal> {
    let Path((user, id)) = path?;
    service.database.enable(&user, &id, false).await?.map(Json).ok_or(Refusal::NotFound)
}

async fn enable(_: Admin, State(service): Shared, path: KeyPath) -> Result<Json<Key>, Refusal> {
    let Path((user, id)) = path?;
    service.database.enable(&user, &id, true).await?.map(Json).ok_or(Refusal::NotFound)
}

async fn rotate(_: Admin, State(service): Shared, path: KeyPath) -> Result<Response, Refusal> {
    let Path((user, id)) = path?;
    let value = value::generate()?;
    let key = service.database.rotate(&user, &id, &value).await?.ok_or(Refusal::NotFound)?;
    Ok((StatusCode::CREATED, Json(Shown { shown: key, key: Some(value) })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    value: String,
}

async fn put_slot(
    _: Admin,
    State(service): Shared,
    path: KeyPath,
    body: Result<Json<Put>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let (Path((user, slot)), Json(Put { value })) = (path?, body?);
    if slot.chars().count() > LONGEST {
        return Err(Refusal::Invalid(format!("the name of a slot has 1 to {LONGEST} characters")));
    }
    if !is_token(&value) || value.len() < SHORTEST_SLOT {
        let what = format!("the value of a slot has {SHORTEST_SLOT} to {LONGEST} visible ASCII characters");
        return Err(Refusal::UnfitValue(what));
    }
    service.database.put_slot(&user, &slot, &value, service.slots).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_slots(_: Admin, State(service): Shared, user: UserPath) -> Result<Response, Refusal> {
    let Path(user) = user?;
    let slots = service.database.slots(&user).await?;
    let names: Vec<_> = slots.into_iter().map(|(name, _)| name).collect();
    Ok(Json(json!({ "slots": names })).into_response())
}

async fn delete_slot(_: Admin, State(service): Shared, path: KeyPath) -> Result<StatusCode, Refusal> {
    let Path((user, slot)) = path?;
    if service.database.delete_slot(&user, &slot).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::NotFound) }
}

/// What it says is not looked at: it is only known to come from whoever knows a slot's value.
async fn webhook(
    State(service): Shared,
    user: UserPath,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Path(user) = user?;
    let secrets = service.database.secrets(&user).await?;
    let delivery = Delivery::of(&headers, &body);
    if delivery.as_ref().is_some_and(|delivery| !delivery.is_timely(now() / 1000)) {
        return Err(Refusal::Untimely);
    }
    if delivery.is_some_and(|delivery| secrets.iter().any(|secret| delivery.is_signed_by(secret))) {
        return Ok(StatusCode::NO_CONTENT);
    }
    service.refused.fetch_add(1, Ordering::Relaxed);
    Err(Refusal::Unsigned)
}

async fn whoami(State(service): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(value) = bearer(&headers) {
        if let Some((user, key)) = service.database.touch(value).await? {
            return Ok(Json(json!({ "user": user, "key_id": key.id, "scopes": key.scopes })).into_response());
        }
        if let Some((user, slot)) = service.database.find_slot(value).await? {
            return Ok(Json(json!({ "user": user, "slot": slot })).into_response());
        }
    }
    service.refused.fetch_add(1, Ordering::Relaxed);
    Err(Refusal::InvalidKey)
}
