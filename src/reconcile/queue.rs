//! Which keys want a step, and when: the decisions of the driver, without tasks or timers.
//!
//! A key has an entry only while something is to be done about it, so that a settled key costs nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use base::Timestamp;

use crate::backoff::{BACKOFF_FIRST, backoff};
use crate::{Failure, Key, STEPS_CONCURRENT_MAX, Status, Step};

/// How often every reconciler is asked for its candidates, in case a wake was never sent.
pub const RESYNC_EVERY: Duration = Duration::from_secs(300);

/// Names a timer; timers of one time fire in the order in which they were set.
type TimerId = (Timestamp, u64);

/// Whose timer it is.
type Owner = (&'static str, Key);

/// All keys of all reconcilers.
#[derive(Default)]
pub(crate) struct Queue {
    phase: Phase,
    lanes: HashMap<&'static str, Lane>,
    timers: BTreeMap<TimerId, Owner>,
    timers_set: u64,
    next_resync: Option<Timestamp>,
}

/// How far the driver is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is no driver yet, or it has not asked for the first candidates.
    #[default]
    Starting,
    /// Steps are started.
    Running,
    /// No more steps are started; those that run are waited for.
    Closing,
    /// The driver has ended.
    Ended,
}

/// The keys of one reconciler.
struct Lane {
    entries: HashMap<Key, Entry>,
    ready: VecDeque<Key>,
    running: usize,
    steps_max: usize,
    steps: u64,
    failures: u64,
    last_failure: Option<Failure>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
            steps_max: STEPS_CONCURRENT_MAX,
            steps: 0,
            failures: 0,
            last_failure: None,
        }
    }
}

/// A key about which something is to be done.
struct Entry {
    place: Place,
    failures_in_a_row: u32,
    /// When a wake may bring the next step at the earliest; none unless the last step failed.
    not_before: Option<Timestamp>,
}

/// Where a key is.
enum Place {
    /// In the lane's queue.
    Ready,
    /// Its step runs; whether a wake came meanwhile.
    Running { is_woken: bool },
    /// Its timer runs.
    Waiting(TimerId),
}

impl Queue {
    /// Takes a wake; tells whether the driver has something to start because of it.
    pub(crate) fn wake(&mut self, reconciler: &'static str, key: Key) -> bool {
        if matches!(self.phase, Phase::Closing | Phase::Ended) {
            return false;
        }
        let lane = self.lanes.entry(reconciler).or_default();
        let Some(entry) = lane.entries.get_mut(&key) else {
            lane.entries.insert(key.clone(), Entry { place: Place::Ready, failures_in_a_row: 0, not_before: None });
            lane.ready.push_back(key);
            return true;
        };
        match (&mut entry.place, entry.not_before) {
            (Place::Ready, _) => return false,
            (Place::Running { is_woken }, _) => {
                *is_woken = true;
                return false;
            }
            // Without a pause, frequent wakes would make a hot loop of a failure that stays.
            (Place::Waiting(timer), Some(at)) if timer.0 <= at => return false,
            (Place::Waiting(timer), Some(at)) => {
                self.timers.remove(timer);
                *timer = set_timer(&mut self.timers, &mut self.timers_set, at, (reconciler, key));
                return true;
            }
            (Place::Waiting(timer), None) => _ = self.timers.remove(timer),
        }
        entry.place = Place::Ready;
        lane.ready.push_back(key);
        true
    }

