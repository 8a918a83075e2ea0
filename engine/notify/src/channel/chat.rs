//! Messages to a chat: one POST to an address that is itself the permission to write there.
//!
//! Slack: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. Teams: an Adaptive Card, as workflows
//! take it, <https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams>.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_policies::Chat as Spec;
use serde_json::{Value, json};

use super::{Channel, Credentials, SendError, http};
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
    async fn send(&self, message: &Message, _now: Timestamp) -> Result<(), SendError> {
        let body = match self.form {
            Form::Slack => slack(message),
            Form::Teams => teams(message),
        };
        let url = self.credentials.text(&self.spec.url).await?;
        let url = url.expose(|text| text.trim().to_owned());
        if !url.starts_with("https://") && !is_of_this_machine(&url) {
            return Err(SendError::new("the address of the chat is no `https://` address"));
        }
        http::post(&url, self.spec.ca_file.as_deref(), Vec::new(), body.to_string()).await
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

/// `&`, `<` and `>` are what Slack's text gives a meaning to; all else is shown as it is.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn slack(message: &Message) -> Value {
    let mut lines = vec![format!("*{}*", slack_text(&message.headline()))];
    lines.extend(message.briefs(SHOWN).iter().map(|brief| format!("• {}", slack_text(brief))));
    json!({ "text": lines.join("\n") })
}

fn teams(message: &Message) -> Value {
    let block =
        |text: String, weight: &str| json!({ "type": "TextBlock", "text": text, "wrap": true, "weight": weight });
    let mut body = vec![block(message.headline(), "Bolder")];
    // One block for each, since a card's text has its own markup for line breaks.
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
