//! A session's requests and answers, from its login to its end.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::sync::watch;

use super::answer;
use super::input::Malformed;
use super::line::{ATTENTION, Incoming, Line};
use super::login7::Login7;
use super::prepared::{self, Prepared};
use super::request::{Call, Transaction};
use super::tokens::{BEGIN, COMMIT, ROLLBACK, Tokens};
use crate::exchange::{Message, Parameter, Reply};
use crate::fault::{self, Answer, Instead};
use crate::instance::Session;
use crate::server::{Heard, Shared};

/// A logged-in client's line with its session. Dropping it ends both.
pub(crate) struct Conversation<'a> {
    line: Line,
    session: Session,
    shared: &'a Shared,
    login: String,
    null_bitmaps: bool,
    killed: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Counts this session's transactions that a transaction manager began, for their descriptors.
    transactions: u64,
    prepared: Prepared,
}

/// Why a request came to no answer.
enum Interruption {
    /// The client took it back.
    Attention,
    /// The session was killed.
    Killed,
    /// The client is gone, or sent what it may not send now.
    Gone,
}

/// What one call leads to.
enum Step {
    Answered,
    Interrupted(Interruption),
    /// The line ends without a word, as a fault has it.
    Closed,
    /// What is written is to be sent, and then the line is closed.
    Last,
}

/// A call that was executed: its replies, and what a procedure returns.
struct Executed {
    replies: Vec<Reply>,
    status: i32,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(line: Line, session: Session, shared: &'a Shared, login7: Login7) -> Self {
        Conversation {
            line,
            killed: Box::pin(session.killed()),
            session,
            shared,
            null_bitmaps: login7.knows_null_bitmaps(),
            login: login7.login.user,
            transactions: 0,
            prepared: Prepared::default(),
        }
    }

    /// Answers requests until the client goes, the session is killed, or all lines are closed.
    pub(crate) async fn hold(&mut self, closings: &mut watch::Receiver<u64>) -> io::Result<()> {
        tokio::select! {
            ended = self.converse() => ended,
            _ = closings.changed() => Ok(()),
        }
    }

    /// Never answers, until the client goes or the session is killed.
    pub(crate) async fn stall(&mut self) {
        loop {
            tokio::select! {
                () = &mut self.killed => return,
                received = self.line.receive() => if !matches!(received, Ok(Some(_))) {
                    return;
                },
            }
        }
    }

    async fn converse(&mut self) -> io::Result<()> {
        loop {
            let received = tokio::select! {
                () = &mut self.killed => return Ok(()),
                received = self.line.receive() => received?,
            };
            let Some(message) = received else { return Ok(()) };
            let mut tokens = Tokens::new(&self.shared.server_name, self.null_bitmaps);
            let step = if message.kind == ATTENTION {
                // What it was to stop has been answered already.
                tokens.attended();
                Step::Answered
            } else {
                self.request(&message, &mut tokens).await?
            };
            match step {
                Step::Answered => self.send(tokens).await?,
                Step::Last => {
                    self.send_last(tokens).await;
                    return Ok(());
                }
                Step::Closed | Step::Interrupted(Interruption::Gone) => return Ok(()),
                Step::Interrupted(Interruption::Attention) => {
                    let mut tokens = Tokens::new(&self.shared.server_name, self.null_bitmaps);
                    tokens.attended();
                    self.send(tokens).await?;
                }
                Step::Interrupted(Interruption::Killed) => {
                    let mut tokens = Tokens::new(&self.shared.server_name, self.null_bitmaps);
                    answer::batch(&mut tokens, &[Reply::Message(kill_state())]);
                    self.send_last(tokens).await;
                    return Ok(());
                }
            }
        }
    }

