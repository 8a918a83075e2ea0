//! Messages to a chat: one POST to an address that is itself the permission to write there.
//!
//! Slack: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. Teams: an Adaptive Card, as workflows
//! take it, <https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams>.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_policies::Chat as Spec;
use serde_json::{Value, json};

use super::http::Post;
use super::{Channel, Credentials, SendError, Sent};
use crate::Message;

/// A chat is no place for long lists.
const SHOWN: usize = 20;

#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Slack,
    Teams,
}

pub(super) struct Chat {
    form: Form,
    spec: Spec,
    credentials: Arc<dyn Credentials>,
}

impl Chat {
    pub fn new(form: Form, spec: Spec, credentials: Arc<dyn Credentials>) -> Self {
        Chat { form, spec, credentials }
    }
}

#[async_trait]
impl Channel for Chat {
    async fn send(&self, message: &Message, _has: &[String], now: Timestamp) -> Result<Sent, SendError> {
        let body = match self.form {
            Form::Slack => slack(message),
            Form::Teams => teams(message),
        };
        let url = self.credentials.text(&self.spec.url).await?;
        let url = url.expose(|text| text.trim().to_owned());
        if !url.starts_with("https://") && !is_of_this_machine(&url) {
            return Err(SendError::untaken("the address of the chat is no `https://` address"));
        }
        let ca_file = self.spec.ca_file.as_deref();
        Post { url: &url, ca_file, headers: Vec::new(), body: body.to_string(), is_quoted: false }.send(now).await
    }
}

fn is_of_this_machine(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().filter(|url| url.scheme() == "http").and_then(|url| url.host_str());
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    host.is_some_and(|host| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// `&`, `<` and `>` begin links and mentions, and `@` does where others understand Slack's form; what targets say calls nobody.
fn slack_text(text: &str) -> String {
    const NO_WIDTH: &str = "@\u{200b}";
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', NO_WIDTH)
}

fn slack(message: &Message) -> Value {
    let mut lines = vec![slack_text(&message.title())];
    lines.extend(message.briefs(SHOWN).iter().map(|brief| format!("• {}", slack_text(brief))));
    json!({ "text": lines.join("\n"), "mrkdwn": false })
}

fn teams(message: &Message) -> Value {
    // A run of text has no markup, as a block of text would: what targets say makes no links.
    let block = |text: String, weight: &str| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text, "weight": weight }] });
    let mut body = vec![block(message.title(), "Bolder")];
    body.extend(message.briefs(SHOWN).into_iter().map(|brief| block(brief, "Default")));
    let content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "content": content }],
    })
}
