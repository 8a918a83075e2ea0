//! A client's line: packets put together to messages and messages taken apart to packets, on TCP or TLS.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::input::Malformed;
use super::tls::Tls;
use super::wrapped::Wrapped;

pub(crate) const HEADER: usize = 8;

// What a packet is part of.
pub(crate) const SQL_BATCH: u8 = 0x01;
pub(crate) const RPC: u8 = 0x03;
pub(crate) const RESPONSE: u8 = 0x04;
pub(crate) const ATTENTION: u8 = 0x06;
pub(crate) const TRANSACTION: u8 = 0x0E;
pub(crate) const LOGIN7: u8 = 0x10;
pub(crate) const PRELOGIN: u8 = 0x12;

// The bits of a packet's status.
const END_OF_MESSAGE: u8 = 0x01;
const IGNORE: u8 = 0x02;
const RESET: u8 = 0x08;
const RESET_KEEPING_TRANSACTION: u8 = 0x10;

/// The packet size until another is agreed upon at the login.
pub(crate) const FIRST_PACKET_SIZE: usize = 4096;

/// No message is longer: what claims to be is an attack, or a mistake.
const LONGEST_MESSAGE: usize = 64 * 1024 * 1024;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) kind: u8,
    /// The session is to be reset before.
    pub(crate) reset: bool,
    pub(crate) data: Vec<u8>,
}

/// The line, and what is known of it.
pub(crate) struct Line {
    carrier: Carrier,
    /// Bytes that came and are in no packet yet.
    inbox: Vec<u8>,
    /// The message that comes in, as far as it has come.
    partial: Option<Incoming>,
    packet_size: usize,
    /// The session, for the headers.
    pub(crate) session: i16,
}

enum Carrier {
    Plain(TcpStream),
    Tls(Box<TlsStream<Wrapped>>),
}

impl Line {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Line::over(Carrier::Plain(stream))
    }

    /// TLS before everything.
    pub(crate) async fn strict(stream: TcpStream, tls: &Tls) -> io::Result<Self> {
        Ok(Line::over(Carrier::Tls(Box::new(tls.accept_strict(stream).await?))))
    }

    fn over(carrier: Carrier) -> Self {
        Line { carrier, inbox: Vec::new(), partial: None, packet_size: FIRST_PACKET_SIZE, session: 0 }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.carrier, Carrier::Tls(_))
    }

    /// Goes from plain to TLS, with a handshake inside of packets.
    pub(crate) async fn encrypt(self, tls: &Tls) -> io::Result<Self> {
        self.must_be_between_messages()?;
        match self.carrier {
            Carrier::Plain(stream) => Ok(Line::over(Carrier::Tls(Box::new(tls.accept_wrapped(stream).await?)))),
            Carrier::Tls(_) => Err(Malformed("TLS within TLS").into()),
        }
    }

    /// Goes from TLS back to plain, as after a login that alone was encrypted.
    pub(crate) fn decrypt(self) -> io::Result<Self> {
        self.must_be_between_messages()?;
        Ok(match self.carrier {
            Carrier::Plain(_) => self,
            Carrier::Tls(stream) => Line::over(Carrier::Plain(stream.into_inner().0.into_inner())),
        })
    }

    /// Bytes that came before a change of the carrier were not protected by it, so they must not count as if they were.
    fn must_be_between_messages(&self) -> io::Result<()> {
        let between = self.inbox.is_empty() && self.partial.is_none();
        if between { Ok(()) } else { Err(Malformed("a client does not wait for the answer").into()) }
    }

    /// Packets have this size from here on, header included.
    pub(crate) fn set_packet_size(&mut self, size: usize) {
        self.packet_size = size;
    }

    /// The next message; `None` once the client has closed its side. May be dropped and called again: nothing is lost.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            if let Some(message) = self.unpack()? {
                return Ok(Some(message));
            }
            self.inbox.reserve(self.packet_size);
            let read = match &mut self.carrier {
                Carrier::Plain(stream) => stream.read_buf(&mut self.inbox).await?,
                Carrier::Tls(stream) => stream.read_buf(&mut self.inbox).await?,
            };
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes whole packets from the inbox until a message is complete.
    fn unpack(&mut self) -> Result<Option<Incoming>, Malformed> {
        while let Some(header) = self.inbox.first_chunk::<HEADER>().copied() {
            let [kind, status, high, low, ..] = header;
            let length = usize::from(u16::from_be_bytes([high, low]));
            if !(HEADER..=self.packet_size.max(FIRST_PACKET_SIZE)).contains(&length) {
                return Err(Malformed("a packet's length is wrong"));
            }
            if self.inbox.len() < length {
                return Ok(None);
            }
            let reset = status & (RESET | RESET_KEEPING_TRANSACTION) != 0;
            let message = self.partial.get_or_insert_with(|| Incoming { kind, reset, data: Vec::new() });
            if message.kind != kind || message.data.len() + length > LONGEST_MESSAGE {
                return Err(Malformed("a packet is not part of the message before it"));
            }
            message.data.extend_from_slice(&self.inbox[HEADER..length]);
            self.inbox.drain(..length);
            if status & END_OF_MESSAGE != 0 {
                let message = self.partial.take();
                // The client took back what it had begun to send.
                if status & IGNORE == 0 {
                    return Ok(message);
                }
            }
        }
        Ok(None)
    }

    /// Sends a whole message.
    pub(crate) async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let mut packets = Vec::with_capacity(data.len() + HEADER);
        let mut parts = data.chunks(self.packet_size - HEADER).peekable();
        let mut number: u8 = 0;
        while let Some(part) = parts.next() {
            number = number.wrapping_add(1);
            packets.extend(packet_header(RESPONSE, parts.peek().is_none(), part.len(), self.session, number));
            packets.extend_from_slice(part);
        }
        match &mut self.carrier {
            Carrier::Plain(stream) => {
                stream.write_all(&packets).await?;
                stream.flush().await
            }
            Carrier::Tls(stream) => {
                stream.write_all(&packets).await?;
                stream.flush().await
            }
        }
    }

    /// Closes our side in order, so that the client still reads what was sent.
    pub(crate) async fn close(&mut self) {
        // A client that is gone already need not be told.
        match &mut self.carrier {
            Carrier::Plain(stream) => stream.shutdown().await.ok(),
            Carrier::Tls(stream) => stream.shutdown().await.ok(),
        };
    }
}

/// The header of a packet with so many bytes of content.
///
/// # Panics
/// If the packet is longer than its header can say.
pub(crate) fn packet_header(kind: u8, last: bool, content: usize, session: i16, number: u8) -> [u8; HEADER] {
    let length = u16::try_from(content + HEADER).expect("packet sizes are agreed upon below 32 KiB");
    let [high, low] = length.to_be_bytes();
    let [session_high, session_low] = session.to_be_bytes();
    [kind, u8::from(last), high, low, session_high, session_low, number, 0]
}
