//! Targets of rules. Every kind that AWS has is taken; which ones are delivered to is for `controllers::events` to say.

use api::events as api;
use base::Arn;
use serde_json::Value;
use state::Cx;
use state::events::{
    EcsTarget, HttpTarget, Input, Parameter, RETRY_AGE_DEFAULT_S, RETRY_ATTEMPTS_DEFAULT, Retry, Target,
};

use crate::{Error, Result, document, invalid, page, required, rule};

/// How many targets a rule has at most, as in EventBridge.
const TARGETS_PER_RULE_MAX: usize = 5;
/// How many tasks a target may start at a time, as in RunTask.
const TASKS_MAX: i32 = 10;
/// The services whose targets need a role to act in.
const NEED_ROLE: [&str; 8] =
    ["ecs", "kinesis", "states", "batch", "codebuild", "codepipeline", "redshift", "sagemaker"];

/// Adds targets to a rule; those with known ids are replaced.
pub(crate) async fn put_targets(cx: &Cx, input: api::PutTargetsRequest) -> Result<api::PutTargetsResponse> {
    let rule = rule::find(cx, &required(input.rule, "rule")?, input.event_bus_name.as_deref())?;
    let targets = required(input.targets, "targets")?;
    let targets = targets.into_iter().map(parse).collect::<Result<Vec<_>>>()?;
    let changed = cx.state.events.rules.table.try_update(cx.scope(), &rule.key, |rule| {
        for target in targets {
            match rule.targets.iter_mut().find(|known| known.id == target.id) {
                Some(known) => *known = target,
                None => rule.targets.push(target),
            }
        }
        if rule.targets.len() > TARGETS_PER_RULE_MAX {
            return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
        }
        Ok(())
    });
    changed.ok_or_else(|| rule::not_found(&rule.key))??;
    Ok(api::PutTargetsResponse { failed_entry_count: Some(0), failed_entries: Some(Vec::new()) })
}

/// Takes targets off a rule. One that it does not have is answered on its own.
pub(crate) async fn remove_targets(cx: &Cx, input: api::RemoveTargetsRequest) -> Result<api::RemoveTargetsResponse> {
    let rule = rule::find(cx, &required(input.rule, "rule")?, input.event_bus_name.as_deref())?;
    let ids = required(input.ids, "ids")?;
    let mut missing = Vec::new();
    let changed = cx.state.events.rules.table.update(cx.scope(), &rule.key, |rule| {
        missing = ids.iter().filter(|id| rule.targets.iter().all(|target| target.id != **id)).cloned().collect();
        rule.targets.retain(|target| !ids.contains(&target.id));
    });
    changed.ok_or_else(|| rule::not_found(&rule.key))?;
    let entry = |id: String| api::RemoveTargetsResultEntry {
        error_code: Some("ResourceNotFoundException".to_owned()),
        // Text unverified.
        error_message: Some(format!("Rule {} does not have a target {id}.", rule.key.name)),
        target_id: Some(id),
    };
    let failed = missing.into_iter().map(entry).collect::<Vec<_>>();
    Ok(api::RemoveTargetsResponse {
        failed_entry_count: i32::try_from(failed.len()).ok(),
        failed_entries: Some(failed),
    })
}

/// Lists the targets of a rule.
pub(crate) async fn list_targets_by_rule(
    cx: &Cx,
    input: api::ListTargetsByRuleRequest,
) -> Result<api::ListTargetsByRuleResponse> {
    let rule = rule::find(cx, &required(input.rule, "rule")?, input.event_bus_name.as_deref())?;
    let mut targets = rule.targets.iter().collect::<Vec<_>>();
    targets.sort_by(|a, b| a.id.cmp(&b.id));
    let page = page("ListTargetsByRule", (input.next_token, input.limit), targets, |target| target.id.clone())?;
    let view = |target: &&Target| document::read(&target.shown);
    Ok(api::ListTargetsByRuleResponse { targets: Some(page.items.iter().map(view).collect()), next_token: page.next })
}

