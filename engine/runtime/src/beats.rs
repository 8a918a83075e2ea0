//! When the heartbeats of all secrets are due, and what is remembered between them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_core::heartbeat::{self, Pulse};
use keywheel_policies::{Heartbeat, Policy};

use crate::heartbeat::Left;

/// By the number of the secret. Each is waited for here, in the queue, or at work.
#[derive(Default)]
pub(crate) struct Beats {
    due: BTreeSet<(Timestamp, usize)>,
    hearts: BTreeMap<usize, Heart>,
}

struct Heart {
    heartbeat: Heartbeat,
    pulse: Pulse,
    /// Until when it waits here.
    at: Option<Timestamp>,
}

impl Beats {
    /// Those of the policies that have one, from now on.
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>, now: Timestamp) -> Self {
        let mut beats = Beats::default();
        for (number, policy) in policies.into_iter().enumerate() {
            if let Some(heartbeat) = policy.heartbeat {
                beats.hearts.insert(number, Heart { heartbeat, pulse: Pulse::default(), at: None });
                beats.wait(number, heartbeat::first(&policy.secret.name, heartbeat.every, now));
            }
        }
        beats
    }

    /// When the next of them is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A secret whose heartbeat is due.
    pub fn pop(&mut self, now: Timestamp) -> Option<usize> {
        let (_, number) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.pop_first();
        if let Some(heart) = self.hearts.get_mut(&number) {
            heart.at = None;
        }
        Some(number)
    }

    /// What a heartbeat that begins now needs.
    pub fn begin(&mut self, number: usize) -> Option<(Heartbeat, Pulse)> {
        self.hearts.get_mut(&number).map(|heart| (heart.heartbeat, std::mem::take(&mut heart.pulse)))
    }

    /// It was not its turn, or it failed badly: the next one.
    pub fn skip(&mut self, number: usize, now: Timestamp) {
        if let Some(heart) = self.hearts.get(&number) {
            self.wait(number, later(now, heart.heartbeat.every));
        }
    }

    /// It is over. Gives the version for whose drift a rotation is to be begun.
    pub fn end(&mut self, number: usize, left: Left) -> Option<String> {
        if let Some(heart) = self.hearts.get_mut(&number) {
            heart.pulse = left.pulse;
        }
        self.wait(number, left.next);
        left.drifted
    }

    /// A clock that was ahead once must not silence them for as long.
    pub fn bring_forward(&mut self, now: Timestamp) {
        let far: Vec<(usize, Timestamp)> = self
            .hearts
            .iter()
            .map(|(number, heart)| (*number, heart.at, later(now, heart.heartbeat.every)))
            .filter_map(|(number, at, latest)| at.filter(|at| *at > latest).map(|_| (number, latest)))
            .collect();
        for (number, latest) in far {
            self.wait(number, latest);
        }
    }

    fn wait(&mut self, number: usize, until: Timestamp) {
        let Some(heart) = self.hearts.get_mut(&number) else { return };
        if let Some(earlier) = heart.at.replace(until) {
            self.due.remove(&(earlier, number));
        }
        self.due.insert((until, number));
    }
}
