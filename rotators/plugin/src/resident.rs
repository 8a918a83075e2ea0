//! An instance of a library in this process, on a thread of its own.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use keywheel_sdk::message::{self, Greeting, Hello, Reply, Request};
use tokio::sync::oneshot;
use tokio::time::{Instant as Moment, timeout_at};
use zeroize::Zeroizing;

use crate::child::{ENGINE, Unanswered};
use crate::fault::Fault;
use crate::library::{Instance, Library, NoReply};

type Line = Zeroizing<Vec<u8>>;

/// An instance that waits for calls. Dropped, its thread ends when its last call does; a call that never ends keeps the thread.
pub(crate) struct Resident {
    instance: Arc<Instance>,
    calls: mpsc::Sender<(Line, oneshot::Sender<Result<Line, NoReply>>)>,
    next: u64,
}

/// Cancels a call that nobody waits for any longer, when dropped.
struct Waiting {
    instance: Arc<Instance>,
    id: Option<u64>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.instance.give_up(id);
        }
    }
}

/// What a library says of itself.
pub(crate) fn greeting(library: &Library) -> Result<Greeting, Fault> {
    let greeting: Greeting = message::read(&library.describe(&message::write(&Hello::new(ENGINE))?)?)?;
    if greeting.format == message::FORMAT { Ok(greeting) } else { Err(Fault::Format(greeting.format)) }
}

impl Resident {
    /// A new instance.
    pub fn start(library: &Library) -> Result<Self, Fault> {
        let instance = Arc::new(library.create()?);
        let (calls, waiting) = mpsc::channel::<(Line, oneshot::Sender<Result<Line, NoReply>>)>();
        let called = Arc::clone(&instance);
        let run = move || {
            for (line, reply) in waiting {
                // Who asked may have gone meanwhile.
                let _ = reply.send(called.call(&line));
            }
        };
        std::thread::Builder::new().name("plugin".to_owned()).spawn(run).map_err(Fault::NotStarted)?;
        Ok(Resident { instance, calls, next: 1 })
    }

    /// The number of the next call.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Asks one call and waits for its answer. Dropped, the call is cancelled.
    pub async fn ask(&mut self, request: &Request, until: Instant) -> Result<Reply, Unanswered> {
        self.next = request.id + 1;
        let unsent = |fault: Fault| Unanswered { fault, sent: false };
        let line = message::write(request).map_err(|malformed| unsent(malformed.into()))?;
        let (reply, answer) = oneshot::channel();
        let mut waiting = Waiting { instance: Arc::clone(&self.instance), id: Some(request.id) };
        self.calls.send((line, reply)).map_err(|_| unsent(Fault::Closed))?;
        let answered = async {
            let line = timeout_at(Moment::from_std(until), answer).await.map_err(|_| Fault::Late)?;
            let reply: Reply = message::read(&line.map_err(|_| Fault::Closed)??)?;
            if reply.id == request.id {
                Ok(reply)
            } else {
                Err(Fault::OtherCall { got: reply.id, expected: request.id })
            }
        };
        let answered = answered.await;
        if !matches!(answered, Err(Fault::Late)) {
            waiting.id = None;
        }
        answered.map_err(|fault| Unanswered { fault, sent: true })
    }
}
