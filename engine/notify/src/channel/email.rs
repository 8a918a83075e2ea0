//! Mail through one SMTP server (RFC 5321), as text and HTML.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_policies::{Email as Spec, MailTls};
use keywheel_sdk::Secret;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials as Login;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};

use super::{Channel, Credentials, SendError, http};
use crate::Message;

/// For one command and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Email {
    spec: Spec,
    credentials: Arc<dyn Credentials>,
    /// The message that not all have, and who has it: one bad address must not have the others get it again and again.
    partly: Mutex<(String, BTreeSet<String>)>,
}

impl Email {
    pub fn new(spec: Spec, credentials: Arc<dyn Credentials>) -> Self {
        Email { spec, credentials, partly: Mutex::default() }
    }

    async fn transport(
        &self,
        login: Option<(String, Secret)>,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
        let Spec { host, port, .. } = &self.spec;
        let tls = match self.spec.tls {
            MailTls::StartTls => Tls::Required(self.tls().await?),
            MailTls::Implicit => Tls::Wrapper(self.tls().await?),
            MailTls::Disable => Tls::None,
        };
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(*port).tls(tls).timeout(Some(PATIENCE));
        Ok(match login {
            Some((name, password)) => builder.credentials(Login::new(name, password.expose(str::to_owned))),
            None => builder,
        }
        .build())
    }

    async fn tls(&self) -> Result<TlsParameters, SendError> {
        let mut builder = TlsParameters::builder(self.spec.host.clone());
        if let Some(path) = &self.spec.ca_file {
            let own = Certificate::from_pem(&http::authority(path).await?).map_err(|error| {
                SendError::new(format!("`{}` holds no certificate: {}", path.display(), http::chain(error)))
            })?;
            builder = builder.add_root_certificate(own);
        }
        builder.build_rustls().map_err(|error| SendError::new(http::chain(error)))
    }

    fn who_has(&self, message: &str) -> BTreeSet<String> {
        let partly = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
        if partly.0 == message { partly.1.clone() } else { BTreeSet::new() }
    }

    fn note(&self, message: &str, who: BTreeSet<String>) {
        *self.partly.lock().unwrap_or_else(PoisonError::into_inner) = (message.to_owned(), who);
    }
}

#[async_trait]
impl Channel for Email {
    async fn send(&self, message: &Message, _now: Timestamp) -> Result<(), SendError> {
        let from = mailbox(&self.spec.from)?;
        let to: Vec<Mailbox> = self.spec.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        let mail = written(message, &from, &to)?.formatted();
        let login = match &self.spec.login {
            Some(source) => Some(self.credentials.login(source).await?),
            None => None,
        };
        let transport = self.transport(login).await?;
        let mut has = self.who_has(&message.id);
        let mut failed: Option<String> = None;
        for to in &to {
            if has.contains(to.email.as_ref() as &str) {
                continue;
            }
            // An envelope for each, so that the server's no to one is no no to all.
            match transport.send_raw(&envelope(&from.email, &to.email)?, &mail).await {
                Ok(_) => {
                    has.insert(to.email.to_string());
                }
                Err(error) => {
                    let spoke = error.is_permanent() || error.is_transient();
                    failed.get_or_insert(format!("{}: {}", to.email, http::chain(error)));
                    // A server that cannot be talked to is not asked once more for each.
                    if !spoke {
                        break;
                    }
                }
            }
        }
        self.note(&message.id, has);
        failed.map_or(Ok(()), |why| Err(SendError::new(why)))
    }
}

fn mailbox(text: &str) -> Result<Mailbox, SendError> {
    text.parse().map_err(|error| SendError::new(format!("`{text}` is no mailbox: {error}")))
}

fn envelope(from: &Address, to: &Address) -> Result<Envelope, SendError> {
    Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|error| SendError::new(error.to_string()))
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
        .map_err(|error| SendError::new(format!("the mail cannot be written: {error}")))
}
