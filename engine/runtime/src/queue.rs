//! Whose turn it is: a fair queue over targets, pure, so that one slow target cannot starve the others.

use std::collections::{BTreeMap, VecDeque};

/// Secrets that are ready to be turned, by target, within limits.
///
/// Bounded by the number of secrets: the caller adds each at most once until it is finished.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    per_target: usize,
    running: usize,
    targets: BTreeMap<String, Lane>,
    /// Targets that have something waiting and a free place, in the order of their next turn.
    round: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<usize>,
    running: usize,
    in_round: bool,
}

impl Queue {
    /// At most `limit` at once, of these at most `per_target` at one target. Both at least 1.
    pub fn new(limit: usize, per_target: usize) -> Self {
        let (limit, per_target) = (limit.max(1), per_target.max(1));
        Queue { limit, per_target, running: 0, targets: BTreeMap::new(), round: VecDeque::new() }
    }

    /// Adds a secret (by its number) to its target's lane.
    pub fn push(&mut self, target: &str, secret: usize) {
        self.targets.entry(target.to_owned()).or_default().waiting.push_back(secret);
        self.join_round(target);
    }

    /// The next secret to turn, if a place is free. It counts as running until [`Queue::finished`].
    pub fn pop(&mut self) -> Option<usize> {
        if self.running >= self.limit {
            return None;
        }
        let target = self.round.pop_front()?;
        let lane = self.targets.get_mut(&target).expect("only known targets join the round");
        lane.in_round = false;
        let secret = lane.waiting.pop_front().expect("only targets with something waiting are in the round");
        lane.running += 1;
        self.running += 1;
        self.join_round(&target);
        Some(secret)
    }

    /// Gives back the place of a secret at this target.
    pub fn finished(&mut self, target: &str) {
        self.running -= 1;
        let lane = self.targets.get_mut(target).expect("what runs was popped from a lane");
        lane.running -= 1;
        if lane.running == 0 && lane.waiting.is_empty() {
            self.targets.remove(target);
        } else {
            self.join_round(target);
        }
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.targets.is_empty()
    }

    fn join_round(&mut self, target: &str) {
        let per_target = self.per_target;
        if let Some(lane) = self.targets.get_mut(target)
            && !lane.in_round
            && !lane.waiting.is_empty()
            && lane.running < per_target
        {
            lane.in_round = true;
            self.round.push_back(target.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_target_does_not_starve_another() {
        let mut queue = Queue::new(4, 2);
        (0..10).for_each(|n| queue.push("slow", n));
        queue.push("quick", 100);
        let first: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(first, [0, 100, 1], "two of the slow target's and the quick one's");
        queue.finished("slow");
        assert_eq!(queue.pop(), Some(2));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn the_global_limit_holds_over_many_targets() {
        let mut queue = Queue::new(3, 2);
        (0..9).for_each(|n| queue.push(&format!("t{n}"), n));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 3);
        queue.finished("t0");
        assert_eq!(queue.pop(), Some(3));
    }

    #[test]
    fn everything_pushed_is_popped_once() {
        let mut queue = Queue::new(5, 2);
        let target = |n: usize| format!("t{}", n % 7);
        (0..100).for_each(|n| queue.push(&target(n), n));
        let (mut seen, mut running) = (Vec::new(), VecDeque::new());
        while !queue.is_idle() {
            while let Some(secret) = queue.pop() {
                running.push_back(secret);
            }
            let done = running.pop_front().expect("something runs while not idle");
            queue.finished(&target(done));
            seen.push(done);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
