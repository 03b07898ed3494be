//! What a schedule calls.

use api::scheduler as api;
use base::Arn;
use state::events::{EcsTarget, Input, RETRY_AGE_DEFAULT_S, RETRY_ATTEMPTS_DEFAULT, Retry, Target};

use crate::{Result, document, invalid, required};

/// What a schedule without an input gives its target.
const NOTHING: &str = "{}";

/// Reads a target. Every kind that AWS has is taken; which ones are called is for `controllers::events` to say.
pub(crate) fn parse(mut given: api::Target) -> Result<Target> {
    let arn = required(given.arn.clone(), "target.arn")?;
    // Text unverified.
    let parsed = Arn::parse(&arn).ok_or_else(|| invalid(format!("Provided Arn {arn} is not in correct format.")))?;
    let is_cluster = parsed.service() == "ecs";
    if is_cluster != given.ecs_parameters.is_some() {
        // Text unverified.
        return Err(invalid(
            "EcsParameters must be given for a target that is an Amazon ECS cluster, and for no other.",
        ));
    }
    if let Some(parameters) = &mut given.ecs_parameters {
        parameters.task_count.get_or_insert(1);
    }
    // Schedules show what holds unless something was said.
    let retry = given.retry_policy.get_or_insert_default();
    let known = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let attempts = *retry.maximum_retry_attempts.get_or_insert_with(|| known(RETRY_ATTEMPTS_DEFAULT));
    let age_s = *retry.maximum_event_age_in_seconds.get_or_insert_with(|| known(RETRY_AGE_DEFAULT_S));
    let number = |given: i32, usual: u32| u32::try_from(given).unwrap_or(usual);
    Ok(Target {
        id: String::new(),
        input: Input::Constant(given.input.clone().unwrap_or_else(|| NOTHING.to_owned())),
        ecs: given.ecs_parameters.as_ref().map(|parameters| EcsTarget::of_parameters(&document::write(parameters))),
        http: None,
        posts_as: given.event_bridge_parameters.as_ref().map(|parameters| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (text(&parameters.source), text(&parameters.detail_type))
        }),
        retry: Retry { attempts: number(attempts, RETRY_ATTEMPTS_DEFAULT), age_s: number(age_s, RETRY_AGE_DEFAULT_S) },
        dead_letter: given.dead_letter_config.as_ref().and_then(|config| config.arn.clone()),
        shown: document::write(&given),
        arn,
    })
}
