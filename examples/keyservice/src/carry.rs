//! Carrying out a request, or what an armed fault makes of it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::fault::{Effect, Route};
use crate::line::Cutter;
use crate::{Service, refusal};

/// More than any request here needs.
const LONGEST_BODY: usize = 64 * 1024;

/// Carries out a request on this route, unless a fault strikes there.
pub(crate) async fn carry_out(
    State((service, route)): State<(Arc<Service>, Route)>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
    next: Next,
) -> Response {
    // Taken in whole, so that a request either has arrived or has not, whatever happens to it then.
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return refusal::answer(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the body is too long or incomplete");
    };
    let request = Request::from_parts(head, Body::from(body));

    let Some(strike) = service.faults.strike(route) else {
        return execute(request, next).await;
    };
    match &strike.effect {
        Effect::Answer { status, retry_after } => {
            strike.has_struck();
            injected(*status, *retry_after)
        }
        Effect::ExecuteThenAnswer { status } => {
            execute(request, next).await;
            strike.has_struck();
            injected(*status, None)
        }
        Effect::CutBefore => {
            cutter.cut();
            strike.has_struck();
            unsent()
        }
        Effect::ExecuteThenCut => {
            execute(request, next).await;
            cutter.cut();
            strike.has_struck();
            unsent()
        }
        Effect::Stall => {
            strike.has_struck();
            cutter.wait().await;
            unsent()
        }
        Effect::ExecuteThenStall => {
            execute(request, next).await;
            strike.has_struck();
            cutter.wait().await;
            unsent()
        }
        Effect::Slow(delay) => {
            let answer = execute(request, next).await;
            strike.has_struck();
            // Cut while it waits, the answer goes nowhere.
            let _ = tokio::time::timeout(*delay, cutter.wait()).await;
            answer
        }
        Effect::Body(body) => {
            execute(request, next).await;
            strike.has_struck();
            ([(header::CONTENT_TYPE, "application/json")], body.clone()).into_response()
        }
    }
}

/// Executes the request to its end even if its client goes away meanwhile, as most servers do.
async fn execute(request: Request, next: Next) -> Response {
    tokio::spawn(next.run(request)).await.unwrap_or_else(|_| injected(500, None))
}

/// The answer of a fault: its code is the status in words, such as `too_many_requests`.
fn injected(status: u16, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let words = status.canonical_reason().unwrap_or("fault");
    let mut response = refusal::answer(status, &words.to_lowercase().replace([' ', '-'], "_"), words);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What is handed to a line that is cut.
fn unsent() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
