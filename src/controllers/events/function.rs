//! A function of Lambda as a target: called asynchronously, where an operator has said that functions are.

use base::Arn;
use state::events::Delivery;

use super::delivery::Outcome;
use crate::World;
use crate::lambda::{self, Invocation, NotCalled};

/// Calls the function.
pub(super) async fn deliver(world: &World, arn: &Arn, delivery: &Delivery) -> Outcome {
    let Some(endpoint) = &world.settings.lambda_endpoint else {
        return Outcome::failed("functions are called where --lambda-endpoint says, and it says nothing");
    };
    let body = lambda::payload(&delivery.payload);
    let request = lambda::request(endpoint, arn.as_str(), Invocation::Event, body);
    match lambda::called(world.node.http.send(request).await) {
        Ok(_) => Outcome::Done,
        Err(NotCalled::Yet(why)) => Outcome::retry(why),
        Err(NotCalled::Ever(why)) => Outcome::failed(why),
    }
}
