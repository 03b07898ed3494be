//! What is to happen on a simulated node, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ContainerId, Timestamp};
use tokio::sync::oneshot;

use super::{SimulatedNode, World};
use crate::Event;

/// What is planned, by time and then in the order of planning.
#[derive(Default)]
pub(super) struct Schedule {
    due: BTreeMap<(Timestamp, u64), Due>,
    planned: u64,
}

/// Something that happens.
pub(super) enum Due {
    /// A container writes.
    Output(ContainerId),
    /// A container ends, unless that has been changed since.
    End(ContainerId),
    /// A delay is over.
    Resume(oneshot::Sender<()>),
}

impl Schedule {
    pub(super) fn plan(&mut self, at: Timestamp, due: Due) {
        self.due.insert((at, self.planned), due);
        self.planned += 1;
    }

    fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), due) = first.remove_entry();
        Some((at, due))
    }
}

impl SimulatedNode {
    /// Returns when [`SimulatedNode::fire_due`] is next needed, if ever; it may turn out to be for nothing.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.world().schedule.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Tells the events, and ends the delays, whose time has come. Calling it too often does no harm.
    pub fn fire_due(&self) {
        let now = self.clock.now();
        loop {
            let mut world = self.world();
            let Some((at, due)) = world.schedule.take_due(now) else { break };
            let event = world.happen(at, due);
            drop(world);
            if let Some(event) = event {
                (self.events)(event);
            }
        }
    }

    /// Fires what is due whenever it is, for ever, given a way to wait for a time. For clocks that run by themselves.
    pub async fn run<S: Future<Output = ()>>(&self, sleep_until: impl Fn(Timestamp) -> S) {
        loop {
            self.fire_due();
            match self.next_due() {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.planned.notified() => {}
                },
                None => self.planned.notified().await,
            }
        }
    }

    /// Waits as long as a test has said; returns at once otherwise.
    pub(super) async fn delay(&self, by: Duration) {
        if by.is_zero() {
            return;
        }
        let (resume, resumed) = oneshot::channel();
        let at = self.clock.now().plus(by);
        self.world().schedule.plan(at, Due::Resume(resume));
        self.planned.notify_one();
        // The sender lives in the schedule until it is used, so the wait ends by it alone.
        _ = resumed.await;
    }
}

impl World {
    /// Lets something happen that was planned for `at`, and returns what is to be told of it.
    fn happen(&mut self, at: Timestamp, due: Due) -> Option<Event> {
        match due {
            Due::Output(container) => {
                let known = self.containers.get(&container)?;
                let has_ended_before = known.end_at().is_some_and(|end| end < at);
                (!has_ended_before).then(|| Event::Output { sandbox: known.sandbox.clone(), container })
            }
            Due::End(container) => {
                let known = self.containers.get(&container)?;
                let is_still_planned = known.end_at() == Some(at);
                let sandbox = known.sandbox.clone();
                if !is_still_planned {
                    return None;
                }
                // Processes that were started in it end with it.
                self.hanging.retain(|hanging| hanging.container != container);
                Some(Event::Exited { sandbox, container })
            }
            Due::Resume(waiting) => {
                // Whoever waited may have given up.
                _ = waiting.send(());
                None
            }
        }
    }
}
