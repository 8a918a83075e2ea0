//! Runs a program step by step. Each statement sees and changes the instance in one go, under its lock; between
//! statements, and where one waits, the lock is free.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::eval::{eval, truth};
use super::relation::NOWHERE;
use super::scene::{Outcome, Scene, Stop, Variables};
use super::statement::{Execute, Program, Statement, Step};
use super::value::{integer, kind_of, text};
use super::wait::Waiting;
use super::{execute, parse};
use crate::exchange::{Kind, Message, Parameter, Reply, Value};
use crate::instance::Shared;
use crate::instance::message::{error, killed, lock_timeout, syntax, undeclared};
use crate::instance::session::{Flags, Me, Transaction};
use crate::instance::state::State;

/// How deep EXEC may go.
const DEEPEST: usize = 32;

/// Runs a batch and returns all that it answers.
pub(crate) async fn run(shared: &Arc<Shared>, me: &mut Me, text: &str, parameters: &[Parameter]) -> Vec<Reply> {
    let mut variables = Variables::default();
    for parameter in parameters {
        variables.declare(&parameter.name, kind_of(&parameter.value).unwrap_or(Kind::Text), parameter.value.clone());
    }
    let mut machine = Machine { shared, me, frames: Vec::new(), replies: Vec::new() };
    if machine.enter(text, variables) {
        machine.run().await;
    }
    machine.replies
}

/// Calls a procedure by name, with its return status.
pub(crate) async fn call(shared: &Arc<Shared>, me: &mut Me, name: &str, parameters: &[Parameter]) -> (Vec<Reply>, i32) {
    let mut variables = Variables::default();
    variables.declare("@return status", Kind::Int, Value::Int(0));
    let mut arguments = Vec::new();
    for (at, parameter) in parameters.iter().enumerate() {
        let slot = format!("@argument {at}");
        variables.declare(&slot, kind_of(&parameter.value).unwrap_or(Kind::Text), parameter.value.clone());
        let value = sqlparser::ast::Expr::Identifier(sqlparser::ast::Ident::new(slot));
        let name = Some(parameter.name.clone()).filter(|name| !name.is_empty());
        arguments.push(super::statement::Argument { name, value, output: false });
    }
    let procedure = name.split('.').map(|part| part.trim_matches(['[', ']']).to_owned()).collect();
    let execute = Execute { status: Some("@return status".to_owned()), procedure, arguments };
    let program = Program { steps: vec![Step::Run(Box::new(Statement::Execute(execute)))], statements: 1 };
    let mut machine = Machine { shared, me, frames: vec![Frame::new(program, variables)], replies: Vec::new() };
    let last = machine.run().await;
    let status = last.and_then(|variables| variables.get("@return status").map(|(_, value)| value.clone()));
    let failed = machine.replies.iter().any(|reply| matches!(reply, Reply::Message(message) if message.class > 10));
    let status = status.and_then(|status| integer(&status).ok()).and_then(|status| i32::try_from(status).ok());
    // A call that failed before it had a status has one that is not that of success.
    (machine.replies, status.filter(|status| *status != 0).unwrap_or(i32::from(failed)))
}

struct Frame {
    program: Arc<Program>,
    at: usize,
    /// The CATCH blocks of the TRY blocks that are open here, innermost last.
    catches: Vec<usize>,
    variables: Variables,
    /// Output parameters of `sp_executesql`: the name inside, and the variable outside.
    outputs: Vec<(String, String)>,
    /// SET options and database of before, which come back when `sp_executesql` or EXEC ends.
    before: Option<(Flags, i32)>,
}

impl Frame {
    fn new(program: Program, variables: Variables) -> Self {
        Self { program: Arc::new(program), at: 0, catches: Vec::new(), variables, outputs: Vec::new(), before: None }
    }
}

struct Machine<'a> {
    shared: &'a Arc<Shared>,
    me: &'a mut Me,
    frames: Vec<Frame>,
    replies: Vec<Reply>,
}

