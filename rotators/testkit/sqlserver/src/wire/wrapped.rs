//! A TCP stream that carries a TLS handshake inside of PRELOGIN packets, as TDS 7 does, and what follows as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::line::{HEADER, PRELOGIN, packet_header};

/// The longest packet while nothing else is agreed upon.
const LONGEST: usize = 4096;

/// Begins bare, or wrapping; [`Wrapped::unwrap_rest`] ends the wrapping once and for all.
pub(crate) struct Wrapped {
    stream: TcpStream,
    wrapping: bool,
    /// The header of the packet that comes in, as far as it has come.
    header: [u8; HEADER],
    header_length: usize,
    /// What of the packet that comes in is still to be read.
    remaining: usize,
    /// What TLS has written since the last flush, without headers.
    outgoing: Vec<u8>,
    /// Packets that are on their way out.
    packets: Vec<u8>,
}

impl Wrapped {
    pub(crate) fn new(stream: TcpStream, wrapping: bool) -> Self {
        Wrapped {
            stream,
            wrapping,
            header: [0; HEADER],
            header_length: 0,
            remaining: 0,
            outgoing: Vec::new(),
            packets: Vec::new(),
        }
    }

    /// The handshake is done: records are on the bare stream from here on.
    pub(crate) fn unwrap_rest(&mut self) {
        self.wrapping = false;
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Reads the header of the next packet. Ready with `false` at the end of the stream.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.remaining == 0 {
            let mut part = ReadBuf::new(&mut self.header[self.header_length..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(false));
            }
            self.header_length += read;
            if self.header_length == HEADER {
                let length = usize::from(u16::from_be_bytes([self.header[2], self.header[3]]));
                if self.header[0] != PRELOGIN || length < HEADER {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                self.remaining = length - HEADER;
                self.header_length = 0;
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Puts what TLS has written into packets, the last of which ends the message.
    fn pack(&mut self) {
        let outgoing = std::mem::take(&mut self.outgoing);
        let mut parts = outgoing.chunks(LONGEST - HEADER).peekable();
        while let Some(part) = parts.next() {
            self.packets.extend(packet_header(PRELOGIN, parts.peek().is_none(), part.len(), 0, 0));
            self.packets.extend_from_slice(part);
        }
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.wrapping && this.remaining == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        if !ready!(this.poll_header(cx))? {
            return Poll::Ready(Ok(()));
        }
        // Not beyond the packet: what follows may be no packet any more.
        let limit = this.remaining.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        this.remaining -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.wrapping {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        }
        this.outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pack();
        while !this.packets.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.packets))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.packets.drain(..written);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