    /// Says which reconcilers there are and how many of their steps may run. Wakes for others are dropped; their names
    /// are returned.
    pub(crate) fn register(&mut self, reconcilers: &[(&'static str, usize)]) -> Vec<&'static str> {
        for (name, steps_max) in reconcilers {
            self.lanes.entry(name).or_default().steps_max = (*steps_max).max(1);
        }
        let is_known = |name: &str| reconcilers.iter().any(|(known, _)| *known == name);
        self.lanes.extract_if(|name, _| !is_known(name)).map(|(name, _)| name).collect()
    }

    /// Makes everything ready whose time has come. Returns whether the reconcilers' candidates are due as well; the
    /// caller asks for them outside the lock.
    pub(crate) fn fire(&mut self, now: Timestamp) -> bool {
        while let Some(due) = self.timers.first_entry().filter(|due| due.key().0 <= now) {
            let (name, key) = due.remove();
            let Some(lane) = self.lanes.get_mut(name) else { continue };
            if let Some(entry) = lane.entries.get_mut(&key) {
                entry.place = Place::Ready;
                lane.ready.push_back(key);
            }
        }
        let is_resync_due = self.next_resync.is_none_or(|at| at <= now);
        if is_resync_due {
            self.next_resync = Some(now.plus(RESYNC_EVERY));
        }
        is_resync_due
    }

    /// Begins with steps, after the first candidates are in.
    pub(crate) fn open(&mut self) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
        }
    }

    /// Starts no more steps, and forgets what waits.
    pub(crate) fn close(&mut self) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Closing;
        }
        self.timers.clear();
        for lane in self.lanes.values_mut() {
            lane.ready.clear();
            lane.entries.retain(|_, entry| matches!(entry.place, Place::Running { .. }));
        }
    }

    /// Says that the driver is no more.
    pub(crate) fn end(&mut self) {
        self.close();
        self.phase = Phase::Ended;
        for lane in self.lanes.values_mut() {
            lane.entries.clear();
            lane.running = 0;
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes the next key of a reconciler whose step may start now.
    pub(crate) fn start(&mut self, reconciler: &str) -> Option<Key> {
        let lane = self.lanes.get_mut(reconciler)?;
        if self.phase != Phase::Running || lane.running >= lane.steps_max {
            return None;
        }
        let key = lane.ready.pop_front()?;
        let entry = lane.entries.get_mut(&key).expect("a key in the queue has an entry");
        entry.place = Place::Running { is_woken: false };
        lane.running += 1;
        Some(key)
    }

    /// Takes what a step has come to.
    pub(crate) fn finish(&mut self, reconciler: &'static str, key: &Key, step: Step, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(reconciler) else { return };
        let Some(entry) = lane.entries.get_mut(key) else { return };
        let is_woken = matches!(entry.place, Place::Running { is_woken: true });
        lane.running -= 1;
        lane.steps += 1;
        entry.failures_in_a_row = match step {
            Step::Failed { .. } => entry.failures_in_a_row.saturating_add(1),
            Step::Settled | Step::Again | Step::At(_) => 0,
        };
        entry.not_before = (entry.failures_in_a_row > 0).then(|| now.plus(BACKOFF_FIRST));
        let next = match step {
            Step::Failed { why } => {
                lane.failures += 1;
                lane.last_failure = Some(Failure { at: now, key: key.clone(), why });
                // A wake during a failed step may come from the step itself, which records its failure: an immediate
                // repetition could spin for ever, and a long wait could hold up a change by somebody else.
                let wait = if is_woken { BACKOFF_FIRST } else { backoff(entry.failures_in_a_row) };
                Some(now.plus(wait))
            }
            Step::Settled | Step::Again | Step::At(_) if is_woken => Some(now),
            Step::Again => Some(now),
            Step::At(at) => Some(at),
            Step::Settled => None,
        };
        match next.filter(|_| self.phase == Phase::Running) {
            None => _ = lane.entries.remove(key),
            Some(at) if at <= now => {
                entry.place = Place::Ready;
                lane.ready.push_back(key.clone());
            }
            Some(at) => {
                let owner = (reconciler, key.clone());
                entry.place = Place::Waiting(set_timer(&mut self.timers, &mut self.timers_set, at, owner));
            }
        }
    }

    /// Returns when [`Queue::fire`] is next needed.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        timer.into_iter().chain(self.next_resync).min()
    }

    /// Returns whether no key is queued or running, and no time has come unnoticed.
    pub(crate) fn is_at_rest(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Starting | Phase::Closing => false,
            Phase::Ended => true,
            Phase::Running => {
                self.next_due().is_none_or(|at| at > now)
                    && self.lanes.values().all(|lane| lane.running == 0 && lane.ready.is_empty())
            }
        }
    }

    /// Returns how each reconciler is doing, by name.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let mut statuses = self.lanes.iter().map(|(name, lane)| lane.status(name)).collect::<Vec<_>>();
        statuses.sort_by_key(|status| status.reconciler);
        statuses
    }
}

