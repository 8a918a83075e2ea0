//! The program's own log.

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::NoticeKind;

use super::{Channel, SendError};
use crate::Message;

pub(super) struct Log;

#[async_trait]
impl Channel for Log {
    async fn send(&self, message: &Message, _now: Timestamp) -> Result<(), SendError> {
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
        if message.left_out() > 0 {
            tracing::warn!(left_out = message.left_out(), "more was to be told: `keywheel history` has all");
        }
        Ok(())
    }
}
