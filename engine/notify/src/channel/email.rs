//! Mail through one SMTP server (RFC 5321), as text and HTML.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use keywheel_policies::{Email as Spec, MailTls};
use keywheel_sdk::{Secret, mask};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials as Login;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};

use super::{Channel, Credentials, LONGEST, SendError, Sent, http};
use crate::Message;

/// For one envelope, from the connection to the last answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Email {
    spec: Spec,
    credentials: Arc<dyn Credentials>,
}

impl Email {
    pub fn new(spec: Spec, credentials: Arc<dyn Credentials>) -> Self {
        Email { spec, credentials }
    }

    async fn transport(&self, login: Option<(&str, &Secret)>) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
        let Spec { host, port, .. } = &self.spec;
        let tls = match self.spec.tls {
            MailTls::StartTls => Tls::Required(self.tls().await?),
            MailTls::Implicit => Tls::Wrapper(self.tls().await?),
            MailTls::Disable => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(*port)
            .tls(tls)
            .timeout(Some(PATIENCE))
            // One connection, and one login, for all envelopes of a message.
            .pool_config(PoolConfig::new().max_size(1));
        Ok(match login {
            Some((name, password)) => builder.credentials(Login::new(name.to_owned(), password.expose(str::to_owned))),
            None => builder,
        }
        .build())
    }

    async fn tls(&self) -> Result<TlsParameters, SendError> {
        let mut builder = TlsParameters::builder(self.spec.host.clone());
        if let Some(path) = &self.spec.ca_file {
            let own = Certificate::from_pem(&http::authority(path).await?).map_err(|error| {
                SendError::untaken(format!("`{}` holds no certificate: {}", path.display(), http::chain(error)))
            })?;
            builder = builder.add_root_certificate(own);
        }
        builder.build_rustls().map_err(|error| SendError::untaken(http::chain(error)))
    }
}

/// What a server said to an envelope.
enum Answer {
    Taken,
    /// Not to these recipients; others may be better off.
    NotToThem {
        why: String,
        is_final: bool,
        of_content: bool,
    },
    /// To nobody, or nobody knows: others need not be tried.
    Not {
        why: String,
        untaken: bool,
    },
}

/// Hands one envelope over.
async fn hand_over(
    transport: &AsyncSmtpTransport<Tokio1Executor>,
    from: &Address,
    to: Vec<Address>,
    mail: &[u8],
) -> Answer {
    let envelope = match Envelope::new(Some(from.clone()), to) {
        Ok(envelope) => envelope,
        Err(error) => return Answer::Not { why: error.to_string(), untaken: true },
    };
    match tokio::time::timeout(PATIENCE, transport.send_raw(&envelope, mail)).await {
        Ok(Ok(_)) => Answer::Taken,
        Ok(Err(error)) => answer_of(error),
        Err(_) => Answer::Not { why: format!("no answer within {} s", PATIENCE.as_secs()), untaken: false },
    }
}

/// The codes are those of RFC 5321, 4.2.3, and for logins those of RFC 4954.
fn answer_of(error: Error) -> Answer {
    let code = error.status().map(u16::from);
    let untaken = error.is_client() || error.is_tls() || error.is_permanent() || error.is_transient();
    let (is_final, untaken) = (error.is_permanent(), untaken || never_connected(&error));
    let why = http::chain(error);
    match code {
        Some(450..=452 | 550..=556) => Answer::NotToThem { why, is_final, of_content: matches!(code, Some(552)) },
        _ => Answer::Not { why, untaken },
    }
}

/// Nothing can have been sent.
fn never_connected(error: &Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
        }
        cause = error.source();
    }
    false
}

#[async_trait]
impl Channel for Email {
    async fn send(&self, message: &Message, has: &[String], _now: Timestamp) -> Result<Sent, SendError> {
        let from = mailbox(&self.spec.from)?;
        let to: Vec<Mailbox> = self.spec.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        let mail = written(message, &from, &to)?.formatted();
        let login = match &self.spec.login {
            Some(source) => Some(self.credentials.login(source).await?),
            None => None,
        };
        let transport = self.transport(login.as_ref().map(|(name, password)| (name.as_str(), password))).await?;
        let mut has = has.to_vec();
        let missing: Vec<Address> =
            to.iter().map(|to| to.email.clone()).filter(|to| !has.contains(&to.to_string())).collect();
        let trouble = Told { missing, mail: &mail, from: &from.email }.all(&transport, &mut has).await;
        let Some(trouble) = trouble else { return Ok(Sent::default()) };
        // What a server says may repeat what it was told.
        let message = login.map_or(trouble.why.clone(), |login| masked(&trouble.why, &login));
        if trouble.is_final && !has.is_empty() {
            return Ok(Sent { but: Some(message) });
        }
        Err(SendError { message, retry_after: None, untaken: trouble.untaken, of_content: trouble.of_content, has })
    }
}