fn set_timer(timers: &mut BTreeMap<TimerId, Owner>, timers_set: &mut u64, at: Timestamp, owner: Owner) -> TimerId {
    let timer = (at, *timers_set);
    *timers_set += 1;
    timers.insert(timer, owner);
    timer
}

impl Lane {
    fn status(&self, reconciler: &'static str) -> Status {
        Status {
            reconciler,
            steps: self.steps,
            failures: self.failures,
            queued: self.ready.len(),
            running: self.running,
            waiting: self.entries.len() - self.ready.len() - self.running,
            last_failure: self.last_failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Scope};

    use super::*;

    const LANE: &str = "tasks";

    fn key(name: &str) -> Key {
        Key::new(Scope::new(AccountId::DEFAULT, Region::default()), name)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn open(steps_max: usize) -> Queue {
        let mut queue = Queue::default();
        queue.register(&[(LANE, steps_max)]);
        assert!(queue.fire(at(0)));
        queue.open();
        queue
    }

    fn failed() -> Step {
        Step::Failed { why: "no".to_owned() }
    }

    #[test]
    fn a_key_that_waits_is_not_queued_again() {
        let mut queue = open(8);
        assert!(queue.wake(LANE, key("a")));
        assert!(!queue.wake(LANE, key("a")));
        assert_eq!(queue.start(LANE), Some(key("a")));
        assert_eq!(queue.start(LANE), None);
    }

    #[test]
    fn a_wake_during_a_step_causes_another_step_after_it() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        queue.start(LANE);
        assert!(!queue.wake(LANE, key("a")));
        assert_eq!(queue.start(LANE), None, "not twice at once");
        queue.finish(LANE, &key("a"), Step::Settled, at(0));
        assert_eq!(queue.start(LANE), Some(key("a")));
        queue.finish(LANE, &key("a"), Step::Settled, at(0));
        assert!(queue.is_at_rest(at(0)));
    }

    #[test]
    fn a_settled_key_costs_nothing() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        queue.start(LANE);
        queue.finish(LANE, &key("a"), Step::Settled, at(0));
        assert!(queue.lanes[LANE].entries.is_empty() && queue.timers.is_empty());
    }

    #[test]
    fn equal_keys_of_different_reconcilers_do_not_meet() {
        let mut queue = Queue::default();
        queue.register(&[("a", 1), ("b", 1)]);
        queue.fire(at(0));
        queue.open();
        assert!(queue.wake("a", key("x")) && queue.wake("b", key("x")));
        assert_eq!((queue.start("a"), queue.start("b")), (Some(key("x")), Some(key("x"))));
    }

    #[test]
    fn no_more_steps_start_than_the_reconciler_allows() {
        let mut queue = open(2);
        for name in ["a", "b", "c"] {
            queue.wake(LANE, key(name));
        }
        assert_eq!((queue.start(LANE), queue.start(LANE)), (Some(key("a")), Some(key("b"))));
        assert_eq!(queue.start(LANE), None);
        queue.finish(LANE, &key("a"), Step::Settled, at(0));
        assert_eq!(queue.start(LANE), Some(key("c")));
    }

    #[test]
    fn a_key_that_goes_on_lets_others_go_first() {
        let mut queue = open(1);
        queue.wake(LANE, key("a"));
        queue.wake(LANE, key("b"));
        queue.start(LANE);
        queue.finish(LANE, &key("a"), Step::Again, at(0));
        assert_eq!(queue.start(LANE), Some(key("b")));
    }

