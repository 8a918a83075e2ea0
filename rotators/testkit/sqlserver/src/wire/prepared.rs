//! Prepared statements of a session: each has a handle, by which the client names it afterwards.

use std::collections::HashMap;

use super::request::{Call, named};
use crate::exchange::{Message, Reply, Value};

#[derive(Default)]
pub(crate) struct Prepared {
    last: i32,
    statements: HashMap<i32, Statement>,
}

struct Statement {
    text: String,
    declared: Vec<String>,
}

impl Prepared {
    /// What is to be executed for a call, and the handle that its answer tells.
    pub(crate) fn resolve(&mut self, call: Call) -> (Call, Option<i32>) {
        match call {
            Call::Prepare { text, declared, parameters, execute } => {
                self.last += 1;
                // What is only prepared is not looked at: its mistakes show when it is executed.
                let now = if execute { text.clone() } else { String::new() };
                self.statements.insert(self.last, Statement { text, declared });
                (Call::Statement { text: now, parameters, outputs: Vec::new() }, Some(self.last))
            }
            Call::Execute { handle, parameters } => match self.statements.get(&handle) {
                Some(Statement { text, declared }) => {
                    let parameters = named(parameters, declared);
                    (Call::Statement { text: text.clone(), parameters, outputs: Vec::new() }, None)
                }
                None => (Call::Refused(unknown(handle)), None),
            },
            Call::Unprepare { handle } => match self.statements.remove(&handle) {
                Some(_) => (Call::Statement { text: String::new(), parameters: Vec::new(), outputs: Vec::new() }, None),
                None => (Call::Refused(unknown(handle)), None),
            },
            Call::Batch { .. }
            | Call::Statement { .. }
            | Call::Procedure { .. }
            | Call::Refused(_)
            | Call::Transaction(_) => (call, None),
        }
    }
}

/// How a handle comes back: as the first parameter, which has no name.
pub(crate) fn told(handle: i32) -> Reply {
    Reply::Output { name: String::new(), value: Value::Int(handle) }
}

fn unknown(handle: i32) -> Message {
    Message {
        number: 8179,
        state: 2,
        class: 16,
        procedure: String::new(),
        text: format!("Could not find prepared statement with handle {handle}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Parameter;

    #[test]
    fn a_handle_names_its_statement_until_it_is_given_back() {
        let mut prepared = Prepared::default();
        let prepare = |text: &str| Call::Prepare {
            text: text.to_owned(),
            declared: vec!["@P1".to_owned()],
            parameters: Vec::new(),
            execute: false,
        };
        let parameter = |name: &str| Parameter { name: name.to_owned(), value: Value::Int(7) };
        assert_eq!(prepared.resolve(prepare("SELECT 1")).1, Some(1));
        assert_eq!(prepared.resolve(prepare("SELECT @P1")).1, Some(2));
        let (call, _) = prepared.resolve(Call::Execute { handle: 2, parameters: vec![parameter("")] });
        let expected =
            Call::Statement { text: "SELECT @P1".to_owned(), parameters: vec![parameter("@P1")], outputs: Vec::new() };
        assert_eq!(call, expected);
        prepared.resolve(Call::Unprepare { handle: 2 });
        let (call, _) = prepared.resolve(Call::Execute { handle: 2, parameters: Vec::new() });
        assert!(matches!(call, Call::Refused(Message { number: 8179, .. })));
    }
}
