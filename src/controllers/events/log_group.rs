//! A log group as a target: each event is an event of a stream that bears the name of the target's queue, as a UUID.

use std::hash::{DefaultHasher, Hash, Hasher};

use base::{Arn, Scope};
use state::events::Delivery;
use state::logs::StreamName;

use super::delivery::Outcome;
use crate::World;

/// Puts an event into the log.
pub(super) fn deliver(world: &World, scope: &Scope, queue: &str, arn: &Arn, delivery: &Delivery) -> Outcome {
    let Some(group) = group_of(arn) else { return Outcome::failed("its ARN names no log group") };
    let (logs, now) = (&world.state.logs, world.clock.now());
    if logs.groups.get(scope, &group).is_none() {
        return Outcome::failed(format!("the log group {group} does not exist"));
    }
    let name = StreamName { group, stream: stream_of(queue) };
    logs.make_stream(scope, &name, now);
    let message = delivery.payload.as_str();
    let appended = logs.with_events_of(scope, &name, |events| events.append(delivery.at, now, message.into()));
    if appended.is_some() { Outcome::Done } else { Outcome::failed("the log stream is gone") }
}

/// Reads `log-group:/aws/events/name`, with or without `:*`.
fn group_of(arn: &Arn) -> Option<String> {
    let name = arn.resource().strip_prefix("log-group:")?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

fn stream_of(queue: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, queue).hash(&mut hasher);
        hasher.finish()
    };
    let hex = format!("{:016x}{:016x}", half(0), half(1));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
