//! A target to practise on: accounts with passwords, behind a port that any language talks to without a library.
//!
//! One JSON object per line in each direction. What does not begin with its line is answered when the line has ended.
//!
//! ```text
//! > {"do":"set","user":"app","password":"…","admin":"…"}      makes the account, or gives it another password
//! < {"ok":true}
//! > {"do":"login","user":"app","password":"…"}
//! < {"ok":true}
//! > {"do":"login","user":"app","password":"something else"}
//! < {"ok":false,"why":"wrong password"}
//! > {"do":"accounts","admin":"…"}
//! < {"ok":true,"accounts":["app"]}
//! > {"do":"remove","user":"app","admin":"…"}                  also where there is no such account
//! < {"ok":true}
//! ```
//!
//! Passwords and names have 1 to 256 characters, of which none is a control character; others are refused with `password not
//! allowed` or `name not allowed`. Further refusals: `wrong password`, `no such account`, `wrong admin password`, `unknown do`, `no
//! message`, and `line too long`, after which the line is closed.

mod inside;
mod subject;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use keywheel_sdk::{Bundle, Secret};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use inside::{Answered, Inside};
pub use subject::PracticeSubject;

/// The longest line, in bytes. A longer one is no message.
const LONGEST: u64 = 64 * 1024;
/// The name that the admin's credential has.
const ADMIN: &str = "admin";

/// A running target. Dropped, it ends.
pub struct PracticeTarget {
    port: u16,
    inside: Arc<Inside>,
    accepting: JoinHandle<()>,
}

impl PracticeTarget {
    /// Listens on this port of 127.0.0.1; on a free one for 0. There are no accounts yet.
    ///
    /// # Errors
    /// The port is taken, or the system has no chance to make the admin's password of.
    pub async fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let port = listener.local_addr()?.port();
        let inside = Arc::new(Inside::new(random()?));
        let shared = Arc::clone(&inside);
        let accepting = tokio::spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((line, _)) = listener.accept().await {
                let inside = Arc::clone(&shared);
                // Whoever breaks a line off is not to be told.
                talks.spawn(async move { talk(line, &inside).await.ok() });
                while talks.try_join_next().is_some() {}
            }
        });
        Ok(PracticeTarget { port, inside, accepting })
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin's credential: `username` and `password`, of which the messages have the second.
    pub fn admin(&self) -> Bundle {
        Bundle::login(ADMIN, self.inside.admin())
    }

    /// Makes an account, or gives it another password, as a person would by hand. A password that is not allowed is not taken.
    pub fn set(&self, user: &str, password: &Secret) {
        password.expose(|password| self.inside.set(user, password)).ok();
    }

    /// Whether it lets this account in with this password.
    pub fn accepts(&self, user: &str, password: &Secret) -> bool {
        password.expose(|password| self.inside.login(user, password)).is_ok()
    }
}

impl Drop for PracticeTarget {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn random() -> std::io::Result<Secret> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Answers one line's messages until it ends.
async fn talk(line: TcpStream, inside: &Inside) -> std::io::Result<()> {
    line.set_nodelay(true)?;
    let (read, mut write) = line.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut message = Vec::new();
        let taken = (&mut read).take(LONGEST).read_until(b'\n', &mut message).await?;
        if taken == 0 {
            return Ok(());
        }
        if !message.ends_with(b"\n") && message.len() as u64 == LONGEST {
            write.write_all(inside::REFUSED_LENGTH).await?;
            return Ok(());
        }
        match inside.answer(&message) {
            Answered::With(mut answer) => {
                answer.push(b'\n');
                write.write_all(&answer).await?;
            }
            Answered::Cut => return Ok(()),
            Answered::Silent => return drain(read).await,
        }
    }
}

/// Says nothing until the other side gives up.
async fn drain(mut read: impl AsyncRead + Unpin) -> std::io::Result<()> {
    let mut ignored = [0; 1024];
    while read.read(&mut ignored).await? > 0 {}
    Ok(())
}