impl Machine<'_> {
    /// Parses a text and puts it on top. False if it cannot be parsed.
    fn enter(&mut self, text: &str, variables: Variables) -> bool {
        match parse::batch(text, self.me.flags.quoted_identifier, |name| variables.get(name).is_some()) {
            Ok(program) => {
                self.frames.push(Frame::new(program, variables));
                true
            }
            Err(message) => {
                self.fail(vec![message]);
                false
            }
        }
    }

    /// To the end of the outermost frame, whose variables it returns.
    async fn run(&mut self) -> Option<Variables> {
        let mut last = None;
        while let Some(frame) = self.frames.last_mut() {
            let Some(step) = frame.program.steps.get(frame.at).cloned() else {
                last = self.leave();
                continue;
            };
            frame.at += 1;
            match step {
                Step::Jump(to) => frame.at = to,
                Step::Try(to) => frame.catches.push(to),
                Step::EndTry(to) => {
                    frame.catches.pop();
                    frame.at = to;
                }
                Step::EndCatch => self.me.caught = None,
                Step::Return => last = self.leave(),
                Step::JumpUnless(condition, to) => match self.condition(&condition) {
                    Ok(true) => {}
                    Ok(false) => self.frames.last_mut().expect("just seen").at = to,
                    Err(message) => self.fail(vec![message]),
                },
                Step::Run(statement) => self.statement(&statement).await,
            }
            // Lets others run, and an attention be heard, also in a loop without end.
            if self.frames.last().is_some_and(|frame| frame.program.steps.len() > frame.at) {
                tokio::task::yield_now().await;
            }
        }
        last
    }

    /// The frame on top is done; its outputs go to the one below.
    fn leave(&mut self) -> Option<Variables> {
        let mut done = self.frames.pop()?;
        self.restore(done.before.take());
        if let Some(below) = self.frames.last_mut() {
            for (inside, outside) in &done.outputs {
                if let Some((_, value)) = done.variables.get(inside) {
                    let _ = below.variables.set(outside, value);
                }
            }
        }
        Some(done.variables)
    }

    /// Ends all frames but the outermost `kept`.
    fn unwind(&mut self, kept: usize) {
        for mut frame in self.frames.split_off(kept.min(self.frames.len())).into_iter().rev() {
            self.restore(frame.before.take());
        }
    }

    fn restore(&mut self, before: Option<(Flags, i32)>) {
        let Some((flags, database)) = before else { return };
        self.me.flags = flags;
        self.replies.extend(back_to(self.shared, self.me, database));
    }

    fn condition(&mut self, condition: &sqlparser::ast::Expr) -> Result<bool, Message> {
        let frame = self.frames.last_mut().expect("a condition is in a frame");
        let mut state = self.shared.state();
        let scene = scene(&mut state, self.me, &mut frame.variables, None);
        truth(&scene, &NOWHERE, condition).map(|truth| truth == Some(true))
    }

    async fn statement(&mut self, statement: &Statement) {
        if *self.me.killed.borrow() {
            return self.end(killed());
        }
        if let Err(messages) = self.check_place(statement) {
            return self.fail(messages);
        }
        match self.enter_dynamic(statement) {
            Ok(true) => return,
            Ok(false) => {}
            Err(message) => return self.fail(vec![message]),
        }
        let started = Instant::now();
        let mut waited = None;
        loop {
            let mut changes = self.shared.changes();
            match self.attempt(statement, waited) {
                Ok(()) => return,
                Err(Stop::Failed(messages)) => return self.fail(messages),
                Err(Stop::Delay(delay)) => {
                    if self.wait(Some(delay), pending::<()>()).await.is_none() {
                        return self.end(killed());
                    }
                    waited = Some(0);
                }
                Err(Stop::Blocked) => {
                    let limit = u64::try_from(self.me.flags.lock_timeout).ok().map(Duration::from_millis);
                    let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
                    let changed = async {
                        let _ = changes.changed().await;
                    };
                    match self.wait(left, changed).await {
                        None => return self.end(killed()),
                        Some(false) => return self.fail(vec![lock_timeout()]),
                        Some(true) => {}
                    }
                }
                Err(Stop::Lock { ticket, timeout }) => {
                    let waiting = Waiting::new(self.shared, ticket);
                    let granted = async {
                        while !waiting.is_granted() {
                            let _ = changes.changed().await;
                        }
                    };
                    match self.wait(timeout, granted).await {
                        None => return self.end(killed()),
                        Some(_) => waited = Some(if waiting.is_granted() { 1 } else { -1 }),
                    }
                }
            }
        }
    }

    /// Until `event`, so long at most. None if the session was killed meanwhile, else whether the event came.
    async fn wait(&mut self, limit: Option<Duration>, event: impl Future<Output = ()>) -> Option<bool> {
        let mut ended = self.me.killed.clone();
        let killed = async {
            if ended.wait_for(|killed| *killed).await.is_err() {
                pending::<()>().await;
            }
        };
        let event = async {
            match limit {
                Some(limit) => timeout(limit, event).await.is_ok(),
                None => {
                    event.await;
                    true
                }
            }
        };
        tokio::select! {
            () = killed => None,
            came = event => Some(came),
        }
    }

    /// What Azure wants alone in a batch, and in `master`.
    fn check_place(&self, statement: &Statement) -> Result<(), Vec<Message>> {
        let state = self.shared.state();
        let what = match statement {
            Statement::CreateLogin(..) => "CREATE LOGIN",
            Statement::AlterLogin(..) => "ALTER LOGIN",
            Statement::DropLogin(_) => "DROP LOGIN",
            Statement::CreateDatabase { .. } => "CREATE DATABASE",
            Statement::DropDatabase { .. } => "DROP DATABASE",
            _ => return Ok(()),
        };
        if !state.options.version.is_azure() {
            return Ok(());
        }
        if self.me.database != 1 {
            return Err(vec![Message { state: 2, ..error(5001, "User must be in the master database.") }]);
        }
        if self.frames.last().is_some_and(|frame| frame.program.statements > 1) {
            // That the number is this one is not confirmed by documentation.
            return Err(vec![error(40530, format!("The {what} statement must be the only statement in the batch."))]);
        }
        Ok(())
    }

    /// `EXEC('…')` and `sp_executesql` go on in a frame of their own. True if this was one.
    fn enter_dynamic(&mut self, statement: &Statement) -> Result<bool, Message> {
        let frame = self.frames.last_mut().expect("a statement is in a frame");
        let mut state = self.shared.state();
        let scene = scene(&mut state, self.me, &mut frame.variables, None);
        let (text, variables, outputs) = match statement {
            Statement::ExecuteText(expr) => (text(&eval(&scene, &NOWHERE, expr)?), Variables::default(), Vec::new()),
            Statement::Execute(execute)
                if execute.procedure.last().is_some_and(|name| name.eq_ignore_ascii_case("sp_executesql")) =>
            {
                execute_sql(&scene, execute)?
            }
            _ => return Ok(false),
        };
        drop(state);
        if self.frames.len() >= DEEPEST {
            return Err(error(
                217,
                "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).",
            ));
        }
        // EXEC of NULL does nothing, and says nothing.
        let Some(text) = text else { return Ok(true) };
        let before = (self.me.flags.clone(), self.me.database);
        if self.enter(&text, variables) {
            let frame = self.frames.last_mut().expect("just entered");
            frame.outputs = outputs;
            frame.before = Some(before);
        }
        Ok(true)
    }

    /// Tries a statement: it happens as a whole, or not at all.
    fn attempt(&mut self, statement: &Statement, waited: Option<i32>) -> Outcome<()> {
        let frame = self.frames.last_mut().expect("a statement is in a frame");
        let mut state = self.shared.state();
        if !state.sessions.contains_key(&self.me.serial) {
            return Err(killed().into());
        }
        if self.me.transaction.as_ref().is_some_and(|transaction| transaction.doomed)
            && !matches!(statement, Statement::Rollback)
        {
            let text = "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.";
            return Err(error(3930, text).into());
        }
        let transactional = match statement {
            Statement::Begin | Statement::Commit | Statement::Rollback => {
                let done = transaction(&mut state, self.me, statement);
                drop(state);
                self.shared.tell();
                done?;
                self.replies.push(Reply::Done(None));
                self.me.error = 0;
                return Ok(());
            }
            _ => self.me.flags.implicit_transactions,
        };
        let mut scene = scene(&mut state, self.me, &mut frame.variables, waited);
        let done = execute::statement(&mut scene, statement);
        let Scene { world, touched, replies, .. } = scene;
        if let Err(stop) = done {
            // What was said before the error is heard.
            let waits = !matches!(stop, Stop::Failed(_));
            self.replies.extend(replies.into_iter().filter(|_| !waits));
            return Err(stop);
        }
        let reads = matches!(statement, Statement::Query(query) if query.body.as_select().is_some_and(|select| !select.from.is_empty()));
        if transactional && self.me.transaction.is_none() && (reads || !touched.is_empty()) {
            self.me.transaction = Some(Transaction::new());
        }
        match &mut self.me.transaction {
            Some(transaction) if !touched.is_empty() => {
                for key in &touched {
                    state.claims.insert(key.clone(), self.me.serial);
                }
                transaction.touched.extend(touched);
                transaction.world = Some(world);
            }
            Some(_) => {}
            None => state.commit(&world, &touched),
        }
        state.show(self.me);
        drop(state);
        self.shared.tell();
        let complained = replies.iter().rev().find_map(|reply| match reply {
            Reply::Message(message) if message.class > 10 => Some(message.number),
            _ => None,
        });
        self.me.error = complained.unwrap_or(0);
        self.replies.extend(replies);
        Ok(())
    }

    /// An error: to the CATCH block, or to the client.
    fn fail(&mut self, messages: Vec<Message>) {
        let Some(last) = messages.last().cloned() else { return };
        self.me.error = last.number;
        let catcher = self.frames.iter().rposition(|frame| !frame.catches.is_empty());
        if self.me.flags.xact_abort
            && let Some(transaction) = &mut self.me.transaction
        {
            transaction.doomed = true;
        }
        if let Some(at) = catcher.filter(|_| last.class < 20) {
            self.unwind(at + 1);
            let frame = self.frames.last_mut().expect("just found");
            frame.at = frame.catches.pop().expect("just found");
            self.me.caught = Some(last);
            return;
        }
        self.replies.extend(messages.into_iter().map(Reply::Message));
        self.replies.push(Reply::Done(None));
        let aborts = last.class >= 20
            || last.class == 15
            || matches!(last.number, 207 | 208 | 209 | 241 | 245 | 8114 | 4104 | 50000..);
        let aborts = aborts || self.me.flags.xact_abort;
        if self.me.flags.xact_abort && self.me.transaction.is_some() {
            let mut state = self.shared.state();
            self.me.transaction = None;
            state.end_transaction(self.me.serial);
            state.show(self.me);
            drop(state);
            self.shared.tell();
        }
        if aborts && !is_raised(&last) {
            self.unwind(0);
        }
    }

    /// The end of the batch, whatever catches.
    fn end(&mut self, message: Message) {
        self.me.error = message.number;
        self.replies.push(Reply::Message(message));
        self.unwind(0);
    }
}

