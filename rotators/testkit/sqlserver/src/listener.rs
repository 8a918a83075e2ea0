//! The listener of an availability group: a port that leads to the primary.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::thread::JoinHandle;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::instance::AvailabilityGroup;

/// See [`AvailabilityGroup::listener`]. Dropping it closes its port and its lines.
pub struct Listener {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(crate) fn start(group: AvailabilityGroup) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // A thread of its own, for the reason that the server has one.
        let thread = std::thread::Builder::new().name("sqlserver-listener".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // The sender is dropped to stop.
                    _ = stopped => {}
                    () = accept(listener, group) => {}
                }
            });
        })?;
        Ok(Listener { port, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            thread.join().ok();
        }
    }
}

async fn accept(listener: StdListener, group: AvailabilityGroup) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block, and the runtime has a driver");
    loop {
        if let Ok((client, _)) = listener.accept().await {
            let group = group.clone();
            tokio::spawn(async move {
                // Where there is no primary to be reached, the client's line is closed.
                lead(client, &group).await.ok();
            });
        }
    }
}

/// Passes bytes on to the primary and back, until one side ends or another replica is the primary.
async fn lead(mut client: TcpStream, group: &AvailabilityGroup) -> io::Result<()> {
    let Some((port, mut failovers)) = group.way_to_primary() else { return Ok(()) };
    let mut primary = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.set_nodelay(true)?;
    primary.set_nodelay(true)?;
    tokio::select! {
        done = copy_bidirectional(&mut client, &mut primary) => done.map(|_| ()),
        _ = failovers.changed() => Ok(()),
    }
}
