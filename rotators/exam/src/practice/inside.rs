//! The accounts, what is answered, and where the line breaks on order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keywheel_sdk::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Line;

/// The answer to a line that is too long.
pub(super) const REFUSED_LENGTH: &[u8] = b"{\"ok\":false,\"why\":\"line too long\"}\n";
/// A name or a password has at most so many characters.
const CHARACTERS: usize = 256;

/// What a request comes to.
pub(super) enum Answered {
    With(Vec<u8>),
    /// The line is closed.
    Cut,
    /// Nothing comes any more.
    Silent,
}

/// What happens to the next change.
#[derive(Clone, Copy)]
struct Break {
    /// It is done first.
    done: bool,
    /// The line is closed; else nothing is said.
    cut: bool,
}

pub(super) struct Inside {
    admin: Secret,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, Secret>,
    next: Option<Break>,
    strikes: u64,
}

#[derive(Deserialize)]
struct Asked {
    r#do: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    admin: String,
}

impl Inside {
    pub fn new(admin: Secret) -> Self {
        Inside { admin, state: Mutex::default() }
    }

    pub fn admin(&self) -> Secret {
        self.admin.duplicate()
    }

    pub fn login(&self, user: &str, password: &str) -> Result<(), &'static str> {
        let password = Secret::new(password.to_owned());
        match self.state().accounts.get(user) {
            None => Err("no such account"),
            Some(right) if right.same_as(&password) => Ok(()),
            Some(_) => Err("wrong password"),
        }
    }

    pub fn set(&self, user: &str, password: &str) -> Result<(), &'static str> {
        allowed(user).ok_or("name not allowed")?;
        allowed(password).ok_or("password not allowed")?;
        self.state().accounts.insert(user.to_owned(), Secret::new(password.to_owned()));
        Ok(())
    }

    pub fn answer(&self, message: &[u8]) -> Answered {
        let Ok(asked) = serde_json::from_slice::<Asked>(message) else {
            return Answered::With(told(Err("no message")));
        };
        let changes = matches!(asked.r#do.as_str(), "set" | "remove");
        let order = if changes { self.state().next.take() } else { None };
        let Some(order) = order else { return Answered::With(told(self.called(&asked))) };
        if order.done {
            // What it would have said is what gets lost.
            self.called(&asked).ok();
        }
        self.state().strikes += 1;
        if order.cut { Answered::Cut } else { Answered::Silent }
    }

    fn called(&self, asked: &Asked) -> Result<Value, &'static str> {
        let done = json!({ "ok": true });
        match asked.r#do.as_str() {
            "login" => self.login(&asked.user, &asked.password).map(|()| done),
            "set" => self.administered(asked).and_then(|()| self.set(&asked.user, &asked.password)).map(|()| done),
            "remove" => {
                self.administered(asked)?;
                self.state().accounts.remove(&asked.user);
                Ok(done)
            }
            "accounts" => {
                self.administered(asked)?;
                let names: Vec<String> = self.state().accounts.keys().cloned().collect();
                Ok(json!({ "ok": true, "accounts": names }))
            }
            _ => Err("unknown do"),
        }
    }

    fn administered(&self, asked: &Asked) -> Result<(), &'static str> {
        let right = self.admin.same_as(&Secret::new(asked.admin.clone()));
        if right { Ok(()) } else { Err("wrong admin password") }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No order is left from before.
    pub fn sound(&self) {
        self.state().next = None;
    }

    fn order(&self, done: bool, cut: bool) {
        self.state().next = Some(Break { done, cut });
    }
}

fn allowed(text: &str) -> Option<()> {
    let fits = (1..=CHARACTERS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then_some(())
}

fn told(result: Result<Value, &'static str>) -> Vec<u8> {
    let value = result.unwrap_or_else(|why| json!({ "ok": false, "why": why }));
    value.to_string().into_bytes()
}

impl Line for std::sync::Arc<Inside> {
    fn lose_next_acknowledgement(&self) {
        self.order(true, true);
    }
    fn cut_before_next_change(&self) {
        self.order(false, true);
    }
    fn stall_next_change(&self) {
        self.order(false, false);
    }
    fn stall_after_next_change(&self) {
        self.order(true, false);
    }
    fn strikes(&self) -> u64 {
        self.state().strikes
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use super::*;

    fn said(inside: &Inside, message: &str) -> String {
        match inside.answer(message.as_bytes()) {
            Answered::With(answer) => String::from_utf8(answer).unwrap(),
            Answered::Cut => "cut".to_owned(),
            Answered::Silent => "silent".to_owned(),
        }
    }

    #[test]
    fn accounts_are_set_used_and_removed() {
        let inside = Inside::new(Secret::new("root".to_owned()));
        let no = |why: &str| format!("{{\"ok\":false,\"why\":\"{why}\"}}");
        let yes = "{\"ok\":true}";
        let login = r#"{"do":"login","user":"a","password":"p ß"}"#;
        assert_eq!(said(&inside, login), no("no such account"));
        assert_eq!(
            said(&inside, r#"{"do":"set","user":"a","password":"p ß","admin":"r"}"#),
            no("wrong admin password")
        );
        assert_eq!(said(&inside, r#"{"do":"set","user":"a","password":"p ß","admin":"root","more":[]}"#), yes);
        assert_eq!(said(&inside, login), yes);
        assert_eq!(said(&inside, r#"{"do":"login","user":"a","password":"p"}"#), no("wrong password"));
        assert_eq!(said(&inside, r#"{"do":"accounts","admin":"root"}"#), r#"{"accounts":["a"],"ok":true}"#);
        assert_eq!(said(&inside, r#"{"do":"remove","user":"a","admin":""}"#), no("wrong admin password"));
        for _ in 0..2 {
            assert_eq!(said(&inside, r#"{"do":"remove","user":"a","admin":"root"}"#), yes);
        }
        assert_eq!(said(&inside, login), no("no such account"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let inside = Inside::new(Secret::new("root".to_owned()));
        for message in ["", "{", "[]", "\u{feff}{}", r#"{"do":1}"#, r#"{"do":"set","do":"set"}"#, "{\"user\":\"a\"}"] {
            assert_eq!(said(&inside, message), r#"{"ok":false,"why":"no message"}"#, "{message}");
        }
        assert_eq!(said(&inside, r#"{"do":"drop"}"#), r#"{"ok":false,"why":"unknown do"}"#);
    }

    #[test]
    fn passwords_have_a_length_and_no_control_characters() {
        let inside = Inside::new(Secret::new("root".to_owned()));
        for right in ["x", &"🔑".repeat(256), "\"\\ $(id) "] {
            inside.set("a", right).unwrap();
            inside.login("a", right).unwrap();
        }
        for wrong in ["", &"x".repeat(257), "a\nb", "a\u{7f}"] {
            assert_eq!(inside.set("a", wrong), Err("password not allowed"));
        }
        assert_eq!(inside.set("", "x"), Err("name not allowed"));
    }
}