fn parse(mut given: api::Target) -> Result<Target> {
    let id = required(given.id.clone(), "targets.1.member.id")?;
    let arn = required(given.arn.clone(), "targets.1.member.arn")?;
    let not_valid = |why: &str| invalid(format!("Parameter {arn} is not valid. Reason: {why}"));
    let parsed = Arn::parse(&arn).ok_or_else(|| not_valid("Provided Arn is not in correct format."))?;
    if NEED_ROLE.contains(&parsed.service()) && given.role_arn.is_none() {
        return Err(invalid(format!("RoleArn is required for target {arn}.")));
    }
    let input = input(&given)?;
    if let Some(parameters) = &mut given.ecs_parameters {
        if parsed.service() != "ecs" {
            // Text unverified.
            return Err(not_valid("EcsParameters are for targets that are clusters of Amazon ECS."));
        }
        let count = parameters.task_count.get_or_insert(1);
        if !(1..=TASKS_MAX).contains(count) {
            // Text unverified.
            return Err(not_valid(&format!("TaskCount must be between 1 and {TASKS_MAX}.")));
        }
        parameters.enable_ecs_managed_tags.get_or_insert(false);
        parameters.enable_execute_command.get_or_insert(false);
    } else if parsed.service() == "ecs" {
        return Err(invalid(format!("Parameter(s) EcsParameters must be specified for target: {id}.",)));
    }
    let retry = given.retry_policy.clone().unwrap_or_default();
    Ok(Target {
        input,
        ecs: given.ecs_parameters.as_ref().map(|parameters| EcsTarget::of_parameters(&document::write(parameters))),
        http: given.http_parameters.as_ref().map(http),
        posts_as: None,
        retry: Retry {
            attempts: retry.maximum_retry_attempts.and_then(positive).unwrap_or(RETRY_ATTEMPTS_DEFAULT),
            age_s: retry.maximum_event_age_in_seconds.and_then(positive).unwrap_or(RETRY_AGE_DEFAULT_S),
        },
        dead_letter: given.dead_letter_config.as_ref().and_then(|config| config.arn.clone()),
        shown: document::write(&given),
        id,
        arn,
    })
}

fn positive(number: i32) -> Option<u32> {
    u32::try_from(number).ok()
}

/// Reads what the target is given: at most one of the three ways to say it.
fn input(given: &api::Target) -> Result<Input> {
    match (&given.input, &given.input_path, &given.input_transformer) {
        (None, None, None) => Ok(Input::Event),
        (Some(text), None, None) => match serde_json::from_str::<Value>(text) {
            Ok(_) => Ok(Input::Constant(text.clone())),
            Err(_) => Err(invalid(format!(
                "JSON syntax error in input for target {}: input is not valid JSON.",
                given.id.as_deref().unwrap_or_default()
            ))),
        },
        (None, Some(path), None) => is_path(path).map(|()| Input::Path(path.clone())),
        (None, None, Some(transformer)) => {
            let paths = transformer.input_paths_map.clone().unwrap_or_default();
            let paths = paths.into_iter().map(|(name, path)| is_path(&path).map(|()| (name, path)));
            let template = transformer.input_template.clone().unwrap_or_default();
            Ok(Input::Template { paths: paths.collect::<Result<_>>()?, template })
        }
        _ => Err(invalid(format!(
            "Only one of Input, InputPath, or InputTransformer must be provided for target {}.",
            given.id.as_deref().unwrap_or_default()
        ))),
    }
}

// Text unverified.
fn is_path(path: &str) -> Result<()> {
    if path.starts_with('$') {
        return Ok(());
    }
    Err(invalid(format!("Parameter InputPath is not valid. Reason: {path} is not a JSON path.")))
}

fn http(given: &api::HttpParameters) -> HttpTarget {
    let pairs = |map: &Option<std::collections::BTreeMap<String, String>>| {
        let pair = |(key, value): (&String, &String)| Parameter { key: key.clone(), value: value.clone() };
        map.iter().flatten().map(pair).collect()
    };
    HttpTarget {
        path_values: given.path_parameter_values.clone().unwrap_or_default(),
        headers: pairs(&given.header_parameters),
        query: pairs(&given.query_string_parameters),
    }
}
