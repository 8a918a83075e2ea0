//! Walks behind the outbox for one notifier, and sends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_core::schedule::next_firing;
use keywheel_core::{Notice, NoticeKind};
use keywheel_policies::{DigestSchedule, NotifierSpec};
use keywheel_state::{Claim, Delivery, Lease, StateError, StateStore, notifier_lease};
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::plan::{self, Next, Waiting, When};
use crate::{Message, Routes, Sender};

/// How often the outbox is looked into.
const POLL: Duration = Duration::from_secs(2);
/// The same, where something waits for its time: a digest may come due before.
const LONG_POLL: Duration = Duration::from_secs(30);
/// The pause after the store failed, or another process had the lease.
const PAUSE: Duration = Duration::from_secs(10);
/// So many notices are read at once.
const PAGE: usize = 1_000;
/// One message is of so many notices at the most; more are another message.
const MOST: usize = 100_000;
/// How long a message may take to hand over.
const SENDING: Duration = Duration::from_secs(120);
/// Longer than that, so that a message is not handed over by two at once.
const LEASE: Duration = Duration::from_secs(180);

/// Where time comes from.
#[async_trait]
pub trait Time: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Returns at `until` or a little later.
    async fn sleep_until(&self, until: Timestamp);
}

/// Writes digests.
#[async_trait]
pub trait Digests: Send + Sync {
    /// What was rotated between the two instants, what is due, and what is late, for the one notifier. In lines, bounded.
    ///
    /// # Errors
    /// Why it cannot be said now.
    async fn digest(&self, notifier: &str, since: Timestamp, until: Timestamp) -> Result<String, String>;
}

/// One notifier, with all that it needs.
pub struct Notifier {
    pub spec: NotifierSpec,
    pub channel: Box<dyn Channel>,
    pub store: Arc<dyn StateStore>,
    pub routes: Arc<Routes>,
    pub digests: Arc<dyn Digests>,
    pub time: Arc<dyn Time>,
    pub sender: Sender,
}

/// What was done in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Round {
    /// Something, so that there may be more.
    Done,
    /// A message was not taken.
    Failed,
    /// Nothing before then.
    Idle(Option<Timestamp>),
}

