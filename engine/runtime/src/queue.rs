//! Whose turn it is: a fair queue over targets, pure, so that one slow target cannot starve the others.

use std::collections::{BTreeMap, VecDeque};

/// What is to be done for a secret, which is known by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Turn its rotation.
    Turn(usize),
    /// Ask the target about its `CURRENT`. Only where no turn waits for the place.
    Beat(usize),
}

/// Secrets that are ready for something, by target, within limits.
///
/// Bounded by the number of secrets: the caller adds each work at most once until it is finished.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    per_target: usize,
    running: usize,
    targets: BTreeMap<String, Lane>,
    /// Targets that have a turn waiting and a free place, in the order in which they come next.
    round: VecDeque<String>,
    /// The same for heartbeats; whether there is still a place is looked at again.
    beats: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<usize>,
    beats: VecDeque<usize>,
    running: usize,
    in_round: bool,
    in_beats: bool,
}

impl Queue {
    /// At most `limit` at once, of these at most `per_target` at one target. Both at least 1.
    pub fn new(limit: usize, per_target: usize) -> Self {
        let (limit, per_target) = (limit.max(1), per_target.max(1));
        let (round, beats) = (VecDeque::new(), VecDeque::new());
        Queue { limit, per_target, running: 0, targets: BTreeMap::new(), round, beats }
    }

    /// Adds work to its target's lane.
    pub fn push(&mut self, target: &str, work: Work) {
        let lane = self.targets.entry(target.to_owned()).or_default();
        match work {
            Work::Turn(secret) => lane.waiting.push_back(secret),
            Work::Beat(secret) => lane.beats.push_back(secret),
        }
        self.join_rounds(target);
    }

    /// What is next, if a place is free. It counts as running until [`Queue::finished`].
    pub fn pop(&mut self) -> Option<Work> {
        if self.running >= self.limit {
            return None;
        }
        if let Some(target) = self.round.pop_front() {
            let lane = self.targets.get_mut(&target).expect("only known targets join the round");
            lane.in_round = false;
            let secret = lane.waiting.pop_front().expect("only targets with something waiting are in the round");
            return Some(self.runs(&target, Work::Turn(secret)));
        }
        while let Some(target) = self.beats.pop_front() {
            let lane = self.targets.get_mut(&target).expect("a target stays while a heartbeat waits for it");
            lane.in_beats = false;
            // A turn may have taken the place meanwhile.
            if lane.running < self.per_target
                && let Some(secret) = lane.beats.pop_front()
            {
                return Some(self.runs(&target, Work::Beat(secret)));
            }
        }
        None
    }

    /// Gives back the place of what was popped for this target.
    pub fn finished(&mut self, target: &str) {
        self.running -= 1;
        let lane = self.targets.get_mut(target).expect("what runs was popped from a lane");
        lane.running -= 1;
        if lane.running == 0 && lane.waiting.is_empty() && lane.beats.is_empty() {
            self.targets.remove(target);
        } else {
            self.join_rounds(target);
        }
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.targets.is_empty()
    }

    fn runs(&mut self, target: &str, work: Work) -> Work {
        self.running += 1;
        if let Some(lane) = self.targets.get_mut(target) {
            lane.running += 1;
        }
        self.join_rounds(target);
        work
    }

    fn join_rounds(&mut self, target: &str) {
        let Some(lane) = self.targets.get_mut(target).filter(|lane| lane.running < self.per_target) else { return };
        if !lane.in_round && !lane.waiting.is_empty() {
            lane.in_round = true;
            self.round.push_back(target.to_owned());
        }
        if !lane.in_beats && !lane.beats.is_empty() {
            lane.in_beats = true;
            self.beats.push_back(target.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_target_does_not_starve_another() {
        let mut queue = Queue::new(4, 2);
        (0..10).for_each(|n| queue.push("slow", Work::Turn(n)));
        queue.push("quick", Work::Turn(100));
        let first: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(first, [0, 100, 1].map(Work::Turn), "two of the slow target's and the quick one's");
        queue.finished("slow");
        assert_eq!(queue.pop(), Some(Work::Turn(2)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn the_global_limit_holds_over_many_targets() {
        let mut queue = Queue::new(3, 2);
        (0..9).for_each(|n| queue.push(&format!("t{n}"), Work::Turn(n)));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 3);
        queue.finished("t0");
        assert_eq!(queue.pop(), Some(Work::Turn(3)));
    }

    #[test]
    fn turns_go_before_heartbeats_and_both_count_against_the_limits() {
        let mut queue = Queue::new(3, 2);
        (0..3).for_each(|n| queue.push("a", Work::Beat(n)));
        queue.push("b", Work::Beat(3));
        (4..6).for_each(|n| queue.push("a", Work::Turn(n)));
        let first: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(first, [Work::Turn(4), Work::Turn(5), Work::Beat(3)], "both places at `a`, and the third in all");
        queue.finished("a");
        queue.push("a", Work::Turn(6));
        assert_eq!((queue.pop(), queue.pop()), (Some(Work::Turn(6)), None));
        queue.finished("a");
        queue.finished("b");
        assert_eq!((queue.pop(), queue.pop()), (Some(Work::Beat(0)), None));
    }

    #[test]
    fn everything_pushed_is_popped_once() {
        let mut queue = Queue::new(5, 2);
        let target = |n: usize| format!("t{}", n % 7);
        let work = |n: usize| if n.is_multiple_of(3) { Work::Beat(n) } else { Work::Turn(n) };
        (0..100).for_each(|n| queue.push(&target(n), work(n)));
        let (mut seen, mut running) = (Vec::new(), VecDeque::new());
        while !queue.is_idle() {
            while let Some(Work::Turn(secret) | Work::Beat(secret)) = queue.pop() {
                running.push_back(secret);
                assert!(running.len() <= 5 && (0..7).all(|t| running.iter().filter(|n| *n % 7 == t).count() <= 2));
            }
            let done = running.pop_front().expect("something runs while not idle");
            queue.finished(&target(done));
            seen.push(done);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
