//! Amazon EventBridge: the operations of buses, rules, targets, connections and API destinations.
