//! The same subject with another rotator, such as the same one in a process of its own.

use async_trait::async_trait;
use keywheel_sdk::{Bundle, Rotator};

use super::{Stage, Subject};

/// A subject whose stages another rotator is examined on.
pub struct Through<'a, R> {
    subject: &'a dyn Subject,
    rotator: R,
    how: &'a str,
}

impl<'a, R: Rotator> Through<'a, R> {
    /// `how` stands behind the subject's name, such as `as a plugin`.
    pub fn new(subject: &'a dyn Subject, rotator: R, how: &'a str) -> Self {
        Through { subject, rotator, how }
    }
}

#[async_trait]
impl<R: Rotator> Subject for Through<'_, R> {
    fn name(&self) -> String {
        format!("{}, {}", self.subject.name(), self.how)
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        self.subject.stage().await
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        self.subject.accepts(credential).await
    }

    async fn keys(&self) -> Option<usize> {
        self.subject.keys().await
    }

    fn tags(&self) -> bool {
        self.subject.tags()
    }

    fn password(&self, word: &str) -> String {
        self.subject.password(word)
    }

    fn is_public(&self, field: &str) -> bool {
        self.subject.is_public(field)
    }

    fn stands_apart(&self) -> bool {
        self.subject.stands_apart()
    }

    fn trouble(&self) -> Option<String> {
        self.subject.trouble()
    }
}
