//! Puts the instance's replies into tokens: an answer to a batch, and one to a procedure.

use super::request::Output;
use super::table::Shape;
use super::tokens::{DATABASE, Ending, FAILED, MORE, Tokens};
use crate::exchange::{Message, Reply, Value};

/// From this severity on the server ends the session.
const FATAL: u8 = 20;

/// The parts of an answer that come from replies.
struct Writer<'t, 's> {
    tokens: &'t mut Tokens<'s>,
    shapes: Vec<Shape>,
    /// An error came since the last statement's end.
    failed: bool,
}

/// The answer to a batch: its last statement's end is the end of all.
pub(crate) fn batch(tokens: &mut Tokens<'_>, replies: &[Reply]) {
    let mut writer = Writer { tokens, shapes: Vec::new(), failed: false };
    for (index, reply) in replies.iter().enumerate() {
        if let Reply::Done(rows) = reply {
            let more = if index + 1 < replies.len() { MORE } else { 0 };
            writer.done(Ending::Done, more, *rows);
        } else {
            writer.reply(reply, &replies[index + 1..]);
        }
    }
    if !matches!(replies.last(), Some(Reply::Done(_))) {
        writer.done(Ending::Done, 0, None);
    }
}

/// The answer to a procedure's call, with the outputs in the order of its parameters.
pub(crate) fn procedure(tokens: &mut Tokens<'_>, replies: &[Reply], status: i32, outputs: &[Output], last: bool) {
    let mut writer = Writer { tokens, shapes: Vec::new(), failed: false };
    let mut failed = false;
    for (index, reply) in replies.iter().enumerate() {
        if let Reply::Done(rows) = reply {
            writer.done(Ending::InProcedure, MORE, *rows);
        } else if !matches!(reply, Reply::Output { .. }) {
            writer.reply(reply, &replies[index + 1..]);
        }
        failed |= writer.failed;
    }
    writer.tokens.return_status(status);
    for reply in replies {
        if let Reply::Output { name, value } = reply {
            writer.output(outputs, name, value);
        }
    }
    let more = if last { 0 } else { MORE };
    let failed = if failed || writer.failed { FAILED } else { 0 };
    writer.tokens.done(Ending::Procedure, more | failed, None);
}

/// What a procedure returns that fails: the first error's number.
pub(crate) fn status(replies: &[Reply]) -> i32 {
    errors(replies).next().map_or(0, |message| message.number)
}

/// Whether the session does not outlive these replies.
pub(crate) fn is_fatal(replies: &[Reply]) -> bool {
    errors(replies).any(|message| message.class >= FATAL)
}

pub(crate) fn errors(replies: &[Reply]) -> impl Iterator<Item = &Message> {
    replies.iter().filter_map(message_of).filter(|message| message.class > 10)
}

impl Writer<'_, '_> {
    /// Anything but a statement's end; `following` is what comes after it.
    fn reply(&mut self, reply: &Reply, following: &[Reply]) {
        match reply {
            Reply::Columns(columns) => {
                let rows =
                    || following.iter().take_while(|reply| !matches!(reply, Reply::Columns(_))).filter_map(row_of);
                let shape = |(index, column): (usize, &crate::exchange::Column)| {
                    Shape::of(column.kind, rows().filter_map(|row| row.get(index)))
                };
                self.shapes = columns.iter().enumerate().map(shape).collect();
                self.tokens.columns(columns, &self.shapes);
            }
            Reply::Row(values) => {
                if self.tokens.whole(|tokens| tokens.row(&self.shapes, values)).is_err() {
                    self.mismatch(&format!("a row is not of its columns: {values:?}"));
                }
            }
            Reply::Message(message) => {
                self.failed |= message.class > 10;
                self.tokens.message(message);
            }
            Reply::Database { from, to } => self.tokens.change(DATABASE, to, from),
            Reply::Output { name, value } => self.output(&[], name, value),
            Reply::Done(_) => {}
        }
    }

