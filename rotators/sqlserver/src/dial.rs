//! The connection under a session. A name may stand for several addresses, of which one answers: an availability group's
//! listener has one in each subnet, and the others are dead, which a connection notices only after minutes.

use std::io;
use std::net::SocketAddr;

use futures_util::future::select_ok;
use tokio::net::{TcpStream, lookup_host};

use crate::settings::Address;

/// Connects to the first address of the host that answers. (Microsoft's own drivers call this `MultiSubnetFailover`.)
pub(crate) async fn dial(address: &Address) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port)).await?.collect();
    first_of(&found).await
}

/// All are tried at the same time; the ones that lose are closed.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    }
    let tries = addresses.iter().map(|address| Box::pin(TcpStream::connect(*address)));
    let (stream, _) = select_ok(tries).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_dead_address_does_not_keep_us_from_a_living_one() {
        let living = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let living = (living.local_addr().unwrap(), living);
        // A port that was ours a moment ago, and is closed now.
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        for list in [[closed, living.0], [living.0, closed]] {
            assert_eq!(first_of(&list).await.unwrap().peer_addr().unwrap(), living.0);
        }
        assert_eq!(first_of(&[closed, closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_address_that_never_answers_is_not_waited_for() {
        // Nobody accepts here, and the queue is full after a few: the next connection hangs.
        let silent = socket_that_is_full().await;
        let living = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let list = [silent.address, living.local_addr().unwrap()];
        let reached = tokio::time::timeout(std::time::Duration::from_secs(60), first_of(&list)).await.unwrap();
        assert_eq!(reached.unwrap().peer_addr().unwrap(), list[1]);
    }

    struct Full {
        address: SocketAddr,
        _listener: tokio::net::TcpListener,
        _queued: Vec<TcpStream>,
    }

    async fn socket_that_is_full() -> Full {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(std::time::Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queued.push(stream.unwrap());
        }
        Full { address, _listener: listener, _queued: queued }
    }
}
