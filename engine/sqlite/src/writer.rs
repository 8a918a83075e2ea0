//! Group commit: one task owns the only writing connection and commits once for all who wait.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::{Counters, StorageError, WriteError};

/// Begins a transaction that holds the write lock from its start, so that it cannot fail half-way for want of it.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
// Where a write is refused, each has a savepoint of its own. sqlx has calls for that, but each call is a trip to the
// connection's thread and back, and they cannot be joined: these are one trip per write.
const BEGIN_FIRST: &str = "BEGIN IMMEDIATE; SAVEPOINT one_write";
const KEEP_AND_GO_ON: &str = "RELEASE one_write; SAVEPOINT one_write";
/// The savepoint itself stays, for the next write.
const UNDO: &str = "ROLLBACK TO one_write";
/// Writes that may wait in line; a further caller waits for room.
const QUEUE: usize = 1024;
/// Writes that share one commit at most, so that the first one's wait stays short.
const BATCH: usize = 256;
/// How long to wait for another process that holds the write lock.
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// How often to ask for the lock meanwhile. SQLite's own waiting backs off to 100 ms and would starve beside a busy writer.
const LOCK_POLL: Duration = Duration::from_millis(1);
/// After so long without a pause the writer leaves a gap ...
const RUN: Duration = Duration::from_millis(150);
/// ... of this length, in which another process gets its turn. Costs 2 % when everything is busy.
const GAP: Duration = Duration::from_millis(3);

/// Hands writes to the writing task. Dropping it lets the task end after the waiting writes.
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    tally: Arc<Tally>,
}

enum Message {
    Write(Box<dyn Queued>),
    /// Answered when all is written and the connection is closed.
    Close(oneshot::Sender<()>),
}

#[derive(Default)]
struct Tally {
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Writer {
    /// Starts the task. `reconnect` makes a new connection like `connection` after a failure.
    pub(crate) fn start(connection: SqliteConnection, reconnect: SqliteConnectOptions) -> Writer {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let tally = Arc::new(Tally::default());
        tokio::spawn(run(Some(connection), reconnect, waiting, Arc::clone(&tally)));
        Writer { queue, tally }
    }

    pub(crate) async fn write<D, T, E, F>(&self, data: D, f: F) -> Result<T, WriteError<E>>
    where
        F: for<'c> Fn(&'c D, &'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + Sync + 'static,
        D: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let write = Write { data, f, result: None, reply };
        let closed = || WriteError::Storage(sqlx::Error::PoolClosed.into());
        self.queue.send(Message::Write(Box::new(write))).await.map_err(|_| closed())?;
        match answer.await.map_err(|_| closed())? {
            Answer::Done(value) => Ok(value),
            Answer::Refused(error) => Err(WriteError::Refused(error)),
            Answer::Panicked(panic) => std::panic::resume_unwind(panic),
            Answer::Failed(error) => Err(WriteError::Storage(error)),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            commits: self.tally.commits.load(Ordering::Relaxed),
            writes: self.tally.writes.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            let _ = closed.await; // an error says that the task has ended already
        }
        self.queue.closed().await;
    }
}

/// What the writer tells a caller.
enum Answer<T, E> {
    Done(T),
    Refused(E),
    Panicked(Box<dyn Any + Send>),
    Failed(StorageError),
}

/// A write in line, whatever its types.
trait Queued: Send {
    /// Runs the closure, perhaps once more. True if it wants its statements kept.
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;
    /// Forgets what the closure returned: it was undone.
    fn forget(&mut self);
    /// Tells the caller, once it is known what became of the transaction.
    fn reply(self: Box<Self>, committed: Result<(), StorageError>);
}

struct Write<D, T, E, F> {
    data: D,
    f: F,
    result: Option<Result<Result<T, E>, Box<dyn Any + Send>>>,
    reply: oneshot::Sender<Answer<T, E>>,
}

impl<D, T, E, F> Queued for Write<D, T, E, F>
where
    F: for<'c> Fn(&'c D, &'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
    D: Send + Sync,
    T: Send,
    E: Send,
{
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (f, data) = (&self.f, &self.data);
            // The closure itself may panic as well as its future, hence the block around both.
            let result = AssertUnwindSafe(async move { f(data, connection).await }).catch_unwind().await;
            let keep = matches!(result, Ok(Ok(_)));
            self.result = Some(result);
            keep
        })
    }

    fn forget(&mut self) {
        self.result = None;
    }

    fn reply(self: Box<Self>, committed: Result<(), StorageError>) {
        let answer = match (self.result, committed) {
            // A refusal stands whatever became of the others: its own statements were undone or never committed.
            (Some(Ok(Err(error))), _) => Answer::Refused(error),
            (Some(Err(panic)), _) => Answer::Panicked(panic),
            (Some(Ok(Ok(value))), Ok(())) => Answer::Done(value),
            (_, Err(error)) => Answer::Failed(error),
            (None, Ok(())) => Answer::Failed(sqlx::Error::WorkerCrashed.into()),
        };
        let _ = self.reply.send(answer); // the caller may be gone
    }
}