    /// Sends an answer. A client that does not read it does not keep the session from being killed.
    async fn send(&mut self, tokens: Tokens<'_>) -> io::Result<()> {
        let bytes = tokens.into_bytes();
        tokio::select! {
            // First what can be sent at once: it was done before the session was killed.
            biased;
            sent = self.line.send(&bytes) => sent,
            () = &mut self.killed => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Tells a client that its session has ended. It may be gone.
    async fn send_last(&mut self, tokens: Tokens<'_>) {
        if self.line.send(&tokens.into_bytes()).await.is_ok() {
            self.line.close().await;
        }
    }

    /// Does what a message asks for and writes the answer.
    async fn request(&mut self, message: &Incoming, tokens: &mut Tokens<'_>) -> Result<Step, Malformed> {
        let calls = Call::read(message)?;
        if message.reset {
            self.session.reset();
            self.prepared = Prepared::default();
            tokens.reset();
        }
        let count = calls.len();
        for (index, call) in calls.into_iter().enumerate() {
            let (call, handle) = self.prepared.resolve(call);
            let step = self.call(&call, handle, index + 1 == count, tokens).await;
            if !matches!(step, Step::Answered) {
                return Ok(step);
            }
        }
        Ok(Step::Answered)
    }

    /// Does one thing, or what a fault makes of it.
    async fn call(&mut self, asked: &Call, handle: Option<i32>, last: bool, tokens: &mut Tokens<'_>) -> Step {
        let (text, parameters) = heard(asked);
        self.shared.hear(Heard {
            session: self.session.id(),
            login: self.login.clone(),
            text: text.to_owned(),
            encrypted: self.line.is_encrypted(),
            parameters: parameters.to_vec(),
        });
        let strike = self.shared.faults.strike_request(&self.login, text);
        call(strike.before).await;
        let executed = match strike.instead {
            Some(Instead::Close) => return Step::Closed,
            Some(Instead::Stall) => {
                self.stall().await;
                return Step::Closed;
            }
            Some(Instead::Kill) => return Step::Interrupted(Interruption::Killed),
            Some(Instead::Fail(message)) => Executed::failed(message),
            None => match self.execute(asked).await {
                Ok(executed) => executed,
                Err(interruption) => return Step::Interrupted(interruption),
            },
        };
        call(strike.after).await;
        let mut executed = match strike.answer {
            Some(Answer::Close) => return Step::Closed,
            Some(Answer::Stall) => {
                self.stall().await;
                return Step::Closed;
            }
            Some(Answer::Fail(message)) => Executed::failed(message),
            // Only a login can be sent elsewhere.
            Some(Answer::Route { .. }) | None => executed,
        };
        executed.replies.extend(handle.map(prepared::told));
        self.write(asked, &executed, last, tokens);
        if answer::is_fatal(&executed.replies) { Step::Last } else { Step::Answered }
    }

    /// Executes a call, but for what comes in between.
    async fn execute(&mut self, call: &Call) -> Result<Executed, Interruption> {
        let Conversation { line, session, killed, .. } = self;
        let work = async {
            match call {
                Call::Batch { text } => Executed::of(session.batch(text, &[]).await),
                Call::Statement { text, parameters, .. } => Executed::of(session.statement(text, parameters).await),
                Call::Procedure { name, parameters, .. } => {
                    let (replies, status) = session.procedure(name, parameters).await;
                    Executed { replies, status }
                }
                Call::Transaction(asked) => Executed::of(session.batch(asked.statement(), &[]).await),
                Call::Refused(message) => Executed::failed(message.clone()),
                // Resolved to statements before.
                Call::Prepare { .. } | Call::Execute { .. } | Call::Unprepare { .. } => Executed::of(Vec::new()),
            }
        };
        tokio::select! {
            // First what can be done at once: the client that goes right after its request does not undo it.
            biased;
            executed = work => Ok(executed),
            () = killed => Err(Interruption::Killed),
            received = line.receive() => Err(match received {
                Ok(Some(message)) if message.kind == ATTENTION => Interruption::Attention,
                // MARS is off: a second request has to wait for the first one's answer.
                Ok(_) | Err(_) => Interruption::Gone,
            }),
        }
    }

    fn write(&mut self, call: &Call, executed: &Executed, last: bool, tokens: &mut Tokens<'_>) {
        let Executed { replies, status } = executed;
        match call {
            Call::Batch { .. } => answer::batch(tokens, replies),
            Call::Statement { outputs, .. } | Call::Procedure { outputs, .. } => {
                answer::procedure(tokens, replies, *status, outputs, last);
            }
            Call::Refused(_) | Call::Prepare { .. } | Call::Execute { .. } | Call::Unprepare { .. } => {
                answer::procedure(tokens, replies, *status, &[], last);
            }
            Call::Transaction(asked) => {
                if answer::errors(replies).next().is_none() {
                    self.transactions += u64::from(*asked == Transaction::Begin);
                    tokens.transaction(asked.change(), self.transactions);
                }
                answer::batch(tokens, replies);
            }
        }
    }
}

impl Executed {
    fn of(replies: Vec<Reply>) -> Self {
        Executed { status: answer::status(&replies), replies }
    }

    fn failed(message: Message) -> Self {
        Executed::of(vec![Reply::Message(message)])
    }
}

impl Transaction {
    fn statement(self) -> &'static str {
        match self {
            Transaction::Begin => "BEGIN TRANSACTION",
            Transaction::Commit => "COMMIT TRANSACTION",
            Transaction::Rollback => "ROLLBACK TRANSACTION",
        }
    }

    /// The ENVCHANGE that says that it happened.
    fn change(self) -> u8 {
        match self {
            Transaction::Begin => BEGIN,
            Transaction::Commit => COMMIT,
            Transaction::Rollback => ROLLBACK,
        }
    }
}

/// What of a call is noted, and what faults look at.
fn heard(call: &Call) -> (&str, &[Parameter]) {
    match call {
        Call::Batch { text } => (text, &[]),
        Call::Statement { text, parameters, .. } => (text, parameters),
        Call::Procedure { name, parameters, .. } => (name, parameters),
        Call::Transaction(asked) => (asked.statement(), &[]),
        Call::Refused(_) | Call::Prepare { .. } | Call::Execute { .. } | Call::Unprepare { .. } => ("", &[]),
    }
}

fn kill_state() -> Message {
    Message {
        number: 596,
        state: 1,
        class: 21,
        procedure: String::new(),
        text: "Cannot continue the execution because the session is in the kill state.".to_owned(),
    }
}

/// Makes the calls of faults, which may block, where they hold up nobody else.
pub(crate) async fn call(calls: Vec<fault::Call>) {
    for call in calls {
        // A panic of a test's own call is the test's to notice.
        tokio::task::spawn_blocking(move || call()).await.ok();
    }
}
