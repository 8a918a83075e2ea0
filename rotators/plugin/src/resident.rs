//! An instance of a library in this process, on a thread of its own.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use keywheel_sdk::message::{self, Greeting, Hello, Reply, Request};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant as Moment, timeout_at};
use zeroize::Zeroizing;

use crate::child::{ENGINE, Unanswered};
use crate::fault::Fault;
use crate::file::Checked;
use crate::library::{Instance, Library, NoReply};
use crate::plugin::Plugin;

type Line = Zeroizing<Vec<u8>>;

/// A library that was loaded into this process, and greeted.
pub(crate) struct Loaded {
    library: Library,
    greeting: Greeting,
    late: Late,
}

/// An instance that waits for calls. Dropped, its thread ends when its last call does; a call that never ends keeps the thread.
pub(crate) struct Resident {
    calls: mpsc::Sender<Asked>,
    instance: Shared,
    late: Late,
    next: u64,
}

/// How many calls run that nobody waits for any longer. While there is one, nothing else is asked: what it still does would come after
/// whatever was found out meanwhile. Less than none for an instant, where a call ends just when it is given up.
type Late = watch::Sender<isize>;

/// There once the thread has made it.
type Shared = Arc<Mutex<Option<Arc<Instance>>>>;

/// One call, for the instance's thread.
struct Asked {
    line: Line,
    reply: oneshot::Sender<Result<Line, NoReply>>,
    state: Arc<AtomicU8>,
}

/// Somebody waits for the call.
const AWAITED: u8 = 0;
/// Nobody does any longer, and it has not ended.
const GIVEN_UP: u8 = 1;
const ENDED: u8 = 2;

impl Loaded {
    /// Loads the file and hears what it says of itself, on a thread of its own: nobody can end what never returns. Waits for that, for
    /// `patience` at most.
    pub fn load(plugin: &Plugin, file: Checked, patience: Duration) -> Result<Self, Fault> {
        let path = file.path(plugin).map_err(|error| Fault::NotStarted(std::io::Error::other(error)))?;
        let (told, heard) = mpsc::channel();
        let load = move || {
            // Who waited may have gone.
            let _ = told
                .send(Library::load(&path).map_err(Fault::from).and_then(|library| Ok((library, greet(&library)?))));
            // The copy must be there as long as it is being loaded.
            drop(file);
        };
        std::thread::Builder::new().name("plugin".to_owned()).spawn(load).map_err(Fault::NotStarted)?;
        let (library, greeting) = heard.recv_timeout(patience).map_err(|_| Fault::NoGreeting(patience))??;
        Ok(Loaded { library, greeting, late: watch::Sender::new(0) })
    }

    /// What it says of itself. It is asked once: the library stays what it is.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// A new instance, made by the thread that it gets.
    pub fn start(&self) -> Result<Resident, Fault> {
        let (calls, waiting) = mpsc::channel();
        let (library, instance, late) = (self.library, Shared::default(), self.late.clone());
        let shared = Arc::clone(&instance);
        let run = move || answer(&library, &shared, &waiting, &late);
        std::thread::Builder::new().name("plugin".to_owned()).spawn(run).map_err(Fault::NotStarted)?;
        Ok(Resident { calls, instance, late: self.late.clone(), next: 1 })
    }
}

fn greet(library: &Library) -> Result<Greeting, Fault> {
    let greeting: Greeting = message::read(&library.describe(&message::write(&Hello::new(ENGINE))?)?)?;
    if greeting.format == message::FORMAT { Ok(greeting) } else { Err(Fault::Format(greeting.format)) }
}

/// What the thread of an instance does, as long as somebody may ask.
fn answer(library: &Library, shared: &Shared, waiting: &mpsc::Receiver<Asked>, late: &Late) {
    for Asked { line, reply, state } in waiting {
        let answered = called(library, shared, &line, &state);
        if state.swap(ENDED, Ordering::SeqCst) == GIVEN_UP {
            late.send_modify(|late| *late -= 1);
        }
        // Who asked may have gone meanwhile.
        let _ = reply.send(answered);
    }
}

fn called(library: &Library, shared: &Shared, line: &[u8], state: &AtomicU8) -> Result<Line, NoReply> {
    let made = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let instance = match made {
        Some(instance) => instance,
        None => {
            let instance = Arc::new(library.create()?);
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&instance));
            instance
        }
    };
    // What was given up before it began need not begin.
    if state.load(Ordering::SeqCst) == GIVEN_UP { Err(NoReply::Nothing) } else { instance.call(line) }
}

/// A call that somebody waits for. Dropped before it ended, it is given up.
struct Waiting<'a> {
    resident: &'a Resident,
    id: u64,
    state: Arc<AtomicU8>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.state.compare_exchange(AWAITED, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        self.resident.late.send_modify(|late| *late += 1);
        let made = self.resident.instance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(instance) = made {
            let id = self.id;
            // It may wait for the call. Without a thread it is not told, and the call takes its time.
            let _ = std::thread::Builder::new().name("plugin".to_owned()).spawn(move || instance.give_up(id));
        }
    }
}

impl Resident {
    /// The number of the next call.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Asks one call and waits for its answer. Dropped, the call is given up.
    pub async fn ask(&mut self, request: &Request, until: Instant) -> Result<Reply, Unanswered> {
        let id = request.id;
        self.next = id + 1;
        let unsent = |fault: Fault| Unanswered { fault, sent: false };
        let mut late = self.late.subscribe();
        let free = timeout_at(Moment::from_std(until), late.wait_for(|late| *late <= 0));
        if !matches!(free.await, Ok(Ok(_))) {
            return Err(unsent(Fault::Busy));
        }
        let line = message::write(request).map_err(|malformed| unsent(malformed.into()))?;
        let (reply, answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(AWAITED));
        let asked = Asked { line, reply, state: Arc::clone(&state) };
        self.calls.send(asked).map_err(|_| unsent(Fault::Closed))?;
        let _waiting = Waiting { resident: self, id, state };
        let answered = async {
            let line = timeout_at(Moment::from_std(until), answer).await.map_err(|_| Fault::Late)?;
            let reply: Reply = message::read(&line.map_err(|_| Fault::Closed)??)?;
            if reply.id == id { Ok(reply) } else { Err(Fault::OtherCall { got: reply.id, expected: id }) }
        };
        answered.await.map_err(|fault| Unanswered { fault, sent: true })
    }
}
