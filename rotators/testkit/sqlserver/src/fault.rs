//! Faults that a test arms: where each strikes, and what then happens to the line, the statement or the session.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlparser::dialect::MsSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};
use tokio::sync::watch;

use crate::exchange::Message;

/// What happens where a fault strikes. "Executed" is, at a login, the check of the password and the session's beginning.
#[derive(Clone)]
pub enum Effect {
    /// The line is closed. Nothing was executed.
    CloseBefore,
    /// It is executed, and the line is closed instead of an answer.
    ApplyThenClose,
    /// It is executed, and no answer ever comes. The session stays until the client closes its line or it is killed.
    ApplyThenStall,
    /// It is never executed, and no answer ever comes; the session stays as above. At a login: there is none yet.
    StallBefore,
    /// It is not executed; the answer is this message. One of severity 20 or more ends the session.
    FailWith(Message),
    /// It is executed, and the answer is this message instead of what it was.
    ExecuteThenFailWith(Message),
    /// At a login that succeeds: the client is told to log in elsewhere.
    Route { host: String, port: u16 },
    /// Nothing is executed: the session ends as KILL ends it.
    KillSession,
    /// This is called, then it is executed as if nothing were. May block.
    CallBefore(Arc<dyn Fn() + Send + Sync>),
    /// It is executed, then this is called, then the answer is sent. May block.
    CallAfter(Arc<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::CloseBefore => f.write_str("CloseBefore"),
            Effect::ApplyThenClose => f.write_str("ApplyThenClose"),
            Effect::ApplyThenStall => f.write_str("ApplyThenStall"),
            Effect::StallBefore => f.write_str("StallBefore"),
            Effect::FailWith(message) => f.debug_tuple("FailWith").field(message).finish(),
            Effect::ExecuteThenFailWith(message) => f.debug_tuple("ExecuteThenFailWith").field(message).finish(),
            Effect::Route { host, port } => write!(f, "Route({host}:{port})"),
            Effect::KillSession => f.write_str("KillSession"),
            Effect::CallBefore(_) => f.write_str("CallBefore"),
            Effect::CallAfter(_) => f.write_str("CallAfter"),
        }
    }
}

#[derive(Debug, Clone)]
enum Place {
    Login,
    /// A request whose text has this somewhere.
    Text(String),
    /// A request that has these words in a row: not in texts, comments or quoted names.
    Verb(Vec<String>),
}

/// A fault to be armed. It strikes once, the first time that it can, if nothing else is said.
#[derive(Debug, Clone)]
pub struct Fault {
    place: Place,
    effect: Effect,
    skip: usize,
    times: usize,
    login: Option<String>,
}

impl Fault {
    /// When someone logs in.
    #[must_use]
    pub fn at_login(effect: Effect) -> Self {
        Fault::at(Place::Login, effect)
    }

    /// At a batch or procedure call whose text (a procedure's name) contains this, letter by letter. An empty text is in all.
    #[must_use]
    pub fn at_text(text: impl Into<String>, effect: Effect) -> Self {
        Fault::at(Place::Text(text.into()), effect)
    }

    /// At a batch or procedure call that has these words in a row, such as `ALTER LOGIN`, in any case, whatever stands
    /// between them. Words in texts, comments and quoted names do not count.
    #[must_use]
    pub fn at_verb(verb: &str, effect: Effect) -> Self {
        Fault::at(Place::Verb(verb.split_whitespace().map(str::to_owned).collect()), effect)
    }

    fn at(place: Place, effect: Effect) -> Self {
        Fault { place, effect, skip: 0, times: 1, login: None }
    }

    /// Lets so many pass before it strikes.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Strikes so often.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// Strikes this login only.
    #[must_use]
    pub fn only_login(mut self, login: impl Into<String>) -> Self {
        self.login = Some(login.into());
        self
    }
}

/// An armed fault's own count.
#[derive(Debug, Clone)]
pub struct Strikes {
    count: watch::Receiver<u64>,
}

