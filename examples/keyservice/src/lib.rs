//! A small HTTP service that issues API keys: an example, and a double for tests.
//!
//! It is a real service in small: keys in SQLite, stored as digests only, a quota per user, pages, and requests that
//! may be repeated; two slots per user for values that the caller chooses, and a receiver of webhooks that they sign. What a provider does on its bad days (cut lines, answers that never come, errors after the deed) is
//! armed through [`KeyService::faults`].

mod api;
mod carry;
mod database;
mod fault;
mod line;
mod receive;
mod refusal;
mod slots;
mod value;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::database::Key;
pub use crate::fault::{Effect, Fault, Faults, Route, Struck};

use crate::database::Database;
use crate::line::Lines;

/// What a caller may choose about a service.
#[derive(Clone)]
pub struct Options {
    /// The bearer token that calls on users' keys need.
    pub admin_token: String,
    /// How many keys a user may have, enabled and disabled ones counted together.
    pub quota: usize,
    /// How many slots a user may have.
    pub slots: usize,
    /// How many keys a page has where the caller does not say.
    pub page: usize,
    /// How old a value must be before it is accepted (a slot's, too), as with a provider that is only eventually consistent.
    pub propagation: Duration,
    /// The file of the keys; in memory if there is none.
    pub database: Option<PathBuf>,
    /// The port on 127.0.0.1; any free one if it is 0.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            admin_token: "admin-token-of-the-example".to_owned(),
            quota: 2,
            slots: 2,
            page: 50,
            propagation: Duration::ZERO,
            database: None,
            port: 0,
        }
    }
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be had.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("cannot open the database of the keys")]
    Database(#[from] sqlx::Error),
}

/// What all requests share.
struct Service {
    admin: [u8; value::DIGEST],
    quota: usize,
    slots: usize,
    page: usize,
    database: Database,
    faults: Faults,
    refused: AtomicU64,
}

/// A running service. It ends when this is dropped; [`KeyService::stop`] also waits for the end.
pub struct KeyService {
    service: Arc<Service>,
    port: u16,
    stopping: CancellationToken,
    serving: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl KeyService {
    /// Opens the database and begins to serve, in the runtime that this is called in.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen { port: options.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let service = Arc::new(Service {
            admin: value::digest(&options.admin_token),
            quota: options.quota,
            slots: options.slots,
            page: options.page,
            database: Database::open(options.database.as_deref(), options.propagation).await?,
            faults: Faults::new(),
            refused: AtomicU64::new(0),
        });
        let stopping = CancellationToken::new();
        let serving = axum::serve(Lines::new(listener, stopping.clone()), api::router(Arc::clone(&service)))
            .with_graceful_shutdown({
                let stopping = stopping.clone();
                async move { stopping.cancelled().await }
            });
        let serving = Some(tokio::spawn(serving.into_future()));
        Ok(KeyService { service, port, stopping, serving })
    }

    /// Where it is, such as `http://127.0.0.1:8080`: without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The faults that may be armed.
    pub fn faults(&self) -> &Faults {
        &self.service.faults
    }

    /// The keys of a user in the order of their creation, asked of the database.
    ///
    /// # Panics
    /// If the database file was taken away.
    pub async fn keys(&self, user: &str) -> Vec<Key> {
        self.service.database.keys(user).await.expect("the database is open for as long as the service runs")
    }

    /// Whether `GET /v1/whoami` would let this value in now, a key's or a slot's. It does not count as a use.
    ///
    /// # Panics
    /// If the database file was taken away.
    pub async fn accepts(&self, value: &str) -> bool {
        const OPEN: &str = "the database is open for as long as the service runs";
        let database = &self.service.database;
        database.find(value).await.expect(OPEN).is_some() || database.find_slot(value).await.expect(OPEN).is_some()
    }

    /// The slots of a user with their values, in the order of their names, asked of the database.
    ///
    /// # Panics
    /// If the database file was taken away.
    pub async fn slots(&self, user: &str) -> Vec<(String, String)> {
        self.service.database.slots(user).await.expect("the database is open for as long as the service runs")
    }

    /// The most slots that this user had at once since the service was started.
    pub fn most_slots(&self, user: &str) -> usize {
        self.service.database.most_slots(user)
    }

    /// The most keys that this user had at once since the service was started.
    pub fn most_keys(&self, user: &str) -> usize {
        self.service.database.most_keys(user)
    }

    /// How many calls of `GET /v1/whoami` were refused for their key, and webhooks for their signature, since the service was
    /// started.
    pub fn refused(&self) -> u64 {
        self.service.refused.load(Ordering::Relaxed)
    }

    /// Cuts all connections, and returns once the port and the database are free again. What has begun in the database
    /// is finished before.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Some(serving) = self.serving.take() {
            // It ends by itself; a panic in it was reported where it happened.
            let _ = serving.await;
        }
        self.service.database.close().await;
    }
}

impl Drop for KeyService {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
