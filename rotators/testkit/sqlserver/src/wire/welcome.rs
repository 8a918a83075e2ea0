//! From a fresh TCP connection to a session: PRELOGIN, encryption, LOGIN7, and the server's welcome or refusal.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use tokio::net::TcpStream;

use super::conversation::{self, Conversation};
use super::input::Malformed;
use super::line::{FIRST_PACKET_SIZE, Incoming, LOGIN7, Line, PRELOGIN};
use super::login7::Login7;
use super::prelogin::{Encrypt, Prelogin};
use super::tokens::{DATABASE, Ending, FAILED, LANGUAGE, PACKET_SIZE, Tokens};
use crate::exchange::{Message, Reply};
use crate::fault::{Answer, Instead};
use crate::instance::{Session, Version};
use crate::server::{Encryption, HeardLogin, Shared};

/// The first byte of a TLS handshake, where TDS 7 has a packet's kind.
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves a client until one of both sides ends it.
pub(crate) async fn serve(stream: TcpStream, client: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut closings = shared.closings.subscribe();
    let welcomed = {
        let mut welcome = pin!(welcome(stream, client, shared));
        tokio::select! {
            welcomed = &mut welcome => welcomed?,
            _ = closings.changed() => None,
        }
    };
    match welcomed {
        Some(mut conversation) => conversation.hold(&mut closings).await,
        None => Ok(()),
    }
}

/// Everything up to the session; `None` if there is none, and the client knows as much as it is to know.
async fn welcome<'a>(
    stream: TcpStream,
    client: SocketAddr,
    shared: &'a Shared,
) -> io::Result<Option<Conversation<'a>>> {
    let mut line = open(stream, shared).await?;
    let Some(message) = expect(&mut line, PRELOGIN).await? else { return Ok(None) };
    let prelogin = Prelogin::read(&message.data)?;
    let strict = line.is_encrypted();
    let answered = if strict { Encrypt::NotSupported } else { answered_encryption(prelogin.encrypt, shared) };
    line.send(&prelogin.answer(version_bytes(&shared.instance.product()), answered)).await?;
    if answered != Encrypt::NotSupported {
        let tls = shared.tls.as_ref().ok_or(Malformed("encryption was agreed upon without a certificate"))?;
        line = line.encrypt(tls).await?;
    }
    let Some(message) = expect(&mut line, LOGIN7).await? else { return Ok(None) };
    let encrypted_session = strict || matches!(answered, Encrypt::On | Encrypt::Required);
    let login7 = Login7::read(&message.data, client, encrypted_session)?;
    let secret = login7.login.token.as_ref().unwrap_or(&login7.login.password);
    shared.hear_login(HeardLogin {
        login: login7.login.user.clone(),
        password: secret.clone(),
        encrypted: line.is_encrypted(),
    });
    if !encrypted_session {
        line = line.decrypt()?;
    }
    log_in(line, login7, shared).await
}

/// TLS before everything if that is what the client begins with; plain otherwise.
async fn open(stream: TcpStream, shared: &Shared) -> io::Result<Line> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    let begins_with_tls = first == [TLS_HANDSHAKE];
    // Releases before 2022 know nothing of TDS 8.
    let knows_strict = shared.version() >= Version::V2022;
    match &shared.tls {
        Some(tls) if begins_with_tls && knows_strict => Line::strict(stream, tls).await,
        _ if begins_with_tls || shared.encryption == Encryption::Strict => {
            Err(Malformed("a client and the server do not agree on whether TLS comes first").into())
        }
        _ => Ok(Line::plain(stream)),
    }
}

async fn expect(line: &mut Line, kind: u8) -> io::Result<Option<Incoming>> {
    match line.receive().await? {
        Some(message) if message.kind != kind => Err(Malformed("a message of another kind was expected").into()),
        message => Ok(message),
    }
}

/// The table of MS-TDS: what the server answers to what the client says. A client that does not like it goes.
fn answered_encryption(asked: Encrypt, shared: &Shared) -> Encrypt {
    let required = shared.encryption != Encryption::Offer;
    match (asked, required) {
        _ if shared.tls.is_none() => Encrypt::NotSupported,
        (Encrypt::Off | Encrypt::NotSupported, true) => Encrypt::Required,
        (Encrypt::Off, false) => Encrypt::Off,
        (Encrypt::NotSupported, false) => Encrypt::NotSupported,
        (Encrypt::On | Encrypt::Required, _) => Encrypt::On,
    }
}

