//! Writes the tokens that an answer is made of.

use crate::exchange::Message;

/// SQL_Latin1_General_CP1_CI_AS, as a collation stands on the line.
pub(crate) const COLLATION: [u8; 5] = [0x09, 0x04, 0xD0, 0x00, 0x34];

const RETURN_STATUS: u8 = 0x79;
const ERROR: u8 = 0xAA;
const INFO: u8 = 0xAB;
const LOGIN_ACK: u8 = 0xAD;
const FEATURE_ACK: u8 = 0xAE;
const ENV_CHANGE: u8 = 0xE3;

// What an ENVCHANGE is of.
pub(crate) const DATABASE: u8 = 1;
pub(crate) const LANGUAGE: u8 = 2;
pub(crate) const PACKET_SIZE: u8 = 4;
const SQL_COLLATION: u8 = 7;
pub(crate) const BEGIN: u8 = 8;
pub(crate) const COMMIT: u8 = 9;
pub(crate) const ROLLBACK: u8 = 10;
const RESET: u8 = 18;
const ROUTING: u8 = 20;

/// Which token ends a statement or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Done = 0xFD,
    Procedure = 0xFE,
    InProcedure = 0xFF,
}

// The bits of such a token's status.
pub(crate) const MORE: u16 = 0x01;
pub(crate) const FAILED: u16 = 0x02;
const COUNTED: u16 = 0x10;
const ATTENTION: u16 = 0x20;

/// The command of a DONE that ends a SELECT.
const SELECT: u16 = 0xC1;

/// Tokens, in the order in which they are written.
pub(crate) struct Tokens<'a> {
    bytes: Vec<u8>,
    /// What messages say of where they come from.
    server: &'a str,
    /// The client knows rows that leave out nulls.
    pub(crate) null_bitmaps: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(server: &'a str, null_bitmaps: bool) -> Self {
        Tokens { bytes: Vec::new(), server, null_bitmaps }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what can be written, or nothing of it.
    pub(crate) fn whole<E>(&mut self, write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        let written = write(self);
        if written.is_err() {
            self.bytes.truncate(start);
        }
        written
    }

    /// UTF-16 text after its length in units, as a byte. What is longer is cut off, as the server does.
    pub(crate) fn short_text(&mut self, text: &str) {
        let units: Vec<u16> = text.encode_utf16().take(usize::from(u8::MAX)).collect();
        self.byte(u8::try_from(units.len()).expect("cut off at 255"));
        self.units(&units);
    }

    fn long_text(&mut self, text: &str) {
        // The token as a whole has a length of 16 bits.
        let units: Vec<u16> = text.encode_utf16().take(8000).collect();
        self.put(&u16::try_from(units.len()).expect("cut off at 8000").to_le_bytes());
        self.units(&units);
    }

    fn units(&mut self, units: &[u16]) {
        self.bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    }

    /// A token with its length in two bytes, which are filled in afterwards.
    fn token(&mut self, token: u8, content: impl FnOnce(&mut Self)) {
        self.byte(token);
        let start = self.bytes.len();
        self.put(&[0, 0]);
        content(self);
        let length = u16::try_from(self.bytes.len() - start - 2).expect("texts are cut off far below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_le_bytes());
    }

    /// ERROR or INFO.
    pub(crate) fn message(&mut self, message: &Message) {
        let server = self.server;
        self.token(if message.class > 10 { ERROR } else { INFO }, |tokens| {
            tokens.put(&message.number.to_le_bytes());
            tokens.put(&[message.state, message.class]);
            tokens.long_text(&message.text);
            tokens.short_text(server);
            tokens.short_text(&message.procedure);
            tokens.put(&1_u32.to_le_bytes()); // line
        });
    }

    /// ENVCHANGE of something that is text.
    pub(crate) fn change(&mut self, what: u8, to: &str, from: &str) {
        self.token(ENV_CHANGE, |tokens| {
            tokens.byte(what);
            tokens.short_text(to);
            tokens.short_text(from);
        });
    }

    pub(crate) fn collation(&mut self) {
        self.token(ENV_CHANGE, |tokens| {
            tokens.put(&[SQL_COLLATION, 5]);
            tokens.put(&COLLATION);
            tokens.byte(0);
        });
    }

    /// A transaction began with this descriptor, or ended.
    pub(crate) fn transaction(&mut self, what: u8, descriptor: u64) {
        self.token(ENV_CHANGE, |tokens| {
            tokens.byte(what);
            if what != BEGIN {
                tokens.byte(0);
            }
            tokens.byte(8);
            tokens.put(&descriptor.to_le_bytes());
            if what == BEGIN {
                tokens.byte(0);
            }
        });
    }

    /// The session is as after its login.
    pub(crate) fn reset(&mut self) {
        self.token(ENV_CHANGE, |tokens| tokens.put(&[RESET, 0, 0]));
    }

    /// The client is to go elsewhere.
    pub(crate) fn routing(&mut self, host: &str, port: u16) {
        let units: Vec<u16> = host.encode_utf16().take(1024).collect();
        let length = u16::try_from(units.len()).expect("cut off at 1024");
        self.token(ENV_CHANGE, |tokens| {
            tokens.byte(ROUTING);
            tokens.put(&(5 + 2 * length).to_le_bytes());
            tokens.byte(0); // TCP
            tokens.put(&port.to_le_bytes());
            tokens.put(&length.to_le_bytes());
            tokens.units(&units);
            tokens.put(&[0, 0]);
        });
    }

    pub(crate) fn login_ack(&mut self, tds: u32, version: [u8; 4]) {
        self.token(LOGIN_ACK, |tokens| {
            tokens.byte(1); // T-SQL
            tokens.put(&tds.to_be_bytes());
            tokens.short_text("Microsoft SQL Server");
            tokens.put(&version);
        });
    }

    /// A federated token was taken.
    pub(crate) fn federated_ack(&mut self) {
        self.put(&[FEATURE_ACK, 0x02, 0, 0, 0, 0, 0xFF]);
    }

    pub(crate) fn return_status(&mut self, status: i32) {
        self.byte(RETURN_STATUS);
        self.put(&status.to_le_bytes());
    }

    /// The end of a statement or of all.
    pub(crate) fn done(&mut self, ending: Ending, status: u16, rows: Option<u64>) {
        self.byte(ending as u8);
        self.put(&(status | if rows.is_some() { COUNTED } else { 0 }).to_le_bytes());
        self.put(&if rows.is_some() { SELECT } else { 0 }.to_le_bytes());
        self.put(&rows.unwrap_or(0).to_le_bytes());
    }

    /// A client's attention was heard: nothing of the request goes on.
    pub(crate) fn attended(&mut self) {
        self.done(Ending::Done, ATTENTION, None);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lengths_are_filled_in() {
        let mut tokens = Tokens::new("S", true);
        tokens.message(&Message { class: 14, ..Message::error(18456, "no") });
        let bytes = tokens.into_bytes();
        assert_eq!(bytes[..3], [ERROR, u8::try_from(bytes.len() - 3).unwrap(), 0]);
        assert_eq!(bytes[3..9], [0x18, 0x48, 0, 0, 1, 14]);
    }

    #[test]
    fn a_text_without_end_is_cut_off() {
        let mut tokens = Tokens::new("S", true);
        tokens.message(&Message { class: 1, ..Message::error(1, "x".repeat(100_000)) });
        assert_eq!(tokens.into_bytes()[0], INFO);
    }
}