    #[test]
    fn a_timer_makes_its_key_ready_at_the_time_and_not_before() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        queue.start(LANE);
        queue.finish(LANE, &key("a"), Step::At(at(500)), at(0));
        assert_eq!(queue.next_due(), Some(at(500)));
        assert!(queue.is_at_rest(at(499)) && !queue.is_at_rest(at(500)));
        queue.fire(at(499));
        assert_eq!(queue.start(LANE), None);
        queue.fire(at(500));
        assert_eq!(queue.start(LANE), Some(key("a")));
    }

    #[test]
    fn a_wake_before_its_time_forgets_the_timer() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        queue.start(LANE);
        queue.finish(LANE, &key("a"), Step::At(at(500)), at(0));
        assert!(queue.wake(LANE, key("a")));
        assert!(queue.timers.is_empty());
        queue.start(LANE);
        queue.finish(LANE, &key("a"), Step::Settled, at(1));
        queue.fire(at(500));
        assert_eq!(queue.start(LANE), None);
    }

    #[test]
    fn failures_in_a_row_wait_longer_and_a_success_forgets_them() {
        let mut queue = open(8);
        let mut now = at(0);
        let mut waits_ms = Vec::new();
        queue.wake(LANE, key("a"));
        for step in [failed(), failed(), failed(), Step::Again, failed()] {
            queue.fire(now);
            queue.start(LANE).unwrap();
            let is_failure = matches!(step, Step::Failed { .. });
            queue.finish(LANE, &key("a"), step, now);
            if is_failure {
                let next = queue.next_due().unwrap();
                waits_ms.push(next.since(now).as_millis());
                now = next;
            }
        }
        assert_eq!(waits_ms, [100, 200, 400, 100]);
    }

    #[test]
    fn a_step_that_wakes_itself_and_fails_does_not_spin() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        for round in 0..20 {
            let now = at(round * 100);
            queue.fire(now);
            queue.start(LANE).unwrap();
            queue.wake(LANE, key("a"));
            queue.finish(LANE, &key("a"), failed(), now);
            assert_eq!(queue.start(LANE), None);
            assert_eq!(queue.next_due(), Some(now.plus(BACKOFF_FIRST)));
        }
    }

    #[test]
    fn a_wake_after_a_failed_step_cuts_the_wait_short_but_not_below_the_first_one() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        let mut now = at(0);
        for _ in 0..3 {
            now = queue.next_due().filter(|_| !queue.timers.is_empty()).unwrap_or(now);
            queue.fire(now);
            queue.start(LANE).unwrap();
            queue.finish(LANE, &key("a"), failed(), now);
        }
        assert_eq!(queue.next_due().unwrap().since(now).as_millis(), 400);
        assert!(queue.wake(LANE, key("a")), "the driver has to wait less");
        assert_eq!(queue.start(LANE), None);
        assert_eq!(queue.next_due(), Some(now.plus(BACKOFF_FIRST)));
        assert!(!queue.wake(LANE, key("a")), "further wakes change nothing");
        assert_eq!((queue.start(LANE), queue.timers.len()), (None, 1));
        queue.fire(now.plus(BACKOFF_FIRST));
        assert_eq!(queue.start(LANE), Some(key("a")));
    }

    #[test]
    fn a_wake_long_after_a_failed_step_takes_effect_at_once() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        for now in [at(0), at(100)] {
            queue.fire(now);
            queue.start(LANE).unwrap();
            queue.finish(LANE, &key("a"), failed(), now);
        }
        queue.fire(at(250));
        assert!(queue.wake(LANE, key("a")));
        queue.fire(at(250));
        assert_eq!(queue.start(LANE), Some(key("a")));
    }

    #[test]
    fn wakes_for_unknown_reconcilers_are_dropped_and_named() {
        let mut queue = Queue::default();
        queue.wake("ghosts", key("a"));
        queue.wake(LANE, key("a"));
        assert_eq!(queue.register(&[(LANE, 1)]), ["ghosts"]);
        queue.fire(at(0));
        queue.open();
        assert_eq!(queue.start(LANE), Some(key("a")), "wakes from before the driver count");
    }

    #[test]
    fn a_closed_queue_takes_and_starts_nothing() {
        let mut queue = open(8);
        queue.wake(LANE, key("a"));
        queue.wake(LANE, key("b"));
        queue.start(LANE);
        queue.close();
        assert!(!queue.wake(LANE, key("c")));
        assert_eq!(queue.start(LANE), None);
        queue.finish(LANE, &key("a"), Step::Again, at(0));
        assert!(queue.lanes[LANE].entries.is_empty());
    }
}
