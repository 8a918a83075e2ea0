//! The program's own log.

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::NoticeKind;

use super::{Channel, SendError, Sent};
use crate::Message;

pub(super) struct Log;

#[async_trait]
impl Channel for Log {
    async fn send(&self, message: &Message, _has: &[String], _now: Timestamp) -> Result<Sent, SendError> {
        for notice in message.shown() {
            let (kind, id) = (notice.kind.word(), notice.id.as_str());
            let (secret, policy) = (notice.secret.as_deref(), notice.policy.as_deref());
            let rotation = notice.rotation.map(tracing::field::display);
            match notice.kind {
                NoticeKind::Failed
                | NoticeKind::RolledBack
                | NoticeKind::Parked
                | NoticeKind::Overdue
                | NoticeKind::Drift => {
                    tracing::warn!(kind, secret, policy, rotation, id, "{}", notice.message);
                }
                NoticeKind::Succeeded | NoticeKind::Digest | NoticeKind::Test => {
                    tracing::info!(kind, secret, policy, rotation, id, "{}", notice.message);
                }
            }
        }
        Ok(Sent::default())
    }

    fn most(&self) -> Option<usize> {
        Some(Message::KEPT)
    }
}
