//! The TCP connections, which can be cut in the middle of a request: axum alone can only answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Accepts connections that are all cut when the service stops.
pub(crate) struct Lines {
    listener: TcpListener,
    stopping: CancellationToken,
}

impl Lines {
    pub(crate) fn new(listener: TcpListener, stopping: CancellationToken) -> Self {
        Lines { listener, stopping }
    }
}

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Without it answers are only slower.
        let _ = stream.set_nodelay(true);
        (Line::new(stream, self.stopping.child_token()), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection. Once it is cut nothing is read from it or written to it, and so hyper drops it, which closes it,
/// when hyper next looks: for the answer of the request that cut it, or at the graceful shutdown.
pub(crate) struct Line {
    stream: TcpStream,
    cutter: Cutter,
}

impl Line {
    fn new(stream: TcpStream, token: CancellationToken) -> Self {
        Line { stream, cutter: Cutter(token) }
    }

    fn alive(&self) -> io::Result<()> {
        if self.cutter.0.is_cancelled() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// What a request knows of the connection that it came on.
#[derive(Clone)]
pub(crate) struct Cutter(CancellationToken);

impl Cutter {
    /// Cuts the connection. No byte of an answer leaves after this.
    pub(crate) fn cut(&self) {
        self.0.cancel();
    }

    /// Returns once the connection is cut, as all are when the service stops.
    pub(crate) async fn wait(&self) {
        self.0.cancelled().await;
    }
}

impl Connected<IncomingStream<'_, Lines>> for Cutter {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().cutter.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