async fn run(
    mut connection: Option<SqliteConnection>,
    reconnect: SqliteConnectOptions,
    mut waiting: mpsc::Receiver<Message>,
    tally: Arc<Tally>,
) {
    let mut inbox = Vec::with_capacity(BATCH);
    let mut closing = Vec::new();
    let (mut busy_since, mut done) = (Instant::now(), Instant::now());
    while waiting.recv_many(&mut inbox, BATCH).await > 0 {
        if done.elapsed() >= GAP {
            busy_since = Instant::now(); // nobody wanted to write for a while, which was gap enough
        }
        let mut batch = Vec::with_capacity(inbox.len());
        for message in inbox.drain(..) {
            match message {
                Message::Write(write) => batch.push(write),
                Message::Close(reply) => {
                    waiting.close(); // what is in line already is still taken
                    closing.push(reply);
                }
            }
        }
        if batch.is_empty() {
            continue;
        }
        write_batch(&mut connection, &reconnect, batch, &tally).await;

        done = Instant::now();
        if done - busy_since > RUN {
            pause(GAP).await;
            busy_since = Instant::now();
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "the database did not close cleanly; the next opening recovers it");
    }
    for reply in closing {
        let _ = reply.send(());
    }
}

/// Runs a batch in one transaction, and replies to all of it.
async fn write_batch(
    slot: &mut Option<SqliteConnection>,
    reconnect: &SqliteConnectOptions,
    mut batch: Vec<Box<dyn Queued>>,
    tally: &Tally,
) {
    let outcome = match take_or_connect(slot, reconnect).await {
        Ok(mut connection) => match commit_batch(&mut connection, &mut batch).await {
            Ok(kept) => {
                *slot = Some(connection);
                if kept > 0 {
                    tally.commits.fetch_add(1, Ordering::Relaxed);
                    tally.writes.fetch_add(kept, Ordering::Relaxed);
                }
                Ok(())
            }
            Err(error) => {
                // What SQLite has rolled back by itself, sqlx does not know. A new connection cannot be mistaken.
                let _ = connection.close_hard().await;
                Err(error)
            }
        },
        Err(error) => Err(error),
    };
    let outcome = outcome.map_err(|error| {
        tracing::error!(%error, writes = batch.len(), "a database transaction failed");
        StorageError::from(error)
    });
    for write in batch {
        write.reply(outcome.clone());
    }
}

async fn take_or_connect(
    slot: &mut Option<SqliteConnection>,
    reconnect: &SqliteConnectOptions,
) -> Result<SqliteConnection, sqlx::Error> {
    match slot.take() {
        Some(connection) => Ok(connection),
        None => connect(reconnect).await,
    }
}

/// Connects, which may have to wait while another process recovers the file.
pub(crate) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let patience = Patience::start();
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => patience.wait(error).await?,
        }
    }
}

/// Returns how many writes were kept. On an error nothing was, unless the commit itself was cut off.
async fn commit_batch(connection: &mut SqliteConnection, batch: &mut [Box<dyn Queued>]) -> Result<u64, sqlx::Error> {
    let patience = Patience::start();
    // Refusals are rare, and a savepoint is a trip: so the first try has none, and is undone as a whole.
    let mut apart = false;
    loop {
        let error = match connection.begin_with(if apart { BEGIN_FIRST } else { BEGIN }).await {
            Ok(transaction) if apart => return commit_apart(transaction, batch).await,
            Ok(transaction) => match commit_together(transaction, batch).await? {
                Some(kept) => return Ok(kept),
                None => {
                    apart = true;
                    batch.iter_mut().for_each(|write| write.forget());
                    continue;
                }
            },
            Err(error) => error,
        };
        patience.wait(error).await?;
    }
}

/// `None` if one of several was refused: then nothing was kept, and all must be run again.
async fn commit_together(
    mut transaction: Transaction<'_, Sqlite>,
    batch: &mut [Box<dyn Queued>],
) -> Result<Option<u64>, sqlx::Error> {
    for write in batch.iter_mut() {
        if !write.run(&mut transaction).await {
            transaction.rollback().await?;
            return Ok((batch.len() == 1).then_some(0));
        }
    }
    transaction.commit().await?;
    Ok(Some(batch.len() as u64))
}

/// Each write in a savepoint of its own, so that a refused one takes back what is its own.
async fn commit_apart(
    mut transaction: Transaction<'_, Sqlite>,
    batch: &mut [Box<dyn Queued>],
) -> Result<u64, sqlx::Error> {
    let mut kept = 0;
    let mut before = None;
    for write in batch.iter_mut() {
        if let Some(what) = before {
            sqlx::raw_sql(what).execute(&mut *transaction).await?;
        }
        before = match write.run(&mut transaction).await {
            true => {
                kept += 1;
                Some(KEEP_AND_GO_ON)
            }
            false => Some(UNDO),
        };
    }
    if kept == 0 {
        transaction.rollback().await?;
        return Ok(0);
    }
    if before == Some(UNDO) {
        sqlx::raw_sql(UNDO).execute(&mut *transaction).await?;
    }
    // Ends the savepoint too.
    transaction.commit().await?;
    Ok(kept)
}

/// Waits, within a bound, for a lock that another process holds.
pub(crate) struct Patience {
    deadline: Instant,
}

impl Patience {
    pub(crate) fn start() -> Self {
        Self { deadline: Instant::now() + LOCK_WAIT }
    }

    /// Returns when it is time to try again, or the error if it is another one or the time is up.
    pub(crate) async fn wait(&self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        if !is_busy(&error) || Instant::now() >= self.deadline {
            return Err(error);
        }
        pause(LOCK_POLL).await;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "SQLite has no signal for another process's lock")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// `SQLITE_BUSY` in any of its extended forms: the low byte is the primary code.
fn is_busy(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    error.code().and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}