/// Goes back to the database of before, if it is another; the client is told.
pub(crate) fn back_to(shared: &Shared, me: &mut Me, database: i32) -> Option<Reply> {
    let former = std::mem::replace(&mut me.database, database);
    let mut state = shared.state();
    state.show(me);
    let name = |id: i32| state.world.databases.get(&id).map(|database| database.name.clone());
    let (from, to) = (name(former)?, name(database)?);
    (former != database).then_some(Reply::Database { from, to })
}

/// RAISERROR does not end the batch; THROW, of another state than its, does.
fn is_raised(message: &Message) -> bool {
    message.number == 50000
}

/// What a statement sees: committed, and what its own transaction has changed.
fn scene<'a>(state: &'a mut State, me: &'a mut Me, variables: &'a mut Variables, waited: Option<i32>) -> Scene<'a> {
    let mut world = state.world.clone();
    if let Some(transaction) = &me.transaction
        && let Some(own) = &transaction.world
    {
        world.take(own, &transaction.touched);
    }
    let touched = BTreeSet::new();
    Scene { state, world, touched, me, variables, replies: Vec::new(), ctes: RefCell::new(Vec::new()), waited }
}

fn transaction(state: &mut State, me: &mut Me, statement: &Statement) -> Outcome<()> {
    match (statement, me.transaction.take()) {
        (Statement::Begin, None) => me.transaction = Some(Transaction::new()),
        (Statement::Begin, Some(open)) => me.transaction = Some(Transaction { depth: open.depth + 1, ..open }),
        (Statement::Commit, Some(open)) if open.depth > 1 => {
            me.transaction = Some(Transaction { depth: open.depth - 1, ..open });
        }
        (Statement::Commit, Some(open)) => {
            if let Some(world) = &open.world {
                state.commit(world, &open.touched);
            }
            state.end_transaction(me.serial);
        }
        (_, Some(_)) => state.end_transaction(me.serial),
        (statement, None) => return Err(super::session::no_transaction(matches!(statement, Statement::Commit))),
    }
    state.show(me);
    Ok(())
}

