//! A line to a server that breaks at a chosen moment, without clocks: it watches what passes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the line does when the client sends the marker. Each fault strikes once, then the line is sound again: that is
/// what a client sees who connects anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Forward what holds the marker, wait until the server answers, swallow the answer and cut: a lost acknowledgement.
    CutAfterEffect { marker: Vec<u8> },
    /// Cut instead of forwarding what holds the marker: the server never sees it.
    CutBeforeEffect { marker: Vec<u8> },
    /// Keep both lines open and forward nothing any more, from the marker on.
    Stall { marker: Vec<u8> },
    /// As `CutAfterEffect`, but nothing is cut: the client waits for ever for the answer.
    StallAfterEffect { marker: Vec<u8> },
}

impl Fault {
    fn marker(&self) -> &[u8] {
        match self {
            Fault::CutAfterEffect { marker }
            | Fault::CutBeforeEffect { marker }
            | Fault::Stall { marker }
            | Fault::StallAfterEffect { marker } => marker,
        }
    }
}

/// A TCP proxy on a free port of 127.0.0.1. It understands no protocol, so the line must be plain text for markers to match.
pub struct CutProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    /// The armed faults; the connection that meets the marker of one first takes them all.
    faults: Mutex<Vec<Fault>>,
    /// How many faults have struck.
    strikes: watch::Sender<u64>,
    /// Connections accepted so far.
    connections: watch::Sender<u64>,
}

impl CutProxy {
    /// Listens, and passes everything on to `upstream`.
    pub async fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            faults: Mutex::new(Vec::new()),
            strikes: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.connections.send_modify(|count| *count += 1);
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(upstream).await {
                        // A broken line is what this is for; nobody is to be told.
                        carry(client, server, &state).await.ok();
                    }
                });
            }
        });
        Ok(CutProxy { address, state, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port where clients connect.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Arms a fault for the next connection that meets its marker. Replaces what has not struck.
    pub fn arm(&self, fault: Fault) {
        self.arm_one_of(vec![fault]);
    }

    /// Arms several, of which one strikes: the first whose marker is met. Replaces what has not struck.
    pub fn arm_one_of(&self, faults: Vec<Fault>) {
        *self.state.faults() = faults;
    }

    /// Takes back what has not struck.
    pub fn disarm(&self) {
        self.state.faults().clear();
    }

    /// How many faults have struck.
    pub fn strikes(&self) -> u64 {
        *self.state.strikes.borrow()
    }

    /// Returns once that many faults have struck.
    pub async fn wait_for_strikes(&self, count: u64) {
        let mut strikes = self.state.strikes.subscribe();
        strikes.wait_for(|struck| *struck >= count).await.expect("the sender lives as long as `self`");
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        *self.state.connections.borrow()
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the fault whose marker is in `seen`, and the others back.
    fn strike(&self, seen: &[u8]) -> Option<Fault> {
        let met = |fault: &Fault| {
            let marker = fault.marker();
            marker.is_empty() || seen.windows(marker.len()).any(|window| window == marker)
        };
        let mut faults = self.faults();
        let found = faults.iter().position(met)?;
        let fault = faults.swap_remove(found);
        faults.clear();
        Some(fault)
    }

    fn count_strike(&self) {
        self.strikes.send_modify(|count| *count += 1);
    }

    fn longest_tail(&self) -> usize {
        self.faults().iter().map(|fault| fault.marker().len().saturating_sub(1)).max().unwrap_or(0)
    }
}

/// Carries bytes both ways until one side closes or a fault strikes.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: &State) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut from_server) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    // The end of what went before, since a marker may be spread over two reads.
    let mut seen: Vec<u8> = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let sent = &from_client[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                seen.extend_from_slice(sent);
                match state.strike(&seen) {
                    None => server.write_all(sent).await?,
                    Some(Fault::CutBeforeEffect { .. }) => {
                        // First, so that whoever sees the cut sees it counted.
                        state.count_strike();
                        drop((client, server));
                        return Ok(());
                    }
                    Some(Fault::CutAfterEffect { .. }) => {
                        server.write_all(sent).await?;
                        swallow_answer(&mut client, &mut server).await?;
                        // First, so that whoever sees the cut sees it counted.
                        state.count_strike();
                        drop((client, server));
                        return Ok(());
                    }
                    Some(Fault::Stall { .. }) => {
                        state.count_strike();
                        return hold(client, server).await;
                    }
                    Some(Fault::StallAfterEffect { .. }) => {
                        server.write_all(sent).await?;
                        swallow_answer(&mut client, &mut server).await?;
                        state.count_strike();
                        return hold(client, server).await;
                    }
                }
                let tail = state.longest_tail().min(seen.len());
                seen.drain(..seen.len() - tail);
            }
            read = server.read(&mut from_server) => {
                let answered = &from_server[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}

/// Returns once the server has begun to answer, or has gone. The rest of the request is passed on meanwhile.
async fn swallow_answer(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    let (mut first, mut rest) = ([0; 1], vec![0; 16 * 1024]);
    let mut sends = true;
    loop {
        tokio::select! {
            answered = server.read(&mut first) => return answered.map(drop),
            read = client.read(&mut rest), if sends => match read? {
                0 => sends = false,
                count => server.write_all(&rest[..count]).await?,
            }
        }
    }
}

/// Holds both lines open, silently, until the client gives up. The server's line outlives it, as after a lost host: the
/// server does not learn that the client is gone.
async fn hold(mut client: TcpStream, server: TcpStream) -> std::io::Result<()> {
    let mut ignored = [0; 1024];
    while client.read(&mut ignored).await? > 0 {}
    let kept = server;
    std::future::pending::<()>().await;
    drop(kept);
    Ok(())
}
