//! A client by hand, for what no well-behaved client does.

use std::time::Duration;

use keywheel_sqlserver_double::SqlServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far longer than any answer takes: a server that does not answer fails its test, instead of holding it up for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub const BATCH: u8 = 0x01;
pub const RPC: u8 = 0x03;
pub const ATTENTION: u8 = 0x06;
pub const LOGIN: u8 = 0x10;
pub const PRELOGIN: u8 = 0x12;

/// The status of a packet that is the last of its message.
pub const LAST: u8 = 0x01;
/// ... and of one before which the session is to be reset.
pub const LAST_AND_RESET: u8 = 0x09;

/// A PRELOGIN that wishes for no encryption.
pub const NO_ENCRYPTION: [u8; 7] = [1, 0, 6, 0, 1, 0xFF, 2];

pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    pub async fn connect(server: &SqlServer) -> Self {
        Raw::connect_to(server.port()).await
    }

    pub async fn connect_to(port: u16) -> Self {
        Raw { stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap() }
    }

    /// Logged in as `sa`.
    pub async fn logged_in(server: &SqlServer) -> Self {
        let mut raw = Raw::connect(server).await;
        raw.send(PRELOGIN, LAST, &NO_ENCRYPTION).await;
        raw.receive().await.unwrap();
        raw.send(LOGIN, LAST, &login("sa", &crate::sa_password())).await;
        let answer = raw.receive().await.unwrap();
        assert!(answer.ends_with(&done(0)), "the login succeeds");
        raw
    }

    pub async fn send(&mut self, kind: u8, status: u8, content: &[u8]) {
        let length = u16::try_from(content.len() + 8).unwrap().to_be_bytes();
        let mut packet = vec![kind, status, length[0], length[1], 0, 0, 1, 0];
        packet.extend_from_slice(content);
        self.write(&packet).await;
    }

    pub async fn batch(&mut self, status: u8, text: &str) {
        self.send(BATCH, status, &[&[4, 0, 0, 0][..], &units(text)].concat()).await;
    }

    /// Bytes as they are. The server may have closed the line already.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.ok();
    }

    /// A whole message; `None` if the server closes the line.
    ///
    /// # Panics
    /// If it does neither.
    pub async fn receive(&mut self) -> Option<Vec<u8>> {
        timeout(LONGEST_WAIT, self.message()).await.expect("the server answers or closes")
    }

    async fn message(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let mut header = [0; 8];
            self.stream.read_exact(&mut header).await.ok()?;
            let mut content = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
            self.stream.read_exact(&mut content).await.ok()?;
            message.extend(content);
            if header[1] & LAST != 0 {
                return Some(message);
            }
        }
    }
}

/// The DONE that ends an answer, with this status.
pub fn done(status: u8) -> [u8; 13] {
    [0xFD, status, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A LOGIN7 of TDS 7.4.
pub fn login(user: &str, password: &str) -> Vec<u8> {
    let mut message = vec![0; 94];
    message[4..8].copy_from_slice(&[4, 0, 0, 0x74]);
    let password: Vec<u8> = units(password).into_iter().map(|byte| byte.rotate_left(4) ^ 0xA5).collect();
    for (field, value) in [(40, units(user)), (44, password)] {
        let offset = u16::try_from(message.len()).unwrap().to_le_bytes();
        let length = u16::try_from(value.len() / 2).unwrap().to_le_bytes();
        message[field..field + 4].copy_from_slice(&[offset[0], offset[1], length[0], length[1]]);
        message.extend(value);
    }
    let length = u32::try_from(message.len()).unwrap().to_le_bytes();
    message[..4].copy_from_slice(&length);
    message
}

pub fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