    fn output(&mut self, outputs: &[Output], name: &str, value: &Value) {
        let asked = outputs.iter().find(|output| output.name.eq_ignore_ascii_case(name));
        let ordinal = asked.map_or(0, |output| output.ordinal);
        if self.tokens.whole(|tokens| tokens.return_value(ordinal, name, value)).is_err() {
            self.mismatch(&format!("an output cannot be told: {name}"));
        }
    }

    /// A mistake of the double, which is told as an error, so that the client's test fails, as it should.
    fn mismatch(&mut self, text: &str) {
        self.failed = true;
        self.tokens.message(&Message::error(8114, text));
    }

    fn done(&mut self, ending: Ending, more: u16, rows: Option<u64>) {
        let failed = if std::mem::take(&mut self.failed) { FAILED } else { 0 };
        self.tokens.done(ending, more | failed, rows);
    }
}

fn message_of(reply: &Reply) -> Option<&Message> {
    if let Reply::Message(message) = reply { Some(message) } else { None }
}

fn row_of(reply: &Reply) -> Option<&Vec<Value>> {
    if let Reply::Row(values) = reply { Some(values) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Column, Kind};

    fn error() -> Reply {
        Reply::Message(Message { class: 15, ..Message::error(102, "") })
    }

    /// The tokens that end something, with their status.
    fn endings(write: impl FnOnce(&mut Tokens<'_>)) -> Vec<(u8, u16)> {
        let mut tokens = Tokens::new("", true);
        write(&mut tokens);
        let bytes = tokens.into_bytes();
        let (mut at, mut endings) = (0, Vec::new());
        while at < bytes.len() {
            match bytes[at] {
                token @ 0xFD..=0xFF => {
                    endings.push((token, u16::from_le_bytes([bytes[at + 1], bytes[at + 2]])));
                    at += 13;
                }
                0x79 => at += 5,
                _ => at += 3 + usize::from(u16::from_le_bytes([bytes[at + 1], bytes[at + 2]])),
            }
        }
        endings
    }

    #[test]
    fn only_the_last_end_says_that_nothing_follows() {
        let replies = [Reply::Done(None), error(), Reply::Done(None), Reply::Done(Some(3))];
        assert_eq!(endings(|tokens| batch(tokens, &replies)), [(0xFD, 1), (0xFD, 3), (0xFD, 0x10)]);
    }

    #[test]
    fn an_answer_without_an_end_gets_one() {
        assert_eq!(endings(|tokens| batch(tokens, &[])), [(0xFD, 0)]);
        assert_eq!(endings(|tokens| batch(tokens, &[error()])), [(0xFD, 2)]);
    }

    #[test]
    fn a_row_that_is_not_of_its_columns_is_an_error() {
        let columns = Reply::Columns(vec![Column { name: String::new(), kind: Kind::Int }]);
        let row = |value| Reply::Row(vec![value]);
        let replies =
            [columns, row(Value::Int(1)), row(Value::Bit(false)), row(Value::Binary(vec![1])), Reply::Done(None)];
        let mut tokens = Tokens::new("", true);
        batch(&mut tokens, &replies);
        let bytes = tokens.into_bytes();
        // COLMETADATA of one nameless INTN, two rows, and then the error.
        assert_eq!((bytes[0], bytes[12], bytes[18], bytes[24]), (0x81, 0xD1, 0xD1, 0xAA));
    }

    #[test]
    fn a_procedure_ends_once() {
        let replies = [Reply::Done(None), error(), Reply::Done(None)];
        let ends = [(0xFF, 1), (0xFF, 3), (0xFE, 2)];
        assert_eq!(endings(|tokens| procedure(tokens, &replies, 102, &[], true)), ends);
        assert_eq!(endings(|tokens| procedure(tokens, &[], 0, &[], false)), [(0xFE, 1)]);
    }
}
