//! Walks behind the outbox for one notifier, and sends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use keywheel_core::decide::later;
use keywheel_core::schedule::next_firing;
use keywheel_core::{Notice, NoticeKind};
use keywheel_policies::{DigestSchedule, NotifierSpec};
use keywheel_state::{Claim, Delivery, Lease, Sending, StateError, StateStore, notifier_lease};
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Sent};
use crate::message::Gathering;
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
/// What is older is not told any more: a notifier that comes back after a long time begins with what is still news.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longer than a channel takes, so that a message is not handed over by two at once.
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

/// How far the outbox was read, from where a notifier is: so that it is read once.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    from: u64,
    up_to: u64,
    first: Option<Timestamp>,
    count: usize,
}

impl Notifier {
    /// Begins with what happens from now on, if the notifier is new. Whether it is.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(&self) -> Result<bool, StateError> {
        if self.delivery().await?.is_some() {
            return Ok(false);
        }
        let now = self.time.now();
        match self.store.claim(&notifier_lease(&self.spec.name), LEASE, now).await? {
            // Another process begins just now.
            Claim::Held { .. } => Ok(false),
            Claim::Granted(lease) => {
                let begun = self.begin_under(&lease).await;
                self.give_back(&lease).await;
                begun
            }
        }
    }

    async fn begin_under(&self, lease: &Lease) -> Result<bool, StateError> {
        if self.delivery().await?.is_some() {
            return Ok(false);
        }
        let new = Delivery {
            notifier: self.spec.name.clone(),
            done: self.store.last_notice().await?,
            sending: None,
            sent_at: None,
            digested: self.spec.digest.is_some().then(|| self.time.now()),
            given_up: 0,
            trouble: None,
        };
        self.store.deliver(lease, &new).await.map(|()| true)
    }

    /// Sends what is to be told, until told to stop: a message that is on its way then is waited for.
    ///
    /// Whatever fails is tried again. What happened before the notifier first ran is not told.
    ///
    /// ## Cancellation
    /// Dropping the future is safe: it leaves a message as a crash would.
    pub async fn run(&self, stopping: &CancellationToken) {
        let mut read = Read::default();
        while !stopping.is_cancelled() {
            let now = self.time.now();
            let when = When::Grouped { wait: self.spec.group_wait, interval: self.spec.group_interval };
            let until = match self.round(&mut read, when).await {
                Ok(Round::Done | Round::Failed) => continue,
                // What waits for its time is not looked at again and again meanwhile.
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
        let mut read = Read::default();
        loop {
            match self.round(&mut read, When::AtOnce).await? {
                Round::Done => {}
                Round::Failed | Round::Idle(Some(_)) => return Ok(false),
                Round::Idle(None) => return Ok(true),
            }
        }
    }

    /// How many notices wait for it, up to so many.
    ///
    /// # Errors
    /// The store's.
    pub async fn waiting(&self, most: usize) -> Result<Option<usize>, StateError> {
        let Some(delivery) = self.delivery().await? else { return Ok(None) };
        let (mut after, mut count) = (delivery.done, 0);
        while count < most {
            let page = self.store.notices(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            count += page.iter().filter(|one| self.is_told(&one.notice)).count();
        }
        Ok(Some(count.min(most)))
    }

    fn is_told(&self, notice: &Notice) -> bool {
        self.routes.leads(notice, &self.spec.name)
    }

    /// Does one thing, if there is anything to do.
    async fn round(&self, read: &mut Read, when: When) -> Result<Round, StateError> {
        let now = self.time.now();
        if let Some(known) = self.delivery().await? {
            let waiting = self.read_on(&known, read).await?;
            let next = plan::next(&known, waiting, when, now);
            let walk_on = waiting.first.is_none() && waiting.up_to >= known.done + PAGE as u64;
            if let (Next::Wait(until), None, false, false) =
                (next, self.digest_due(&known, now), walk_on, self.digests_from(&known, now) != known.digested)
            {
                return Ok(Round::Idle(until));
            }
        }
        // Looked at again under the lease: another process may have been faster.
        let lease = match self.store.claim(&notifier_lease(&self.spec.name), LEASE, now).await? {
            Claim::Granted(lease) => lease,
            Claim::Held { until } => return Ok(Round::Idle(Some(until.min(later(now, PAUSE))))),
        };
        let acted = self.act(&lease, when, read).await;
        self.give_back(&lease).await;
        acted
    }

    async fn give_back(&self, lease: &Lease) {
        if let Err(error) = self.store.release(lease).await {
            tracing::warn!(notifier = self.spec.name, %error, "the lease was not given back; it will expire");
        }
    }

    async fn act(&self, lease: &Lease, when: When, read: &mut Read) -> Result<Round, StateError> {
        let now = self.time.now();
        let Some(mut delivery) = self.delivery().await? else {
            return self.begin_under(lease).await.map(|_| Round::Done);
        };
        let digested = self.digests_from(&delivery, now);
        if digested != delivery.digested {
            delivery.digested = digested;
            self.store.deliver(lease, &delivery).await?;
        }
        // One that cannot be made now holds up nothing else.
        let mut digest_later = None;
        if let Some(due) = self.digest_due(&delivery, now) {
            match self.digest(lease, &mut delivery, due).await? {
                Ok(()) => *read = Read::default(),
                Err(error) => {
                    tracing::warn!(notifier = self.spec.name, error, "no digest can be made now; will try again");
                    digest_later = Some(later(now, PAUSE));
                }
            }
        }
        let waiting = self.read_on(&delivery, read).await?;
        match plan::next(&delivery, waiting, when, now) {
            Next::Wait(until) => {
                if waiting.first.is_none() && delivery.sending.is_none() && waiting.up_to > delivery.done {
                    let passed = Delivery { done: waiting.up_to, ..delivery };
                    self.store.deliver(lease, &passed).await?;
                }
                Ok(Round::Idle(until.into_iter().chain(digest_later).min()))
            }
            Next::Begin { up_to } => {
                let begun = plan::begun(&delivery, up_to, now);
                self.store.deliver(lease, &begun).await?;
                self.send(lease, &begun).await
            }
            Next::Send => self.send(lease, &delivery).await,
            Next::Leave => {
                let trouble = delivery.sending.as_ref().and_then(|sending| sending.trouble.clone());
                tracing::error!(
                    notifier = self.spec.name,
                    trouble,
                    "a message is not taken for all, and others wait: it is left"
                );
                self.store.deliver(lease, &plan::taken(&delivery, trouble, now)).await.map(|()| Round::Done)
            }
        }
    }

    /// Hands over the message that was begun.
    async fn send(&self, lease: &Lease, delivery: &Delivery) -> Result<Round, StateError> {
        let Some(sending) = &delivery.sending else { return Ok(Round::Done) };
        let name = self.spec.name.as_str();
        let Some(message) = self.message(delivery.done, sending).await? else {
            // The policies have changed since, or all of it is old.
            return self.store.deliver(lease, &plan::passed(delivery)).await.map(|()| Round::Done);
        };
        let sent = self.channel.send(&message, &sending.has, self.time.now()).await;
        let now = self.time.now();
        let (after, round) = match sent {
            Ok(Sent { but }) => {
                if let Some(but) = &but {
                    tracing::error!(
                        notifier = name,
                        trouble = but,
                        "a message was taken, but not for all: mend the settings"
                    );
                }
                tracing::debug!(notifier = name, message = message.id, "told: {}", message.headline());
                (plan::taken(delivery, but, now), Round::Done)
            }
            Err(error) => {
                let after = plan::failed(delivery, &error, now);
                if after.sending.is_some() {
                    let tries = sending.tries + 1;
                    tracing::warn!(notifier = name, %error, tries, "a message was not taken; will try again");
                } else {
                    tracing::error!(notifier = name, %error, "a message was never taken, and is tried no more: {}", message.headline());
                }
                (after, Round::Failed)
            }
        };
        self.store.deliver(lease, &after).await.map(|()| round)
    }

    async fn delivery(&self) -> Result<Option<Delivery>, StateError> {
        self.store.delivery(&self.spec.name).await
    }

    /// What is to be told behind `done`, read on from where it was read before.
    async fn read_on(&self, delivery: &Delivery, read: &mut Read) -> Result<Waiting, StateError> {
        if read.from != delivery.done {
            *read = Read { from: delivery.done, up_to: delivery.done, first: None, count: 0 };
        }
        let most = self.channel.most().unwrap_or(usize::MAX);
        'pages: while read.count < most {
            let page = self.store.notices(read.up_to, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for one in page {
                read.up_to = one.number;
                if self.is_told(&one.notice) {
                    read.first.get_or_insert(one.notice.at);
                    read.count += 1;
                    if read.count >= most {
                        break 'pages;
                    }
                }
            }
        }
        Ok(Waiting { up_to: read.up_to, first: read.first })
    }

    /// The message of what is behind `done` and belongs to it.
    async fn message(&self, done: u64, sending: &Sending) -> Result<Option<Message>, StateError> {
        let mut gathering = Gathering::new(&self.spec.name);
        let oldest = sending.since.checked_sub(OLDEST).unwrap_or(Timestamp::MIN);
        let (mut after, mut left_out) = (done, 0);
        while after < sending.up_to {
            let page = self.store.notices(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for one in page.into_iter().filter(|one| one.number <= sending.up_to && self.is_told(&one.notice)) {
                let is_old = one.notice.at < oldest && one.notice.at != Timestamp::UNIX_EPOCH;
                // What waits for a person does so however long ago it was, or a clock says that it was.
                if is_old && one.notice.kind != NoticeKind::Parked {
                    left_out += 1;
                } else {
                    gathering.add(one.notice);
                }
            }
        }
        if left_out > 0 {
            tracing::warn!(notifier = self.spec.name, left_out, "what is older than 30 days is not told any more");
        }
        Ok(gathering.message(self.sender.clone(), sending.since))
    }

    /// Up to when digests were made, as it should be: never beyond now, and from now on where there are none yet.
    fn digests_from(&self, delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
        self.spec.digest.as_ref().map(|_| delivery.digested.map_or(now, |digested| digested.min(now)))
    }

    /// The latest time for a digest that has come and not been used.
    fn digest_due(&self, delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
        let DigestSchedule { cron, timezone } = self.spec.digest.as_ref()?;
        let digested = delivery.digested?;
        // Backwards, so that few firings are looked at, however often it fires and long ago the last one was.
        [1, 24, 8 * 24, 32 * 24, 367 * 24].into_iter().find_map(|hours| {
            let back = now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN);
            let first = next_firing(cron, timezone, back.max(digested));
            let firings = std::iter::successors(first, |at| next_firing(cron, timezone, *at));
            firings.take_while(|at| *at <= now).last()
        })
    }

    /// Puts a digest into the outbox, from where it is sent like all else. The inner error says why it cannot be made now.
    async fn digest(
        &self,
        lease: &Lease,
        delivery: &mut Delivery,
        due: Timestamp,
    ) -> Result<Result<(), String>, StateError> {
        let (name, now) = (&self.spec.name, self.time.now());
        let since = delivery.digested.unwrap_or(due).min(due);
        let message = match self.digests.digest(name, since, now).await {
            Ok(message) => message,
            Err(error) => return Ok(Err(error)),
        };
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
        delivery.digested = Some(now.max(due));
        self.store.deliver(lease, delivery).await.map(Ok)
    }
}