/// Statement, parameters and outputs of `sp_executesql`.
#[expect(clippy::type_complexity, reason = "used once, right above")]
fn execute_sql(
    scene: &Scene<'_>,
    execute: &Execute,
) -> Result<(Option<String>, Variables, Vec<(String, String)>), Message> {
    let mut values = Vec::new();
    for argument in &execute.arguments {
        values.push(eval(scene, &NOWHERE, &argument.value)?);
    }
    let Some(statement) = values.first() else { return Err(syntax("sp_executesql")) };
    let mut declared = Vec::new();
    if let Some(list) = values.get(1).and_then(text).filter(|list| !list.trim().is_empty()) {
        declared = parse::parameters(&list)?;
    }
    let (mut variables, mut outputs) = (Variables::default(), Vec::new());
    for (name, kind) in &declared {
        variables.declare(name, *kind, Value::Null);
    }
    for (at, (argument, value)) in execute.arguments.iter().zip(&values).enumerate().skip(2) {
        let name = argument.name.clone().or_else(|| declared.get(at - 2).map(|(name, _)| name.clone()));
        let Some(name) = name else { return Err(undeclared("")) };
        variables.set(&name, value)?;
        if let (true, sqlparser::ast::Expr::Identifier(outside)) = (argument.output, &argument.value) {
            outputs.push((name, outside.value.clone()));
        }
    }
    Ok((text(statement), variables, outputs))
}