/// Major, minor and build, as PRELOGIN and LOGINACK have them.
fn version_bytes(product: &str) -> [u8; 4] {
    let mut numbers = product.split('.').map(|number| number.parse::<u16>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let (major, minor, build) = (next(), next(), next());
    let [build_high, build_low] = build.to_be_bytes();
    [major.to_be_bytes()[1], minor.to_be_bytes()[1], build_high, build_low]
}

async fn log_in<'a>(line: Line, login7: Login7, shared: &'a Shared) -> io::Result<Option<Conversation<'a>>> {
    let strike = shared.faults.strike_login(&login7.login.user);
    conversation::call(strike.before).await;
    let outcome = match strike.instead {
        Some(Instead::Close | Instead::Kill) => return Ok(None),
        Some(Instead::Stall) => return stall(line).await,
        Some(Instead::Fail(message)) => Err(vec![message]),
        None if login7.integrated => Err(vec![untrusted_domain()]),
        None => shared.instance.login(&login7.login),
    };
    conversation::call(strike.after).await;
    match (outcome, strike.answer) {
        (_, Some(Answer::Close)) => Ok(None),
        (_, Some(Answer::Fail(message))) => refuse(line, shared, &[message]).await,
        (Err(_), Some(Answer::Stall)) => stall(line).await,
        (Err(messages), Some(Answer::Route { .. }) | None) => refuse(line, shared, &messages).await,
        (Ok(session), Some(Answer::Stall)) => {
            Conversation::new(line, session, shared, login7).stall().await;
            Ok(None)
        }
        (Ok(session), Some(Answer::Route { host, port })) => {
            welcome_session(line, &login7, &session, shared, Some((&host, port))).await?.close().await;
            Ok(None)
        }
        (Ok(session), None) => {
            let line = welcome_session(line, &login7, &session, shared, None).await?;
            Ok(Some(Conversation::new(line, session, shared, login7)))
        }
    }
}

/// Tells the client that it is logged in, and speaks from then on as it was agreed upon.
async fn welcome_session(
    mut line: Line,
    login7: &Login7,
    session: &Session,
    shared: &Shared,
    route: Option<(&str, u16)>,
) -> io::Result<Line> {
    line.session = session.id();
    line.send(&welcoming(login7, session, shared, route)).await?;
    line.set_packet_size(login7.packet_size);
    Ok(line)
}

fn untrusted_domain() -> Message {
    Message {
        number: 18452,
        state: 1,
        class: 14,
        procedure: String::new(),
        text: "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication."
            .to_owned(),
    }
}

/// Never answers, until the client goes.
async fn stall<T>(mut line: Line) -> io::Result<Option<T>> {
    while line.receive().await?.is_some() {}
    Ok(None)
}

async fn refuse<T>(mut line: Line, shared: &Shared, messages: &[Message]) -> io::Result<Option<T>> {
    let mut tokens = Tokens::new(&shared.server_name, true);
    for message in messages {
        tokens.message(message);
    }
    tokens.done(Ending::Done, FAILED, None);
    line.send(&tokens.into_bytes()).await?;
    line.close().await;
    Ok(None)
}

/// The answer to a login that succeeds.
fn welcoming(login7: &Login7, session: &Session, shared: &Shared, route: Option<(&str, u16)>) -> Vec<u8> {
    let mut tokens = Tokens::new(&shared.server_name, login7.knows_null_bitmaps());
    tokens.change(DATABASE, &session.database(), "master");
    let replies = session.default_login_replies();
    for reply in &replies {
        if let Reply::Message(message) = reply {
            tokens.message(message);
        }
    }
    tokens.collation();
    tokens.change(LANGUAGE, "us_english", "");
    tokens.login_ack(login7.version, version_bytes(&shared.instance.product()));
    let (size, first_size) = (login7.packet_size.to_string(), FIRST_PACKET_SIZE.to_string());
    tokens.change(PACKET_SIZE, &size, &first_size);
    if login7.federated {
        tokens.federated_ack();
    }
    if let Some((host, port)) = route {
        tokens.routing(host, port);
    }
    tokens.done(Ending::Done, 0, None);
    tokens.into_bytes()
}
