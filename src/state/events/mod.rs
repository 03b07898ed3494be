//! The records of EventBridge: buses, rules with their targets, connections and API destinations, events that wait to be
//! matched with rules, and deliveries that wait to be made.

mod bus;
mod connection;
mod delivery;
mod event;
mod pattern;
mod rule;
mod target;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Scope;

pub use bus::{Bus, DEFAULT_BUS};
pub use connection::{ApiDestination, Authorization, Connection, Parameter};
pub use delivery::{
    DELIVERIES_PER_QUEUE_MAX, Delivery, DeliveryKey, RETRY_AGE_DEFAULT_S, RETRY_ATTEMPTS_DEFAULT, Retry,
};
pub use event::{Event, HOPS_MAX, Posted};
pub use pattern::{Pattern, PatternError};
pub use rule::{Rule, RuleKey, RuleState};
pub use target::{EcsTarget, HttpTarget, Input, Target};

use crate::journal::{Journal, JournalError};
use crate::{Label, Table};

/// How many events wait to be matched with rules at most; what comes beyond them is dropped.
pub const POSTED_MAX: usize = 10_000;

/// The rules of all buses.
#[derive(Debug)]
pub struct Rules {
    /// By bus and name.
    pub table: Table<RuleKey, Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Rules {
    fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { table: Table::new("events.rules", journal) }
    }

    /// Walks the enabled rules of a bus that have a pattern, in the order of their names.
    pub fn with_pattern(&self, scope: &Scope, bus: &str) -> impl Iterator<Item = Arc<Rule>> + use<'_> {
        let label: Label = Rule::watching(bus);
        self.table.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded)).map(|(_, rule)| rule)
    }

    /// Returns whether an enabled rule of the default bus may want an event of that source and type. Without rules, which
    /// is how most servers run, it costs next to nothing.
    pub fn may_want(&self, scope: &Scope, source: &str, detail_type: &str) -> bool {
        if self.table.is_empty() {
            return false;
        }
        let mut rules = self.with_pattern(scope, DEFAULT_BUS);
        rules.any(|rule| rule.pattern.as_ref().is_some_and(|pattern| pattern.may_match(source, detail_type)))
    }
}

/// The tables of EventBridge.
#[derive(Debug)]
pub struct EventBridge {
    /// Event buses, but for the default one as long as nothing was said of it.
    pub buses: Table<String, Bus>,
    /// Rules.
    pub rules: Arc<Rules>,
    /// Connections.
    pub connections: Table<String, Connection>,
    /// API destinations.
    pub api_destinations: Table<String, ApiDestination>,
    /// Events that are still to be matched with rules, in the order in which they came. Handlers and controllers put them
    /// in, the controller of posted events takes them out.
    pub posted: Table<u64, Posted>,
    /// What is still to be delivered.
    pub deliveries: Table<DeliveryKey, Delivery>,
    next: AtomicU64,
}

impl EventBridge {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            buses: Table::new("events.buses", journal),
            rules: Arc::new(Rules::new(journal)),
            connections: Table::new("events.connections", journal),
            api_destinations: Table::new("events.api_destinations", journal),
            posted: Table::new("events.posted", journal),
            deliveries: Table::new("events.deliveries", journal),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.buses.load(journal)?;
        self.rules.table.load(journal)?;
        self.connections.load(journal)?;
        self.api_destinations.load(journal)?;
        self.posted.load(journal)?;
        self.deliveries.load(journal)?;
        let posted = self.posted.keys().into_iter().map(|(_, number)| number);
        let delivered = self.deliveries.keys().into_iter().map(|(_, key)| key.number);
        self.next.store(posted.chain(delivered).max().map_or(0, |last| last + 1), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.rules.table.clear();
        self.posted.clear();
        self.deliveries.clear();
        self.api_destinations.clear();
        self.connections.clear();
        self.buses.clear();
    }

    /// Returns a bus. The default one is there unless somebody has changed it, and then is as it was changed.
    pub fn bus(&self, scope: &Scope, name: &str) -> Option<Arc<Bus>> {
        let known = self.buses.get(scope, &name.to_owned());
        known.or_else(|| (name == DEFAULT_BUS).then(|| Arc::new(Bus::default_of(scope))))
    }

    /// Puts an event on a bus, unless too many wait already. The rules are looked at later.
    pub fn post(&self, scope: &Scope, bus: &str, event: Event) -> bool {
        if self.posted.len() >= POSTED_MAX {
            tracing::warn!(bus, "dropped an event: too many wait already");
            return false;
        }
        self.posted.insert(scope, &self.next_number(), Posted { bus: bus.to_owned(), event });
        true
    }

    /// Puts a delivery at the end of a queue, unless too many wait there already.
    pub fn queue(&self, scope: &Scope, queue: &str, delivery: Delivery) {
        let first = DeliveryKey { queue: queue.to_owned(), number: 0 };
        let waiting = self.deliveries.walk_from(scope, first).take_while(|(key, _)| key.queue == queue);
        if waiting.count() >= DELIVERIES_PER_QUEUE_MAX {
            tracing::warn!(queue, "dropped a delivery: too many wait for this target already");
            return;
        }
        self.deliveries.insert(scope, &DeliveryKey { queue: queue.to_owned(), number: self.next_number() }, delivery);
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}
