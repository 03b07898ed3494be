//! Traffic by script: what is ordered is remembered, and carried out as a test has arranged.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use controllers::{TrafficError, TrafficOrder, TrafficProgress, TrafficShift};

/// How many orders are remembered.
const ORDERS_MAX: usize = 1_000;

/// A double for load balancers.
#[derive(Debug, Default)]
pub struct ScriptedTraffic {
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    orders: VecDeque<TrafficOrder>,
    answers: VecDeque<Result<TrafficProgress, TrafficError>>,
}

impl ScriptedTraffic {
    /// Says what comes of the next orders, one after the other. What nothing was said of is done at once.
    pub fn answer(&self, answers: impl IntoIterator<Item = Result<TrafficProgress, TrafficError>>) {
        self.with(|script| script.answers.extend(answers));
    }

    /// Takes the orders that were given since they were last taken.
    pub fn take_orders(&self) -> Vec<TrafficOrder> {
        self.with(|script| script.orders.drain(..).collect())
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Script) -> T) -> T {
        use_it(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TrafficShift for ScriptedTraffic {
    fn shift(&self, order: &TrafficOrder) -> Result<TrafficProgress, TrafficError> {
        self.with(|script| {
            if script.orders.len() >= ORDERS_MAX {
                script.orders.pop_front();
            }
            script.orders.push_back(order.clone());
            script.answers.pop_front().unwrap_or(Ok(TrafficProgress::Done))
        })
    }
}