impl Strikes {
    /// How often the fault has struck.
    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }

    /// Returns once the fault has struck so often. Never returns if it cannot any more.
    pub async fn wait_for(&self, count: u64) {
        if self.count.clone().wait_for(|strikes| *strikes >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The faults of a server, in the order in which they were armed.
pub struct Faults {
    armed: Mutex<Vec<Armed>>,
    strikes: watch::Sender<u64>,
}

struct Armed {
    fault: Fault,
    strikes: watch::Sender<u64>,
}

/// What is to happen on one occasion, in the order in which it happens.
#[derive(Default)]
pub(crate) struct Strike {
    pub(crate) before: Vec<Call>,
    pub(crate) instead: Option<Instead>,
    pub(crate) after: Vec<Call>,
    pub(crate) answer: Option<Answer>,
}

pub(crate) type Call = Arc<dyn Fn() + Send + Sync>;

/// What happens instead of execution.
#[derive(Debug)]
pub(crate) enum Instead {
    Close,
    Stall,
    Fail(Message),
    Kill,
}

/// What happens instead of the answer to what was executed.
#[derive(Debug)]
pub(crate) enum Answer {
    Close,
    Stall,
    Fail(Message),
    Route { host: String, port: u16 },
}

impl Strike {
    /// Takes in one more fault. False if none after it may strike along with it.
    fn add(&mut self, effect: &Effect) -> bool {
        match effect.clone() {
            Effect::CallBefore(call) => self.before.push(call),
            Effect::CallAfter(call) => self.after.push(call),
            Effect::CloseBefore => self.instead = Some(Instead::Close),
            Effect::StallBefore => self.instead = Some(Instead::Stall),
            Effect::FailWith(message) => self.instead = Some(Instead::Fail(message)),
            Effect::KillSession => self.instead = Some(Instead::Kill),
            Effect::ApplyThenClose => self.answer = Some(Answer::Close),
            Effect::ApplyThenStall => self.answer = Some(Answer::Stall),
            Effect::ExecuteThenFailWith(message) => self.answer = Some(Answer::Fail(message)),
            Effect::Route { host, port } => self.answer = Some(Answer::Route { host, port }),
        }
        self.instead.is_none() && self.answer.is_none()
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        Faults { armed: Mutex::new(Vec::new()), strikes: watch::Sender::new(0) }
    }

    /// Arms a fault, behind those that are armed already. On one occasion the first one strikes that can, and with it the
    /// calls that are armed before it.
    pub fn arm(&self, fault: Fault) -> Strikes {
        let strikes = watch::Sender::new(0);
        let count = strikes.subscribe();
        self.lock().push(Armed { fault, strikes });
        Strikes { count }
    }

    /// Takes back all faults that could still strike.
    pub fn disarm(&self) {
        self.lock().clear();
    }

    /// How many faults could still strike.
    pub fn armed(&self) -> usize {
        self.lock().len()
    }

    /// How often faults have struck, all counted together.
    pub fn strikes(&self) -> u64 {
        *self.strikes.borrow()
    }

    /// Returns once faults have struck so often.
    pub async fn wait_for_strikes(&self, count: u64) {
        let mut strikes = self.strikes.subscribe();
        strikes.wait_for(|strikes| *strikes >= count).await.expect("the sender lives as long as `self`");
    }

    pub(crate) fn strike_login(&self, login: &str) -> Strike {
        self.strike(login, |place| matches!(place, Place::Login))
    }

    pub(crate) fn strike_request(&self, login: &str, text: &str) -> Strike {
        let words = words(text);
        self.strike(login, |place| match place {
            Place::Login => false,
            Place::Text(part) => text.contains(part.as_str()),
            Place::Verb(verb) => words.windows(verb.len().max(1)).any(|window| is_verb(window, verb)),
        })
    }

    fn strike(&self, login: &str, is_here: impl Fn(&Place) -> bool) -> Strike {
        let mut strike = Strike::default();
        let mut armed = self.lock();
        for entry in armed.iter_mut() {
            let fault = &mut entry.fault;
            let is_theirs = fault.login.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(login));
            if !is_theirs || !is_here(&fault.place) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times = fault.times.saturating_sub(1);
            let more = strike.add(&fault.effect);
            entry.strikes.send_modify(|count| *count += 1);
            self.strikes.send_modify(|count| *count += 1);
            if !more {
                break;
            }
        }
        armed.retain(|entry| entry.fault.times > 0);
        strike
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The words of a text that are neither quoted nor in a comment; none if it is no T-SQL.
fn words(text: &str) -> Vec<String> {
    let tokens = Tokenizer::new(&MsSqlDialect {}, text).tokenize().unwrap_or_default();
    let spaced = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_)));
    // Anything else stands between words that are not in a row then.
    let word = |token| {
        if let Token::Word(word) = token
            && word.quote_style.is_none()
        {
            word.value
        } else {
            String::new()
        }
    };
    spaced.map(word).collect()
}

fn is_verb(words: &[String], verb: &[String]) -> bool {
    words.len() == verb.len() && words.iter().zip(verb).all(|(word, verb)| word.eq_ignore_ascii_case(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &Faults, login: &str, text: &str) -> bool {
        faults.strike_request(login, text).instead.is_some()
    }

    #[test]
    fn a_verb_is_found_among_words_only() {
        for (text, found) in [
            ("SET XACT_ABORT ON; alter /* the */ login [a] WITH PASSWORD = N'x'", true),
            ("ALTER -- LOGIN\n LOGIN a", true),
            ("SELECT N'ALTER LOGIN'", false),
            ("ALTER [LOGIN]", false),
            ("ALTER; LOGIN", false),
            ("/* ALTER LOGIN */", false),
            ("ALTER LOGINS", false),
            ("", false),
            ("'", false),
        ] {
            let faults = Faults::new();
            faults.arm(Fault::at_verb("ALTER LOGIN", Effect::CloseBefore));
            assert_eq!(struck(&faults, "sa", text), found, "{text}");
        }
    }

    #[test]
    fn faults_strike_in_order_and_as_often_as_said() {
        let faults = Faults::new();
        let second = faults.arm(Fault::at_text("x", Effect::CloseBefore).skip(1).times(2).only_login("App"));
        assert!(!struck(&faults, "app", "y"), "another text");
        assert!(!struck(&faults, "sa", "x"), "another login");
        assert!(!struck(&faults, "app", "x"), "one is let pass");
        assert!(struck(&faults, "app", "x") && struck(&faults, "APP", "xx"));
        assert!(!struck(&faults, "app", "x"), "it has struck twice");
        assert_eq!((second.count(), faults.strikes(), faults.armed()), (2, 2, 0));
    }

    #[test]
    fn calls_strike_along_with_what_comes_after_them() {
        let faults = Faults::new();
        faults.arm(Fault::at_text("x", Effect::CallBefore(Arc::new(|| ()))));
        faults.arm(Fault::at_login(Effect::CloseBefore));
        faults.arm(Fault::at_text("x", Effect::KillSession));
        let strike = faults.strike_request("sa", "x");
        assert_eq!((strike.before.len(), strike.after.len()), (1, 0));
        assert!(matches!(strike.instead, Some(Instead::Kill)));
        assert!(matches!(faults.strike_login("sa").instead, Some(Instead::Close)));
    }
}