impl Notifier {
    /// Sends what is to be told, until told to stop: a message that is on its way then is waited for.
    ///
    /// Whatever fails is tried again. What happened before the notifier first ran is not told.
    pub async fn run(&self, stopping: &CancellationToken) {
        let mut seen = 0;
        while !stopping.is_cancelled() {
            let now = self.time.now();
            let when = When::Grouped { wait: self.spec.group_wait, interval: self.spec.group_interval };
            let until = match self.round(&mut seen, when).await {
                Ok(Round::Done | Round::Failed) => continue,
                // What waits for its time is not read again and again meanwhile.
                Ok(Round::Idle(Some(until))) => until.min(later(now, LONG_POLL)),
                Ok(Round::Idle(None)) => later(now, POLL),
                Err(error) => {
                    tracing::warn!(notifier = self.spec.name, %error, "cannot look for what is to be told; will look again");
                    later(now, PAUSE)
                }
            };
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.time.sleep_until(until) => {}
            }
        }
    }

    /// Sends what is to be told at this moment, without waiting for more. Whether all of it was taken; the rest is for the next
    /// time, or for another process that is sending just now.
    ///
    /// # Errors
    /// The store's.
    pub async fn flush(&self) -> Result<bool, StateError> {
        let mut seen = 0;
        loop {
            match self.round(&mut seen, When::AtOnce).await? {
                Round::Done => {}
                Round::Failed | Round::Idle(Some(_)) => return Ok(false),
                Round::Idle(None) => return Ok(true),
            }
        }
    }

    /// Does one thing, if there is anything to do. `seen` is up to where there is nothing for this notifier.
    async fn round(&self, seen: &mut u64, when: When) -> Result<Round, StateError> {
        let now = self.time.now();
        let delivery = self.delivery().await?;
        if let Some(known) = &delivery {
            let digest = self.digest_due(known, now);
            let next = plan::next(known, self.waiting(known, seen).await?, when, now);
            if let (false, Next::Wait(until)) = (digest.is_some(), next) {
                return Ok(Round::Idle(until));
            }
        }
        // Looked at again under the lease: another process may have been faster.
        let lease = match self.store.claim(&notifier_lease(&self.spec.name), LEASE, now).await? {
            Claim::Granted(lease) => lease,
            Claim::Held { until } => return Ok(Round::Idle(Some(until.min(later(now, PAUSE))))),
        };
        let acted = self.act(&lease, when, seen).await;
        if let Err(error) = self.store.release(&lease).await {
            tracing::warn!(notifier = self.spec.name, %error, "the lease was not given back; it will expire");
        }
        acted
    }

    async fn act(&self, lease: &Lease, when: When, seen: &mut u64) -> Result<Round, StateError> {
        let now = self.time.now();
        let Some(delivery) = self.delivery().await? else {
            // Begins with what happens from now on.
            let done = self.store.last_notice().await?;
            let new = Delivery {
                notifier: self.spec.name.clone(),
                done,
                sending: None,
                sent_at: None,
                digested: Some(now),
                given_up: 0,
            };
            return self.store.deliver(lease, &new).await.map(|()| Round::Done);
        };
        if let Some(due) = self.digest_due(&delivery, now) {
            return self.digest(lease, &delivery, due).await;
        }
        match plan::next(&delivery, self.waiting(&delivery, seen).await?, when, now) {
            Next::Wait(until) => Ok(Round::Idle(until)),
            Next::Begin { up_to } => {
                let begun = plan::begun(&delivery, up_to, now);
                self.store.deliver(lease, &begun).await?;
                self.send(lease, &begun).await
            }
            Next::Send => self.send(lease, &delivery).await,
            Next::GiveUp => {
                let trouble = delivery.sending.as_ref().and_then(|sending| sending.trouble.as_deref());
                tracing::error!(notifier = self.spec.name, trouble, "a message was never taken, and is tried no more");
                self.store.deliver(lease, &plan::given_up(&delivery)).await.map(|()| Round::Done)
            }
        }
    }

    /// Hands over the message that was begun.
    async fn send(&self, lease: &Lease, delivery: &Delivery) -> Result<Round, StateError> {
        let Some(sending) = &delivery.sending else { return Ok(Round::Done) };
        let notices = self.between(delivery.done, sending.up_to).await?;
        let name = self.spec.name.as_str();
        if notices.is_empty() {
            // The policies have changed since.
            return self.store.deliver(lease, &plan::taken(delivery, self.time.now())).await.map(|()| Round::Done);
        }
        let message = Message::new(name, self.sender.clone(), notices, sending.since);
        let sent = tokio::time::timeout(SENDING, self.channel.send(&message, self.time.now())).await;
        let now = self.time.now();
        let (after, round) = match sent {
            Ok(Ok(())) => {
                tracing::debug!(notifier = name, message = message.id, "told: {}", message.headline());
                (plan::taken(delivery, now), Round::Done)
            }
            Ok(Err(error)) => {
                tracing::warn!(notifier = name, %error, tries = sending.tries + 1, "a message was not taken; will try again");
                (plan::failed(delivery, error.message, error.retry_after, now), Round::Failed)
            }
            Err(_) => {
                tracing::warn!(
                    notifier = name,
                    "a message was not taken within {} s; will try again",
                    SENDING.as_secs()
                );
                let trouble = format!("not taken within {} s", SENDING.as_secs());
                (plan::failed(delivery, trouble, None, now), Round::Failed)
            }
        };
        self.store.deliver(lease, &after).await.map(|()| round)
    }

    async fn delivery(&self) -> Result<Option<Delivery>, StateError> {
        Ok(self.store.deliveries().await?.into_iter().find(|delivery| delivery.notifier == self.spec.name))
    }

    /// What is to be told behind `done`. Where there is nothing, `seen` moves on, so that it is not read again.
    async fn waiting(&self, delivery: &Delivery, seen: &mut u64) -> Result<Waiting, StateError> {
        let mut up_to = delivery.done.max(*seen);
        let (mut first, mut count) = (None, 0);
        if delivery.sending.is_some() {
            return Ok(Waiting::Nothing { up_to });
        }
        loop {
            let page = self.store.notices(up_to, PAGE).await?;
            let Some(last) = page.last() else { break };
            up_to = last.number;
            for one in page.iter().filter(|one| self.routes.leads(&one.notice, &self.spec.name)) {
                first.get_or_insert(one.notice.at);
                count += 1;
            }
            if first.is_none() {
                *seen = up_to;
            }
            if count >= MOST {
                break;
            }
        }
        Ok(first.map_or(Waiting::Nothing { up_to }, |first| Waiting::Something { up_to, first }))
    }

    /// The notices for this notifier behind one number, up to another.
    async fn between(&self, done: u64, up_to: u64) -> Result<Vec<Notice>, StateError> {
        let (mut after, mut notices) = (done, Vec::new());
        while after < up_to {
            let page = self.store.notices(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            let meant = page.into_iter().filter(|one| one.number <= up_to);
            notices.extend(meant.map(|one| one.notice).filter(|notice| self.routes.leads(notice, &self.spec.name)));
        }
        Ok(notices)
    }

    /// The latest time for a digest that has come and not been used.
    fn digest_due(&self, delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
        let DigestSchedule { cron, timezone } = self.spec.digest.as_ref()?;
        let since = delivery.digested?.min(now);
        let firings = std::iter::successors(next_firing(cron, timezone, since), |at| next_firing(cron, timezone, *at));
        firings.take_while(|at| *at <= now).last()
    }

    /// Puts a digest into the outbox, from where it is sent like all else.
    async fn digest(&self, lease: &Lease, delivery: &Delivery, due: Timestamp) -> Result<Round, StateError> {
        let (name, now) = (&self.spec.name, self.time.now());
        let since = delivery.digested.unwrap_or(due).min(due);
        match self.digests.digest(name, since, now).await {
            Ok(message) => {
                let notice = Notice {
                    id: format!("digest/{name}/{due}"),
                    kind: NoticeKind::Digest,
                    at: now,
                    secret: None,
                    policy: None,
                    rotation: None,
                    step: None,
                    message,
                    to: Some(name.clone()),
                };
                self.store.tell(&[notice]).await?;
                let digested = Delivery { digested: Some(now.max(due)), ..delivery.clone() };
                self.store.deliver(lease, &digested).await.map(|()| Round::Done)
            }
            Err(error) => {
                tracing::warn!(notifier = name, error, "no digest can be made now; will try again");
                Ok(Round::Idle(Some(later(now, PAUSE))))
            }
        }
    }
}
