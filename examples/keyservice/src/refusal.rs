//! Why a request is refused, and the answer that says so.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this needs the admin token")]
    Unauthorized,
    #[error("the key is unknown, disabled, expired, or not yet known everywhere")]
    InvalidKey,
    #[error("there is no such thing here")]
    NotFound,
    #[error("this is not done here with this method")]
    Method,
    #[error("the user has {0} keys, which is as many as there may be")]
    QuotaExceeded(usize),
    #[error("the user has {0} other slots, which is as many as there may be")]
    SlotsFull(usize),
    #[error("{0}")]
    UnfitValue(String),
    #[error("none of the user's slots has signed this")]
    Unsigned,
    #[error("this was not signed within the last minutes, so that it says nothing of who did")]
    Untimely,
    #[error("this value is another one's already")]
    ValueTaken,
    #[error("{0}")]
    Invalid(String),
    #[error("the service cannot do this now")]
    Random(#[from] aws_lc_rs::error::Unspecified),
    #[error("the service cannot do this now")]
    Database(#[from] sqlx::Error),
}

impl Refusal {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Refusal::InvalidKey => (StatusCode::UNAUTHORIZED, "invalid_key"),
            Refusal::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Refusal::QuotaExceeded(_) | Refusal::SlotsFull(_) => (StatusCode::CONFLICT, "quota_exceeded"),
            Refusal::UnfitValue(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unfit_value"),
            Refusal::Unsigned => (StatusCode::UNAUTHORIZED, "invalid_signature"),
            // No 401: the secret may be right, and one of two clocks wrong.
            Refusal::Untimely => (StatusCode::BAD_REQUEST, "untimely"),
            Refusal::ValueTaken => (StatusCode::CONFLICT, "value_taken"),
            Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Refusal::Random(_) | Refusal::Database(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        answer(status, code, &self.to_string())
    }
}

/// An answer with an error, in the shape that all errors have.
pub(crate) fn answer(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Refusal::Invalid(rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Refusal::Invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Refusal::Invalid(rejection.body_text())
    }
}
