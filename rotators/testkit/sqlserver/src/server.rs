//! The running double: what a test starts, asks, and drops.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};

use crate::exchange::{Message, Parameter, Reply};
use crate::fault::Faults;
use crate::instance::{Instance, Options, Version};
use crate::wire::{self, Tls};

/// How long a stopping server waits for calls of faults that still run.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// A server's certificate chain and its private key, as PEM.
#[derive(Clone)]
pub struct TlsIdentity {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// What the server wants of its clients, if it has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// The client decides; if it wants none, its login is encrypted all the same. Where no client could wish for that
    /// (`ENCRYPT_NOT_SUP`), nothing is.
    #[default]
    Offer,
    /// "Force Encryption": everything is encrypted.
    Require,
    /// "Force Strict Encryption": TDS 8 only.
    Strict,
}

/// How a server begins.
#[derive(Clone, Default)]
pub struct ServerOptions {
    pub instance: Options,
    /// Without it the server cannot encrypt, and says so.
    pub tls: Option<TlsIdentity>,
    pub encryption: Encryption,
    /// Of 127.0.0.1; 0 for any that is free.
    pub port: u16,
}

/// A batch, a statement of `sp_executesql`, or a procedure's name, as a client sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub session: i16,
    pub login: String,
    pub text: String,
    /// It came through TLS.
    pub encrypted: bool,
    pub parameters: Vec<Parameter>,
}

/// A password, or a federated token, as a client sent it to log in; whether it was right or not.
#[derive(Clone, PartialEq, Eq)]
pub struct HeardLogin {
    pub login: String,
    pub password: String,
    /// It came through TLS.
    pub encrypted: bool,
}

impl std::fmt::Debug for HeardLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HeardLogin { login, encrypted, password: _ } = self;
        f.debug_struct("HeardLogin").field("login", login).field("encrypted", encrypted).finish_non_exhaustive()
    }
}

/// A double of SQL Server on 127.0.0.1. It has threads of its own, so sync and async tests alike may start it. Dropping it
/// closes all lines and the port.
pub struct SqlServer {
    shared: Arc<Shared>,
    port: u16,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What all lines of a server have in common.
pub(crate) struct Shared {
    pub(crate) instance: Instance,
    pub(crate) server_name: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) encryption: Encryption,
    pub(crate) faults: Faults,
    /// Changes when all lines are to be closed.
    pub(crate) closings: watch::Sender<u64>,
    heard: Mutex<Vec<Heard>>,
    logins_heard: Mutex<Vec<HeardLogin>>,
}

impl SqlServer {
    /// Starts SQL Server 2022 with all defaults, without TLS.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> io::Result<Self> {
        SqlServer::start_with(ServerOptions::default())
    }

    /// # Errors
    /// If the port is taken, or the certificate or key cannot be used.
    pub fn start_with(options: ServerOptions) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        if let Some(group) = &options.instance.group {
            group.locate(&options.instance.server_name, port);
        }
        let shared = Arc::new(Shared {
            server_name: options.instance.server_name.clone(),
            instance: Instance::new(options.instance),
            tls: options.tls.as_ref().map(Tls::new).transpose()?,
            encryption: options.encryption,
            faults: Faults::new(),
            closings: watch::Sender::new(0),
            heard: Mutex::new(Vec::new()),
            logins_heard: Mutex::new(Vec::new()),
        });
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        // A runtime may not be dropped from within another, so it lives and dies on a thread of its own.
        let thread = std::thread::Builder::new()
            .name("sqlserver-double".to_owned())
            .spawn(move || run(runtime, listener, serving, stopped))?;
        Ok(SqlServer { shared, port, runtime: handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a batch as `sa` in `master`, over no line, and returns once it has ended. Faults do not strike it, nor is it
    /// heard. It is a session of its own.
    ///
    /// # Errors
    /// The first error of the batch. What came before and after it is done all the same, as the server does.
    pub fn execute(&self, sql: &str) -> Result<Vec<Reply>, Message> {
        let (send, receive) = mpsc::channel();
        let (instance, sql) = (self.shared.instance.clone(), sql.to_owned());
        self.runtime.spawn(async move {
            let mut session = instance.console();
            let replies = session.batch(&sql, &[]).await;
            drop(session);
            // The receiver waits below.
            send.send(replies).ok();
        });
        let replies = receive.recv().expect("a batch ends, and does not panic");
        match wire::first_error(&replies) {
            Some(error) => Err(error.clone()),
            None => Ok(replies),
        }
    }

    /// Whether a login would succeed now. Counts nothing and changes nothing.
    pub fn accepts(&self, user: &str, password: &str, database: Option<&str>) -> bool {
        self.shared.instance.accepts(user, password, database)
    }

    /// The faults that strike this server's lines.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// All that clients sent to be executed, in order, whether a fault kept it from being so or not.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.shared.heard).clone()
    }

    /// All that clients sent to log in with, in order.
    pub fn logins_heard(&self) -> Vec<HeardLogin> {
        lock(&self.shared.logins_heard).clone()
    }

    /// How many sessions this login has.
    pub fn sessions(&self, login: &str) -> usize {
        self.shared.instance.sessions(login)
    }

    /// Moves the server's clock forward, which otherwise goes with the real one.
    pub fn advance(&self, by: Duration) {
        self.shared.instance.advance(by);
    }

    /// Ends all sessions and closes all lines as a failover does. In a group, the next replica becomes primary.
    pub fn fail_over(&self) {
        self.shared.instance.fail_over();
        self.shared.closings.send_modify(|count| *count += 1);
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            thread.join().ok();
        }
    }
}

impl Shared {
    pub(crate) fn version(&self) -> Version {
        self.instance.version()
    }

    pub(crate) fn hear(&self, heard: Heard) {
        lock(&self.heard).push(heard);
    }

    pub(crate) fn hear_login(&self, heard: HeardLogin) {
        lock(&self.logins_heard).push(heard);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until it is told to stop, then closes everything.
fn run(runtime: Runtime, listener: StdListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::select! {
            // The sender is dropped to stop.
            _ = stopped => {}
            () = accept(listener, shared) => {}
        }
    });
    runtime.shutdown_timeout(LAST_CALLS);
}

async fn accept(listener: StdListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block, and the runtime has a driver");
    loop {
        // One client that is gone before it was accepted is not the listener's end.
        if let Ok((stream, client)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // A line that breaks, or is closed for what came over it, concerns its client only.
                wire::serve(stream, client, &shared).await.ok();
            });
        }
    }
}