/// What went wrong, over all recipients.
struct Trouble {
    why: String,
    untaken: bool,
    /// For those who are missing, whatever is tried.
    is_final: bool,
    of_content: bool,
}

/// One mail, and those who do not have it yet.
struct Told<'a> {
    missing: Vec<Address>,
    mail: &'a [u8],
    from: &'a Address,
}

impl Told<'_> {
    /// Tries all at once, and if that fails for a recipient, one by one. `None` once all have it.
    async fn all(self, transport: &AsyncSmtpTransport<Tokio1Executor>, has: &mut Vec<String>) -> Option<Trouble> {
        let until = Instant::now() + LONGEST - PATIENCE;
        let mut trouble: Option<Trouble> = None;
        let groups: Vec<Vec<Address>> = match hand_over(transport, self.from, self.missing.clone(), self.mail).await {
            Answer::Taken => {
                has.extend(self.missing.iter().map(Address::to_string));
                return None;
            }
            Answer::Not { why, untaken } => return Some(Trouble { why, untaken, is_final: false, of_content: false }),
            Answer::NotToThem { why, is_final, of_content } if self.missing.len() == 1 => {
                let why = format!("{}: {why}", self.missing[0]);
                return Some(Trouble { why, untaken: true, is_final, of_content });
            }
            // A server that refuses one recipient has the mail for none (the transaction ends there).
            Answer::NotToThem { .. } => self.missing.iter().map(|to| vec![to.clone()]).collect(),
        };
        for to in groups {
            let name = to[0].to_string();
            let (why, untaken, is_final, of_content) = if Instant::now() >= until {
                ("there was no time left for it".to_owned(), true, false, false)
            } else {
                match hand_over(transport, self.from, to, self.mail).await {
                    Answer::Taken => {
                        has.push(name);
                        continue;
                    }
                    Answer::NotToThem { why, is_final, of_content } => (why, true, is_final, of_content),
                    Answer::Not { why, untaken } => {
                        let why = format!("{name}: {why}");
                        return Some(Trouble { why, untaken, is_final: false, of_content: false });
                    }
                }
            };
            let why = format!("{name}: {why}");
            trouble = Some(match trouble {
                None => Trouble { why, untaken, is_final, of_content },
                Some(before) => Trouble {
                    why: format!("{}; {why}", before.why),
                    untaken: before.untaken && untaken,
                    is_final: before.is_final && is_final,
                    of_content: before.of_content && of_content,
                },
            });
        }
        trouble
    }
}

/// The password is hidden as it is, and as both ways to log in spell it (RFC 4616, and what is known as LOGIN).
fn masked(text: &str, (name, password): &(String, Secret)) -> String {
    let spelled = password.expose(|password| {
        [STANDARD.encode(password), STANDARD.encode(format!("\0{name}\0{password}"))].map(Secret::new)
    });
    mask(text, std::iter::once(password).chain(&spelled))
}

fn mailbox(text: &str) -> Result<Mailbox, SendError> {
    text.parse().map_err(|error| SendError::untaken(format!("`{text}` is no mailbox: {error}")))
}

/// The mail. Its id is the message's, so that who gets it twice can see that; all that are about one rotation refer to the same
/// one (RFC 5322, 3.6.4), so that they stand together.
fn written(message: &Message, from: &Mailbox, to: &[Mailbox]) -> Result<Mail, SendError> {
    let domain = from.email.domain();
    let mut mail = Mail::builder()
        .from(from.clone())
        .subject(message.subject())
        .date(message.at.into())
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        // RFC 3834: whoever is away need not answer.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    if let Some(rotation) = message.thread() {
        let thread = format!("<{rotation}@{domain}>");
        mail = mail.in_reply_to(thread.clone()).references(thread);
    }
    to.iter()
        .fold(mail, |mail, to| mail.to(to.clone()))
        .multipart(MultiPart::alternative_plain_html(message.text(), message.html()))
        .map_err(|error| SendError::untaken(format!("the mail cannot be written: {error}")))
}
